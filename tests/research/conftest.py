"""Fixtures of the research tests: flights as a snapshot, and a module of a user's own estimators."""

from __future__ import annotations

import sys

import pytest

from tests.research.study import scenes


@pytest.fixture
def project(home, flights):
    """The project of the flights, whose rows are published."""
    project = scenes.make_project()
    project.publish_features("features.flights", flights.dropna())
    return project


@pytest.fixture
def snapshot(project):
    """All flights."""
    return project.snapshot("features.flights")


@pytest.fixture
def my_models(tmp_path, monkeypatch):
    """The user's own module of estimators, imported."""
    (tmp_path / "my_models.py").write_text(scenes.MODELS)
    monkeypatch.syspath_prepend(str(tmp_path))
    sys.modules.pop("my_models", None)  # that of another test
    import my_models  # noqa: PLC0415 - it was written just now

    yield my_models
    sys.modules.pop("my_models", None)
