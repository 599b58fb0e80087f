"""Segments of any content, and webhooks of many threads: what is read is what was written, once."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import tempfile
import threading
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from mlkit.production.service.holder import RefreshResult
from mlkit.production.service.segments import SegmentWriter, claimed, finished, read_segment, remove_drafts
from mlkit.production.service.webhook import Webhook

BEGINNING = b"mlkit segment 1\n"
CELLS = {
    "text": st.none() | st.text(max_size=4),
    "number": st.none() | st.integers(-(2**63), 2**63 - 1),
    "float": st.floats(allow_nan=False),
    "flag": st.booleans(),
}
TYPES = {"text": pa.string(), "number": pa.int64(), "float": pa.float64(), "flag": pa.bool_()}
NOTES = st.recursive(st.none() | st.integers() | st.text(max_size=3), lambda one: st.lists(one, max_size=2))


@st.composite
def tables(draw) -> pa.Table:
    """Rows of some of the columns."""
    names = draw(st.lists(st.sampled_from(list(CELLS)), min_size=1, unique=True))
    count = draw(st.integers(1, 3))
    cells = {name: [draw(CELLS[name]) for _ in range(count)] for name in names}
    return pa.table({name: pa.array(values, TYPES[name]) for name, values in cells.items()})


@pytest.fixture(scope="module")
def folder():
    """One for all examples."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


@given(content=st.lists(tables() | st.builds(lambda note: [note], NOTES), max_size=5), cut=st.floats(0, 1))
@settings(max_examples=40, deadline=None)
def test_rows_and_notes_in_any_order(folder, content, cut) -> None:
    """Whatever their columns; and cut anywhere, what is read is how it began."""
    writer = SegmentWriter(folder)
    for one in content:
        if isinstance(one, pa.Table):
            writer.add(one)
        else:
            writer.note(one)
    writer.close()
    whole = writer.path.read_bytes()
    found = read_segment(whole)
    rows = [one for one in content if isinstance(one, pa.Table)]
    assert [pa.Table.from_batches([batch]) for batch in found.batches] == rows
    assert list(found.notes) == [one for one in content if not isinstance(one, pa.Table)]
    assert (writer.size, found.torn_bytes, found.damaged) == (len(whole), 0, False)
    part = read_segment(whole[: int(cut * len(whole))])
    assert part.batches == found.batches[: len(part.batches)]
    assert part.notes == found.notes[: len(part.notes)]
    assert not part.damaged


@given(noise=st.binary(max_size=60))
@example(noise=BEGINNING[:-1])
@example(noise=BEGINNING[:-1] + bytes(9))
def test_what_is_no_segment_is_read_as_nothing(noise) -> None:
    """Of any bytes; it is damage, unless a segment may have begun so."""
    assume(not noise.startswith(BEGINNING))
    found = read_segment(noise)
    assert (found.batches, found.notes, found.torn_bytes) == ((), (), len(noise))
    assert found.damaged is not BEGINNING.startswith(noise)


def test_rows_that_lie_in_pieces_are_written_together(tmp_path) -> None:
    """One frame for what was handed in at once; none for no rows."""
    writer = SegmentWriter(tmp_path)
    piece = pa.table({"x": [1, 2]})
    writer.add(pa.concat_tables([piece, piece.slice(1)]))
    writer.add(piece.slice(0, 0))
    writer.close()
    batches = read_segment(writer.path.read_bytes()).batches
    assert [batch["x"].to_pylist() for batch in batches if len(batch)] == [[1, 2, 2]]


def test_a_table_that_is_refused_leaves_no_trace(tmp_path) -> None:
    """The next one is written as if nothing had been."""
    writer = SegmentWriter(tmp_path)
    size = writer.size
    with pytest.raises(pa.ArrowNotImplementedError):
        writer.add(pa.table({"x": pa.array(["a"]).dictionary_encode()}))
    assert writer.size == size
    writer.add(pa.table({"x": ["a"]}))
    writer.close()
    assert read_segment(writer.path.read_bytes()).batches[0]["x"].to_pylist() == ["a"]


def test_segments_are_named_in_the_order_of_their_making(tmp_path) -> None:
    """So that the oldest is taken first; a folder that is away is an error of the system."""
    writers = [SegmentWriter(tmp_path) for _ in range(5)]
    assert finished(tmp_path) == [writer.path for writer in writers]
    for writer in writers:
        writer.close()
        writer.close()
    with pytest.raises(OSError, match="No such file"):
        SegmentWriter(tmp_path / "none")
    remove_drafts(tmp_path / "none")
    assert finished(tmp_path / "none") == []


def test_a_claim_ends_with_its_block(tmp_path) -> None:
    """Also by an error; the next one reads the same."""
    writer = SegmentWriter(tmp_path)
    writer.note("x")
    writer.close()
    with pytest.raises(KeyError), claimed(writer.path):
        raise KeyError
    for _ in range(2):
        with claimed(writer.path) as contents:
            assert contents.notes == ("x",)


class Counts:
    """Counts pokes, one at a time."""

    def __init__(self) -> None:
        self.times = 0
        self._lock = threading.Lock()

    def refresh(self) -> RefreshResult:
        """As a holder."""
        with self._lock:
            self.times += 1
        return RefreshResult(changed=False, version=1, seq=1)


def test_one_delivery_that_arrives_in_many_threads_counts_once() -> None:
    """A server that is not answered in time sends it again while the first is under way."""
    poked, start = Counts(), threading.Barrier(8)
    webhook = Webhook("secret", poked, clock=lambda: 1000.0)
    body = json.dumps({"entity": "model_version_alias", "action": "created", "more": "é"}).encode()
    signed = hmac.new(b"secret", b"d.1000." + body, hashlib.sha256).digest()
    headers = {
        "x-mlflow-signature": "v1," + base64.b64encode(signed).decode(),
        "X-MLFLOW-DELIVERY-ID": "d",
        "x-mlflow-timestamp": "1000",
    }
    answers = []

    def send() -> None:
        start.wait(10)
        answers.append(webhook.receive(headers, body))

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert sorted(answers) == [(200, "delivered before")] * 7 + [(200, "unchanged")]
    assert poked.times == 1
