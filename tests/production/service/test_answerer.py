"""One version as it answers: predictions of checked rows, and what of them goes to the log."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest

from mlkit.errors import StudyError
from mlkit.model.predictions import Predictions
from mlkit.production.service.answerer import ServedAnswerer
from mlkit.production.service.batching import Job
from tests.production.service.standin import ROW, Adds, Log, Served, scorer


@pytest.fixture
def log() -> Log:
    """A log in memory."""
    return Log()


def job(answerer, rows, name="r", *, traffic="production", at=0) -> Job:
    """A request of some rows."""
    columns = answerer.plan.check({key: [row[key] for row in rows] for key in rows[0]})
    return Job(answerer, columns, len(rows), name, at, traffic, None)


def answered(answerer, *jobs):
    """Predict the rows of each and hand all to the log at once."""
    return answerer.log(jobs, [answerer.predict(one.columns) for one in jobs])


def test_rows_are_predicted_in_the_code_of_the_model(log) -> None:
    """With its own modules in place for as long as it predicts, also where it fails."""
    entered = []

    @contextlib.contextmanager
    def code():
        entered.append("in")
        try:
            yield
        finally:
            entered.append("out")

    answerer = ServedAnswerer(Served(scorer(Adds(), code=code)), log)
    assert answerer.predict(job(answerer, [ROW, {**ROW, "hour": 8}]).columns).values.tolist() == [
        127.5,
        128.5,
    ]
    with pytest.raises(StudyError):
        answerer.predict(job(answerer, [{**ROW, "hour": 100}]).columns)
    assert entered == ["in", "out"] * 2


@pytest.mark.parametrize("batchable", [True, False])
def test_it_is_batchable_if_the_model_is(log, batchable) -> None:
    """As it was found when it was loaded."""
    assert ServedAnswerer(Served(scorer(Adds()), batchable=batchable), log).batchable is batchable


def test_the_jobs_of_an_estimator_are_one_thread(log) -> None:
    """From the moment it serves: threads would add up in another order each time."""

    class Many(Adds):
        n_jobs = None

        def __init__(self) -> None:
            super().__init__()
            self.n_jobs = 8

        def get_params(self, deep=True):
            """As scikit-learn has it."""
            return {"n_jobs": self.n_jobs}

    model = Many()
    ServedAnswerer(Served(scorer(model)), log)
    assert model.n_jobs == 1


def test_without_a_log_there_is_nothing_to_wait_for() -> None:
    """As in a trial."""
    answerer = ServedAnswerer(Served(scorer(Adds())), None)
    assert answered(answerer, job(answerer, [ROW])) is None


def test_requests_of_any_kind_are_logged_in_one_write(log) -> None:
    """With and without a key, and of each class of traffic: each row with what belongs to it."""
    answerer = ServedAnswerer(Served(scorer(Adds())), log)
    writes = []
    log.write = writes.append
    keyed = [{**ROW, "flight": 1}, {**ROW, "flight": 2, "hour": 9, "distance": None}]
    answered(
        answerer,
        job(answerer, [ROW], "a", at=1),
        job(answerer, keyed, "b", at=2),
        job(answerer, [{**ROW, "hour": 8}], "c", traffic="canary", at=3),
        job(answerer, [{**ROW, "hour": 10}], "d", at=4),
    )
    [table] = writes
    rows = table.sort_by("request_id").to_pylist()
    assert [row["request_id"] for row in rows] == ["a", "b", "b", "c", "d"]
    assert [row["prediction"] for row in rows] == [127.5, 127.5, 9.0, 128.5, 130.5]
    assert [row["traffic"] for row in rows] == ["production"] * 3 + ["canary", "production"]
    assert [row["event_time"].microsecond for row in rows] == [1, 2, 2, 3, 4]
    assert [row["input_distance"] for row in rows] == [120.5, 120.5, None, 120.5, 120.5]
    assert len({row["row_id"] for row in rows[1:3]}) == 2


def test_one_key_is_one_row_whoever_asks(log) -> None:
    """In whichever request, whatever its features: a label finds all of them."""
    answerer = ServedAnswerer(Served(scorer(Adds())), log)
    answered(answerer, job(answerer, [{**ROW, "flight": 1}], "a"))
    answered(answerer, job(answerer, [{**ROW, "flight": 2}, {**ROW, "flight": 1, "hour": 3}], "b"))
    ids = [row["row_id"] for row in log.rows]
    assert ids[0] == ids[2] != ids[1]


def test_probabilities_of_several_requests_stay_with_their_rows(log) -> None:
    """Class names as columns."""
    answerer = ServedAnswerer(Served(scorer(Adds(), task="binary")), log)
    jobs = [job(answerer, [ROW], "a"), job(answerer, [ROW, ROW], "b")]
    parts = [
        Predictions(np.array([True]), np.array([[0.1, 0.9]]), (False, True)),
        Predictions(np.array([False, True]), np.array([[0.8, 0.2], [0.4, 0.6]]), (False, True)),
    ]
    answerer.log(jobs, parts)
    assert [row["prediction"] for row in log.rows] == ["True", "False", "True"]
    assert [row["probability_True"] for row in log.rows] == [0.9, 0.2, 0.6]


def test_an_error_of_the_log_comes_through(log) -> None:
    """Whoever answers decides what that means."""

    def full(_):
        raise OSError("no room")

    log.write = full
    answerer = ServedAnswerer(Served(scorer(Adds())), log)
    with pytest.raises(OSError, match="no room"):
        answered(answerer, job(answerer, [ROW]))
