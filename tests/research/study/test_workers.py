"""Workers: how folds are spread over threads and processes without a trace in the results."""

from __future__ import annotations

import threading

import joblib
import numpy as np
import pandas as pd
import pytest
import threadpoolctl
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.linear_model import SGDRegressor

from mlkit.errors import StudyError
from mlkit.model.estimator import describe
from mlkit.model.evaluation import get_metric
from mlkit.model.training import Rows
from mlkit.research.study import workers
from mlkit.research.study.workers import Job, Workers

FOLD = (np.arange(0, 60), np.arange(60, 90))


@pytest.fixture
def job() -> Job:
    """Ninety rows with two features."""
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"a": random.normal(size=90), "b": random.normal(size=90)})
    return Job(Rows(frame, frame["a"].to_numpy() * 2 + 1), get_metric("rmse"), "regression", 3)


def outcomes(job, estimators, count) -> list:
    """Scores and predictions of one fold."""
    with Workers(job, count) as pool:
        results = [result for result, _ in pool.evaluate([describe(each) for each in estimators], FOLD)]
    return [(result.score, result.predictions.to_table().to_pydict()) for result in results]


def test_outcomes_come_in_order(job) -> None:
    """Whatever ends first, each model gets its own result; seeds do not depend on the place in the row."""
    estimators = [RandomForestRegressor(n_estimators=n) for n in (30, 1, 20, 2)] + [SGDRegressor()]
    alone = outcomes(job, estimators, 1)
    assert outcomes(job, estimators, 3) == alone
    assert outcomes(job, estimators[::-1], 3) == alone[::-1]


def test_seeded_estimators_share_the_work(job, monkeypatch) -> None:
    """Forests and boosting draw nothing from the global generators, so they do run at the same time."""
    barrier = threading.Barrier(2, timeout=60)
    evaluate = workers.evaluate_fold

    def meeting(*arguments, **named):
        barrier.wait()
        return evaluate(*arguments, **named)

    monkeypatch.setattr(workers, "evaluate_fold", meeting)
    estimators = [RandomForestRegressor(n_estimators=3), HistGradientBoostingRegressor(max_iter=3)]
    assert len(outcomes(job, estimators, 2)) == 2


def test_workers_divide_the_cores(job, monkeypatch) -> None:
    """Each thread gives native loops its share of the cores only, and linear algebra one thread."""
    found = []

    def look(*_, **__):
        info = threadpoolctl.threadpool_info()
        found.append({each["user_api"]: each["num_threads"] for each in info})
        raise StudyError("RUN010", "only looking")

    monkeypatch.setattr(workers, "evaluate_fold", look)
    monkeypatch.setattr(joblib, "cpu_count", lambda: 6)
    with Workers(job, 3) as pool:
        assert pool.evaluate([{}, {}], FOLD) == [(None, "only looking")] * 2
    assert found == [{"blas": 1, "openmp": 2}] * 2


def test_a_worker_process_that_dies_is_an_error(job, my_models, processes) -> None:
    """Nothing hangs and no trial is blamed: memory was short, or the estimator ended its process."""
    with Workers(job, 2) as pool:
        models = [describe(my_models.Broken(alpha=alpha)) for alpha in (3, 0)]
        with pytest.raises(StudyError, match="a worker process died") as caught:
            pool.evaluate(models, FOLD)
    assert caught.value.code == "RUN016"
