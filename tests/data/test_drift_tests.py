"""The test of two sets of counts: as often wrong as it says, and as far apart as scipy finds them."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats
from scipy.spatial.distance import jensenshannon

from mlkit.data.drift import (
    Counts,
    compare,
    count,
    in_deviations,
    judge_window,
    levels,
    make_bins,
    smallest_shift,
)
from mlkit.data.drift_effects import bin_middles
from mlkit.data.monitor_spec import Monitor

CLASSES, SHARES = list("abcdefgh"), [0.4, 0.3, 0.1, 0.1, 0.05, 0.03, 0.015, 0.005]


def numbers(rows: int, generator, shift: float = 0.0) -> pa.Array:
    """Skewed numbers, half of them zero, some missing."""
    values = generator.lognormal(size=rows) * (generator.random(rows) < 0.5) + shift
    return pa.array(values, mask=generator.random(rows) < 0.05)


def classes(rows: int, generator) -> pa.Array:
    """Classes, some rare."""
    return pa.array(generator.choice(CLASSES, rows, p=SHARES))


def compared(reference: pa.Array, window: pa.Array, alpha: float = 0.05):
    """Both sides counted in the bins of the first."""
    bins = make_bins(reference)
    return compare(count(reference, bins), count(window, bins), bins, alpha=alpha)


def test_false_alarms_are_as_frequent_as_said():
    """A thousand windows without any change, of a skewed number and a category: at most alpha are not OK."""
    generator = np.random.default_rng(20)
    monitor = Monitor(alpha=0.05, min_effect=0.0, min_rows=30)
    alpha = levels(["prediction", "input_kind"], monitor)
    windows, verdicts = 1000, []
    for window in range(windows):
        rows = (40, 300, 3000)[window % 3]
        pairs = {
            "prediction": (numbers(1000, generator), numbers(rows, generator)),
            "input_kind": (classes(1000, generator), classes(rows, generator)),
        }
        found = {name: compared(*pair, alpha=alpha[name]) for name, pair in pairs.items()}
        verdicts.append(judge_window(found, monitor).verdict)
    alarms = sum(verdict in ("WARN", "DRIFT") for verdict in verdicts) / windows
    spread = math.sqrt(0.05 * 0.95 / windows)
    assert 0.02 < alarms < 0.05 + 3 * spread
    assert verdicts.count("DRIFT") / windows < 0.005 + 3 * math.sqrt(0.005 / windows)


def test_what_is_said_to_be_visible_is_seen():
    """A shift of the size that is named is found four times out of five at least, a third of it seldom."""
    generator = np.random.default_rng(7)
    reference = pa.array(generator.normal(size=2000))
    visible = in_deviations(smallest_shift(2000, 200, alpha=0.02))
    seen = []
    for shift in (visible, visible / 3):
        found = [compared(reference, pa.array(generator.normal(size=200) + shift)) for _ in range(60)]
        seen.append(sum(each.p_value <= 0.02 for each in found) / 60)
    assert seen[0] >= 0.8
    assert seen[1] < 0.4


def test_categories_show_a_change_of_the_size_that_is_named():
    """Shares that move from one half of the categories to the other."""
    generator = np.random.default_rng(1)
    even = np.full(10, 0.1)
    visible = smallest_shift(4000, 500, alpha=0.02, categories=10)
    moved = even + np.repeat([visible, -visible], 5) / 5
    names = [f"c{place}" for place in range(10)]
    hits = 0
    for _ in range(100):
        before, now = (pa.array(generator.choice(names, n, p=p)) for n, p in ((4000, even), (500, moved)))
        hits += compared(before, now).p_value <= 0.02
    assert 65 <= hits <= 95


def test_more_rows_show_less():
    """What is visible shrinks with rows and grows with certainty; no rows show nothing."""
    sizes = [smallest_shift(2000, rows, alpha=0.01) for rows in (100, 500, 2000, 10**6)]
    assert sizes == sorted(sizes, reverse=True)
    assert smallest_shift(2000, 500, alpha=0.001) > smallest_shift(2000, 500, alpha=0.01)
    assert (smallest_shift(0, 500, alpha=0.01), smallest_shift(5, 5, alpha=0.01)) == (1.0, 1.0)


def expand(counts: Counts, places: list[float]) -> np.ndarray:
    """A value for each row of the finite cells."""
    return np.repeat(places, counts.numbers[: len(places)])


def test_effects_are_those_of_scipy():
    """KS, chi-squared, Jensen-Shannon and Wasserstein, each of the same binned rows."""
    generator = np.random.default_rng(5)
    reference, window = pa.array(generator.normal(size=1500)), pa.array(generator.normal(0.3, 1.2, size=400))
    bins = make_bins(reference)
    before, now = count(reference, bins), count(window, bins)
    found = compare(before, now, bins, alpha=0.01)
    places = bin_middles(bins)
    a, b = expand(before, places), expand(now, places)
    assert found.ks == pytest.approx(
        stats.ks_2samp(expand(before, range(22)), expand(now, range(22))).statistic
    )
    assert found.w1 == pytest.approx(stats.wasserstein_distance(a, b))
    both = np.array([before.numbers, now.numbers])
    both = both[:, both.sum(axis=0) > 0]
    assert found.chi2 == pytest.approx(stats.chi2_contingency(both, correction=False).statistic)
    assert found.js == pytest.approx(jensenshannon(*both, base=2))
    p, q = (both + 0.5) / (both + 0.5).sum(axis=1, keepdims=True)
    assert found.psi == pytest.approx(((p - q) * np.log(p / q)).sum())
    shares = both / both.sum(axis=1, keepdims=True)
    assert (found.tv, found.l_infinity) == pytest.approx(
        (np.abs(shares[0] - shares[1]).sum() / 2, np.abs(shares[0] - shares[1]).max())
    )


@pytest.mark.parametrize("kind", ["number", "category"])
def test_p_values_are_those_of_scipy(kind):
    """With many rows and no ties beyond the bins, the permutation test is the textbook one."""
    generator = np.random.default_rng(8)
    if kind == "category":
        before, now = classes(3000, generator), classes(900, generator)
        bins = make_bins(before)
        both = np.array([count(side, bins).numbers for side in (before, now)])
        expected = stats.chi2_contingency(both[:, both.sum(axis=0) > 0]).pvalue
        assert compared(before, now).p_value == pytest.approx(expected, abs=0.05)
        return
    before, now = (pa.array([False] * no + [True] * yes) for no, yes in ((30, 70), (45, 55)))
    expected = stats.fisher_exact([[30, 70], [45, 55]]).pvalue
    assert compared(before, now).p_value == pytest.approx(expected, rel=0.15)


def test_far_tails_are_bounded_and_not_cut_off():
    """Where no shuffle ever comes near, the p-value is small, but never smaller than the exact one."""
    bins = make_bins(pa.array([0, 1] * 10))
    for ones in (160, 200, 400):
        before, now = pa.array([0] * 900 + [1] * 100), pa.array([0] * (1000 - ones) + [1] * ones)
        found = compare(count(before, bins), count(now, bins), bins, alpha=0.01).p_value
        exact = stats.hypergeom.sf(ones - 1, 2000, 100 + ones, 1000)
        if ones > 160:
            assert exact <= found <= 20 * exact
        else:
            assert exact <= found < 0.01


def test_one_cell_of_many_that_changes_beyond_all_shuffles():
    """Cells beside it that hardly differ do not disturb the bound of the one that does."""
    bins = make_bins(pa.array(range(20)))
    for extra in (0, 1, 2):
        before = Counts(bins.digest, (0, *[100] * 20, *[0] * 5))
        now = Counts(bins.digest, (0, *[10 + extra] * 19, 500, *[0] * 5))
        assert 0 < compare(before, now, bins, alpha=0.01).p_value < 1e-50


def test_totals_beyond_what_can_be_dealt():
    """With billions of rows the limit of many rows is used: no change is none, the smallest one is seen."""
    bins = make_bins(pa.array([0, 1] * 10))

    def billions(share: float, rows: int) -> Counts:
        ones = round(rows * share)
        return Counts(bins.digest, (0, rows - ones, ones, 0, 0, 0, 0, 0))

    assert compare(billions(0.5, 4 * 10**9), billions(0.5, 10**9), bins, alpha=0.01).p_value == 1.0
    assert compare(billions(0.5, 4 * 10**9), billions(0.501, 10**9), bins, alpha=0.01).p_value < 1e-9


def test_missing_values_are_a_change():
    """A column that is suddenly empty in a third of the rows has drifted, null and nan being the same."""
    generator = np.random.default_rng(0)
    values = generator.normal(size=2000)
    holes = np.where(generator.random(2000) < 0.3, np.nan, values)
    found = compared(pa.array(values), pa.array(holes))
    assert found.missing[1] == pytest.approx(np.isnan(holes).mean())
    assert (found.p_value < 1e-9, found.moved[0].label) == (True, "missing")
    assert found.ks == pytest.approx(found.missing[1], abs=0.05)
    as_null = compared(pa.array(holes), pa.array(holes, from_pandas=True))
    assert (as_null.p_value, as_null.ks, as_null.psi) == (1.0, 0.0, 0.0)


def test_new_values_are_outside():
    """Numbers beyond the range and categories never seen are shares of their own."""
    texts = compared(pa.array(["a", "b"] * 100), pa.array(["a", "b", "c", None] * 50))
    assert (texts.outside, texts.missing, texts.w1) == ((0.0, 0.25), (0.0, 0.25), None)
    far = compared(pa.array([1.0, 2.0] * 100), pa.array([1.0, 2.0, 9.0, np.inf, -5.0] * 40))
    assert far.outside == (0.0, pytest.approx(0.6))
    assert {cell.label for cell in far.moved} >= {"above 2", "below 1", "+inf"}


def test_the_same_counts_give_the_same_result():
    """Nothing but the counts, the bins and the seed decides."""
    generator = np.random.default_rng(0)
    pair = numbers(500, generator), numbers(200, generator, 0.02)
    assert compared(*pair) == compared(*pair)
    assert compared(*pair).to_dict()["rows"] == [500, 200]


@pytest.mark.parametrize("side", [0, 1])
def test_a_side_without_rows(side):
    """Nothing to compare is no change, and nothing could have been seen."""
    columns = [pa.array([1.0, 2.0] * 50)] * 2
    bins = make_bins(columns[0])
    counts = [Counts.empty(bins) if place == side else count(columns[0], bins) for place in (0, 1)]
    found = compare(*counts, bins, alpha=0.01)
    assert (found.p_value, found.visible, found.w1) == (1.0, 1.0, None)
    assert compare(Counts.empty(bins), Counts.empty(bins), bins, alpha=0.01).rows == (0, 0)
