"""Intervals from stored test predictions: right where the answer is known, or not given and why."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from mlkit.report import interval as room
from mlkit.report.interval import (
    Interval,
    Judged,
    Unknown,
    constant_score,
    interval_between,
    interval_of,
    read_judged,
)

ROWS = 2_000


def stored(engine, columns, *, key=None):
    """A table of test predictions, as a decision names it."""
    labels = columns["label"]
    rows = {
        "id": list(range(len(labels))) if key is None else key,
        **columns,
        "model_key": ["k"] * len(labels),
    }
    published = engine.publish("training", "p__test_predictions", pa.table(rows).to_reader())
    return {"table": str(published.name), "rows": published.rows}


def numbers(engine, *, noise, key=None, seed=1):
    """Labels of spread 1 and answers that are off by so much."""
    generator = np.random.default_rng(0)
    labels = generator.normal(size=ROWS)
    said = labels + noise * np.random.default_rng(seed).normal(size=ROWS)
    table = stored(engine, {"label": labels, "prediction": said}, key=key)
    return read_judged(engine, table, metric="rmse", direction="minimize")


def test_the_interval_holds_the_score_and_is_as_wide_as_theory_says(workspace):
    """The rmse of n normal errors of spread s varies by about s / sqrt(2 n)."""
    judged = numbers(workspace.engine, noise=0.5)
    found = interval_of(judged)
    assert found.low < found.value < found.high
    assert found.value == pytest.approx(0.5, rel=0.05)
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * 0.5 / np.sqrt(2 * ROWS), rel=0.25)
    assert interval_of(judged) == found
    assert found.to_dict()["draws"] == room.DRAWS


def test_a_difference_is_of_the_same_rows(workspace):
    """Paired: of two models with the same large errors, a small difference is still seen."""
    engine = workspace.engine
    same = numbers(engine, noise=0.5)
    assert interval_between(same, same) == Interval(0.0, 0.0, 0.0, ROWS)
    worse = numbers(engine, noise=0.52)
    found = interval_between(same, worse)
    assert 0 < found.low < found.value < found.high
    assert interval_between(worse, same).value == pytest.approx(-found.value)


def test_only_rows_that_both_have_are_compared(workspace):
    """Rows are told apart by their key, in whatever order they stand."""
    engine = workspace.engine
    ours = numbers(engine, noise=0.5)
    others = numbers(engine, noise=0.5, key=list(range(500, 500 + ROWS)))
    assert interval_between(ours, others).rows == ROWS - 500
    apart = numbers(engine, noise=0.5, key=[str(place) for place in range(ROWS)])
    assert isinstance(interval_between(ours, apart), Unknown)


@pytest.mark.parametrize(("metric", "better"), [("accuracy", 0.5), ("log_loss", None), ("roc_auc", 0.5)])
def test_classes_and_probabilities(workspace, metric, better):
    """Metrics of classes are arranged as the gate arranges them; a constant says the shares."""
    generator = np.random.default_rng(3)
    chance = generator.random(ROWS)
    labels = np.where(generator.random(ROWS) < chance, "yes", "no")
    columns = {
        "label": labels,
        "prediction": np.where(chance > 0.5, "yes", "no"),
        "probability_no": 1 - chance,
        "probability_yes": chance,
    }
    direction = "minimize" if metric == "log_loss" else "maximize"
    table = stored(workspace.engine, columns)
    judged = read_judged(workspace.engine, table, metric=metric, direction=direction)
    found = interval_of(judged)
    assert found.low < found.value < found.high
    constant = constant_score(judged)
    assert constant == pytest.approx(better or np.log(2), abs=0.03)
    assert (found.value - constant) * (1 if direction == "maximize" else -1) > 0.1


def test_a_constant_is_the_mean_or_the_median(workspace):
    """The best that can be said without looking: the mean for squares, the median for distances."""
    labels = np.array([0.0, 0.0, 0.0, 10.0])
    table = stored(workspace.engine, {"label": labels, "prediction": labels})
    squares, distances = (
        read_judged(workspace.engine, table, metric=metric, direction="minimize")
        for metric in ("rmse", "mae")
    )
    assert constant_score(squares) == pytest.approx(labels.std())
    assert constant_score(distances) == pytest.approx(2.5)


def test_where_nothing_can_be_said_it_is_said_why(workspace, monkeypatch):
    """Own metrics, too many rows, missing values, a table that is gone, a metric without a value."""
    engine = workspace.engine
    labels = [1.0, 2.0, 3.0]
    table = stored(engine, {"label": labels, "prediction": labels})

    def why(table=table, metric="rmse"):
        found = read_judged(engine, table, metric=metric, direction="minimize")
        return found.reason if isinstance(found, Unknown) else ""

    assert why() == ""
    assert "your own code" in why(metric="mine:loss")
    assert "cannot be read" in why(table={"table": "training.gone", "rows": 3})
    holes = stored(engine, {"label": pa.array([1.0, None, 2.0]), "prediction": labels})
    assert "missing" in why(table=holes)
    monkeypatch.setattr(room, "MOST_ROWS", 2)
    assert "3 test rows" in why()
    one = stored(engine, {"label": ["a"] * 5, "prediction": ["a"] * 5, "probability_a": [1.0] * 5})
    monkeypatch.undo()
    judged = read_judged(engine, one, metric="roc_auc", direction="maximize")
    assert isinstance(judged, Judged)
    assert isinstance(interval_of(judged), Unknown)
