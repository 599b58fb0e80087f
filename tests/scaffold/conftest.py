"""A repository as `mlkit init` makes it, once; and copies of it to work in."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import sys
from pathlib import Path

import pytest

from mlkit.cli import main


@pytest.fixture(scope="session")
def made(shared, empty_store) -> Path:
    """A new repository with its example, made with the defaults; the workers of one test run share it."""
    folder, finished = shared / "made" / "flight-models", shared / "made.finished"
    with (shared / "made.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not finished.exists():
            (folder / ".mlkit").mkdir(parents=True)
            shutil.copy(empty_store, folder / ".mlkit" / "mlflow.db")
            assert main(["init", str(folder), "--defaults"]) == 0
            finished.touch()
    return folder


@pytest.fixture
def repository(made, home, tmp_path, monkeypatch) -> Path:
    """A copy of it in which to work, with stores of its own; its code is imported from there."""
    folder = tmp_path / "flight-models"
    shutil.copytree(made, folder, ignore=shutil.ignore_patterns(".mlkit", "__pycache__"))
    monkeypatch.chdir(folder)
    with user_code_of(folder):
        yield folder


@pytest.fixture
def config_only(made):
    """Puts the config that the example's study froze where it would be: then no study is run."""

    def put(folder: Path) -> Path:
        shutil.copytree(made / "models", folder / "models")
        return folder

    return put


@contextlib.contextmanager
def user_code_of(folder: Path):
    """Let no module or folder of one test be imported in another."""
    path, before = list(sys.path), set(sys.modules)
    sys.path.insert(0, str(folder / "src"))
    for name in [name for name in sys.modules if name.partition(".")[0] == "diabetes"]:
        del sys.modules[name]
    yield
    sys.path[:] = path
    for name in set(sys.modules) - before:
        if str(folder) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def files_in(folder: Path) -> dict[str, bytes]:
    """Every file below a folder but those of stores and caches, by its path."""
    found = {}
    for root, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in (".mlkit", "__pycache__", ".git")]
        found |= {
            Path(root, name).relative_to(folder).as_posix(): Path(root, name).read_bytes() for name in names
        }
    return found
