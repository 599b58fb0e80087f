"""A version as it answers, and its answers as rows of the log."""

from __future__ import annotations

import dataclasses
import datetime as dt

import numpy as np
import pyarrow as pa
import pytest

from mlkit.data.contract import Contract
from mlkit.data.source import ordered, read_dataframe
from mlkit.digest.fingerprint import lanes
from mlkit.errors import ContractError, DataError, IntegrityError, UsageError
from mlkit.production.prediction_log import INPUT, STAMPS, PredictionLog, log_rows
from mlkit.production.runner import deploy
from mlkit.production.scorer import hex_of, open_scorer, read_scorer
from tests.production.scenes import MODEL_FILE, STUMP, frozen

NOON = dt.datetime(2024, 6, 1, 12, tzinfo=dt.UTC)


@pytest.fixture
def rows(flights) -> pa.Table:
    """Prepared flights without their label, which nobody knows yet."""
    flights["per_mile"] = flights["distance"] / (flights["hour"] + 1)
    return read_dataframe(flights.drop(columns="delay"))


@pytest.fixture
def scorer(stores):
    """The champion."""
    deploy(frozen(), stores)
    return open_scorer(stores)


def logged(scorer, rows, **changes) -> pa.Table:
    """Answers as rows of the log."""
    options = {"request_id": "r", "event_time": NOON, "source": "score", "batch": "b", **changes}
    return log_rows(scorer, rows, scorer.predict(rows), **options)


def test_champion_answers_as_it_did_in_its_evaluation(stores, scorer):
    """The very bits of test_predictions, row by row."""
    (test,) = stores.engine.tables("training", prefix="flight_delay__test__")
    (known,) = stores.engine.tables("training", prefix="flight_delay__test_predictions")
    rows = ordered(stores.engine.read(test).read_all())
    answered = dict(
        zip(rows["flight_id"].to_pylist(), scorer.predict(rows)["prediction"].to_pylist(), strict=True)
    )
    expected = stores.engine.read(known).read_all()
    assert answered == dict(
        zip(expected["flight_id"].to_pylist(), expected["prediction"].to_pylist(), strict=True)
    )


def test_scorer_says_what_it_is(stores, scorer):
    """Version, model and ledger entry; key, features and target from the stored config."""
    head = stores.ledger.head()
    assert (scorer.version, scorer.model_id, scorer.seq) == (1, head.model_id, 1)
    assert (scorer.key, scorer.target, scorer.task) == (("flight_id",), "delay", "regression")
    assert scorer.features == ("hour", "distance", "is_ua", "per_mile")
    assert repr(scorer).startswith("Scorer flight_delay v1")


def test_version_by_number_and_entry(stores):
    """An older version, whether it serves or not; one that is not there is named with those that are."""
    deploy(frozen(model=STUMP), stores)
    deploy(frozen(), stores)
    entry = stores.ledger.entries()[0]
    assert open_scorer(stores).version == 2
    assert (open_scorer(stores, version=1).seq, open_scorer(stores, entry).version) == (1, 1)
    with pytest.raises(UsageError, match="CLI005") as caught:
        open_scorer(stores, version=3)
    assert "v1, v2" in caught.value.fix


def test_nothing_serves_yet(stores):
    """A usage error that says how to begin."""
    with pytest.raises(UsageError, match="CLI050") as caught:
        open_scorer(stores)
    assert "mlkit deploy flight_delay" in caught.value.fix


def test_changed_file_is_never_loaded(stores, scorer):
    """The manifest is compared before anything is read."""
    told = {"version": 1, "model_id": "m", "seq": 1, "manifest_digest": scorer.manifest_digest}
    assert read_scorer(scorer.folder, **told).features == scorer.features
    (scorer.folder / MODEL_FILE).write_bytes(b"other")
    with pytest.raises(IntegrityError, match="INT022"):
        read_scorer(scorer.folder, **told)


@pytest.mark.parametrize(
    ("change", "error", "path"),
    [
        (lambda rows: rows.drop_columns("hour"), "DAT045", "hour"),
        (lambda rows: rows.set_column(2, "distance", pa.array(["far"] * len(rows))), "DAT046", "distance"),
        (lambda rows: rows.set_column(2, "distance", pa.array(["1.5"] * len(rows))), "DAT054", "distance"),
        (lambda rows: rows.set_column(1, "hour", pa.array([1.5] * len(rows))), "DAT046", "hour"),
    ],
)
def test_wrong_features_are_named(scorer, rows, change, error, path):
    """A missing column, another type, a number that would lose something."""
    with pytest.raises(DataError, match=error) as caught:
        scorer.predict(change(rows))
    assert path in (caught.value.path or "")


def test_missing_value_and_unknown_category_follow_the_contract(scorer, rows):
    """Where the contract lets none be missing or has no such category."""
    with pytest.raises(ContractError):
        scorer.frame(rows.set_column(1, "hour", pa.array([None] * len(rows), pa.int64())))
    columns = {**scorer.contract.dump()["columns"], "hour": {"dtype": "category", "categories": [1, 2]}}
    strict = dataclasses.replace(scorer, contract=Contract.from_values({"columns": columns}))
    with pytest.raises(DataError, match="DAT047"):
        strict.frame(rows)


def test_row_ids_are_those_of_the_key(scorer, rows):
    """Equal keys give equal ids in whatever type and order; without the key, all features tell."""
    ids = scorer.row_ids(rows).to_pylist()
    narrow = rows.set_column(0, "flight_id", rows["flight_id"].cast(pa.int32())).select(["hour", "flight_id"])
    assert scorer.row_ids(narrow).to_pylist() == ids
    assert len(set(ids)) == len(rows)
    expected = lanes(rows.select(["flight_id"]))[:, 0]
    assert ids[0] == "".join(f"{int(lane) & (2**64 - 1):016x}" for lane in expected)
    keyless = rows.drop_columns("flight_id")
    assert scorer.row_ids(keyless) == hex_of(lanes(keyless.select(list(scorer.features))))
    assert hex_of(np.zeros((2, 0), np.int64)).to_pylist() == []


def test_logged_rows_carry_who_answered_what_and_when(scorer, rows):
    """All stamps, the prediction as a number, and the inputs that are watched, numbers as numbers."""
    watched = dataclasses.replace(scorer, inputs=("hour", "is_ua"))
    found = logged(watched, rows.slice(0, 2), traffic="shadow")
    assert found.schema.names == [*STAMPS.names, "prediction", f"{INPUT}hour", f"{INPUT}is_ua"]
    assert found.schema.field(f"{INPUT}hour").type == pa.float64()
    (first, _) = found.to_pylist()
    assert (first["request_id"], first["version"], first["seq"], first["traffic"]) == ("r", 1, 1, "shadow")
    assert (first["event_time"], first["source"], first["batch"]) == (NOON, "score", "b")
    assert first["logged_at"] > NOON


def test_each_row_may_have_its_own_request_and_time(scorer, rows):
    """Arrays stand for single values."""
    times = pa.array([NOON, NOON + dt.timedelta(hours=1)], pa.timestamp("ns", "UTC"))
    found = logged(scorer, rows.slice(0, 2), request_id=pa.array(["a", "b"]), event_time=times)
    assert found["request_id"].to_pylist() == ["a", "b"]
    assert found["event_time"].to_pylist() == times.to_pylist()


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        ([True, False], ["True", "False"]),
        ([3, 1], ["3", "1"]),
        ([1.0, 2.0], ["1.0", "2.0"]),
        (["a", "b"], ["a", "b"]),
    ],
)
def test_class_is_logged_as_python_writes_it(scorer, rows, classes, expected):
    """Whatever type the classes have, the log has one."""
    predictions = pa.table({"prediction": classes, "probability_a": [0.5, 0.5]})
    classifier = dataclasses.replace(scorer, task="multiclass")
    options = {"request_id": "r", "event_time": NOON, "source": "serve", "batch": "b"}
    found = log_rows(classifier, rows.slice(0, 2), predictions, **options)
    assert found["prediction"].to_pylist() == expected
    assert found["probability_a"].to_pylist() == [0.5, 0.5]


def test_prediction_log_takes_a_batch_once(stores, scorer, rows):
    """And gives windows of it, by event time."""
    log = PredictionLog(stores.engine, stores.project)
    assert log.window() is None
    assert log.add(logged(scorer, rows), batch="b")
    assert not log.add(logged(scorer, rows), batch="b")
    assert log.window(since=NOON, columns=["row_id"]).read_all().num_rows == len(rows)
    assert log.window(until=NOON).read_all().num_rows == 0
    assert str(log.name) == "monitoring.flight_delay__predictions"
