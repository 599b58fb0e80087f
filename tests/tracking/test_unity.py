"""A target on Databricks: a whole deployment with MLflow's own client of Unity Catalog, unmodified."""

from __future__ import annotations

import json

import pytest

from mlkit import open_workspace
from mlkit.errors import IntegrityError
from mlkit.production import registry
from mlkit.production.rollback import roll_back
from mlkit.production.runner import deploy
from mlkit.tracking.models import MANIFEST
from tests.production import scenes
from tests.tracking.backends import backend, mlflow_server

pytest.importorskip("databricks.sdk")
pytestmark = [pytest.mark.newest_only, pytest.mark.slow]

FULL_NAME = "main.ml_training.flight_delay"
TARGET = """
[targets.dev]
catalog = "main"
schemas = {training = "ml_training"}
tracking_uri = "databricks"
experiment_root = "/Shared/mlkit"
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory, empty_store):
    """A real MLflow server for the runs, whose clients write files themselves, as those of Databricks do."""
    folder = tmp_path_factory.mktemp("mlflow")
    with (
        backend("sqlite", folder, empty_store) as address,
        mlflow_server(address, folder, serve_files=False) as url,
    ):
        yield url


@pytest.fixture
def unity(server, monkeypatch, tmp_path):
    """The stand-in, which the environment names as the workspace."""
    from tests.standins.unity import Unity  # noqa: PLC0415 - beside what it stands in for

    monkeypatch.setenv("HOME", str(tmp_path))  # where a profile of somebody's could be
    monkeypatch.setattr(registry, "_POLL_SECONDS", 0.01)
    with Unity(server) as unity:
        monkeypatch.setenv("DATABRICKS_HOST", unity.url)
        monkeypatch.setenv("DATABRICKS_TOKEN", "none")
        yield unity


@pytest.fixture
def stores(unity, tmp_path, monkeypatch, user_module, flights):
    """The stores of a project on the target, whose features are published."""
    (tmp_path / "mlkit.toml").write_text(TARGET)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLKIT_HOME", str(tmp_path / ".mlkit"))
    workspace = open_workspace("dev")
    scenes.publish(workspace.engine, flights)
    return scenes.Stores(workspace, scenes.NAME)


def test_a_deployment_to_unity_catalog(stores, unity):
    """Deploy, deploy again, a better model, rollback: by names, tags, aliases and listings that it takes."""
    first = deploy(scenes.frozen(model=scenes.STUMP), stores)
    assert (first.outcome, first.version) == ("promoted", 1)
    assert deploy(scenes.frozen(model=scenes.STUMP), stores).outcome == "unchanged"
    second = deploy(scenes.frozen(), stores)
    third = deploy(scenes.frozen(seed=4), stores, reason="the same again")
    assert (second.outcome, second.version) == ("promoted", 2)
    assert third.version in (None, 3)
    assert unity.aliases == {(FULL_NAME, "champion"): "2"}
    assert roll_back(stores, to=1, reason="to see it work").version == 1
    assert unity.aliases == {(FULL_NAME, "champion"): "1"}
    assert stores.registry.champion().tags == stores.registry.version(1).tags
    assert stores.registry.champion().name == FULL_NAME
    assert stores.registry.version(9) is None
    experiment = stores.tracking.client.get_experiment(stores.experiment)
    assert experiment.name == "/Shared/mlkit/flight_delay"
    assert unity.refused == []


def test_the_files_that_serve_are_those_that_were_judged(stores, unity):
    """Unity Catalog keeps a copy of its own; one that did not arrive whole is never pointed at."""
    unity.lost = "requirements.txt"
    with pytest.raises(IntegrityError) as caught:
        deploy(scenes.frozen(), stores)
    assert (caught.value.code, caught.value.path) == ("INT022", "requirements.txt")
    assert unity.aliases == {}
    names = {path.rpartition("/1/")[2] for path in unity.files}
    listed = json.loads(next(data for path, data in unity.files.items() if path.endswith(MANIFEST)))["files"]
    assert names - {MANIFEST} == listed.keys() - {"requirements.txt"}


def test_versions_are_listed_over_pages(stores, unity):
    """A listing has no tags; each version is asked for its own."""
    report = deploy(scenes.frozen(), stores)
    tags = stores.registry.champion().tags
    for number in range(2):
        arguments = {"run_id": report.run_id, "run_key": f"another {number}", "tags": tags}
        assert stores.registry.register(report.model_id, **arguments).version == number + 2
    assert stores.registry.register(report.model_id, **arguments).version == 3
    assert [version.version for version in stores.registry.versions()] == [1, 2, 3]
    assert stores.registry.versions()[2].tags["mlkit_run_key"] == "another 1"
    assert unity.refused == []
