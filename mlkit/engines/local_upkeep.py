"""Keeping the lake of a folder tidy: times of files, and the staging folders of killed writers."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import shutil
import tempfile
from typing import TYPE_CHECKING

from mlkit.engines import log, names
from mlkit.engines.base import SCHEMAS, Leftover
from mlkit.engines.local_table import door

if TYPE_CHECKING:
    from pathlib import Path

    from mlkit.engines.base import TableName, Upkeep

STAGING = ".staging"


class LocalUpkeep:
    """What the file system tells; `mlkit.engines.base.Upkeep` says what each method promises."""

    def __init__(self, root: Path) -> None:
        """Name the folder of the lake."""
        self._root = root

    def now(self) -> dt.datetime:
        """The time that a new file gets: on a mounted disk it is that of the machine which has the disk."""
        place = next(folder for folder in (self._root, *self._root.parents) if folder.is_dir())
        with door(str(self._root)), tempfile.TemporaryFile(dir=place) as file:
            file.write(b".")
            file.flush()
            return _instant(os.fstat(file.fileno()).st_mtime)

    def made_at(self, table: TableName) -> dt.datetime | None:
        """The time of the newest thing in its folder."""
        folder = self._root / table.schema / table.name
        with door(str(table)):
            if not log.is_table(folder):
                raise names.no_such_table(table, [])
            return _instant(max(path.stat().st_mtime for path in (folder, folder / log.FOLDER)))

    def leftovers(self) -> list[Leftover]:
        """Folders in ``.staging`` of each schema."""
        found = []
        for schema in SCHEMAS:
            staging = self._root / schema / STAGING
            with door(schema):
                children = sorted(staging.iterdir()) if staging.is_dir() else []
            for child in children:
                with contextlib.suppress(FileNotFoundError):  # its writer has just finished
                    stats = [path.lstat() for path in (child, *child.rglob("*"))]
                    made = _instant(max(stat.st_mtime for stat in stats))
                    size = sum(stat.st_size for stat in stats)
                    found.append(Leftover(schema, child.name, made, size))
        return found

    def remove(self, leftover: Leftover) -> None:
        """Remove the folder."""
        folder = self._root / leftover.schema / STAGING / leftover.name
        with door(str(leftover)), contextlib.suppress(FileNotFoundError):
            shutil.rmtree(folder)


def _instant(seconds: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(seconds, dt.UTC)


if TYPE_CHECKING:
    _: Upkeep = LocalUpkeep(Path())
