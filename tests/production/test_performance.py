"""Late labels: joined by key or request, and scored as at the gate."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.metrics import log_loss

from mlkit import Gate, Source, cli
from mlkit.data.features import publish_features
from mlkit.engines.base import TableName
from mlkit.errors import DataError, UsageError
from mlkit.production.labels import read_labels
from mlkit.production.performance import measure, read_performance
from mlkit.production.prediction_log import PredictionLog
from mlkit.production.runner import deploy
from mlkit.production.scorer import open_scorer
from tests.production import scenes
from tests.production.watching import JUNE, WEEK, answer, asked, log, serve, set_up, watched

SPAN = {"since": JUNE, "until": JUNE + WEEK}
CLASSIFIER = {
    "class": "sklearn.tree.DecisionTreeClassifier",
    "params": {"max_depth": 3, "min_samples_leaf": 50},
}


@pytest.fixture
def project(stores):
    """Stores of a deployed project."""
    set_up(stores)
    return stores


def labels_of(flights, rows=None):
    """Key and label."""
    return flights[["flight_id", "delay"]].head(len(flights) if rows is None else rows)


def rmse(rows, flights):
    """By hand."""
    return float(np.sqrt(np.mean((np.array(rows["prediction"]) - flights["delay"]) ** 2)))


def test_the_metric_of_the_gate_on_what_was_answered(project):
    """Half of the labels have come; the number is that of the rows which have one."""
    flights = asked()
    rows = serve(project, flights)
    report = measure(project, labels_of(flights, 400), **SPAN)
    (window,) = report.windows
    assert (window.rows, window.labelled, window.unlabelled, window.state) == (1000, 400, 600, "OK")
    assert window.value == pytest.approx(rmse(rows.slice(0, 400), flights.head(400)), rel=1e-12)
    record = project.decisions.find(project.ledger.head().run_key)[-1].record
    assert (window.test_score, window.threshold) == (record["scores"]["candidate"], 25.0)
    assert (report.labels, report.unmatched, report.metric) == (400, 0, "rmse")
    assert "400 of 1,000 labelled" in repr(report)
    assert json.dumps(report.to_dict())


def test_it_is_recorded_once_per_finding(project):
    """More labels are another finding; the order of the rows is none."""
    flights = asked()
    serve(project, flights)
    first = measure(project, labels_of(flights, 400), **SPAN).windows[0]
    again = measure(project, labels_of(flights, 400).sample(frac=1, random_state=1), **SPAN).windows[0]
    more = measure(project, labels_of(flights), **SPAN).windows[0]
    assert (first.recorded, again.recorded, more.recorded) == (True, False, True)
    assert again.value == first.value
    assert [each["labelled"] for each in read_performance(project)] == [400, 1000]


def test_window_by_window_and_model_by_model(stores):
    """Answers of two models are never mixed, and a window in which a model is bad says so."""
    set_up(stores, model=scenes.STUMP, gate=Gate(threshold=25))
    first, second = asked(700), asked(600, seed=2)
    rows = [serve(stores, first, batch="a")]
    assert deploy(watched(gate=Gate(threshold=3.2)), stores).outcome == "promoted"
    rows.append(serve(stores, second, batch="b"))
    worse = asked(500, seed=3).assign(delay=500.0)
    serve(stores, worse, since=JUNE + WEEK, batch="c")
    labels = pd.concat([first, second, worse])[["flight_id", "delay"]]
    report = measure(stores, labels, since=JUNE, until=JUNE + 2 * WEEK, every=WEEK)
    assert [(window.version, window.rows, window.state) for window in sorted(
        report.windows, key=lambda each: (each.span, each.version)
    )] == [(1, 700, "OK"), (2, 600, "OK"), (2, 500, "BELOW")]  # fmt: skip
    by_version = {window.version: window.value for window in report.windows if window.span.since == JUNE}
    assert by_version[1] == pytest.approx(rmse(rows[0], first))
    assert by_version[2] == pytest.approx(rmse(rows[1], second))
    assert (report.exit_code, report.verdict_code) == (0, 7)


def test_labels_of_requests_repeats_and_strangers(project):
    """A request has one label; one that was repeated counts once; what nobody asked is said."""
    flights = asked(200)
    ids = pa.array([f"r{number}" for number in range(200)])
    rows = answer(project, flights, source="serve", request_id=ids, batch="a")
    log(project, rows)
    log(project, rows, batch="again")
    log(project, answer(project, flights, traffic="shadow", batch="s", request_id=ids))
    labels = pa.table({"id": ["r1", "r2", "other", "r3"], "truth": [1.0, 2.0, 3.0, None]})
    report = measure(project, labels, label="truth", request_id="id", **SPAN)
    assert (report.windows[0].labelled, report.labels, report.unmatched) == (2, 3, 1)
    expected = np.sqrt(np.mean((np.array(rows["prediction"])[1:3] - [1.0, 2.0]) ** 2))
    assert report.windows[0].value == pytest.approx(expected)


def test_labels_that_cannot_be_joined(project):
    """No key and no request, two labels for one row, no such column, no such file."""
    flights = asked(200)
    serve(project, flights)
    twice = pd.concat([labels_of(flights), labels_of(flights, 3).assign(delay=1.0)])
    for labels, error, code in (
        (twice, UsageError, "CLI067"),
        (flights[["delay"]], DataError, "DAT045"),
        ("nowhere.parquet", UsageError, "CLI068"),
    ):
        with pytest.raises(error) as caught:
            measure(project, labels, **SPAN)
        assert caught.value.code == code


def test_without_a_key_labels_are_of_requests(stores):
    """A row cannot be told from one that looks like it."""
    set_up(stores, key=())
    flights = asked(200)
    serve(stores, flights, request_id=pa.array([f"r{number}" for number in range(200)]), batch="a")
    with pytest.raises(UsageError) as caught:
        measure(stores, labels_of(flights), **SPAN)
    assert caught.value.code == "CLI066"
    labels = pa.table({"id": ["r5"], "delay": [1.0]})
    assert measure(stores, labels, request_id="id", **SPAN).windows[0].labelled == 1


def test_no_label_and_no_log(project):
    """Neither is a failure, and neither is a score."""
    flights = asked(200)
    assert measure(project, labels_of(flights), **SPAN).windows == ()
    serve(project, flights)
    strangers = labels_of(asked(200, seed=8))
    (window,) = measure(project, strangers, **SPAN).windows
    assert (window.state, window.value, window.labelled) == ("NO_LABELS", None, 0)


@pytest.mark.parametrize(
    ("dtype", "names"),
    [
        ("string", ("in time", "late")),  # columns of probabilities by position: a space is in the name
        ("bool", (False, True)),
        ("int64", (1, 2, 3)),
    ],
)
def test_classes_and_their_probabilities(stores, dtype, names):
    """Classes are text in the log; they are scored as what they are, with the probabilities beside them."""
    frame, new = asked(2000, seed=4), asked(500, seed=6)
    for flights in (frame, new):
        ranks = flights["delay"].rank(method="first", pct=True)
        flights["late"] = [names[int(rank * len(names) * 0.999)] for rank in ranks]
    columns = ["flight_id", "hour", "distance", "late"]
    publish_features(
        stores.engine, TableName("features", "lateness"), frame[columns], contract=None, key=["flight_id"]
    )
    config = scenes.frozen(
        task="binary" if len(names) == 2 else "multiclass",
        target="late",
        features=("hour", "distance"),
        metric="log_loss",
        model=CLASSIFIER,
        source=Source(table="features.lateness"),
        gate=Gate(threshold=2.0),
        contract={"columns": {"flight_id": {"dtype": "int64"}, "hour": {"dtype": "int64"},
                              "distance": {"dtype": "float64"}, "late": {"dtype": dtype}}},
    )  # fmt: skip
    assert deploy(config, stores).outcome == "promoted"
    rows = answer(stores, new[["flight_id", "hour", "distance", "delay"]])
    log(stores, rows)
    (window,) = measure(stores, new[["flight_id", "late"]], **SPAN).windows
    chances = sorted(name for name in rows.column_names if name.startswith("probability_"))
    table = np.stack([np.array(rows[name]) for name in chances], axis=1)
    assert set(rows["prediction"].to_pylist()) <= {str(name) for name in names}
    assert window.value == pytest.approx(log_loss(new["late"], table, labels=list(names)))
    assert window.labelled == 500


@pytest.mark.parametrize("kind", ["csv", "parquet", "table"])
def test_the_command_reads_files_and_tables(project, tmp_path, capsys, kind):
    """Each gives the same number."""
    flights = asked(300)
    serve(project, flights)
    labels, source = labels_of(flights), str(tmp_path / f"labels.{kind}")
    if kind == "table":
        source = "features.labels"
        publish_features(
            project.engine, TableName("features", "labels"), labels, contract=None, key=["flight_id"]
        )
    else:
        (labels.to_csv if kind == "csv" else labels.to_parquet)(source, index=False)
    words = ["performance", scenes.NAME, "--labels", source, "--since", "2026-06-01", "--until", "2026-06-08"]
    assert cli.main([*words, "--json", "--exit-code"]) == 0
    (window,) = json.loads(capsys.readouterr().out)["windows"]
    rows = PredictionLog(project.engine, project.project).window().read_all().sort_by("event_time")
    assert window["value"] == pytest.approx(rmse(rows, flights))


def test_what_a_label_may_look_like(project, tmp_path):
    """Rows that agree are one label, a missing one is none, and ids of requests may be numbers."""
    flights = asked(4)
    scorer = open_scorer(project)
    twice = pd.concat([labels_of(flights), labels_of(flights, 2), labels_of(flights, 1).assign(delay=np.nan)])
    known = read_labels(project.engine, twice, scorer, label="delay")
    assert (len(known), known.by) == (4, "row_id")
    assert sorted(known.rows["delay"].to_pylist()) == sorted(flights["delay"])
    narrow = labels_of(flights).astype({"flight_id": "int32", "delay": "float32"})
    assert set(read_labels(project.engine, narrow, scorer, label="delay").ids.to_pylist()) == set(
        known.ids.to_pylist()
    )
    requests = pa.table({"id": [7, 8], "truth": [1.0, None]})
    found = read_labels(project.engine, requests, scorer, label="truth", request_id="id")
    assert (found.by, found.ids.to_pylist(), found.rows.column_names) == ("request_id", ["7"], ["delay"])
    broken = tmp_path / "labels.parquet"
    broken.write_bytes(b"secret rows")
    with pytest.raises(UsageError) as caught:
        read_labels(project.engine, broken, scorer, label="delay")
    assert (caught.value.code, "secret" in str(caught.value)) == ("CLI068", False)


def test_a_metric_without_a_value_is_no_score(stores):
    """One label has no R2: that is said, and it is neither good nor bad."""
    set_up(stores, metric="r2", gate=Gate(threshold=0.5))
    flights = asked(50)
    serve(stores, flights)
    (window,) = measure(stores, labels_of(flights, 1), **SPAN).windows
    assert (window.state, window.value, window.labelled) == ("NO_LABELS", None, 1)
    assert "no value" in window.reason
    (enough,) = measure(stores, labels_of(flights), **SPAN).windows
    assert (enough.state, enough.threshold) == ("OK", 0.5)
    assert enough.test_score == pytest.approx(enough.value, abs=0.2)


def test_by_default_the_last_twelve_windows_are_looked_at(project):
    """Labels come late, so one window is not enough; those in which nothing was logged are left out."""
    old, new = asked(100), asked(100, seed=2)
    serve(project, old, since=JUNE - 20 * WEEK)
    serve(project, new, since=JUNE)
    labels = pd.concat([labels_of(old), labels_of(new)])
    report = measure(project, labels, now=JUNE + 3 * WEEK)
    assert [(window.span.since, window.labelled) for window in report.windows] == [(JUNE, 100)]
    assert report.unmatched == 100
