"""A target with an endpoint: deployments and rollbacks end when it answers, and jobs are started by name."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest

pytest.importorskip("databricks.sdk")

from mlkit import ModelProject, Split, open_workspace
from mlkit.cli import main
from mlkit.errors import EXIT_DONE, EXIT_REJECTED, EXIT_SERVING, EXIT_STORE, EXIT_USAGE, StoreError
from mlkit.production.refresh import NoRefresher
from mlkit.production.runner import deploy
from mlkit.production.serving import client as serving_client
from mlkit.production.serving.choice import ask_serving, choose_refresher
from mlkit.production.stores import Stores
from tests.production.scenes import NAME, RIDGE, STUMP, frozen, publish
from tests.standins.workspace import Build, Job, VirtualClock

pytestmark = pytest.mark.newest_only

TARGETS = """
[targets.served]
serving = { endpoint = "{project}-prod", workload_size = "Medium" }

[targets.unity]
catalog = "main"
tracking_uri = "databricks"
experiment_root = "/Shared/mlkit"
serving = { endpoint = "flights" }
bundle = { mode = "production" }

[targets.mine]
spark = { serverless = true }
bundle = { mode = "development" }

[targets.unsaid]
catalog = "main"
tracking_uri = "databricks"
experiment_root = "/Shared/mlkit"
"""


@pytest.fixture
def targets(home, databricks, monkeypatch, user_module):
    """A file of targets in the working directory; time is virtual where the workspace is waited for."""
    (home.parent / "mlkit.toml").write_text(TARGETS)
    monkeypatch.setattr(serving_client, "_Clock", VirtualClock)
    folder = home / "targets" / "served"
    folder.mkdir(parents=True)
    shutil.copy(home / "mlflow.db", folder / "mlflow.db")
    return databricks


@pytest.fixture
def stores(targets, flights):
    """Local stores beside an endpoint, with published features."""
    workspace = open_workspace("served")
    publish(workspace.engine, flights)
    return Stores(workspace, NAME)


def test_deploy_refresh_roll_back(targets, stores):
    """The endpoint answers with each champion in turn, also with the one that was rolled back to."""
    project = ModelProject(
        NAME, target="delay", key="flight_id", metric="rmse", split=Split(seed=7), workspace="served"
    )
    assert project.deploy(frozen(model=STUMP)).outcome == "promoted"
    endpoint = targets.endpoints[f"{NAME}-prod"]
    assert endpoint.serves == ["1"]
    assert endpoint.config["served_entities"][0]["entity_name"] == NAME
    assert endpoint.config["served_entities"][0]["workload_size"] == "Medium"
    assert project.deploy(frozen(model=RIDGE)).outcome == "promoted"
    assert endpoint.serves == ["2"]
    assert project.deploy(frozen(model=RIDGE)).outcome == "unchanged"
    assert project.rollback(reason="complaints").version == 1
    assert endpoint.serves == ["1"]
    assert "is asked by a deployment" in ask_serving(stores, stores.ledger.head(), seconds=1)
    assert (len(targets.sent("POST")), len(targets.sent("PUT"))) == (1, 2)


def test_a_refresh_that_fails_is_finished_by_the_same_command(targets, stores, tmp_path, capsys):
    """Exit code 4 with the reason; the champion has moved and stays; again, and it answers."""
    file = str(frozen().write(tmp_path / "config.yaml").path)
    targets.builds.append(Build(failure="out of quota"))
    words = ["deploy", file, "--target", "served", "--json"]
    assert main(words) == EXIT_SERVING
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "NET002"
    assert stores.registry.champion().version == 1
    assert main(words) == EXIT_DONE
    assert json.loads(capsys.readouterr().out)["outcome"] == "unchanged"
    assert targets.endpoints[f"{NAME}-prod"].serves == ["1"]
    assert len(stores.ledger.entries()) == 1


def test_a_rollback_whose_refresh_fails_is_finished_by_the_same_command(targets, stores, capsys):
    """As a deployment is; it goes no further back."""
    for model in (STUMP, RIDGE):
        deploy(frozen(model=model), stores)
    targets.refuse("PUT", 403, "PERMISSION_DENIED")
    words = ["rollback", NAME, "--reason", "complaints", "--target", "served"]
    assert main(words) == EXIT_SERVING
    assert "[NET003]" in capsys.readouterr().err
    assert main(words) == EXIT_DONE
    assert targets.endpoints[f"{NAME}-prod"].serves == ["1"]


def test_a_slow_runner_does_not_bring_an_old_champion_back(targets, stores):
    """Its request arrives after another run has promoted and refreshed; it sees that, and makes it good."""
    weak = {**RIDGE, "params": {"alpha": 1e9}}
    deploy(frozen(model=weak), stores)
    other = Stores(stores.workspace, NAME)
    targets.before["PUT", 1] = lambda: deploy(frozen(model=RIDGE), other)
    deploy(frozen(model=STUMP), stores)
    assert [entry.to_version for entry in stores.ledger.entries()] == [1, 2, 3]
    assert [sent["served_entities"][0]["entity_version"] for sent in targets.sent("PUT")] == ["2", "3", "3"]
    assert targets.endpoints[f"{NAME}-prod"].serves == ["3"]


def test_the_model_of_unity_catalog_has_three_levels(targets):
    """Catalog and schema are those of the target; nothing is asked of the workspace yet."""
    refresher = choose_refresher(Stores(open_workspace("unity"), NAME))
    assert (refresher.model, refresher.endpoint) == (f"main.training.{NAME}", "flights")
    assert targets.requests == []


def test_a_target_without_an_endpoint_has_nothing_to_tell(targets):
    """As the local one."""
    assert isinstance(choose_refresher(Stores(open_workspace("local"), NAME)), NoRefresher)


def test_nothing_of_databricks_is_loaded_for_a_target_without_an_endpoint():
    """Choosing costs nothing there."""
    code = """if True:
        import sys, types
        from mlkit.production.serving.choice import ask_serving, choose_refresher
        spec = types.SimpleNamespace(serving=None)
        choose_refresher(types.SimpleNamespace(workspace=types.SimpleNamespace(spec=spec), project="p"))
        print([name for name in sys.modules if name.startswith("databricks")])
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_job_is_triggered_from_the_command_line(targets, capsys):
    """By project and action; the result names the run."""
    targets.jobs[7] = Job(7, f"{NAME}-deploy", parameters=("reason", "mode"))
    words = [
        "trigger",
        "deploy",
        NAME,
        "--target",
        "unity",
        "--set",
        "reason=june, 1=2",
        "--set",
        "mode=",
        "--json",
    ]
    assert main(words) == EXIT_DONE
    told = json.loads(capsys.readouterr().out)
    assert (told["state"], told["job"]) == ("SUCCESS", f"{NAME}-deploy")
    assert targets.runs[told["run_id"]].given == {"reason": "june, 1=2", "mode": ""}


def test_a_job_of_ones_own_in_development(targets, capsys):
    """The name that a bundle in development mode gives it; not waited for."""
    targets.jobs |= {7: Job(7, f"[dev runner] {NAME}-score"), 8: Job(8, f"{NAME}-score")}
    assert main(["trigger", "score", NAME, "--target", "mine", "--no-wait"]) == EXIT_DONE
    assert "PENDING  [dev runner]" in capsys.readouterr().out
    assert main(["trigger", "score", NAME, "--target", "mine", "--no-wait", "--job", "8"]) == EXIT_DONE
    assert [run.job.job_id for run in targets.runs.values()] == [7, 8]


def test_a_target_without_a_bundle_of_its_own_is_in_development(targets, capsys):
    """As the generated bundle has it: never the job of that name that others run in production."""
    targets.jobs |= {7: Job(7, f"[dev runner] {NAME}-deploy"), 8: Job(8, f"{NAME}-deploy")}
    assert main(["trigger", "deploy", NAME, "--target", "unsaid", "--no-wait"]) == EXIT_DONE
    assert [run.job.job_id for run in targets.runs.values()] == [7]


def test_without_the_sdk_the_library_is_named(targets, monkeypatch, capsys):
    """An endpoint or job needs a library that not every installation has."""
    for name in [name for name in sys.modules if name.startswith("mlkit.production.serving.")]:
        if not name.endswith((".choice", ".replicas")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "databricks.sdk", None)
    assert main(["trigger", "deploy", NAME, "--target", "unity"]) == EXIT_STORE
    assert "[STO037]" in capsys.readouterr().err
    with pytest.raises(StoreError, match="STO037"):
        choose_refresher(Stores(open_workspace("served"), NAME))


def test_a_rejection_in_the_job_is_a_rejection_here(targets, capsys):
    """The exit code is that of a deployment on this machine."""
    failed = "mlkit.errors.GateRejectedError: [GAT001] flight_delay: rejected: 30 is above 25"
    targets.jobs[7] = Job(7, f"{NAME}-deploy", error=failed, result="FAILED")
    assert main(["trigger", "deploy", NAME, "--target", "unity"]) == EXIT_REJECTED
    assert "30 is above 25" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--target", "local"], "CLI042"),
        (["--target", "unity", "--set", "reason"], "CLI001"),
        (["--target", "unity", "--set", "=june"], "CLI001"),
        (["--target", "unity"], "CLI040"),
    ],
)
def test_a_trigger_that_makes_no_sense(targets, capsys, words, code):
    """A target without jobs, a setting that is none, a job that was not deployed."""
    assert main(["trigger", "deploy", NAME, *words]) == EXIT_USAGE
    assert f"[{code}]" in capsys.readouterr().err
