"""Intervals of scores: right where the answer is known, paired for a difference, or not given and why."""

from __future__ import annotations

import numpy as np
import pytest

from mlkit.model import interval as room
from mlkit.model.evaluation import get_metric
from mlkit.model.interval import Judged, Unknown, interval_of, intervals_between, why_not
from mlkit.model.predictions import Predictions

ROWS = 2_000
RMSE = get_metric("rmse")
LABELS = np.random.default_rng(0).normal(size=ROWS)


def off_by(noise: float, labels=LABELS) -> Predictions:
    """Answers that are off by so much, always in the same way."""
    return Predictions(labels + noise * np.random.default_rng(1).normal(size=len(labels)))


def test_the_interval_holds_the_score_and_is_as_wide_as_theory_says():
    """The rmse of n normal errors of spread s varies by about s / sqrt(2 n)."""
    judged = Judged(RMSE, LABELS, off_by(0.5).values)
    found = interval_of(judged)
    assert found.low < found.value < found.high
    assert found.value == pytest.approx(0.5, rel=0.05)
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * 0.5 / np.sqrt(2 * ROWS), rel=0.25)
    assert interval_of(judged) == found
    assert found.to_dict()["draws"] == room.DRAWS


def test_a_difference_is_of_the_same_rows():
    """Paired: of two models with the same large errors, a small difference is still seen."""
    found = intervals_between(RMSE, LABELS, off_by(0.5), off_by(0.52))
    gain = found["improvement"]
    assert 0 < gain["low"] < gain["value"] < gain["high"]
    assert gain["value"] == pytest.approx(found["champion"]["value"] - found["candidate"]["value"])
    assert found["champion"]["low"] < found["candidate"]["high"]  # each for itself would not tell them apart
    assert gain["rows"] == ROWS
    back = intervals_between(RMSE, LABELS, off_by(0.52), off_by(0.5))
    assert back["improvement"]["value"] == pytest.approx(-gain["value"])
    same = intervals_between(RMSE, LABELS, off_by(0.5), off_by(0.5))["improvement"]
    assert (same["value"], same["low"], same["high"]) == (0.0, 0.0, 0.0)


def test_two_models_may_have_learnt_different_classes():
    """Each is arranged by its own classes, as for its score."""
    chance = np.random.default_rng(3).random(ROWS)
    labels = np.where(np.random.default_rng(4).random(ROWS) < chance, "yes", "no").astype(object)
    known = Predictions(labels, np.stack([1 - chance, chance], axis=1), ("no", "yes"))
    more = np.stack([np.full(ROWS, 0.2), 0.8 * (1 - chance), 0.8 * chance], axis=1)
    other = Predictions(labels, more, ("maybe", "no", "yes"))
    found = intervals_between(get_metric("log_loss"), labels, known, other)
    assert found["improvement"]["value"] == pytest.approx(-np.log(0.8))


def test_where_nothing_can_be_said_it_is_said_why():
    """Own metrics, too many rows, answers that are missing, a metric without a value."""
    assert why_not("rmse", room.MOST_ROWS) is None
    assert "your own code" in why_not("mine:loss", 3).reason
    assert "are more than the" in why_not("rmse", room.MOST_ROWS + 1).reason
    holes = Predictions(np.where(LABELS > 0, np.nan, LABELS))
    assert "missing" in intervals_between(RMSE, LABELS, off_by(0.5), holes)["reason"]
    alone = Predictions(np.ones(5), np.full((5, 2), 0.5), (0, 1))
    ranking = get_metric("roc_auc")
    assert "no value" in intervals_between(ranking, np.ones(5), alone, alone)["reason"]
    assert isinstance(interval_of(Judged(ranking, np.ones(5), alone.probabilities)), Unknown)
