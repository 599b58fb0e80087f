"""Executors of Spark as workers: the same trials as in one thread, and clear words where they cannot run."""

from __future__ import annotations

import os
import sys

import numpy as np
import pandas as pd
import pytest
import threadpoolctl
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.linear_model import Ridge

from mlkit.errors import StudyError, UsageError
from mlkit.model.estimator import describe
from mlkit.model.evaluation import get_metric
from mlkit.model.training import Rows
from mlkit.research.study.workers import Executors, Job, Workers
from tests import servers

sql = pytest.importorskip("pyspark.sql")
pytestmark = [pytest.mark.newest_only, pytest.mark.timeout(300)]

from mlkit.engines.spark import executors  # noqa: E402 - it needs pyspark

FOLD = (np.arange(0, 60), np.arange(60, 90))


@pytest.fixture
def job(my_models) -> Job:
    """Ninety rows with two features, judged by a metric of the user's own."""
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"a": random.normal(size=90), "b": random.normal(size=90)})
    metric = get_metric("my_models:mad", direction="minimize")
    return Job(Rows(frame, frame["a"].to_numpy() * 2 + 1), metric, "regression", 3)


def seen(outcomes) -> list:
    """Scores and predictions, or errors."""
    return [
        error or (result.score, result.predictions.to_table().to_pydict()) for result, error in outcomes
    ]


def test_executors_give_what_a_thread_gives(job, my_models, spark) -> None:
    """Forests, boosting, a failure, and estimators of the user's own that even draw from global generators."""
    estimators = [
        RandomForestRegressor(n_estimators=5),
        HistGradientBoostingRegressor(max_iter=5),
        my_models.Broken(alpha=1),
        my_models.Drawing(alpha=2),
        my_models.Drawing(alpha=2),
    ]
    models = [describe(each) for each in estimators]
    with Workers(job, 1) as pool:
        alone = seen(pool.evaluate(models, FOLD))
    assert "no luck" in alone[2]
    assert alone[3] == alone[4]
    assert seen(Executors(job, spark).evaluate(models, FOLD)) == alone
    assert seen(Executors(job, spark).evaluate(models[::-1], FOLD)) == alone[::-1]
