"""The door: what is let in, as what, and what is refused with which words."""

from __future__ import annotations

import datetime as dt
import decimal
import tracemalloc
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from mlkit.digest.fingerprint import Accumulator, fingerprint, lanes
from mlkit.digest.stream import open_stream
from mlkit.errors import DataError, DataOverflowError, UnsupportedTypeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Decimal = decimal.Decimal
TABLE = pa.table({"id": [1, 2, 3], "name": ["a", None, "c"]})


@pytest.mark.parametrize(
    "made",
    [
        lambda: TABLE,
        lambda: TABLE.to_batches()[0],
        lambda: TABLE.to_reader(max_chunksize=1),
        TABLE.to_pandas,
        lambda: pl.from_arrow(TABLE),
        lambda: pl.concat([pl.from_arrow(TABLE[:1]), pl.from_arrow(TABLE[1:])], rechunk=False),
        lambda: duckdb.from_arrow(TABLE),
    ],
    ids=["table", "batch", "reader", "pandas", "polars", "polars in chunks", "duckdb"],
)
def test_doors(made: Callable[[], Any]) -> None:
    """Whatever holds the rows, they come out as they are, and with one fingerprint."""
    assert open_stream(made()).read_all().to_pylist() == TABLE.to_pylist()
    assert fingerprint(made()) == fingerprint(TABLE)
    assert fingerprint(made(), columns=["name"]) == fingerprint(TABLE.select(["name"]))
    assert (lanes(made(), columns="id") == lanes(TABLE.drop(["name"]))).all()


def same(*frames: Any) -> bool:
    """Whether all are one dataset."""
    return len({fingerprint(frame) for frame in frames}) == 1


def objects(*values: Any) -> pd.DataFrame:
    """A pandas frame with one column of Python objects."""
    return pd.DataFrame({"x": pd.Series(values, dtype=object)})


def column(values: Any, dtype: Any = None) -> pd.DataFrame:
    """A pandas frame with one column of some type."""
    return pd.DataFrame({"x": pd.Series(values, dtype=dtype)})


NANOSECONDS = pd.Series(pd.to_datetime([1_709_210_096_123_456_001, None, 5]))
ALIKE = {
    "integers": [
        pa.table({"x": [1, None]}),
        objects(1, None),
        objects(True, float("nan")),
        objects(Decimal("1.0"), Decimal("NaN")),
        objects(1.0, pd.NA),
        objects(np.int8(1), pd.NaT),
        column([1, None]),
        column([1, None], "Int64"),
        column([1, None], "Float32"),
        column([True, None], "boolean"),
        column([1, None], "category"),
        column([True, None], "category"),
        column([1, None], "int8[pyarrow]"),
        column([1, np.nan], np.float16),
        pl.DataFrame({"x": [1, None]}, schema={"x": pl.UInt8}),
        pl.DataFrame({"x": [Decimal(1), None]}, schema={"x": pl.Decimal(20, 3)}),
    ],
    "text": [
        pa.table({"x": ["a", None, "b" * 20]}),
        pa.table({"x": pa.array(["a", None, "b" * 20], pa.string_view())}),
        objects("a", None, "b" * 20),
        objects("a", float("nan"), "b" * 20),
        objects(b"a", pd.NA, "b" * 20),
        column(["a", None, "b" * 20]),
        column(["a", None, "b" * 20], "string"),
        column(["a", None, "b" * 20], "category"),
        column(["a", None, "b" * 20], "category").set_index([[7, 8, 9]]),
        pl.DataFrame({"x": ["a", None, "b" * 20]}),
        pl.DataFrame({"x": ["a", None, "b" * 20]}, schema={"x": pl.Categorical}),
        pl.DataFrame({"x": ["a", None, "b" * 20]}, schema={"x": pl.Enum(["z", "b" * 20, "a"])}),
        pl.DataFrame({"x": [b"a", None, b"b" * 20]}),
    ],
    "instants": [
        pa.table({"x": pa.array([1_709_210_096_123_456_001, None, 5], pa.timestamp("ns"))}),
        NANOSECONDS.to_frame("x"),
        NANOSECONDS.astype(object).to_frame("x"),
        NANOSECONDS.astype("category").to_frame("x"),
        NANOSECONDS.dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo").to_frame("x"),
        NANOSECONDS.dt.tz_localize("UTC").astype(object).to_frame("x"),
        NANOSECONDS.dt.tz_localize("UTC").astype("category").to_frame("x"),
        NANOSECONDS.dt.tz_localize(dt.timezone(dt.timedelta(0))).to_frame("x"),
        (NANOSECONDS - pd.Timestamp(0)).to_frame("x"),
        (NANOSECONDS - pd.Timestamp(0)).astype(object).to_frame("x"),
        pl.from_pandas(NANOSECONDS.to_frame("x")),
    ],
    "dates": [
        objects(dt.date(2020, 1, 1), None),
        objects(pd.Timestamp("2020"), pd.NaT),
        objects(dt.datetime(2020, 1, 1), None),  # noqa: DTZ001 - naive counts as UTC
        objects(dt.datetime(2020, 1, 1, 2, tzinfo=dt.timezone(dt.timedelta(hours=2))), None),
        pl.DataFrame({"x": [dt.date(2020, 1, 1), None]}),
    ],
    "nothing": [
        objects(None, None),
        column([None, None], "float"),
        column([None, None], "category"),
        pa.table({"x": pa.nulls(2)}),
        pl.DataFrame({"x": [None, None]}),
        pl.DataFrame({"x": [None, None]}, schema={"x": pl.Categorical}),
    ],
    "nested": [
        pa.table({"x": [[{"b": 1, "a": "x"}], None, []]}),
        objects([{"b": 1.0, "a": "x"}], None, []),
        objects(np.array([{"a": "x", "b": 1}]), None, ()),
        pl.DataFrame({"x": [[{"a": "x", "b": 1}], None, []]}),
    ],
}


@pytest.mark.parametrize("frames", ALIKE.values(), ids=ALIKE)
def test_one_dataset_in_many_forms(frames: list[Any]) -> None:
    """The form in which a library keeps a column is not part of the data."""
    assert same(*frames)


def test_names_by_str() -> None:
    """Column names of any kind, as pandas has them, are their text."""
    assert same(
        pd.DataFrame({1: [1], "b": [2]}), pd.DataFrame({"1": [1], "b": [2]}), pa.table({"b": [2], "1": [1]})
    )


def test_dictionaries_that_differ_by_chunk() -> None:
    """The same code may mean another value in the next chunk, and a value may be out of use."""
    chunks = [pa.array(["a", "b"]).dictionary_encode(), pa.array(["b", "c", None]).dictionary_encode()]
    spare = pa.DictionaryArray.from_arrays([1], pa.array([10**18, 7], pa.decimal128(38, 0)))
    assert same(pa.table({"x": pa.chunked_array(chunks)}), pa.table({"x": ["c", "b", "b", None, "a"]}))
    assert same(pa.table({"x": spare}), pa.table({"x": [7]}))


@pytest.mark.parametrize(
    "kind", [pa.large_string(), pa.string_view(), pa.decimal128(5, 2), pa.list_(pa.int8())], ids=str
)
def test_a_few_rows_with_a_long_dictionary(kind: pa.DataType) -> None:
    """A slice of a column keeps all its distinct values; only those in use are data."""
    values = pa.array([[number] if pa.types.is_list(kind) else str(number) for number in range(99)])
    values = values.cast(kind)
    table = pa.table({"x": pa.DictionaryArray.from_arrays(pa.array([5, None, 98, 5]), values)})
    assert same(table, pa.table({"x": pa.array([values[5], None, values[98], values[5]], kind)}))


def test_list_views_in_any_order() -> None:
    """Lists that share or skip items are the lists that they show."""
    views = pa.ListViewArray.from_arrays([3, 0, 2, 0], [1, 3, 0, 2], pa.array([1, 2, 3, 4]))
    assert same(pa.table({"x": views}), pa.table({"x": [[4], [1, 2, 3], [], [1, 2]]}))
    assert same(pa.table({"x": views}).slice(2), pa.table({"x": [[], [1, 2]]}))


def test_lists_of_no_items() -> None:
    """A fixed size may be none."""
    nothing = pa.array([[], None], pa.list_(pa.int8(), 0))
    assert same(pa.table({"x": nothing}), pa.table({"x": pa.array([[], None], pa.list_(pa.int8()))}))


def test_slices_of_lists_of_codes() -> None:
    """A batch of a list column opens its own items only."""
    codes = pa.DictionaryArray.from_arrays(pa.array([0, 1, None, 1]), pa.array(["a", "b"]))
    lists = pa.ListArray.from_arrays([0, 1, 1, 4], codes)
    batches = pa.table({"x": lists}).to_batches(max_chunksize=1)
    assert same(pa.Table.from_batches(batches), pa.table({"x": [["a"], [], ["b", None, "b"]]}))


def test_lists_with_more_items_than_a_window() -> None:
    """Long lists are digested in parts, the longest to its end in one chain."""
    items = pa.array(np.arange(1_500_000) % 7, pa.int8())
    table = pa.table({"x": pa.ListArray.from_arrays([0, 400_000, 400_001, 800_000, 1_500_000], items)})
    halves = [table.slice(0, 2), table.slice(2)]
    assert (lanes(table) == np.concatenate([lanes(half) for half in halves], axis=1)).all()


def test_no_warning_for_odd_floats() -> None:
    """A signalling NaN is a NaN, and nothing to warn of."""
    odd = np.array([0x7FF0000000000001, 0xFFF8000000000000], np.uint64).view(np.float64)
    narrow = np.array([0x7F800001, 0xFFC00000], np.uint32).view(np.float32)
    assert same(pa.table({"x": odd}), pa.table({"x": narrow}), pa.table({"x": pa.nulls(2)}))


def stream_of(batches: int, rows: int) -> pa.RecordBatchReader:
    """Rows that are made while they are read."""
    schema = pa.schema([("number", pa.int64()), ("text", pa.string()), ("list", pa.list_(pa.int64()))])

    def generated() -> Iterator[pa.RecordBatch]:
        for batch in range(batches):
            numbers = pa.array(np.arange(batch * rows, (batch + 1) * rows))
            lists = pa.ListArray.from_arrays(pa.array(np.arange(rows + 1), pa.int32()), numbers)
            yield pa.record_batch([numbers, numbers.cast(pa.string()), lists], schema=schema)

    return pa.RecordBatchReader.from_batches(schema, generated())


def test_memory_is_bounded() -> None:
    """A stream four times as long takes no more memory, and less than a tenth of its own size."""
    peaks = []
    for batches in (8, 32):
        tracemalloc.start()
        before = pa.total_allocated_bytes()
        peak = 0
        reader = stream_of(batches, 1 << 16)
        accumulator = Accumulator(reader.schema)
        for batch in reader:
            accumulator.update(batch)
            peak = max(peak, pa.total_allocated_bytes() - before)
        peaks.append(peak + tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert accumulator.state.rows == batches << 16
    assert peaks[1] < 1.2 * peaks[0]
    assert peaks[1] < 32 * (1 << 16) * 40 / 4


REFUSED: dict[str, tuple[Callable[[], Any], type[DataError], str, str]] = {
    "no columns": (lambda: pd.DataFrame(index=[1]), DataError, "DAT001", ""),
    "duplicate columns": (lambda: pd.DataFrame([[1, 2]], columns=["x", "x"]), DataError, "DAT010", "x"),
    "duplicate names": (lambda: pd.DataFrame([[1, 2]], columns=[1, "1"]), DataError, "DAT010", "1"),
    "duplicate fields": (
        lambda: pa.table({"x": pa.StructArray.from_arrays([[1], [2]], ["a", "a"])}),
        DataError,
        "DAT010",
        "x.a",
    ),
    "two levels of names": (
        lambda: pd.DataFrame([[1]], columns=pd.MultiIndex.from_tuples([("a", "b")])),
        DataError,
        "DAT013",
        "",
    ),
    "named index": (
        lambda: pd.DataFrame({"x": [1]}, index=pd.RangeIndex(1, name="id")),
        DataError,
        "DAT014",
        "id",
    ),
    "NUL in a Polars name": (lambda: pl.DataFrame({"x\0": [1]}), DataError, "DAT018", "x\0"),
    "text and numbers": (lambda: objects("a", 1), DataError, "DAT020", "x"),
    "numbers and text": (lambda: objects(1, "a"), DataError, "DAT020", "x"),
    "truth and number": (lambda: objects(3.5, True), DataError, "DAT020", "x"),
    "date and time": (lambda: objects(dt.date(2020, 1, 1), pd.Timestamp("2020")), DataError, "DAT020", "x"),
    "time and integer": (lambda: objects(pd.Timestamp("2020"), 5), DataError, "DAT020", "x"),
    "mixed categories": (lambda: column([1, "a"], "category"), DataError, "DAT020", "x"),
    "mixed items": (lambda: objects([1], ["a"]), UnsupportedTypeError, "DAT021", "x"),
    "sets": (lambda: objects({1, 2}), UnsupportedTypeError, "DAT021", "x"),
    "any object": (lambda: objects(object()), UnsupportedTypeError, "DAT021", "x"),
    "Polars objects": (
        lambda: pl.DataFrame({"x": [object()]}, schema={"x": pl.Object}),
        UnsupportedTypeError,
        "DAT021",
        "x",
    ),
    "map": (
        lambda: pa.table({"x": pa.array([[[]]], pa.list_(pa.map_(pa.string(), pa.int8())))}),
        UnsupportedTypeError,
        "DAT021",
        "x[]",
    ),
    "union": (
        lambda: pa.table({"x": pa.UnionArray.from_sparse(pa.array([0], pa.int8()), [pa.array([1])])}),
        UnsupportedTypeError,
        "DAT021",
        "x",
    ),
    "uuid": (lambda: pa.table({"x": pa.array([b"0" * 16], pa.uuid())}), UnsupportedTypeError, "DAT021", "x"),
    "unknown extension": (
        lambda: pa.table(
            [[1]], schema=pa.schema([pa.field("x", pa.int64(), metadata={"ARROW:extension:name": "my.own"})])
        ),
        UnsupportedTypeError,
        "DAT021",
        "x",
    ),
    "fine decimals": (lambda: objects(Decimal(1) / 3), UnsupportedTypeError, "DAT021", "x"),
    "endless decimals": (lambda: objects(Decimal("inf")), UnsupportedTypeError, "DAT021", "x"),
    "long doubles": (lambda: column(np.array([1], np.longdouble)), UnsupportedTypeError, "DAT021", "x"),
    "a series": (lambda: pl.Series("x", [1]), UnsupportedTypeError, "DAT021", ""),
    "a number": (lambda: 3, UnsupportedTypeError, "DAT021", ""),
    "complex": (lambda: column([1j]), UnsupportedTypeError, "DAT023", "x"),
    "complex objects": (lambda: objects(1j, 2), UnsupportedTypeError, "DAT023", "x"),
    "time of day": (lambda: objects(dt.time(5)), UnsupportedTypeError, "DAT025", "x"),
    "time of day in Polars": (lambda: pl.DataFrame({"x": [dt.time(5)]}), UnsupportedTypeError, "DAT025", "x"),
    "huge integers": (lambda: objects(1, 2**64), DataOverflowError, "DAT028", "x"),
    "huge categories": (lambda: column([2**70], "category"), DataOverflowError, "DAT028", "x"),
    "huge decimals": (lambda: objects(Decimal("-1e18")), DataOverflowError, "DAT028", "x"),
    "very huge decimals": (
        lambda: pa.table({"x": [{"y": [Decimal(10) ** 60]}]}),
        DataOverflowError,
        "DAT028",
        "x.y[]",
    ),
    "far days": (
        lambda: pa.table({"x": pa.array([2**31 - 1], pa.date32())}),
        DataOverflowError,
        "DAT028",
        "x",
    ),
    "sparse": (lambda: column([0, 1], "Sparse[int]"), UnsupportedTypeError, "DAT029", "x"),
    "periods": (
        lambda: pd.period_range("2020", periods=2, freq="M").to_frame(name="x", index=False),
        UnsupportedTypeError,
        "DAT030",
        "x",
    ),
    "period objects": (lambda: objects(pd.Period("2020"), None), UnsupportedTypeError, "DAT030", "x"),
    "intervals": (lambda: column(pd.cut([1, 2, 3], 2)), UnsupportedTypeError, "DAT030", "x"),
    "interval type": (
        lambda: pa.table({"x": pa.array([(1, 2, 3)], pa.month_day_nano_interval())}),
        UnsupportedTypeError,
        "DAT030",
        "x",
    ),
    "zones with nanoseconds": (
        lambda: objects(pd.Timestamp(1, tz="UTC"), pd.Timestamp(1, tz="Asia/Tokyo")),
        DataError,
        "DAT032",
        "x",
    ),
    "lone surrogate": (lambda: objects("a", "\ud800"), DataError, "DAT035", "x"),
    "lone surrogate in a name": (
        lambda: pd.DataFrame([[1]], columns=pd.Index(["\ud800"], dtype=object)),
        DataError,
        "DAT035",
        "'\\ud800'",
    ),
}


@pytest.mark.parametrize(("made", "kind", "code", "path"), REFUSED.values(), ids=REFUSED)
def test_refused(made: Callable[[], Any], kind: type[DataError], code: str, path: str) -> None:
    """What has no digest is refused by its own code, with the column and a way out."""
    with pytest.raises(kind) as caught:
        fingerprint(made())
    assert (caught.value.code, caught.value.path) == (code, path)
    assert caught.value.fix


@pytest.mark.newest_only
def test_long_polars_integers() -> None:
    """A Polars type that Arrow does not know is refused under the name of its column."""
    with pytest.raises(UnsupportedTypeError, match="found Int128") as caught:
        fingerprint(pl.DataFrame({"fine": [1], "x": [1]}, schema={"fine": pl.Int8, "x": pl.Int128}))
    assert (caught.value.code, caught.value.path) == ("DAT021", "x")


@pytest.mark.parametrize(
    "frame", [TABLE, TABLE.to_pandas(), pl.from_arrow(TABLE), TABLE.to_reader()], ids=type
)
def test_missing_columns(frame: Any) -> None:
    """A wanted column that is not there is named, and so is the one that was probably meant."""
    with pytest.raises(DataError, match="choose name") as caught:
        fingerprint(frame, columns=["nmae"])
    assert (caught.value.code, caught.value.path) == ("DAT045", "nmae")


def test_columns_that_are_not_wanted_do_not_matter() -> None:
    """A key can be digested in a frame whose other columns cannot."""
    odd = objects("a", 1).assign(id=[1, 2], again=3).rename(columns={"again": "x"})
    assert fingerprint(odd, columns=["id"]) == fingerprint(pa.table({"id": [1, 2]}))
    with pytest.raises(DataError, match="found 2 among 3"):
        fingerprint(odd, columns=["x"])


def test_a_batch_of_another_stream() -> None:
    """An accumulator counts the columns of one stream only."""
    accumulator = Accumulator(TABLE.schema)
    with pytest.raises(DataError, match="2 columns of the stream"):
        accumulator.update(TABLE.select(["id"]).to_batches()[0])
