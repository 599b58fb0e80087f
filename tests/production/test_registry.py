"""The registry: found by key, trusted for nothing, read page by page."""

from __future__ import annotations

import shutil

import pytest
import yaml
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import OperationalError

from mlkit.errors import IntegrityError, StoreError
from mlkit.production import registry as room
from mlkit.production.registry import MANIFEST_TAG, MODEL_KEY, RUN_KEY
from mlkit.production.runner import deploy
from mlkit.tracking import models
from tests.production.scenes import MODEL_FILE, NAME, STUMP, frozen


@pytest.fixture
def deployed(stores):
    """A project with one version; gives its stores and the report."""
    return stores, deploy(frozen(), stores)


def register_again(stores, report, **changes):
    """Register the deployed model once more."""
    known = stores.registry.champion()
    arguments = {"run_id": report.run_id, "run_key": report.run_key, "tags": known.tags, **changes}
    return stores.registry.register(arguments.pop("model_id", report.model_id), **arguments)


def test_a_version_is_registered_once_for_a_run_and_a_model(deployed):
    """Whoever comes again finds it; another run of the same model is another version."""
    stores, report = deployed
    assert register_again(stores, report).version == 1
    assert register_again(stores, report, run_key="another").version == 2
    assert [version.version for version in stores.registry.versions()] == [1, 2]


def test_a_version_knows_what_it_is_made_of(deployed):
    """Its tags lead to run, model, manifest and tables."""
    stores, report = deployed
    version = stores.registry.version(1)
    assert (version.name, version.model_id, version.run_id) == (NAME, report.model_id, report.run_id)
    assert version.tags.keys() >= {RUN_KEY, MODEL_KEY, MANIFEST_TAG, "mlkit_config", "mlkit_train_table"}
    assert report.train.table in repr(version)
    assert version.to_dict()["version"] == 1
    assert stores.registry.version(2) is None


def test_files_that_changed_are_not_registered(deployed):
    """MLflow would take them; the manifest is looked at before."""
    stores, report = deployed
    (stores.registry.folder(report.model_id) / MODEL_FILE).write_bytes(b"x")
    with pytest.raises(IntegrityError):
        register_again(stores, report, run_key="another")
    assert len(stores.registry.versions()) == 1


def test_versions_are_read_to_the_last_page(deployed, monkeypatch):
    """However many there are, the one that was registered is found again."""
    stores, report = deployed
    for number in range(4):
        register_again(stores, report, run_key=f"another {number}")
    monkeypatch.setattr(room, "_PAGE", 2)
    assert [version.version for version in stores.registry.versions()] == [1, 2, 3, 4, 5]
    assert register_again(stores, report, run_key="another 3").version == 5


@pytest.mark.parametrize(
    ("more", "code", "path"),
    [
        ({"mlkit.key": "x"}, "STO039", "mlkit.key"),
        ({"a-b": "x"}, "STO039", "a-b"),
        ({"k" * 256: "x"}, "STO039", "k" * 255),
        ({f"t{number}": "x" for number in range(50)}, "STO039", "tags"),
        ({"note": "x" * 1001}, "STO025", "note"),
    ],
)
def test_tags_that_unity_catalog_would_refuse(deployed, more, code, path):
    """They are refused on every store, so that what works on one works on all."""
    stores, report = deployed
    tags = {**stores.registry.champion().tags, **more}
    with pytest.raises(StoreError) as caught:
        register_again(stores, report, run_key="another", tags=tags)
    assert (caught.value.code, caught.value.path) == (code, path)
    assert len(stores.registry.versions()) == 1


def test_a_model_without_a_signature_is_not_registered(deployed, tmp_path):
    """Unity Catalog takes none, which would only show on Databricks."""
    stores, report = deployed
    folder = tmp_path / "model"
    shutil.copytree(stores.registry.folder(report.model_id), folder)
    described = yaml.safe_load((folder / "MLmodel").read_text())
    del described["signature"]["outputs"]
    (folder / "MLmodel").write_text(yaml.safe_dump(described))
    tags = {**stores.registry.champion().tags, MANIFEST_TAG: models._write_manifest(folder)}
    model_id = stores.registry.log(folder, experiment=stores.experiment, run_id=report.run_id, tags=tags)
    with pytest.raises(IntegrityError, match="INT026"):
        register_again(stores, report, model_id=model_id, tags=tags)


@pytest.mark.parametrize(
    ("statuses", "outcome"),
    [
        (["PENDING_REGISTRATION", "PENDING_REGISTRATION", "READY"], 1),
        (["FAILED_REGISTRATION"], "INT024"),
        (["PENDING_REGISTRATION"] * 99, "STO027"),
    ],
)
def test_a_version_is_awaited_until_it_is_ready(deployed, monkeypatch, statuses, outcome):
    """Also one that an earlier run had left pending; a failed one is an error, and so is waiting for ever."""
    stores, report = deployed
    clock = iter(range(0, 10_000, 30))
    monkeypatch.setattr(room.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(room.time, "sleep", lambda _: None)
    told = iter(statuses)

    class Slow:
        def __getattr__(self, name):
            return getattr(client, name)

        def search_model_versions(self, *arguments):
            return self._told(client.search_model_versions(*arguments))

        def get_model_version(self, *arguments):
            return self._told([client.get_model_version(*arguments)])[0]

        def _told(self, versions):
            versions[0]._status = next(told)
            return versions

    client = stores.tracking.client
    monkeypatch.setitem(vars(stores.tracking), "client", Slow())
    if outcome == 1:
        assert register_again(stores, report).version == 1
    else:
        with pytest.raises((IntegrityError, StoreError)) as caught:
            register_again(stores, report)
        assert caught.value.code == outcome


@pytest.mark.parametrize(
    "verb",
    [
        "get_model_version_by_alias",
        "search_model_versions",
        "set_registered_model_alias",
        "create_registered_model",
    ],
)
@pytest.mark.parametrize("error", [MlflowException("x", 1), OperationalError("x", {}, Exception())])
def test_what_the_store_raises_is_an_error_of_ours(deployed, monkeypatch, verb, error):
    """MLflow's and the database's; with the code of a store, and the cause kept."""
    stores, report = deployed

    def away(*_, **__):
        raise error

    monkeypatch.setattr(stores.tracking.client, verb, away)
    calls = {
        "set_registered_model_alias": lambda: stores.registry.point_alias(1),
        "get_model_version_by_alias": stores.registry.champion,
    }
    with pytest.raises(StoreError) as caught:
        calls.get(verb, lambda: register_again(stores, report, run_key="another"))()
    assert caught.value.code in ("STO020", "STO022")
    assert caught.value.__cause__ is error


def test_two_that_set_the_alias_for_the_first_time(deployed, monkeypatch):
    """On sqlite one of them meets a broken constraint, and sets it again."""
    stores, _ = deployed
    usual = stores.tracking.client.set_registered_model_alias
    failures = iter([MlflowException("UNIQUE constraint failed", 1)])

    def unlucky(*arguments):
        for error in failures:
            raise error
        return usual(*arguments)

    monkeypatch.setattr(stores.tracking.client, "set_registered_model_alias", unlucky)
    stores.registry.point_alias(1)
    assert stores.registry.champion().version == 1


def test_only_finished_models_of_the_same_key_are_found(stores, monkeypatch):
    """One whose upload was stopped has a record, and never counts."""
    monkeypatch.setenv("MLKIT_TEST_FAIL", "train.model_uploaded:raise")
    with pytest.raises(RuntimeError):
        deploy(frozen(), stores)
    monkeypatch.delenv("MLKIT_TEST_FAIL")
    report = deploy(frozen(), stores)
    deploy(frozen(model=STUMP), stores)
    key = stores.ledger.head().model_key
    assert list(stores.registry.logged(stores.experiment, model_key=key)) == [report.model_id]
    assert len(stores.tracking.client.search_logged_models([stores.experiment])) == 3


def test_a_project_without_versions_has_no_champion(stores):
    """No model, no version, no alias: all the same answer."""
    assert stores.registry.champion() is None
    assert stores.registry.versions() == []
