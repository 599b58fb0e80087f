"""Managed files brought up to date: shown first, written as a whole, never over what somebody edited."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from mlkit import document
from mlkit.code import DISTRIBUTION, installed_version
from mlkit.errors import UsageError
from mlkit.research.bundle import FILE as BUNDLE
from mlkit.scaffold.managed import Managed, look_at_managed

if TYPE_CHECKING:
    from pathlib import Path

_MARKS = {"current": "=", "stale": "~", "edited": "!", "newer": "!", "absent": "-"}


@dataclasses.dataclass(frozen=True)
class Update:
    """What an update writes.

    Attributes:
        folder: The repository.
        files: Its managed files.
        written: Those that were written.
        dry_run: Whether nothing was to be written.
    """

    folder: Path
    files: tuple[Managed, ...]
    written: tuple[str, ...] = ()
    dry_run: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "folder": str(self.folder),
            "files": [file.to_dict() for file in self.files],
            "written": self.written,
            "dry_run": self.dry_run,
        }

    def __repr__(self) -> str:
        """What was written; or one line for each file, and what to type next."""
        if self.written:
            return f"wrote {', '.join(self.written)}\n  next    git diff, then commit"
        lines = [
            f"  {_MARKS[file.state]} {file.file.path}  {_said(file)}" for file in self.files if _shown(file)
        ]
        stale = sum(file.state == "stale" for file in self.files)
        ending = f"{stale} to write" if stale else "nothing to write"
        following = ["  next    mlkit init --update"] if stale and self.dry_run else []
        head = f"managed files, mlkit {installed_version(DISTRIBUTION)}: {ending}"
        return "\n".join([head, *lines, *following])


def update_repository(folder: Path, *, dry_run: bool = False, force: bool = False) -> Update:
    """Write anew the managed files that this version of mlkit would write otherwise.

    Args:
        folder: The repository.
        dry_run: Only say what would be written.
        force: Also replace files that were edited by hand, or written by a newer mlkit.

    Raises:
        UsageError: Nothing here is managed (CLI122), a file was edited by hand (CLI123), or a newer mlkit
            wrote it (CLI124). Nothing was written then.
        ConfigError: ``mlkit.toml`` or a config does not load.
    """
    files = look_at_managed(folder)
    if all(file.state == "absent" for file in files):
        fix = "mlkit init . adds what is missing here"
        raise UsageError("CLI122", "no file here is managed by mlkit", path=str(folder), fix=fix)
    if dry_run:
        return Update(folder, files, dry_run=True)
    if not force:
        _refuse(files)
    replaced = [file for file in files if file.state in ("stale", "edited", "newer")]
    for file in replaced:
        document.save(folder / file.file.path, file.text)
    return Update(folder, files, tuple(file.file.path for file in replaced))


def _refuse(files: tuple[Managed, ...]) -> None:
    for file in files:
        lost = f"{file.removed} lines of it would be lost"
        if file.state == "edited":
            fix = f"move the change to {file.file.edit} or a file of your own; or --force"
            raise UsageError("CLI123", f"it was edited by hand: {lost}", path=file.file.path, fix=fix)
        if file.state == "newer":
            here = installed_version(DISTRIBUTION)
            message = f"mlkit {file.version} wrote it, and this is {here}"
            fix = f"pip install '{DISTRIBUTION}=={file.version}'; or --force"
            raise UsageError("CLI124", message, path=file.file.path, fix=fix)


def _shown(file: Managed) -> bool:
    """Jobs that nobody asked for are not missed."""
    return file.state != "absent" or file.file.path != BUNDLE


def _said(file: Managed) -> str:
    lines = f"+{file.added} -{file.removed} lines"
    by = f"of mlkit {file.version}" if file.version else "of another mlkit or mlkit.toml"
    return {
        "current": "current",
        "stale": f"{by}: {lines}",
        "edited": f"edited by hand: {lines} with --force",
        "newer": f"{by}, which is newer: {lines} with --force",
        "absent": "not here; to have it: mlkit init .",
    }[file.state]
