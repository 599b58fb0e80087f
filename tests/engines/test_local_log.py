"""Logs on the local disk: races and kills of real processes, what is read, and what stays small."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import os
import signal
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from mlkit.engines import local_log
from mlkit.engines.local import LocalEngine
from mlkit.engines.local_table import CHECKPOINT_INTERVAL
from mlkit.errors import DataError, IntegrityError, OutcomeUnknownError
from tests.engines import children
from tests.engines.log_contract import LOG, answers, at, fetched, numbers
from tests.engines.test_local import data_files, run_child, staged

RACERS = 3
BATCHES = 12


@pytest.fixture
def root(tmp_path):
    """A folder whose path has to be handled with care."""
    return tmp_path / "a lake #1 ü"


@pytest.fixture
def engine(root):
    """An engine over an empty folder."""
    return LocalEngine(root)


@pytest.fixture
def folder(root):
    """Where the log is."""
    return root / LOG.schema / LOG.name


def test_processes_that_log_the_same_batches_add_each_once(engine, root):
    """Three processes start at once, with the log not there yet, and add the same twelve batches."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(RACERS)
    with concurrent.futures.ProcessPoolExecutor(RACERS, context, children.join, (barrier,)) as pool:
        racers = [pool.submit(children.race, "log_all", root, BATCHES) for _ in range(RACERS)]
        assert sum(racer.result(100)["added"] for racer in racers) == BATCHES
    assert numbers(engine) == list(range(BATCHES))
    assert staged(root, LOG.schema) == []


@pytest.mark.parametrize(("point", "rows"), [("log.made", 0), ("log.written", 0), ("log.committed", 3)])
def test_killed_writer_has_logged_all_or_nothing(engine, root, point, rows):
    """The same call again converges: each row is there once."""
    assert run_child("log", root, fail=f"{point}:kill")[0] == -signal.SIGKILL
    assert len(numbers(engine)) == rows
    assert children.log(root) == {"added": rows == 0}
    assert numbers(engine) == [0, 1, 2]


def test_kill_in_the_middle_of_a_batch(engine, root):
    """Files without a commit are no rows, and go when they are old."""
    engine.log(LOG, answers(5, 1).to_reader(), batch="before")
    known = set(data_files(root, LOG))
    assert run_child("log_interrupted", root)[0] == -signal.SIGKILL
    assert numbers(engine) == [5]
    assert set(data_files(root, LOG)) > known
    assert engine.log(LOG, answers(0).to_reader(), batch="batch 0")
    assert numbers(engine) == [0, 1, 2, 5]


@pytest.mark.parametrize(("task", "point"), [("trim", "trim.committed"), ("drop", "drop.renamed")])
def test_killed_removal_is_finished_by_the_next(engine, root, task, point):
    """A log is trimmed or not, there or not; the same call again does the rest."""
    for first in (0, 3):
        engine.log(LOG, answers(first).to_reader(), batch=f"batch {first}")
    assert run_child(task, root, 3, fail=f"{point}:kill")[0] == -signal.SIGKILL
    children.TASKS[task](root, 3)
    assert (engine.scan_log(LOG) is None) == (task == "drop")
    if task == "trim":
        assert numbers(engine) == [3, 4, 5]


def test_failing_stream_leaves_no_file(engine, root):
    """What the caller's stream raises comes out as it is, and nothing was logged."""
    engine.log(LOG, answers(0).to_reader(), batch="first")
    known = set(data_files(root, LOG))

    def batches():
        yield from answers(3).to_batches()
        raise ZeroDivisionError("the caller's own")

    stream = pa.RecordBatchReader.from_batches(answers(0).schema, batches())
    with pytest.raises(ZeroDivisionError, match="the caller's own"):
        engine.log(LOG, stream, batch="second")
    assert set(data_files(root, LOG)) == known
    assert engine.log(LOG, answers(3).to_reader(), batch="second")


def test_commit_is_flushed(engine, root, folder, monkeypatch):
    """After a batch its data file, the log entry and both folders are durable."""
    engine.log(LOG, answers(0).to_reader(), batch="first")
    before, flushed, fsync = set(data_files(root, LOG)), set(), os.fsync

    def spy(descriptor):
        flushed.add(Path(f"/proc/self/fd/{descriptor}").readlink())
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", spy)
    engine.log(LOG, answers(3, wide=pa.array([1, 2, 3])).to_reader(), batch="second")
    (new,) = set(data_files(root, LOG)) - before
    entries = sorted((folder / "_delta_log").glob("*.json"))[-2:]  # the new column, then the rows
    assert {new, folder, folder / "_delta_log", *entries} <= flushed


def test_failed_flush_is_an_unknown_outcome(engine, monkeypatch):
    """The rows stay, for they may be there for good; the same call again finds them."""
    engine.log(LOG, answers(0).to_reader(), batch="first")

    def fail(descriptor):
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(OutcomeUnknownError, match="STO003"):
            engine.log(LOG, answers(3).to_reader(), batch="second")
    assert not engine.log(LOG, answers(3).to_reader(), batch="second")
    assert numbers(engine) == [0, 1, 2, 3, 4, 5]


def test_files_outside_a_window_are_not_opened(engine, root):
    """The file of an older batch may be gone: a window that it does not touch is read all the same."""
    engine.log(LOG, answers(0).to_reader(), batch="old")
    (old,) = (file for file in data_files(root, LOG) if "part-00000" not in file.name)
    engine.log(LOG, answers(3).to_reader(), batch="new")
    old.unlink()
    assert numbers(engine, since=at(3)) == [3, 4, 5]
    with pytest.raises(IntegrityError, match="INT012"):
        numbers(engine, since=at(2.5) - (at(1) - at(0)))


def test_part_of_a_batch_is_trimmed(engine):
    """Rows of one batch on both sides of the bound: the earlier ones go."""
    engine.log(LOG, answers(0, 9).to_reader(), batch="all")
    assert engine.trim_log(LOG, before=at(4)) == 4
    assert numbers(engine) == [4, 5, 6, 7, 8]
    with pytest.raises(DataError, match="DAT045"):
        engine.trim_log(LOG, before=at(4), column="when")


def test_space_is_freed_when_nobody_reads_any_more(engine, root, monkeypatch):
    """Files that the log no longer names stay for a week, for those who opened it before."""
    engine.log(LOG, answers(0).to_reader(), batch="old")
    engine.log(LOG, answers(3).to_reader(), batch="new")
    rows = engine.scan_log(LOG)
    engine.trim_log(LOG, before=at(3))
    assert fetched(rows).num_rows == 6
    files, size = len(data_files(root, LOG)), engine.size(LOG)
    monkeypatch.setattr(local_log, "KEPT_SECONDS", -1)
    engine.trim_log(LOG, before=at(3))
    assert len(data_files(root, LOG)) < files
    assert engine.size(LOG) < size
    assert numbers(engine) == [3, 4, 5]


def test_many_small_batches_become_one_file(engine, root, folder, monkeypatch):
    """Every so many commits; rows, columns that came later and names of batches stay as they were."""
    monkeypatch.setattr(local_log, "TIDY_INTERVAL", 10)
    monkeypatch.setattr(local_log, "KEPT_SECONDS", -1)
    for number in range(25):
        more = {"late": pa.array([number])} if number > 5 else {}
        engine.log(LOG, answers(number, 1, **more).to_reader(), batch=f"batch {number}")
    assert len(pa.table(DeltaTable(str(folder)).get_add_actions())) < 10
    assert len(data_files(root, LOG)) < 10
    found = fetched(engine.scan_log(LOG))
    assert found.column("number").to_pylist() == list(range(25))
    assert found.column("late").to_pylist() == [None] * 6 + list(range(6, 25))
    assert numbers(engine, since=at(7), until=at(9)) == [7, 8]
    assert not any(engine.log(LOG, answers(0).to_reader(), batch=f"batch {n}") for n in range(25))


def test_empty_commit_is_found_behind_a_checkpoint(engine, folder):
    """A power loss may leave one: it would read as no change."""
    for number in range(CHECKPOINT_INTERVAL + 2):
        engine.log(LOG, answers(number, 1).to_reader(), batch=f"batch {number}")
    assert list((folder / "_delta_log").glob("*.checkpoint.parquet"))
    max((folder / "_delta_log").glob("*.json")).write_bytes(b"")
    with pytest.raises(IntegrityError, match="INT012"):
        numbers(engine)


def test_batch_beyond_memory_streams(root):
    """Ten times as many rows take about as much memory."""
    small, large = (run_child("log_large", root / str(size), size)[1] for size in (24, 256))
    assert (small["rows"], large["rows"]) == (6 << 16, 64 << 16)
    assert large["grown"] < small["grown"] + 150
