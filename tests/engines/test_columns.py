"""Columns on their way into a table: kept, written otherwise, or refused by name; and rows in pieces."""

from __future__ import annotations

import datetime as dt

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlkit.engines import columns as cols
from mlkit.engines.rows import Incoming, count_rows, filled, stored_rows
from mlkit.errors import DataError, IntegrityError

NUMBERS = pa.schema([("n", pa.int64())])


def stored(kind: pa.DataType) -> pa.DataType:
    """The type under which a store keeps a column."""
    return cols.stored_schema(pa.schema([("x", kind)])).field("x").type


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (pa.dictionary(pa.int8(), pa.large_string()), pa.string()),
        (pa.timestamp("s"), pa.timestamp("us")),
        (pa.timestamp("ns", "Etc/UTC"), pa.timestamp("us", "UTC")),
        (pa.decimal256(38, 4), pa.decimal128(38, 4)),
        (pa.large_list(pa.large_string()), pa.list_(pa.field("element", pa.string()))),
        (pa.list_(pa.int8(), 3), pa.list_(pa.field("element", pa.int8()))),
        (
            pa.struct([("a", pa.list_(pa.binary_view()))]),
            pa.struct([("a", pa.list_(pa.field("element", pa.binary())))]),
        ),
    ],
)
def test_other_encodings_of_the_same_values(kind, expected):
    """However deep they stand; what they become stays what it is."""
    assert stored(kind) == expected
    assert stored(expected) == expected


@pytest.mark.parametrize(
    ("kind", "code", "path"),
    [
        (pa.list_(pa.uint8()), "DAT027", "x[]"),
        (pa.struct([("a", pa.struct([("b", pa.duration("s"))]))]), "DAT024", "x.a.b"),
        (pa.list_(pa.struct([("at", pa.time32("s"))])), "DAT025", "x[].at"),
        (pa.dictionary(pa.int8(), pa.uint16()), "DAT027", "x"),
        (pa.timestamp("us", "Europe/Paris"), "DAT033", "x"),
        (pa.decimal256(39, 0), "DAT055", "x"),
        (pa.decimal128(10, -2), "DAT055", "x"),
        (pa.struct([]), "DAT055", "x"),
        (pa.map_(pa.string(), pa.int8()), "DAT055", "x"),
        (pa.null(), "DAT034", "x"),
        (pa.float16(), "DAT026", "x"),
    ],
)
def test_a_type_that_is_refused_is_named_with_its_place(kind, code, path):
    """Inside lists and structs too, and each says what to do instead."""
    with pytest.raises(DataError) as caught:
        stored(kind)
    assert (caught.value.code, caught.value.path) == (code, path)
    assert caught.value.fix


def test_a_declaration_that_a_column_is_never_missing_is_kept():
    """At the top and inside a list."""
    inner = pa.list_(pa.field("element", pa.int8(), nullable=False))
    schema = pa.schema([pa.field("a", pa.int8(), nullable=False), pa.field("b", inner)])
    assert cols.stored_schema(schema) == schema


@given(st.integers(1, 2**21))
def test_fewer_rows_at_once_of_a_wider_table(width):
    """About a million cells, never none and never more than sixteen thousand rows."""

    class Wide:
        """Only as many names."""

        names = range(width)

    rows = cols.rows_per_batch(Wide())
    assert 1 <= rows <= 2**14
    assert rows * width <= max(2**20, width)


def test_instants_between_two_microseconds_are_refused():
    """The column is named, the instant is not shown; whole ones pass."""
    whole = pa.array([1_000, None], pa.timestamp("ns"))
    schema = pa.schema([("at", pa.timestamp("us"))])
    kept = cols.conform(pa.record_batch({"at": whole}), schema)
    assert kept.column("at").cast(pa.int64()).to_pylist() == [1, None]
    with pytest.raises(DataError) as caught:
        cols.conform(pa.record_batch({"at": pa.array([987_654_321], pa.timestamp("ns"))}), schema)
    assert (caught.value.code, caught.value.path) == ("DAT032", "at")
    assert "987" not in str(caught.value)


@pytest.mark.parametrize(
    ("found", "code", "fix"),
    [
        (["flight"], None, None),
        (["flight_number", "delay"], None, None),
        (["fligth"], "DAT045", "did you mean flight"),
        (["zzz"], "DAT045", "there are: flight, flight_number, delay"),
        (["flight", "flight"], "DAT010", "rename"),
        ([], "DAT001", "name the columns"),
    ],
)
def test_columns_that_are_asked_for(found, code, fix):
    """In the order asked for; one that is not there is answered with those that are near, or all."""
    schema = pa.schema([(name, pa.int8()) for name in ("flight", "flight_number", "delay")])
    if code is None:
        assert cols.selected(schema, found).names == found
        return
    with pytest.raises(DataError, match=code) as caught:
        cols.selected(schema, found)
    assert caught.value.fix.startswith(fix)


@pytest.mark.parametrize(
    ("found", "path", "said"),
    [
        ([("b", pa.string()), ("a", pa.int64())], None, ""),
        ([("a", pa.int64())], "b", "found none"),
        ([("a", pa.int64()), ("b", pa.string()), ("c", pa.int8())], "c", "no such column"),
        ([("a", pa.int32()), ("b", pa.string())], "a", "expects int64, found int32"),
    ],
)
def test_rows_must_have_the_columns_of_their_table(found, path, said):
    """In any order; what differs is named with both types."""
    expected = pa.schema([("a", pa.int64()), ("b", pa.string())])
    if path is None:
        cols.check_match(pa.schema(found), expected)
        return
    with pytest.raises(DataError, match="DAT046") as caught:
        cols.check_match(pa.schema(found), expected)
    assert caught.value.path == path
    assert said in caught.value.message


def test_what_may_be_missing_does_not_fit_what_may_not():
    """The other way round it does."""
    strict = pa.schema([pa.field("a", pa.int64(), nullable=False)])
    cols.check_match(strict, pa.schema([("a", pa.int64())]))
    with pytest.raises(DataError, match="declared not null"):
        cols.check_match(pa.schema([("a", pa.int64())]), strict)


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (["a"], "found 4 rows with 2 keys"),
        (["b"], "2 rows have no value"),
        (["a", "c"], None),
        (["l"], "a key cannot hold list"),
    ],
)
def test_a_key_tells_rows_apart(key, said):
    """NaN is no value; columns that do so together need not do so alone."""
    rows = pa.table(
        {"a": [1, 1, 2, 2], "b": [1.0, None, float("nan"), 2.0], "c": [1, 2, 1, 2], "l": [[1]] * 4}
    )
    if said is None:
        cols.check_key(rows, key)
        return
    with pytest.raises(DataError, match=said) as caught:
        cols.check_key(rows, key)
    assert caught.value.path == ", ".join(key)


def test_a_stream_is_cut_into_pieces_and_watched():
    """Large batches into small ones, empty ones left out; each row passes once and in order."""
    size = cols.rows_per_batch(NUMBERS)
    numbers = [[], list(range(size + 3)), [], [-1]]
    batches = [pa.record_batch({"n": pa.array(part, pa.int64())}) for part in numbers]
    seen: list[pa.RecordBatch] = []
    incoming = Incoming(pa.RecordBatchReader.from_batches(NUMBERS, batches))
    rows = incoming.stream(NUMBERS, watch=seen.append).read_all()
    assert rows.column("n").to_pylist() == numbers[1] + numbers[3]
    assert [part.num_rows for part in seen] == [size, 3, 1]
    assert incoming.fault is None


def test_the_callers_own_error_is_kept():
    """A library would turn it into a text: the error itself stays at hand."""
    mistake = KeyError("of the caller")

    def broken():
        yield pa.record_batch({"n": [1]})
        raise mistake

    incoming = Incoming(pa.RecordBatchReader.from_batches(NUMBERS, broken()))
    with pytest.raises(KeyError):
        incoming.stream(NUMBERS).read_all()
    assert incoming.fault is mistake


def test_a_missing_value_stops_the_stream():
    """Where the column is declared not null; the error counts them."""
    strict = pa.schema([pa.field("n", pa.int64(), nullable=False)])
    batch = pa.RecordBatch.from_arrays([pa.array([1, None, None])], schema=strict)
    with pytest.raises(DataError, match=r"DAT061.*found 2"):
        Incoming(pa.RecordBatchReader.from_batches(strict, [batch])).stream(strict).read_all()


def test_columns_that_a_file_does_not_have_are_missing():
    """In the order and types asked for; others are left out."""
    batch = pa.record_batch({"n": pa.array([1], pa.int64()), "old": ["x"]})
    schema = pa.schema([("at", pa.timestamp("us", "UTC")), ("n", pa.int64())])
    assert filled(batch, schema) == pa.record_batch(
        {"at": pa.nulls(1, schema.field(0).type), "n": [1]}, schema
    )


def test_files_are_read_as_one_table(tmp_path):
    """Older ones lack a column that came later; their rows are counted without reading them."""
    day = dt.date(2024, 2, 29)
    pq.write_table(pa.table({"n": [1, 2]}), tmp_path / "old")
    pq.write_table(pa.table({"day": [day], "n": [3]}), tmp_path / "new")
    files, schema = [tmp_path / "old", tmp_path / "new"], pa.schema([("n", pa.int64()), ("day", pa.date32())])
    rows = pa.Table.from_batches(stored_rows(files, schema, widened=True))
    assert rows.to_pydict() == {"n": [1, 2, 3], "day": [None, None, day]}
    assert list(map(count_rows, files)) == [2, 1]


@pytest.mark.parametrize("damage", ["gone", "cut"])
def test_a_file_that_does_not_read_is_damage(tmp_path, damage):
    """Whether its rows are wanted or only their number."""
    file = tmp_path / "part"
    pq.write_table(pa.table({"n": [1, 2]}), file)
    file.write_bytes(file.read_bytes()[:-9])
    if damage == "gone":
        file.unlink()
    for reading in (lambda: count_rows(file), lambda: list(stored_rows([file], NUMBERS))):
        with pytest.raises(IntegrityError, match="INT012"):
            reading()
