"""The main job in words: observed and corrected shares of one week in one population."""

import json
from dataclasses import asdict
from io import StringIO

import pandas as pd
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from offroute import __version__
from offroute.data.register import TAIL_MODEL
from offroute.estimators.synthesis import Posterior
from offroute.inference.identification import Identification
from offroute.inference.shares import Contest, Volumes
from offroute.measurement.market import Market, week_index
from offroute.measurement.populations import population
from offroute.measurement.truncation import CARRIED_WEEKS
from offroute.report.files import frame_to_records

_FINEST = 0.001


def _tokens(x: float) -> str:
    """Tokens a week in trillions."""
    t = x / 1e12
    return f"{t:.0f}" if t >= 100 else f"{t:.1f}" if t >= 1 else f"{t:.2f}"  # noqa: PLR2004 - digits


def _triple(x: tuple[float, float, float], digits: int = 2) -> str:
    return f"{x[1]:.{digits}f} [{x[0]:.{digits}f}, {x[2]:.{digits}f}]"


def _percent(x: float) -> str:
    return f"{100 * x:.1f}" if x >= 0.001 else f"{100 * x:.2g}"  # noqa: PLR2004 - a tenth of a %


def _probability(p: float) -> str:
    """Return a probability, never as zero or one: the draws are finite."""
    return "< 0.001" if p < _FINEST else "> 0.999" if p > 1 - _FINEST else f"= {p:.3f}"


def statements(v: Volumes, c: Contest) -> list[str]:
    """Say in words what a comparison means.

    Parameters
    ----------
    v : Volumes
        The week.
    c : Contest
        The comparison.

    Returns
    -------
    list of str
        One sentence each.
    """
    low, _, high = c.undersampling
    verdict = (
        "China leads"
        if c.p_china_leads > 0.95  # noqa: PLR2004 - the usual bar for a decisive call
        else "the US leads"
        if c.p_china_leads < 0.05  # noqa: PLR2004 - likewise
        else "the evidence does not decide who leads"
    )
    out = [
        f"China : US is {c.observed_ratio:.2f} on the panel and {_triple(c.ratio)} corrected; "
        f"P(China leads) {_probability(c.p_china_leads)}, against closed US models alone "
        f"{_probability(c.p_china_leads_closed)}: {verdict}.",
        f"Under-sampling Lambda (panel coverage of China over that of the US) is "
        f"{_triple(c.undersampling)}; the order flips at {c.observed_ratio:.2f}, "
        f"{'inside' if low < c.observed_ratio < high else 'outside'} that interval.",
        f"China would lead if the panel covered less than {_percent(c.break_even[1])} % "
        f"[{_percent(c.break_even[0])}, {_percent(c.break_even[2])}] of its tokens.",
    ]
    if v.extrapolated:
        out.append(
            f"EXTRAPOLATION: the last benchmark is {v.stale:.0f} weeks older than this week."
        )
    return out


def week_notes(market: Market, usage: pd.DataFrame, week: str) -> list[str]:
    """Say what is unusual about how a week is known.

    Parameters
    ----------
    market : Market
        The panel by week and cell.
    usage : pandas.DataFrame
        As `offroute.data.snapshot.load_usage` returns it.
    week : str
        Monday of the week.

    Returns
    -------
    list of str
        One sentence each: what is done with the unnamed rest and free routes comes first.
    """
    of_week = usage[usage["week_start"] == week]
    days = int(of_week["days"].iloc[0])
    rest = float(of_week.loc[of_week["model"] == TAIL_MODEL, "tokens"].sum())
    rest += float(of_week.loc[of_week["model"] == f"{TAIL_MODEL}/*", "tokens"].sum())
    free = float(of_week.loc[of_week["model"].str.endswith(":free"), "tokens"].sum())
    out = [
        f"Panel: the unnamed rest ({_tokens(rest)} T) is spread like the models of rank 26 and "
        f"below; free routes ({_tokens(free)} T) count; medians need not add up to 100 %."
    ]
    if days < 7:  # noqa: PLR2004 - days of a week
        out.append(f"PARTIAL WEEK: {days} of 7 days are observed; volumes are scaled to seven.")
    if not market.by_model[week_index(market, week)]:
        out.append(
            "KNOWN BY LAB ONLY: a lab's tokens are split over openness and tier as in its last "
            f"{CARRIED_WEEKS} weeks known by model."
        )
    return out


def correct_view(
    v: Volumes,
    table: pd.DataFrame,
    c: Contest,
    posterior: Posterior,
    level: float,
    notes: list[str],
) -> RenderableType:
    """Lay out the result for a terminal.

    Parameters
    ----------
    v : Volumes
        The week.
    table : pandas.DataFrame
        As `offroute.inference.shares.share_table` returns it.
    c : Contest
        The comparison.
    posterior : Posterior
        Where the result comes from.
    level : float
        Probability of the intervals.
    notes : list of str
        As of `week_notes`.

    Returns
    -------
    rich renderable
        Heading, table, sentences, provenance.
    """
    view = Table(box=None, pad_edge=False, header_style="bold")
    view.add_column("")
    for heading in (
        "panel T/week",
        "observed %",
        "corrected %",
        f"{level:.0%} interval",
        "total T/week",
        "coverage %",
    ):
        view.add_column(heading, justify="right")
    for _, row in table.iterrows():
        view.add_row(
            row["class"],
            _tokens(row["panel"]),
            _percent(row["observed"]),
            _percent(row["corrected"]),
            f"[{_percent(row['low'])}, {_percent(row['high'])}]",
            f"{_tokens(row['tokens'])} [{_tokens(row['tokens_low'])}, "
            f"{_tokens(row['tokens_high'])}]",
            f"{_percent(row['coverage'])} [{_percent(row['coverage_low'])}, "
            f"{_percent(row['coverage_high'])}]",
        )
    b = posterior.benchmarks
    return Group(
        Text(f"Week of {v.week}, population {v.population}", style="bold"),
        Text(f"({population(v.population).description})", style="dim"),
        "",
        view,
        "",
        *[Text(line) for line in (*statements(v, c), *notes)],
        Text(
            f"{len(b)} benchmarks in {len(b.families)} families; {posterior.prior.name} prior; "
            f"{posterior.ess:.0f} effective draws, k-hat {max(posterior.k_hat, 0):.2f}. "
            "Stealth: no declared origin, as the panel shows it.",
            style="dim",
        ),
        "",
    )


def correct_json(
    v: Volumes,
    table: pd.DataFrame,
    c: Contest,
    posterior: Posterior,
    level: float,
    notes: list[str],
) -> dict[str, object]:
    """Return the result as plain data.

    Parameters
    ----------
    v, table, c, posterior, level, notes : Volumes, DataFrame, Contest, Posterior, float, list
        As for `correct_view`.

    Returns
    -------
    dict
        Population, week, prior, interval level, shares, comparison and diagnostics.
    """
    return {
        "population": v.population,
        "identified": True,
        "week": v.week,
        "prior": posterior.prior.name,
        "level": level,
        "weeks_since_last_benchmark": v.stale,
        "extrapolated": v.extrapolated,
        "notes": notes,
        "shares": frame_to_records(table),
        "china_against_us": asdict(c),
        "benchmarks": list(posterior.benchmarks.ids),
        "effective_draws": posterior.ess,
        "k_hat": posterior.k_hat,
        "log_evidence": posterior.log_evidence,
    }


def unidentified_view(found: Identification, week: str) -> RenderableType:
    """Say that a population is not identified, with its bounds, instead of a number.

    Parameters
    ----------
    found : Identification
        What the ledger decides.
    week : str
        The week asked for.

    Returns
    -------
    rich renderable
        Heading, reason, bounds.
    """
    lines = [
        f"- {name}: China's share of China and the US in [{low:.3g}, {high:.3g}]"
        for name, low, high in found.bounds
    ]
    return Group(
        Text(f"Week of {week}, population {found.population}", style="bold"),
        Text(f"({population(found.population).description})", style="dim"),
        "",
        Text(f"NOT IDENTIFIED: {found.reason}.", style="bold"),
        *[Text(line) for line in lines],
        "",
    )


def unidentified_json(found: Identification, week: str) -> dict[str, object]:
    """Return the same as plain data.

    Parameters
    ----------
    found : Identification
        What the ledger decides.
    week : str
        The week asked for.

    Returns
    -------
    dict
        Population, week, reason, bounds.
    """
    return {"week": week, **asdict(found)}


def correct_document(results: list[dict[str, object]], as_of: str, seed: int) -> str:
    """Return the JSON document of one run.

    Parameters
    ----------
    results : list of dict
        One entry per population.
    as_of : str
        Date to which the usage table speaks.
    seed : int
        Seed of the run.

    Returns
    -------
    str
        JSON with a final newline.
    """
    head = {"offroute": __version__, "data_as_of": as_of, "seed": seed, "unit": "tokens a week"}
    return json.dumps({**head, "results": results}, indent=1) + "\n"


def plain_text(view: RenderableType, width: int = 110) -> str:
    """Render without colour, for documents.

    Parameters
    ----------
    view : rich renderable
        What to render.
    width : int
        Columns.

    Returns
    -------
    str
        The text.
    """
    from rich.console import Console  # noqa: PLC0415 - only documents need a console

    out = StringIO()
    Console(file=out, width=width, color_system=None).print(view)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"
