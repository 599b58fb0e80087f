"""What differs in the user's files that travelled with two models."""

from __future__ import annotations

import dataclasses
import difflib
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

State = Literal["added", "removed", "changed"]


@dataclasses.dataclass(frozen=True)
class FileChange:
    """One file that is not the same in both.

    Attributes:
        state: ``added``, ``removed`` or ``changed``.
        added: Number of lines that came.
        removed: Number of lines that went.
        text: What changed, as a unified diff; empty of a file that is no text.
    """

    state: State
    added: int
    removed: int
    text: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return dataclasses.asdict(self)


def changed_files(before: Mapping[str, Path], after: Mapping[str, Path]) -> dict[str, FileChange]:
    """The files that differ, by path.

    Args:
        before: Files by path below the import root.
        after: Likewise.
    """
    found = {}
    for name in sorted({*before, *after}):
        old, new = (files[name].read_bytes() if name in files else None for files in (before, after))
        if old != new:
            found[name] = _change(name, old, new)
    return found


def _change(name: str, old: bytes | None, new: bytes | None) -> FileChange:
    state: State = "added" if old is None else "removed" if new is None else "changed"
    left, right = (_lines(content or b"") for content in (old, new))
    if left is None or right is None:
        return FileChange(state, 0, 0, "")
    lines = list(difflib.unified_diff(left, right, f"before/{name}", f"after/{name}", lineterm=""))
    added, removed = (sum(line.startswith(sign) for line in lines[2:]) for sign in "+-")
    return FileChange(state, added, removed, "\n".join(lines))


def _lines(content: bytes) -> list[str] | None:
    """The lines of a text; None of what is no text."""
    try:
        return content.decode().splitlines()
    except UnicodeDecodeError:
        return None
