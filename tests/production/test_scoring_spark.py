"""Scoring where the rows are: on the executors of Spark, or as a step of the query; no row comes here."""

from __future__ import annotations

import datetime as dt

import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.tree import DecisionTreeRegressor

from mlkit import Gate, Source
from mlkit.data.source import read_dataframe
from mlkit.errors import DataError, StudyError, UsageError
from mlkit.frozen import FrozenConfig
from mlkit.model.estimator import describe
from mlkit.production.prediction_log import PredictionLog
from mlkit.production.scorer import open_scorer
from tests.conftest import SPARKS, make_flights
from tests.spark_ml import opened, project_on, steps

pytest.importorskip("pyspark.ml")
pytestmark = [pytest.mark.newest_only, pytest.mark.timeout(400)]

from pyspark.ml.classification import LogisticRegression  # noqa: E402 - may not be there
from pyspark.ml.regression import LinearRegression  # noqa: E402 - as above

from mlkit.engines.spark.transport import _uploaded  # noqa: E402 - as above

DAY = dt.datetime(2024, 6, 1, tzinfo=dt.UTC)
FEATURES = ("distance", "hour", "is_ua")


def config_of(model, **changes) -> FrozenConfig:
    """A frozen config of a model of the flights, which watches two of its inputs."""
    dtypes = {
        "flight_id": "int64",
        "hour": "int64",
        "distance": "float64",
        "is_ua": "bool",
        "delay": "float64",
    }
    values = {
        "name": "flights",
        "task": "regression",
        "target": "delay",
        "key": ("flight_id",),
        "features": FEATURES,
        "metric": "rmse",
        "seed": 3,
        "model": describe(model),
        "serialization": "cloudpickle" if hasattr(model, "get_params") else "spark",
        "source": Source(table="features.flights"),
        "split": {"test": 0.25, "seed": 7},
        "gate": Gate(threshold=1000),
        "contract": {"columns": {name: {"dtype": dtype} for name, dtype in dtypes.items()}},
        "environment": {"python": "3.11", "requirements": []},
        "monitor": {"inputs": ["hour", "is_ua"]},
    }
    return FrozenConfig.from_values({**values, **changes})


def production(folder, way, model, **changes):
    """A project on Spark in which a version of the model serves."""
    project = project_on(folder, way)
    project.publish_features("features.flights", make_flights(600).dropna())
    project.deploy(config_of(model, **changes))
    return project


def logged(project):
    """All that was logged, by row id."""
    log = PredictionLog(project._stores.engine, project.name)
    return log.window().toArrow().sort_by([("batch", "ascending"), ("row_id", "ascending")])


def frame_of(project, rows):
    """A dataframe in the project's Spark."""
    return _uploaded(project._stores.engine._catalog, rows)


@pytest.fixture(params=[kind for kind in SPARKS if kind != "classic"])
def way(request):
    """How a target gets a session, of each kind of Spark."""
    return f'remote = "{request.getfixturevalue(request.param)}"'


def test_executors_answer_as_this_process_does(home, tmp_path, way):
    """The same bits, ids and inputs, wherever the rows are; a run is logged once, its answers too."""
    project = production(tmp_path, way, DecisionTreeRegressor(max_depth=4))
    flights = make_flights(600).drop(columns="delay")
    rows = read_dataframe(flights)
    here = project.score(flights, run_id="a-here", as_of=DAY)
    there = project.score(frame_of(project, rows), run_id="b-there", as_of=DAY, to="monitoring.answers")
    assert (here.rows, there.rows, there.logged) == (600, 600, 600)
    found = logged(project)
    kept = [name for name in found.column_names if name not in ("request_id", "batch", "logged_at")]
    assert found.slice(0, 600).select(kept).equals(found.slice(600).select(kept))
    assert {"input_hour", "input_is_ua"} <= set(kept)
    assert there.summary["mean"] == pytest.approx(here.summary["mean"])
    again = project.score(frame_of(project, rows), run_id="b-there", to="monitoring.answers")
    assert (again.logged, logged(project).num_rows) == (0, 1200)
    answers = project._stores.engine.read(
        type(PredictionLog(None, "x").name)("monitoring", "answers")
    ).read_all()
    assert answers.num_rows == 600
    assert answers.column_names[:2] == ["flight_id", "prediction"]
    stored = project.score("features.flights", as_of=DAY)
    assert stored.logged == stored.rows == len(make_flights(600).dropna())
    assert project.score("features.flights", as_of=DAY).logged == 0


def test_what_an_executor_refuses_is_named_here(home, tmp_path, way):
    """The error of this project comes back from the executors as it was raised, column and all."""
    project = production(tmp_path, way, RandomForestClassifier(n_estimators=2), **CLASSES)
    frame = frame_of(project, read_dataframe(make_flights(50).drop(columns="delay")))
    words = frame.selectExpr("flight_id", "hour", "'far' AS distance", "is_ua")
    with pytest.raises(DataError, match="DAT046") as caught:
        project.score(words)
    assert caught.value.path == "distance"
    for wrong, error in ((frame.drop("hour"), "DAT045"), (frame.where("hour > 99"), "DAT002")):
        with pytest.raises(DataError, match=error):
            project.score(wrong)
    with pytest.raises(UsageError, match="CLI051"):
        project.score(frame, to="answers.parquet")
    report = project.score(frame)
    assert list(report.summary) == ["False", "True"]
    assert set(logged(project)["prediction"].to_pylist()) == {"False", "True"}


CLASSES = {"task": "binary", "target": "is_ua", "metric": "accuracy", "features": ("distance", "hour")}
CLASSES["monitor"] = {"inputs": ["hour"]}
CLASSES["gate"] = Gate(threshold=0.1)


@pytest.fixture(scope="module")
def trained(request):
    """How a target gets a session that trains models."""
    with opened(request) as (_, way):
        yield way


@pytest.mark.slow
def test_model_of_spark_answers_in_the_query(home, tmp_path, trained):
    """A row of the log has what one of any other model has, and a row id has its bits."""
    project = production(tmp_path, trained, steps(LinearRegression(labelCol="delay"), *FEATURES))
    flights = make_flights(300).drop(columns="delay")
    flights["at"] = DAY + flights.index.to_numpy() * dt.timedelta(hours=1)
    rows = read_dataframe(flights)
    report = project.score(frame_of(project, rows), event_time="at", to="monitoring.answers")
    assert (report.rows, report.logged) == (300, 300)
    found = logged(project)
    assert found["prediction"].null_count == 0
    assert set(found["row_id"].to_pylist()) == set(open_scorer(project._stores).row_ids(rows).to_pylist())
    assert max(found["event_time"].to_pylist()) == DAY + dt.timedelta(hours=299)
    assert sorted(found["input_hour"].to_pylist()) == sorted(float(hour) for hour in flights["hour"])
    with pytest.raises(StudyError, match="RUN025"):
        project.score(flights)


@pytest.mark.slow
def test_classifier_of_spark_gives_its_probabilities(home, tmp_path, trained):
    """A column for each class, and the class as Python writes it."""
    model = steps(LogisticRegression(labelCol="is_ua"), "distance", "hour")
    project = production(tmp_path, trained, model, **CLASSES)
    rows = read_dataframe(make_flights(200).drop(columns="delay"))
    report = project.score(frame_of(project, rows))
    found = logged(project)
    assert set(found["prediction"].to_pylist()) <= {"False", "True"}
    sums = zip(found["probability_False"].to_pylist(), found["probability_True"].to_pylist(), strict=True)
    assert all(first + second == pytest.approx(1) for first, second in sums)
    assert sum(report.summary.values()) == pytest.approx(1)
