"""Keeping MLflow's stores tidy, and looking at their database from outside."""

from __future__ import annotations

import datetime as dt
import sqlite3
import time

import pytest

from mlkit import open_workspace
from mlkit.errors import StoreError
from mlkit.production.cleanup.plan import plan_cleanup
from mlkit.production.cleanup.retention import Retention
from mlkit.production.stores import Stores
from mlkit.tracking.database import look_at_database
from mlkit.tracking.runs import Tracking
from mlkit.tracking.upkeep import StoredModel, TrackingUpkeep

MODEL = "mlkit_flights"


@pytest.fixture
def tracking(workspace) -> Tracking:
    """Runs of an empty workspace."""
    return Tracking(workspace)


@pytest.fixture
def upkeep(tracking) -> TrackingUpkeep:
    """Of the same."""
    return TrackingUpkeep(tracking)


@pytest.fixture
def models(tracking):
    """Two logged models in the order of their making, the first one finished; with files."""
    experiment = tracking.experiment("flights")
    made = []
    for number, run in enumerate(("one", "two")):
        model = tracking.client.create_logged_model(
            experiment,
            name="model",
            source_run_id=tracking.start(experiment, run, tags={}),
            tags={"mlkit_number": str(number)},
        )
        made.append(model)
        while time.time_ns() // 10**6 <= model.creation_timestamp:  # ages are in milliseconds
            pass
    tracking.client.finalize_logged_model(made[0].model_id, "READY")
    return experiment, made


def test_looking_makes_nothing(upkeep, tracking):
    """A project that nobody worked on has no experiment, also after it was asked for."""
    assert upkeep.find_experiment("flights") is None
    assert upkeep.find_experiment("flights") is None
    assert upkeep.find_experiment("flights") != tracking.experiment("flights")
    assert upkeep.find_experiment("flights") == tracking.experiment("flights")


def test_looking_makes_no_store(tmp_path):
    """In the wrong folder there is nothing, and nothing after that either."""
    stores = Stores(open_workspace("local", home=tmp_path / "wrong"), "flights")
    upkeep = TrackingUpkeep(stores.tracking)
    assert (upkeep.find_experiment("flights"), upkeep.versions(MODEL), upkeep.aliases(MODEL)) == (
        None,
        {},
        {},
    )
    assert (stores.registry.version(1), stores.registry.versions()) == (None, [])
    assert stores.registry.champion() is None
    assert plan_cleanup(stores, Retention()).goes == ()
    assert not (tmp_path / "wrong").exists()


def test_models_are_told_oldest_first(upkeep, models):
    """With what they are; those that were deleted are not among them."""
    experiment, (first, second) = models
    found = upkeep.models(experiment)
    assert [model.model_id for model in found] == [first.model_id, second.model_id]
    assert [model.ready for model in found] == [True, False]
    assert [model.run_id for model in found] == [first.source_run_id, second.source_run_id]
    assert found[0].tags["mlkit_number"] == "0"
    assert found[0].made_at < found[1].made_at <= dt.datetime.now(dt.UTC) + dt.timedelta(seconds=5)
    assert found[0].made_at.tzinfo is dt.UTC


def test_pages_of_models_are_put_together(upkeep, models, monkeypatch):
    """However few come at once."""
    experiment, made = models
    monkeypatch.setattr("mlkit.tracking.upkeep._PAGE", 1)
    assert len(upkeep.models(experiment)) == len(made)


def test_a_model_goes_with_its_files(upkeep, models):
    """Once more is fine, also if only the files or only the entry were gone; others stay."""
    experiment, _ = models
    first, second = upkeep.models(experiment)
    for model in (first, second):
        (model.folder / "deep").mkdir(parents=True)
        (model.folder / "deep" / "model.skops").write_bytes(b"12345")
    assert (first.size, second.size) == (5, 5)
    for _ in range(2):
        upkeep.remove_model(first.model_id, first.location)
    assert not first.folder.exists()
    assert first.size == 0
    assert upkeep.models(experiment) == [second]
    assert second.size == 5
    upkeep.remove_model("m-none", second.location)
    assert not second.folder.exists()
    assert upkeep.models(experiment) == [second]


def test_the_size_of_files_elsewhere_is_not_known():
    """Nobody lists a remote store for it."""
    model = StoredModel("m-1", "", ready=True, made_at=dt.datetime.now(dt.UTC), location="s3://b/m", tags={})
    assert model.folder is None
    assert model.size is None


def test_a_run_is_only_marked(upkeep, tracking):
    """It can be brought back; a run that was never there is as good as gone."""
    experiment = tracking.experiment("flights")
    run = tracking.start(experiment, "one", tags={})
    upkeep.remove_run(run)
    upkeep.remove_run("0" * 32)
    assert tracking.client.get_run(run).info.lifecycle_stage == "deleted"
    tracking.client.restore_run(run)
    assert tracking.client.get_run(run).info.lifecycle_stage == "active"


def test_versions_and_aliases_of_a_model(upkeep, tracking):
    """Of one that is not there none; a deleted version is gone for good, and no number is given again."""
    assert upkeep.versions(MODEL) == {}
    assert upkeep.aliases(MODEL) == {}
    upkeep.remove_version(MODEL, 1)
    client = tracking.client
    client.create_registered_model(MODEL)
    for _ in range(3):
        client.create_model_version(MODEL, "file:///nowhere")
    client.set_registered_model_alias(MODEL, "champion", "2")
    upkeep.remove_version(MODEL, 3)
    upkeep.remove_version(MODEL, 3)
    found = upkeep.versions(MODEL)
    assert list(found) == [1, 2]
    assert all(made.tzinfo is dt.UTC for made in found.values())
    assert upkeep.aliases(MODEL) == {"champion": 2}
    assert upkeep.versions("mlkit_other") == {}


def test_versions_come_over_pages(upkeep, tracking, monkeypatch):
    """By number, as numbers: ten after nine."""
    monkeypatch.setattr("mlkit.tracking.upkeep._PAGE", 4)
    tracking.client.create_registered_model(MODEL)
    for _ in range(11):
        tracking.client.create_model_version(MODEL, "file:///nowhere")
    assert list(upkeep.versions(MODEL)) == list(range(1, 12))


def test_stores_that_answer_pass(upkeep):
    """Whether the model is there or not."""
    upkeep.check(MODEL)


def test_a_store_that_does_not_answer_is_an_error(upkeep, home):
    """Of this project, whatever sqlite says."""
    upkeep.check(MODEL)
    for file in home.glob("mlflow.db*"):
        file.write_bytes(b"no database at all" * 500)
    with pytest.raises(StoreError):
        upkeep.check(MODEL)


def test_a_healthy_database(home):
    """It is of the revision that is wanted, and looking does not change a byte."""
    before = (home / "mlflow.db").read_bytes()
    for thorough in (False, True):
        found = look_at_database(f"sqlite:///{home / 'mlflow.db'}", thorough=thorough)
        assert (found.path, found.journal, found.faults) == (home / "mlflow.db", "wal", ())
        assert found.revision == found.wanted != ""
    assert (home / "mlflow.db").read_bytes() == before


@pytest.mark.parametrize("uri", ["https://h", "databricks", "sqlite:////nowhere/mlflow.db"])
def test_a_store_that_is_no_file(uri):
    """Or was never used: there is nothing to look at, and nothing is made."""
    assert look_at_database(uri) is None


def test_a_database_without_tables_of_mlflow(tmp_path):
    """It was never finished: no revision, in a folder whose name an address would escape."""
    folder = tmp_path / "a b#?ü"
    folder.mkdir()
    with sqlite3.connect(folder / "x.db") as connection:
        connection.execute("CREATE TABLE t (n INTEGER)")
    connection.close()
    found = look_at_database(f"sqlite:///{folder / 'x.db'}")
    assert (found.journal, found.revision, found.faults) == ("delete", "", ())
    assert found.wanted


def test_an_index_that_says_something_else_is_found_by_the_thorough_look_only(tmp_path):
    """The quick one reads tables alone; what was damaged is not repeated."""
    file = tmp_path / "x.db"
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("CREATE TABLE t (n INTEGER)")
    connection.execute("CREATE INDEX i ON t (n)")
    connection.execute("INSERT INTO t VALUES (1), (2)")
    connection.execute("PRAGMA writable_schema = ON")
    connection.execute("UPDATE sqlite_master SET sql = 'CREATE INDEX i ON t (-n)' WHERE name = 'i'")
    connection.close()
    uri = f"sqlite:///{file}"
    assert look_at_database(uri).faults == ()
    (fault,) = look_at_database(uri, thorough=True).faults
    assert fault.startswith("sqlite finds ")


def test_bytes_that_are_no_database(tmp_path):
    """They are a fault of the file, not an error of the caller."""
    (tmp_path / "x.db").write_bytes(b"my secret diary" * 400)
    found = look_at_database(f"sqlite:///{tmp_path / 'x.db'}")
    assert found.faults == ("it does not read: DatabaseError",)
    assert found.wanted
