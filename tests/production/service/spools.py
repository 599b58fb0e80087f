"""Rows of a prediction log, a log to flush them into, and processes that write, flush and are killed."""

from __future__ import annotations

import datetime as dt
import multiprocessing
import os
from pathlib import Path

import pyarrow as pa

from mlkit.digest.spark_frame import is_spark
from mlkit.engines.local import LocalEngine
from mlkit.production.prediction_log import STAMPS, PredictionLog
from mlkit.production.service.flusher import flush_segments
from mlkit.production.service.segments import SegmentWriter, finished, read_segment
from mlkit.production.service.spool import Spool

PROJECT = "flight_delay"
NOON = dt.datetime(2026, 6, 1, 12, 30, tzinfo=dt.UTC)


def log_rows(*request_ids, model_id="m-1", version=1, at=NOON, **inputs) -> pa.Table:
    """Rows as a server hands them in: one for each request."""
    values = {
        **dict.fromkeys(STAMPS.names, ""),
        "event_time": at,
        "logged_at": at,
        "version": version,
        "model_id": model_id,
        "seq": version,
        "source": "serve",
        "traffic": "production",
    }
    rows = [{**values, "request_id": request_id} for request_id in request_ids]
    table = pa.Table.from_pylist(rows, schema=STAMPS)
    for name, value in {"prediction": float(version), **inputs}.items():
        table = table.append_column(name, pa.array([value] * len(rows)))
    return table


def segment(folder: Path, *tables: pa.Table, notes=(), tail=b"") -> Path:
    """A finished segment."""
    writer = SegmentWriter(folder)
    for table in tables:
        writer.add(table)
    for note in notes:
        writer.note(note)
    writer.close()
    with writer.path.open("ab") as file:
        file.write(tail)
    return writer.path


def spooled(folder: Path) -> list[str]:
    """Request ids in the segments of a folder, whoever holds them."""
    contents = [read_segment(path.read_bytes()) for path in finished(folder)]
    return [text for one in contents for batch in one.batches for text in batch["request_id"].to_pylist()]


def logged(engine) -> list[str]:
    """Request ids in the log, sorted."""
    found = PredictionLog(engine, PROJECT).window(columns=["request_id"])
    rows = found.toArrow() if is_spark(found) else found and found.read_all()
    return sorted(rows["request_id"].to_pylist()) if rows else []


class Killable:
    """Runs a task of this module in a process of its own, forked from one that has all loaded."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._context = multiprocessing.get_context("forkserver")

    def run(self, task, *given, fail="") -> int:
        """Its exit code; -9 if it was killed."""
        child = self._context.Process(target=_child, args=(str(self._home), fail, task, *given))
        child.start()
        child.join(60)
        return child.exitcode


def _child(home, fail, task, *given) -> None:
    os.environ.update(MLKIT_HOME=home, MLKIT_TEST="1", MLKIT_QUIET="1", MLKIT_TEST_FAIL=fail)
    task(*given)


def spool_some(folder, count, answered) -> None:
    """Write rows one after the other, and note each that may be answered."""
    spool = Spool(Path(folder))
    with Path(answered).open("a", buffering=1) as file:
        for number in range(count):
            spool.write(log_rows(f"r{number:03}")).result()
            file.write(f"r{number:03}\n")
    spool.close()


def flush(lake, folder) -> None:
    """Flush what is finished."""
    flush_segments(LocalEngine(Path(lake)), PROJECT, Path(folder))
