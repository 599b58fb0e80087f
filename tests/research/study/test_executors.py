"""Executors of Spark as workers: the same trials as in one thread, and clear words where they cannot run."""

from __future__ import annotations

import os
import sys
import uuid

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.linear_model import Ridge

from mlkit.errors import StudyError, UsageError
from mlkit.model.estimator import describe
from mlkit.model.evaluation import get_metric
from mlkit.model.training import Rows
from mlkit.research.study.workers import Executors, Job, Workers
from tests import servers
from tests.research.study.scenes import (
    counted,
    fits,
    folds_of,
    linear_or_tree,
    make_project,
    study_elsewhere,
    view,
)

sql = pytest.importorskip("pyspark.sql")
pytestmark = [pytest.mark.newest_only, pytest.mark.timeout(300)]

from mlkit.engines.spark import executors  # noqa: E402 - it needs pyspark

FOLD = (np.arange(0, 60), np.arange(60, 90))


LOOKING = '''\
import os

import threadpoolctl
from sklearn.linear_model import Ridge


class Looking(Ridge):
    """Tells how many threads native libraries use; or ends its process."""

    def fit(self, X, y):
        if self.alpha == 3:
            os._exit(9)
        found = sorted({each["num_threads"] for each in threadpoolctl.threadpool_info()})
        raise ValueError(f"threads: {found}")
'''


@pytest.fixture
def job(my_models) -> Job:
    """Ninety rows with two features, judged by a metric of the user's own."""
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"a": random.normal(size=90), "b": random.normal(size=90)})
    metric = get_metric("my_models:mad", direction="minimize")
    return Job(Rows(frame, frame["a"].to_numpy() * 2 + 1), metric, "regression", 3)


@pytest.fixture
def my_looks(tmp_path, monkeypatch):
    """Another module of the user's own, imported."""
    (tmp_path / "my_looks.py").write_text(LOOKING)
    monkeypatch.syspath_prepend(str(tmp_path))
    import my_looks  # noqa: PLC0415 - it was written just now

    yield my_looks
    sys.modules.pop("my_looks", None)


def seen(outcomes) -> list:
    """Scores and predictions, or errors."""
    return [error or (result.score, result.predictions.to_table().to_pydict()) for result, error in outcomes]


def test_executors_give_what_a_thread_gives(job, my_models, spark) -> None:
    """Forests, boosting, a failure, and estimators of the user's own that draw from global generators."""
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


def spark_project(tmp_path, flights, url):
    """The flights on a target of Spark, whose schemas are its own."""
    mark = uuid.uuid4().hex[:8]
    schemas = ", ".join(f'{name} = "{name}_{mark}"' for name in ("features", "training", "monitoring"))
    text = f'[targets.spark]\nspark = {{ remote = "{url}" }}\nschemas = {{ {schemas} }}\n'
    (tmp_path / "mlkit.toml").write_text(text)
    project = make_project(workspace="spark")
    project.publish_features("features.flights", flights.dropna())
    return project


def test_a_study_on_executors_is_that_of_one_thread(project, snapshot, tmp_path, flights, sail) -> None:
    """Trials, scores, pruning and predictions, bit for bit; it may be finished by threads, and be resumed."""
    alone = project.study(linear_or_tree, snapshot, trials=10, cv=3)
    there = spark_project(tmp_path, flights, sail)
    on_spark = there.snapshot("features.flights")
    first = there.study(linear_or_tree, on_spark, trials=8, cv=3, workers="spark")
    assert view(first) == view(alone)[:8]
    both = there.study(linear_or_tree, on_spark, trials=10, cv=3, workers=2)
    assert (both.run_id, both.reused, view(both)) == (first.run_id, 8, view(alone))


def test_a_driver_that_is_killed_loses_nothing(
    home, my_models, tmp_path, flights, connect, fork_server
) -> None:
    """Kill -9 while trials run on executors; then only what is missing is run, here on threads."""
    there = spark_project(tmp_path, flights, connect)
    settings = {"trials": 10, "cv": 2}
    point = "study.trial_written:kill"
    assert study_elsewhere(tmp_path, fail=point, target="spark", workers="spark", **settings) == -9
    resumed = there.study(counted, there.snapshot("features.flights"), **settings)
    assert 1 <= resumed.reused < 10
    assert len(fits()) == folds_of(resumed.trials[resumed.reused :]) + 1
    whole = there.study(counted, there.snapshot("features.flights"), **settings, resume=False)
    assert view(resumed) == view(whole)


def test_executors_are_asked_for_where_there_are_some(project, snapshot) -> None:
    """The local target has none, and says what else spreads trials."""
    with pytest.raises(UsageError, match="has no executors") as caught:
        project.study(linear_or_tree, snapshot, trials=2, cv=2, workers="spark")
    assert caught.value.code == "CLI045"


def test_rows_that_are_too_many_do_not_travel(job, spark, monkeypatch) -> None:
    """With sizes, and before anything is sent."""
    monkeypatch.setattr(executors, "MOST_BYTES", 1000)
    with pytest.raises(StudyError, match=r"expected at most 0 MB .* found 0 MB") as caught:
        Executors(job, spark).evaluate([describe(Ridge())], FOLD)
    assert caught.value.code == "RUN021"


def test_executors_without_this_package_are_an_error(job, tmp_path) -> None:
    """Nothing is evaluated, and what to install is said."""
    hidden = "import sys\nsys.modules['mlkit'] = None\n" + servers._SAIL
    command = [sys.executable, "-c", hidden]
    with servers._running(tmp_path / "sail", lambda port: [*command, str(port)], dict(os.environ)) as url:
        session = sql.SparkSession.builder.remote(url).create()
        with pytest.raises(StudyError, match="an executor has no mlkit") as caught:
            Executors(job, session).evaluate([describe(Ridge())], FOLD)
        session.stop()
    assert caught.value.code == "RUN022"
    assert "install mlkit-sdk" in caught.value.fix


def test_executors_use_one_thread_each(job, my_looks, spark) -> None:
    """A task has one core, so linear algebra and native loops use no more."""
    (_, told), _ = Executors(job, spark).evaluate([describe(my_looks.Looking())] * 2, FOLD)
    assert "threads: [1]" in told


def test_a_python_that_dies_is_an_error(job, my_looks, connect) -> None:
    """As of any other process: no trial is blamed."""
    session = sql.SparkSession.builder.remote(connect).create()
    models = [describe(my_looks.Looking(alpha=alpha)) for alpha in (3, 0)]
    with pytest.raises(StudyError, match="a worker process died") as caught:
        Executors(job, session).evaluate(models, FOLD)
    session.stop()
    assert caught.value.code == "RUN016"
