"""What every engine promises, once: inherit `EngineContract` and supply an `engine` fixture."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from mlkit.digest.fingerprint import fingerprint
from mlkit.engines.base import FEATURES, MONITORING, TRAINING, TableName
from mlkit.errors import DataError, IntegrityError, NamingError, RaceLostError, StoreError
from tests.engines.log_contract import LogCallContract, LogContract

FLIGHTS = TableName(FEATURES, "flights")
SCHEMA = pa.schema(
    [pa.field("id", pa.int64(), nullable=False), ("delay", pa.float64()), ("carrier", pa.string())]
)
NOON = dt.datetime(2024, 2, 29, 12, 0, 0, 123456)  # noqa: DTZ001 - naive on purpose
LONG_AGO = dt.datetime(1583, 1, 1)  # noqa: DTZ001 - naive on purpose
NESTED = pa.struct([pa.field("code", pa.int16()), pa.field("tags", pa.list_(pa.string()))])

KEPT = {
    "int8": (pa.int8(), [-128, 127]),
    "int16": (pa.int16(), [-(2**15), 2**15 - 1]),
    "int32": (pa.int32(), [-(2**31), 2**31 - 1]),
    "int64": (pa.int64(), [-(2**63), 2**63 - 1]),
    "float32": (pa.float32(), [1.5, float("inf")]),
    "float64": (pa.float64(), [0.1, -5e-324]),
    "bool": (pa.bool_(), [True, False]),
    "string": (pa.string(), ["", "Zürich ✈ \x00 \U0001f6eb"]),
    "binary": (pa.binary(), [b"", b"\x00\xff"]),
    "date32": (pa.date32(), [dt.date(1583, 1, 1), dt.date(9999, 12, 31)]),
    "timestamp": (pa.timestamp("us"), [NOON, LONG_AGO]),
    "instant": (pa.timestamp("us", "UTC"), [NOON.replace(tzinfo=dt.UTC), LONG_AGO.replace(tzinfo=dt.UTC)]),
    "decimal": (pa.decimal128(38, 10), [Decimal("1.5"), Decimal("-123456789012345678.0123456789")]),
    "list": (pa.list_(pa.int32()), [[], [1, None, 3]]),
    "struct": (NESTED, [{"code": None, "tags": ["a", None]}, {"code": 7, "tags": None}]),
    "all_null": (pa.int32(), [None, None]),
    "a.b": (pa.int64(), [1, 2]),
    'q"u`o te': (pa.int64(), [1, 2]),
}

REENCODED = {
    "large_string": (pa.large_string(), pa.string()),
    "string_view": (pa.string_view(), pa.string()),
    "dictionary": (pa.dictionary(pa.int8(), pa.string()), pa.string()),
    "large_list": (pa.large_list(pa.large_string()), pa.list_(pa.string())),
    "milliseconds": (pa.timestamp("ms"), pa.timestamp("us")),
    "whole_nanoseconds": (pa.timestamp("ns", "UTC"), pa.timestamp("us", "UTC")),
}

REFUSED = {
    "uint8": (pa.array([1], pa.uint8()), "DAT027"),
    "float16": (pa.array(np.array([1], np.float16)), "DAT026"),
    "duration": (pa.array([1], pa.duration("s")), "DAT024"),
    "time": (pa.array([1], pa.time32("s")), "DAT025"),
    "null": (pa.nulls(1), "DAT034"),
    "zone": (pa.array([1], pa.timestamp("us", "Europe/Berlin")), "DAT033"),
    "nanosecond": (pa.array([1], pa.timestamp("ns")), "DAT032"),
    "wide_decimal": (pa.array([1], pa.decimal256(50, 2)), "DAT055"),
    "map": (pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int8())), "DAT055"),
}


def flights(first: int, count: int = 3, *, delay: float | None = None) -> pa.Table:
    """Flights with the ids from `first` on; all with one delay if it is given."""
    ids = range(first, first + count)
    return pa.table(
        {
            "id": pa.array(ids, pa.int64()),
            "delay": [i / 7 if delay is None else delay for i in ids],
            "carrier": [f"carrier {i % 5}" for i in ids],
        },
        schema=SCHEMA,
    )


def content(engine, table=FLIGHTS, **options) -> pa.Table:
    """All rows of a table, by id."""
    return engine.read(table, **options).read_all().sort_by("id")


def broken_stream(schema=SCHEMA, fault=None) -> pa.RecordBatchReader:
    """A stream that yields a batch and then fails as a caller's code may fail."""

    def batches():
        yield from flights(0).to_batches()
        raise fault or ZeroDivisionError("the caller's own")

    return pa.RecordBatchReader.from_batches(schema, batches())


class _Growing:
    """A table that grows, and its version."""

    @pytest.fixture
    def growing(self, engine):
        """An engine with three flights in a table that grows."""
        engine.create(FLIGHTS, flights(0).to_reader(), properties={"key": "id", "owner": "ops"})
        return engine

    def version(self, engine, table=FLIGHTS) -> int:
        """The newest version of a table."""
        return engine.describe(table).version


class StoreContract(LogContract, _Growing):
    """Promises that a store keeps, and that another store may break."""

    # publish

    def test_published_table_is_named_by_its_content(self, engine):
        """The name ends with the fingerprint of the rows, and the rows read back."""
        published = engine.publish(TRAINING, "flights__train", flights(0).to_reader())
        assert published.fingerprint == fingerprint(flights(0))
        assert str(published.name) == f"training.flights__train__{published.fingerprint[3:]}"
        assert (published.rows, published.created) == (3, True)
        assert content(engine, published.name) == flights(0)

    def test_same_content_is_published_once(self, engine):
        """Order of rows and size of batches do not matter; the second caller reuses the table."""
        rows = flights(0, 100)
        first = engine.publish(TRAINING, "flights", rows.to_reader())
        shuffled = rows.take(list(reversed(range(100)))).to_reader(max_chunksize=7)
        second = engine.publish(TRAINING, "flights", shuffled)
        assert (first.created, second.created) == (True, False)
        assert (first.name, first.rows) == (second.name, second.rows)
        assert content(engine, first.name) == rows

    def test_no_rows_can_be_published(self, engine):
        """An empty stream gives an empty table with its columns."""
        published = engine.publish(TRAINING, "flights", SCHEMA.empty_table().to_reader())
        assert published.rows == 0
        assert content(engine, published.name) == SCHEMA.empty_table()
        assert not engine.publish(TRAINING, "flights", SCHEMA.empty_table().to_reader()).created

    def test_published_properties_are_kept(self, engine):
        """Text properties come back as they were given."""
        properties = {"contract": 'columns:\n  "é": {min: 0}\n', "key": "id"}
        published = engine.publish(TRAINING, "flights", flights(0).to_reader(), properties=properties)
        assert engine.describe(published.name).properties == properties

    # types

    def test_types_are_kept(self, engine):
        """Each type that mlkit admits comes back as it went in, missing values too."""
        columns = {name: pa.array([*values, None], kind) for name, (kind, values) in KEPT.items()}
        rows = pa.table({"id": [1, 2, 3], **columns})
        published = engine.publish(TRAINING, "types", rows.to_reader())
        found = content(engine, published.name)
        assert found.schema == rows.schema == engine.describe(published.name).schema
        assert [name for name in KEPT if found[name] != rows[name]] == []

    def test_nan_stays_nan_and_null_stays_null(self, engine):
        """A store does not make one of the other, although they have the same digest."""
        rows = pa.table({"id": [1, 2], "x": pa.array([float("nan"), None])})
        found = content(engine, engine.publish(TRAINING, "types", rows.to_reader()).name)
        assert found["x"].is_null().to_pylist() == [False, True]

    def test_encodings_do_not_matter(self, engine):
        """Other encodings of the same values are accepted and come back plain."""
        plain = {"id": pa.array([1, 2])}
        for name, (_, kept) in REENCODED.items():
            texts = pa.array([["a"], []] if pa.types.is_list(kept) else ["a", "b"])
            plain[name] = pa.array([0, 1_000_000], kept) if pa.types.is_timestamp(kept) else texts
        given = {name: plain[name].cast(kind) for name, (kind, _) in REENCODED.items()}
        rows = pa.table({**plain, **given})
        published = engine.publish(TRAINING, "types", rows.to_reader())
        found = content(engine, published.name)
        assert [name for name in plain if found[name].combine_chunks() != plain[name]] == []
        assert published.fingerprint == fingerprint(rows) == fingerprint(pa.table(plain))

    # create

    def test_table_is_created_once(self, engine):
        """The first caller creates the table, the second changes nothing."""
        assert engine.create(FLIGHTS, flights(0).to_reader())
        assert not engine.create(FLIGHTS, flights(50).to_reader())
        assert content(engine) == flights(0)

    def test_not_null_is_kept(self, engine):
        """Nullability is part of the schema and is enforced."""
        engine.create(FLIGHTS, flights(0).to_reader())
        assert [field.nullable for field in engine.describe(FLIGHTS).schema] == [False, True, True]
        missing = pa.table([[None], [0.0], ["x"]], schema=SCHEMA)
        with pytest.raises(DataError, match="DAT061"):
            engine.append(FLIGHTS, missing.to_reader(), expected_version=self.version(engine))
        assert content(engine) == flights(0)

    def test_constraint_holds_from_the_first_row_on(self, engine):
        """Rows that break a condition are refused whole, at creation and later; no value is told."""
        bad, conditions = flights(5, delay=-13.5), {"late": "delay >= 0"}
        with pytest.raises(DataError, match="DAT061"):
            engine.create(FLIGHTS, bad.to_reader(), constraints=conditions)
        assert engine.describe(FLIGHTS) is None
        engine.create(FLIGHTS, flights(0).to_reader(), constraints=conditions)
        version = self.version(engine)
        with pytest.raises(DataError, match="DAT061") as caught:
            engine.append(FLIGHTS, bad.to_reader(), expected_version=version)
        assert "13.5" not in str(caught.value)
        with pytest.raises(DataError, match="DAT061"):
            engine.merge(FLIGHTS, bad.to_reader(), key=["id"], expected_version=version)
        assert (self.version(engine), content(engine)) == (version, flights(0))

    def test_condition_that_says_nothing_is_refused(self, engine):
        """A constraint must be a condition over columns that are there."""
        for condition in ("nope >= 0", "delay >"):
            with pytest.raises(DataError, match="DAT062") as caught:
                engine.create(FLIGHTS, flights(0).to_reader(), constraints={"late": condition})
            assert caught.value.path == "late"
        assert engine.tables(FEATURES) == []

    # append

    def test_append_adds_rows_as_one_version(self, growing):
        """Each append gives the next version; empty ones too."""
        version = self.version(growing)
        assert growing.append(FLIGHTS, flights(3).to_reader(), expected_version=version) == version + 1
        nothing = SCHEMA.empty_table().to_reader()
        assert growing.append(FLIGHTS, nothing, expected_version=version + 1) == version + 2
        assert content(growing) == flights(0, 6)
        assert self.version(growing) == version + 2

    # merge

    def test_merge_replaces_and_inserts(self, growing):
        """Rows with a known key are replaced, others inserted, in one version."""
        version, new = self.version(growing), flights(2, 3, delay=99.0)
        assert growing.merge(FLIGHTS, new.to_reader(), key=["id"], expected_version=version) == version + 1
        assert content(growing) == pa.concat_tables([flights(0, 2), new])
        assert content(growing, version=version) == flights(0)
        assert growing.describe(FLIGHTS).rows == 5

    def test_merge_goes_by_all_key_columns(self, engine):
        """A key of several oddly named columns; types of every kind survive the rewrite."""
        names = ['Sä "q" x.y', "delay`s"]
        columns = {f"c{i}": pa.array([*values, None], kind) for i, (kind, values) in enumerate(KEPT.values())}
        rows = pa.table({"id": [1, 2, 3], names[0]: ["a", "a", "b"], names[1]: [1, 2, 1], **columns})
        engine.create(FLIGHTS, rows.to_reader())
        version = self.version(engine)
        new = rows.slice(1, 1).set_column(0, "id", [[20]])
        assert engine.merge(FLIGHTS, new.to_reader(), key=names, expected_version=version) == version + 1
        assert content(engine) == pa.concat_tables([rows.slice(0, 1), rows.slice(2, 1), new])

    def test_merge_finds_keys_of_each_type(self, engine):
        """Statistics of the files, which are cut short, do not hide a key."""
        decimals = [Decimal("0.000000001"), Decimal("123456789012345678901.5")]
        keys = {
            "time": pa.array([NOON, NOON.replace(microsecond=123999)], pa.timestamp("us")),
            "text": pa.array(["\U0010ffff" * 80 + "z", "b" * 300]),
            "number": pa.array(decimals, pa.decimal128(30, 9)),
            "day": pa.array([dt.date(1583, 1, 1), dt.date(9999, 12, 31)]),
        }
        rows = pa.table({**keys, "id": [1, 2]})
        engine.create(FLIGHTS, rows.to_reader())
        for row in (0, 1):
            version = self.version(engine)
            engine.merge(FLIGHTS, rows.slice(row, 1).to_reader(), key=[*keys], expected_version=version)
        assert content(engine) == rows

    def test_key_must_tell_rows_apart(self, growing):
        """Incoming rows without a key of their own are refused before anything is written."""
        version = self.version(growing)
        for rows, key, code in (
            (pa.concat_tables([flights(3), flights(5)]), ["id"], "DAT049"),
            (flights(3).set_column(2, "carrier", pa.array(["a", None, "b"])), ["id", "carrier"], "DAT049"),
            (flights(3, delay=float("nan")), ["delay"], "DAT049"),
            (flights(3), ["ident"], "DAT045"),
            (flights(3), [], "DAT001"),
        ):
            with pytest.raises(DataError, match=code):
                growing.merge(FLIGHTS, rows.to_reader(), key=key, expected_version=version)
        assert self.version(growing) == version

    # read, describe, tables

    def test_tables_are_listed_by_schema_and_prefix(self, growing):
        """In name order; a schema without tables is empty."""
        for name in ("flights_daily", "airports"):
            growing.create(TableName(FEATURES, name), flights(0).to_reader())
        assert [table.name for table in growing.tables(FEATURES)] == ["airports", "flights", "flights_daily"]
        assert [table.name for table in growing.tables(FEATURES, prefix="fl")] == ["flights", "flights_daily"]
        assert growing.tables(MONITORING) == []


class CallContract(LogCallContract, _Growing):
    """Promises that are kept by an engine's own code, whatever its store answers."""

    # publish

    def test_published_table_never_changes(self, engine):
        """It takes neither appends nor merges, and its name cannot be created by hand."""
        name = engine.publish(TRAINING, "flights", flights(0).to_reader()).name
        version, more = self.version(engine, name), flights(9).to_reader()
        for change in (
            lambda: engine.append(name, more, expected_version=version),
            lambda: engine.merge(name, more, key=["id"], expected_version=version),
            lambda: engine.create(name, more),
        ):
            with pytest.raises(NamingError, match="NAM011"):
                change()
        assert content(engine, name) == flights(0)

    def test_error_of_the_stream_is_the_callers_own(self, engine):
        """What the caller's stream raises comes out as it was raised, and nothing was written."""
        for fault in (ZeroDivisionError("x"), DataError("DAT999", "x"), OSError("x")):
            with pytest.raises(type(fault)) as caught:
                engine.publish(TRAINING, "flights", broken_stream(fault=fault))
            assert caught.value is fault
            with pytest.raises(type(fault)):
                engine.create(FLIGHTS, broken_stream(fault=fault))
        assert engine.tables(TRAINING) == engine.tables(FEATURES) == []

    # types

    def test_types_that_would_change_are_refused(self, engine):
        """What the store cannot hold exactly is an error that names the column."""
        for column, code in REFUSED.values():
            with pytest.raises(DataError, match=code) as caught:
                engine.publish(TRAINING, "types", pa.table({"x": column}).to_reader())
            assert caught.value.path == "x"
        assert engine.tables(TRAINING) == []

    def test_columns_that_clash_are_refused(self, engine):
        """No columns, or names that a store would take for one, are refused."""
        for names, code in (([], "DAT001"), (["a", "a"], "DAT010"), (["Id", "id"], "DAT011")):
            schema = pa.schema([(name, pa.int64()) for name in names])
            with pytest.raises(DataError, match=code):
                engine.create(FLIGHTS, pa.RecordBatchReader.from_batches(schema, []))

    # create

    def test_append_only_table_only_grows(self, engine):
        """Appends pass, merges do not."""
        engine.create(FLIGHTS, flights(0).to_reader(), append_only=True)
        version = engine.append(FLIGHTS, flights(3).to_reader(), expected_version=self.version(engine))
        with pytest.raises(IntegrityError, match="INT013"):
            engine.merge(FLIGHTS, flights(0).to_reader(), key=["id"], expected_version=version)
        assert content(engine) == flights(0, 6)

    # append

    def test_append_to_a_moved_table_is_a_lost_race(self, growing):
        """Compare and set: another version than expected, and nothing is written."""
        version = self.version(growing)
        for stale in (version - 1, version + 1):
            with pytest.raises(RaceLostError, match="STO021"):
                growing.append(FLIGHTS, flights(3).to_reader(), expected_version=stale)
            with pytest.raises(RaceLostError, match="STO021"):
                growing.merge(FLIGHTS, flights(3).to_reader(), key=["id"], expected_version=stale)
        assert content(growing) == flights(0)

    def test_columns_must_match_exactly(self, growing):
        """Nothing is cast in silence: another name, type or nullability is refused by name."""
        version, good = self.version(growing), flights(3)
        for column, rows in (
            ("delay", good.drop_columns("delay")),
            ("extra", good.append_column("extra", [[1, 2, 3]])),
            ("delay", good.set_column(1, "delay", [[1, 2, 3]])),
            ("delay", good.set_column(1, "delay", [["1", "2", "3"]])),
            ("id", good.cast(pa.schema([field.with_nullable(True) for field in SCHEMA]))),
        ):
            with pytest.raises(DataError, match="DAT046") as caught:
                growing.append(FLIGHTS, rows.to_reader(), expected_version=version)
            assert caught.value.path == column
            with pytest.raises(DataError, match="DAT046"):
                growing.merge(FLIGHTS, rows.to_reader(), key=["id"], expected_version=version)
        assert content(growing) == flights(0)

    def test_order_of_columns_does_not_matter(self, growing):
        """Columns go by name."""
        turned = flights(3).select(["carrier", "id", "delay"]).to_reader()
        growing.append(FLIGHTS, turned, expected_version=self.version(growing))
        assert content(growing) == flights(0, 6)

    def test_failed_append_leaves_the_table(self, growing):
        """An error of the stream half-way comes out as raised, and no row was added."""
        version = self.version(growing)
        with pytest.raises(ZeroDivisionError):
            growing.append(FLIGHTS, broken_stream(), expected_version=version)
        with pytest.raises(ZeroDivisionError):
            growing.merge(FLIGHTS, broken_stream(), key=["id"], expected_version=version)
        assert (self.version(growing), content(growing)) == (version, flights(0))

    # merge

    def test_properties_change_with_the_rows(self, growing):
        """A merge updates properties in its own commit; later commits keep them."""
        for change in ({"owner": "ds"}, {"contract": "c: 1\n"}):
            rows, version = flights(3).to_reader(), self.version(growing)
            assert (
                growing.merge(FLIGHTS, rows, key=["id"], expected_version=version, properties=change)
                == version + 1
            )
        growing.append(FLIGHTS, flights(9).to_reader(), expected_version=self.version(growing))
        growing.merge(FLIGHTS, flights(9).to_reader(), key=["id"], expected_version=self.version(growing))
        expected = {"key": "id", "owner": "ds", "contract": "c: 1\n"}
        assert growing.describe(FLIGHTS).properties == expected

    def test_merge_of_nothing_is_a_version(self, growing):
        """No rows still move the version and the properties."""
        version, nothing = self.version(growing), SCHEMA.empty_table().to_reader()
        moved = growing.merge(FLIGHTS, nothing, key=["id"], expected_version=version, properties={"a": "b"})
        assert moved == version + 1 == self.version(growing)
        assert growing.describe(FLIGHTS).properties["a"] == "b"
        assert content(growing) == flights(0)

    # read, describe, tables

    def test_old_versions_read_as_they_were(self, growing):
        """A version is pinned by its number, whatever was written since."""
        version = self.version(growing)
        growing.append(FLIGHTS, flights(3).to_reader(), expected_version=version)
        assert content(growing, version=version) == flights(0)
        with pytest.raises(StoreError, match="STO011"):
            growing.read(FLIGHTS, version=version + 2)
        with pytest.raises(StoreError, match="STO011"):
            growing.read(FLIGHTS, version=-1)

    def test_columns_come_in_the_order_asked_for(self, growing):
        """Only what was asked for is read."""
        found = content(growing, columns=["carrier", "id"])
        assert found == flights(0).select(["carrier", "id"])

    def test_columns_that_are_not_there_are_named(self, growing):
        """A wrong column is an error with the nearest name."""
        for columns, code in ((["dela"], "DAT045"), ([], "DAT001"), (["id", "id"], "DAT010")):
            with pytest.raises(DataError, match=code) as caught:
                growing.read(FLIGHTS, columns=columns)
            assert ("delay" in caught.value.fix) == (code == "DAT045")

    def test_missing_table_is_named_with_its_neighbours(self, growing):
        """Reading, appending and merging say that there is none, and what there is."""
        wrong = TableName(FEATURES, "flihgts")
        for use in (
            lambda: growing.read(wrong),
            lambda: growing.append(wrong, flights(0).to_reader(), expected_version=0),
            lambda: growing.merge(wrong, flights(0).to_reader(), key=["id"], expected_version=0),
        ):
            with pytest.raises(StoreError, match="STO010") as caught:
                use()
            assert "flights" in caught.value.fix
        assert growing.describe(wrong) is None

    def test_describe_tells_all_but_the_rows(self, growing):
        """Version, row count, columns and properties."""
        version = growing.append(FLIGHTS, flights(3).to_reader(), expected_version=self.version(growing))
        info = growing.describe(FLIGHTS)
        assert (info.name, info.version, info.rows, info.schema) == (FLIGHTS, version, 6, SCHEMA)
        assert info.properties == {"key": "id", "owner": "ops"}

    @pytest.mark.parametrize(
        ("schema", "name", "code"),
        [
            ("features", "Flights", "NAM002"),
            ("features", "flights\n", "NAM002"),
            ("features", "", "NAM002"),
            ("features", "1st", "NAM002"),
            ("features", "../flights", "NAM003"),
            ("features", ".staging", "NAM003"),
            ("features", "a" * 256, "NAM010"),
            ("feature", "flights", "NAM002"),
            ("features/..", "flights", "NAM003"),
            ("features", "flights__v00000001", "NAM006"),
            ("features", "mlkit_staging_flights", "NAM006"),
        ],
    )
    def test_names_that_some_store_would_refuse(self, engine, schema, name, code):
        """No method takes a name that breaks the grammar."""
        table, rows = TableName(schema, name), flights(0).to_reader()
        for use in (
            lambda: engine.publish(schema, name, rows),
            lambda: engine.create(table, rows),
            lambda: engine.append(table, rows, expected_version=0),
            lambda: engine.merge(table, rows, key=["id"], expected_version=0),
            lambda: engine.read(table),
            lambda: engine.describe(table),
        ):
            with pytest.raises(NamingError, match=code):
                use()

    def test_unknown_schema_has_no_tables_to_list(self, engine):
        """A wrong schema is an error, not an empty list."""
        with pytest.raises(NamingError, match="did you mean features"):
            engine.tables("feature")


class EngineContract(StoreContract, CallContract):
    """One test per promise; the fixture `engine` gives an engine over an empty store."""
