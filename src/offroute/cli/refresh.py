"""Command `refresh`: the servers' newest data as a folder of tables for every other command."""

import logging
import os
import sys
from contextlib import ExitStack
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from offroute._checks import check_choice, listing, require_extra
from offroute.cli.app import Data, app, console, refusals
from offroute.data.decisions import add_undecided, read_decisions
from offroute.data.keys import KEY_VARIABLE, check_address, read_key
from offroute.data.snapshot import SNAPSHOT_DIR
from offroute.exceptions import UndecidedModels, UsageError
from offroute.report.data_folder import check_folder, pack_table, write_folder
from offroute.report.files import frame_to_csv, write_atomic
from offroute.report.refresh import refresh_view, undecided_view

if TYPE_CHECKING:
    from offroute.data.refresh import Refreshed
    from offroute.data.transport import Limits, Session

EXTRA = ("httpx", "stamina", "pydantic", "pandera", "platformdirs", "tqdm")
FIRST_DAY = "2025-01-06"
_DAY = 86400


@app.command(
    epilog="Examples: `offroute refresh live`, then `offroute correct --data live`; "
    "`offroute refresh live --offline` after filling in live-decisions.csv. The key of "
    f"OpenRouter's Data API stands in {KEY_VARIABLE} or in the file of --key-file."
)
@refusals
def refresh(  # numpydoc ignore=PR01
    out: Annotated[Path, typer.Argument(metavar="FOLDER", help="Tables to write or renew.")],
    *,
    start: Annotated[
        str, typer.Option(metavar="DAY", help="First day; its whole week is asked for.")
    ] = FIRST_DAY,
    again: Annotated[int, typer.Option(min=0, max=366, help="Last days to ask again.")] = 2,
    gateway: Annotated[bool, typer.Option(help="Ask the second gateway as well.")] = True,
    offline: Annotated[bool, typer.Option(help="Ask nothing; use what the cache has.")] = False,
    key_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="File that holds the API key.")
    ] = None,
    cache: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Cache; default: the user's cache folder.")
    ] = None,
    decisions: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Your decisions; default: FOLDER-decisions.csv."),
    ] = None,
    undecided: Annotated[
        str, typer.Option(help="refuse: stop at a model no rule places; stealth: count it there.")
    ] = "refuse",
    retries: Annotated[int, typer.Option(min=1, help="Most tries of one request.")] = 5,
    timeout: Annotated[
        float, typer.Option(min=0.001, max=_DAY, metavar="SECONDS", help="For one whole answer.")
    ] = 60.0,
    max_wait: Annotated[
        float,
        typer.Option(min=0, max=_DAY, metavar="SECONDS", help="Longest wait a server may ask for."),
    ] = 300.0,
    data: Data = None,
    openrouter_url: Annotated[
        str, typer.Option(help="Base address of OpenRouter's API.")
    ] = "https://openrouter.ai/api/v1",
    gateway_url: Annotated[
        str, typer.Option(help="Base address of the second gateway's export.")
    ] = "https://vercel.com/api/ai",
) -> None:
    """Fetch the published data and write the tables that --data of every command reads."""
    require_extra("client", EXTRA, name="offroute refresh")
    check_choice(undecided, ["refuse", "stealth"], name="undecided", error=UsageError)
    out = check_folder(out.absolute())
    first = _day(start)
    addresses = (
        check_address(openrouter_url, name="--openrouter-url"),
        check_address(gateway_url, name="--gateway-url"),
    )
    key = "" if offline else read_key(os.environ.get(KEY_VARIABLE), key_file)
    choices = decisions or out.with_name(f"{out.name}-decisions.csv")
    read_decisions(choices)
    from offroute.data.refresh import build_tables, monday_of  # noqa: PLC0415 - needs an extra
    from offroute.data.transport import Limits  # noqa: PLC0415 - needs an extra

    limits = Limits(attempts=retries, timeout=timeout, max_wait=max_wait)
    panel, second = _sessions(addresses, cache or _user_cache(), key, limits)
    if not offline:
        _pull(panel, second if gateway else None, monday_of(first), again)
    found = build_tables(panel, second if gateway else None, data, read_decisions(choices))
    if len(found.undecided):
        write_atomic({choices: frame_to_csv(add_undecided(choices, found.undecided))})
    if len(found.undecided) and undecided == "refuse":
        console().print(undecided_view(found.undecided))
        raise UndecidedModels(
            f"models in '{choices}'",
            got=f"{len(found.undecided)} undecided with {found.undecided['share'].sum():.3g} of "
            f"the tokens of 28 days: {listing(found.undecided['name'])}",
            rule="every model needs a lab, an origin and its openness",
            next_step="Fill in the file and refresh again with --offline, or count them as "
            "Stealth with --undecided stealth. The old tables are as they were.",
        )
    write_folder(out, _contents(found, data or SNAPSHOT_DIR))
    console().print(_view(found, out))


def _day(text: str) -> date:
    """Return a day of an option."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UsageError(
            "start", got=repr(text), rule="must be an ISO date", next_step="Try 2026-06-01."
        ) from None


def _user_cache() -> Path:
    """Return the user's cache folder."""
    from platformdirs import user_cache_path  # noqa: PLC0415 - only this command needs it

    return user_cache_path("offroute", appauthor=False)


def _sessions(
    addresses: tuple[str, str], cache: Path, key: str, limits: "Limits"
) -> tuple["Session", "Session"]:
    """Return the sessions of panel and second gateway; only the first knows the key."""
    from tqdm import tqdm  # noqa: PLC0415 - an extra

    from offroute.data import gateway, openrouter  # noqa: PLC0415 - needs an extra
    from offroute.data.transport import Session  # noqa: PLC0415 - needs an extra

    def _notice(line: str) -> None:
        tqdm.write(line, file=sys.stderr)

    # Its own lines on retries would stand between those of the notice.
    logging.getLogger("stamina").addHandler(logging.NullHandler())
    panel = Session(openrouter.SOURCE, addresses[0], cache, key, limits, notice=_notice)
    second = Session(gateway.SOURCE, addresses[1], cache, limits=limits, notice=_notice)
    return panel, second


def _pull(panel: "Session", second: "Session | None", first: date, again: int) -> None:
    """Ask the servers behind a progress bar."""
    from tqdm import tqdm  # noqa: PLC0415 - an extra

    from offroute.data.pull import pull_all  # noqa: PLC0415 - needs an extra

    with ExitStack() as stack:
        # None: no bar where standard error is no terminal.
        bar = stack.enter_context(tqdm(unit="request", disable=None, file=sys.stderr, leave=False))

        def _progress(what: str, done: int, total: int) -> None:
            bar.set_description(what, refresh=False)
            bar.total, bar.n = total, done
            bar.refresh()

        pull_all(panel, second, first, again=again, progress=_progress)


def _contents(found: "Refreshed", base: Path) -> dict[str, bytes]:
    """Return the files of the folder by name."""
    from offroute.data.refresh import COPIED  # noqa: PLC0415 - needs an extra

    files: dict[str, bytes] = {}
    for name, table in found.tables.items():
        _, packed, sidecar = pack_table(table.frame, table.rules, table.about)
        files |= {f"{name}.csv.gz": packed, f"{name}.json": sidecar.to_json().encode()}
    for name in COPIED:
        for suffix in (".csv.gz", ".json"):
            files[name + suffix] = (base / (name + suffix)).read_bytes()
    return files


def _view(found: "Refreshed", out: Path) -> object:
    """Return the summary."""
    tables = found.tables
    notes = [f"Tables written to {out}; use them with --data {out}."]
    if found.partial:
        notes.append(
            "Weeks that lack a day are in daily, not in usage: "
            + listing(day.isoformat() for day in found.partial)
        )
    if found.absent:
        notes.append("Days without any row: " + listing(d.isoformat() for d in found.absent))
    if found.short:
        notes.append(
            f"Days with fewer than 51 rows, perhaps cut short: {listing(map(str, found.short))}"
        )
    if found.unlisted:
        notes.append(f"Catalogue ids of authors in no list, unidentified: {found.unlisted}")
    notes.append(f"{tables['usage'].about.citation} Licensed under CC BY 4.0.")
    notes.append(tables["gateway"].about.citation)
    return refresh_view(
        tables["daily"].frame,
        tables["usage"].frame,
        found.placed,
        found.undecided,
        found.restated,
        notes,
    )
