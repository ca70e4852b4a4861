"""The same bits on any number of workers, whatever becomes of them."""

import importlib
import os
import pty
import re
import signal
import subprocess
import sys
import termios
import threading
import time
from functools import partial
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from distributed import Client, LocalCluster

from offroute._parallel import ATTEMPTS, run_chunks, write_once
from offroute.data.simulate import WORLDS, simulate_market
from offroute.estimators.calibrate import rake
from offroute.estimators.estimands import share
from offroute.estimators.intake import DesignColumns, read_sample
from offroute.estimators.point import PointEstimate, make_target
from offroute.exceptions import InvalidValue, WorkersLost
from offroute.inference.resampling import bootstrap, jackknife

# loky says that a worker is gone; the engine deals with it.
pytestmark = pytest.mark.filterwarnings("ignore:A worker stopped while some jobs")


def sample(n=600):
    rng = np.random.default_rng(3)
    frame = pd.DataFrame(
        {
            "origin": rng.choice(["CN", "US"], n),
            "size": rng.choice(["s", "l"], n),
            "tokens": rng.lognormal(7, 1, n),
            "account": rng.integers(0, 60, n),
        }
    )
    return read_sample(
        frame,
        outcomes=["origin"],
        covariates=["size"],
        volume="tokens",
        design=DesignColumns(clusters="account"),
    )


TARGET = make_target({"size": {"s": 700, "l": 300}}, covariance=[[90.0, -40], [-40, 60]])
ESTIMATOR = partial(rake, estimands=[share("origin", levels=["CN"])])


def called(s, target):
    """The same estimator without its batched form."""
    point = ESTIMATOR(s, target)
    fields = {f: getattr(point, f) for f in PointEstimate.__dataclass_fields__}
    return PointEstimate(**(fields | {"replicate": None}))


def everything():
    """Draws of all that runs on workers."""
    s = sample()

    def market(seed):
        return simulate_market(WORLDS["calibrated"], rng=seed).Y[-1]

    # A function of this module would not be importable by a worker; a nested one travels whole.
    def plain(s, target):
        return fields(s, target)

    fields = called
    return {
        "bootstrap": bootstrap(ESTIMATOR, s, TARGET, count=90, rng=1).draws,
        "poisson": bootstrap(ESTIMATOR, s, TARGET, count=60, method="poisson", rng=2).draws,
        "called": bootstrap(plain, s, TARGET, count=30, rng=1).draws,
        "jackknife": jackknife(ESTIMATOR, s, TARGET, rng=3).draws,
        "markets": np.array(run_chunks(market, range(4), label="markets")),
    }


@pytest.fixture(scope="module")
def in_this_process():
    return everything()


def _same(found, expected):
    assert found.keys() == expected.keys()
    for name, draws in found.items():
        assert draws.tobytes() == expected[name].tobytes(), name


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_any_number_of_processes_gives_the_same_bits(workers, in_this_process):
    with joblib.parallel_config(backend="loky", n_jobs=workers):
        _same(everything(), in_this_process)


@pytest.fixture(scope="module")
def cluster():
    """Two worker processes on loopback."""
    with (
        LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address=":0",
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


def test_a_dask_cluster_gives_the_same_bits(cluster, in_this_process):
    with joblib.parallel_config(backend="dask"):
        _same(everything(), in_this_process)


def _kill_when_written(path):
    """Kill the process whose id appears in a file."""

    def wait():
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if path.exists() and path.read_text():
                os.kill(int(path.read_text()), signal.SIGKILL)
                return
            time.sleep(0.01)

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def _doomed_once(path):
    """An estimator whose first call on a worker waits to be killed."""
    parent = os.getpid()

    def estimator(s, target):
        if os.getpid() != parent and not path.exists():
            path.write_text(str(os.getpid()))
            time.sleep(60)
        point = rake(s, target, estimands=[share("origin", levels=["CN"])])
        fields = {f: getattr(point, f) for f in PointEstimate.__dataclass_fields__}
        return PointEstimate(**(fields | {"replicate": None}))

    return estimator


@pytest.mark.parametrize("backend", ["loky", "dask"])
def test_a_killed_worker_changes_nothing(backend, request, tmp_path):
    if backend == "dask":
        request.getfixturevalue("cluster")
    s, path = sample(), tmp_path / "pid"
    expected = bootstrap(_doomed_once(path), s, TARGET, count=60, rng=4).draws
    killer = _kill_when_written(path)
    options = {"n_jobs": 2} if backend == "loky" else {}
    with joblib.parallel_config(backend=backend, **options):
        found = bootstrap(_doomed_once(path), s, TARGET, count=60, rng=4).draws
    killer.join()
    assert int(path.read_text()) != os.getpid()
    assert found.tobytes() == expected.tobytes()


def test_finished_chunks_are_not_computed_again_when_a_worker_dies(tmp_path):
    log = tmp_path / "log"
    log.mkdir()

    def work(i):
        (log / f"{i}-{time.monotonic_ns()}").touch()
        if i == 3 and len(list(log.glob("3-*"))) == 1:
            # Let the others finish first.
            time.sleep(2)
            os.kill(os.getpid(), signal.SIGKILL)
        return i * i

    with joblib.parallel_config(backend="loky", n_jobs=2):
        assert run_chunks(work, range(8), label="squares") == [i * i for i in range(8)]
    assert len(list(log.glob("3-*"))) == 2
    assert len(list(log.glob("0-*"))) == 1


def test_workers_that_never_live_are_given_up():
    def work(_):
        os.kill(os.getpid(), signal.SIGKILL)

    with (
        joblib.parallel_config(backend="loky", n_jobs=2),
        pytest.raises(WorkersLost, match=rf"0 of 2 chunks when workers died .*{ATTEMPTS}"),
    ):
        run_chunks(work, range(2), label="chunks")


_LONG = """
import sys, time
import joblib
from offroute import _parallel

_parallel._PATIENCE = float(sys.argv[1])

def work(i):
    time.sleep(0.3)
    return i

with joblib.parallel_config(n_jobs=int(sys.argv[2])):
    print(_parallel.run_chunks(work, range(8), label="squares"))
"""


def _on_screen(*, patience, workers=1, terminal=True, **environment):
    """What eight chunks show on standard error."""
    reader, writer = pty.openpty() if terminal else os.pipe()
    if terminal:
        termios.tcsetwinsize(writer, (24, 80))
    done = subprocess.run(
        [sys.executable, "-c", _LONG, str(patience), str(workers)],
        stdout=subprocess.PIPE, stderr=writer, text=True, check=True,
        env=os.environ | environment,
    )  # fmt: skip  # dense
    # So that the reads below end, even where nothing was written.
    os.write(writer, b"END")
    shown = b""
    while not shown.endswith(b"END"):
        shown += os.read(reader, 1 << 16)
    os.close(reader)
    os.close(writer)
    assert done.stdout == f"{list(range(8))}\n"
    return shown.decode().removesuffix("END")


@pytest.mark.parametrize("workers", [1, 2])
def test_a_long_run_shows_a_bar_on_a_terminal_and_takes_it_away(workers):
    shown = _on_screen(patience=0.1, workers=workers)
    counts = [int(n) for n in re.findall(r"squares: .*?(\d)/8", shown)]
    assert len(set(counts)) >= 3
    assert counts == sorted(counts)
    assert max(counts) >= 7
    # The line is empty at the end.
    *_, last, rest = shown.split("\r")
    assert (last.strip(), rest) == ("", "")


@pytest.mark.parametrize(
    "how",
    [
        {"patience": 60},
        {"patience": 0.1, "terminal": False},
        {"patience": 0.1, "TQDM_DISABLE": "1"},
    ],
)
def test_no_bar_on_a_short_run_elsewhere_or_when_told(how):
    assert _on_screen(**how) == ""


def test_a_typed_error_on_a_worker_reaches_the_caller():
    def work(_):
        raise InvalidValue("x", got=1, rule="none", next_step="Stop.")

    with joblib.parallel_config(n_jobs=2), pytest.raises(InvalidValue, match=r"x: none; got 1\."):
        run_chunks(work, range(2), label="chunks")


_STUDY = """
import sys, time
from pathlib import Path
import numpy as np, pandas as pd
from offroute._parallel import run_chunks, write_once

parts, pause = Path(sys.argv[1]), float(sys.argv[2])

def work(seed):
    def make():
        time.sleep(pause)
        return pd.DataFrame({"seed": seed, "x": np.random.default_rng(seed).normal(size=3)})
    return write_once(parts / f"{seed}.csv", make)

paths = run_chunks(work, range(12), label="chunks")
print(pd.concat(map(pd.read_csv, paths)).to_csv(index=False))
"""


def _study(folder, pause):
    return [sys.executable, "-c", _STUDY, str(folder), str(pause)]


def test_an_interrupted_study_resumes(tmp_path):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    whole.mkdir()
    cut.mkdir()
    done = subprocess.run(_study(whole, 0), capture_output=True, text=True, check=True)
    killed = subprocess.Popen(_study(cut, 0.2), stdout=subprocess.DEVNULL)
    while len(list(cut.glob("*.csv"))) < 3:
        time.sleep(0.01)
    killed.kill()
    killed.wait()
    kept = {p.name: p.stat().st_mtime_ns for p in cut.glob("[0-9]*.csv")}
    assert 3 <= len(kept) < 12
    again = subprocess.run(_study(cut, 0), capture_output=True, text=True, check=True)
    assert again.stdout == done.stdout
    assert {name: (cut / name).stat().st_mtime_ns for name in kept} == kept


def test_chunks_of_other_code_are_left_alone(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "scripts")
    study_io = importlib.import_module("study_io")
    found = study_io.chunks_of_this_code(tmp_path)
    assert found.is_dir()
    assert study_io.chunks_of_this_code(tmp_path) == found
    plain = study_io.code_only

    def changed(source):
        return plain(source).replace("s_cm: float = ", "s_cm: float = 0.01 + ")

    monkeypatch.setattr(study_io, "code_only", changed)
    assert study_io.chunks_of_this_code(tmp_path) != found
    # A comment or a docstring changes no number.
    monkeypatch.setattr(study_io, "code_only", lambda source: plain("# why\n" + source))
    assert study_io.chunks_of_this_code(tmp_path) == found


def test_a_chunk_that_fails_leaves_no_file(tmp_path):
    def fail():
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_once(tmp_path / "a.csv", fail)
    assert not list(tmp_path.iterdir())


_THREADS = """
import joblib, numpy as np, pandas as pd
from offroute.estimators.calibrate import rake
from offroute.estimators.intake import read_sample
from offroute.estimators.point import make_target
from offroute.inference.resampling import bootstrap

rng = np.random.default_rng(0)
n = 100_000
frame = pd.DataFrame({"a": rng.choice(["p", "q"], n), "y": rng.normal(size=n)})
s = read_sample(frame, outcomes=["y"], covariates=["a"])
t = make_target({"a": {"p": 6e5, "q": 4e5}})
here = bootstrap(rake, s, t, count=20, rng=1).draws
with joblib.parallel_config(n_jobs=2):
    there = bootstrap(rake, s, t, count=20, rng=1).draws
print(here.tobytes() == there.tobytes())
"""


def test_bits_do_not_depend_on_blas_threads_of_the_caller():
    environment = {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")}
    done = subprocess.run(
        [sys.executable, "-c", _THREADS],
        capture_output=True, text=True, check=True, env=environment,
    )  # fmt: skip  # dense
    assert done.stdout.strip() == "True", done.stderr


def test_nothing_is_imported_for_replicates_in_this_process():
    code = (
        "import sys, numpy as np, pandas as pd\n"
        "from offroute import bootstrap, expansion, read_sample, Target\n"
        "s = read_sample(pd.DataFrame({'y': [1.0, 2, 4]}), outcomes=['y'])\n"
        "bootstrap(expansion, s, Target(), count=60, rng=1)\n"
        "print(*{'joblib', 'distributed', 'dask', 'ibis', 'tqdm'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
