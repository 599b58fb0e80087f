"""The gate's inputs: both models on the same rows, and a champion that cannot be read never passes."""

from __future__ import annotations

import json
import math
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import numpy as np
import pytest

from mlkit import Gate, Split
from mlkit.digest.fingerprint import lanes
from mlkit.errors import StoreError
from mlkit.production.build import build
from mlkit.production.champion import champion_predictions, unseen_rows
from mlkit.production.decisions import EVIDENCE
from mlkit.production.judging import ROW_COLUMNS
from mlkit.production.registry import Registry
from mlkit.production.runner import deploy
from mlkit.workspace import table_name
from tests.conftest import make_flights
from tests.production.scenes import DTYPES, MODEL_FILE, RIDGE, STUMP, frozen, publish

METRIC = "def always_nan(labels, predictions):\n    return float('nan')\n"
CONTRACT = {"columns": {name: {"dtype": dtype} for name, dtype in DTYPES.items()}}


def predictions_of(stores, report):
    """The rows of test_predictions as a frame."""
    return stores.engine.read(table_name(report.predictions.table)).read_all().to_pandas()


def test_predictions_stand_with_key_label_and_model(stores):
    """One row per test row; the metric can be computed from the table alone."""
    report = deploy(frozen(), stores)
    rows = predictions_of(stores, report)
    test = stores.engine.read(table_name(report.test.table)).read_all().to_pandas().set_index("flight_id")
    assert list(rows.columns) == ["flight_id", "label", "prediction", "model_key"]
    assert (rows.set_index("flight_id")["label"] == test["delay"]).all()
    assert set(rows["model_key"]) == {stores.ledger.head().model_key}
    rmse = math.sqrt(((rows["label"] - rows["prediction"]) ** 2).mean())
    assert rmse == pytest.approx(report.scores["candidate"], rel=1e-12)


def test_without_a_key_a_row_is_named_by_its_digest(stores):
    """Two lanes of 64 bits, different for each row."""
    rows = predictions_of(stores, deploy(frozen(key=()), stores))
    assert list(rows.columns[:2]) == list(ROW_COLUMNS)
    assert len(rows[list(ROW_COLUMNS)].drop_duplicates()) == len(rows)


def test_both_are_scored_on_the_same_rows(stores):
    """The champion's score is not the one of its own day, but of these test rows."""
    first = deploy(frozen(split=Split(test=0.25, seed=7)), stores)
    publish(stores.engine, make_flights(900, seed=5).iloc[600:])
    second = deploy(frozen(model=STUMP), stores)
    record = stores.decisions.find(second.run_key)[0].record
    assert record["scores"]["rows"] == second.test.rows > first.test.rows
    assert second.scores["champion"] != first.scores["candidate"]
    made = build(frozen(), stores.engine)
    head = stores.ledger.head()
    rows = np.ones(second.test.rows, dtype=bool)
    predicted = champion_predictions(head, made, stores, rows=rows).values
    labels = made.parts.test.column("delay").to_numpy()
    assert second.scores["champion"] == pytest.approx(math.sqrt(((labels - predicted) ** 2).mean()))


@pytest.mark.parametrize("key", [("flight_id",), ()])
def test_rows_that_the_champion_has_learnt_are_left_out(stores, key):
    """Under another split, its train rows are among the test rows: by key, or by the whole row."""
    first = deploy(frozen(key=key), stores)
    second = deploy(frozen(key=key, split=Split(test=0.25, seed=8), model=STUMP), stores)
    scores = stores.decisions.find(second.run_key)[0].record["scores"]
    learnt = _ids(stores, first.train) & _ids(stores, second.test)
    assert scores["excluded"] == len(learnt) > 0
    assert scores["rows"] == second.test.rows - len(learnt)
    assert "left out" in second.verdict["reasons"][0]


def _ids(stores, stored):
    return set(stores.engine.read(table_name(stored.table)).read_all().column("flight_id").to_pylist())


def test_by_key_a_row_that_changed_is_still_known(stores, flights):
    """A corrected value makes another row, but the champion has seen the flight."""
    deploy(frozen(), stores)
    publish(stores.engine, flights.assign(distance=flights["distance"] + 1))
    other = frozen(split=Split(test=0.25, seed=8))
    head = stores.ledger.head()
    for config, all_are_new in ((other, False), (other.replace(key=()), True)):
        made = build(config, stores.engine)
        assert unseen_rows(head, made, stores, lanes(made.parts.test)).all() == all_are_new


def test_a_champion_that_has_learnt_every_test_row_is_no_measure(stores):
    """Then nothing can be said, and the champion stays."""
    deploy(frozen(split=Split(test=0.01, seed=7)), stores)
    report = deploy(frozen(split=Split(test=0.01, seed=11), model=STUMP), stores)
    assert report.outcome == "kept_champion"
    assert any("trained on every test row" in reason for reason in report.verdict["reasons"])


def test_a_feature_that_is_gone_keeps_the_champion_and_says_what_to_do(stores, edit_module):
    """The champion cannot be compared on rows without it; that is not taken for a victory."""
    deploy(frozen(), stores)
    edit_module("return frame", "return frame.drop(columns='is_ua')")
    columns = {name: column for name, column in CONTRACT["columns"].items() if name != "is_ua"}
    config = frozen(features=("hour", "distance", "per_mile"), contract={"columns": columns})
    report = deploy(config, stores)
    assert report.outcome == "kept_champion"
    reason = report.verdict["reasons"][-1]
    assert "is_ua: champion v1 needs this feature" in reason
    assert "keep it in prepare" in reason
    assert report.scores == {"candidate": pytest.approx(3.1, abs=0.5), "champion": None}


@pytest.mark.parametrize(
    "damage",
    [MODEL_FILE, "mlkit_config.yaml", "mlkit_manifest.json", "folder", "train table", "record"],
)
def test_a_champion_that_cannot_be_read_stays(stores, home, damage):
    """Whatever is broken: never a first deployment, always a reason; and nothing binds the next look."""
    first = deploy(frozen(model=STUMP), stores)
    folder = stores.registry.folder(first.model_id)
    kept = home.parent / "kept"
    if damage == "record":
        stores.tracking.client.delete_logged_model(first.model_id)
    else:
        train = home / "lake" / first.train.table.replace(".", "/")
        victim = {"folder": folder, "train table": train}.get(damage, folder / damage)
        victim.rename(kept)
    better = frozen(split=Split(test=0.25, seed=8))  # other tables, so that none is made good in passing
    report = deploy(better, stores)
    assert report.outcome == "kept_champion"
    assert report.scores["champion"] is None
    assert "the champion could not be scored" in report.verdict["reasons"][-1]
    if damage != "record":
        kept.rename(victim)
        assert deploy(better, stores).outcome == "promoted"


def test_a_store_that_is_away_decides_nothing(stores, monkeypatch):
    """That is no property of the champion: the run fails and may be repeated."""
    deploy(frozen(model=STUMP), stores)

    def away(*_, **__):
        raise StoreError("STO002", "the disk is away")

    with monkeypatch.context() as patch:
        patch.setattr(Registry, "load", _only_for(stores.ledger.head().model_id, Registry.load, away))
        with pytest.raises(StoreError):
            deploy(frozen(), stores)
    assert stores.decisions.find(build(frozen(), stores.engine).run_key) == []
    assert deploy(frozen(), stores).outcome == "promoted"


def _only_for(model_id, usual, other):
    return lambda self, wanted, **rest: (other if wanted == model_id else usual)(self, wanted, **rest)


def test_an_old_champion_may_name_what_is_no_longer_there(stores, tmp_path, edit_module):
    """Of its config only the features and their dtypes are read; its metric may be gone since."""
    (tmp_path / "my_metric.py").write_text(
        "def error(labels, values):\n    return abs(labels - values).mean()\n"
    )
    deploy(frozen(model=STUMP, metric="my_metric:error", gate={"direction": "minimize"}), stores)
    (tmp_path / "my_metric.py").write_text("")
    edit_module("", "", name="my_metric")
    assert deploy(frozen(), stores).outcome == "promoted"


def test_a_score_that_is_no_number_never_passes(stores, tmp_path):
    """Nan is refused by the gate and stored as missing, for JSON has no nan."""
    (tmp_path / "my_score.py").write_text(METRIC)
    config = frozen(metric="my_score:always_nan", gate=Gate(direction="minimize"))
    report = deploy(config, stores)
    assert (report.outcome, report.scores["candidate"]) == ("rejected", None)
    assert "nan" in report.verdict["reasons"][0]
    json.dumps(report.to_dict(), allow_nan=False)


@pytest.mark.parametrize(
    ("outcome", "threshold", "deployed"),
    [
        ("promote", 25, None),
        ("reject", 0.1, None),
        ("keep", 25, RIDGE),
        ("promote", 25, STUMP),
    ],
)
def test_the_record_of_a_decision_is_complete(stores, outcome, threshold, deployed):
    """Inputs, numbers, rule, verdict, reasons and both models: enough to judge again years later."""
    if deployed:
        deploy(frozen(model=deployed), stores)
    config = frozen(model=STUMP if outcome == "keep" else RIDGE, gate=Gate(threshold=threshold), seed=5)
    report = deploy(config, stores, origin={"commit": "abc"})
    (decision,) = stores.decisions.find(report.run_key)
    record = decision.record
    judged = {"metric", "direction", "gate", "scores", "verdict", "candidate", "champion"}
    assert record.keys() == {*EVIDENCE, *judged, *(["intervals"] if deployed else [])}
    for who, drawn in record.get("intervals", {}).items():
        assert drawn["low"] <= drawn["value"] <= drawn["high"]
        assert drawn["value"] == pytest.approx(record["scores"].get(who, drawn["value"]))
    assert (decision.outcome, record["verdict"]["outcome"]) == (outcome, outcome)
    assert record["gate"] == {"threshold": threshold, "min_improvement": 0.0, "direction": None}
    assert (record["metric"], record["direction"]) == ("rmse", "minimize")
    assert record["candidate"]["model_id"] == report.model_id
    assert record["scores"]["has_champion"] is bool(deployed)
    assert (record["champion"] or {}).get("seq") == (1 if deployed else None)
    assert record["config_digest"] == config.digest
    assert record["origin"] == {"commit": "abc"}
    assert record["ingredients"]["data"] == {
        "train": report.train.fingerprint,
        "test": report.test.fingerprint,
    }
    assert record["verdict"]["reasons"] == report.verdict["reasons"]
    stored = json.loads(json.dumps(record, allow_nan=False))
    folder = url2pathname(urlsplit(stores.tracking.client.get_run(report.run_id).info.artifact_uri).path)
    assert json.loads((Path(folder) / "decision.json").read_text()) == stored


def test_a_classifier_is_judged_by_probabilities(stores, edit_module):
    """Probabilities stand in the table, and both models are scored by them."""
    edit_module("return frame", "frame['late'] = frame['delay'] > 10\n    return frame.drop(columns='delay')")
    columns = {name: {"dtype": dtype} for name, dtype in DTYPES.items() if name != "delay"}
    setting = {
        "task": "binary",
        "target": "late",
        "metric": "log_loss",
        "contract": {"columns": {**columns, "late": {"dtype": "bool"}}},
    }
    prior = {"class": "sklearn.dummy.DummyClassifier", "params": {"strategy": "prior"}}
    weak = deploy(frozen(**setting, model=prior), stores)
    assert list(predictions_of(stores, weak).columns)[2:5] == [
        "prediction",
        "probability_False",
        "probability_True",
    ]
    tree = {"class": "sklearn.tree.DecisionTreeClassifier", "params": {"max_depth": 3}}
    report = deploy(frozen(**setting, split=Split(test=0.25, seed=8), model=tree), stores)
    assert report.outcome == "promoted"
    assert 0 < report.scores["candidate"] < report.scores["champion"] < 1
