"""`project.steps()`: the stored results of steps, and how to remove them."""

from __future__ import annotations

import datetime as dt
import html
from typing import TYPE_CHECKING, Any

from mlkit.research.steps.store import StepStore, limit_bytes

if TYPE_CHECKING:
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
        """Each result: step, key, seconds to compute it, bytes, when it was used last."""
        return self._store.entries()

    def clear(self, step: str | None = None) -> int:
        """Remove the results of one step (by its name), or all.

        Returns:
            Bytes that became free.
        """
        return self._store.clear(step)

    def to_dict(self) -> dict[str, Any]:
        """The results as plain values."""
        found = [
            {
                "step": entry.step,
                "key": entry.key,
                "seconds": entry.seconds,
                "bytes": entry.bytes,
                "used_at": _moment(entry).isoformat(),
            }
            for entry in self.entries
        ]
        return {"entries": found, "limit_bytes": limit_bytes()}

    def __repr__(self) -> str:
        """A line for each result, their size, and how to remove them."""
        entries = self.entries
        if not entries:
            return "no steps are stored\n  next    @project.step above a function"
        lines = [_line(entry) for entry in entries]
        total = sum(entry.bytes for entry in entries)
        head = f"{len(entries)} results of steps, {total / 1e9:.2f} of {limit_bytes() / 1e9:g} GB"
        return "\n".join((head, *lines, "  next    project.steps().clear('<name>')"))

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(repr(self))}</pre>"


def _line(entry: Entry) -> str:
    size = f"{entry.seconds:8.1f} s {entry.bytes / 1e6:9.1f} MB"
    return f"  {entry.step:<20} {size}  used {_moment(entry):%Y-%m-%d %H:%M}"


def _moment(entry: Entry) -> dt.datetime:
    return dt.datetime.fromtimestamp(entry.used_at, tz=dt.UTC)
