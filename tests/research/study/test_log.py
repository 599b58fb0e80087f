"""The log of a study: what a replay finds again, and what it does not."""

from __future__ import annotations

import math

import pytest

from mlkit.errors import StoreError, StudyError
from mlkit.research.study.course import MAX_ERROR
from mlkit.research.study.log import TrialLog
from mlkit.research.study.search import MOST_FOLDS
from mlkit.research.study.trials import Trial


@pytest.fixture
def tracking(project):
    """The runs of the flights."""
    return project._stores.tracking


@pytest.fixture
def open_log(tracking, setting):
    """A function that opens a log below one and the same parent run."""
    experiment = tracking.experiment("flights")
    parent = tracking.start(experiment, "parent", tags={})
    return lambda: TrialLog(tracking, experiment, parent, setting, tags={"mlkit_kind": "trial"})


def trial(number, state="complete", scores=(1.5, 2.5), **more) -> Trial:
    """A trial that ended so."""
    score = 2.0 if state == "complete" else None
    return Trial(number, state, {"alpha": 0.1}, score, scores, 0.25, {}, **more)


def test_what_was_written_is_known(open_log) -> None:
    """Every bit of the scores, whatever the state; by number, under the run that holds it."""
    exact = (0.1 + 0.2, 1e-308, math.pi)
    with open_log() as log:
        assert log.known() == {}
        log.write(trial(0, scores=exact, predictions="d1:0"), "same")
        log.write(trial(1, "failed", (math.nan,), error="fold 0 scored nan"), "other")
        written = log.close()
    known = open_log().known()
    assert {number: result["run_id"] for number, result in known.items()} == written
    assert known[0]["scores"] == list(exact)
    assert (known[0]["state"], known[0]["predictions"], known[0]["content"]) == ("complete", "d1:0", "same")
    assert (known[1]["state"], known[1]["error"]) == ("failed", "fold 0 scored nan")
    assert math.isnan(known[1]["scores"][0])


def test_what_a_killed_process_left_is_closed_and_forgotten(open_log, tracking, setting) -> None:
    """A run that was never closed may be whole or not: its trial is evaluated again."""
    with open_log() as log:
        log.write(trial(0), "same")
        run_id = log.close()[0]
    tracking.reopen(run_id)
    assert open_log().known() == {}
    assert tracking.run(run_id).status == "KILLED"
    assert open_log().known() == {}


def test_the_longest_result_fits(open_log) -> None:
    """As many folds as may be asked for, and an error in any script."""
    scores = tuple(-1.2345678901234567e-300 - number * 1e-301 for number in range(MOST_FOLDS))
    with open_log() as log:
        log.write(trial(0, "failed", scores, error="错" * MAX_ERROR, predictions="d1:" + "f" * 32), "f" * 64)
        log.close()
    assert open_log().known()[0]["scores"] == list(scores)


def test_an_error_of_the_search_does_not_lose_what_has_ended(open_log) -> None:
    """Whatever was queued is written before the error goes on."""

    def search():
        with open_log() as log:
            for number in range(5):
                log.write(trial(number), "same")
            raise StudyError("RUN010", "search failed")

    with pytest.raises(StudyError):
        search()
    assert sorted(open_log().known()) == list(range(5))


def test_an_error_of_the_store_comes_out(open_log, tracking, monkeypatch) -> None:
    """At the latest when the log is closed."""
    tried = []

    def refuse(*_, **__):
        tried.append(1)
        raise StoreError("STO020", "no")

    monkeypatch.setattr(type(tracking), "log", refuse)
    log = open_log()
    log.write(trial(0), "same")
    with log, pytest.raises(StoreError, match="no"):
        log.close()
    assert tried == [1]
