"""The log of a Delta table as its files tell it, where delta-rs does not look closely enough."""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, Any

from mlkit.engines import durable, faults

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FOLDER = "_delta_log"

_COMMIT = re.compile(r"\d{20}\.json")
_LAST = "_last_checkpoint"
_CHANGED = "mlkit.properties"


def is_table(folder: Path) -> bool:
    """Whether a folder holds a Delta table."""
    return (folder / FOLDER).is_dir()


def check_whole(folder: Path) -> None:
    """Refuse a log with a commit of no bytes: a power loss leaves it, and it would read as no change.

    Commits that went into a checkpoint had been made durable before.

    Raises:
        IntegrityError: INT012.
    """
    known = f"{_checkpoint(folder):020}.json"
    with os.scandir(folder / FOLDER) as entries:
        for entry in entries:
            if entry.name > known and _COMMIT.fullmatch(entry.name) and not entry.stat().st_size:
                raise faults.damaged(folder.name, "an empty commit in its log")


def record_of(properties: Mapping[str, str]) -> dict[str, str]:
    """What a commit keeps of the properties that hold from then on."""
    return {_CHANGED: json.dumps(dict(properties), sort_keys=True)}


def changed_properties(folder: Path, version: int) -> dict[str, str]:
    """Properties that changed up to a version: those of the newest commit of ours, usually the last.

    `DeltaTable.history` says the same, but is silently empty below a folder with a # in its name.
    """
    for earlier in range(version, -1, -1):
        for action in _actions(folder, earlier):
            record = action.get("commitInfo", {}).get(_CHANGED)
            if record is not None:
                changed: dict[str, str] = json.loads(record)
                return changed
    return {}


def flush_commit(folder: Path, version: int) -> None:
    """Make a commit durable: its data files, then the entry of the log that names them."""
    for action in _actions(folder, version):
        if "add" in action:
            durable.flush(folder / action["add"]["path"])
    for path in (folder, _entry(folder, version), folder / FOLDER):
        durable.flush(path)


def flush_checkpoint(folder: Path, version: int) -> None:
    """Make a checkpoint durable: its files, then the one that names it."""
    files = sorted((folder / FOLDER).glob(f"{version:020}.checkpoint*"))
    for path in (*files, folder / FOLDER / _LAST, folder / FOLDER):
        durable.flush(path)


def _checkpoint(folder: Path) -> int:
    """Version of the newest checkpoint; -1 where none is named."""
    try:
        named = json.loads((folder / FOLDER / _LAST).read_text(encoding="utf-8"))
        return int(named["version"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):  # the log itself says the same
        return -1


def _actions(folder: Path, version: int) -> list[dict[str, Any]]:
    """What one commit did; nothing where another tool has thrown old entries away."""
    entry = _entry(folder, version)
    lines = entry.read_text(encoding="utf-8").splitlines() if entry.exists() else []
    return [json.loads(line) for line in lines]


def _entry(folder: Path, version: int) -> Path:
    return folder / FOLDER / f"{version:020}.json"
