"""Rules of the verdict that hold for any numbers: distances, what could be seen, levels, sentences."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlkit.data.drift import (
    Bins,
    Comparison,
    Counts,
    adjusted,
    compare,
    count,
    in_deviations,
    judge_window,
    levels,
    make_bins,
    smallest_shift,
)
from mlkit.data.drift_effects import MOST_MOVED
from mlkit.data.monitor_spec import Monitor
from mlkit.errors import ConfigError

RULE = Monitor(alpha=0.01)
WORDS = Bins("category", categories=("a", "b", "c"))
NUMBERS = make_bins(pa.array([float(number) for number in range(8)]))

names = st.sampled_from(["prediction", "probability_a", "probability_b", "input_a", "input_b", "input_c"])
p_values = st.dictionaries(names, st.floats(0, 1), min_size=1)
cells = st.lists(st.integers(0, 60), min_size=5, max_size=5)


def words(numbers) -> Counts:
    """Counts of the cells a, b, c, other and missing."""
    return Counts(WORDS.digest, tuple(numbers))


def said(p_value: float = 0.5, **more) -> Comparison:
    """A comparison of which only this matters."""
    values = dict.fromkeys(("ks", "psi", "js", "tv", "l_infinity", "chi2", "w1"), 0.0)
    values |= {"missing": (0, 0), "outside": (0, 0), "rows": (9000, 5000), "visible": 0.05}
    return Comparison(**{"p_value": p_value, **values, **more})


@settings(max_examples=30)
@given(cells.filter(any), cells.filter(any))
def test_distances_are_symmetric_and_bounded(before, now):
    """Whichever side is called the reference; equal shares have none."""
    one = compare(words(before), words(now), WORDS, alpha=0.01)
    other = compare(words(now), words(before), WORDS, alpha=0.01)
    for name in ("ks", "psi", "js", "tv", "l_infinity", "chi2"):
        assert getattr(one, name) == pytest.approx(getattr(other, name), abs=1e-12), name
    assert 0 <= one.l_infinity <= one.tv + 1e-12
    assert 0 <= one.ks <= one.tv + 1e-12 <= 1 + 2e-12
    assert 0 <= one.js <= 1 + 1e-12
    assert one.psi >= -1e-12
    assert one.missing == other.missing[::-1]
    assert one.rows == (sum(before), sum(now))
    assert one.effect == one.tv


@settings(max_examples=30)
@given(cells.filter(any), st.integers(2, 5))
def test_more_of_the_same_is_no_change(numbers, times):
    """Shares are compared, not rows."""
    found = compare(words(numbers), words([times * number for number in numbers]), WORDS, alpha=0.01)
    assert found.p_value > 0.05
    assert found.effect == pytest.approx(0, abs=1e-12)
    assert found.js == pytest.approx(0, abs=1e-6)


@settings(max_examples=30)
@given(cells, cells)
def test_p_values_are_none_that_cannot_be(before, now):
    """Between chance and never, and the same for the same seed."""
    found = compare(words(before), words(now), WORDS, alpha=0.01, seed=3)
    assert 0 < found.p_value <= 1
    assert found == compare(words(before), words(now), WORDS, alpha=0.01, seed=3)


def test_the_cells_that_changed_most_are_named():
    """Five at most, the largest change first, with the shares before and now; unchanged ones are not."""
    found = compare(words([50, 30, 10, 10, 0]), words([30, 30, 10, 10, 20]), WORDS, alpha=0.01)
    assert [tuple(cell) for cell in found.moved] == [("a", 0.5, 0.3), ("missing", 0.0, 0.2)]
    shifted = compare(
        count(pa.array([float(number) for number in range(8)]), NUMBERS),
        count(pa.array([float(number) for number in range(20, 28)]), NUMBERS),
        NUMBERS,
        alpha=0.01,
    )
    assert len(shifted.moved) == MOST_MOVED
    assert shifted.moved[0] == ("above 7", 0.0, 1.0)
    assert shifted.outside == (0.0, 1.0)
    assert (shifted.ks, shifted.tv, shifted.effect) == (1.0, 1.0, 1.0)


def test_a_comparison_as_plain_values():
    """JSON takes it, with the effect and the cells by name."""
    found = compare(words([50, 30, 10, 10, 0]), words([30, 30, 10, 10, 20]), WORDS, alpha=0.01)
    plain = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert plain["moved"][0] == {"label": "a", "reference": 0.5, "window": 0.3}
    assert plain["rows"] == [100, 100]
    assert plain["effect"] == plain["tv"] == found.tv
    assert plain["w1"] is None


def test_distance_in_units_of_the_column():
    """All rows three further on are three away, each bin taken at its middle; none on a side is not known."""
    low = count(pa.array([0.5, 1.5, 2.5]), NUMBERS)
    high = count(pa.array([3.5, 4.5, 5.5]), NUMBERS)
    assert compare(low, high, NUMBERS, alpha=0.01).w1 == pytest.approx(3.0)
    assert compare(low, count(pa.nulls(3), NUMBERS), NUMBERS, alpha=0.01).w1 is None


def test_a_distance_beyond_what_a_number_holds():
    """It is not known, and fails nothing; the others are."""
    wide = make_bins(pa.array([-1.7e308, 1.7e308]))
    ends = count(pa.array([-1.75e308]), wide), count(pa.array([1.75e308]), wide)
    found = compare(*ends, wide, alpha=0.01)
    assert (found.w1, found.ks) == (None, 1.0)


@given(
    st.integers(1, 10**7),
    st.integers(1, 10**7),
    st.floats(1e-6, 0.2),
    st.one_of(st.none(), st.integers(1, 52)),
)
def test_what_could_be_seen_is_a_share(reference, window, alpha, categories):
    """The sides may change places, and more rows never show less."""
    options = {"alpha": alpha, "categories": categories}
    found = smallest_shift(reference, window, **options)
    assert 0 < found <= 1
    assert found == smallest_shift(window, reference, **options)
    assert smallest_shift(reference, 2 * window, **options) <= found
    assert smallest_shift(reference, window, alpha=alpha / 2, categories=categories) >= found


@pytest.mark.parametrize(("shift", "deviations"), [(0.0, 0.0), (0.3829249, 1.0), (0.6826895, 2.0)])
def test_shifts_in_deviations(shift, deviations):
    """Two normal curves so far apart differ by that much at the point between them; all of it is far."""
    assert in_deviations(shift) == pytest.approx(deviations, abs=1e-5)
    assert math.isfinite(in_deviations(1.0))
    assert in_deviations(1.0) > 10


@given(p_values)
def test_adjusted_p_values(found):
    """Never smaller than they were, and in the same order within output and inputs."""
    after = adjusted(found)
    assert after.keys() == found.keys()
    assert all(found[name] <= after[name] <= 1 for name in found)
    assert adjusted(dict(reversed(found.items()))) == after
    outputs = [name for name in found if not name.startswith("input_")]
    for family in (outputs, [name for name in found if name not in outputs]):
        for one, other in itertools.permutations(family, 2):
            assert found[one] > found[other] or after[one] <= after[other]
    if len(found) == 1:
        assert after == found


@given(st.sets(names, min_size=1), st.floats(1e-4, 0.05))
def test_levels_are_what_adjusting_asks(columns, alpha):
    """A p-value at its level, with no other change, is adjusted to alpha: neither more nor less is asked."""
    rule = Monitor(alpha=alpha)
    asked = levels(columns, rule)
    assert sum(asked.values()) == pytest.approx(alpha)
    for name, level in asked.items():
        after = adjusted({**dict.fromkeys(columns, 1.0), name: level})
        assert after[name] == pytest.approx(alpha)


@pytest.mark.parametrize(
    ("comparison", "options", "sentence"),
    [
        (said(rows=(9000, 99)), {}, "99 rows, fewer than 100"),
        (said(), {"coverage": 0.9}, "90.0% of the answers are in the log, fewer than 95%"),
        (said(), {"coverage": 0.95}, "no change beyond chance (p = 0.5)"),
        (said(0.001, ks=0.05), {}, "5.0% of the rows moved, p = 0.001, less than the 10% that matter"),
        (said(0.001, ks=0.5), {}, "50.0% of the rows moved, p = 0.001, at most 0.001"),
        (said(0.005, ks=0.5), {}, "50.0% of the rows moved, p = 0.005, at most 0.01"),
        (
            said(0.005, ks=0.5),
            {"earlier": {"prediction": ["WARN", "NO_DATA", "INSUFFICIENT_DATA"]}},
            "50.0% of the rows moved, p = 0.005, at most 0.01 in two windows running",
        ),
        (
            said(visible=0.2, rows=(120, 5000)),
            {},
            "only a change of 20.0% of the rows or more would be seen, for there are 120 rows at training",
        ),
        (
            said(visible=0.2, rows=(9000, 150)),
            {},
            "only a change of 20.0% of the rows or more would be seen, for there are 150 rows in this window",
        ),
        (said(0.001, tv=0.5, category=True), {}, "50.0% of the rows moved, p = 0.001, at most 0.001"),
    ],
)
def test_the_sentence_beside_a_verdict(comparison, options, sentence):
    """It says the numbers that decided, and on which side rows are missing."""
    verdict = judge_window({"prediction": comparison}, RULE, **options)
    assert verdict.reasons == (f"prediction: {sentence}",)
    assert verdict.columns["prediction"].reason == sentence


def test_a_window_in_which_nothing_was_compared():
    """It is not OK, and says so."""
    verdict = judge_window({}, RULE)
    assert (verdict.verdict, verdict.reasons) == ("INSUFFICIENT_DATA", ("nothing was compared",))


def test_the_history_of_another_column_does_not_count():
    """Each column has its own."""
    pair = {"prediction": said(), "input_a": said(0.003, ks=0.5)}
    verdict = judge_window(pair, RULE, earlier={"prediction": ["WARN"], "input_b": ["DRIFT"]})
    assert verdict.columns["input_a"].verdict == "WARN"
    assert judge_window(pair, RULE, earlier={"input_a": ["WARN"]}).verdict == "DRIFT"
    plain = json.loads(json.dumps(verdict.to_dict()))
    assert list(plain["columns"]) == ["prediction", "input_a"]
    assert plain["columns"]["input_a"]["p_value"] == pytest.approx(0.006)
    assert plain["reasons"][0].startswith("input_a: ")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, 7 / 365),
        ({"alarms_per_year": 2}, 14 / 365),
        ({"alarms_per_year": 100}, 0.05),
        ({"alpha": 0.2, "alarms_per_year": 1}, 0.2),
        ({"window_days": 1}, 1 / 365),
    ],
)
def test_the_level_of_a_window(fields, expected):
    """From the year's budget up to a twentieth; a level that is set is taken as it is."""
    assert Monitor(**fields).window_alpha == pytest.approx(expected)


def test_inputs_of_a_file_are_a_list():
    """They become a tuple; one text is no list of names."""
    assert Monitor(inputs=["a", "b"]) == Monitor(inputs=("a", "b"))
    with pytest.raises(ConfigError, match="inputs"):
        Monitor(inputs="ab")


def test_large_counts_give_finite_numbers():
    """Beyond what 32 bits hold, on any number of cells."""
    rng = np.random.default_rng(0)
    before, now = (tuple((rng.random(5) * 2**36).astype(np.int64).tolist()) for _ in range(2))
    found = compare(words(before), words(now), WORDS, alpha=0.01)
    assert 0 < found.p_value < 0.001
    assert all(math.isfinite(value) for value in (found.psi, found.js, found.chi2, found.tv, found.ks))
