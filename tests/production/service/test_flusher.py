"""The flusher: each row once in the log, whenever it was killed, and the counts of what was served."""

from __future__ import annotations

import datetime as dt
import threading
import time

import pytest

from mlkit.engines.local import LocalEngine
from mlkit.errors import StoreError
from mlkit.production.prediction_log import PredictionLog
from mlkit.production.service.flusher import flush_segments, run_flusher, start_flusher
from mlkit.production.service.segments import ASIDE, SegmentWriter, finished
from mlkit.production.service.spool import Spool
from mlkit.production.serving_counts import ServedCounts, served_counts
from tests.production.service.spools import (
    NOON,
    PROJECT,
    Killable,
    flush,
    log_rows,
    logged,
    segment,
    spool_some,
)

LATER = NOON + dt.timedelta(hours=3)


@pytest.fixture
def engine(tmp_path):
    """Where the log is."""
    return LocalEngine(tmp_path / "lake")


@pytest.fixture
def folder(tmp_path):
    """Where segments are."""
    (tmp_path / "spool").mkdir()
    return tmp_path / "spool"


def test_segments_go_into_the_log_and_off_the_disk(engine, folder):
    """Of one version and of two, with the columns of each; the rows say which segment they came by."""
    first = segment(folder, log_rows("a"), log_rows("b", input_x=1.0))
    segment(folder, log_rows("c", model_id="m-2", version=2, input_y="text"))
    assert flush_segments(engine, PROJECT, folder) == (2, 3, 0)
    assert (logged(engine), list(folder.iterdir())) == (["a", "b", "c"], [])
    rows = PredictionLog(engine, PROJECT).window().read_all().sort_by("request_id").to_pylist()
    assert rows[1]["batch"] == rows[0]["batch"] == first.stem
    assert [row["input_x"] for row in rows] == [None, 1.0, None]


def test_a_segment_in_use_waits(engine, folder):
    """Until its writer is done with it."""
    writer = SegmentWriter(folder)
    writer.add(log_rows("a"))
    assert flush_segments(engine, PROJECT, folder) == (0, 0, 1)
    assert logged(engine) == []
    writer.close()
    assert flush_segments(engine, PROJECT, folder) == (1, 1, 0)


def test_a_torn_end_is_cut_off(engine, folder):
    """The rows before it are logged and the file goes; a file without a frame goes too."""
    segment(folder, log_rows("a"), tail=b"\x99\x00\x00\x00half of a fra")
    segment(folder)
    assert flush_segments(engine, PROJECT, folder) == (2, 1, 0)
    assert list(folder.iterdir()) == []


def test_a_damaged_segment_is_logged_as_far_as_it_reads_and_kept(engine, folder):
    """For somebody to look at; it is not logged again."""
    path = segment(folder, log_rows("a"), log_rows("b"))
    content = bytearray(path.read_bytes())
    content[-500] ^= 1
    path.write_bytes(bytes(content) + b"more than a frame's head")
    flush_segments(engine, PROJECT, folder)
    assert logged(engine) == ["a"]
    assert [one.suffix for one in folder.iterdir()] == [ASIDE]
    assert flush_segments(engine, PROJECT, folder) == (0, 0, 0)


def test_what_the_log_never_takes_does_not_hold_up_the_rest(engine, folder):
    """It is put aside and its rows count as dropped."""
    segment(folder, log_rows("a", input_x=1.0))
    flush_segments(engine, PROJECT, folder)
    segment(folder, log_rows("b", input_x="text"))
    segment(folder, log_rows("c"))
    assert flush_segments(engine, PROJECT, folder).rows == 1
    assert logged(engine) == ["a", "c"]
    assert [one.suffix for one in folder.iterdir()] == [ASIDE]
    assert served_counts(engine, PROJECT) == ServedCounts(served=3, logged=2, dropped=1)


def test_counts_by_hour_and_model(engine, folder):
    """What was dropped is in a note; windows count the hours that they touch."""
    assert served_counts(engine, PROJECT) is None
    lost = [[NOON.replace(minute=0).isoformat(), "m-1", 1, 3]]
    segment(folder, log_rows("a", "b"), log_rows("c", at=LATER), log_rows("d", model_id="m-2"), notes=[lost])
    segment(folder, notes=[lost])
    flush_segments(engine, PROJECT, folder)
    assert served_counts(engine, PROJECT) == ServedCounts(10, 4, 6)
    until = LATER.replace(minute=0)
    assert served_counts(engine, PROJECT, since=NOON, until=until) == ServedCounts(9, 3, 6)
    assert served_counts(engine, PROJECT, since=NOON, until=until, model_id="m-1") == ServedCounts(8, 2, 6)
    assert served_counts(engine, PROJECT, since=LATER) == ServedCounts(1, 1, 0)


def test_what_a_spool_could_not_keep_is_counted(engine, folder):
    """From the answer to the table of counts."""
    spool = Spool(folder, policy="fast", reserve_bytes=2**62)
    for name in "abc":
        spool.write(log_rows(name))
    spool.close()
    flush_segments(engine, PROJECT, folder)
    assert served_counts(engine, PROJECT) == ServedCounts(3, 0, 3)


@pytest.mark.parametrize("point", ["flush.logged", "flush.counted", "log.written", "log.committed"])
def test_killed_at_any_point_a_row_is_logged_once(engine, folder, home, fork_server, point):
    """Also if it is killed twice; the counts are those of one flush."""
    segment(folder, log_rows("a", "b"))
    segment(folder, log_rows("c"))
    child = Killable(home)
    for _ in range(2):
        assert child.run(flush, engine._root, folder, fail=f"{point}:kill") == -9
    assert child.run(flush, engine._root, folder) == 0
    assert (logged(engine), list(folder.iterdir())) == (["a", "b", "c"], [])
    assert served_counts(engine, PROJECT) == ServedCounts(3, 3, 0)


def test_two_flushers_at_once(engine, folder):
    """Each segment is taken by one of them."""
    for number in range(20):
        segment(folder, log_rows(f"r{number:02}"))
    threads = [threading.Thread(target=flush_segments, args=(engine, PROJECT, folder)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert logged(engine) == [f"r{number:02}" for number in range(20)]
    assert finished(folder) == []


def test_killed_while_it_served_and_while_it_flushed(engine, folder, home, tmp_path, fork_server):
    """What was answered is in the log in the end, and nothing twice."""
    answered = tmp_path / "answered"
    answered.touch()
    child = Killable(home)
    assert child.run(spool_some, folder, 3, answered, fail="spool.rotated:kill") == -9
    assert child.run(spool_some, folder, 3, answered, fail="spool.written:kill") == -9
    assert child.run(flush, engine._root, folder, fail="flush.logged:kill") == -9
    assert child.run(flush, engine._root, folder) == 0
    told = answered.read_text().split()
    assert told == ["r000", "r001", "r002"]
    assert logged(engine) in ([*told], ["r000", *told])


def test_a_store_that_is_away_keeps_the_segments(folder, tmp_path):
    """They are flushed when it is back, and at the end."""
    lake = tmp_path / "lake"
    lake.write_text("in the way")
    engine, stop = LocalEngine(lake), threading.Event()
    segment(folder, log_rows("a"))
    with pytest.raises(StoreError):
        flush_segments(engine, PROJECT, folder)
    thread = threading.Thread(
        target=run_flusher, args=(engine, PROJECT, folder), kwargs={"stop": stop, "seconds": 0.01}
    )
    thread.start()
    time.sleep(0.1)
    lake.unlink()
    stop.set()
    thread.join(10)
    assert (logged(engine), finished(folder)) == (["a"], [])


def test_the_process_ends_with_who_started_it(workspace, folder):
    """It flushes a last time when its standard input closes, as it does when that process dies."""
    segment(folder, log_rows("a"))
    flusher = start_flusher(workspace, PROJECT, folder)
    segment(folder, log_rows("b"))
    flusher.stdin.close()
    assert flusher.wait(60) == 0
    assert (logged(workspace.engine), finished(folder)) == (["a", "b"], [])
