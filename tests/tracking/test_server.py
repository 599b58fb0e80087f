"""The whole journey with runs, versions and files on a real MLflow server, on each kind of database."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import mlflow.data
import pytest
from mlflow import MlflowClient
from sklearn.linear_model import Ridge
from sklearn.tree import DecisionTreeRegressor

from mlkit import FrozenConfig, Gate, ModelProject, Split, open_workspace
from mlkit.errors import IntegrityError
from mlkit.production.stores import Stores
from mlkit.tracking.runs import Tracking
from tests.schemas import complaint
from tests.tracking.backends import backend, mlflow_server

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.newest_only)])
def server(request, tmp_path_factory, empty_store):
    """URL of an MLflow server."""
    folder = tmp_path_factory.mktemp(f"mlflow-{request.param}")
    with backend(request.param, folder, empty_store) as address, mlflow_server(address, folder) as url:
        yield url


@pytest.fixture
def team(server, tmp_path, monkeypatch) -> Path:
    """A working directory whose file of targets names the server; gives the folder of temporary files."""
    (tmp_path / "mlkit.toml").write_text(f'[targets.team]\ntracking_uri = "{server}"\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLKIT_HOME", str(tmp_path / ".mlkit"))
    monkeypatch.setenv("MLKIT_TARGET", "team")
    (tmp_path / "scratch").mkdir()
    return tmp_path / "scratch"


def command(scratch, *words) -> dict:
    """Run a command in a process of its own, with a temporary folder of its own; gives what it printed."""
    environment = {**os.environ, "TMPDIR": str(scratch)}
    line = [sys.executable, "-m", "mlkit", *words, "--json"]
    done = subprocess.run(line, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    values = json.loads(done.stdout)
    assert complaint(words[0], values) == ""
    return values


def test_the_whole_journey_on_a_server(team, server, user_module, flights):
    """Snapshot, study, freeze, deploy, deploy again, a better model from the shell, rollback."""
    project = ModelProject("journey", target="delay", key="flight_id", metric="rmse", split=Split(seed=7))
    project.publish_features("features.flights", flights)
    snapshot = project.snapshot("features.flights", prepare=f"{user_module}:prepare")
    stumps = project.study(
        lambda trial: DecisionTreeRegressor(max_depth=trial.suggest_int("max_depth", 1, 1)),
        snapshot,
        trials=1,
        cv=2,
    )
    lines = project.study(
        lambda trial: Ridge(trial.suggest_float("alpha", 0.1, 1)), snapshot, trials=4, cv=2, workers=2
    )
    first = project.deploy(project.freeze(stumps.best, gate=Gate(threshold=50)))
    assert (first.outcome, first.version) == ("promoted", 1)
    assert project.deploy(FrozenConfig.load("journey")).outcome == "unchanged"

    project.freeze(lines.best, gate=Gate(threshold=50))
    second = command(team, "deploy", "journey", "--target", "team", "--reason", "lines fit better")
    assert (second["outcome"], second["version"]) == ("promoted", 2)
    assert second["scores"]["candidate"] < second["scores"]["champion"] == first.scores["candidate"]
    assert list(team.iterdir()) == [], "copies of model files outlive the process that fetched them"

    assert project.rollback(reason="to see it work").version == 1
    assert project.champion().version == 1
    assert [entry.to_version for entry in project.history()] == [1, 2, 1]

    client = MlflowClient(server, server)
    assert client.get_model_version_by_alias("journey", "champion").version in (1, "1")
    run = client.get_run(first.run_id)
    inputs = {entry.tags[0].value: entry.dataset for entry in run.inputs.dataset_inputs}
    assert inputs.keys() == {"training", "evaluation"}
    for dataset, stored in ((inputs["training"], first.train), (inputs["evaluation"], first.test)):
        assert (dataset.name, dataset.digest) == (stored.table, stored.fingerprint)
        folder = mlflow.data.get_source(dataset).path
        assert sorted(path.name for path in Path(folder).glob("_delta_log")) == ["_delta_log"]
    assert {dataset.dataset.name for dataset in client.get_run(lines.run_id).inputs.dataset_inputs} == {
        str(snapshot.table)
    }


def test_the_server_keeps_the_files(team, server, tmp_path):
    """What is stored with a run or a model is uploaded, and comes back as it was; nothing stays here."""
    workspace = open_workspace()
    tracking = Tracking(workspace)
    experiment = tracking.experiment("files")
    assert tracking.client.get_experiment(experiment).artifact_location.startswith("mlflow-artifacts:")
    run_id = tracking.start(experiment, "one", tags={})
    tracking.document(run_id, "deep/values.json", {"ü": [1, None]})
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights.bin").write_bytes(bytes(range(256)) * 5000)
    registry = Stores(workspace, "files").registry
    model_id = registry.log(tmp_path / "model", experiment=experiment, run_id=run_id, tags={})
    copy = registry.folder(model_id)
    assert (copy / "weights.bin").read_bytes() == (tmp_path / "model" / "weights.bin").read_bytes()
    assert registry.folder(model_id) == copy
    with pytest.raises(IntegrityError, match="INT020"):
        registry.verify(model_id, manifest_digest="0")
    with pytest.raises(IntegrityError, match="INT025"):
        registry.folder("m-00000000000000000000000000000000")
    assert not workspace.folder.exists(), "a target with a server makes no store here before rows come"


def test_runs_are_found_by_tag_on_a_server(team):
    """Children, pages and quotes work as they do locally, from several workspaces."""
    tracking = Tracking(open_workspace())
    experiment = tracking.experiment("tags")
    parent = tracking.start(experiment, "parent", tags={"kind": "study"})
    tracking.log(parent, params={f"p{n}": n for n in range(150)}, metrics={"m": 0.5}, steps={"s": [1.0, 2.0]})
    children = [tracking.start(experiment, str(n), tags={"n": str(n)}, parent=parent) for n in range(3)]
    again = Tracking(open_workspace("team"))
    assert [run.run_id for run in again.children(experiment, parent)] == children
    assert again.runs(experiment, tags={"n": "1"})[0].run_id == children[1]
    found = again.run(parent)
    assert (len(found.params), found.metrics) == (150, {"m": 0.5, "s": 2.0})
