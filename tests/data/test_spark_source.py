"""Sources, snapshots and feature tables on a target with Spark: the rows of the local target, which stay."""

from __future__ import annotations

import importlib
import re
import sys
import uuid

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from mlkit.data.contract import Column, Contract
from mlkit.data.features import publish_features
from mlkit.data.snapshot import publish_rows, scan_rows
from mlkit.data.source import (
    Source,
    open_rows,
    open_source,
    ordered,
    read_checked,
    read_dataframe,
    read_source,
)
from mlkit.data.split import Split
from mlkit.digest.fingerprint import fingerprint
from mlkit.digest.spark_frame import is_spark
from mlkit.engines.base import FEATURES, SCHEMAS, TRAINING, TableName
from mlkit.engines.local import LocalEngine
from mlkit.engines.sizes import size_of
from mlkit.errors import ConfigError, ContractError, DataError, MlkitError, StudyError
from mlkit.research.exploration import Problem, take_snapshot
from tests.data.frames import as_frame

pytestmark = pytest.mark.newest_only
pytest.importorskip("narwhals")

USER_CODE = """
import narwhals as nw


def in_pandas(frame):
    frame = frame[frame["delay"].notna()]
    return frame.assign(late=frame["delay"] > 15, total=frame["hour"].cumsum())


def in_spark(frame):
    return frame.where("delay IS NOT NULL").selectExpr("*", "delay > 15 AS late")


@nw.narwhalify
def once_for_both(frame):
    return frame.filter(~nw.col("delay").is_null()).with_columns(late=nw.col("delay") > 15)


def to_arrow(frame):
    return frame.toArrow()


def failing(frame):
    return frame.selectExpr("no_such_column")


def forgetful(frame):
    frame.selectExpr("delay")
"""
ROWS = pa.table(
    {
        "id": range(200),
        "hour": np.arange(200, dtype=np.int32) % 24,
        "carrier": ["AA", "B6", None, "UA"] * 50,
        "delay": pa.array([None if n % 10 == 0 else n / 4 - 10 for n in range(200)]),
        "at": pa.array(np.arange(200) * 10**9, pa.timestamp("us", "UTC")),
    }
)
TABLE = TableName(FEATURES, "flights")
PROBLEM = {
    "metric": "rmse",
    "direction": None,
    "key": ("id",),
    "split": Split(),
    "task": None,
    "features": None,
}


@pytest.fixture(autouse=True)
def steps(tmp_path, monkeypatch) -> None:
    """A module `spark_steps` of the user's own."""
    (tmp_path / "spark_steps.py").write_text(USER_CODE)
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    yield
    sys.modules.pop("spark_steps", None)


@pytest.fixture
def make(spark):
    """Makes engines over the same tables, which are empty at first."""
    from mlkit.engines.spark.engine import SparkEngine  # noqa: PLC0415 - it needs pyspark

    mark = uuid.uuid4().hex[:12]
    schemas = {name: f"{name}_{mark}" for name in SCHEMAS}
    return lambda most=10**9: SparkEngine(lambda: spark, catalog=None, schemas=schemas, fetch_bytes=most)


@pytest.fixture
def engine(make):
    """An engine whose store holds flights."""
    made = make()
    made.create(TABLE, ROWS.to_reader())
    return made


@pytest.fixture
def local(tmp_path) -> LocalEngine:
    """A lake that holds the same flights."""
    made = LocalEngine(tmp_path / "lake")
    made.create(TABLE, ROWS.to_reader())
    return made


@pytest.mark.parametrize(("name", "frame"), [("in_pandas", "pandas"), ("once_for_both", "any")])
def test_prepared_rows_are_those_of_the_local_target(engine, local, name, frame) -> None:
    """By pandas or by a function written once: the same rows in the same order, whatever the target."""
    source = Source(table="features.flights", prepare=f"spark_steps:{name}", frame=frame)
    here, there = read_source(source, local), read_source(source, engine)
    assert there.version == engine.describe(TABLE).version
    assert here.rows.num_rows == 180
    assert ordered(there.rows).equals(ordered(here.rows))


def test_what_is_prepared_in_spark_stays_there(engine) -> None:
    """Until it is asked for; whichever function made it, its fingerprint is one."""
    found = set()
    for name, frame in (("in_spark", "spark"), ("once_for_both", "any"), ("once_for_both", "spark")):
        source = Source(table="features.flights", prepare=f"spark_steps:{name}", frame=frame)
        opened = open_source(source, engine)
        assert is_spark(opened.rows)
        found |= {fingerprint(opened.rows), fingerprint(read_source(source, engine).rows)}
    assert len(found) == 1


def test_without_spark_a_function_of_spark_is_refused(local) -> None:
    """With the way to write it for both."""
    source = Source(table="features.flights", prepare="spark_steps:in_spark", frame="spark")
    with pytest.raises(ConfigError, match="CFG029") as caught:
        read_source(source, local)
    assert "frame: any" in caught.value.fix


@pytest.mark.parametrize(
    ("name", "kind", "code"),
    [("failing", MlkitError, ("RUN010", "STO050")), ("forgetful", DataError, ("DAT021",))],
)
def test_a_mistake_in_a_function_of_spark_is_said_in_our_words(engine, name, kind, code) -> None:
    """Also where Spark finds it late."""
    with pytest.raises(kind) as caught:
        read_source(Source(table="features.flights", prepare=f"spark_steps:{name}", frame="spark"), engine)
    assert caught.value.code in code
    assert isinstance(caught.value, StudyError) or caught.value.code != "RUN010"


def test_a_function_of_spark_may_bring_the_rows_here(engine) -> None:
    """What is here already is taken as it is."""
    opened = open_source(
        Source(table="features.flights", prepare="spark_steps:to_arrow", frame="spark"), engine
    )
    assert isinstance(opened.rows, pa.Table)
    assert fingerprint(opened.rows) == fingerprint(ROWS)


@pytest.mark.parametrize(
    ("name", "frame"), [("in_pandas", "pandas"), ("in_spark", "spark"), (None, "pandas")]
)
def test_more_rows_than_may_come_are_refused_with_sizes(make, engine, name, frame) -> None:
    """Before any row is sent: those of the table for pandas, those that are prepared for Spark."""
    assert engine.fetch_bytes == 10**9
    prepare = name and f"spark_steps:{name}"
    with pytest.raises(DataError, match="DAT070") as caught:
        read_source(Source(table="features.flights", prepare=prepare, frame=frame), make(most=100))
    assert f"{180 if frame == 'spark' else 200} rows" in caught.value.message


CONTRACT = Contract(
    columns={
        "id": Column(dtype="int64"),
        "hour": Column(dtype="int64", checks={"less_than": 24}),
        "carrier": Column(dtype="category", categories=("AA", "B6", "UA"), nullable=True),
        "delay": Column(dtype="float64", checks={"greater_than": -10}),
        "at": Column(dtype="timestamp_utc"),
        "late": Column(dtype="bool"),
    }
)


def test_rows_are_checked_where_they_are(engine, local) -> None:
    """Same verdict, same types: one model on both targets."""
    source = Source(table="features.flights", prepare="spark_steps:once_for_both", frame="any")
    there, here = (read_checked(source, one, CONTRACT, key=["id"]).rows for one in (engine, local))
    assert there.schema == here.schema == CONTRACT.arrow_schema()
    assert ordered(there).equals(ordered(here))
    strict = CONTRACT.replace(
        columns={**CONTRACT.columns, "hour": Column(dtype="int64", checks={"less_than": 20})}
    )
    errors = []
    for one in (engine, local):
        with pytest.raises(ContractError) as caught:
            read_checked(source, one, strict, key=["id"])
        # Which keys come first is a matter of order, and rows in Spark have none but that of the keys.
        errors.append(re.sub(r"keys [\d, ]+", "", str(caught.value)))
    assert errors[0] == errors[1]
    assert "hour: less_than fails in 28 rows" in errors[0]


def test_a_source_that_says_nothing_of_frames_stays_as_it_was() -> None:
    """A config written before keeps its bytes, and so its digest."""
    source = Source(table="features.flights", prepare="steps:prepare")
    assert source.dump() == {"table": "features.flights", "prepare": "steps:prepare"}
    assert Source.from_values(source.dump()) == source
    assert source.replace(frame="any").dump()["frame"] == "any"
    with pytest.raises(ConfigError, match="frame"):
        Source(table="features.flights", frame="polars")


def test_a_snapshot_of_a_frame_is_that_of_its_rows(engine, local, spark) -> None:
    """It is checked, digested and stored in Spark, and stands under the name it has anywhere."""
    problem = Problem(name="delays", target="delay", **PROBLEM)
    frame = as_frame(spark, ROWS)
    there = take_snapshot(problem, frame, prepare=None, contract=None, engine=engine)
    here = take_snapshot(problem, ROWS, prepare=None, contract=None, engine=local)
    assert (there.fingerprint, there.table, there.rows) == (here.fingerprint, here.table, here.rows)
    assert there.contract == here.contract
    assert there.to_arrow().equals(here.to_arrow())
    assert fingerprint(scan_rows(engine, there.table, there.contract)) == here.fingerprint
    assert take_snapshot(problem, frame, prepare=None, contract=here.contract, engine=engine).reused
    brought = take_snapshot(problem, frame, prepare=None, contract=None, engine=local)
    assert brought.reused
    assert brought.to_arrow().equals(here.to_arrow())


def test_a_snapshot_of_rows_prepared_in_spark(engine, make, local) -> None:
    """By name or by the function itself; more than may come here is no matter, since nothing comes."""
    problem = Problem(name="delays", target="delay", **PROBLEM)
    function = importlib.import_module("spark_steps").in_spark
    options = {"contract": None, "frame": "spark"}
    named = take_snapshot(problem, "flights", prepare="spark_steps:in_spark", engine=make(most=1), **options)
    again = take_snapshot(problem, "features.flights", prepare=function, engine=engine, **options)
    unnamed = take_snapshot(
        problem,
        "flights",
        prepare=lambda frame: function(frame.where("TRUE")),
        engine=make(most=1),
        **options,
    )
    assert named.source == Source(table="features.flights", prepare="spark_steps:in_spark", frame="spark")
    assert (again.source, again.reused) == (named.source, True)
    assert (unnamed.fingerprint, unnamed.source) == (named.fingerprint, None)
    local_one = take_snapshot(
        problem, "flights", prepare="spark_steps:once_for_both", engine=local, contract=None, frame="any"
    )
    assert local_one.fingerprint == named.fingerprint


def test_rows_that_break_the_contract_are_not_stored(engine, spark) -> None:
    """The error is that of rows that are here; the store stays as it was."""
    frame = as_frame(spark, ROWS)
    contract = Contract.infer(ROWS)
    broken = contract.replace(columns={**contract.columns, "delay": Column(dtype="float64")})
    with pytest.raises(ContractError, match=r"not_nullable fails in 20 rows \(keys 0, 10, 20\)"):
        publish_rows(engine, frame, broken, prefix="delays__snapshot", key=["id"])
    assert engine.tables(TRAINING) == []


def test_a_stored_table_is_gone_through_where_it_is(engine, local) -> None:
    """As often as needed: a Spark dataframe there, a stream here."""
    for one, kind in ((engine, True), (local, False)):
        with open_rows(Source(table="features.flights"), one) as read:
            assert is_spark(read()) == kind
            assert fingerprint(read()) == fingerprint(read()) == fingerprint(ROWS)


def test_features_are_published_from_a_frame(make, spark, tmp_path) -> None:
    """Created, merged by key, and left alone if nothing is new, without a row of the batch coming here."""
    table, local = TableName(FEATURES, "trips"), LocalEngine(tmp_path / "other")
    changed = ROWS.slice(0, 5).set_column(1, "hour", pa.array([30] * 5, pa.int32()))
    for batch, is_new in ((ROWS, True), (changed, True), (changed, False)):
        options = {"contract": None, "key": ("id",)}
        here = publish_features(local, table, batch, **options)
        there = publish_features(make(most=1), table, as_frame(spark, batch), **options)
        # Each store counts its versions in a way of its own.
        assert there.to_dict() == {**here.to_dict(), "version": there.version}
        assert there.changed == is_new
    twice = as_frame(spark, pa.concat_tables([ROWS.slice(0, 1)] * 2))
    with pytest.raises(ContractError, match="DAT049"):
        publish_features(make(), table, twice, contract=None, key=("id",))
    with pytest.raises(DataError, match="DAT002"):
        publish_features(make(), table, as_frame(spark, ROWS).where("id < 0"), contract=None, key=("id",))
    arrow = publish_features(make(), table, changed.slice(0, 1), contract=None, key=("id",))
    assert not arrow.changed


def test_sizes_are_close_to_what_comes(spark) -> None:
    """Bytes of every type, texts and lists by what they hold."""
    table = ROWS.append_column("tags", pa.array([["x" * (n % 7)] * (n % 5) for n in range(200)]))
    frame = as_frame(spark, table)
    size = size_of(frame)
    assert size.rows == 200
    assert size.bytes == pytest.approx(read_dataframe(frame).nbytes, rel=0.1)
    assert size_of(frame.where("id < 0")) == (0, 0)


def test_pandas_frames_are_read_as_before(local) -> None:
    """A target without Spark holds everything here."""
    assert local.fetch_bytes is None
    assert read_dataframe(pd.DataFrame({"x": [1.5]})).num_rows == 1
