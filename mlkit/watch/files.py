"""The files that a watch looks at: by content, in folders, for editors replace files."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import xxhash

from mlkit.code import DATA_SUFFIXES
from mlkit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    Mark = tuple[int, int, int]

MOST_FILES = 20_000
CODE = frozenset({".py", ".toml"})

_SUFFIXES = CODE | DATA_SUFFIXES
_READ_BYTES = 1 << 20
_FRESH_SECONDS = 3.0
_NEVER = frozenset({"__pycache__", "node_modules", "mlruns", "site-packages"})


class Files:
    """The files in some folders, by content; hidden folders and environments are left out.

    Args:
        folders: Looked at with all that is below them.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        """Remember what they hold now."""
        whole = sorted({folder.resolve() for folder in folders})
        self._folders = [one for one in whole if not any(one != o and one.is_relative_to(o) for o in whole)]
        home = os.environ.get("MLKIT_HOME")
        self._home = Path(home).resolve() if home else None
        self._known: dict[str, tuple[Mark, object]] = {}
        self._base = self.look()

    def look(self) -> dict[str, object]:
        """What stands for the content of each file now."""
        found: dict[str, tuple[Mark, object]] = {}
        for entry in self._entries():
            with contextlib.suppress(OSError):  # gone meanwhile
                state = entry.stat()
                mark = (state.st_mtime_ns, state.st_size, state.st_ino)
                known = self._known.get(entry.path, (None, None))
                found[entry.path] = (mark, known[1] if known[0] == mark else _content(entry.path, mark))
        self._known = found
        return {path: content for path, (_, content) in found.items()}

    def changes(self) -> list[str]:
        """Files whose content is another than when `settle` was called last."""
        now = self.look()
        return sorted(path for path in {*now, *self._base} if now.get(path) != self._base.get(path))

    def settle(self) -> None:
        """Take what is there as seen."""
        self._base = {path: content for path, (_, content) in self._known.items()}

    def fresh(self) -> list[str]:
        """Modules that were written moments ago."""
        limit = (time.time() - _FRESH_SECONDS) * 1e9
        return [path for path, (mark, _) in self._known.items() if mark[0] > limit]

    def _entries(self) -> Iterator[os.DirEntry[str]]:
        waiting = [os.fspath(folder) for folder in self._folders]
        count = 0
        while waiting:
            with contextlib.suppress(OSError), os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.extend([entry.path] if self._is_watched(entry) else [])
                    elif os.path.splitext(entry.name)[1].lower() in _SUFFIXES:  # noqa: PTH122 - called often
                        count += 1
                        yield entry
            if count > MOST_FILES:
                message = f"more than {MOST_FILES:,} files to look at"
                raise UsageError("CLI091", message, fix="start it in the folder of the script")

    def _is_watched(self, entry: os.DirEntry[str]) -> bool:
        if entry.name.startswith(".") or entry.name in _NEVER or Path(entry.path) == self._home:
            return False
        return not os.path.exists(os.path.join(entry.path, "pyvenv.cfg"))  # noqa: PTH110, PTH118 - called often


def _content(path: str, mark: Mark) -> object:
    """A digest of a small file; large ones are told by time and size."""
    return xxhash.xxh3_128_digest(Path(path).read_bytes()) if mark[1] <= _READ_BYTES else mark
