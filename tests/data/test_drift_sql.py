"""Counts of rows that stay in Spark: the same whole numbers as here, whatever engines make of a value."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from mlkit.data.drift import count_stream, make_bins
from mlkit.data.drift_sql import count_frame, count_rows
from mlkit.errors import MlkitError
from tests.conftest import SPARKS
from tests.data.frames import as_frame

pytestmark = pytest.mark.newest_only
on_one_spark = pytest.mark.parametrize("spark", SPARKS[:1], indirect=True)

ROWS = 400
DAY = 86_400_000_000


def cycled(values: list[object], kind: pa.DataType) -> pa.Array:
    """The values over and over, a null now and then."""
    found = [None if row % 11 == 5 else values[row % len(values)] for row in range(ROWS)]
    return pa.array(found, kind)


def make_table() -> pa.Table:
    """Columns of all types that are watched, full of values on which engines differ."""
    generator = np.random.default_rng(3)
    ordinary = generator.normal(size=60).tolist()
    tiny, huge = 5e-324, 1.7976931348623157e308
    doubles = [0.0, -0.0, tiny, -tiny, 2.2e-308, huge, -huge, np.nan, np.inf, -np.inf, 0.1, 1 / 3, *ordinary]
    near = [np.nextafter(x, side) for x in ordinary[:20] for side in (-np.inf, np.inf)]
    whole = [2**53, 2**53 + 1, 2**53 + 2, 2**63 - 1, -(2**63), 0, 1, -1, *range(10, 40)]
    digits = "0.1 -0.1 0.30000000000000004 123456789012345678.12345678 9007199254740993 0 -0 1e-9"
    decimals = [Decimal(text) for text in digits.split()] + [Decimal(n) / 8 for n in range(-20, 20)]
    ticks = [*(n * 7 * DAY // 5 - 3 * DAY for n in range(-20, 20)), -1, 0, 1, -(2**40), 2**50]
    texts = [
        "",
        "a",
        "a ",
        "A",
        "ä",
        "a\u0308",
        "it's",
        '"',
        "\\",
        "\n",
        "null",
        "日本",
        "€",
        *map(str, range(60)),
    ]
    return pa.table(
        {
            "real": cycled([*doubles, *near], pa.float64()),
            "single": cycled([0.1, -0.0, 1e-45, 3.4e38, np.inf, *ordinary], pa.float32()),
            "whole": cycled(whole, pa.int64()),
            "small": cycled([*range(-5, 6), 127, -128], pa.int8()),
            "exact": cycled(decimals, pa.decimal128(38, 18)),
            "flag": cycled([True, False, True], pa.bool_()),
            "day": cycled([tick // DAY for tick in ticks], pa.int32()).cast(pa.date32()),
            "instant": cycled(ticks, pa.int64()).cast(pa.timestamp("us", "UTC")),
            "naïve `time`": cycled(ticks, pa.int64()).cast(pa.timestamp("us")),
            "text": cycled([*texts, *texts[:20]], pa.string()),
            "constant": cycled([7.5], pa.float64()),
            "empty": pa.nulls(ROWS, pa.float64()),
        }
    )


TABLE = make_table()
NUMBERS = {name: make_bins(TABLE.column(name), path=name) for name in TABLE.column_names}
CLASSES = {name: make_bins(TABLE.column(name), category=True) for name in ("real", "whole", "flag", "text")}


@pytest.mark.parametrize("bins", [NUMBERS, CLASSES], ids=["numbers", "categories"])
def test_the_same_integers_as_here(spark, bins) -> None:
    """Every row is counted in the same cell, whatever engine counts it."""
    counted = count_stream(TABLE.to_batches(max_chunksize=64), bins)
    assert {found.total for found in counted.values()} == {ROWS}
    assert count_frame(as_frame(spark, TABLE), bins) == counted


def test_edges_and_their_neighbours(spark) -> None:
    """A value on an edge, just below or just above falls on the same side everywhere."""
    bins = make_bins(pa.array(np.random.default_rng(0).normal(size=3000)))
    values = [np.nextafter(cut, to) for cut in bins.cuts for to in (-np.inf, cut, np.inf)]
    rows = pa.table({"x": pa.array(values)})
    counted = count_stream(rows.to_batches(), {"x": bins})
    assert counted["x"].numbers[: len(bins.cuts) + 1] == (1, *[3] * (len(bins.cuts) - 1), 2)
    assert count_frame(as_frame(spark, rows), {"x": bins}) == counted


@on_one_spark
def test_rows_are_counted_where_they_are(spark) -> None:
    """One call serves a stream and a frame."""
    bins = {"real": NUMBERS["real"]}
    frame = as_frame(spark, TABLE)
    assert count_rows(frame, bins) == count_rows(TABLE.to_reader(), bins)
    assert count_frame(frame, {}) == {}


@on_one_spark
@pytest.mark.parametrize(("name", "code"), [("text", "DAT091"), ("gone", "DAT092")])
def test_other_columns_are_refused(spark, name, code) -> None:
    """A column of another type or none at all is named, as it is here."""
    frame = as_frame(spark, TABLE)
    for count in (
        lambda: count_frame(frame, {name: NUMBERS["real"]}),
        lambda: count_rows(TABLE.to_reader(), {name: NUMBERS["real"]}),
    ):
        with pytest.raises(MlkitError) as caught:
            count()
        assert (caught.value.code, caught.value.path) == (code, name)


def test_many_columns_and_values(spark) -> None:
    """Wide tables with many values are one query still."""
    generator = np.random.default_rng(1)
    columns = {f"n{i}": generator.normal(size=300) for i in range(40)}
    columns |= {f"t{i}": generator.integers(0, 200, 300).astype(str) for i in range(10)}
    rows = pa.table(columns)
    bins = {name: make_bins(rows.column(name)) for name in columns}
    assert count_frame(as_frame(spark, rows), bins) == count_stream(rows.to_batches(), bins)
