"""Chunks of work on the workers that the caller chose with joblib, with the same result.

How the work is cut into chunks never depends on the workers, every chunk has its own seeds, and
each is computed with one BLAS thread, as sums of more threads differ in the last bits. So the
result is the same to the bit in this process, on any number of loky workers and on Dask.
"""

import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from offroute.exceptions import UsageError, WorkersLost

if TYPE_CHECKING:
    import pandas as pd

Task = TypeVar("Task")
Result = TypeVar("Result")

ATTEMPTS = 3
"""Rounds in a row that may end with a dead worker and without a finished chunk."""

_PATIENCE = 5.0


def run_chunks(
    work: Callable[[Task], Result], tasks: Sequence[Task], *, label: str
) -> list[Result]:
    """Return ``[work(task) for task in tasks]``, computed by the workers that joblib is told of.

    Without ``joblib.parallel_config`` the chunks run one after the other in this process. A worker
    that dies (out of memory, killed) costs what was not finished: those chunks are given out anew.
    Dask does the same on its side. A run of more than five seconds shows a bar on a terminal,
    unless the environment variable ``TQDM_DISABLE`` is 1.

    Parameters
    ----------
    work : callable
        A function of a task alone; it must not depend on the order.
    tasks : sequence
        What distinguishes the chunks.
    label : str
        What the bar counts.

    Returns
    -------
    list
        Results in the order of the tasks.

    Raises
    ------
    WorkersLost
        If workers die three times in a row before any chunk is finished.

    Examples
    --------
    >>> run_chunks(abs, [-1, -2], label="numbers")
    [1, 2]
    """
    done: dict[int, Result] = {}
    stalled = 0
    with _bar(len(tasks), label) as advance:
        while len(done) < len(tasks):
            before = len(done)
            left = [(i, task) for i, task in enumerate(tasks) if i not in done]
            try:
                for i, result in _stream(work, left):
                    done[i] = result
                    advance()
            except BrokenExecutor as error:
                # Tasks that cannot be unpickled break the pool as well, and would again.
                if type(error).__name__ != "TerminatedWorkerError":
                    raise
                stalled = stalled + 1 if len(done) == before else 0
                if stalled == ATTEMPTS:
                    raise WorkersLost(
                        label,
                        got=f"{len(done)} of {len(tasks)} chunks when workers died for the "
                        f"{ATTEMPTS}rd time in a row: {type(error).__name__}",
                        rule="a worker must live long enough to finish a chunk",
                        next_step="Use fewer workers, so that each has more memory.",
                    ) from error
    return [done[i] for i in range(len(tasks))]


def write_once(path: Path, make: Callable[[], "pd.DataFrame"]) -> Path:
    """Make a table and put it at `path` in one step, unless it is there; a finished chunk stays.

    Parameters
    ----------
    path : pathlib.Path
        Where the CSV file belongs; its folder exists.
    make : callable
        Computes the table.
    """
    if not path.exists():
        table = make()
        with tempfile.NamedTemporaryFile(
            "w", dir=path.parent, prefix=f".{path.name}.", delete=False
        ) as file:
            table.to_csv(file, index=False)
        Path(file.name).replace(path)
    return path


def _stream(
    work: Callable[[Task], Result], left: Sequence[tuple[int, Task]]
) -> Iterator[tuple[int, Result]]:
    # Nobody can have asked for workers before joblib was imported.
    if "joblib" not in sys.modules:
        return (_numbered(work, i, task) for i, task in left)
    from joblib import Parallel, delayed  # noqa: PLC0415 - an extra

    parallel = Parallel(return_as="generator_unordered")
    if parallel.n_jobs != 1 and not _has_threadpoolctl():
        raise UsageError(
            "parallel_config",
            got="an environment without threadpoolctl",
            rule="workers must compute with one BLAS thread, to give the same bits",
            next_step='Install it: pip install "offroute[workers]".',
        )
    results: Iterator[tuple[int, Result]] = parallel(
        delayed(_numbered)(work, i, task) for i, task in left
    )
    return results


def _numbered(work: Callable[[Task], Result], i: int, task: Task) -> tuple[int, Result]:
    with _one_blas_thread():
        return i, work(task)


@contextmanager
def _one_blas_thread() -> Iterator[None]:
    if not _has_threadpoolctl():
        yield
        return
    from threadpoolctl import threadpool_limits  # noqa: PLC0415 - an extra

    with threadpool_limits(limits=1, user_api="blas"):
        yield


def _has_threadpoolctl() -> bool:
    return find_spec("threadpoolctl") is not None


@contextmanager
def _bar(total: int, label: str) -> Iterator[Callable[[], Any]]:
    """Show a bar on a terminal once a run has taken a while; elsewhere count nothing."""
    if total == 1 or not sys.stderr.isatty() or find_spec("tqdm") is None:
        yield lambda: None
        return
    from tqdm import tqdm  # noqa: PLC0415 - an extra

    with tqdm(total=total, desc=label, delay=_PATIENCE, leave=False) as bar:
        yield bar.update
