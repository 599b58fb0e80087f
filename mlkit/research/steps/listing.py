"""`project.steps()` and `mlkit cache`: the stored results of steps, what they saved, how to remove them."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

from mlkit.console import duration
from mlkit.errors import UsageError
from mlkit.nearest import nearest
from mlkit.research.steps.store import StepStore, limit_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mlkit.research.steps.store import Entry


class StepList:
    """The stored results of steps, the one used last first.

    Args:
        folder: Where they are kept.
    """

    def __init__(self, folder: Path) -> None:
        """Nothing is read yet."""
        self._store = StepStore(folder)

    @property
    def entries(self) -> list[Entry]:
        """Each result: step, key, seconds to compute it, bytes, hits, when it was used last."""
        return self._store.entries()

    @property
    def by_step(self) -> dict[str, list[Entry]]:
        """The results of each step, the step used last first."""
        found: dict[str, list[Entry]] = {}
        for entry in self.entries:
            found.setdefault(entry.step, []).append(entry)
        return found

    def clear(self, step: str | None = None) -> int:
        """Remove the results of one step (by its name), or all.

        Returns:
            Bytes that became free.
        """
        return self._store.clear(step)

    def check(self, step: str) -> None:
        """Refuse a name that no stored step has.

        Raises:
            UsageError: CLI134; the nearest one is named.
        """
        if step not in (known := self.by_step):
            fix = nearest(step, known) or "no steps are stored"
            raise UsageError("CLI134", f"no step {step!r} is stored", path="clear", fix=fix)

    def to_dict(self) -> dict[str, Any]:
        """The results as plain values."""
        return {"entries": [entry.to_dict() for entry in self.entries], "limit_bytes": limit_bytes()}

    def __repr__(self) -> str:
        """A line for each step, what all of them saved, and how to remove them."""
        steps = self.by_step
        if not steps:
            return "no steps are stored\n  next    @project.step above a function"
        lines = [_line(name, entries) for name, entries in steps.items()]
        entries = [entry for found in steps.values() for entry in found]
        size, saved = sum(entry.bytes for entry in entries), sum(entry.saved for entry in entries)
        results = (
            f"{len(entries)} result{'s' * (len(entries) != 1)} of {len(steps)} step{'s' * (len(steps) != 1)}"
        )
        head = f"{results}, {size / 1e9:.2f} of {limit_bytes() / 1e9:g} GB; {duration(saved)} saved by hits"
        return "\n".join((head, *lines, "  next    mlkit cache --clear NAME, or project.steps().clear(NAME)"))

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(repr(self))}</pre>"


def _line(step: str, entries: Sequence[Entry]) -> str:
    hits, size = sum(entry.hits for entry in entries), sum(entry.bytes for entry in entries)
    counted = f"{len(entries):>3} x {hits:>4} hits {size / 1e6:9.1f} MB"
    saved = duration(sum(entry.saved for entry in entries))
    used = max(entry.moment for entry in entries)
    return f"  {step:<20} {counted}   saved {saved:<10} used {used:%Y-%m-%d %H:%M}"
