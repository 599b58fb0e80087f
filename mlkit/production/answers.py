"""Answers to a stream of rows: in chunks of one size, in order, a few at once, each as a row of the log.

It runs in this process and, for rows of Spark, in those of the executors.
"""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import dataclasses
import functools
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa
import threadpoolctl

from mlkit.errors import DataError
from mlkit.production.prediction_log import log_rows
from mlkit.tracking.models import CODE

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Iterable, Iterator

    from mlkit.production.scorer import Scorer

CHUNK_ROWS = 2**15
"""Rows that are answered at once: a multiple of `mlkit.model.predictions.CHUNK_ROWS`."""
THREADS = 2


@dataclasses.dataclass(frozen=True)
class Stamp:
    """What every answer of a run carries.

    Attributes:
        run_id: Name of the run.
        event_time: When that happened which the rows are about, or the column that says so.
    """

    run_id: str
    event_time: dt.datetime | str


class Answer(NamedTuple):
    """A chunk of rows, what the model said of them, and the same as rows of the log."""

    rows: pa.Table
    predictions: pa.Table
    logged: pa.Table


def answers(
    scorer: Scorer, batches: Iterable[pa.RecordBatch], stamp: Stamp, *, threads: int = 1
) -> Iterator[Answer]:
    """The answers to rows, chunk by chunk in their order.

    Args:
        scorer: Who answers.
        batches: The rows.
        stamp: What every answer carries.
        threads: How many chunks are answered at once.

    Raises:
        DataError: As for `Scorer.predict` and `event_times`.
    """
    # The model's own code stays in place for the whole run: several threads answer meanwhile.
    ready = dataclasses.replace(scorer, code=contextlib.nullcontext)
    function = functools.partial(answer, ready, stamp=stamp)
    with scorer.code():
        yield from _in_turn(function, chunks(batches, CHUNK_ROWS), threads)


def answer(scorer: Scorer, rows: pa.Table, *, stamp: Stamp) -> Answer:
    """The answers to rows that are looked at together.

    Raises:
        DataError: As for `Scorer.predict` and `event_times`.
    """
    predictions = scorer.predict(rows)
    logged = log_rows(
        scorer,
        rows,
        predictions,
        request_id=stamp.run_id,
        event_time=event_times(rows, stamp.event_time),
        source="score",
        batch=stamp.run_id,
    )
    return Answer(rows, predictions, logged)


def threads_of(scorer: Scorer) -> int:
    """How many chunks a model may answer at once: one, if it has code of its own."""
    return 1 if (scorer.folder / CODE).is_dir() else THREADS


def chunks(batches: Iterable[pa.RecordBatch], size: int) -> Iterator[pa.Table]:
    """The rows of a stream in tables of exactly `size` rows; the last one may have fewer."""
    held: collections.deque[pa.RecordBatch] = collections.deque()
    count = 0
    for batch in batches:
        held.append(batch)
        count += batch.num_rows
        while count >= size:
            yield pa.Table.from_batches(list(_taken(held, size)))
            count -= size
    if count:
        yield pa.Table.from_batches(list(held))


def event_times(rows: pa.Table, event_time: dt.datetime | str) -> dt.datetime | pa.ChunkedArray:
    """When that happened which the rows are about: one instant, or (n,) instants in UTC.

    Raises:
        DataError: The column holds no instants, or a row has none (DAT082).
    """
    if not isinstance(event_time, str):
        return event_time
    column = rows.column(event_time)
    if not (pa.types.is_timestamp(column.type) or pa.types.is_date(column.type)):
        message, fix = f"expected instants or days, found {column.type}", "name another column, or an instant"
        raise DataError("DAT082", message, path=event_time, fix=fix)
    if column.null_count:
        message = f"{column.null_count:,} rows do not say when"
        raise DataError("DAT082", message, path=event_time, fix="fill it in, or give one instant for all")
    if not pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("us"))
    return column.cast(pa.timestamp("us", "UTC"), safe=False)


def _taken(held: collections.deque[pa.RecordBatch], size: int) -> Iterator[pa.RecordBatch]:
    """Take this many rows from the front."""
    while size:
        batch = held.popleft()
        if batch.num_rows > size:
            held.appendleft(batch.slice(size))
            batch = batch.slice(0, size)
        size -= batch.num_rows
        yield batch


def _leave_openmp() -> None:
    """Let OpenMP use no threads of its own in this one: together they would be more than there are cores."""
    threadpoolctl.threadpool_limits(1, user_api="openmp")


def _in_turn(
    function: Callable[[pa.Table], Answer], items: Iterable[pa.Table], threads: int
) -> Iterator[Answer]:
    """A function of each item, in their order, a few of them at once."""
    if threads == 1:
        yield from map(function, items)
        return
    waiting: collections.deque[concurrent.futures.Future[Answer]] = collections.deque()
    with concurrent.futures.ThreadPoolExecutor(threads, initializer=_leave_openmp) as pool:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
