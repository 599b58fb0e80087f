"""The tracking store: made once, whole and durable, whoever starts with it and whenever one dies."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sqlite3
from typing import TYPE_CHECKING

import filelock
import pytest
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import OperationalError

from mlkit.errors import IntegrityError, StoreError
from mlkit.tracking import store
from mlkit.tracking.runs import Tracking
from mlkit.tracking.store import open_client, translated
from mlkit.workspace import open_workspace

if TYPE_CHECKING:
    from pathlib import Path


def first_use(home: Path, start, fault: str) -> None:
    """What a process does that is the first to use a home: one run in one experiment."""
    os.environ.update({"MLKIT_TEST": "1", "MLKIT_TEST_FAIL": fault, "MLKIT_HOME": str(home)})
    start.wait(60)
    tracking = Tracking(open_workspace("local", home=home))
    tracking.start(tracking.experiment("flights"), f"of {os.getpid()}", tags={})


@pytest.fixture
def processes():
    """Start functions in processes of their own that have loaded MLflow already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["mlkit.tracking.runs"])
    started = []

    def run(count: int, home: Path, fault: str = "") -> list[int]:
        start = context.Barrier(count)
        started.extend(context.Process(target=first_use, args=(home, start, fault)) for _ in range(count))
        for process in started[-count:]:
            process.start()
        for process in started[-count:]:
            process.join(90)
        return [process.exitcode for process in started[-count:]]

    yield run
    for process in started:
        process.kill()


def database(home: Path) -> tuple[str, list[str], set[str]]:
    """Journal mode, revision of the schema, and the tables that there are."""
    connection = sqlite3.connect(home / "mlflow.db")
    try:
        (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
        versions = [row[0] for row in connection.execute("SELECT version_num FROM alembic_version")]
        tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        return mode, versions, tables
    finally:
        connection.close()


@pytest.mark.slow
def test_processes_that_start_together_all_get_in(tmp_path, processes, empty_store) -> None:
    """One is killed half-way, then five start at once: no store before, one whole store after."""
    home = tmp_path / "home"
    assert processes(1, home, "store.migrated:kill") == [-signal.SIGKILL]
    assert not (home / "mlflow.db").exists()
    assert len(list(home.glob(".mlflow-*"))) == 1
    assert processes(5, home) == [0] * 5
    assert list(home.glob(".mlflow-*")) == []
    assert database(home) == database(empty_store.parent)
    tracking = Tracking(open_workspace("local", home=home))
    assert len(tracking.runs(tracking.experiment("flights"), tags={})) == 5


def test_a_store_writes_ahead(home) -> None:
    """Readers do not wait for a writer: the journal is a log, from the first moment on."""
    mode, versions, tables = database(home)
    assert mode == "wal"
    assert len(versions) == 1
    assert {"runs", "registered_models"} <= tables


def test_nothing_is_left_in_the_working_directory(home, tmp_path) -> None:
    """MLflow 3.8 makes a folder for artifacts there that stays empty; one of a person's own stays."""
    tracking = Tracking(open_workspace("local", home=home))
    tracking.experiment("flights")
    assert [path.name for path in tmp_path.iterdir()] == [".mlkit"]


def test_waiting_for_another_process_has_an_end(tmp_path, monkeypatch) -> None:
    """Who holds the lock for too long is named by what it makes; nothing is made beside it."""
    monkeypatch.setattr(store, "LOCK_SECONDS", 0.1)
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    with filelock.FileLock(tmp_path / "mlflow.lock"), pytest.raises(StoreError) as caught:
        open_client(uri, uri)
    assert (caught.value.code, caught.value.path) == ("STO024", f"{tmp_path}/mlflow.db")
    assert not (tmp_path / "mlflow.db").exists()


def test_the_reason_is_kept_on_the_way_out(tmp_path, monkeypatch) -> None:
    """A store that cannot be made is not renamed by the action that needed it first."""
    monkeypatch.setattr(store, "LOCK_SECONDS", 0.1)
    with filelock.FileLock(tmp_path / "mlflow.lock"), pytest.raises(StoreError, match="STO024"):
        Tracking(open_workspace("local", home=tmp_path)).experiment("flights")


def test_a_home_that_cannot_be_made_is_said(tmp_path) -> None:
    """The place is named, and so is what the system says."""
    (tmp_path / "file").write_text("in the way")
    uri = f"sqlite:///{tmp_path}/file/mlflow.db"
    with pytest.raises(StoreError) as caught:
        open_client(uri, uri)
    assert caught.value.code == "STO023"
    assert caught.value.path == f"{tmp_path}/file/mlflow.db"


def test_a_file_that_is_no_database_is_left_alone(tmp_path) -> None:
    """What stands in the place of the store is neither replaced nor repaired."""
    (tmp_path / "mlflow.db").write_text("my notes, which are longer than a header" * 100)
    before = (tmp_path / "mlflow.db").read_bytes()
    with pytest.raises(StoreError, match=r"STO02\d"):
        Tracking(open_workspace("local", home=tmp_path)).experiment("flights")
    assert (tmp_path / "mlflow.db").read_bytes() == before


@pytest.mark.parametrize(
    ("cause", "code"),
    [
        (MlflowException("the value 47.11 is bad"), "STO020"),
        (OperationalError("INSERT 47.11", {}, RuntimeError("locked")), "STO022"),
        (PermissionError(13, "Permission denied", "/secret/47.11"), "STO023"),
        (OSError("47.11"), "STO023"),
    ],
)
def test_errors_are_translated_at_the_door(cause, code) -> None:
    """They say what was being done and keep the cause, whose text stays inside."""
    with pytest.raises(StoreError) as caught, translated("log to a run"):
        raise cause
    assert caught.value.code == code
    assert "log to a run" in caught.value.message
    assert "47.11" not in str(caught.value)
    assert caught.value.__cause__ is cause


@pytest.mark.parametrize(
    "error", [StoreError("STO001", "it is full"), IntegrityError("INT020", "gone"), KeyError()]
)
def test_other_errors_pass_the_door(error) -> None:
    """Ours have been translated already, and a mistake of the program is no failure of the store."""
    with pytest.raises(type(error)) as caught, translated("log to a run"):
        raise error
    assert caught.value is error


def test_git_does_not_see_the_stores(tmp_path, empty_store) -> None:
    """A home hides its content, unless it is the root of the repository or says otherwise itself."""
    assert (empty_store.parent / ".gitignore").read_text() == "*\n"
    for name, content in ((".git", None), (".gitignore", "mine\n")):
        home = tmp_path / name.strip(".")
        home.mkdir()
        if content is None:
            (home / name).mkdir()
        else:
            (home / name).write_text(content)
        store._hide_from_git(home)
        assert not (home / ".gitignore").exists() or (home / ".gitignore").read_text() == content
