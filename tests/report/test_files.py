"""Files are written together or not at all."""

import json
import os

import numpy as np
import pandas as pd
import pytest

from offroute.exceptions import UsageError
from offroute.report.files import frame_to_csv, frame_to_records, write_atomic


def test_files_appear_with_their_text_and_can_be_read_by_all(tmp_path):
    write_atomic({tmp_path / "a.csv": "x\n", tmp_path / "b.json": "é"})
    assert (tmp_path / "a.csv").read_bytes() == b"x\n"
    assert (tmp_path / "b.json").read_text(encoding="utf-8") == "é"
    assert (tmp_path / "a.csv").stat().st_mode & 0o777 == 0o644
    assert sorted(os.listdir(tmp_path)) == ["a.csv", "b.json"]


def test_an_existing_file_is_replaced(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("old")
    write_atomic({path: "new"})
    assert path.read_text() == "new"


@pytest.mark.parametrize("bad", ["missing/b.csv", "."])
def test_nothing_is_written_if_one_file_cannot_be(tmp_path, bad):
    with pytest.raises(UsageError, match="file"):
        write_atomic({tmp_path / "a.csv": "x", tmp_path / bad: "y"})
    assert os.listdir(tmp_path) == []


def test_records_survive_json():
    frame = pd.DataFrame(
        {
            "week": pd.to_datetime(["2026-06-01", "2026-06-08"]),
            "n": np.array([1, 2]),
            "ok": np.array([True, False]),
            "share": [0.5, np.nan],
        }
    )
    back = json.loads(json.dumps(frame_to_records(frame), allow_nan=False))
    assert back == [
        {"week": "2026-06-01", "n": 1, "ok": True, "share": 0.5},
        {"week": "2026-06-08", "n": 2, "ok": False, "share": None},
    ]
    assert frame_to_csv(frame).splitlines() == [
        "week,n,ok,share",
        "2026-06-01,1,True,0.5",
        "2026-06-08,2,False,",
    ]
