"""Workers: how folds are spread over threads and processes without a trace in the results."""

from __future__ import annotations

import dataclasses
import os
import sys
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
from tests.research.study.scenes import fits

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
        return scored(pool.evaluate([describe(each) for each in estimators], FOLD))


def scored(outcomes) -> list:
    """Scores and predictions of the folds that were evaluated."""
    return [(result.score, result.predictions.to_table().to_pydict()) for result, _ in outcomes if result]


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


@pytest.mark.newest_only
def test_dask_gives_what_a_thread_gives(job, my_models, dask) -> None:
    """Also of estimators that draw from generators which the threads of one process share."""
    estimators = [my_models.Drawing(alpha=alpha) for alpha in (1, 2, 3, 4, 1, 2, 3, 4)]
    estimators += [RandomForestRegressor(n_estimators=3), my_models.Broken(alpha=1)]
    models = [describe(each) for each in estimators]
    with Workers(job, 1) as pool:
        alone = pool.evaluate(models, FOLD)
    with Workers(job, 4) as pool:
        apart = pool.evaluate(models, FOLD)
    assert [error for _, error in apart] == [error for _, error in alone]
    assert scored(apart) == scored(alone)
    assert {str(os.getpid())} < set(fits())


@pytest.mark.newest_only
def test_rows_travel_to_dask_once(job, dask) -> None:
    """Dask is told how large they are, so that it keeps them instead of sending them with every task."""
    rows = Rows(pd.DataFrame({"a": np.zeros(50_000)}), np.zeros(50_000))
    assert sys.getsizeof(dataclasses.replace(job, rows=rows)) > 800_000


@pytest.mark.newest_only
def test_a_dask_worker_that_dies_is_an_error(job, my_models, dask) -> None:
    """Dask tries elsewhere a few times; then it is the same error as of any other process."""
    with Workers(job, 2) as pool, pytest.raises(StudyError, match="a worker process died") as caught:
        pool.evaluate([describe(my_models.Broken(alpha=3))] * 2, FOLD)
    assert caught.value.code == "RUN016"


def test_a_worker_process_that_dies_is_an_error(job, my_models, processes) -> None:
    """Nothing hangs and no trial is blamed: memory was short, or the estimator ended its process."""
    with Workers(job, 2) as pool:
        models = [describe(my_models.Broken(alpha=alpha)) for alpha in (3, 0)]
        with pytest.raises(StudyError, match="a worker process died") as caught:
            pool.evaluate(models, FOLD)
    assert caught.value.code == "RUN016"
