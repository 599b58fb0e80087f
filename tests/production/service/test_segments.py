"""Segments: whatever was cut off their end, the rows before it are there."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pytest

from mlkit.production.service.segments import (
    ASIDE,
    SUFFIX,
    SegmentWriter,
    claimed,
    finished,
    read_segment,
    remove_drafts,
)
from tests.production.service.spools import log_rows, segment


def written(folder, *tables, notes=()) -> bytes:
    """The bytes of a segment with these tables."""
    return segment(folder, *tables, notes=notes).read_bytes()


def test_rows_and_notes_come_back_as_they_were(tmp_path):
    """Types, columns that come and go, and the order."""
    first, second = log_rows("a", "b", input_x=1.5), log_rows("c", input_y="text", version=2)
    contents = read_segment(written(tmp_path, first, first, second, notes=[[1, "x"]]))
    assert [pa.Table.from_batches([batch]) for batch in contents.batches] == [first, first, second]
    assert (contents.notes, contents.torn_bytes, contents.damaged) == (([1, "x"],), 0, False)


def test_wherever_it_is_cut_the_frames_before_are_read(tmp_path):
    """Every length that a kill could leave; what is cut off is counted, and is no damage."""
    content = written(tmp_path, *[log_rows(str(number)) for number in range(3)])
    seen = []
    for length in range(len(content)):
        contents = read_segment(content[:length])
        ids = [text for batch in contents.batches for text in batch["request_id"].to_pylist()]
        assert ids == ["0", "1", "2"][: len(ids)]
        assert not contents.damaged
        seen.append(len(ids))
    assert sorted(set(seen)) == [0, 1, 2]
    assert seen == sorted(seen)


def test_zeros_at_the_end_are_no_frames(tmp_path):
    """As a power loss leaves them."""
    content = written(tmp_path, log_rows("a"))
    contents = read_segment(content + bytes(5000))
    assert (len(contents.batches), contents.torn_bytes, contents.damaged) == (1, 5000, False)


def test_a_changed_byte_is_damage_and_not_a_torn_end(tmp_path):
    """What follows is not read: nobody knows where it begins."""
    first = len(written(tmp_path, log_rows("0")))
    content = bytearray(written(tmp_path, *[log_rows(str(number)) for number in range(3)]))
    content[first + 50] ^= 1
    contents = read_segment(bytes(content))
    assert (len(contents.batches), contents.damaged) == (1, True)
    assert read_segment(b"something else that is no segment").damaged


def test_a_segment_belongs_to_its_writer_until_that_closes_it(tmp_path):
    """Nobody else can claim it, and of two who may only one."""
    writer = SegmentWriter(tmp_path)
    writer.add(log_rows("a"))
    [path] = finished(tmp_path)
    with claimed(path) as contents:
        assert contents is None
    writer.close()
    with claimed(path) as contents, claimed(path) as other:
        assert contents.batches[0]["request_id"].to_pylist() == ["a"]
        assert other is None
    path.unlink()
    with claimed(path) as contents:
        assert contents is None


def test_a_segment_of_a_killed_process_is_free(tmp_path):
    """The kernel gives the lock back."""
    code = """if True:
        import os, signal, sys
        from pathlib import Path
        from mlkit.production.service.segments import SegmentWriter
        from tests.production.service.spools import log_rows
        writer = SegmentWriter(Path(sys.argv[1]))
        writer.add(log_rows("a"))
        os.kill(os.getpid(), signal.SIGKILL)
    """
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        check=False,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])},
    )
    assert done.returncode == -9
    with claimed(finished(tmp_path)[0]) as contents:
        assert len(contents.batches) == 1


def test_drafts_of_the_dead_are_removed_in_time(tmp_path):
    """One that is young, or that somebody holds, stays."""
    old, young = tmp_path / "old.new", tmp_path / "young.new"
    for path in (old, young):
        path.touch()
    os.utime(old, (time.time() - 3600,) * 2)
    remove_drafts(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["young.new"]


@pytest.mark.parametrize("suffix", [SUFFIX, ASIDE])
def test_only_segments_are_looked_at(tmp_path, suffix):
    """What was put aside stays aside."""
    (tmp_path / f"x{suffix}").touch()
    assert bool(finished(tmp_path)) == (suffix == SUFFIX)
