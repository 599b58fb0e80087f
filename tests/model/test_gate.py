"""The gate: fails closed, and says why in sentences with numbers."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlkit.errors import ConfigError
from mlkit.model.gate import Direction, Gate, Scores, Verdict, judge

MANY = settings(deadline=None, max_examples=200)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
IMPROVEMENTS = st.floats(min_value=0, allow_nan=False, allow_infinity=False)
DIRECTIONS = st.sampled_from(get_args(Direction))
GATES = st.builds(Gate, threshold=st.none() | NUMBERS, min_improvement=IMPROVEMENTS)
BROKEN = [None, math.nan, math.inf, -math.inf, np.float64("nan"), np.float32("inf")]


def _scores(candidate: float | None, champion: float | None = None, **others: object) -> Scores:
    values: dict[str, object] = {"rows": 403_110, "has_champion": champion is not None, **others}
    return Scores(candidate=candidate, champion=champion, **values)  # type: ignore[arg-type]


def _rmse(scores: Scores, gate: Gate) -> Verdict:
    return judge(scores, gate, direction="minimize")


def test_a_better_candidate_is_promoted_with_both_numbers_in_the_reasons() -> None:
    """The reasons hold both scores, the improvement, what was needed and the rows."""
    verdict = _rmse(_scores(23.42, 24.3), Gate(threshold=25))
    assert verdict == Verdict(
        passed=True,
        outcome="promote",
        reasons=(
            "candidate 23.42 <= threshold 25",
            "better than the champion's 24.3 by 0.88 (needed > 0) on 403,110 same rows",
        ),
    )


def test_a_first_deployment_needs_only_the_threshold() -> None:
    """Without a champion nothing has to be beaten, and the verdict says that there was none."""
    verdict = _rmse(_scores(23.42), Gate(threshold=25))
    assert (verdict.passed, verdict.outcome) == (True, "promote")
    assert verdict.reasons[1] == "no champion to compare with, scored on 403,110 rows"


def test_a_first_deployment_below_the_threshold_is_rejected() -> None:
    """There is no champion to keep, so the outcome is an error."""
    verdict = _rmse(_scores(26.1), Gate(threshold=25))
    assert (verdict.passed, verdict.outcome) == (False, "reject")
    assert verdict.reasons[0] == "candidate 26.1 is not <= threshold 25"


@pytest.mark.parametrize(("direction", "sign"), [("minimize", "<="), ("maximize", ">=")])
def test_the_threshold_is_inclusive(direction: Direction, sign: str) -> None:
    """A score equal to the threshold has reached it, whichever way is better."""
    verdict = judge(_scores(0.8), Gate(threshold=0.8), direction=direction)
    assert verdict.passed
    assert verdict.reasons[0] == f"candidate 0.8 {sign} threshold 0.8"


def test_a_tie_keeps_the_champion() -> None:
    """An equal candidate is no improvement, even when none is asked for."""
    verdict = _rmse(_scores(24.3, 24.3), Gate())
    assert (verdict.passed, verdict.outcome) == (False, "keep")
    assert verdict.reasons[0] == "candidate 24.3, no threshold set"
    assert verdict.reasons[1].startswith(
        "equal to the champion's 24.3, a tie keeps the champion (needed > 0)"
    )


def test_a_worse_candidate_keeps_the_champion() -> None:
    """The reason says by how much it is worse."""
    verdict = _rmse(_scores(24.8, 24.3), Gate())
    assert verdict.outcome == "keep"
    assert verdict.reasons[1].startswith("worse than the champion's 24.3 by 0.5 (needed > 0)")


def test_the_threshold_holds_against_a_beaten_champion_too() -> None:
    """Better than a bad champion is not enough, and the champion stays."""
    assert _rmse(_scores(30, 40), Gate(threshold=25)).outcome == "keep"


@pytest.mark.parametrize(("candidate", "passed"), [(0.9, True), (0.8999999, False), (0.91, True)])
def test_an_improvement_is_counted_in_the_decimals_one_reads(candidate: float, *, passed: bool) -> None:
    """0.9 is better than 0.8 by 0.1, though the binary difference falls short of it."""
    verdict = judge(_scores(candidate, 0.8), Gate(min_improvement=0.1), direction="maximize")
    assert verdict.passed is passed
    assert "(needed >= 0.1)" in verdict.reasons[1]


def test_numbers_that_differ_read_differently() -> None:
    """A candidate just short of the threshold must not read as equal to it."""
    verdict = _rmse(_scores(25.0000001), Gate(threshold=25))
    assert verdict.reasons[0] == "candidate 25.0000001 is not <= threshold 25"
    last_bit = math.nextafter(25, 26)
    assert (
        _rmse(_scores(last_bit), Gate(threshold=25)).reasons[0]
        == f"candidate {last_bit!r} is not <= threshold 25"
    )


@pytest.mark.parametrize(("score", "text"), [(1234567.25, "1,234,567"), (1e-7, "1e-07"), (1e300, "1e+300")])
def test_large_and_small_scores_stay_readable(score: float, text: str) -> None:
    """The whole part of a score in money is written in full; extremes are not."""
    assert _rmse(_scores(score), Gate()).reasons[0] == f"candidate {text}, no threshold set"


def test_excluded_rows_are_reported() -> None:
    """Rows that the champion had learned from are left out, and counted aloud."""
    verdict = _rmse(_scores(23, 24, excluded=12_000), Gate())
    assert verdict.passed
    assert verdict.reasons[0] == "12,000 rows left out, because the champion was trained on them"


@pytest.mark.parametrize("rows", [0, -1])
def test_no_rows_never_pass(rows: int) -> None:
    """A score of no rows is no evidence, with a champion or without."""
    first = _rmse(_scores(1, rows=rows), Gate())
    retrain = _rmse(_scores(1, 2, rows=rows, excluded=5), Gate())
    assert (first.outcome, retrain.outcome) == ("reject", "keep")
    assert "no rows were left to score on" in retrain.reasons


@pytest.mark.parametrize("broken", BROKEN)
@pytest.mark.parametrize("direction", get_args(Direction))
def test_a_broken_candidate_never_passes(broken: float | None, direction: Direction) -> None:
    """Missing, nan and either infinity fail, whatever the direction."""
    assert judge(_scores(broken), Gate(), direction=direction).outcome == "reject"
    verdict = judge(_scores(broken, 24.3), Gate(), direction=direction)
    assert verdict.outcome == "keep"
    assert verdict.reasons[0].startswith("the candidate has no usable score: it is ")
    assert verdict.reasons[1] == "not compared with the champion's 24.3"


@pytest.mark.parametrize("broken", BROKEN)
def test_an_unreadable_champion_is_no_first_deployment(broken: float | None) -> None:
    """A champion that serves but has no score is kept, and the reason names the cause."""
    verdict = _rmse(_scores(1.0, broken, has_champion=True), Gate())
    assert (verdict.passed, verdict.outcome) == (False, "keep")
    assert verdict.reasons[1].startswith("the champion could not be scored: it is ")


@pytest.mark.parametrize("has_champion", [True, False])
@pytest.mark.parametrize("champion", [None, 2.0])
def test_a_champion_error_wins_over_everything_that_looks_fine(
    champion: float | None, *, has_champion: bool
) -> None:
    """An error beside a score, or beside no champion, is a contradiction and fails closed."""
    scores = _scores(1.0, champion, has_champion=has_champion, champion_error="its features are gone")
    verdict = _rmse(scores, Gate())
    assert (verdict.passed, verdict.outcome) == (False, "keep")
    assert verdict.reasons[1] == "the champion could not be scored: its features are gone"


def test_a_verdict_survives_json() -> None:
    """The decision record stores plain values."""
    verdict = _rmse(_scores(np.float64(23.0), np.float32(24.5)), Gate(threshold=25))
    assert json.loads(json.dumps(verdict.to_dict())) == {
        "passed": True,
        "outcome": "promote",
        "reasons": list(verdict.reasons),
    }
    assert verdict.reasons[1].startswith("better than the champion's 24.5 by 1.5 ")


def test_an_integer_gate_equals_its_float_twin() -> None:
    """`threshold=25` is what people write; both are frozen to the same values."""
    assert Gate(threshold=25, min_improvement=1) == Gate(threshold=25.0, min_improvement=1.0)
    assert json.dumps(Gate(threshold=25).dump()) == '{"threshold": 25.0}'
    assert Gate.from_values({"threshold": 25}) == Gate(threshold=25)


@pytest.mark.parametrize("field", ["threshold", "min_improvement"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_gate_of_no_number_is_refused(field: str, value: float) -> None:
    """A nan threshold would be passed by nothing or by everything, so it cannot be written."""
    with pytest.raises(ConfigError) as refused:
        Gate.from_values({field: value}, path="gate")
    assert (refused.value.code, refused.value.path) == ("CFG013", f"gate.{field}")


@pytest.mark.parametrize("value", [-0.1, -1])
def test_a_negative_improvement_is_refused(value: float) -> None:
    """It would promote a worse candidate."""
    with pytest.raises(ConfigError, match="CFG013") as refused:
        Gate(min_improvement=value)
    assert refused.value.path == "min_improvement"


@pytest.mark.parametrize(
    "values", [{"threshold": True}, {"threshold": "25"}, {"direction": "lower"}, {"treshold": 25}]
)
def test_a_gate_of_wrong_values_is_refused(values: dict[str, object]) -> None:
    """Types are strict and keys are known."""
    with pytest.raises(ConfigError):
        Gate.from_values(values)


@pytest.mark.parametrize("direction", ["maximize", "lower"])
def test_a_direction_that_contradicts_the_gate_is_refused(direction: Direction) -> None:
    """Judging the wrong way round would promote the worst model."""
    with pytest.raises(ConfigError, match="CFG013") as refused:
        judge(_scores(1), Gate(direction="minimize"), direction=direction)
    assert refused.value.path == "gate.direction"


@MANY
@given(NUMBERS, NUMBERS, st.none() | NUMBERS, GATES, DIRECTIONS)
def test_a_better_score_never_turns_pass_into_fail(
    one: float, other: float, champion: float | None, gate: Gate, direction: Direction
) -> None:
    """If the worse of two candidates passes, so does the better one."""
    worse, good = sorted([one, other], reverse=direction == "minimize")
    passes = [judge(_scores(score, champion), gate, direction=direction).passed for score in (worse, good)]
    assert passes[0] <= passes[1]


@MANY
@given(NUMBERS, st.none() | NUMBERS, GATES)
def test_negated_numbers_in_the_other_direction_give_the_same_verdict(
    candidate: float, champion: float | None, gate: Gate
) -> None:
    """Lower-is-better and higher-is-better are the same rule."""
    mirrored = gate if gate.threshold is None else gate.replace(threshold=-gate.threshold)
    straight = judge(_scores(candidate, champion), gate, direction="maximize")
    turned = judge(
        _scores(-candidate, None if champion is None else -champion), mirrored, direction="minimize"
    )
    assert (straight.passed, straight.outcome) == (turned.passed, turned.outcome)


@MANY
@given(NUMBERS, NUMBERS, GATES, DIRECTIONS)
def test_at_most_one_of_two_models_beats_the_other(
    one: float, other: float, gate: Gate, direction: Direction
) -> None:
    """Two models can never replace each other in turn."""
    there = judge(_scores(one, other), gate, direction=direction)
    back = judge(_scores(other, one), gate, direction=direction)
    assert not (there.passed and back.passed)


@MANY
@given(st.sampled_from(BROKEN), st.none() | NUMBERS, st.booleans(), st.integers(0, 9), GATES, DIRECTIONS)
def test_what_is_broken_never_passes(
    broken: float | None,
    champion: float | None,
    has_champion: bool,
    rows: int,
    gate: Gate,
    direction: Direction,
) -> None:
    """Whatever else holds, a broken candidate fails, and so does a broken champion."""
    scores = _scores(broken, champion, has_champion=has_champion, rows=rows)
    assert not judge(scores, gate, direction=direction).passed
    silent = dataclasses.replace(scores, candidate=1.0, champion=broken, has_champion=True)
    assert not judge(silent, gate, direction=direction).passed


@MANY
@given(NUMBERS, NUMBERS, GATES, DIRECTIONS)
def test_the_reasons_agree_with_the_verdict(
    candidate: float, champion: float, gate: Gate, direction: Direction
) -> None:
    """A promotion reads as one; whoever is kept out finds a reason that did not hold."""
    verdict = judge(_scores(candidate, champion), gate, direction=direction)
    assert len(verdict.reasons) == 2
    if verdict.passed:
        assert verdict.reasons[1].startswith("better than the champion's ")
        assert "is not" not in verdict.reasons[0]
