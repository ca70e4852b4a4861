"""Ask every endpoint for what the cache does not have, the panel first."""

from datetime import date, timedelta

from offroute.data import openrouter_frames as panel
from offroute.data.gateway import pull_shares
from offroute.data.openrouter import (
    Progress,
    pull_apps,
    pull_models,
    pull_rankings,
    pull_session_costs,
    pull_tasks,
    today,
)
from offroute.data.transport import Session
from offroute.data.vintages import AGAIN


def pull_all(
    openrouter: Session,
    vercel: Session | None,
    first: date,
    *,
    again: int = AGAIN,
    progress: Progress = lambda what, done, total: None,
) -> None:
    """Ask for all days from `first` to the last completed one, and for what has no days.

    Every answer is checked before it is stored; what is stored stays when a later one fails.

    Parameters
    ----------
    openrouter : Session
        The panel.
    vercel : Session or None
        The second gateway; None leaves it out.
    first : datetime.date
        First day that is wanted.
    again : int
        Last completed days to ask again.
    progress : callable
        Receives what is asked, how many of its requests are done, and of how many.

    Raises
    ------
    InvalidKey, RateLimited, ServerUnavailable
        If the server refuses, as `offroute.data.transport.fetch`.
    BadResponse, SchemaError, InvalidValue, DuplicateKey
        If an answer is not what the documentation says.
    """
    last = today(openrouter) - timedelta(days=1)
    pull_rankings(openrouter, first, last, again=again, progress=progress)
    for endpoint, ask in (
        (panel.MODELS, pull_models),
        (panel.APPS, pull_apps),
        (panel.SESSION_COST, pull_session_costs),
        (panel.TASKS, pull_tasks),
    ):
        progress(endpoint, 0, 1)
        ask(openrouter)
        progress(endpoint, 1, 1)
    if vercel is not None:
        pull_shares(vercel, first, last, again=again, progress=progress)
