"""Every rule of the digest holds where the rows are in Spark: on Sail and on a JVM."""

from __future__ import annotations

import contextlib
import datetime as dt
import io
import json
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest

from mlkit.digest import sql
from mlkit.digest.fingerprint import Accumulator, fingerprint, lanes, split_codes
from mlkit.digest.spark_frame import fields_of, is_spark, state_of
from mlkit.errors import DataError, DataOverflowError, StoreError, UnsupportedTypeError

if TYPE_CHECKING:
    from mlkit.digest.state import State

pytestmark = pytest.mark.newest_only

VECTORS = json.loads((Path(__file__).parent / "golden" / "digest-vectors.json").read_text("utf-8"))
SPELLED = {cell["name"]: cell for cell in VECTORS["cells"] if cell["spark"]}
DURATIONS = {name: cell for name, cell in SPELLED.items() if "duration" in cell["arrow"]}
CELLS = {name: cell for name, cell in SPELLED.items() if name not in DURATIONS}


def spark_lanes(frame) -> list[list[int]]:
    """Both lanes of each row, computed in Spark."""
    fields = fields_of(frame)
    both = [f"{sql.lane(index, fields)} AS lane{index}" for index in (0, 1)]
    return [list(row) for row in frame.selectExpr(*both).collect()]


def state(table: pa.Table) -> State:
    """The state of a table that is here."""
    accumulator = Accumulator(table.schema)
    for batch in table.to_batches():
        accumulator.update(batch)
    return accumulator.state


def cells_as_frame(spark, cells):
    """One column for each value, in one row; nothing of it can be folded away before Spark runs."""
    columns = [f"CASE WHEN id = 0 THEN {cell['spark']} END AS `{name}`" for name, cell in cells.items()]
    return spark.sql(f"SELECT {', '.join(columns)} FROM range(1)")


def wrong_cells(spark, cells) -> list[str]:
    """Names of the cells whose lanes differ from the specification."""
    frame = cells_as_frame(spark, cells)
    fields = fields_of(frame)
    both = [f"array({sql.lane(0, [field])}, {sql.lane(1, [field])})" for field in fields]
    found = dict(zip(cells, frame.selectExpr(*both).collect()[0], strict=True))
    return [name for name, cell in cells.items() if [str(lane) for lane in found[name]] != cell["lanes"]]


def test_cells(spark) -> None:
    """Each value that Spark can spell has the lanes of the specification."""
    assert len(CELLS) > 60
    assert not wrong_cells(spark, CELLS)


def test_durations(spark, request) -> None:
    """Durations too, where the server hashes them; no store holds them, so nothing rests on it."""
    assert DURATIONS
    if request.node.callspec.params["spark"] == "sail":
        with pytest.raises(StoreError, match="STO050"):
            fingerprint(cells_as_frame(spark, DURATIONS))
    else:
        assert not wrong_cells(spark, DURATIONS)


def test_table(spark) -> None:
    """Lanes, state, fingerprint and split of a table of several columns, as specified."""
    expected = VECTORS["table"]
    frame = spark.sql(expected["spark"])
    assert sorted([str(lane) for lane in row] for row in spark_lanes(frame)) == sorted(expected["lanes"])
    assert [str(number) for number in (state_of(frame).rows, *state_of(frame).sums)] == expected["state"]
    assert fingerprint(frame) == expected["fingerprint"]


def everything(rows: int = 500) -> pa.Table:
    """A table with a column of every type that a store holds, nulls in each."""
    generator = np.random.default_rng(3)
    whole = generator.integers(-(2**63), 2**63 - 1, rows)
    mask = generator.random(rows) < 0.1
    floats = generator.normal(size=rows)
    floats[:4] = [np.nan, -0.0, np.inf, -np.inf]
    micros = generator.integers(-(2**52), 2**52, rows)
    texts = [f"{'é✈' * int(n % 40)}{n}" for n in range(rows)]
    cents = [Decimal(int(n) >> 20) / 100 for n in whole]
    columns = {
        "long": pa.array(whole, mask=mask),
        "int": pa.array((whole >> 33).astype(np.int32), mask=mask),
        "tiny": pa.array((whole >> 57).astype(np.int8), mask=mask),
        "double": pa.array(floats, mask=mask),
        "single": pa.array(floats.astype(np.float32), mask=mask),
        "flag": pa.array(whole > 0, mask=mask),
        "text": pa.array(texts, mask=mask),
        "bytes": pa.array([text.encode() for text in texts], mask=mask),
        "day": pa.array((whole >> 50).astype(np.int32), mask=mask).cast(pa.date32()),
        "naive": pa.array(micros, mask=mask).cast(pa.timestamp("us")),
        "instant": pa.array(micros, mask=mask).cast(pa.timestamp("us", "UTC")),
        "price": pa.array(cents, pa.decimal128(18, 2), mask=mask),
        "wide": pa.array(cents, pa.decimal128(38, 10), mask=mask),
        "list": pa.array([[n, None] * (n % 3) for n in range(rows)], pa.list_(pa.int64()), mask=mask),
        "o`dd.é": pa.array([{"b": n, "a": str(n)} for n in range(rows)], mask=mask),
    }
    return pa.table(columns)


def test_a_table_of_every_type(spark) -> None:
    """What is uploaded, stored as Parquet types and digested there is what is digested here."""
    table = everything()
    frame = spark.createDataFrame(table)
    assert is_spark(frame)
    assert state_of(frame) == state(table)
    assert fingerprint(frame) == fingerprint(table)
    assert fingerprint(frame, columns=["text", "long"]) == fingerprint(table, columns=["long", "text"])


def test_states_of_parts_add_up(spark) -> None:
    """Train and test are checked against the whole without reading it again."""
    frame = spark.range(1000).selectExpr("id", "id / 7 AS x", "string(id % 9) AS s")
    code = sql.split_code(sql.lane(0, fields_of(frame, ["id"])), 7)
    test, train = (frame.where(f"{code} {side} {2**30}") for side in ("<", ">="))
    assert 0 < state_of(test).rows < 1000
    assert state_of(test) + state_of(train) == state_of(frame)


@pytest.mark.parametrize("seed", [0, 7, -1, 2**63 - 1, -(2**63)])
def test_split_codes(spark, seed: int) -> None:
    """The code of a key is the same in Spark and here, for the least and the greatest seed too."""
    frame = spark.range(50).selectExpr("id", "string(id) AS s")
    code = sql.split_code(sql.lane(0, fields_of(frame, ["s"])), seed)
    here = pa.table({"s": [str(n) for n in range(50)]})
    found = dict(map(tuple, frame.selectExpr("id", code).collect()))
    assert [found[n] for n in range(50)] == split_codes(lanes(here)[0], seed).tolist()


def test_no_rows(spark) -> None:
    """No rows are a dataset too."""
    assert fingerprint(spark.range(0).selectExpr("id AS a")) == VECTORS["empty"]["fingerprint"]


def test_plan_is_one_aggregation(spark) -> None:
    """No function of ours runs on executors, and rows are shuffled only as partial sums."""
    nested = "struct(array(string(id)) AS list, CAST(id AS DECIMAL(20, 2)) AS money) AS n"
    frame = spark.range(100).selectExpr("id", "string(id) AS s", nested)
    fields = fields_of(frame)
    both = [f"{sql.lane(index, fields)} AS l{index}" for index in (0, 1)]
    query = frame.selectExpr(*both).selectExpr(*sql.state(["l0", "l1"]))
    with contextlib.redirect_stdout(io.StringIO()) as shown:
        query.explain()
    plan = shown.getvalue().lower()
    assert "udf" not in plan
    assert "python" not in plan
    assert plan.count("exchange") <= 2  # Sail names the coalescing of partial sums, the JVM one exchange


@pytest.mark.parametrize(
    ("column", "kind", "code"),
    [
        ("map('a', 1)", UnsupportedTypeError, "DAT021"),
        ("CAST(1 AS DECIMAL(38, 20))", UnsupportedTypeError, "DAT021"),
        ("CAST(1000000000000000000 AS DECIMAL(38, 0))", DataOverflowError, "DAT028"),
    ],
)
def test_what_has_no_digest(spark, column: str, kind: type[Exception], code: str) -> None:
    """Types and values without a digest are refused with the column or the reason."""
    frame = spark.sql(f"SELECT CASE WHEN id = 0 THEN {column} END AS x FROM range(1)")
    with pytest.raises(kind) as caught:
        fingerprint(frame)
    assert caught.value.code == code


def test_columns_that_are_not_there(spark) -> None:
    """A wanted column must be there once."""
    with pytest.raises(DataError, match="DAT045"):
        fingerprint(spark.range(1), columns=["nothing"])


def test_what_spark_cannot_do(spark) -> None:
    """An error of Spark is an error of this project, without a value of the data."""
    with pytest.raises(StoreError) as caught:
        fingerprint(spark.sql("SELECT CAST(concat('sec', 'ret', id) AS INT) AS x FROM range(1)"))
    assert caught.value.code == "STO050"
    assert "secret" not in str(caught.value)


def test_instants_do_not_depend_on_the_session(spark) -> None:
    """The zone of the session changes no digest."""
    noon = pa.table(
        {"at": pa.array([dt.datetime(2024, 2, 29, 12, tzinfo=dt.UTC)], pa.timestamp("us", "UTC"))}
    )
    frame = spark.createDataFrame(noon)
    before = spark.conf.get("spark.sql.session.timeZone")
    try:
        spark.conf.set("spark.sql.session.timeZone", "Asia/Tokyo")
        assert fingerprint(frame) == fingerprint(noon)
    finally:
        spark.conf.set("spark.sql.session.timeZone", before)
