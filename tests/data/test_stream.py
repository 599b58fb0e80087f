"""Rows beyond memory: piece by piece they get the contract, the checks and the name of the whole."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlkit.data import stream
from mlkit.data.contract import Column, Contract
from mlkit.data.snapshot import publish_rows
from mlkit.data.source import Source, open_rows, read_dataframe
from mlkit.data.stream import check_stream, infer_contract, repeatable
from mlkit.digest.fingerprint import fingerprint
from mlkit.engines.base import FEATURES, TRAINING, TableName
from mlkit.engines.local import LocalEngine
from mlkit.errors import ContractError, DataError

ROWS = pa.table({"id": range(100), "day": [1, 2] * 50, "x": np.linspace(0, 1, 100)})
CONTRACT = Contract(
    columns={
        "id": Column(dtype="int64"),
        "day": Column(dtype="int64"),
        "x": Column(dtype="float64", nullable=True, checks={"less_than_or_equal_to": 1}),
    }
)


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch) -> None:
    """Every batch is a piece of its own."""
    monkeypatch.setattr(stream, "PIECE_BYTES", 1)


@pytest.fixture
def engine(tmp_path) -> LocalEngine:
    """An empty lake."""
    return LocalEngine(tmp_path / "lake")


def batches(table: pa.Table, size: int = 10) -> pa.RecordBatchReader:
    """A stream of small batches, some of them empty."""
    parts = [part for batch in table.to_batches(max_chunksize=size) for part in (batch, batch.slice(0, 0))]
    return pa.RecordBatchReader.from_batches(table.schema, parts)


VALUES = {
    "i": st.none() | st.integers(-5, 5),
    "b": st.booleans(),
    "f": st.none() | st.floats(width=32),
    "s": st.none() | st.sampled_from("abc"),
    "c": st.none() | st.sampled_from("xyz"),
}
TYPES = {"i": pa.int16(), "b": pa.bool_(), "f": pa.float64(), "s": pa.string(), "c": pa.string()}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.fixed_dictionaries(VALUES), min_size=1, max_size=30), st.integers(1, 7))
def test_a_stream_has_the_contract_of_its_rows(records, size) -> None:
    """Dtypes, missing values and categories are those of all rows, however they are cut in batches."""
    table = pa.Table.from_pylist(records, schema=pa.schema(TYPES))
    table = table.set_column(4, "c", table["c"].dictionary_encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stream, "PIECE_BYTES", 1)
        assert infer_contract(batches(table, size)) == Contract.infer(table)


def test_checked_rows_are_those_of_the_whole_table() -> None:
    """Same values, same types, same order."""
    narrow = ROWS.set_column(0, "id", ROWS["id"].cast(pa.int8())).select(["x", "id", "day"])
    assert check_stream(batches(narrow), CONTRACT, key=["id"]).read_all().equals(CONTRACT.check(narrow))


@pytest.mark.parametrize("piece", [1, 1 << 26])
@pytest.mark.parametrize(
    ("changes", "key", "code", "text"),
    [
        (
            {"x": [0.5] * 95 + [2.0] * 5},
            ("id",),
            "DAT060",
            "x: less_than_or_equal_to fails in 5 rows (keys 95, 96, 97)",
        ),
        ({"id": [*range(98), 0, 1]}, ("id",), "DAT049", "id: key_unique fails in 4 rows"),
        ({"id": [None, *range(99)]}, ("id",), "DAT049", "id: key_not_null fails in 1 row"),
        (
            {"id": [7] * 2 + [*range(50, 148)], "day": [1] * 100},
            ("id", "day"),
            "DAT049",
            "id, day: key_unique",
        ),
        ({"day": "one"}, ("id",), "DAT046", "expected int64, found string"),
        ({"y": 1.0}, ("id",), "DAT045", "y"),
    ],
)
def test_what_breaks_the_contract_is_refused(engine, monkeypatch, piece, changes, key, code, text) -> None:
    """In a late piece, or only over several pieces: nothing stands in the store afterwards."""
    monkeypatch.setattr(stream, "PIECE_BYTES", piece)
    broken = ROWS
    for name, values in changes.items():
        column = pa.array(values if isinstance(values, list) else [values] * 100)
        at = broken.column_names.index(name) if name in broken.column_names else None
        broken = broken.append_column(name, column) if at is None else broken.set_column(at, name, column)
    with pytest.raises(DataError) as caught:
        publish_rows(engine, batches(broken), CONTRACT, prefix="p__snapshot", key=key)
    assert caught.value.code == code
    assert text in str(caught.value)
    assert engine.tables(TRAINING) == []


def test_columns_that_are_unique_are_so_over_all_pieces() -> None:
    """Alone or together, as the contract says."""
    alone = CONTRACT.replace(columns={**CONTRACT.columns, "x": Column(dtype="float64", unique=True)})
    together = CONTRACT.replace(unique=("day", "x"))
    assert check_stream(batches(ROWS), alone).read_all().num_rows == 100
    assert check_stream(batches(ROWS), together).read_all().num_rows == 100
    twice = pa.concat_tables([ROWS, ROWS.slice(0, 3)])
    for contract, name in ((alone, "x"), (together, "day, x")):
        with pytest.raises(ContractError, match=rf"DAT060.*\n.* {name}: unique fails in 6 rows"):
            check_stream(batches(twice), contract).read_all()


def test_no_rows_are_an_error(engine) -> None:
    """Whether the contract is known or not."""
    for use in (
        lambda: infer_contract(batches(ROWS.slice(0, 0)), origin="here"),
        lambda: publish_rows(engine, batches(ROWS.slice(0, 0)), CONTRACT, prefix="here"),
    ):
        with pytest.raises(DataError) as caught:
            use()
        assert (caught.value.code, caught.value.path) == ("DAT002", "here")


def test_a_stream_can_be_read_again() -> None:
    """From the start each time, also when the reading before did not come to its end."""
    coded = ROWS.append_column("c", pa.array(["a", "b"] * 50).dictionary_encode())
    with repeatable(batches(coded)) as read:
        assert read().read_all().equals(coded)
        read().read_next_batch()
        assert read().read_all().equals(coded)
        assert read().schema == coded.schema


def test_rows_are_opened_without_being_loaded(engine) -> None:
    """A stream and a table are readers, at one version; a frame, or what prepare made, is a table."""
    table = TableName(FEATURES, "flights")
    engine.create(table, ROWS.to_reader())
    for data in (Source(table="features.flights"), batches(ROWS)):
        with open_rows(data, engine) as read:
            assert isinstance(read(), pa.RecordBatchReader)
            assert fingerprint(read()) == fingerprint(ROWS)
            if isinstance(data, Source):
                more = ROWS.slice(0, 1).to_reader()
                engine.append(table, more, expected_version=engine.describe(table).version)
            assert fingerprint(read()) == fingerprint(ROWS)
    for data in (ROWS.to_pandas(), Source(table="features.flights", prepare="pandas:DataFrame")):
        with open_rows(data, engine) as read:
            assert isinstance(read(), pa.Table)
            assert read() is read()


def test_categories_are_seen_in_a_stream_too(engine) -> None:
    """A column that arrives encoded gets the same contract as in memory, and stays what it was."""
    coded = pa.array([None, *"abcb" * 25][:100]).dictionary_encode()
    rows = ROWS.append_column("c", coded).append_column("n", pa.array([3, 1] * 50).dictionary_encode())
    with open_rows(batches(rows), engine) as read:
        contract = infer_contract(read())
        assert contract == Contract.infer(read_dataframe(rows))
        assert contract.columns["c"].categories == ("a", "b", "c")
        assert contract.columns["n"].categories == (1, 3)
        assert fingerprint(read()) == fingerprint(rows)


def test_a_streamed_snapshot_is_the_snapshot(engine) -> None:
    """The same rows in memory find the streamed ones and reuse them."""
    streamed = publish_rows(engine, batches(ROWS), CONTRACT, prefix="p__snapshot", key=("id",))
    again = publish_rows(engine, read_dataframe(ROWS), CONTRACT, prefix="p__snapshot", key=("id",))
    assert (streamed.table, streamed.fingerprint, streamed.rows) == (again.table, again.fingerprint, 100)
    assert (streamed.reused, again.reused) == (False, True)


def test_an_error_of_the_stream_itself_comes_out_as_it_is(engine) -> None:
    """It is the caller's own, and nothing was published."""

    def failing():
        yield from ROWS.to_batches(max_chunksize=10)[:3]
        raise ZeroDivisionError

    reader = pa.RecordBatchReader.from_batches(ROWS.schema, failing())
    with pytest.raises(ZeroDivisionError):
        publish_rows(engine, reader, CONTRACT, prefix="p__snapshot")
    assert engine.tables(TRAINING) == []


LARGE = """
import json, resource, sys
from pathlib import Path
import numpy as np, pyarrow as pa
from mlkit.data.snapshot import publish_rows
from mlkit.data.source import open_rows
from mlkit.data.stream import infer_contract
from mlkit.engines.local import LocalEngine

megabytes, rows = int(sys.argv[2]), 1 << 16
columns = {f"x{i}": np.arange(rows) % (7 + i) / 8 for i in range(31)}


def batches():
    for first in range(megabytes // 16):
        yield pa.record_batch({"id": np.arange(first * rows, (first + 1) * rows), **columns})


reader = pa.RecordBatchReader.from_batches(next(batches()).schema, batches())
engine = LocalEngine(Path(sys.argv[1]))
with open_rows(reader, engine) as read:
    contract = infer_contract(read())
    found = publish_rows(engine, read(), contract, prefix="large__snapshot", key=("id",))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
print(json.dumps({"rows": found.rows, "peak": peak}))
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_stream(tmp_path) -> None:
    """Half a gigabyte more of rows costs a few digests more, not half a gigabyte of memory."""
    peaks = []
    for megabytes in (256, 768):
        command = [sys.executable, "-c", LARGE, str(tmp_path / str(megabytes)), str(megabytes)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found = json.loads(done.stdout)
        assert found["rows"] == megabytes // 16 << 16
        peaks.append(found["peak"])
    assert peaks[1] - peaks[0] < 150
