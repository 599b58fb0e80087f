"""The spool: what it said is safe is safe, and what it did not keep it counts."""

from __future__ import annotations

import contextlib
import resource
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from mlkit.production.service.segments import finished, read_segment
from mlkit.production.service.spool import Spool, SpoolFullError
from tests.production.service.spools import Killable, log_rows, spool_some, spooled

FULL = "the predictions that wait"


@pytest.fixture
def spools(tmp_path):
    """A function that makes spools in one folder; they are closed at the end."""
    with contextlib.ExitStack() as stack:

        def make(**options):
            spool = Spool(tmp_path / "spool", **options)
            stack.callback(spool.close)
            return spool

        yield make


@contextlib.contextmanager
def largest_file(size):
    """Let no file of this process grow beyond a size: the disk is full, as far as it can see."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def eventually(condition, seconds=10):
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    return found


def test_durable_rows_are_in_the_file_when_the_answer_may_go(spools, tmp_path):
    """Each is there at that moment, and the state counts it."""
    spool = spools()
    for number in range(20):
        spool.write(log_rows(f"r{number}")).result(5)
        assert spooled(tmp_path / "spool")[-1] == f"r{number}"
    assert spool.state["logged"] == spool.state["served"] == 20
    assert (spool.state["dropped_total"], spool.state["error"], spool.full) == (0, "", False)


def test_rows_of_many_threads_are_written_together(spools, tmp_path):
    """None is lost, none twice, and the disk is asked less often than there are rows."""
    spool = spools()
    ready = threading.Barrier(8)

    def client(name):
        ready.wait()
        for number in range(50):
            spool.write(log_rows(f"{name}-{number}")).result(10)

    threads = [threading.Thread(target=client, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = sorted(f"{name}-{number}" for name in range(8) for number in range(50))
    assert sorted(spooled(tmp_path / "spool")) == expected
    assert spool.state["commits"] < 400


def test_the_first_look_at_the_disk_is_over_before_anybody_asks(tmp_path):
    """A spool that has not looked yet would call itself full."""

    def ask(spool, ready):
        ready.wait()
        return spool.full

    with ThreadPoolExecutor(8) as pool:
        for number in range(50):
            with contextlib.closing(Spool(tmp_path / f"{number}")) as spool:
                ready = threading.Barrier(8)
                asked = [pool.submit(ask, spool, ready) for _ in range(8)]
                assert not any(answer.result(10) for answer in asked)


def test_a_record_batch_is_taken_as_well(spools, tmp_path):
    """It has several rows."""
    spools().write(log_rows("a", "b").to_batches()[0]).result(5)
    assert spooled(tmp_path / "spool") == ["a", "b"]


@pytest.mark.parametrize("options", [{"limit_bytes": 100}, {"reserve_bytes": 2**62}])
def test_durable_refuses_what_it_has_no_room_for(spools, options):
    """Before the work is done, and again when rows are handed in; it says when to come back."""
    spool = spools(**options)
    with contextlib.suppress(SpoolFullError):
        spool.write(log_rows("first")).result(5)
    with pytest.raises(SpoolFullError, match=FULL) as caught:
        spool.check()
    assert (caught.value.code, caught.value.retry_after_seconds) == ("STO070", 5)
    with pytest.raises(SpoolFullError):
        spool.write(log_rows("second"))
    assert spool.state["full"]


def test_there_is_room_again_after_a_flush(spools, tmp_path):
    """The folder is looked at anew."""
    spool = spools(limit_bytes=100, rotate_bytes=1)
    spool.write(log_rows("first")).result(5)
    assert spool.full
    for path in eventually(lambda: finished(tmp_path / "spool")):
        path.unlink()
    eventually(lambda: not spool.full)
    spool.write(log_rows("second")).result(5)


def test_fast_never_refuses_and_counts_what_it_drops(spools, tmp_path):
    """By hour and model, in a note of the next segment."""
    spool = spools(policy="fast", reserve_bytes=2**62)
    spool.check()
    spool.write(log_rows("a", "b")).result(0)
    spool.write(log_rows("c", model_id="m-2", version=2)).result(0)
    assert (spool.state["dropped_total"], spool.state["logged"]) == (3, 0)
    spool.close()
    [path] = finished(tmp_path / "spool")
    hour = "2026-06-01T12:00:00+00:00"
    assert read_segment(path.read_bytes()).notes == ([[hour, "m-1", 1, 2], [hour, "m-2", 2, 1]],)


def test_fast_rows_come_soon(spools, tmp_path):
    """Without being waited for."""
    spool = spools(policy="fast")
    for number in range(100):
        spool.write(log_rows(f"r{number:02}"))
    assert eventually(lambda: len(found := spooled(tmp_path / "spool")) == 100 and found)[-1] == "r99"


def test_a_disk_that_takes_no_more_is_told_to_who_waits(spools, tmp_path):
    """Nothing is written after the gap: when there is room again a new segment begins."""
    spool = spools()
    spool.write(log_rows("before")).result(5)
    with largest_file(finished(tmp_path / "spool")[0].stat().st_size + 100):
        refused = spool.write(log_rows("refused"))
        with pytest.raises(SpoolFullError, match="did not take") as caught:
            refused.result(5)
        assert caught.value.code == "STO071"
        assert spool.state["error"]
    spool.write(log_rows("after")).result(5)
    assert spooled(tmp_path / "spool") == ["before", "after"]
    assert (len(finished(tmp_path / "spool")), spool.state["error"]) == (2, "")


def test_a_disk_that_takes_no_more_is_counted_by_fast(spools, tmp_path):
    """What was lost is noted as soon as the disk takes a note."""
    spool = spools(policy="fast")
    with largest_file(100):
        spool.write(log_rows("lost"))
        eventually(lambda: spool.state["dropped_total"] == 1)
    spool.close()
    [path] = [path for path in finished(tmp_path / "spool") if read_segment(path.read_bytes()).notes]
    assert read_segment(path.read_bytes()).notes[0][0][-1] == 1


def test_rows_that_cannot_be_written_are_refused_and_the_rest_is_not(spools, tmp_path):
    """Such as texts that are told by numbers; the thread that writes lives on."""
    spool, rows = spools(), log_rows("odd")
    with pytest.raises(SpoolFullError):
        spool.write(rows.set_column(0, "request_id", rows["request_id"].dictionary_encode())).result(5)
    spool.write(log_rows("plain")).result(5)
    assert spooled(tmp_path / "spool") == ["plain"]


def test_segments_end_by_size_and_by_age(spools, tmp_path):
    """So that the log is never far behind; one that holds nothing is not made."""
    spool = spools(rotate_bytes=3000)
    for number in range(5):
        spool.write(log_rows(f"r{number}")).result(5)
    assert len(finished(tmp_path / "spool")) >= 2
    old = spools(rotate_seconds=0.05)
    old.write(log_rows("x")).result(5)
    assert eventually(lambda: old._writer is None)
    files = finished(tmp_path / "spool")
    time.sleep(0.2)
    assert finished(tmp_path / "spool") == files


def test_after_the_end_nothing_is_taken(spools, tmp_path):
    """What was handed in before is written."""
    spool = spools()
    waiting = [spool.write(log_rows(f"r{number}")) for number in range(50)]
    spool.close()
    assert all(one.done() and one.exception() is None for one in waiting)
    assert len(spooled(tmp_path / "spool")) == 50
    with pytest.raises(SpoolFullError):
        spool.write(log_rows("late"))


@pytest.mark.parametrize("point", ["segment.made", "spool.written", "spool.synced", "spool.rotated"])
def test_killed_at_any_point_nothing_that_was_answered_is_missing(home, tmp_path, fork_server, point):
    """A row more may be there: it was safe, and its answer was on the way."""
    folder, answered = tmp_path / "spool", tmp_path / "answered"
    answered.touch()
    code = Killable(home).run(spool_some, folder, 5, answered, fail=f"{point}:kill")
    assert code == -9
    told, kept = answered.read_text().split(), spooled(folder)
    assert kept[: len(told)] == told
    assert len(kept) <= len(told) + 1
