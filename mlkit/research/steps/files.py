"""The content key of a path: what the file or folder there holds."""

from __future__ import annotations

from pathlib import Path, PurePath
from typing import TYPE_CHECKING

import xxhash

from mlkit.research.steps.tokens import NotKeyedError

if TYPE_CHECKING:
    from mlkit.research.steps.tokens import Keys, Tokens

MOST_FILES = 1000
_CHUNK_BYTES = 1 << 20


def add_path(_keys: Keys, out: Tokens, path: PurePath) -> None:
    """Add a path: its text, and the content of what is there; hidden files of a folder do not count.

    Raises:
        NotKeyedError: The folder holds more than `MOST_FILES` files, or something cannot be read.
    """
    out.text(str(path))
    if isinstance(path, Path):
        try:
            _add_content(out, path)
        except OSError as exc:
            message = f"a path that cannot be read ({type(exc).__name__})"
            raise NotKeyedError(message) from exc


def _add_content(out: Tokens, path: Path) -> None:
    if path.is_dir():
        for file in _files(path):
            out.text(file.relative_to(path).as_posix())
            out.raw(file_digest(file))
    elif path.is_file():
        out.raw(file_digest(path))
    else:
        out.text("nothing there")


def _files(folder: Path) -> list[Path]:
    found: list[Path] = []
    waiting = [folder]
    while waiting:
        for path in waiting.pop().iterdir():
            if path.name.startswith(".") or path.name == "__pycache__":
                continue
            (waiting if path.is_dir() else found).append(path)
        if len(found) > MOST_FILES:
            message = f"a folder of more than {MOST_FILES:,} files"
            raise NotKeyedError(message)
    return sorted(path for path in found if path.is_file())


def file_digest(path: Path) -> bytes:
    """16 bytes over the content of a file, which is read in pieces."""
    state = xxhash.xxh3_128()
    with path.open("rb") as file:
        while piece := file.read(_CHUNK_BYTES):
            state.update(piece)
    return state.digest()
