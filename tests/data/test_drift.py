"""Bins and counts: fixed once, whole numbers, the same however rows arrive."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlkit.data.drift import (
    Baseline,
    Bins,
    Counts,
    compare,
    count,
    count_stream,
    make_bins,
    read_baseline,
    read_bins,
)
from mlkit.errors import MlkitError

GOLDEN = json.loads((Path(__file__).parent.parent / "golden" / "drift.json").read_text())
floats = st.floats(allow_nan=True, allow_infinity=True)


def skewed(rows: int, seed: int = 0) -> pa.Array:
    """Numbers with a long tail."""
    return pa.array(np.random.default_rng(seed).lognormal(size=rows))


def counted(column: pa.Array, bins: Bins) -> dict[str, int]:
    """Counts by label, without the empty cells."""
    numbers = count(column, bins).numbers
    return {label: rows for label, rows in zip(bins.labels, numbers, strict=True) if rows}


def test_numbers_get_equally_full_bins():
    """Twenty bins of one size, and nothing outside of them."""
    bins = make_bins(skewed(2000))
    assert count(skewed(2000), bins).numbers == (0, *[100] * 20, *[0] * 5)
    assert (len(bins.labels), bins.cells) == (26, 26)


def test_what_the_sample_did_not_hold_is_counted_apart():
    """Below, above, both infinities, nan and null have a cell each; the largest value is inside."""
    bins = make_bins(pa.array([1.0, 2.0, 3.0]))
    values = [0.5, 1.0, 3.0, 3.5, -np.inf, np.inf, np.nan, None, None]
    assert counted(pa.array(values, from_pandas=False), bins) == {
        "below 1": 1, "1 to 2": 1, "3": 1, "above 3": 1, "-inf": 1, "+inf": 1, "nan": 1, "missing": 2,
    }  # fmt: skip


def test_few_values_get_a_bin_each():
    """A rare second value, on which no quantile lies, is seen all the same."""
    bins = make_bins(pa.array([0] * 990 + [1] * 10))
    assert bins.edges == (0.0, 1.0)
    assert counted(pa.array([0, 0, 1, 2]), bins) == {"0 to 1": 2, "1": 1, "above 1": 1}


def test_a_frequent_value_leaves_bins_for_the_others():
    """The tail of a column that is mostly zero is cut as finely as any."""
    values = np.concatenate([np.zeros(9500), np.random.default_rng(0).lognormal(size=500)])
    numbers = count(pa.array(values), make_bins(pa.array(values))).numbers
    assert (numbers[1] >= 9500, len(numbers), max(numbers[2:21]) < 40) == (True, 26, True)


@pytest.mark.parametrize("values", [[4.0, 4.0], [5e-324], [1.7976931348623157e308, -1.7976931348623157e308]])
def test_constants_and_extremes(values):
    """Every value of the sample falls inside."""
    column = pa.array(values)
    bins = make_bins(column)
    assert sum(count(column, bins).numbers[1 : len(bins.edges) + 1]) == len(values)
    assert count(pa.array([0.0 if values[0] else 1.0, np.inf]), bins).total == 2


@pytest.mark.parametrize(
    "column", [pa.array([], pa.float64()), pa.array([None, np.nan], pa.float64()), pa.nulls(2)]
)
def test_a_sample_without_numbers(column):
    """What comes later is counted still: any number, or none."""
    bins = make_bins(column)
    assert counted(pa.array([1.0, 2.0, None]), bins) == {"any number": 2, "missing": 1}
    assert count(pa.nulls(3), bins).total == 3


def test_types_that_are_numbers():
    """Booleans, decimals, days and instants are cut like numbers, and labelled as what they are."""
    days = pa.array([dt.date(2024, 1, day) for day in (1, 2, 31)])
    instants = pa.array([dt.datetime(2024, 1, 1, 12, tzinfo=dt.UTC)])
    assert make_bins(pa.array([True, False, None])).edges == (0.0, 1.0)
    assert make_bins(pa.array([Decimal("0.1"), Decimal("0.3")])).edges == (0.1, 0.3)
    assert make_bins(days).labels[1:4] == (
        "2024-01-01 to 2024-01-02",
        "2024-01-02 to 2024-01-31",
        "2024-01-31",
    )
    assert make_bins(instants).labels[1] == "2024-01-01 12:00"
    assert make_bins(pa.array([2**53, 2**53 + 1, 2**53 + 2])).edges == (2.0**53, 2.0**53 + 2)


def test_the_most_frequent_values_of_a_category():
    """Fifty at most, none that one row alone holds, ties in the order of the alphabet."""
    texts = [f"v{place:02}" for place in range(60) for _ in range(70 - place)]
    bins = make_bins(pa.array([*texts, "once", None]))
    assert bins.categories == tuple(f"v{place:02}" for place in range(50))
    assert make_bins(pa.array(["b", "a", "b", "a", "x" * 201, "x" * 201])).categories == ("a", "b")
    assert counted(pa.array(["v00", "new", None]), bins) == {"v00": 1, "other values": 1, "missing": 1}


@pytest.mark.parametrize(
    "column",
    [
        pa.array(["a", "b", None, "a"]).dictionary_encode(),
        pa.chunked_array([["a", "b"], [None, "a"]]),
        pa.array(["a", "b", None, "a"], pa.large_string()),
        pa.array(pd.Categorical(["a", "b", None, "a"], categories=["b", "zz", "a"])),
    ],
    ids=["dictionary", "chunks", "large", "pandas"],
)
def test_encodings_make_no_difference(column):
    """A category is its text, however Arrow keeps it."""
    plain = make_bins(pa.array(["a", "b", None, "a"]))
    assert make_bins(column) == plain
    assert count(column, plain) == count(pa.array(["a", "b", None, "a"]), plain)


@pytest.mark.parametrize(
    ("classes", "texts"),
    [([True, False], ("False", "True")), ([3, 10], ("10", "3")), ([1.0, -0.0, 0.0], ("0.0", "1.0"))],
)
def test_classes_are_counted_by_their_text(classes, texts):
    """As Python writes them, in which form the prediction log has them."""
    bins = make_bins(pa.array(classes * 2), category=True)
    assert sorted(bins.categories) == list(texts)
    logged = pa.array([str(label).removeprefix("-") for label in classes])
    assert count(pa.array(classes), bins) == count(logged, bins)


@given(st.lists(floats, max_size=60), st.lists(floats, max_size=60))
def test_counts_are_those_of_a_binary_search(sample, values):
    """Whatever the numbers are: the rule of the bins, one value at a time."""
    bins = make_bins(pa.array(sample, pa.float64()))
    expected = np.zeros(bins.cells, np.int64)
    for value in values:
        special = {-np.inf: -4, np.inf: -3}.get(value, -2 if np.isnan(value) else None)
        expected[np.searchsorted(bins.cuts, value, side="right") if special is None else special] += 1
    assert count(pa.array(values, pa.float64()), bins).numbers == tuple(expected)


@given(st.lists(st.one_of(st.none(), floats), max_size=80), st.integers(1, 40))
def test_counts_add_up(values, size):
    """Counting parts and adding is counting all; in any order."""
    bins = make_bins(pa.array([0.0, 1.0, 5.0, 5.0]))
    parts = [
        count(pa.array(values[at : at + size], pa.float64()), bins) for at in range(0, len(values), size)
    ]
    assert sum(reversed(parts), Counts.empty(bins)) == count(pa.array(values, pa.float64()), bins)


def test_a_stream_is_counted_batch_by_batch():
    """Several columns at once, whatever the size of the batches, and whichever library they are from."""
    rows = pa.table({"x": skewed(5000), "t": np.random.default_rng(0).choice(["a", "b", "c"], 5000)})
    bins = {name: make_bins(rows.column(name)) for name in rows.column_names}
    whole = {name: count(rows.column(name), bins[name]) for name in bins}
    for size in (7, 100_000):
        assert count_stream(rows.to_batches(max_chunksize=size), bins) == whole
    assert count_stream(pa.Table.from_pandas(rows.to_pandas()).to_batches(), bins) == whole


def test_a_baseline_survives_its_file(tmp_path):
    """Bins of every kind come back with the same digest, and the same file comes out again."""
    columns = {
        "prediction": skewed(500),
        "input_day": pa.array([dt.date(2024, 1, 1)]),
        "input_t": pa.array(["ä"] * 3),
    }
    bins = {name: make_bins(column) for name, column in columns.items()}
    baseline = Baseline(
        bins, count_stream([], bins) | {"input_t": count(columns["input_t"], bins["input_t"])}
    )
    (tmp_path / "mlkit_bins.json").write_text(baseline.to_text(), encoding="utf-8")
    found = read_baseline(tmp_path)
    assert (found, read_bins(tmp_path)) == (baseline, bins)
    assert found.to_text() == baseline.to_text()
    assert {name: cut.digest for name, cut in found.bins.items()} == {n: c.digest for n, c in bins.items()}
    assert Counts.from_dict(found.counts["input_t"].to_dict()).total == 3


@pytest.mark.parametrize("text", ["{", "[]", '{"format": 2}', '{"format": 1, "columns": {"x": {"bins": 1}}}'])
def test_a_baseline_that_cannot_be_read(tmp_path, text):
    """It is said which file it is and what helps; likewise where there is none."""
    for _ in range(2):
        with pytest.raises(MlkitError) as caught:
            read_baseline(tmp_path)
        assert (caught.value.code, caught.value.path) == ("DAT093", "mlkit_bins.json")
        (tmp_path / "mlkit_bins.json").write_text(text)


@pytest.mark.parametrize(
    ("column", "bins", "code"),
    [
        (pa.array([[1]]), [1.0], "DAT090"),
        (pa.array([b"x"]), ["a"], "DAT090"),
        (pa.array(["1"]), [1.0], "DAT091"),
        (pa.array([dt.date(2024, 1, 1)]), [1.0], "DAT091"),
    ],
)
def test_columns_that_do_not_fit_are_refused(column, bins, code):
    """The error names the column and no value."""
    with pytest.raises(MlkitError) as caught:
        count(column, make_bins(pa.array(bins)), path="amount")
    assert (caught.value.code, caught.value.path) == (code, "amount")


def test_counts_of_other_bins_do_not_mix():
    """Neither a sum nor a comparison takes them."""
    one, other = (make_bins(skewed(100, seed)) for seed in (0, 1))
    a, b = Counts.empty(one), Counts.empty(other)
    for act in (lambda: a + b, lambda: compare(a, b, one, alpha=0.01)):
        with pytest.raises(MlkitError, match="DAT094"):
            act()
    with pytest.raises(MlkitError, match="DAT092"):
        count_stream(pa.table({"y": [1.0]}).to_batches(), {"x": one})


def pattern(rows: int, step: int) -> list[float]:
    """Numbers made without a generator."""
    return [((row * step) % 10_007) ** 2 / 1000 for row in range(rows)]


def test_the_golden_file():
    """Edges, counts, p-values and effects are those of every release, on any version of numpy."""
    reference, window = pattern(3000, 7919), [value * 1.25 for value in pattern(800, 6101)]
    bins = make_bins(pa.array(reference))
    before, now = count(pa.array(reference), bins), count(pa.array(window), bins)
    found = compare(before, now, bins, alpha=0.01).to_dict()
    assert (bins.to_dict() | {"edges": list(bins.edges), "quantiles": list(bins.quantiles)}) == GOLDEN["bins"]
    assert (bins.digest, list(before.numbers), list(now.numbers)) == tuple(
        GOLDEN[name] for name in ("digest", "before", "now")
    )
    assert found["p_value"] == GOLDEN["comparison"]["p_value"]
    for name, value in GOLDEN["comparison"].items():
        assert found[name] == (pytest.approx(value, rel=1e-12) if isinstance(value, float) else value)
