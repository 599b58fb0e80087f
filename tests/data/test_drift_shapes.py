"""Bins and counts as they are stored and shown: labels, plain values, digests, files."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import math
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlkit.data.drift import Baseline, Bins, Counts, count, count_stream, make_bins, read_baseline
from mlkit.data.drift_bins import MOST_BINS, MOST_VALUES, QUANTILES
from mlkit.data.drift_sql import count_frame, count_rows
from mlkit.errors import DataError, UnsupportedTypeError

finite = st.floats(allow_nan=False, allow_infinity=False)
samples = st.lists(st.one_of(finite, st.sampled_from([0.0, 1.0])), min_size=1, max_size=80)
texts = st.text(st.characters(codec="utf-8"), max_size=8)
NUMBERS = make_bins(pa.array([1.0, 2.0, 3.0]))


@given(samples)
def test_edges_ascend_and_every_cell_has_a_label(sample):
    """From the smallest value to the largest, twenty bins at most; each bin holds a row of the sample."""
    bins = make_bins(pa.array(sample))
    assert list(bins.edges) == sorted(set(bins.edges))
    assert (bins.edges[0], bins.high) == (min(sample), max(sample))
    assert 1 <= len(bins.edges) <= MOST_BINS
    assert len(bins.labels) == bins.cells == len(bins.cuts) + 5
    inside = count(pa.array(sample), bins).numbers[1 : len(bins.edges) + 1]
    assert min(inside) > 0
    assert sum(inside) == len(sample)


@given(samples, st.randoms(use_true_random=False))
def test_the_order_of_a_sample_does_not_matter(sample, random):
    """Nor do missing values in it, nor values that are no number."""
    shuffled = [*sample, None, math.nan, math.inf, -math.inf]
    random.shuffle(shuffled)
    assert make_bins(pa.array(shuffled, from_pandas=False)) == make_bins(pa.array(sample))


@given(samples)
def test_quantiles_are_values_of_the_sample(sample):
    """As many rows as said lie at or below each; the mean lies between the ends."""
    bins = make_bins(pa.array(sample))
    assert list(bins.quantiles) == sorted(bins.quantiles)
    for share, value in zip(QUANTILES, bins.quantiles, strict=True):
        assert value in sample
        assert sum(one < value for one in sample) <= share / 100 * len(sample)
        assert sum(one <= value for one in sample) >= share / 100 * (len(sample) - 1)
    slack = 1e-12 * max(map(abs, sample)) + 1e-300  # the smallest numbers have no halves
    assert min(sample) - slack <= bins.mean <= max(sample) + slack


@given(st.lists(st.one_of(st.none(), texts), max_size=120))
def test_categories_are_the_frequent_ones(values):
    """Each occurs twice or more and as often as any that was left out; the rest is counted as other."""
    bins = make_bins(pa.array(values, pa.string()))
    often = {text: values.count(text) for text in set(values) - {None}}
    assert (
        list(bins.categories)
        == sorted((text for text in often if often[text] > 1), key=lambda text: (-often[text], text))[
            :MOST_VALUES
        ]
    )
    found = count(pa.array(values, pa.string()), bins)
    assert found.numbers[:-2] == tuple(often[text] for text in bins.categories)
    assert found.numbers[-1] == values.count(None)
    assert found.total == len(values)


@pytest.mark.parametrize(
    ("column", "label"),
    [
        (pa.array([1234567.0, 1234567.0]), "1.23457e+06"),
        (pa.array([0.1 + 0.2]), "0.3"),
        (pa.array([dt.date(1969, 12, 31)]), "1969-12-31"),
        (pa.array([dt.datetime(2024, 2, 29, 23, 59, 59)]), "2024-02-29 23:59"),  # noqa: DTZ001 - a wall clock
        (pa.array([True, True]), "1"),
        (pa.array([Decimal("1.50")]), "1.5"),
    ],
)
def test_the_label_of_one_value(column, label):
    """A bin of one value is called by it, as what it is."""
    assert make_bins(column).labels == (
        f"below {label}", label, f"above {label}", "-inf", "+inf", "nan", "missing",
    )  # fmt: skip


def test_days_that_no_calendar_has_are_numbers():
    """A label is only to be shown: it must not fail."""
    bins = Bins("number", "days", edges=(-1e12, 0.0), high=1e12)
    assert bins.labels[:3] == ("below -1e+12", "-1e+12 to 1970-01-01", "1970-01-01 to 1e+12")


def test_long_texts_are_cut_in_labels_only():
    """Texts of two hundred characters are categories still; longer ones are counted as other."""
    fits, too_long = "é" * 200, "e" * 201
    column = pa.array([fits, fits, too_long, too_long])
    bins = make_bins(column)
    assert bins.categories == (fits,)
    assert bins.labels == ("é" * 59 + "…", "other values", "missing")
    assert count(column, bins).numbers == (2, 2, 0)


@given(st.one_of(samples.map(pa.array), st.lists(texts).map(lambda v: pa.array(v, pa.string()))))
def test_bins_come_back_from_their_plain_values(column):
    """By way of JSON too, with the same digest."""
    bins = make_bins(column)
    assert Bins.from_dict(bins.to_dict()) == bins
    again = Bins.from_dict(json.loads(json.dumps(bins.to_dict())))
    assert (again, again.digest, again.cuts) == (bins, bins.digest, bins.cuts)


def test_a_digest_is_of_what_decides_where_rows_are_counted():
    """What is only shown is no part of it; everything else is."""
    base = Bins("number", edges=(1.0,), high=2.0, mean=1.5, quantiles=(1.0,))
    assert dataclasses.replace(base, mean=9.0, quantiles=()).digest == base.digest
    changes = [
        {"edges": (1.5,)},
        {"high": 2.5},
        {"measure": "days"},
        {"categories": ("a",)},
        {"kind": "category"},
    ]
    digests = {dataclasses.replace(base, **change).digest for change in changes}
    assert len(digests | {base.digest}) == len(changes) + 1


def test_counts_come_back_from_their_plain_values():
    """As whole numbers of Python, beyond what 32 bits hold."""
    counts = Counts(NUMBERS.digest, (2**40, *[0] * (NUMBERS.cells - 1)))
    assert Counts.from_dict(json.loads(json.dumps(counts.to_dict()))) == counts
    assert (counts + counts).total == 2**41
    assert counts + Counts.empty(NUMBERS) == counts
    assert all(type(number) is int for number in count(pa.array([1.0]), NUMBERS).numbers)


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (pa.binary(), "DAT090"),
        (pa.list_(pa.int8()), "DAT090"),
        (pa.struct([("a", pa.int8())]), "DAT090"),
        (pa.duration("s"), "DAT024"),
    ],
)
def test_types_that_are_not_watched(kind, code):
    """Whether bins are to be made or rows counted, as numbers or categories; the column is named."""
    column = pa.nulls(2, kind)
    for category in (False, True):
        with pytest.raises(UnsupportedTypeError, match=code) as caught:
            make_bins(column, category=category, path="x")
        assert caught.value.path.startswith("x")
    with pytest.raises(UnsupportedTypeError, match=code):
        count(column, Bins("category"), path="x")


@pytest.mark.parametrize("column", [pa.array([dt.date(2024, 1, 1)]), pa.array([Decimal("1.5")])])
def test_days_and_decimals_are_no_categories(column):
    """Asked for as such they are refused; as numbers they have bins."""
    assert make_bins(column).cells == 7
    with pytest.raises(UnsupportedTypeError, match="DAT090"):
        make_bins(column, category=True)


@pytest.mark.parametrize("type_", ["int8", "uint64", "float16", "float32", "decimal"])
def test_numbers_of_any_width_fall_into_the_same_cells(type_):
    """What is trained on in one width may be logged in another."""
    kind = pa.decimal128(10, 2) if type_ == "decimal" else getattr(pa, type_)()
    values = [np.float16(number) for number in (1, 3, 2, 2)] if type_ == "float16" else [1, 3, 2, 2]
    wanted = count(pa.array([1.0, 3.0, 2.0, 2.0, None]), NUMBERS)
    assert count(pa.concat_arrays([pa.array(values, kind), pa.nulls(1, kind)]), NUMBERS) == wanted


def test_counting_parts_of_a_column():
    """A slice counts its own rows only, chunks all of them, and a column that is all missing its length."""
    numbers = pa.array([None, 1.0, 2.0, math.nan, 9.0])
    assert count(numbers[1:3], NUMBERS).total == 2
    assert count(pa.chunked_array([numbers[:2], numbers[2:]]), NUMBERS) == count(numbers, NUMBERS)
    assert count(pa.chunked_array([], pa.float64()), NUMBERS) == Counts.empty(NUMBERS)
    assert count(pa.nulls(7), NUMBERS).numbers[-1] == 7
    words = pa.array(["a", "a", "b", None]).dictionary_encode()
    bins = make_bins(words)
    assert count(words[2:], bins).numbers == (0, 1, 1)
    assert count(pa.nulls(3), bins).numbers == (0, 0, 3)


def test_streams_are_counted_where_they_are():
    """By the same call as a frame of Spark; nothing asked is nothing counted."""
    batch = pa.record_batch({"x": [1.0, 2.0, 9.0]})
    assert count_rows(iter([batch, batch]), {"x": NUMBERS})["x"].total == 6
    assert count_stream([], {"x": NUMBERS}) == {"x": Counts.empty(NUMBERS)}
    assert count_frame(None, {}) == {}
    with pytest.raises(DataError, match="DAT092") as caught:
        count_rows(iter([batch]), {"when": NUMBERS})
    assert caught.value.path == "when"


def test_a_file_of_a_baseline_is_read_line_by_line(tmp_path):
    """One column a line, in UTF-8 as it is; the order of the columns is kept."""
    words = pa.array(["ü", "ü", "\u2028"])
    columns = {"prediction": pa.array([1.0, 2.0]), 'input_"a"': words, "input_none": pa.nulls(2)}
    bins = {name: make_bins(column) for name, column in columns.items()}
    counts = {name: count(column, bins[name]) for name, column in columns.items()}
    text = Baseline(bins, counts).to_text()
    assert text.count("\n") == len(columns) + 2
    assert "ü" in text
    (tmp_path / "mlkit_bins.json").write_text(text, encoding="utf-8")
    found = read_baseline(tmp_path)
    assert found == Baseline(bins, counts)
    assert list(found.bins) == list(columns)
    assert Baseline.from_text(Baseline({}, {}).to_text()) == Baseline({}, {})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        '{"columns": {}}',
        '{"format": 1}',
        '{"format": 1, "columns": []}',
        '{"format": 1, "columns": {"x": {"bins": {"kind": "number"}}}}',
        '{"format": 1, "columns": {"x": {"bins": {}, "counts": []}}}',
        '{"format": 1, "columns": {"x": {"bins": {"kind": "number", "new": 1}, "counts": []}}}',
        '{"format": 1, "columns": {"x": {"bins": {"kind": "number"}, "counts": 3}}}',
    ],
)
def test_what_is_no_baseline(text):
    """It is one error, with what to do, whatever is wrong in the file."""
    with pytest.raises(DataError, match="DAT093") as caught:
        Baseline.from_text(text)
    assert "mlkit deploy" in caught.value.fix
