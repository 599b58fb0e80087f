"""Models that train on Spark, from study to champion: described, frozen, logged and gated like the others."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
from sklearn.linear_model import Ridge
from sklearn.tree import DecisionTreeRegressor

from mlkit import Gate, ModelProject
from mlkit.errors import ConfigError, DataError, IntegrityError, StudyError
from mlkit.frozen import FrozenConfig
from mlkit.tracking.models import load_model
from tests.conftest import SPARKS, make_flights
from tests.research.study.scenes import view
from tests.spark_ml import config_of, opened, plan_after_deployment, project_on, steps

pytest.importorskip("pyspark.ml")
pytestmark = [pytest.mark.newest_only, pytest.mark.slow, pytest.mark.timeout(400)]

from pyspark.ml.regression import LinearRegression, RandomForestRegressor  # noqa: E402 - may not be there

from mlkit.engines.spark import ml  # noqa: E402 - as above

FETCH_GB = 0.00004  # 40 kB: less than the flights below take, more than the records of a deployment


@pytest.fixture(scope="module")
def way(request):
    """How a target gets a session; one is open, and is the active one."""
    with opened(request) as (_, way):
        yield way


def forests(trial):
    """Small forests on Spark."""
    return steps(RandomForestRegressor(labelCol="delay", numTrees=trial.suggest_int("trees", 2, 4)))


def test_from_a_study_to_a_champion_no_row_comes_here(home, tmp_path, way) -> None:
    """The target lets almost nothing come to this process, and everything works but what needs the rows."""
    project = project_on(tmp_path, way, fetch_gb=FETCH_GB)
    project.publish_features("features.flights", make_flights(1500).dropna())
    snapshot = project.snapshot("features.flights")
    with pytest.raises(DataError, match=r"expected at most 4e-05 GB .* found 1,4[0-9]{2} rows") as caught:
        project.study(lambda _: Ridge(), snapshot, trials=1, cv=2)
    assert "estimator that trains on Spark" in " ".join(caught.value.fix.split())
    first = project.study(forests, snapshot, trials=1, cv=2)
    study = project.study(forests, snapshot, trials=2, cv=2, workers=4)
    assert (study.run_id, study.reused) == (first.run_id, 1)
    assert view(study)[0] == view(first)[0]
    assert project.evaluate(study.best).rows == first.setting.test_rows
    config = project.freeze(study.best, gate=Gate(threshold=25), reason="test")
    assert FrozenConfig.load(config.path) == config
    assert config.serialization == "spark"
    assert config.model["params"]["stages"][1]["params"]["labelCol"] == "delay"
    report = project.deploy(config)
    assert report.outcome == "promoted"
    assert report.train.fingerprint == first.setting.train
    assert report.scores["candidate"] < 15
    assert project.plan(config).kind == "nothing"
    again = project.deploy(config)
    assert (again.outcome, again.model_id) == ("unchanged", report.model_id)


@pytest.mark.skipif("classic" not in SPARKS, reason="elsewhere the journey shows it")
def test_a_plan_right_after_a_deployment_says_nothing(home, tmp_path, way) -> None:
    """On classic Spark as on every other engine."""
    assert plan_after_deployment(project_on(tmp_path, way)) == "nothing"


def test_champions_of_either_kind_are_compared(home, tmp_path, way) -> None:
    """On the same test rows, whoever answers them; what serves may be of another kind the next time."""
    project = project_on(tmp_path, way)
    project.publish_features("features.flights", make_flights(600).dropna())
    models = [
        DecisionTreeRegressor(max_depth=1),
        steps(LinearRegression(labelCol="delay")),
        steps(RandomForestRegressor(labelCol="delay", numTrees=2, maxDepth=1)),
        DecisionTreeRegressor(max_depth=2),
    ]
    reports = [project.deploy(config_of(project, model)) for model in models]
    assert [report.outcome for report in reports] == [
        "promoted",
        "promoted",
        "kept_champion",
        "kept_champion",
    ]
    scores = [report.scores for report in reports]
    for before, after in ((0, 1), (1, 2), (1, 3)):
        assert scores[after]["champion"] == scores[before]["candidate"]
    assert [entry.to_version for entry in project.history()] == [1, 2]
    assert project.rollback(reason="to see it work").version == 1
    assert project.rollback(to=2, reason="and back").version == 2


@pytest.mark.skipif("classic" in SPARKS, reason="the tables of classic Spark are those of one process")
def test_a_packaged_runner_repeats_the_trial(home, tmp_path, way) -> None:
    """The rehearsal has a session of its own, and gives the same rows, scores and predictions."""
    project = project_on(tmp_path, way)
    project.publish_features("features.flights", make_flights(300).dropna())
    study = project.study(forests, project.snapshot("features.flights"), trials=1, cv=2)
    config = project.freeze(study.best, gate=Gate(threshold=25), reason="test")
    assert project.handoff(config).rehearsal.predictions == study.best.predictions


def test_a_model_is_read_from_where_spark_can_see_it_unchanged(home, tmp_path, way) -> None:
    """The store's folder, else the one it was saved into; a file that changed is never read."""
    project = project_on(tmp_path, way)
    project.publish_features("features.flights", make_flights(300).dropna())
    report = project.deploy(config_of(project, steps(LinearRegression(labelCol="delay"))))
    folder = project._stores.registry.folder(report.model_id)
    digest = project.champion().manifest_digest
    told = json.loads((folder / "mlkit_spark.json").read_text())
    saved = Path(told["place"].removeprefix("file:"))
    assert load_model(folder, manifest_digest=digest).stages[1].numFeatures == 3
    assert ml.load_model(told["files"], (tmp_path / "nowhere").as_uri(), told["place"]).stages
    data = next(saved.rglob("*.parquet"))
    data.write_bytes(data.read_bytes()[:-1] + b"!")
    for crc in saved.rglob(".*.crc"):
        crc.unlink()
    with pytest.raises(IntegrityError, match="nowhere, or changed") as caught:
        ml.load_model(told["files"], told["place"])
    assert caught.value.code == "INT027"
    shutil.rmtree(saved)
    assert load_model(folder, manifest_digest=digest).stages
    kept = next((folder / "sparkml").rglob("*.parquet"))
    kept.write_bytes(b"")
    with pytest.raises(IntegrityError, match="this file of the model is changed"):
        load_model(folder, manifest_digest=digest)


def test_what_cannot_train_there_is_refused_early(home, tmp_path, way, user_module) -> None:
    """Before anything is fitted: no Spark, a `prepare` that would fetch all rows, both kinds in one study."""
    flights = make_flights(300).dropna()
    local = ModelProject("flights", target="delay", key="flight_id", metric="rmse")
    local.publish_features("features.flights", flights)
    with pytest.raises(StudyError, match="rows of this study are in this process") as caught:
        local.study(forests, local.snapshot("features.flights"), trials=2, cv=2)
    assert caught.value.code == "RUN024"
    model = steps(LinearRegression(labelCol="delay"))
    with pytest.raises(StudyError, match="needs a target that has Spark") as caught:
        local.plan(config_of(local, model))
    assert caught.value.code == "RUN025"
    project = project_on(tmp_path, way)
    project.publish_features("features.flights", flights)
    prepared = project.snapshot("features.flights", prepare=f"{user_module}:prepare")
    with pytest.raises(StudyError, match="prepare takes a pandas frame") as caught:
        project.study(forests, prepared, trials=2, cv=2)
    assert caught.value.code == "RUN025"
    mixed, plain = [model, Ridge()], project.snapshot("features.flights")
    with pytest.raises(StudyError, match="rows of this study are in Spark") as caught:
        project.study(lambda trial: mixed[trial.number], plain, trials=2, cv=2)
    assert caught.value.code == "RUN024"
    with pytest.raises(ConfigError, match="trains on Spark, and its files are to be skops"):
        config_of(project, model, serialization="skops")


@pytest.mark.skipif("classic" not in SPARKS, reason="MLflow's own reader needs a JVM in its process")
def test_mlflow_reads_the_folder_too(home, tmp_path, way) -> None:
    """It has the layout of MLflow's own flavour, so what serves Spark's models serves this one."""
    project = project_on(tmp_path, way)
    project.publish_features("features.flights", make_flights(300).dropna())
    report = project.deploy(config_of(project, steps(LinearRegression(labelCol="delay"))))
    import mlflow.pyfunc  # noqa: PLC0415 - it warns of its own code unless a model was saved before

    model = mlflow.pyfunc.load_model(str(project._stores.registry.folder(report.model_id)))
    assert len(model.predict(make_flights(20)[["distance", "hour", "is_ua"]])) == 20
    assert "pyspark" in sys.modules
