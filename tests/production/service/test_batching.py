"""Lanes without a service: which requests go together, and what each is told."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future

import numpy as np
import pytest

from mlkit.errors import StudyError
from mlkit.model.predictions import Predictions
from mlkit.production.service.answers import RefusedError
from mlkit.production.service.batching import Batcher, Job
from mlkit.production.service.limits import Settings
from mlkit.production.service.spool import SpoolFullError

FAILS, BUG = -1, -2


class Doubles:
    """Answers with twice the value, once its gate is open; remembers what it was asked and what it logged."""

    def __init__(self, *, batchable=True, probabilities=False) -> None:
        self.batchable, self.probabilities = batchable, probabilities
        self.gate, self.asked, self.logged = threading.Event(), [], []
        self.log_error: Exception | None = None
        self.written: Future[None] | None = None

    def predict(self, columns):
        """-1 fails, -2 is a bug."""
        assert self.gate.wait(10)
        self.asked.append(columns)
        values = np.array(columns["x"], dtype=float)
        if FAILS in columns["x"]:
            raise StudyError("RUN010", "failed")
        if BUG in columns["x"]:
            raise ZeroDivisionError
        both = np.stack([values, -values], axis=1) if self.probabilities else None
        return Predictions(values * 2, both, ("a", "b") if self.probabilities else ())

    def log(self, jobs, predictions):
        """Keep what came."""
        if self.log_error:
            raise self.log_error
        pairs = zip(jobs, predictions, strict=True)
        self.logged += [(job.request_id, one.values.tolist()) for job, one in pairs]
        return self.written


def ask(requests, *, between=None, **settings):
    """What each of some requests, made in this order before the first is answered, gets; and the batches."""

    async def all_of_them():
        loop = asyncio.get_running_loop()
        batcher = Batcher(Settings(**settings))
        tasks = []
        for number, (answerer, columns) in enumerate(requests):
            rows = len(columns["x"])
            job = Job(answerer, columns, rows, f"r{number}", number, "production", loop.create_future())
            tasks.append(asyncio.ensure_future(batcher.predict(job)))
        await asyncio.sleep(0)
        waiting = batcher.waiting
        if between:
            between(tasks)
            await asyncio.sleep(0)
        for answerer, _ in requests:
            answerer.gate.set()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        batcher.close()
        return [told(one) for one in found], dict(batcher.batches), waiting

    return asyncio.run(all_of_them())


def told(outcome):
    """Values, or the code or name of an error."""
    if isinstance(outcome, BaseException):
        return getattr(outcome, "code", type(outcome).__name__)
    return outcome.values.tolist()


def xs(model, *sizes):
    """Requests of a model: lists of values."""
    return [(model, {"x": list(values)}) for values in sizes]


def test_what_gathered_goes_in_one_batch_up_to_its_rows() -> None:
    """The first goes at once; the rest is cut where another request would not fit."""
    model = Doubles()
    found, batches, waiting = ask(xs(model, [1], [2], [3, 4], [5], [6, 7]), batch_rows=4)
    assert found == [[2], [4], [6, 8], [10], [12, 14]]
    assert [columns["x"] for columns in model.asked] == [[1], [2, 3, 4, 5], [6, 7]]
    assert (batches, waiting) == ({1: 1, 4: 1, 2: 1}, 4)


def test_each_gets_its_own_rows_of_the_probabilities() -> None:
    """With the names of the classes."""
    model = Doubles(probabilities=True)

    async def one_and_two():
        batcher, loop = Batcher(Settings()), asyncio.get_running_loop()
        jobs = [
            Job(model, {"x": x}, len(x), "r", 0, "production", loop.create_future())
            for x in ([9], [1], [2, 3])
        ]
        tasks = [asyncio.ensure_future(batcher.predict(job)) for job in jobs]
        await asyncio.sleep(0)
        model.gate.set()
        return await asyncio.gather(*tasks)

    last = asyncio.run(one_and_two())[2]
    assert last.probabilities.tolist() == [[2, -2], [3, -3]]
    assert last.classes == ("a", "b")


@pytest.mark.parametrize("other", ["another model", "not batchable"])
def test_what_may_not_go_together(other) -> None:
    """Order is kept: nobody is overtaken by a request that would fit better."""
    model = Doubles(batchable=other != "not batchable")
    second = Doubles() if other == "another model" else model
    found, batches, _ = ask([*xs(model, [1]), *xs(second, [2]), *xs(model, [3])])
    assert (found, batches) == ([[2], [4], [6]], {1: 3})


def test_large_requests_have_a_lane_of_their_own() -> None:
    """Alone there, even where two would fit into a batch."""
    model = Doubles()
    found, batches, waiting = ask(xs(model, [1, 2], [3, 4], [5]), batch_rows=1, large_threads=1)
    assert (found, batches, waiting) == ([[2, 4], [6, 8], [10]], {2: 2, 1: 1}, 1)


def test_a_request_that_fails_fails_alone() -> None:
    """Its neighbours are asked again without it; only what was answered is logged."""
    model = Doubles()
    found, _, _ = ask(xs(model, [1], [2], [FAILS], [3]))
    assert found == [[2], [4], "RUN010", [6]]
    assert model.logged == [("r0", [2]), ("r1", [4]), ("r3", [6])]
    alone, _, _ = ask(xs(model, [FAILS]))
    assert (alone, len(model.logged)) == (["RUN010"], 3)


def test_a_bug_is_told_to_all_and_the_thread_lives_on() -> None:
    """Nobody waits for ever."""
    model = Doubles()
    found, _, _ = ask(xs(model, [1], [BUG], [2], [3, 4]), batch_rows=2)
    assert found == [[2], "ZeroDivisionError", "ZeroDivisionError", [6, 8]]


def test_no_answer_without_its_log() -> None:
    """Refused by the log at once, or later, or by a bug in it."""
    model = Doubles()
    model.log_error = SpoolFullError("STO070", "full")
    assert ask(xs(model, [1], [FAILS], [2]))[0] == ["STO070", "STO070", "STO070"]
    model.log_error, model.written = None, Future()
    model.written.set_exception(SpoolFullError("STO071", "away"))
    assert ask(xs(model, [1], [2]))[0] == ["STO071", "STO071"]
    model.log_error = OSError("a bug")
    assert ask(xs(model, [1]))[0] == ["OSError"]


def test_an_answer_waits_for_its_log() -> None:
    """The thread does not: the next batch is predicted meanwhile."""
    model = Doubles()
    model.written = Future()
    model.gate.set()

    async def two():
        loop, batcher = asyncio.get_running_loop(), Batcher(Settings())
        for number in (1, 2):
            job = Job(model, {"x": [number]}, 1, f"r{number}", 0, "production", loop.create_future())
            task = asyncio.ensure_future(batcher.predict(job))
            async with asyncio.timeout(10):
                while len(model.logged) < number:  # noqa: ASYNC110 - it is set in a thread
                    await asyncio.sleep(0.001)
            assert not task.done()
        model.written.set_result(None)
        return await task

    assert asyncio.run(two()).values.tolist() == [4]


def test_who_does_not_wait_any_more_is_not_answered() -> None:
    """Out of time, or hung up: its place in the batch is free."""
    model = Doubles()
    cancelled = xs(model, [1], [2], [3])
    found, batches, _ = ask(cancelled, between=lambda tasks: tasks[1].cancel())
    assert (found, batches) == ([[2], "CancelledError", [6]], {1: 2})
    slow = Doubles()

    async def late():
        loop, batcher = asyncio.get_running_loop(), Batcher(Settings(predict_seconds=0.01))
        job = Job(slow, {"x": [1]}, 1, "r", 0, "production", loop.create_future())
        with pytest.raises(RefusedError) as caught:
            await batcher.predict(job)
        slow.gate.set()
        return caught.value.code

    assert asyncio.run(late()) == "NET039"


def test_a_column_that_only_some_sent_is_not_predicted_from() -> None:
    """A key, which is no feature, may come with one request and not with the next."""
    model = Doubles()
    requests = [*xs(model, [0]), (model, {"x": [1], "key": [7]}), *xs(model, [2])]
    found, _, _ = ask(requests)
    assert found == [[0], [2], [4]]
    assert model.asked[1] == {"x": [1, 2]}
