"""What a study leaves in the tracking store: parent and child runs, the best model, documents and a page."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import mlflow
import numpy as np
import pytest
from catboost import CatBoostClassifier
from lightgbm import LGBMClassifier
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeRegressor
from xgboost import XGBRegressor

from mlkit import Split
from mlkit.errors import StoreError
from mlkit.tracking.models import load_model
from tests.research.study.scenes import counted, linear_or_tree, make_project, view


def artifacts(project, run_id) -> Path:
    """The artifacts of a run, in a folder."""
    return Path(project._stores.tracking.client.download_artifacts(run_id, ""))


def stored_model(project, study):
    """The refitted best model, its files verified."""
    tags = project._stores.tracking.run(study.best.run_id).tags
    folder = artifacts(project, study.best.run_id) / "model"
    return load_model(folder, manifest_digest=tags["mlkit_manifest"])


@pytest.fixture
def study(project, snapshot):
    """A study of six trials, in a folder that git knows nothing of."""
    return project.study(linear_or_tree, snapshot, trials=6, cv=3, seed=4, name="first look")


def test_every_run_says_where_it_belongs(project, study) -> None:
    """Parameters, fold scores, seconds, tags, the train rows by our fingerprint, and the parent."""
    client = project._stores.tracking.client
    for trial in study.trials:
        run = client.get_run(trial.run_id)
        assert run.data.params == {name: str(value).strip('"') for name, value in trial.params.items()}
        assert run.data.metrics["seconds"] == trial.seconds > 0
        assert run.data.metrics.get("rmse") == trial.score
        steps = client.get_metric_history(trial.run_id, "fold_rmse")
        assert [(point.step, point.value) for point in steps] == list(enumerate(trial.scores))
        assert run.data.tags["mlflow.parentRunId"] == study.run_id
        assert run.data.tags["mlkit_kind"] == "trial"
        assert run.data.tags["mlkit_state"] == trial.state
    parent = client.get_run(study.run_id)
    assert parent.info.run_name == study.name == "first look"
    assert parent.info.status == "FINISHED"
    assert parent.data.params == {
        "cv": "3",
        "seed": "4",
        "metric": "rmse",
        "snapshot": study.setting.snapshot.fingerprint,
    }
    assert parent.data.metrics["best_rmse"] == study.best.score
    assert parent.data.metrics["seconds"] == pytest.approx(sum(trial.seconds for trial in study.trials))
    assert parent.data.tags["mlkit_best_run"] == study.best.run_id
    for run in [parent, *(client.get_run(trial.run_id) for trial in study.trials)]:
        assert (run.data.tags["mlkit_commit"], run.data.tags["mlkit_dirty"]) == ("", "false")
        [entry] = run.inputs.dataset_inputs
        assert entry.dataset.digest == study.setting.train
        assert len(entry.dataset.digest) == 35
        assert entry.tags[0].value == "training"


def test_runs_carry_the_commit(project, snapshot, tmp_path) -> None:
    """The commit that is checked out, and whether files differ from it, stand on parent and child."""
    commands = (
        ["init", "--quiet"],
        ["add", "search.py"],
        ["-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "--quiet", "-m", "first"],
    )
    (tmp_path / "search.py").write_text("depth = 1\n")
    for command in commands:
        subprocess.run(["git", *command], check=True)  # noqa: S607 - the git of this machine
    (tmp_path / "search.py").write_text("depth = 2\n")
    study = project.study(lambda _: Ridge(), snapshot, trials=1, cv=2)
    head = subprocess.run(["git", "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout  # noqa: S607
    for run_id in (study.run_id, study.best.run_id):
        tags = project._stores.tracking.run(run_id).tags
        assert (tags["mlkit_commit"], tags["mlkit_dirty"]) == (head.strip(), "true")


def test_the_study_is_kept_as_documents(project, study) -> None:
    """Study, importances and page lie with the parent; JSON is strict even where a trial was pruned."""
    folder = artifacts(project, study.run_id)
    assert {path.name for path in folder.iterdir()} == {"study.json", "importances.json", "study.html"}
    kept = json.loads((folder / "study.json").read_text(), parse_constant=pytest.fail)
    assert [trial["score"] for trial in kept["trials"]] == [trial.score for trial in study.trials]
    assert kept["setting"]["train"] == study.setting.train
    importances = json.loads((folder / "importances.json").read_text(), parse_constant=pytest.fail)
    assert next(iter(importances)) == "hour"
    assert set(importances) == set(study.setting.features)


def test_the_best_model_is_refitted_on_all_train_rows(project, study, monkeypatch) -> None:
    """It lies with its trial, verified by its manifest, and MLflow reads it too."""
    train = project.split(study.setting.snapshot).train.to_pandas()
    frame = train[list(study.setting.features)]
    model = stored_model(project, study)
    assert model.n_features_in_ == frame.shape[1]
    expected = model.predict(frame)
    assert np.sqrt(np.mean((expected - train["delay"]) ** 2)) < study.best.score * 1.2
    monkeypatch.setenv("MLFLOW_TRACKING_URI", project.workspace.tracking_uri)
    loaded = mlflow.pyfunc.load_model(f"runs:/{study.best.run_id}/model")
    assert np.array_equal(loaded.predict(frame), expected)
    client = project._stores.tracking.client
    assert [trial for trial in study.trials if client.list_artifacts(trial.run_id)] == [study.best]


def test_a_model_brings_the_users_code_along(project, snapshot, my_models, tmp_path) -> None:
    """A process that has never heard of the user's module reads and uses the best model."""
    study = project.study(counted, snapshot, trials=1, cv=2)
    folder = artifacts(project, study.best.run_id) / "model"
    script = (
        "import mlflow, pandas, sys; model = mlflow.pyfunc.load_model(sys.argv[1]);"
        "print(len(model.predict(model.input_example)))"
    )
    place = tmp_path / "elsewhere"
    place.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", script, str(folder)], cwd=place, capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "5", done.stderr


def test_a_longer_study_may_have_another_best_model(project, snapshot) -> None:
    """When a resumed study finds a better one, of another kind and format, both trials keep theirs whole."""

    def search(trial):
        return DecisionTreeRegressor(max_depth=1) if trial.number == 0 else Ridge()

    first = project.study(search, snapshot, trials=1, cv=2)
    stump = stored_model(project, first)
    longer = project.study(search, snapshot, trials=2, cv=2)
    assert longer.run_id == first.run_id
    assert longer.best.number == 1
    assert type(stored_model(project, longer)) is Ridge
    assert type(stored_model(project, first)) is type(stump) is DecisionTreeRegressor
    kept = json.loads((artifacts(project, longer.run_id) / "study.json").read_text())
    assert len(kept["trials"]) == 2
    assert project._stores.tracking.run(longer.run_id).tags["mlkit_best_trial"] == "1"


def test_a_pin_that_differs_makes_another_study(project, snapshot, monkeypatch) -> None:
    """Results of another environment are not taken for results of this one."""
    first = project.study(lambda _: Ridge(), snapshot, trials=1, cv=2)
    monkeypatch.setattr("mlkit.research.freeze.pins_of", lambda _: ["numpy==1.0"])
    assert project.study(lambda _: Ridge(), snapshot, trials=1, cv=2).run_id != first.run_id


def test_a_store_that_fails_ends_the_study(project, snapshot) -> None:
    """What cannot be kept is not searched for; the error says what was refused."""
    tracking = project._stores.tracking

    def search(trial):
        """While the study runs, somebody deletes the project's experiment."""
        if trial.number == 0:
            tracking.client.delete_experiment(tracking.experiment("flights"))
        return Ridge(trial.suggest_float("alpha", 1, 2))

    with pytest.raises(StoreError, match="refused") as caught:
        project.study(search, snapshot, trials=20, cv=2)
    assert caught.value.code == "STO020"


def boosted(trial):
    """XGBoost."""
    return XGBRegressor(n_estimators=5, max_depth=trial.suggest_int("max_depth", 1, 3), subsample=0.5)


def light(trial):
    """LightGBM."""
    leaves = trial.suggest_int("num_leaves", 2, 8)
    return LGBMClassifier(n_estimators=5, num_leaves=leaves, verbose=-1, subsample=0.5, subsample_freq=1)


def cat(trial):
    """CatBoost."""
    depth = trial.suggest_int("depth", 1, 3)
    return CatBoostClassifier(iterations=5, depth=depth, verbose=0, allow_writing_files=False)


def own(trial):
    """A pipeline around an estimator of the user's own."""
    return make_pipeline(StandardScaler(), counted(trial))


@pytest.mark.parametrize(
    ("search", "labels", "arguments", "task", "folds"),
    [
        (boosted, lambda delay: delay, {"split": Split(time="hour")}, "regression", 3),
        (
            light,
            lambda delay: delay > 20,
            {"split": Split(validation=0.2), "metric": "roc_auc"},
            "binary",
            1,
        ),
        (
            cat,
            lambda delay: np.where(delay > 30, "late", np.where(delay > 10, "soon", "in_time")),
            {"split": Split(stratify=True), "metric": "log_loss"},
            "multiclass",
            3,
        ),
        (
            own,
            lambda delay: delay,
            {"split": Split(by="hour", seed=2), "metric": "my_models:mad", "direction": "minimize"},
            "regression",
            3,
        ),
    ],
    ids=["xgboost-time", "lightgbm-validation", "catboost-stratified", "own-groups"],
)
def test_any_library_task_and_split(home, flights, my_models, search, labels, arguments, task, folds) -> None:
    """Each gives the same trials on two workers, and a best model that can be read back."""
    project = make_project(**arguments)
    rows = flights.dropna()
    snapshot = project.snapshot(rows.assign(delay=labels(rows["delay"])))
    study = project.study(search, snapshot, trials=3, cv=3)
    assert study.setting.task == task
    assert {len(trial.scores) for trial in study.trials} == {folds}
    together = project.study(search, snapshot, trials=3, cv=3, workers=2, resume=False)
    assert view(together) == view(study)
    frame = rows[list(study.setting.features)]
    assert len(stored_model(project, study).predict(frame)) == len(rows)


def test_a_fold_may_lack_a_class(home, flights) -> None:
    """A class so rare that one fold's models never saw it is no obstacle to predictions that compare."""
    from sklearn.tree import DecisionTreeClassifier  # noqa: PLC0415 - of this test only

    rows = flights.dropna().reset_index(drop=True)
    labels = np.where(rows["delay"] > 20, "late", "in_time").astype(object)
    project = make_project(metric="accuracy", task="multiclass")
    train = project.split(project.snapshot(rows)).train.to_pandas()["flight_id"]
    labels[(rows["flight_id"] == train[0]).to_numpy()] = "lost"
    snapshot = project.snapshot(rows.assign(delay=labels))
    study = project.study(lambda _: DecisionTreeClassifier(max_depth=2), snapshot, trials=1, cv=2)
    assert study.best.predictions.startswith("d1:")
