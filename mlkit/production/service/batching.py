"""Requests that wait for a thread, answered together where that changes nothing.

While the model works on one batch the next requests gather; as soon as it is free, all of them go at
once. Nobody waits for a batch to fill, so a lone request is as fast as without. Large requests go alone,
in threads of their own, and do not hold up small ones.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import itertools
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Protocol

from mlkit.errors import MlkitError, StudyError
from mlkit.production.service.answers import RefusedError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping, Sequence
    from concurrent.futures import Future

    from mlkit.model.predictions import Predictions
    from mlkit.production.service.limits import Settings

Columns = dict[str, list[Any]]


class Answerer(Protocol):
    """A model that answers, as the lanes use it."""

    @property
    def batchable(self) -> bool:
        """Whether rows are answered in a batch with the same bits as alone."""
        ...

    def predict(self, columns: Mapping[str, list[Any]]) -> Predictions:
        """What the model says of checked rows; may raise a `StudyError`."""
        ...

    def log(self, jobs: Sequence[Job], predictions: Sequence[Predictions]) -> Future[None] | None:
        """Hand answers to the log; the future is done when they may be sent. None: nothing is logged."""
        ...


@dataclasses.dataclass(eq=False)
class Job:
    """One request on its way.

    Attributes:
        answerer: The model as it was when the request came in; no other answers it.
        columns: Checked values, features first.
        rows: How many.
        request_id: Its id.
        event_time: When that happened which it is about, in microseconds since 1970 (UTC).
        traffic: ``production``, or another word.
        done: Predictions, or why there are none.
    """

    answerer: Answerer
    columns: Columns
    rows: int
    request_id: str
    event_time: int
    traffic: str
    done: asyncio.Future[Predictions]


class Batcher:
    """Both lanes of one worker. Used from one event loop; the threads are its own.

    Attributes:
        batches: How many batches there were by their number of rows.
    """

    def __init__(self, settings: Settings) -> None:
        """Make the lanes; threads start with the first requests."""
        self._settings = settings
        self.batches: collections.Counter[int] = collections.Counter()
        self._small = _Lane(1, settings.batch_rows, self.batches)
        self._large = _Lane(settings.large_threads, 1, self.batches)

    @property
    def waiting(self) -> int:
        """Requests that wait for a thread."""
        return len(self._small.jobs) + len(self._large.jobs)

    async def predict(self, job: Job) -> Predictions:
        """The predictions of one request, after they have been handed to the log.

        Raises:
            RefusedError: Nothing came in time (NET039).
            MlkitError: The model failed, or the log is full.
        """
        lane = self._small if job.rows <= self._settings.batch_rows else self._large
        lane.add(job)
        timer = job.done.get_loop().call_later(self._settings.predict_seconds, _expire, job.done)
        try:
            return await job.done
        finally:
            timer.cancel()

    def close(self) -> None:
        """End the threads."""
        self._small.close()
        self._large.close()


class _Lane:
    """Jobs in a row, and threads that take them off it, up to `most_rows` at once."""

    def __init__(self, threads: int, most_rows: int, batches: collections.Counter[int]) -> None:
        self.jobs: collections.deque[Job] = collections.deque()
        self._free, self._most_rows, self._batches = threads, most_rows, batches
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="mlkit-predict")

    def add(self, job: Job) -> None:
        self.jobs.append(job)
        self._start()

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _start(self) -> None:
        while self._free and self.jobs:
            batch = self._taken()
            if batch:
                self._free -= 1
                loop = batch[0].done.get_loop()
                self._pool.submit(_work, batch).add_done_callback(
                    functools.partial(self._hand_over, loop, batch)
                )

    def _hand_over(self, loop: asyncio.AbstractEventLoop, batch: list[Job], work: Future[_Worked]) -> None:
        """In the thread that worked: let the loop go on."""
        loop.call_soon_threadsafe(self._deliver, batch, work)

    def _taken(self) -> list[Job]:
        """Jobs of one model that fit into a batch; those that nobody waits for any more are dropped."""
        batch: list[Job] = []
        rows = 0
        while self.jobs:
            job = self.jobs[0]
            if batch and not (_go_together(batch[0], job) and rows + job.rows <= self._most_rows):
                break
            self.jobs.popleft()
            if not job.done.done():
                batch.append(job)
                rows += job.rows
        return batch

    def _deliver(self, batch: list[Job], work: Future[_Worked]) -> None:
        """In the loop again: tell who waits, now or when the log is safe, and go on."""
        self._free += 1
        self._start()
        self._batches[sum(job.rows for job in batch)] += 1
        if bug := work.exception():
            _tell(batch, [bug] * len(batch), None)
            return
        outcomes, logged = work.result()
        if logged is None:
            _tell(batch, outcomes, None)
        else:
            loop = batch[0].done.get_loop()
            logged.add_done_callback(
                lambda log: loop.call_soon_threadsafe(_tell, batch, outcomes, _error_of(log))
            )


_Worked = tuple["list[Predictions | MlkitError]", "Future[None] | None"]


def _go_together(first: Job, other: Job) -> bool:
    return first.answerer is other.answerer and first.answerer.batchable


def _work(batch: list[Job]) -> _Worked:
    """In a thread: predict the rows of a batch, and log those that were."""
    outcomes = _predicted(batch)
    kept = [(job, one) for job, one in zip(batch, outcomes, strict=True) if not isinstance(one, MlkitError)]
    if not kept:
        return outcomes, None
    try:
        jobs, predictions = zip(*kept, strict=True)
        return outcomes, batch[0].answerer.log(jobs, predictions)
    except MlkitError as exc:  # no answer without its log
        return [exc] * len(batch), None


def _predicted(batch: list[Job]) -> list[Predictions | MlkitError]:
    if len(batch) == 1:
        return [_alone(batch[0])]
    columns = {
        name: list(itertools.chain.from_iterable(job.columns[name] for job in batch))
        for name in batch[0].columns
        if all(name in job.columns for job in batch)
    }
    try:
        together = batch[0].answerer.predict(columns)
    except StudyError:  # one of them, and the others shall not pay for it
        return [_alone(job) for job in batch]
    ends = list(itertools.accumulate(job.rows for job in batch))
    return [_part(together, end - job.rows, end) for job, end in zip(batch, ends, strict=True)]


def _part(together: Predictions, start: int, end: int) -> Predictions:
    probabilities = together.probabilities
    some = None if probabilities is None else probabilities[start:end]
    return dataclasses.replace(together, values=together.values[start:end], probabilities=some)


def _alone(job: Job) -> Predictions | MlkitError:
    try:
        return job.answerer.predict(job.columns)
    except MlkitError as exc:
        return exc


def _tell(
    batch: list[Job], outcomes: Sequence[Predictions | BaseException], lost: BaseException | None
) -> None:
    for job, outcome in zip(batch, outcomes, strict=True):
        if job.done.done():  # its time was over
            continue
        if isinstance(outcome, BaseException):
            job.done.set_exception(outcome)
        elif lost is not None:
            job.done.set_exception(lost)
        else:
            job.done.set_result(outcome)


def _error_of(log: Future[None]) -> BaseException | None:
    return log.exception()  # noqa: LOG004 - of a future, no logger


def _expire(done: asyncio.Future[Any]) -> None:
    if not done.done():
        message = "the model did not answer in time"
        done.set_exception(RefusedError("NET039", message, fix="send fewer rows, or try again later"))
