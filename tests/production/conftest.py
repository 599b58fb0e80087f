"""Fixtures of the production tests: flights published as features, and processes that may be killed."""

from __future__ import annotations

import pytest

from tests.production import scenes


@pytest.fixture
def stores(workspace, user_module, flights):
    """The stores of a project whose features are published."""
    scenes.publish(workspace.engine, flights)
    return scenes.Stores(workspace, scenes.NAME)


@pytest.fixture
def children(stores, tmp_path, fork_server):
    """Processes that work on the same stores."""
    return scenes.Children(tmp_path)


@pytest.fixture
def saved(tmp_path):
    """A function that writes a config and gives its path."""

    def save(config, name="config"):
        return str(config.write(tmp_path / f"{name}.yaml").path)

    return save


@pytest.fixture
def edit_module(tmp_path, monkeypatch):
    """A function that rewrites the user's module, as if a new process had loaded it."""

    def edit(old, new, name="my_prepare"):
        path = tmp_path / f"{name}.py"
        text = path.read_text()
        path.write_text(text.replace(old, new))
        monkeypatch.delitem(__import__("sys").modules, name, raising=False)

    return edit
