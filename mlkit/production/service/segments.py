"""Segments: files to which one process adds rows, and which another one reads when the first is done or dead.

A segment is a sequence of frames, each with its length and checksum, so that a reader finds where a killed
writer stopped. Rows lie in it as Arrow messages: a reader decodes nothing, and no type is lost. The writer
holds a lock on its file, which the kernel gives back however the process ends: a segment that can be locked
is finished, and belongs to whoever locks it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import fcntl
import json
import os
import struct
import time
import uuid
import zlib
from typing import TYPE_CHECKING, Any, BinaryIO

import pyarrow as pa

from mlkit.engines import durable
from mlkit.failpoints import failpoint

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SUFFIX = ".segment"
ASIDE = ".aside"
"""What a segment is called that the log cannot take whole; somebody should look at it."""
_DRAFT = ".new"
_MAGIC = b"mlkit segment 1\n"
_HEADER = struct.Struct("<II")  # bytes of the frame's body, crc32 of it
_DRAFT_SECONDS = 60
_fdatasync = getattr(os, "fdatasync", os.fsync)
_SCHEMA, _ROWS, _NOTE = b"S", b"R", b"N"


class SegmentWriter:
    """A new segment in a folder, locked until it is closed.

    Attributes:
        path: The file.
        size: Bytes that were written to it.
    """

    def __init__(self, folder: Path) -> None:
        """Make the file; nobody sees it under its name before it is locked.

        Raises:
            OSError: The disk is full or away.
        """
        name = f"{dt.datetime.now(dt.UTC):%Y%m%dT%H%M%S%f}-{uuid.uuid4().hex}"
        draft, self.path = folder / f"{name}{_DRAFT}", folder / f"{name}{SUFFIX}"
        self._file: BinaryIO = draft.open("xb", buffering=0)
        self._schema: pa.Schema | None = None
        self.size = 0
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX)
            self._write(_MAGIC)
            failpoint("segment.made")
            draft.rename(self.path)
            durable.flush(folder)
        except OSError:
            self._file.close()
            raise

    def add(self, rows: pa.Table) -> None:
        """Write rows; in the file, but not yet on the disk.

        Raises:
            OSError: The disk is full or away; the segment must be closed then.
            ArrowException: Rows whose values lie elsewhere, as in dictionaries; nothing was written.
        """
        frames = []
        if self._schema is None or not rows.schema.equals(self._schema):
            if any(map(pa.types.is_dictionary, rows.schema.types)):
                raise pa.ArrowNotImplementedError("expected plain columns, found a dictionary")
            frames.append(_frame(_SCHEMA, rows.schema.serialize()))
        frames += [_frame(_ROWS, batch.serialize()) for batch in rows.combine_chunks().to_batches()]
        self._write(b"".join(frames))
        self._schema = rows.schema

    def note(self, values: Any) -> None:  # noqa: ANN401 - whatever JSON holds
        """Write a note of plain values between the rows.

        Raises:
            OSError: As `add`.
        """
        self._write(_frame(_NOTE, json.dumps(values).encode()))

    def sync(self) -> None:
        """Let what was written survive a power loss.

        Raises:
            OSError: The disk did not take it; what was written since the last time counts as lost.
        """
        _fdatasync(self._file.fileno())

    def close(self) -> None:
        """Leave the segment to whoever locks it next; never an error."""
        with contextlib.suppress(OSError):
            self._file.close()

    def _write(self, content: bytes) -> None:
        view = memoryview(content)
        while view:
            view = view[self._file.write(view) :]
        self.size += len(content)


@dataclasses.dataclass(frozen=True)
class Contents:
    """What a finished segment holds.

    Attributes:
        batches: The rows, in the order in which they were written.
        notes: The notes, likewise.
        torn_bytes: Bytes at the end that are no whole frame: a writer was killed, or the power failed.
        damaged: Whether a frame was whole once and reads otherwise now; what follows it is not read.
    """

    batches: tuple[pa.RecordBatch, ...]
    notes: tuple[Any, ...]
    torn_bytes: int
    damaged: bool


@contextlib.contextmanager
def claimed(path: Path) -> Iterator[Contents | None]:
    """Hold a segment that nobody else does, and read it; None if it is gone or somebody holds it.

    Raises:
        OSError: The file cannot be read.
    """
    try:
        file = path.open("rb")
    except FileNotFoundError:
        yield None
        return
    with file:
        yield read_segment(file.read()) if _locked(file) else None


def finished(folder: Path) -> list[Path]:
    """Segments of a folder, oldest first, those included that somebody still writes to."""
    return sorted(folder.glob(f"*{SUFFIX}"))


def remove_drafts(folder: Path) -> None:
    """Remove what was killed before it had a name; nothing was written there yet."""
    for path in folder.glob(f"*{_DRAFT}"):
        with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
            age = time.time() - os.fstat(file.fileno()).st_mtime
            if age > _DRAFT_SECONDS and _locked(file):
                path.unlink()


def read_segment(content: bytes) -> Contents:
    """Read the frames of a segment up to the first that is not whole."""
    batches: list[pa.RecordBatch] = []
    notes: list[Any] = []
    schema: pa.Schema | None = None
    end = len(_MAGIC) if content.startswith(_MAGIC) else 0
    for kind, body in _frames(content, end):
        end += _HEADER.size + 1 + len(body)
        if kind == _SCHEMA:
            schema = pa.ipc.read_schema(pa.py_buffer(body))
        elif kind == _ROWS:  # copied, so that numbers begin where processors want them
            batches.append(pa.ipc.read_record_batch(pa.py_buffer(bytes(body)), schema))
        elif kind == _NOTE:
            notes.append(json.loads(bytes(body)))
    torn = len(content) - end
    return Contents(tuple(batches), tuple(notes), torn, damaged=_was_whole(content, end))


def _frame(kind: bytes, body: bytes | pa.Buffer) -> bytes:
    whole = kind + bytes(body)
    return _HEADER.pack(len(whole), zlib.crc32(whole)) + whole


def _frames(content: bytes, start: int) -> Iterator[tuple[bytes, memoryview]]:
    view = memoryview(content)
    while start and len(content) - start > _HEADER.size:
        length, checksum = _HEADER.unpack_from(content, start)
        whole = view[start + _HEADER.size : start + _HEADER.size + length]
        # A power loss may leave zeros at the end: a frame of no bytes is none.
        if not length or len(whole) < length or zlib.crc32(whole) != checksum:
            return
        yield bytes(whole[:1]), whole[1:]
        start += _HEADER.size + length


def _was_whole(content: bytes, end: int) -> bool:
    """Whether something stands behind the frame that does not read: no kill in the middle leaves that."""
    if not content.startswith(_MAGIC[: len(content)]):
        return True
    if len(content) - end <= _HEADER.size:
        return False
    length: int = _HEADER.unpack_from(content, end)[0]
    return 0 < length < len(content) - end - _HEADER.size


def _locked(file: BinaryIO) -> bool:
    """Whether the lock of a file is ours now, and the file still has a name."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return os.fstat(file.fileno()).st_nlink > 0
