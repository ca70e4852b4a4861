"""Command `report`: one page that recomputes in the browser."""

from pathlib import Path
from typing import Annotated

import typer

from offroute.cli.app import Data, Seed, app, console, refusals


@app.command(epilog="Examples: `offroute report`, `offroute report -o page.html --week 2026-06-01`")
@refusals
def report(  # numpydoc ignore=PR01
    *,
    page_file: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Write the page here.")
    ] = Path("report.html"),
    week: Annotated[
        str | None,
        typer.Option(
            metavar="DAY", help="A day of the week to open with; default: the latest full week."
        ),
    ] = None,
    seed: Seed = 0,
    data: Data = None,
) -> None:
    """Write the interactive report: one file that makes no request and recomputes in the page."""
    from offroute.report.files import write_atomic  # noqa: PLC0415 - as the next two
    from offroute.report.page.content import page_content  # noqa: PLC0415 - only this command
    from offroute.report.page.render import check_page, render_page  # noqa: PLC0415 - likewise

    check_page()
    text = render_page(page_content(week=week, seed=seed, data_dir=data))
    write_atomic({page_file: text})
    console().print(f"{page_file}: {len(text.encode()) / 1e3:.0f} kB", highlight=False)
