"""What rehearsals proved, kept beside the stores, so that a report can show it later."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from mlkit import document

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_FOLDER = "rehearsals"
_FIRST = 16  # digits of the config's digest in the name of the file


def keep_rehearsal(home: Path, project: str, digest: str, proof: Mapping[str, Any]) -> None:
    """Keep what a rehearsal of a config proved; of several the last.

    Args:
        home: Folder of what is kept on this machine.
        project: The project.
        digest: Of the config.
        proof: Plain values.

    Raises:
        StoreError: It cannot be written (STO023).
    """
    document.save(_file(home, project, digest), f"{json.dumps(dict(proof), indent=2, sort_keys=True)}\n")


def read_rehearsal(home: Path, project: str, digest: str) -> dict[str, Any] | None:
    """What the last rehearsal of a config proved here; None if there was none, or its file does not read."""
    try:
        found = json.loads(_file(home, project, digest).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _file(home: Path, project: str, digest: str) -> Path:
    return home / _FOLDER / f"{project}-{digest[:_FIRST]}.json"
