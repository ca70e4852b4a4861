"""Diagnostics of a posterior in words."""

import pandas as pd
from rich.console import Group, RenderableType
from rich.text import Text

from offroute.estimators.synthesis import Posterior
from offroute.report.overturn import heading, plain_table

_CONFLICT = 3.0
_MAX_K_HAT = 0.7
_SHOWN = 6


def diagnose_frame(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Put all diagnostics into one long table.

    Parameters
    ----------
    tables : dict of str to pandas.DataFrame
        By kind: ``row`` (`leave_one_out`), ``family`` (`family_reliability`), ``lab``
        (`lab_shrinkage`), ``parameter`` (`parameter_table`), ``week`` (`weekly_defect`), ``phi``
        (`price_proxy_bias`).

    Returns
    -------
    pandas.DataFrame
        ``kind``, ``name``, ``measure``, ``value``.
    """
    parts = []
    for kind, table in tables.items():
        key = str(table.columns[0])
        numbers = [key, *table.select_dtypes(["number", "bool"]).columns.difference([key])]
        long = table[numbers].melt(id_vars=[key], var_name="measure", value_name="value")
        name = long[key]
        if str(name.dtype).startswith("datetime"):
            name = name.dt.strftime("%Y-%m-%d")
        parts.append(
            pd.DataFrame(
                {
                    "kind": kind,
                    "name": name.astype(str),
                    "measure": long["measure"],
                    "value": long["value"].astype(float),
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def no_evidence(labs: pd.DataFrame) -> list[str]:
    """Return the labs that have no benchmark of their own.

    Parameters
    ----------
    labs : pandas.DataFrame
        As `offroute.inference.diagnostics.lab_shrinkage` returns it.

    Returns
    -------
    list of str
        Names, the least informed first.
    """
    weak = labs[labs["rows"] == 0]
    return [str(name) for name in weak.sort_values("contraction", kind="stable")["lab"]]


def _size(x: float) -> str:
    return f"{x:.1f}" if x < 100 else f"{x:.0f}"  # noqa: PLR2004 - digits


def diagnose_view(
    posterior: Posterior,
    tables: dict[str, pd.DataFrame],
    panel: tuple[pd.DataFrame, pd.DataFrame, pd.Timestamp],
) -> RenderableType:
    """Lay out the diagnostics.

    Parameters
    ----------
    posterior : Posterior
        The fit.
    tables : dict of str to pandas.DataFrame
        ``row``, ``family``, ``lab`` and ``parameter``, as for `diagnose_frame`.
    panel : tuple
        Weekly defect, bias by the price proxy, and the Monday to speak of.

    Returns
    -------
    rich renderable
        Worst rows, families, labs, parameters, and what the panel's share is worth.
    """
    defect, proxy, monday = panel
    rows, families, labs = (tables[kind] for kind in ("row", "family", "lab"))
    inside = float((rows["z"].abs() < _CONFLICT).mean())
    weak_rows = int(((rows["k_hat"] > _MAX_K_HAT) & ~rows["refitted"]).sum())
    worst = rows.reindex(rows["z"].abs().sort_values(ascending=False).index).head(_SHOWN)
    left = plain_table(("row left out", "family", "z", "k-hat"))
    for _, row in worst.iterrows():
        left.add_row(row["id"], row["family"], f"{row['z']:+.2f}", f"{row['k_hat']:.2f}")
    unreliable = plain_table(("family", "rows", "P(unreliable)"))
    for _, row in families.sort_values("p_unreliable", ascending=False).head(_SHOWN).iterrows():
        unreliable.add_row(row["family"], f"{row['rows']}", f"{row['p_unreliable']:.3f}")
    shrink = plain_table(("lab", "rows of its own", "contraction"))
    for _, row in labs.sort_values("contraction", ascending=False).iterrows():
        shrink.add_row(row["lab"], f"{row['rows']}", f"{row['contraction']:.2f}")
    scales = plain_table(("parameter", "prior", "posterior"))
    for _, row in tables["parameter"].iterrows():
        scales.add_row(
            row["parameter"],
            *[
                f"{row[k]:.2f} [{row[f'{k}_low']:.2f}, {row[f'{k}_high']:.2f}]"
                for k in ("prior", "posterior")
            ],
        )
    here = defect[defect["week_start"] == monday].drop(columns="week_start").iloc[0]
    of_week = {str(name): float(value) for name, value in here.items()}
    b = posterior.benchmarks
    low, high = 100 * proxy["smub_share"].min(), 100 * proxy["smub_share"].max()
    by_share = 100 * proxy[["mubp"]].agg(["min", "max"])["mubp"]
    none = no_evidence(labs)
    return Group(
        *heading(b.population, f"Diagnostics, week of {monday:%Y-%m-%d}"),
        "",
        Text(
            f"{len(b)} benchmarks in {len(b.families)} families, {posterior.ess:.0f} effective "
            f"draws, k-hat {max(posterior.k_hat, 0):.2f}, log evidence "
            f"{posterior.log_evidence:.1f}. {inside:.1%} of rows left out lie within |z| < 3"
            + (f"; {weak_rows} need --refit (k-hat above .7)." if weak_rows else ".")
        ),
        "",
        left,
        "",
        unreliable,
        Text(
            f"(prior {posterior.prior.p_unreliable:g}; at most one family at a time)", style="dim"
        ),
        "",
        shrink,
        Text(
            "No evidence of their own, so that their level is their group's give or take the "
            "spread between labs: " + (", ".join(none) or "no lab") + ". Contraction is 1 less "
            "posterior over prior variance of a lab's log volume; most of the prior's is common."
        ),
        "",
        scales,
        "",
        Text(
            f"The panel's share {of_week['panel_share']:.3f} of China in China and the US covers "
            f"{of_week['coverage']:.2%} of their tokens. Data defect correlation "
            f"{of_week['ddc']:.3f} [{of_week['ddc_low']:.3f}, {of_week['ddc_high']:.3f}]: its "
            f"error is that of {_size(of_week['n_eff'])} [{_size(of_week['n_eff_low'])}, "
            f"{_size(of_week['n_eff_high'])}] randomly drawn tokens."
        ),
        Text(
            f"Through price, selection would make China's share on the panel {low:.0f} (SMUB at "
            f"phi 0) to {high:.0f} points (phi 1) too large, as a proportion {by_share['min']:.0f} "
            f"to {by_share['max']:.0f} (MUBP); the posterior says "
            f"{100 * proxy['posterior'].iloc[0]:.0f}. The market's mean price is the model's: no "
            "evidence of its own."
        ),
        "",
    )
