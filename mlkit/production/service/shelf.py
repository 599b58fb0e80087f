"""The shelf: copies of model files on this machine, from which a service starts when the stores are away.

A copy lies in a folder named by the digest of its manifest and is checked against it before every use. All
processes that serve a project here share one shelf; each holds a lock on the copy that it uses, which the
kernel gives back however the process ends, and no copy is removed that somebody holds.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import shutil
import uuid
from typing import TYPE_CHECKING

from mlkit.engines import durable
from mlkit.errors import IntegrityError, StoreError
from mlkit.failpoints import failpoint
from mlkit.tracking.models import verify_manifest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from mlkit.production.ledger import Entry

_LAST = "last.json"
_STAGING = ".staging"
_NAME_DIGITS = 32


@dataclasses.dataclass(frozen=True)
class Chosen:
    """What shall serve: an entry of the ledger, as far as a service needs it."""

    version: int
    model_id: str
    seq: int
    manifest_digest: str

    @classmethod
    def of(cls, entry: Entry) -> Chosen:
        """What an entry says."""
        return cls(entry.to_version, entry.model_id, entry.seq, entry.manifest_digest)


class Copy:
    """A copy that this process uses; it stays on disk until this is closed or forgotten.

    Attributes:
        folder: The files.
    """

    def __init__(self, folder: Path, descriptor: int) -> None:
        """Take over a descriptor of the folder that holds the lock."""
        self.folder = folder
        self._descriptor: int | None = descriptor

    def close(self) -> None:
        """Let the copy go."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __del__(self) -> None:
        """The lock goes when nobody can use the copy any more."""
        self.close()


class Shelf:
    """Copies in a folder."""

    def __init__(self, folder: Path) -> None:
        """The folder is made if it is not there."""
        self._folder = folder
        with _translated():
            durable.make_folder(folder)

    def take(self, chosen: Chosen, fetch: Callable[[Path], Path]) -> Copy:
        """The checked copy of a model, made if it is not there or no longer whole.

        Args:
            chosen: The model.
            fetch: Puts its files below a folder and says where they are.

        Raises:
            IntegrityError: What was fetched is not what was recorded.
            StoreError: The disk is full or away (STO073), or what `fetch` raises.
        """
        place = self._place(chosen)
        with _translated():
            if copy := self._checked(place, chosen):
                return copy
            with durable.staging(self._folder / _STAGING) as stage:
                files = fetch(stage)
                verify_manifest(files, manifest_digest=chosen.manifest_digest)
                durable.flush_tree(files)
                failpoint("holder.copied")
                copy = _held(files, fcntl.LOCK_SH)  # before it has its name: others tidy what nobody holds
                if durable.move_exclusively(files, place):
                    copy.folder = place
                else:  # another process was faster, and holds its own
                    copy.close()
                    copy = _held(place, fcntl.LOCK_SH)
            durable.flush(self._folder)
            return copy

    def remember(self, chosen: Chosen) -> None:
        """Note what serves now, for a start without stores; the note is whole or the one before it.

        Raises:
            StoreError: The disk is full or away (STO073).
        """
        with _translated():
            draft = self._folder / f".{uuid.uuid4().hex}"
            draft.write_text(json.dumps(dataclasses.asdict(chosen)), encoding="utf-8")
            durable.flush(draft)
            draft.rename(self._folder / _LAST)
            durable.flush(self._folder)
        failpoint("holder.remembered")

    def last(self) -> Chosen | None:
        """What was noted last; None if nothing was, or the note does not read."""
        try:
            return Chosen(**json.loads((self._folder / _LAST).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def tidy(self, *keep: Chosen) -> None:
        """Remove all copies but these and those that somebody holds; what cannot be removed stays."""
        kept = {self._place(chosen).name for chosen in keep}
        with contextlib.suppress(OSError):
            found = [folder for folder in self._folder.iterdir() if folder.is_dir() and folder.name[0] != "."]
            for folder in found:
                if folder.name not in kept:
                    self._discard_unless_used(folder)

    def _place(self, chosen: Chosen) -> Path:
        return self._folder / chosen.manifest_digest[:_NAME_DIGITS]

    def _checked(self, place: Path, chosen: Chosen) -> Copy | None:
        """The copy that is there, held; None if there is none, and a damaged one is removed."""
        try:
            copy = _held(place, fcntl.LOCK_SH)
        except FileNotFoundError:
            return None
        try:
            verify_manifest(place, manifest_digest=chosen.manifest_digest)
        except IntegrityError:
            copy.close()
            self._discard(place)
            return None
        return copy

    def _discard_unless_used(self, folder: Path) -> None:
        with contextlib.suppress(OSError):
            self._discard(folder)

    def _discard(self, folder: Path) -> None:
        """Remove a copy that nobody holds; nobody sees a part of it."""
        copy = _held(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with durable.staging(self._folder / _STAGING) as stage:
            folder.rename(stage / folder.name)
        copy.close()


def _held(folder: Path, how: int) -> Copy:
    """A folder with a lock on it, if it still is the one of that name.

    Raises:
        OSError: It is gone, or somebody holds it in another way.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    copy = Copy(folder, descriptor)
    fcntl.flock(descriptor, how)
    if folder.stat().st_ino != os.fstat(descriptor).st_ino:
        raise FileNotFoundError(folder.name)
    return copy


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except StoreError:
        raise
    except (OSError, shutil.Error) as exc:
        message = f"a copy of the model cannot be kept: {exc.strerror or type(exc).__name__}"
        raise StoreError(
            "STO073", message, path="serve", fix="make room on the disk, and check its rights"
        ) from exc
