"""Candidates: trained once for what they follow from, in files that stand alone."""

from __future__ import annotations

import shutil
import sys

import pytest
import yaml

from mlkit.production.build import build
from mlkit.production.candidate import CONFIG_FILE, make_candidate
from mlkit.production.runner import deploy
from tests.production.scenes import RIDGE, frozen

OWN = '''\
"""A model of the user's own."""

from sklearn.base import BaseEstimator, RegressorMixin

from my_numbers import FACTOR


class Scaled(RegressorMixin, BaseEstimator):
    def __init__(self, by="hour"):
        self.by = by

    def fit(self, frame, target):
        self.mean_ = float(target.mean())
        return self

    def predict(self, frame):
        return frame[self.by].to_numpy() * FACTOR + self.mean_
'''


@pytest.fixture
def own_model(tmp_path, user_module):
    """The config of an estimator of the user's own, which imports a second module."""
    (tmp_path / "my_model.py").write_text(OWN)
    (tmp_path / "my_numbers.py").write_text("FACTOR = 2.0\n")
    model = {"class": "my_model.Scaled", "params": {"by": "hour"}}
    for name in ("my_model", "my_numbers"):  # those of another test
        sys.modules.pop(name, None)
    yield frozen(model=model, serialization="cloudpickle", gate={})
    for name in ("my_model", "my_numbers"):
        sys.modules.pop(name, None)


def candidate_of(config, stores):
    """A candidate of a config, in a run of its own."""
    run_id = stores.tracking.start(stores.experiment, "test", tags={})
    return make_candidate(build(config, stores.engine), stores, run_id=run_id)


def test_the_same_build_is_trained_once(stores):
    """The second time it is found, verified, and predicts the same."""
    first, second = candidate_of(frozen(), stores), candidate_of(frozen(), stores)
    assert (first.reused, second.reused) == (False, True)
    assert (second.model_id, second.manifest_digest) == (first.model_id, first.manifest_digest)
    assert second.estimator.coef_.tolist() == first.estimator.coef_.tolist()


def test_rules_do_not_make_another_model(stores):
    """The gate and the metric are no part of what a model follows from."""
    first = candidate_of(frozen(), stores)
    assert candidate_of(frozen(metric="mae", gate={"threshold": 1.0}), stores).model_id == first.model_id
    assert candidate_of(frozen(model={**RIDGE, "params": {}}), stores).model_id != first.model_id


def test_a_damaged_model_is_passed_over(stores):
    """An older whole one is taken, else it is trained again."""
    first = candidate_of(frozen(), stores)
    shutil.rmtree(stores.registry.folder(first.model_id))
    second = candidate_of(frozen(), stores)
    assert (second.reused, second.model_id != first.model_id) == (False, True)
    assert candidate_of(frozen(), stores).model_id == second.model_id


def test_the_folder_holds_the_config(stores):
    """What the champion needs of it later is inside the manifest."""
    made = candidate_of(frozen(), stores)
    config = yaml.safe_load((stores.registry.folder(made.model_id) / CONFIG_FILE).read_text())
    assert config["features"] == list(frozen().features)


def test_a_model_of_the_users_own_carries_its_code_and_no_more(stores, own_model):
    """Its module and what that imports; not `prepare`, which no prediction needs."""
    made = candidate_of(own_model, stores)
    code = stores.registry.folder(made.model_id) / "code"
    assert sorted(path.name for path in code.iterdir()) == ["my_model.py", "my_numbers.py"]


def test_the_champion_is_judged_with_its_own_code(stores, own_model, edit_module):
    """New code under the old names changes the candidate and not the champion."""
    first = deploy(own_model, stores)
    edit_module("2.0", "0.0", name="my_numbers")
    edit_module("", "", name="my_model")
    second = deploy(own_model, stores)
    assert second.outcome == "promoted"
    assert second.scores["champion"] == first.scores["candidate"]
    assert second.scores["candidate"] < first.scores["candidate"]
