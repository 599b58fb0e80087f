"""Versions of what a model follows from, as pins."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from mlkit.code import pinned

if TYPE_CHECKING:
    from collections.abc import Iterable

GROUND = frozenset({"numpy", "scipy", "sklearn", "pandas", "pyarrow", "joblib", "skops", "cloudpickle"})
"""Modules below every model."""


def pins_of(modules: Iterable[str]) -> list[str]:
    """``name==version`` of the distributions of these top-level modules and of the ground, sorted."""
    return sorted({*_pins(GROUND), *_pins(frozenset(modules) - GROUND)})


@functools.cache
def _pins(modules: frozenset[str]) -> tuple[str, ...]:
    """Read once: it takes long, and what is loaded does not change when something is installed meanwhile."""
    return tuple(pinned(modules)) if modules else ()
