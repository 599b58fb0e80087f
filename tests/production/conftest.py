"""Fixtures of the production tests: flights published as features, and processes that may be killed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.production import scenes


@pytest.fixture(scope="session", autouse=True)
def _fork_server():
    """Start, in the repository, the process that all children are forked from."""
    import multiprocessing  # noqa: PLC0415 - of this fixture only
    from multiprocessing import forkserver  # noqa: PLC0415 - as above

    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(Path(__file__).parents[2])
    multiprocessing.get_context("forkserver").set_forkserver_preload(["tests.production.scenes"])
    forkserver.ensure_running()
    if before is None:
        del os.environ["PYTHONPATH"]
    else:
        os.environ["PYTHONPATH"] = before


@pytest.fixture
def stores(workspace, user_module, flights):
    """The stores of a project whose features are published."""
    scenes.publish(workspace.engine, flights)
    return scenes.Stores(workspace, scenes.NAME)


@pytest.fixture
def children(stores, tmp_path):
    """Processes that work on the same stores."""
    return scenes.Children(tmp_path)


@pytest.fixture
def saved(tmp_path):
    """A function that writes a config and gives its path."""

    def save(config, name="config"):
        return str(config.write(tmp_path / f"{name}.yaml").path)

    return save
