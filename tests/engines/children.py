"""Other processes that use the same store: racing each other, killed half-way, out of disk.

Run as ``python -m tests.engines.children TASK ROOT [ARGUMENT]``; prints one line of JSON.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa

from mlkit.engines.base import FEATURES, TRAINING, TableName
from mlkit.engines.local import LocalEngine
from mlkit.errors import MlkitError
from tests.engines.log_contract import LOG, answers, at

TABLE = TableName(FEATURES, "counted")
SCHEMA = pa.schema([("id", pa.int64()), ("x", pa.float64())])
ROWS = 50_000

_start = None


def join(barrier) -> None:
    """Initialise a racer: all wait for each other before each move."""
    global _start  # noqa: PLW0603 - how a pool hands a barrier to its processes
    _start = barrier


def counted(first: int, rows: int = ROWS) -> pa.Table:
    """Rows with the ids from `first` on."""
    ids = np.arange(first, first + rows)
    return pa.table({"id": ids, "x": ids / 7}, schema=SCHEMA)


def publish(root: Path, first: int = 0) -> dict:
    """Publish the rows from `first` on."""
    published = LocalEngine(root).publish(TRAINING, "counted", counted(first).to_reader())
    return {"name": published.name.name, "created": published.created}


def create(root: Path, number: int = 0) -> dict:
    """Create the table of this number."""
    table = TableName(FEATURES, f"{TABLE.name}{number or ''}")
    return {"created": LocalEngine(root).create(table, counted(0).to_reader())}


def append(root: Path, version: int | None = None) -> dict:
    """Append to the table, at its newest version or the one given."""
    engine = LocalEngine(root)
    at = engine.describe(TABLE).version if version is None else version
    return {"version": engine.append(TABLE, counted(ROWS).to_reader(), expected_version=at)}


def merge(root: Path, version: int | None = None) -> dict:
    """Merge rows of which half are there."""
    engine = LocalEngine(root)
    at = engine.describe(TABLE).version if version is None else version
    rows = counted(ROWS // 2).to_reader()
    return {"version": engine.merge(TABLE, rows, key=["id"], expected_version=at)}


def log(root: Path, number: int = 0) -> dict:
    """Add one batch to a log, whose name follows from the number."""
    batch = f"batch {number}"
    return {"added": LocalEngine(root).log(LOG, answers(number).to_reader(), batch=batch)}


def log_all(root: Path, count: int) -> dict:
    """Add so many batches to a log, each one row; every racer adds all of them."""
    engine = LocalEngine(root)
    added = [engine.log(LOG, answers(n, 1).to_reader(), batch=f"batch {n}") for n in range(count)]
    return {"added": sum(added)}


def log_interrupted(root: Path, _argument: int = 0) -> dict:
    """Die without a word when a part of a batch was written."""
    return {"added": LocalEngine(root).log(LOG, _deadly(3 * ROWS), batch="batch 0")}


def log_large(root: Path, megabytes: int = 100) -> dict:
    """Log a stream of this size; tells by how many MB the peak of this process's memory has grown."""
    schema = pa.schema(
        [("event_time", pa.timestamp("us", "UTC")), *((f"x{i}", pa.float64()) for i in range(7))]
    )
    source = np.random.default_rng(0)

    def batches():
        for _ in range(megabytes // 4):
            columns = [pa.array(np.arange(1 << 16), schema.field(0).type)]
            yield pa.record_batch([*columns, *(source.random(1 << 16) for _ in range(7))], schema=schema)

    before = _peak_megabytes()
    LocalEngine(root).log(LOG, pa.RecordBatchReader.from_batches(schema, batches()), batch="large")
    rows = sum(batch.num_rows for batch in LocalEngine(root).scan_log(LOG))
    return {"rows": rows, "grown": _peak_megabytes() - before}


def trim(root: Path, hours: int) -> dict:
    """Trim a log before so many hours after its start."""
    return {"removed": LocalEngine(root).trim_log(LOG, before=at(hours))}


def drop(root: Path, _argument: int = 0) -> dict:
    """Drop the log."""
    LocalEngine(root).drop(LOG)
    return {}


def publish_interrupted(root: Path, _argument: int = 0) -> dict:
    """Die without a word when a part of the rows was written."""
    return LocalEngine(root).publish(TRAINING, "counted", _deadly())


def append_interrupted(root: Path, _argument: int = 0) -> dict:
    """Die without a word when a part of the rows was written."""
    engine = LocalEngine(root)
    return engine.append(TABLE, _deadly(), expected_version=engine.describe(TABLE).version)


def publish_without_space(root: Path, _argument: int = 0) -> dict:
    """Publish more than a file may hold here, which fails as a full disk does."""
    import resource  # noqa: PLC0415 - not there on every system

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))
    return publish(root)


def publish_large(root: Path, megabytes: int = 100) -> dict:
    """Publish a stream of this size; tells the peak of this process's memory in MB."""
    import resource  # noqa: PLC0415 - as above

    schema = pa.schema([(f"x{i}", pa.float64()) for i in range(8)])
    source = np.random.default_rng(0)

    def batches():
        for _ in range(megabytes // 4):
            yield pa.record_batch([source.random(1 << 16) for _ in schema], schema=schema)

    stream = pa.RecordBatchReader.from_batches(schema, batches())
    published = LocalEngine(root).publish(TRAINING, "large", stream)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return {"rows": published.rows, "peak": peak}


def race(task: str, root: Path, argument: int) -> dict:
    """Start at the same moment as the others; a lost race is an outcome like any other."""
    _start.wait(60)
    return attempt(task, root, argument)


def attempt(task: str, root: Path, *arguments: int) -> dict:
    """The outcome of a task, or the code of its error."""
    try:
        return TASKS[task](root, *arguments)
    except MlkitError as exc:
        return {"error": exc.code}


def _deadly(rows: int = ROWS) -> pa.RecordBatchReader:
    def batches():
        yield from counted(0, rows).to_batches(max_chunksize=1000)
        os.kill(os.getpid(), signal.SIGKILL)

    return pa.RecordBatchReader.from_batches(SCHEMA, batches())


def _peak_megabytes() -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM"))


TASKS = {
    task.__name__: task
    for task in (
        log,
        log_all,
        log_interrupted,
        log_large,
        trim,
        drop,
        publish,
        create,
        append,
        merge,
        publish_interrupted,
        append_interrupted,
        publish_without_space,
        publish_large,
    )
}

if __name__ == "__main__":
    result = attempt(sys.argv[1], Path(sys.argv[2]), *map(int, sys.argv[3:]))
    sys.stdout.write(json.dumps(result) + "\n")
