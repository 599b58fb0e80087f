from __future__ import annotations

import concurrent.futures
import functools
import os
import signal
import subprocess
import sys
import threading
import uuid
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest

from mlkit.digest.fingerprint import fingerprint
from mlkit.engines.base import FEATURES, SCHEMAS, TRAINING, TableName
from mlkit.engines.local import LocalEngine
from mlkit.errors import (
    DataError,
    IntegrityError,
    MlkitError,
    NamingError,
    OutcomeUnknownError,
    RaceLostError,
    StoreError,
)
from mlkit.failpoints import VARIABLE, InjectedFaultError
from tests.conftest import not_on_classic, on_each_spark, on_one_spark
from tests.engines.contract import FLIGHTS, KEPT, SCHEMA, CallContract, StoreContract, content, flights
from tests.engines.log_contract import LOG, answers, at, numbers

pytest.importorskip("pyspark")
pytestmark = pytest.mark.newest_only

from mlkit.engines.spark import engine as engine_module  # noqa: E402 - it needs pyspark
from mlkit.engines.spark import transport, versions  # noqa: E402 - as above
from mlkit.engines.spark.catalog import Catalog  # noqa: E402 - as above
from mlkit.engines.spark.engine import SparkEngine  # noqa: E402 - as above
from mlkit.engines.spark.record import PROPERTY  # noqa: E402 - as above

REPOSITORY = Path(__file__).parents[2]
RACERS = 3
WIDE = pa.table(
    {
        "id": range(500),
        "text": [f"{i}" * (i % 9) for i in range(500)],
        "list": [[1.0] * (i % 4) for i in range(500)],
        "nested": [{"a": ["x" * 20] * (i % 3), "b": i} for i in range(500)],
        "money": pa.array([Decimal(i) for i in range(500)], pa.decimal128(20, 2)),
    }
)


@pytest.fixture
def schemas() -> dict[str, str]:
    """Schemas of one's own: sessions and servers are shared by all tests."""
    mark = uuid.uuid4().hex[:12]
    return {name: f"{name}_{mark}" for name in SCHEMAS}


@pytest.fixture
def make(spark, schemas):
    """Makes engines over the same schemas."""

    def make(session=spark, fetch_bytes=10**9):
        return SparkEngine(lambda: session, catalog=None, schemas=schemas, fetch_bytes=fetch_bytes)

    return make


@pytest.fixture
def engine(make):
    """An engine over an empty store."""
    return make()


@pytest.fixture
def names(spark, schemas):
    """Names of all tables that the catalog has in a schema."""

    def names(schema):
        return sorted(row["tableName"] for row in spark.sql(f"SHOW TABLES IN `{schemas[schema]}`").collect())

    return names


@pytest.fixture
def frame(spark):
    """Makes dataframes of Spark of Arrow tables."""
    return lambda rows: transport._uploaded(Catalog(spark, None, {}, None), rows)


@pytest.fixture
def foreign(spark, schemas, engine):
    """A table `features.flights` that another tool has made."""
    spark.sql(f"CREATE SCHEMA IF NOT EXISTS `{schemas[FEATURES]}`")
    select = "SELECT id, id / 7 AS delay, 'AA' AS carrier FROM range(3)"
    table_format = "delta" if is_sail(spark) else "parquet"
    spark.sql(f"CREATE TABLE `{schemas[FEATURES]}`.`flights` USING {table_format} AS {select}")
    return FLIGHTS


@functools.cache
def is_sail(session) -> bool:
    """Whether a session is one of Sail."""
    return session.sql("SELECT current_catalog()").collect()[0][0] == "sail"


class TestContract(StoreContract):
    """Every promise that a store may break, kept in a catalog of Spark."""


@on_one_spark
class TestCalls(CallContract):
    """What the engine itself sees to."""


class TestFrames:
    """Rows that are in Spark already."""

    def test_frame_is_published_without_moving(self, make, frame):
        """An engine that may fetch nothing publishes, verifies and reuses; the name is that of the rows."""
        still = make(fetch_bytes=0)
        rows = frame(flights(0, 100))
        published = still.publish(TRAINING, "flights", rows, properties={"key": "id"})
        assert published.fingerprint == fingerprint(flights(0, 100))
        assert (published.rows, published.created) == (100, True)
        assert not still.publish(TRAINING, "flights", rows).created
        assert not make().publish(TRAINING, "flights", flights(0, 100).to_reader()).created
        with pytest.raises(DataError, match="DAT070"):
            still.read(published.name)
        assert content(make(), published.name) == flights(0, 100)

    def test_plan_that_gives_other_rows_each_time(self, engine, spark):
        """What has the name is what is stored, not what the plan would give again."""
        rows = spark.range(50).selectExpr("id", "uuid() AS word")
        for name in {engine.publish(TRAINING, "random", rows).name for _ in range(2)}:
            assert fingerprint(engine.read(name))[3:] == name.name[-32:]

    def test_scan_stays_in_spark(self, engine, frame):
        """A scan is a frame of the wanted columns of the wanted version."""
        engine.create(FLIGHTS, frame(flights(0)))
        engine.append(FLIGHTS, frame(flights(3)), expected_version=0)
        old = engine.scan(FLIGHTS, version=0, columns=["carrier", "id"])
        assert old.columns == ["carrier", "id"]
        assert fingerprint(old) == fingerprint(flights(0).select(["id", "carrier"]))
        assert fingerprint(engine.scan(FLIGHTS)) == fingerprint(flights(0, 6))
        with pytest.raises(StoreError, match="STO010"):
            engine.scan(TableName(FEATURES, "flihgts"))
        with pytest.raises(DataError, match="DAT045"):
            engine.scan(FLIGHTS, columns=["dela"])

    def test_frames_grow_a_table(self, make, frame):
        """Appends and merges of frames move no rows either, and find the columns by name."""
        still = make(fetch_bytes=0)
        still.create(FLIGHTS, flights(0).to_reader())
        turned = frame(flights(3)).select("carrier", "id", "delay")
        version = still.append(FLIGHTS, turned, expected_version=0)
        still.merge(FLIGHTS, frame(flights(5, 2, delay=9.0)), key=["id"], expected_version=version)
        expected = pa.concat_tables([flights(0, 5), flights(5, 2, delay=9.0)])
        assert content(make()) == expected.cast(SCHEMA)

    def test_frame_is_held_to_the_promises_of_its_table(self, engine, spark, names):
        """Spark does not keep them; they are counted in what was staged, and nothing is left of it."""
        engine.create(FLIGHTS, flights(0).to_reader(), constraints={"late": "delay >= 0"})
        for expressions, code in (
            (("CAST(NULL AS BIGINT) AS id", "0D AS delay", "'x' AS carrier"), "DAT061"),
            (("1L AS id", "-1D AS delay", "'x' AS carrier"), "DAT061"),
            (("1L AS id", "CAST(NULL AS DOUBLE) AS delay", "'x' AS carrier"), "DAT061"),
            (("1L AS id", "1L AS delay", "'x' AS carrier"), "DAT046"),
            (("1L AS id", "1D AS delay"), "DAT046"),
        ):
            bad, key = spark.range(1).selectExpr(*expressions), [expressions[-1].split()[-1]]
            with pytest.raises(DataError, match=code):
                engine.append(FLIGHTS, bad, expected_version=0)
            with pytest.raises(DataError, match=code):
                engine.merge(FLIGHTS, bad, key=key, expected_version=0)
        assert names(FEATURES) == ["flights__v00000000"]

    def test_type_that_would_change_is_refused(self, engine, spark):
        """Types that no table of this project holds are refused by name, as from anywhere else."""
        for value, code in (("map('a', 1)", "DAT055"), ("NULL", "DAT034"), ("INTERVAL '1' DAY", "DAT024")):
            with pytest.raises(DataError, match=code) as caught:
                engine.publish(TRAINING, "types", spark.range(1).selectExpr(f"{value} AS x"))
            assert caught.value.path == "x"

    def test_fault_of_the_plan_tells_no_value(self, engine, spark):
        """What Spark says shows values; the error of this project does not."""
        rows = spark.range(3).selectExpr("CAST(concat('secret', id) AS INT) AS x")
        with pytest.raises(StoreError) as caught:
            engine.publish(TRAINING, "types", rows)
        assert caught.value.code == "STO050"
        assert "secret" not in str(caught.value)
        assert "secret" in str(caught.value.__cause__)


class TestBothEngines:
    """Written with one engine, read and verified with the other."""

    def test_local_table_in_spark(self, tmp_path, spark):
        """Every type of a local table has the same fingerprint when Spark reads the files."""
        rows = pa.table(
            {f"c{i}": pa.array([*values, None], kind) for i, (kind, values) in enumerate(KEPT.values())}
        )
        published = LocalEngine(tmp_path).publish(TRAINING, "types", rows.to_reader())
        files = sorted(map(str, (tmp_path / TRAINING / published.name.name).glob("*.parquet")))
        assert fingerprint(spark.read.parquet(*files)) == published.fingerprint

    def test_spark_table_in_the_local_store(self, engine, tmp_path):
        """And the other way: what Spark stored is published locally under the same name."""
        rows = pa.table(
            {f"c{i}": pa.array([*values, None], kind) for i, (kind, values) in enumerate(KEPT.values())}
        )
        there = engine.publish(TRAINING, "types", rows.to_reader())
        here = LocalEngine(tmp_path).publish(TRAINING, "types", engine.read(there.name))
        assert (here.name, here.rows) == (there.name, there.rows)

    def test_nothing_may_be_missing_in_nested_values_either(self, engine):
        """Spark forgets that; the schema comes back as it was."""
        kind = pa.list_(
            pa.field("element", pa.struct([pa.field("a", pa.int16(), nullable=False)]), nullable=False)
        )
        rows = pa.table({"id": [1, 2], "x": pa.array([[{"a": 1}], None], kind)})
        name = engine.publish(TRAINING, "nested", rows.to_reader()).name
        assert content(engine, name) == rows
        assert content(engine, name).schema == engine.describe(name).schema == rows.schema


class TestTransport:
    """Rows between this process and Spark."""

    def test_rows_are_sent_in_pieces(self, engine, monkeypatch):
        """A stream of many pieces arrives whole, once."""
        monkeypatch.setattr(transport, "PIECE_ROWS", 150)
        reader = flights(0, 1000).to_reader(max_chunksize=100)
        name = engine.publish(TRAINING, "flights", reader).name
        assert content(engine, name) == flights(0, 1000)
        engine.create(FLIGHTS, flights(0).to_reader())
        engine.append(FLIGHTS, flights(3, 500).to_reader(max_chunksize=100), expected_version=0)
        assert content(engine) == flights(0, 503)

    def test_too_many_rows_are_refused_with_sizes(self, make):
        """The limit is on bytes of the wanted columns, and is close to what Arrow takes."""
        name = make().publish(TRAINING, "wide", WIDE.to_reader()).name
        size = WIDE.nbytes
        with pytest.raises(DataError, match="DAT070") as caught:
            make(fetch_bytes=int(size * 0.8)).read(name)
        assert "500 rows" in caught.value.message
        assert f"{size * 0.8 / 1e9:.3g} GB" in caught.value.message
        assert make(fetch_bytes=int(size * 1.3)).read(name).read_all().num_rows == 500
        assert make(fetch_bytes=500 * 8).read(name, columns=["id"]).read_all().num_rows == 500


@not_on_classic
class TestRaces:
    """Several writers at once, each by an engine of its own."""

    @pytest.fixture
    def rounds(self, spark):
        """How often it is tried: a lot where it is quick."""
        return 10 if is_sail(spark) else 2

    @pytest.fixture
    def race(self, make):
        """Runs a task on several engines at the same moment; the outcomes, or codes of errors."""
        start = threading.Barrier(RACERS)

        def attempt(task):
            start.wait(60)
            try:
                return task(make())
            except MlkitError as exc:
                return exc.code

        with concurrent.futures.ThreadPoolExecutor(RACERS) as pool:
            yield lambda task: list(pool.map(attempt, [task] * RACERS))

    def test_one_of_several_publishers_creates(self, engine, race, rounds, names):
        """One creates, the others verify; each row is there once, and nothing else is left."""
        for number in range(rounds):
            rows = flights(1000 * number, 1000)
            outcomes = race(lambda own, rows=rows: own.publish(TRAINING, "flights", rows.to_reader()))
            assert sorted(outcome.created for outcome in outcomes) == [False, False, True]
            (name,) = {outcome.name for outcome in outcomes}
            assert content(engine, name) == rows
        assert names(TRAINING) == [table.name for table in engine.tables(TRAINING)]
        assert len(names(TRAINING)) == rounds

    def test_one_of_several_creators_wins(self, engine, race, rounds):
        """One creates, and only its rows are there."""
        for number in range(rounds):
            table = TableName(FEATURES, f"flights{number}")
            outcomes = race(lambda own, table=table: own.create(table, flights(0, 10).to_reader()))
            assert sorted(outcomes) == [False, False, True]
            assert content(engine, table) == flights(0, 10)

    def test_one_writer_wins_each_version(self, engine, race, rounds, names):
        """A version has one writer, the others know that they lost."""
        engine.create(FLIGHTS, flights(0, 10).to_reader())
        for version in range(rounds):
            rows = flights(10 * (version + 1), 10)
            outcomes = race(
                lambda own, rows=rows, version=version: own.append(
                    FLIGHTS, rows.to_reader(), expected_version=version
                )
            )
            assert sorted(map(str, outcomes)) == sorted([str(version + 1), "STO021", "STO021"])
        assert content(engine) == flights(0, 10 * (rounds + 1))
        assert len(names(FEATURES)) == rounds + 1


class TestVersions:
    """Tables that grow, as tables of their own."""

    @on_one_spark
    def test_old_versions_are_dropped(self, engine, names, monkeypatch):
        """The newest stay readable; the table is listed once."""
        monkeypatch.setattr(versions, "KEPT", 3)
        engine.create(FLIGHTS, flights(0).to_reader())
        for version in range(4):
            engine.append(FLIGHTS, flights(3 * version + 3).to_reader(), expected_version=version)
        assert names(FEATURES) == [f"flights__v0000000{number}" for number in (2, 3, 4)]
        assert engine.tables(FEATURES) == [FLIGHTS]
        assert content(engine, version=2) == flights(0, 9)
        with pytest.raises(StoreError, match="STO011") as caught:
            engine.read(FLIGHTS, version=1)
        assert "from 2 to 4" in caught.value.message

    @on_each_spark("task", ["append", "create"], on_jvm=["append"])
    def test_writer_who_comes_very_late_loses(self, make, names, monkeypatch, task):
        """Even if the number it wants is free again because that version was dropped for its age."""
        monkeypatch.setattr(versions, "KEPT", 2)
        engine, other = make(), make()

        def meanwhile():
            if task == "create":
                other.create(FLIGHTS, flights(0).to_reader())
            for version in range(3):
                other.append(FLIGHTS, flights(3 * version + 3).to_reader(), expected_version=version)
            yield from flights(90).to_batches()

        late = pa.RecordBatchReader.from_batches(SCHEMA, meanwhile())
        if task == "create":
            assert not engine.create(FLIGHTS, late)
        else:
            engine.create(FLIGHTS, flights(0).to_reader())
            with pytest.raises(RaceLostError, match="STO021"):
                engine.append(FLIGHTS, late, expected_version=0)
        assert names(FEATURES) == ["flights__v00000002", "flights__v00000003"]
        assert content(engine) == flights(0, 12)

    @on_one_spark
    def test_name_leaves_room_for_the_version(self, engine):
        """A published table may have the longest name, a growing one not."""
        table = TableName(FEATURES, "f" * 245)
        with pytest.raises(NamingError, match="NAM010"):
            engine.create(table, flights(0).to_reader())


@not_on_classic
class TestForeign:
    """Tables that another tool has made."""

    def test_it_is_read(self, engine, foreign):
        """As any other: described, listed, read and scanned, in the types that Spark shows."""
        info = engine.describe(foreign)
        assert (info.version, info.rows, info.schema.names, info.properties) == (0, 3, SCHEMA.names, {})
        assert engine.tables(FEATURES) == [foreign]
        assert content(engine, columns=["id", "delay"]) == flights(0).select(["id", "delay"]).cast(
            pa.schema([field.remove_metadata() for field in info.schema][:2])
        )
        assert engine.scan(foreign, version=0).count() == 3
        with pytest.raises(StoreError, match="STO011"):
            engine.read(foreign, version=1)

    def test_it_is_never_written_to(self, engine, foreign, names):
        """It cannot be created again, and refuses rows with a reason."""
        rows = flights(5)
        assert not engine.create(foreign, rows.to_reader())
        with pytest.raises(StoreError, match="STO055"):
            engine.append(foreign, rows.to_reader(), expected_version=0)
        with pytest.raises(StoreError, match="STO055"):
            engine.merge(foreign, rows.to_reader(), key=["id"], expected_version=0)
        assert names(FEATURES) == ["flights"]

    def test_views_of_a_session_are_no_tables(self, engine, spark, foreign):
        """A temporary view is seen in every schema by those who list it."""
        spark.range(1).createOrReplaceTempView("flights_view")
        try:
            assert engine.tables(FEATURES) == [foreign]
        finally:
            spark.catalog.dropTempView("flights_view")


class TestDamage:
    """Faults and other hands between the steps."""

    @on_each_spark("point", ["publish.staged", "publish.verified"], on_jvm=["publish.verified"])
    def test_staging_is_dropped_on_failure(self, engine, names, monkeypatch, tmp_path, point):
        """An exception leaves no table behind."""
        monkeypatch.setenv("MLKIT_HOME", str(tmp_path))
        monkeypatch.setenv(VARIABLE, f"{point}:raise")
        with pytest.raises(InjectedFaultError):
            engine.publish(TRAINING, "flights", flights(0).to_reader())
        assert names(TRAINING) == []

    def test_other_rows_than_were_sent_are_not_published(
        self, engine, spark, schemas, names, monkeypatch, frame
    ):
        """What arrives differently never gets its name."""

        def tamper(point):
            if point == "publish.staged":
                (staged,) = names(TRAINING)
                frame(flights(1)).write.insertInto(f"`{schemas[TRAINING]}`.`{staged}`")

        monkeypatch.setattr(engine_module, "failpoint", tamper)
        with pytest.raises(IntegrityError, match="INT010"):
            engine.publish(TRAINING, "flights", flights(0).to_reader())
        assert names(TRAINING) == []

    def test_name_that_holds_other_rows_is_left(self, engine, spark, schemas, frame):
        """A published table that was changed behind our back is found, and stays as evidence."""
        name = engine.publish(TRAINING, "flights", flights(0).to_reader()).name
        frame(flights(3)).write.insertInto(f"`{schemas[TRAINING]}`.`{name.name}`")
        with pytest.raises(IntegrityError, match="INT011"):
            engine.publish(TRAINING, "flights", flights(0).to_reader())
        assert content(engine, name) == flights(0, 6)

    def test_record_that_does_not_read(self, engine, spark, schemas):
        """A table with a broken record is damaged, not foreign."""
        engine.create(FLIGHTS, flights(0).to_reader())
        table_format = "delta" if is_sail(spark) else "parquet"
        path = f"`{schemas[FEATURES]}`.`airports`"
        spark.range(1).writeTo(path).using(table_format).tableProperty(PROPERTY, "abcd").create()
        with pytest.raises(IntegrityError, match="INT012"):
            engine.describe(TableName(FEATURES, "airports"))

    @on_each_spark("happens", [True, False], on_jvm=[True])
    def test_lost_connection_is_an_unknown_outcome(self, make, monkeypatch, happens):
        """A write whose answer is lost may have taken place or not; both converge when repeated."""
        engine, move = make(), Catalog._try_to_move

        def cut(*arguments):
            if happens:
                move(*arguments)
            raise ConnectionResetError

        monkeypatch.setattr(Catalog, "_try_to_move", cut)
        with pytest.raises(OutcomeUnknownError, match="STO054"):
            engine.publish(TRAINING, "flights", flights(0).to_reader())
        monkeypatch.undo()
        published = engine.publish(TRAINING, "flights", flights(0).to_reader())
        assert published.created != happens
        assert content(engine, published.name) == flights(0)

    def test_statement_that_is_sent_twice(self, engine, monkeypatch):
        """The second one fails, for the name is taken: by ourselves, which is no lost race."""
        move = Catalog._try_to_move

        def twice(*arguments):
            move(*arguments)
            move(*arguments)

        engine.create(FLIGHTS, flights(0).to_reader())
        monkeypatch.setattr(Catalog, "_try_to_move", twice)
        assert engine.append(FLIGHTS, flights(3).to_reader(), expected_version=0) == 1
        assert engine.publish(TRAINING, "flights", flights(0).to_reader()).created

    @pytest.mark.parametrize("point", ["publish.verified", "publish.renamed", "append.written"])
    def test_killed_writer_leaves_nothing_or_all(self, engine, request, schemas, tmp_path, point):
        """No half table is visible after a kill, and the same call again converges."""
        kind = request.node.callspec.params["spark"]
        if kind != "connect":
            pytest.skip("the catalog is that of one session, and not seen by another process")
        engine.create(FLIGHTS, flights(0).to_reader())
        fault = {VARIABLE: f"{point}:kill", "MLKIT_TEST": "1", "MLKIT_HOME": str(tmp_path)}
        command = [sys.executable, "-c", CHILD, request.getfixturevalue(kind), *schemas.values()]
        done = subprocess.run(
            command, cwd=REPOSITORY, env={**os.environ, **fault}, capture_output=True, text=True, check=False
        )
        assert done.returncode == -signal.SIGKILL, done.stderr
        assert len(engine.tables(TRAINING)) == (point != "publish.verified")
        published = engine.publish(TRAINING, "flights", flights(0).to_reader())
        assert published.created == (point == "publish.verified")
        assert content(engine, published.name) == flights(0)
        assert engine.describe(FLIGHTS).version == (point == "append.written")


CHILD = """
import sys
from pyspark.sql import SparkSession
from mlkit.engines.base import SCHEMAS
from mlkit.engines.spark.engine import SparkEngine
from tests.engines.contract import FLIGHTS, flights
session = SparkSession.builder.remote(sys.argv[1]).create()
schemas = dict(zip(SCHEMAS, sys.argv[2:]))
engine = SparkEngine(lambda: session, catalog=None, schemas=schemas, fetch_bytes=0)
engine.publish("training", "flights", flights(0).to_reader())
engine.append(FLIGHTS, flights(3).to_reader(), expected_version=0)
"""


@not_on_classic
class TestLogs:
    """What a log is made of in a catalog."""

    def test_batch_stays_in_spark(self, make, frame):
        """An engine that may fetch nothing logs a dataframe, and gives a window of it."""
        still = make(fetch_bytes=0)
        assert still.log(LOG, frame(answers(0)), batch="one")
        assert not still.log(LOG, frame(answers(0)), batch="one")
        assert numbers(still, since=at(1)) == [1, 2]

    def test_batches_outside_a_window_are_not_read(self, engine, monkeypatch):
        """Their tables do not even appear in the query."""
        for first in (0, 3, 6):
            engine.log(LOG, answers(first).to_reader(), batch=f"run {first}")
        opened, frame = [], Catalog.frame

        def spy(self, table):
            opened.append(table.name)
            return frame(self, table)

        monkeypatch.setattr(Catalog, "frame", spy)
        assert numbers(engine, since=at(4), until=at(6)) == [4, 5]
        assert len(opened) == 1

    def test_killed_trim_is_finished_by_the_next(self, engine, monkeypatch, tmp_path):
        """The mark stands before the batch goes, so its name stays taken whatever happens."""
        engine.log(LOG, answers(0).to_reader(), batch="old")
        engine.log(LOG, answers(3).to_reader(), batch="new")
        monkeypatch.setenv("MLKIT_TEST", "1")
        monkeypatch.setenv("MLKIT_HOME", str(tmp_path))
        with monkeypatch.context() as patch:
            patch.setenv(VARIABLE, "trim.marked:raise")
            with pytest.raises(InjectedFaultError):
                engine.trim_log(LOG, before=at(3))
        assert not engine.log(LOG, answers(0).to_reader(), batch="old")
        assert engine.trim_log(LOG, before=at(3)) == 3
        assert numbers(engine) == [3, 4, 5]

    def test_tables_of_others_are_not_dropped(self, engine, foreign):
        """What mlkit did not make it does not remove."""
        with pytest.raises(StoreError, match="STO055"):
            engine.drop(foreign)
        assert content(engine).num_rows == 3
