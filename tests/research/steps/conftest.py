"""Fixtures of the tests of steps."""

from __future__ import annotations

import pytest

from tests.research.steps.bench import Bench


@pytest.fixture
def bench(tmp_path, monkeypatch):
    """A bench with an empty store of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLKIT_HOME", str(tmp_path / ".mlkit"))
    monkeypatch.delenv("MLKIT_STEPS", raising=False)
    return Bench(tmp_path, monkeypatch)
