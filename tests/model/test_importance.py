"""Permutation importance: in the units of the metric, with the dtypes that the model was fitted on."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LinearRegression

from mlkit.model import importance
from mlkit.model.evaluation import get_metric
from mlkit.model.importance import feature_importances
from mlkit.model.training import Rows


@pytest.fixture
def rows() -> Rows:
    """3000 rows: one feature that decides, one that helps a little, one of no use."""
    generator = np.random.default_rng(0)
    frame = pd.DataFrame({name: generator.normal(size=3000) for name in ("idle", "little", "much")})
    return Rows(frame, (5 * frame["much"] + 0.5 * frame["little"]).to_numpy())


def importances(rows, model, *, metric="rmse", task="regression", seed=0):
    """Importances of a fitted model."""
    return feature_importances(model, rows, task=task, metric=get_metric(metric), seed=seed)


def test_features_are_ranked_by_what_they_are_worth(rows) -> None:
    """For a linear model without noise the loss is known: the coefficient times the root of two."""
    found = importances(rows, LinearRegression().fit(rows.frame, rows.target))
    assert list(found) == ["much", "little", "idle"]
    assert found["much"]["mean"] == pytest.approx(5 * math.sqrt(2), rel=0.05)
    assert found["little"]["mean"] == pytest.approx(0.5 * math.sqrt(2), rel=0.05)
    assert found["idle"]["mean"] == pytest.approx(0, abs=1e-9)
    assert 0 < found["much"]["spread"] < 0.5


def test_worse_is_positive_in_either_direction(rows) -> None:
    """A metric to maximise loses as well."""
    found = importances(rows, LinearRegression().fit(rows.frame, rows.target), metric="r2")
    assert found["much"]["mean"] > 1


def test_the_seed_decides(rows) -> None:
    """Same seed, same numbers; the rows are left as they were."""
    model, before = LinearRegression().fit(rows.frame, rows.target), rows.frame.copy()
    assert importances(rows, model) == importances(rows, model)
    assert importances(rows, model, seed=1) != importances(rows, model)
    pd.testing.assert_frame_equal(rows.frame, before)


def test_only_a_sample_is_scored(rows, monkeypatch) -> None:
    """The first rows in canonical order stand for all; once for the base, thrice for each feature."""
    sizes = []
    predict = importance.predict

    def counting(model, frame, *, task):
        sizes.append(len(frame))
        return predict(model, frame, task=task)

    monkeypatch.setattr(importance, "predict", counting)
    importances(rows, LinearRegression().fit(rows.frame, rows.target))
    assert sizes == [importance.SAMPLE] * (1 + 3 * importance.REPEATS)


def test_categories_stay_categories() -> None:
    """A shuffled column keeps its dtype, which boosting checks when it predicts."""
    words = pd.Categorical(
        np.random.default_rng(0).choice(["a", "b", "c"], 300), categories=["a", "b", "c", "d"]
    )
    frame = pd.DataFrame({"word": words, "flag": np.arange(300) % 2 == 0})
    rows = Rows(frame, (frame["word"] == "a").to_numpy())
    model = HistGradientBoostingClassifier(max_iter=5, categorical_features="from_dtype").fit(
        frame, rows.target
    )
    found = importances(rows, model, metric="roc_auc", task="binary")
    assert found["word"]["mean"] > 0.2
    assert found["flag"]["mean"] == 0


def test_a_feature_without_a_score_comes_last() -> None:
    """Two columns that balance each other give no number once shuffled, where a metric refuses negatives."""
    random = np.random.default_rng(0).random(300) + 1
    frame = pd.DataFrame({"up": random * 10, "down": random * 9, "idle": random[::-1]})
    rows = Rows(frame, (frame["up"] - frame["down"]).to_numpy())
    model = LinearRegression(positive=False)
    model.coef_, model.intercept_ = np.array([1.0, -1.0, 0.0]), 0.0
    model.feature_names_in_ = frame.columns.to_numpy(dtype=object)
    found = importances(rows, model, metric="rmsle")
    assert list(found) == ["idle", "up", "down"]
    assert found["idle"]["mean"] == 0
    assert math.isnan(found["up"]["mean"])


def test_without_a_score_there_is_no_importance(rows) -> None:
    """Where the metric has no value on the sample, importances are nan, and every feature is listed."""
    negative = Rows(rows.frame, rows.target - 1000)
    found = importances(negative, LinearRegression().fit(rows.frame, rows.target), metric="rmsle")
    assert set(found) == {"much", "little", "idle"}
    assert all(math.isnan(value) for numbers in found.values() for value in numbers.values())
