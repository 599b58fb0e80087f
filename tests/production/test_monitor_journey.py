"""A season in the life of a model, by what users call: score, watch, learn the labels, retrain."""

from __future__ import annotations

import datetime as dt

from sklearn.linear_model import Ridge

from mlkit import Gate, ModelProject, Monitor, Retrain, Split
from tests.conftest import make_flights
from tests.production.watching import JUNE, WEEK, asked

MONTH = 4 * WEEK


def test_two_quiet_months_then_longer_flights(home, user_module):
    """Watched, alarmed about what moved and nothing else, retrained through the gate; history tells why."""
    project = ModelProject("flights", target="delay", key="flight_id", metric="rmse", split=Split(seed=7))
    project.publish_features("features.flights", make_flights(6000))
    snapshot = project.snapshot("features.flights", prepare=f"{user_module}:prepare")
    study = project.study(lambda trial: Ridge(trial.suggest_float("alpha", 0.1, 1)), snapshot, trials=2, cv=2)
    config = project.freeze(
        study.best,
        gate=Gate(threshold=25),
        monitor=Monitor(inputs=("hour", "distance"), window_days=28),
        retrain=Retrain(policy="drift", windows=1, of=3, cooldown_days=0),
    )
    project.deploy(config)
    months = [asked(1000, seed=1), asked(1000, seed=2), asked(1000, seed=3, shift=900.0)]
    months[2]["delay"] += 12.0  # and they are later than they were: what was learnt no longer holds
    found = []
    for number, flights in enumerate(months):
        day = JUNE + number * MONTH + dt.timedelta(days=3)
        for _ in range(2):  # the job ran twice
            project.score(flights.drop(columns="delay"), as_of=day)
        since = JUNE + number * MONTH
        found.append(project.monitor(since=since, now=since + MONTH))
    assert [report.verdict for report in found] == ["OK", "OK", "DRIFT"]
    assert [report.rows for report in found] == [1000, 1000, 1000]
    moved = {check.column for check in found[-1].columns if check.verdict == "DRIFT"}
    assert moved == {"prediction", "input_distance"}
    assert [report.should_retrain for report in found] == [False, False, True]

    labels = months[2][["flight_id", "delay"]]
    (window,) = project.performance(labels, since=JUNE + 2 * MONTH, until=JUNE + 3 * MONTH).windows
    assert (window.labelled, window.state) == (1000, "OK")
    assert window.value > 10 > window.test_score

    assert "unchanged" in project.retrain(config).reasons[-1]
    project.publish_features("features.flights", months[2].drop(columns="per_mile"))
    made = project.retrain(config)
    assert (made.decision, made.outcome) == ("retrain", "promoted")
    assert project.champion().version == 2
    assert "retrain: drift" in repr(project.history())
    assert project.retrain(config).decision == "skip"
