"""Folders and files that survive a power loss.

Neither delta-rs nor Arrow calls fsync: after a power loss a commit may be an empty file, and an
empty commit reads as one that changed nothing. Folders are moved into place by one rename, which
on a local disk succeeds for exactly one of several racing processes.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import uuid
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_TAKEN = frozenset({errno.ENOTEMPTY, errno.EEXIST})


def flush(path: Path) -> None:
    """Make the content of a file, or the entries of a folder, durable."""
    if os.name == "nt":  # a folder cannot be opened there, and a file only for writing
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def flush_tree(folder: Path) -> None:
    """Make everything below a folder durable, files before the folders that name them."""
    for child in folder.iterdir():
        if child.is_dir():
            flush_tree(child)
        else:
            flush(child)
    flush(folder)


def make_folder(folder: Path) -> None:
    """Create a folder and those above it, durably; fine if it is there already."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    flush(folder.parent)


def move_exclusively(staged: Path, final: Path) -> bool:
    """Rename a folder onto a name that nobody else has taken.

    Returns:
        False if the name is taken; `staged` is then left where it is.
    """
    try:
        staged.rename(final)
    except OSError as exc:
        if exc.errno in _TAKEN:
            return False
        raise
    return True


@contextlib.contextmanager
def staging(parent: Path) -> Iterator[Path]:
    """An empty folder of one's own below `parent`; what was not moved out of the way is removed."""
    folder = parent / uuid.uuid4().hex
    make_folder(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
