"""The spool of one process: rows of the prediction log, safe on this disk before anything else is done.

Whoever answers a request hands its rows in. One thread writes whatever is there, all of it at once, and makes
it durable: no timer, so a lone request waits for the disk alone, and a thousand wait for it together. What to
do when the disk is full or slow is a declared policy:

* ``durable``: an answer waits until its rows are safe; when there is no room it is not given.
* ``fast``: an answer does not wait; when there is no room its rows are counted, not kept.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import Counter
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

from mlkit.engines import durable
from mlkit.errors import StoreError
from mlkit.failpoints import failpoint
from mlkit.production.service.segments import SegmentWriter
from mlkit.production.serving_counts import Slot, slots_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mlkit.production.service.limits import Policy

LIMIT_BYTES = 2 * 1024**3
RESERVE_BYTES = 256 * 1024**2
ROTATE_BYTES = 16 * 1024**2
ROTATE_SECONDS = 60.0
_LOOK_SECONDS = 1.0
_GATHER_SECONDS = 0.01


class SpoolFullError(StoreError):
    """There is no room for more rows, or the disk did not take them; the request may be sent again.

    Attributes:
        retry_after_seconds: When that makes sense.
    """

    retry_after_seconds = 5


class _Pending(NamedTuple):
    """Rows that were handed in, and what waits for them."""

    rows: pa.Table
    done: Future[None]


class Spool:
    """Segments of rows in a folder, written by this process; `flusher` takes them on from there."""

    def __init__(
        self,
        folder: Path,
        *,
        policy: Policy = "durable",
        limit_bytes: int = LIMIT_BYTES,
        reserve_bytes: int = RESERVE_BYTES,
        rotate_bytes: int = ROTATE_BYTES,
        rotate_seconds: float = ROTATE_SECONDS,
    ) -> None:
        """Start the thread that writes.

        Args:
            folder: On a local disk; shared by all processes that serve the project on this machine.
            policy: What an answer waits for.
            limit_bytes: Most that may lie in the folder, of all processes together.
            reserve_bytes: Least that stays free on the disk.
            rotate_bytes: Size at which a segment is finished.
            rotate_seconds: Age at which it is.
        """
        durable.make_folder(folder)
        self._folder, self._policy = folder, policy
        self._limit, self._reserve = limit_bytes, reserve_bytes
        self._rotate_bytes, self._rotate_seconds = rotate_bytes, rotate_seconds
        self._room = _Room(folder)
        self._wake = threading.Condition()
        self._pending: list[_Pending] = []
        self._pending_bytes = 0
        self._closing = False
        self._writer: SegmentWriter | None = None
        self._opened = 0.0
        self._dropped: Counter[Slot] = Counter()  # not noted in a segment yet
        self._totals: Counter[str] = Counter()
        self._seconds = 0.0
        self._trouble = ""
        self._thread = threading.Thread(target=self._run, name="mlkit-spool", daemon=True)
        self._thread.start()

    @property
    def full(self) -> bool:
        """Whether there is no room for more."""
        used, free = self._room.look()
        return used + self._pending_bytes > self._limit or free < self._reserve

    def check(self) -> None:
        """Refuse work whose rows could not be kept; with ``fast`` nothing is refused.

        Raises:
            SpoolFullError: STO070.
        """
        if self._policy == "durable" and (self._closing or self.full):
            raise _no_room()

    def write(self, rows: pa.Table | pa.RecordBatch) -> Future[None]:
        """Hand in rows of the prediction log.

        Args:
            rows: As `prediction_log.log_rows` makes them.

        Returns:
            Done as soon as the answer may be given: with ``durable`` when the rows are safe, else it holds
            a `SpoolFullError`; with ``fast`` at once.

        Raises:
            SpoolFullError: There is no room (STO070); ``durable`` only.
        """
        table = pa.Table.from_batches([rows]) if isinstance(rows, pa.RecordBatch) else rows
        done: Future[None] = Future()
        if self._policy == "fast":
            done.set_result(None)
        taken = not self.full and self._enqueue(_Pending(table, done))
        if not taken and self._policy == "durable":
            raise _no_room()
        if not taken:
            self._drop([table])
        return done

    @property
    def state(self) -> dict[str, Any]:
        """Counts since the start of this process, and how full the folder is; plain values."""
        used, free = self._room.look()
        logged, dropped = self._totals["logged"], self._totals["dropped"]
        return {
            "policy": self._policy,
            "served": logged + dropped,
            "logged": logged,
            "dropped_total": dropped,
            "pending": len(self._pending),
            "commits": self._totals["commits"],
            "commit_seconds": self._seconds,
            "bytes": used,
            "free_bytes": free,
            "full": self.full,
            "error": self._trouble,
        }

    def close(self) -> None:
        """Write what was handed in, finish the segment and end the thread; then nothing more is taken."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join()

    def _enqueue(self, pending: _Pending) -> bool:
        with self._wake:
            if self._closing or not self._thread.is_alive():
                return False
            self._pending.append(pending)
            self._pending_bytes += pending.rows.nbytes
            self._wake.notify()
            return True

    def _run(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._pending or self._closing, self._until_rotation())
                if self._policy == "fast":  # nobody waits, and many rows cost hardly more than one
                    self._wake.wait_for(lambda: self._closing, _GATHER_SECONDS)
                taken, self._pending = self._pending, []
                self._pending_bytes, closing = 0, self._closing and not taken
            if taken:
                self._commit(taken)
            if closing or self._is_due():
                self._rotate()
            if closing:
                return

    def _commit(self, taken: Sequence[_Pending]) -> None:
        """Write rows and tell who waits for them."""
        started = time.perf_counter()
        tables = [one.rows for one in taken]
        count = sum(table.num_rows for table in tables)
        try:
            self._write(tables)
        except (OSError, pa.ArrowException) as exc:
            self._give_up(exc)
            self._fail(taken, exc)
            return
        with self._wake:
            self._trouble = ""
            self._totals.update(logged=count, commits=1)
            self._seconds += time.perf_counter() - started
        for one in taken:
            if not one.done.done():
                one.done.set_result(None)

    def _write(self, tables: Sequence[pa.Table]) -> None:
        if self._writer is None:
            self._writer, self._opened = SegmentWriter(self._folder), time.monotonic()
        before = self._writer.size
        for alike in _alike(tables):
            self._writer.add(alike)
        failpoint("spool.written")
        if self._policy == "durable":
            self._writer.sync()
        self._room.add(self._writer.size - before)
        failpoint("spool.synced")

    def _fail(self, taken: Sequence[_Pending], error: Exception) -> None:
        waiting = [one for one in taken if not one.done.done()]
        for one in waiting:
            one.done.set_exception(_not_taken(error))
        if not waiting:
            self._drop([one.rows for one in taken])

    def _drop(self, tables: Sequence[pa.Table]) -> None:
        with self._wake:
            self._dropped.update(slots_of(tables))
            self._totals["dropped"] += sum(table.num_rows for table in tables)

    def _until_rotation(self) -> float | None:
        """Seconds until there is something to do even if nobody hands anything in."""
        if self._writer is None:
            return self._rotate_seconds if self._policy == "fast" else None
        return max(self._opened + self._rotate_seconds - time.monotonic(), 0.0)

    def _is_due(self) -> bool:
        if self._writer is None:
            return bool(self._dropped)
        old = time.monotonic() - self._opened >= self._rotate_seconds
        return old or self._writer.size >= self._rotate_bytes

    def _rotate(self) -> None:
        """Finish the segment, with what was dropped noted in it; a note has room where rows have none."""
        with self._wake:
            dropped, self._dropped = self._dropped, Counter()
        try:
            if dropped:
                self._writer = self._writer or SegmentWriter(self._folder)
                self._writer.note([[*slot, rows] for slot, rows in dropped.items()])
            if self._writer:
                self._writer.sync()
        except OSError as exc:
            self._give_up(exc)
            with self._wake:
                self._dropped += dropped
        if self._writer:
            self._writer.close()
        self._writer = None
        failpoint("spool.rotated")

    def _give_up(self, error: Exception) -> None:
        """Leave a segment behind that the disk did not take: nothing is ever written after a gap."""
        self._trouble = _words_of(error)
        if self._writer:
            self._writer.close()
        self._writer = None


class _Room:
    """How much lies in a folder and how much is free; looked up once a second."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._look()  # who asks while another looks gets the last figures: there are some from now on

    def look(self) -> tuple[int, int]:
        """Bytes in the folder, and free bytes of its disk."""
        if time.monotonic() >= self._next:
            self._look()
        return self._used, self._free

    def _look(self) -> None:
        self._next = time.monotonic() + _LOOK_SECONDS
        disk = os.statvfs(self._folder)
        self._free = disk.f_bavail * disk.f_frsize
        self._used = sum(map(_size, os.scandir(self._folder)))

    def add(self, written: int) -> None:
        """Count what was written since the last look."""
        self._used += written
        self._free -= written


def _size(entry: os.DirEntry[str]) -> int:
    with contextlib.suppress(FileNotFoundError):  # flushed meanwhile
        return entry.stat().st_size
    return 0


def _alike(tables: Sequence[pa.Table]) -> list[pa.Table]:
    """The tables, those that follow each other with the same columns made one."""
    groups: list[list[pa.Table]] = []
    for table in tables:
        if groups and groups[-1][0].schema.equals(table.schema):
            groups[-1].append(table)
        else:
            groups.append([table])
    return [pa.concat_tables(group) if len(group) > 1 else group[0] for group in groups]


def _no_room() -> SpoolFullError:
    message = "the predictions that wait to be logged have reached their limit, or the disk its reserve"
    return SpoolFullError("STO070", message, path="spool", fix="see that the flusher runs, or make room")


def _not_taken(error: Exception) -> SpoolFullError:
    message = f"the disk did not take the prediction for the log: {_words_of(error)}"
    return SpoolFullError("STO071", message, path="spool", fix="make room on the disk")


def _words_of(error: Exception) -> str:
    return getattr(error, "strerror", None) or type(error).__name__
