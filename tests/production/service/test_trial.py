"""A trial's model behind the service: the one that the study kept, as it answered there."""

from __future__ import annotations

import pytest
from sklearn.tree import DecisionTreeRegressor

from mlkit import ModelProject, Split
from mlkit.errors import UsageError
from mlkit.model.predictions import predict
from mlkit.production.service.trial import trial_holder
from mlkit.production.stores import Stores
from tests.production.scenes import NAME


@pytest.fixture
def study(workspace, flights):
    """A study of two trials."""
    project = ModelProject(NAME, target="delay", key="flight_id", metric="rmse", split=Split(seed=7))
    snapshot = project.snapshot(flights.dropna(subset=["delay"]))

    def search(trial):
        return DecisionTreeRegressor(max_depth=trial.suggest_int("max_depth", 1, 5))

    return project.study(search, snapshot, trials=2, cv=2)


def test_the_model_of_a_study_answers(study, workspace):
    """By the run of the study or of its best trial; it says that it is not for production."""
    stores = Stores(workspace, NAME)
    holder = trial_holder(stores, study.run_id)
    holder.start()
    facts = holder.current.facts()
    assert (facts["production"], facts["trial"]) == (False, study.best.run_id)
    assert holder.state["ready"] is True
    assert holder.refresh().changed is False
    assert holder.current.batchable
    other = trial_holder(stores, study.best.run_id)
    assert other.current.facts()["manifest_digest"] == facts["manifest_digest"]
    rows = study.setting.snapshot.to_arrow()
    scorer = holder.current.scorer
    expected = predict(scorer.estimator, scorer.frame(rows), task="regression").to_table()
    assert scorer.predict(rows) == expected
    assert scorer.features == study.setting.features
    holder.close()


def test_a_run_that_keeps_no_model_is_refused(study, workspace):
    """With which would do."""
    worse = next(trial for trial in study.trials if trial.run_id != study.best.run_id)
    with pytest.raises(UsageError) as caught:
        trial_holder(Stores(workspace, NAME), worse.run_id)
    assert (caught.value.code, "best trial" in caught.value.fix) == ("CLI002", True)
