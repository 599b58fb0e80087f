"""Snapshots: checked, named by content, stored once, read back as they were."""

from __future__ import annotations

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from mlkit.data.contract import Column, Contract
from mlkit.data.snapshot import contract_of, publish_rows, read_rows
from mlkit.data.source import Source, ordered, read_dataframe
from mlkit.digest.fingerprint import fingerprint
from mlkit.engines.base import TRAINING, TableName
from mlkit.engines.local import LocalEngine
from mlkit.errors import ContractError, DataError

FRAME = pd.DataFrame({"id": [3, 1, 2], "x": [0.5, None, 1.5], "c": ["a", "b", "a"]})
CONTRACT = Contract(
    columns={
        "id": Column(dtype="int32"),
        "x": Column(dtype="float64", nullable=True, checks={"greater_than": 0}),
        "c": Column(dtype="category", categories=("a", "b")),
    }
)


@pytest.fixture
def engine(tmp_path) -> LocalEngine:
    """An empty lake."""
    return LocalEngine(tmp_path / "lake")


def publish(engine, data=FRAME, *, contract=CONTRACT, key=("id",), source=None):
    """A snapshot of some rows."""
    rows = read_dataframe(data)
    return publish_rows(engine, rows, contract, prefix="delays__snapshot", key=key, source=source)


def test_a_snapshot_is_named_by_its_content(engine) -> None:
    """Table and fingerprint name the same content, which reads back in the contract's types and order."""
    snapshot = publish(engine, source=Source(table="features.flights"))
    assert snapshot.fingerprint == fingerprint(FRAME)
    assert snapshot.table == TableName(TRAINING, f"delays__snapshot__{snapshot.fingerprint[3:]}")
    assert (snapshot.rows, snapshot.reused) == (3, False)
    table = snapshot.to_arrow()
    assert table.schema.field("id").type == pa.int32()
    assert table.equals(ordered(table))
    assert table.equals(read_rows(engine, snapshot.table, CONTRACT))
    assert snapshot.to_pandas().sort_values("id")["c"].tolist() == ["b", "a", "a"]


def test_the_same_rows_are_stored_once(engine) -> None:
    """Another library, order or width of types gives the same table, and nothing is written."""
    first = publish(engine)
    other = publish(engine, pl.from_pandas(FRAME.sample(frac=1, random_state=0)).select("c", "x", "id"))
    assert (first.reused, other.reused) == (False, True)
    assert first.table == other.table
    assert engine.describe(first.table).version == engine.describe(other.table).version
    assert len(engine.tables(TRAINING)) == 1


def test_another_value_is_another_snapshot(engine) -> None:
    """Both stand beside each other."""
    first, second = publish(engine), publish(engine, FRAME.assign(x=[0.5, None, 1.25]))
    assert first.table != second.table
    assert len(engine.tables(TRAINING)) == 2


def test_rows_that_break_the_contract_are_not_stored(engine) -> None:
    """The error names column, check, count and keys; the store stays empty."""
    with pytest.raises(ContractError) as caught:
        publish(engine, FRAME.assign(x=[0.5, -1.0, -2.0]))
    assert caught.value.code == "DAT060"
    assert "x: greater_than fails in 2 rows (keys 1, 2)" in str(caught.value)
    with pytest.raises(ContractError, match="DAT049"):
        publish(engine, FRAME.assign(id=[1, 1, 2]))
    assert engine.tables(TRAINING) == []


def test_no_rows_are_no_snapshot(engine) -> None:
    """An empty result is a mistake upstream, and the source is named."""
    with pytest.raises(DataError) as caught:
        publish(engine, pa.Table.from_pandas(FRAME).slice(0, 0), source=Source(table="features.flights"))
    assert (caught.value.code, caught.value.path) == ("DAT002", "features.flights")


def test_the_contract_stands_with_the_table(engine) -> None:
    """Whoever reads the table later finds what its rows keep."""
    assert contract_of(engine, publish(engine).table) == CONTRACT
    assert contract_of(engine, TableName(TRAINING, "none")) is None


def test_its_text_says_what_comes_next(engine) -> None:
    """Content, table, whether it is new, where the rows came from; the same as plain values."""
    source = Source(table="features.flights", prepare="steps:prepare")
    first, again = publish(engine, source=source), publish(engine)
    assert "3 rows x 3 columns  (new)" in repr(first)
    assert "features.flights -> steps:prepare" in repr(first)
    assert "already known, nothing written" in repr(again)
    assert "none to freeze" in repr(again)
    assert first.to_dict() == {
        "fingerprint": first.fingerprint,
        "rows": 3,
        "columns": ["id", "x", "c"],
        "table": str(first.table),
        "reused": False,
        "source": "features.flights -> steps:prepare",
    }
    assert first._repr_html_().startswith("<pre>Snapshot d1:")
