"""Handoff: the wheel follows from config and code, and is kept only if it repeats the trial."""

from __future__ import annotations

import importlib
import json
import re
import zipfile
from pathlib import Path

import pytest
import yaml
from sklearn.linear_model import Ridge

from mlkit import Gate, ModelProject, open_workspace
from mlkit.errors import ConfigError, IntegrityError, StudyError
from mlkit.frozen import FrozenConfig, provenance_path
from mlkit.research.handoff import COMPARED
from mlkit.research.interpreter import sandboxed

PREPARE = """
import importlib
from pathlib import Path


def read_beside(frame):
    factor = float(Path("factor.txt").read_text())
    return frame.dropna().assign(scaled=frame["distance"] * factor)


def import_computed(frame):
    rules = importlib.import_module("_".join(["extra", "rules"]))
    return frame.dropna().assign(scaled=frame["distance"] * rules.FACTOR)
"""


@pytest.fixture
def project(workspace, flights) -> ModelProject:
    """A project whose rows are published."""
    project = ModelProject("late", target="delay", metric="rmse", key="flight_id", workspace=workspace)
    project.publish_features("features.flights", flights)
    return project


def frozen(project, prepare) -> FrozenConfig:
    """The config of the only trial of a study."""
    snapshot = project.snapshot("features.flights", prepare=prepare)
    study = project.study(
        lambda trial: Ridge(alpha=trial.suggest_float("alpha", 1, 2)), snapshot, trials=1, cv=3
    )
    return project.freeze(study.best, gate=Gate(threshold=50))


def test_a_wheel_follows_from_config_and_code(project, user_module, tmp_path) -> None:
    """The same content gives the same bytes; another config, or other code, gives another version."""
    config = frozen(project, f"{user_module}:prepare")
    first = project.handoff(config, to=tmp_path / "a", rehearse=False)
    again = project.handoff(FrozenConfig.load(config.path), to=tmp_path / "b", rehearse=False)
    assert first.wheel.read_bytes() == again.wheel.read_bytes()
    assert (first.wheel.name, first.version) == (again.wheel.name, again.version)
    edited = project.handoff(config.replace(gate=Gate(threshold=40)), to=tmp_path, rehearse=False)
    (tmp_path / "my_prepare.py").write_text((tmp_path / "my_prepare.py").read_text() + "\n# a word more\n")
    changed = project.handoff(config, to=tmp_path, rehearse=False)
    assert len({first.version, edited.version, changed.version}) == 3
    with zipfile.ZipFile(changed.wheel) as archive:
        names = set(archive.namelist())
        assert b"# a word more" in archive.read("my_prepare.py")
        assert archive.read("late_model/configs/late.yaml").decode() == config.to_yaml()
        requires = archive.read(f"late_model-{changed.version}.dist-info/METADATA").decode()
    assert {"late_model/__init__.py", "late_model/configs/late.provenance.json"} < names
    assert all(f"Requires-Dist: {pin}\n" in requires for pin in config.environment.requirements)
    assert "not rehearsed" in repr(first)
    assert "late_model deploy --config=late --target=local" in repr(first)


def test_the_package_repeats_the_trial(project, user_module) -> None:
    """A fresh interpreter with the wheel alone gives the trial's rows, scores and predictions."""
    config = frozen(project, f"{user_module}:prepare")
    made = project.handoff(config)
    origin = json.loads(provenance_path(config.path).read_text())
    proof = made.rehearsal
    assert (proof.compared_with, proof.isolated) == ("trial", False)
    assert (proof.train, proof.test, proof.predictions) == tuple(
        origin[name] for name in ("train", "test", "predictions")
    )
    assert list(proof.scores) == origin["scores"]
    assert made.wheel.parent == Path("dist")
    assert json.loads(json.dumps(made.to_dict()))["rehearsal"]["train"] == origin["train"]
    assert "equal the trial's" in repr(made)


@pytest.mark.slow
def test_an_edited_config_is_compared_with_the_source_tree(project, user_module, tmp_path) -> None:
    """No trial stands for it; under which name its file lies does not matter."""
    config = (
        frozen(project, f"{user_module}:prepare").replace(seed=5).write(tmp_path / "models" / "other.yml")
    )
    made = project.handoff(FrozenConfig.load(tmp_path / "models" / "other.yml"))
    assert made.rehearsal.compared_with == "source tree"
    assert made.parameters == ("deploy", "--config=late", "--target=local")
    assert len(made.rehearsal.scores) == 5
    with zipfile.ZipFile(made.wheel) as archive:
        assert archive.read("late_model/configs/late.yaml").decode() == config.to_yaml()


def test_a_source_that_moved_on_is_refused(project, user_module, flights) -> None:
    """The error says what differs on both sides, and no wheel is left that nobody proved."""
    config = frozen(project, f"{user_module}:prepare")
    project.publish_features("features.flights", flights.assign(flight_id=flights["flight_id"] + 1000))
    with pytest.raises(IntegrityError) as caught:
        project.handoff(config)
    assert caught.value.code == "INT033"
    origin = json.loads(provenance_path(config.path).read_text())
    for name in COMPARED:
        assert f"{name}: trial {origin[name]}, package " in caught.value.message
    assert not Path("dist").exists()


@pytest.mark.parametrize(
    ("function", "cause"),
    [("read_beside", "FileNotFoundError"), ("import_computed", "No module named 'extra_rules'")],
)
def test_a_prepare_that_needs_the_source_tree_is_refused(
    project, user_module, tmp_path, function, cause
) -> None:
    """A file beside the code, or a module whose name is computed, is not in the wheel."""
    (tmp_path / "my_prepare.py").write_text(PREPARE)
    (tmp_path / "extra_rules.py").write_text("FACTOR = 2.0\n")
    (tmp_path / "factor.txt").write_text("2.0")
    importlib.invalidate_caches()
    config = frozen(project, f"{user_module}:{function}")
    with pytest.raises(StudyError) as caught:
        project.handoff(config)
    assert caught.value.code == "RUN014"
    assert cause in caught.value.message
    assert not Path("dist").exists()


def test_a_module_with_the_name_of_the_package_is_refused(project, tmp_path, monkeypatch) -> None:
    """It would hide the packaged runner, or be hidden by it."""
    (tmp_path / "late_model.py").write_text("def prepare(frame):\n    return frame.dropna()\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    config = frozen(project, "late_model:prepare")
    with pytest.raises(ConfigError) as caught:
        project.handoff(config, rehearse=False)
    assert (caught.value.code, caught.value.path) == ("CFG036", "late_model.py")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_fresh_environment_repeats_the_trial(project, user_module) -> None:
    """The pins alone are installed from the index: nothing of this environment is needed."""
    config = frozen(project, f"{user_module}:prepare")
    made = project.handoff(config, isolated=True)
    assert made.rehearsal.isolated
    assert made.rehearsal.compared_with == "trial"
    assert "a fresh environment" in repr(made)


# ------------------------------------------------------------------------------------ for a job of Databricks

TARGETS = """
[targets.dev.bundle]
host = "https://dev.example.com"
"""


@pytest.fixture
def bundled(home, tmp_path, flights) -> ModelProject:
    """A project on a target that has jobs; its stores lie in a folder, as those of `local` do."""
    (tmp_path / "mlkit.toml").write_text(TARGETS)
    project = ModelProject(
        "late", target="delay", metric="rmse", key="flight_id", workspace=open_workspace("dev", home=home)
    )
    project.publish_features("features.flights", flights)
    return project


def test_a_target_with_jobs_gets_a_bundle(bundled, user_module, tmp_path) -> None:
    """Beside the wheel, which carries the targets: rehearsed where no mlkit.toml is in sight."""
    config = frozen(bundled, f"{user_module}:prepare")
    frozen_other = config.replace(name="other").write(tmp_path / "models" / "other.yaml")
    made = bundled.handoff(config)
    assert (made.bundle, made.rehearsal.compared_with) == (Path("databricks.yml"), "trial")
    with zipfile.ZipFile(made.wheel) as archive:
        assert archive.read("late_model/configs/mlkit.toml").decode() == TARGETS
    values = yaml.safe_load(made.bundle.read_text())
    assert list(values["artifacts"]) == ["late_model", "other_model"]
    (wheels,) = values["artifacts"]["late_model"]["files"]
    assert list(Path().glob(wheels["source"])) == [made.wheel]
    task = values["resources"]["jobs"]["late_deploy"]["tasks"][0]["python_wheel_task"]
    assert task["package_name"] == task["entry_point"] == made.entry_point
    assert task["parameters"][:2] == list(made.parameters[:2])
    assert f"deploy --target dev  ({made.bundle})" in repr(made)
    before = made.bundle.read_bytes()
    bundled.handoff(frozen_other, rehearse=False)
    assert made.bundle.read_bytes() == before


def test_one_wheel_of_a_package_is_left(bundled, user_module, tmp_path) -> None:
    """Of several, Databricks would choose by their names, which follow from content and not from time."""
    config = frozen(bundled, f"{user_module}:prepare")
    first = bundled.handoff(config, rehearse=False).wheel
    (tmp_path / "dist" / "late_model_of_others-1.0-py3-none-any.whl").write_bytes(b"")
    again = bundled.handoff(config.replace(seed=5), rehearse=False).wheel
    assert sorted(Path("dist").iterdir()) == sorted(
        [again, Path("dist/late_model_of_others-1.0-py3-none-any.whl")]
    )
    assert first != again


def test_a_bundle_that_was_edited_by_hand_stops_a_handoff_first(bundled, user_module, monkeypatch) -> None:
    """Before anything is rehearsed or built."""
    config = frozen(bundled, f"{user_module}:prepare")
    Path("databricks.yml").write_text("mine: true\n")
    with pytest.raises(ConfigError) as caught:
        bundled.handoff(config)
    assert caught.value.code == "CFG038"
    assert not Path("dist").exists()


def test_wheels_elsewhere_have_their_bundle_there(bundled, user_module, tmp_path_factory) -> None:
    """Databricks takes files from below the folder of the bundle only."""
    config = frozen(bundled, f"{user_module}:prepare")
    folder = tmp_path_factory.mktemp("out")
    made = bundled.handoff(config, to=folder, rehearse=False)
    assert made.bundle == folder / "databricks.yml"
    assert "source: ./late_model-*.whl" in made.bundle.read_text()
    inside = bundled.handoff(config, to=Path.cwd() / "build" / "wheels", rehearse=False)
    assert "source: ./build/wheels/late_model-*.whl" in inside.bundle.read_text()


def test_a_target_without_jobs_gets_none(project, user_module, tmp_path) -> None:
    """Also if the file of targets describes others."""
    (tmp_path / "mlkit.toml").write_text(TARGETS)
    made = project.handoff(frozen(project, f"{user_module}:prepare"), rehearse=False)
    assert made.bundle is None
    assert not Path("databricks.yml").exists()


@pytest.mark.slow
def test_the_wheel_runs_as_a_job_runs_it(bundled, user_module, home, tmp_path) -> None:
    """Found by its metadata, with the parameters of the bundle: it deploys, and says why it fails."""
    made = bundled.handoff(frozen(bundled, f"{user_module}:prepare"), rehearse=False)
    task = yaml.safe_load(made.bundle.read_text())["resources"]["jobs"]["late_deploy"]["tasks"][0]
    told = [
        text.replace("${bundle.target}", "dev").replace("{{job.repair_count}}", "0")
        for text in task["python_wheel_task"]["parameters"]
    ]
    told = [re.sub(r"\{\{job\.parameters\.\w+\}\}", "", text) for text in told]
    told = [re.sub(r"\{\{[a-z._]+\}\}", "1", re.sub(r"\$\{.*?\}", "x", text)) for text in told]
    (tmp_path / "place").mkdir()
    runner = sandboxed(tmp_path / "place", made.wheel)
    runner.run(made.entry_point, told, home=home)
    (entry,) = bundled.history()
    assert (entry.to_version, entry.evidence["attempt"]["attempt"]) == (1, "w1-j1-r1-p0-e1")
    with pytest.raises(StudyError) as caught:
        runner.run(made.entry_point, ["rollback", "--target=dev", "--reason=bad"], home=home)
    assert caught.value.message.endswith("UsageError: [CLI006] to: v1 replaced no other version")
    assert caught.value.fix.startswith("name a")
