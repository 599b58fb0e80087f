"""Builds: rows and the keys that name a run, the same wherever they are made."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mlkit import Gate, Split
from mlkit.data.parts import study_folds
from mlkit.model.training import as_rows, deterministic, evaluate_fold, held_out_fingerprint
from mlkit.production.build import MODEL_FIELDS, build
from mlkit.production.rehearsal import rehearse
from tests.production.scenes import RIDGE, TABLE, frozen, listing, publish


def test_a_build_writes_nothing(stores, home):
    """Reading, preparing, checking and cutting leave no trace."""
    before = listing(home)
    made = build(frozen(), stores.engine)
    assert made.parts.train.num_rows + made.parts.test.num_rows == 585
    assert made.source_version == stores.engine.describe(TABLE).version
    assert listing(home) == before


def test_keys_do_not_depend_on_how_the_rows_lie(stores, flights):
    """The version of the source may move while the content stays."""
    first = build(frozen(), stores.engine)
    changed = flights.assign(distance=flights["distance"] + 1)
    for frame in (changed, flights.sample(frac=1, random_state=1)):
        publish(stores.engine, frame)
    second = build(frozen(), stores.engine)
    assert second.source_version > first.source_version
    assert (second.model_key, second.run_key) == (first.model_key, first.run_key)


def test_rows_are_in_one_order_whoever_gives_them(stores, tmp_path):
    """Also those that no `prepare` has touched: an estimator that depends on their order sees one."""
    load = "\n\ndef load():\n    import pandas\n    return pandas.read_parquet('rows.parquet')\n"
    (tmp_path / "my_prepare.py").write_text((tmp_path / "my_prepare.py").read_text() + load)
    config = frozen(source={"load": "my_prepare:load"}, split=Split(seed=8))
    rows = build(frozen(), stores.engine).parts.train.to_pandas()
    made = []
    for seed in (1, 2):
        rows.sample(frac=1, random_state=seed).to_parquet(tmp_path / "rows.parquet", index=False)
        made.append(build(config, stores.engine).parts)
        (tmp_path / "rows.parquet").unlink()
    assert made[0].train.equals(made[1].train)
    assert made[0].test.equals(made[1].test)


@pytest.mark.parametrize(
    ("changes", "model", "run"),
    [
        ({}, True, True),
        ({"gate": Gate(threshold=25.0)}, True, True),
        ({"gate": Gate(threshold=24)}, True, False),
        ({"metric": "mae"}, True, False),
        ({"environment": {"python": "3.12", "requirements": []}}, True, False),
        ({"seed": 4}, False, False),
        ({"model": {**RIDGE, "params": {"alpha": 1}}}, False, False),
        pytest.param({"serialization": "cloudpickle"}, False, False, marks=pytest.mark.newest_only),
    ],
)
def test_what_decides_the_model_and_what_only_the_run(stores, changes, model, run):
    """A rule makes another run of the same model; a parameter makes another model."""
    first, second = build(frozen(), stores.engine), build(frozen(**changes), stores.engine)
    assert (second.model_key == first.model_key) is model
    assert (second.run_key == first.run_key) is run


def test_every_field_is_either_ingredient_or_rule(stores):
    """None is forgotten, none counts twice; both are JSON, as the ledger keeps them."""
    made = build(frozen(serialization="cloudpickle"), stores.engine)
    rules, ingredients = made.rules["config"], made.ingredients["config"]
    assert {**rules, **ingredients} == made.config.meaning
    assert not rules.keys() & ingredients.keys()
    assert set(MODEL_FIELDS) == ingredients.keys()
    json.dumps([made.rules, made.ingredients], allow_nan=False)


def test_what_is_installed_is_an_ingredient(stores, monkeypatch):
    """Of the pins and of what every model stands on, pinned or not."""
    first = build(frozen(), stores.engine)
    assert first.environment["numpy"] == np.__version__
    assert {"scikit-learn", "scipy", "pandas", "python"} <= first.environment.keys()
    monkeypatch.setattr("mlkit.production.build.installed_version", lambda _: "0.0")
    assert build(frozen(), stores.engine).model_key != first.model_key


def test_a_rehearsal_is_the_cross_validation_of_the_study(stores, home):
    """Same rows, folds, scores and held-out predictions, bit by bit; nothing is written."""
    before, config = listing(home), frozen()
    found = rehearse(config, stores, cv=3)
    made = build(config, stores.engine)
    assert (found["train"], found["test"]) == made.fingerprints
    assert (found["train_rows"], found["test_rows"]) == (432, 153)
    folds = study_folds(made.parts, 3, split=config.split, key=config.key, target=config.target, seed=3)
    rows = as_rows(made.parts.train, config.contract, features=config.features, target=config.target)
    with deterministic(3):
        results = [
            evaluate_fold(config.model, rows, fold, metric=config.metric_spec, task=config.task, seed=3)
            for fold in folds.pairs()
        ]
    assert found["scores"] == [result.score for result in results]
    assert found["score"] == pytest.approx(np.mean(found["scores"]))
    assert found["predictions"] == held_out_fingerprint(folds, results)
    assert rehearse(config, stores, cv=3) == found
    assert listing(home) == before
