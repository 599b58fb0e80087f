"""Pins of what a model follows from."""

from __future__ import annotations

import importlib.metadata

from mlkit.research import pins
from mlkit.research.pins import GROUND, pins_of


def test_the_ground_is_always_pinned() -> None:
    """Every module below all models, under the name of its distribution and in its installed version."""
    found = dict(pin.split("==") for pin in pins_of([]))
    assert len(found) == len(GROUND)
    assert found["scikit-learn"] == importlib.metadata.version("scikit-learn")
    assert list(found) == sorted(found)


def test_further_modules_are_added_once() -> None:
    """Those of a distribution; the user's own have none."""
    more = set(pins_of(["xgboost", "sklearn", "my_models"])) - set(pins_of([]))
    assert more == {f"xgboost=={importlib.metadata.version('xgboost')}"}


def test_metadata_is_read_once(monkeypatch) -> None:
    """Reading what all installed packages provide takes most of a second."""
    pins_of(["lightgbm"])
    monkeypatch.setattr(pins, "pinned", lambda _: 1 / 0)
    assert any(pin.startswith("lightgbm==") for pin in pins_of(["lightgbm"]))
