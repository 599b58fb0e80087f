"""How sure a score is: by the record, else from stored test predictions, or not given and why."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from mlkit.model import interval as room
from mlkit.model.interval import Judged, Unknown, interval_of
from mlkit.report.interval import constant_score, interval_of_candidate, read_judged, recorded

ROWS = 2_000


def judged(engine, columns, *, metric="rmse", direction="minimize"):
    """Test predictions, stored and read back."""
    rows = {"id": list(range(len(columns["label"]))), **columns, "model_key": ["k"] * len(columns["label"])}
    published = engine.publish("training", "p__test_predictions", pa.table(rows).to_reader())
    stored = {"table": str(published.name), "rows": published.rows}
    return read_judged(engine, {"predictions": stored, "metric": metric, "direction": direction})


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
    read = judged(workspace.engine, columns, metric=metric, direction=direction)
    found = interval_of(read)
    assert found.low < found.value < found.high
    constant = constant_score(read)
    assert constant == pytest.approx(better or np.log(2), abs=0.03)
    assert (found.value - constant) * (1 if direction == "maximize" else -1) > 0.1


def test_a_constant_is_the_mean_or_the_median(workspace):
    """The best that can be said without looking: the mean for squares, the median for distances."""
    labels = np.array([0.0, 0.0, 0.0, 10.0])
    squares, distances = (
        judged(workspace.engine, {"label": labels, "prediction": labels}, metric=metric)
        for metric in ("rmse", "mae")
    )
    assert constant_score(squares) == pytest.approx(labels.std())
    assert constant_score(distances) == pytest.approx(2.5)


def test_where_nothing_can_be_said_it_is_said_why(workspace, monkeypatch):
    """Own metrics, too many rows, missing values, a table that is gone."""
    engine = workspace.engine
    labels = [1.0, 2.0, 3.0]
    good = {"label": labels, "prediction": labels}
    assert isinstance(judged(engine, good), Judged)
    assert "your own code" in judged(engine, good, metric="mine:loss").reason
    gone = {"predictions": {"table": "training.gone", "rows": 3}, "metric": "rmse", "direction": "minimize"}
    assert "cannot be read" in read_judged(engine, gone).reason
    assert "missing" in judged(engine, {"label": pa.array([1.0, None, 2.0]), "prediction": labels}).reason
    monkeypatch.setattr(room, "MOST_ROWS", 2)
    assert "3 test rows" in judged(engine, good).reason


def test_the_record_comes_first_and_an_old_one_still_reads():
    """What the gate drew with both in hand is not drawn again; a record without it says so."""
    kept = {"value": 1.0, "low": 0.5, "high": 1.5, "rows": 3, "level": 0.95, "draws": 200, "seed": 0}
    old = {"champion": {"to_version": 1}, "scores": {"champion_error": ""}}
    new = {**old, "intervals": dict.fromkeys(("candidate", "champion", "improvement"), kept)}

    def never():
        raise AssertionError

    assert recorded(new, "improvement") == interval_of_candidate(new, never) == kept
    assert "before decisions kept" in recorded(old, "improvement").reason
    assert recorded({**old, "intervals": {"reason": "too many"}}, "champion") == Unknown("too many")
    assert "no champion" in recorded({**old, "champion": None}, "improvement").reason
    failed = {**old, "scores": {"champion_error": "it is gone"}}
    assert "could not be scored" in recorded(failed, "champion").reason
    drawn = interval_of_candidate(old, lambda: Unknown("the table is gone"))
    assert drawn == Unknown("the table is gone")
