"""Freezing: the same bytes each time, a source that is proven, and a provenance that tells everything."""

from __future__ import annotations

import dataclasses
import json
import subprocess
from pathlib import Path

import pytest
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from xgboost import XGBRegressor

from mlkit import FrozenConfig, Gate, Monitor, Source
from mlkit.code import code_digest, user_files
from mlkit.errors import ConfigError, DataError, MlkitError, UsageError
from tests.research.study.scenes import counted, make_project

GATE = Gate(threshold=25)


def ridge(trial):
    """A ridge with one parameter."""
    return Ridge(trial.suggest_float("alpha", 0.1, 1))


@pytest.fixture
def study(project, snapshot):
    """Two trials on published rows."""
    return project.study(ridge, snapshot, trials=2, cv=2, seed=5)


def origin(config) -> dict:
    """The provenance beside a config."""
    return json.loads(config.path.with_suffix(".provenance.json").read_text(), parse_constant=pytest.fail)


def commit(*files) -> str:
    """Commit files in the working directory; gives the hash."""
    user = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    for command in (["init", "--quiet"], ["add", *files], [*user, "commit", "--quiet", "-m", "x"]):
        subprocess.run(["git", *command], check=True)  # noqa: S607 - the git of this machine
    head = subprocess.run(["git", "rev-parse", "HEAD"], check=True, capture_output=True, text=True)  # noqa: S607
    return head.stdout.strip()


def test_freezing_twice_gives_the_same_bytes(project, study) -> None:
    """Config and provenance, to the byte; what is read back is what was frozen."""
    first = project.freeze(study.best, gate=GATE)
    assert first.path == Path("models/flights.yaml")
    files = [first.path, first.path.with_suffix(".provenance.json")]
    before = [file.read_bytes() for file in files]
    second = project.freeze(study.best, gate=GATE)
    assert [file.read_bytes() for file in files] == before
    assert FrozenConfig.load("flights").digest == first.digest == second.digest
    third = project.freeze(study.trials[0], gate=GATE, path="elsewhere/other.yaml")
    fourth = project.freeze(study.trials[1], gate=GATE, path="elsewhere/other.yaml")
    assert third.digest != fourth.digest
    assert first.digest in (third.digest, fourth.digest)
    assert third.path == Path("elsewhere/other.yaml")
    assert origin(fourth)["trial"] == 1


def test_what_is_watched_stands_in_the_config(project, study) -> None:
    """All features unless some are named, so that a reviewer sees which values will be logged."""
    config = project.freeze(study.best, gate=GATE)
    assert config.monitor.inputs == config.features
    assert f"monitor:\n  inputs: [{', '.join(config.features)}]\n" in config.path.read_text()
    sure = project.freeze(study.best, gate=GATE, monitor=Monitor(alpha=0.01))
    assert (sure.monitor.inputs, sure.monitor.alpha) == (config.features, 0.01)
    blind = project.freeze(study.best, gate=GATE, monitor=Monitor(inputs=()))
    assert (blind.monitor.inputs, "monitor" in blind.path.read_text()) == ((), False)


@pytest.mark.newest_only  # the lowest MLflow writes no skops
def test_a_config_says_what_the_trial_was(project, snapshot, study) -> None:
    """Every part of it comes from the study's setting."""
    config = project.freeze(study.best, gate=GATE)
    assert config.model == study.best.model
    assert config.model["params"]["alpha"] == study.best.params["alpha"]
    assert (config.seed, config.metric, config.task, config.target) == (5, "rmse", "regression", "delay")
    assert (config.key, config.features) == (("flight_id",), study.setting.features)
    assert config.source == Source(table="features.flights")
    assert (config.split, config.contract, config.gate) == (study.setting.split, snapshot.contract, GATE)
    assert config.serialization == "skops"
    pinned = {pin.partition("==")[0] for pin in config.environment.requirements}
    assert {"scikit-learn", "numpy", "pandas", "skops"} <= pinned
    assert "xgboost" not in pinned


def test_the_provenance_tells_where_it_came_from(project, study, user_module) -> None:
    """Runs, rows, scores, predictions, looks, code and commit; outside the config's digest."""
    config = project.freeze(study.best, gate=GATE)
    told = origin(config)
    assert (told["run_id"], told["study_run_id"]) == (study.best.run_id, study.run_id)
    assert (told["trial"], told["params"]) == (study.best.number, dict(study.best.params))
    assert (told["score"], told["scores"]) == (study.best.score, list(study.best.scores))
    assert told["predictions"] == study.best.predictions
    assert (told["snapshot"], told["train"], told["test"]) == (
        study.setting.snapshot.fingerprint,
        study.setting.train,
        study.setting.test,
    )
    assert (told["train_rows"], told["test_rows"]) == (study.setting.train_rows, study.setting.test_rows)
    assert (told["cv"], told["seed"], told["test_looks"]) == (2, 5, 0)
    assert (told["commit"], told["dirty"], told["reason"]) == (None, [], None)
    assert told["config_digest"] == config.digest
    assert told["code_digest"] == code_digest({})


def test_code_of_the_users_own_is_kept_by_digest(home, flights, user_module, my_models) -> None:
    """Prepare, estimator and metric; the config follows from none of their bytes, the provenance from all."""
    project = make_project(metric="my_models:mad", direction="minimize")
    project.publish_features("features.flights", flights)
    snapshot = project.snapshot("features.flights", prepare="my_prepare:prepare")
    study = project.study(lambda trial: make_pipeline(counted(trial)), snapshot, trials=1, cv=2)
    config = project.freeze(study.best, gate=GATE)
    assert config.serialization == "cloudpickle"
    assert config.gate.direction == "minimize"
    files = user_files(["my_models:mad", "my_prepare:prepare"])
    assert set(files) == {"my_models.py", "my_prepare.py"}
    assert origin(config)["code_digest"] == code_digest(files)
    Path("my_prepare.py").write_text(Path("my_prepare.py").read_text() + "\n# later\n")
    again = project.freeze(study.best, gate=GATE)
    assert again.digest == config.digest
    assert origin(again)["code_digest"] == code_digest(files) != code_digest({})


def test_a_gate_may_not_contradict_the_study(project, study) -> None:
    """A study that minimised does not become a config that maximises."""
    with pytest.raises(ConfigError) as caught:
        project.freeze(study.best, gate=Gate(direction="maximize"))
    assert (caught.value.code, caught.value.path) == ("CFG013", "gate.direction")
    assert project.freeze(study.best, gate=Gate(direction="minimize")).gate.direction == "minimize"


@pytest.mark.newest_only  # the lowest MLflow writes no skops
def test_each_trial_has_its_own_libraries_and_format(project, snapshot, my_models) -> None:
    """Pins are those of its estimator, and the file format is what its fitted model needs, best or not."""

    def search(trial):
        models = [Ridge(), my_models.Counted(alpha=1e6), XGBRegressor(n_estimators=1)]
        return models[trial.number]

    study = project.study(search, snapshot, trials=3, cv=2)
    assert study.best.number == 0
    frozen = [project.freeze(trial, gate=GATE) for trial in study.trials]
    pins = [{pin.partition("==")[0] for pin in config.environment.requirements} for config in frozen]
    assert ["xgboost" in names for names in pins] == [False, False, True]
    assert [config.serialization for config in frozen[:2]] == ["skops", "cloudpickle"]


def test_a_dataframe_without_a_source_is_not_frozen(project, flights) -> None:
    """A config must be able to fetch its rows again; the way out is named."""
    study = project.study(ridge, project.snapshot(flights.dropna()), trials=1, cv=2)
    with pytest.raises(UsageError, match="dataframe in memory") as caught:
        project.freeze(study.best, gate=GATE)
    assert (caught.value.code, caught.value.path) == ("CLI023", "source")
    assert str(study.setting.snapshot.table) in caught.value.fix
    assert not Path("models").exists()


def test_a_lambda_is_refused_in_its_own_words(project) -> None:
    """Not the missing source is the trouble, but the function without a name."""
    snapshot = project.snapshot("features.flights", prepare=lambda frame: frame)
    study = project.study(ridge, snapshot, trials=1, cv=2)
    with pytest.raises(UsageError, match=r"prepare cannot be imported by name: .* lambda") as caught:
        project.freeze(study.best, gate=GATE)
    assert caught.value.code == "CLI023"


def test_a_source_given_late_is_verified(project, flights) -> None:
    """A table with the very rows will do, the snapshot's own table too; one with other rows will not."""
    rows = flights.dropna()
    study = project.study(ridge, project.snapshot(rows), trials=1, cv=2)
    snapshot = study.setting.snapshot
    project.publish_features("features.other", rows.assign(delay=rows["delay"] + 1))
    for source in ("features.flights", Source(table="features.flights"), str(snapshot.table)):
        config = project.freeze(study.best, gate=GATE, source=source)
        assert config.source == (source if isinstance(source, Source) else Source(table=source))
    with pytest.raises(DataError) as caught:
        project.freeze(study.best, gate=GATE, source="features.other")
    assert caught.value.code == "DAT050"
    assert snapshot.fingerprint in caught.value.message
    with pytest.raises(MlkitError):
        project.freeze(study.best, gate=GATE, source="features.missing")


def test_the_snapshots_source_may_be_given_again(project, study) -> None:
    """It is not read anew, even where the table has moved on since."""
    project.publish_features("features.flights", study.setting.snapshot.to_pandas().head(5).assign(delay=0.0))
    assert project.freeze(study.best, gate=GATE, source="features.flights").source.table == "features.flights"


def test_uncommitted_changes_need_a_reason(project, study, user_module) -> None:
    """Which is kept beside the config, with the commit and the files; models/ itself does not count."""
    Path("notes.txt").write_text("one")
    head = commit("my_prepare.py", "notes.txt")
    clean = project.freeze(study.best, gate=GATE)
    assert (origin(clean)["commit"], origin(clean)["dirty"]) == (head, [])
    commit("models")
    Path("models/flights.yaml").write_text("edited: true")
    Path("notes.txt").write_text("two")
    with pytest.raises(UsageError, match=r"notes\.txt") as caught:
        project.freeze(study.best, gate=GATE)
    assert (caught.value.code, caught.value.path) == ("CLI024", "git")
    assert Path("models/flights.yaml").read_text() == "edited: true"
    told = origin(project.freeze(study.best, gate=GATE, reason="a hurry"))
    assert (told["dirty"], told["reason"]) == (["notes.txt"], "a hurry")


def test_only_a_complete_trial_is_frozen(project, study) -> None:
    """And only one that came from a study."""
    for trial in (
        dataclasses.replace(study.best, state="pruned"),
        dataclasses.replace(study.best, setting=None),
    ):
        with pytest.raises(UsageError) as caught:
            project.freeze(trial, gate=GATE)
        assert caught.value.code == "CLI022"
