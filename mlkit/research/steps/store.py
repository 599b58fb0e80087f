"""Where results of steps are kept: one folder for each key, put there whole by one rename.

    entries/<key>/    manifest.json (outline, sizes, checks), the files of the value, a byte for each hit
    recent/<step>     what the last calls of a step depended on, to say what has changed
    staging/          what is being written or removed
    locks/            one computation at a time for each key

Every file is checked when it is read; one that is damaged is a miss, said aloud. The oldest in use go first
when the store is larger than its limit. Any number of processes may work in it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import json
import os
import re
import shutil
import time
import uuid
from typing import TYPE_CHECKING, Any

import filelock
import xxhash

from mlkit.errors import UsageError
from mlkit.failpoints import failpoint
from mlkit.research.steps.forms import FileChangedError, NotStoredError, unpack
from mlkit.research.steps.reach import Part
from mlkit.research.steps.values import Values, token_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

LIMIT = "MLKIT_STEPS_GB"
DEFAULT_GB = 5.0
_GIGABYTE = 1_000_000_000
_MANIFEST = "manifest.json"
_EFFECTS = "effects.json"
_HITS = "hits"
_MOST_RECENT = 20
_LEFT_OVER_SECONDS = 24 * 3600
_OTHERS_WRITE = 0o022


@dataclasses.dataclass(frozen=True)
class Entry:
    """A stored result.

    Attributes:
        key: Of the call.
        step: Name of the step that made it.
        seconds: What it took to compute.
        bytes: On disk.
        used_at: When it was last read or written.
        hits: How often it was read instead of being computed again.
    """

    key: str
    step: str
    seconds: float
    bytes: int
    used_at: float
    hits: int = 0

    @property
    def saved(self) -> float:
        """Seconds that reading it has saved."""
        return self.hits * self.seconds

    @property
    def moment(self) -> dt.datetime:
        """When it was last read or written."""
        return dt.datetime.fromtimestamp(self.used_at, tz=dt.UTC)

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "step": self.step,
            "key": self.key,
            "seconds": self.seconds,
            "bytes": self.bytes,
            "hits": self.hits,
            "saved_seconds": self.saved,
            "used_at": self.moment.isoformat(),
        }


@dataclasses.dataclass(frozen=True)
class Found:
    """A result that was read.

    Attributes:
        value: A fresh object.
        effects: What the step did besides.
        seconds: What it took to compute.
    """

    value: Any
    effects: list[Any]
    seconds: float


@dataclasses.dataclass(frozen=True)
class Made:
    """A result to be stored: outline and files of the value, what the step did besides, what it took."""

    step: str
    outline: Any
    files: Mapping[str, bytes | memoryview]
    effects: list[Any]
    seconds: float


class DamagedError(ValueError):
    """A stored result that is not what was written, or a file of it that is not; the message says so."""


class StepStore:
    """The results of steps in one folder.

    Args:
        folder: Made on first use, for its owner alone.
    """

    def __init__(self, folder: Path) -> None:
        """Nothing is opened yet."""
        self.folder = folder

    def read(self, key: str) -> Found | None:
        """The result of a key; None if there is none.

        Raises:
            DamagedError: There is one, but it is not what was written. It is gone afterwards.
        """
        place = self.folder / "entries" / key
        try:
            manifest = _read_manifest(place, key)
            files = {name: _read_file(place / name, check) for name, check in manifest["files"].items()}
            value = unpack(manifest["outline"], files, digest=Values(token_of).digest)
            effects = json.loads(bytes(files[_EFFECTS]))
            with contextlib.suppress(OSError):
                os.utime(place / _MANIFEST)
                with (place / _HITS).open("ab") as file:  # a byte a hit: no process waits for another
                    file.write(b".")
        except OSError:  # never there, being removed by another process, or not to be read
            if place.exists():
                self._remove(place)
            return None
        except (KeyError, ValueError, StopIteration, NotStoredError) as exc:
            self._remove(place)
            message = str(exc) if isinstance(exc, FileChangedError) else "the stored result was damaged"
            raise DamagedError(message) from exc
        return Found(value, effects, manifest["seconds"])

    def write(self, key: str, made: Made) -> None:
        """Store a result, and make room for it.

        Raises:
            OSError: The disk is full or cannot be written to.
        """
        staged = self._folder("staging") / f"{key}.{uuid.uuid4().hex}"
        staged.mkdir()
        try:
            self._write_files(staged, key, made)
            failpoint("steps.staged")
            place = self._folder("entries") / key
            try:
                staged.rename(place)
            except OSError:
                if not place.is_dir():  # else another process was first, and its result is as good
                    raise
        finally:
            shutil.rmtree(staged, ignore_errors=True)
        self.trim()

    def _write_files(self, staged: Path, key: str, made: Made) -> None:
        files = {**made.files, _EFFECTS: json.dumps(made.effects).encode()}
        checks = {name: [len(data), xxhash.xxh3_128_hexdigest(data)] for name, data in files.items()}
        body = json.dumps(
            {
                "key": key,
                "step": made.step,
                "seconds": made.seconds,
                "files": checks,
                "outline": made.outline,
            }
        )
        files[_MANIFEST] = f"{body}\n{xxhash.xxh3_128_hexdigest(body.encode())}\n".encode()
        for name, data in files.items():
            _write_file(staged / name, data)

    @contextlib.contextmanager
    def computing(self, key: str) -> Iterator[None]:
        """Hold the right to compute a key; others who want it wait."""
        lock = self._locked(key)
        try:
            yield
        finally:
            if lock is not None:
                # Whoever waits for this very file looks into the store next; so may a newcomer.
                with contextlib.suppress(OSError):
                    (self.folder / "locks" / key).unlink()
                lock.release()

    def _locked(self, key: str) -> filelock.BaseFileLock | None:
        """The lock of a key; None where files cannot be locked, and at worst two compute the same."""
        with contextlib.suppress(OSError, NotImplementedError):
            lock = filelock.FileLock(self._folder("locks") / key)
            lock.acquire()
            return lock
        return None

    def entries(self) -> list[Entry]:
        """All results, the one used last first."""
        found = []
        for place in self._places():
            with contextlib.suppress(OSError, ValueError, KeyError):
                manifest = _read_manifest(place, place.name)
                used = (place / _MANIFEST).stat().st_mtime
                known = (place.name, manifest["step"], manifest["seconds"], _size(place), used)
                found.append(Entry(*known, hits=_hits(place)))
        return sorted(found, key=lambda entry: (-entry.used_at, entry.key))

    def clear(self, step: str | None = None) -> int:
        """Remove the results of one step, or all; gives the bytes."""
        freed = 0
        for entry in self.entries():
            if step in (None, entry.step):
                self._remove(self.folder / "entries" / entry.key)
                freed += entry.bytes
        if step is None:
            for place in self._places():  # what could not be read
                self._remove(place)
        return freed

    def trim(self) -> None:
        """Remove the results that were used least recently, until the rest is within the limit."""
        limit, total = limit_bytes(), 0
        used = {place: (_used_at(place), _size(place)) for place in self._places()}
        for place, (_, size) in sorted(used.items(), key=lambda item: item[1], reverse=True):
            total += size
            if total > limit:
                self._remove(place)
        for place in _inside(self.folder / "staging"):
            if time.time() - _used_at(place, "") > _LEFT_OVER_SECONDS:  # its process died
                shutil.rmtree(place, ignore_errors=True)

    def recent(self, step: str) -> list[tuple[str, list[Part]]]:
        """Keys and parts of the last calls of a step that were computed, the newest first."""
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
            records = json.loads((self.folder / "recent" / _file_name(step)).read_text(encoding="utf-8"))
            return [(record["key"], [Part(*part) for part in record["parts"]]) for record in records]
        return []

    def remember(self, step: str, key: str, parts: Sequence[Part]) -> None:
        """Keep what a call depended on; of two processes at once, one may be forgotten."""
        others = [record for record in self.recent(step) if record[0] != key][: _MOST_RECENT - 1]
        records = [
            {"key": name, "parts": [dataclasses.astuple(part) for part in of]}
            for name, of in [(key, parts), *others]
        ]
        path = self._folder("recent") / _file_name(step)
        staged = self._folder("staging") / uuid.uuid4().hex
        staged.write_text(json.dumps(records), encoding="utf-8")
        staged.replace(path)

    def _places(self) -> list[Path]:
        return _inside(self.folder / "entries")

    def _remove(self, place: Path) -> None:
        dead = self._folder("staging") / f"dead-{uuid.uuid4().hex}"
        with contextlib.suppress(OSError):  # another process was first
            place.rename(dead)
        shutil.rmtree(dead, ignore_errors=True)

    def _folder(self, name: str) -> Path:
        if not self.folder.is_dir():
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.check()
        (self.folder / name).mkdir(mode=0o700, exist_ok=True)
        return self.folder / name

    def check(self) -> None:
        """Refuse a folder that others can write to: what is read from it may run code.

        Raises:
            UsageError: It is of another owner, or open to others (CLI093).
        """
        if os.name != "posix" or not self.folder.exists():
            return
        state = self.folder.stat()
        if state.st_uid != os.getuid() or state.st_mode & _OTHERS_WRITE:
            message = "the folder of steps belongs to another user, or others can write to it"
            fix = "chmod 700, or remove it"
            raise UsageError("CLI093", message, path=str(self.folder), fix=fix)


def limit_bytes() -> int:
    """Bytes that the results may take in all: ``MLKIT_STEPS_GB``, by default 5 GB.

    Raises:
        UsageError: The variable is no number above 0 (CLI094).
    """
    text = os.environ.get(LIMIT, str(DEFAULT_GB))
    with contextlib.suppress(ValueError, OverflowError):
        if (limit := int(float(text) * _GIGABYTE)) > 0:
            return limit
    raise UsageError("CLI094", f"expected gigabytes above 0, found {text!r}", path=LIMIT, fix=f"{LIMIT}=5")


def _read_manifest(place: Path, key: str) -> dict[str, Any]:
    body, check = (place / _MANIFEST).read_bytes().decode().splitlines()
    if xxhash.xxh3_128_hexdigest(body.encode()) != check:
        raise DamagedError(_MANIFEST)
    manifest: dict[str, Any] = json.loads(body)
    if manifest["key"] != key:
        raise DamagedError(_MANIFEST)
    return manifest


def _read_file(path: Path, check: list[Any]) -> memoryview:
    data = path.read_bytes()
    if [len(data), xxhash.xxh3_128_hexdigest(data)] != check:
        raise DamagedError(path.name)
    return memoryview(data)


def _write_file(path: Path, data: bytes | memoryview) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _inside(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _size(place: Path) -> int:
    total = 0
    for path in _inside(place):
        with contextlib.suppress(OSError):
            total += path.stat().st_size if path.name != _HITS else 0
    return total


def _hits(place: Path) -> int:
    with contextlib.suppress(OSError):
        return (place / _HITS).stat().st_size
    return 0


def _used_at(place: Path, name: str = _MANIFEST) -> float:
    with contextlib.suppress(OSError):
        return (place / name).stat().st_mtime
    return 0.0


def _file_name(step: str) -> str:
    readable = re.sub(r"[^A-Za-z0-9_]+", "_", step)[:60]
    return f"{readable}-{xxhash.xxh3_64_hexdigest(step.encode())}.json"
