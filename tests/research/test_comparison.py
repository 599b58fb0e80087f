"""Side by side: what may be compared, what may not, and looks at the test rows that are counted."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.tree import DecisionTreeRegressor

from mlkit import Gate, Split
from mlkit.errors import StudyError, UsageError
from mlkit.research.study.trials import Trial
from tests.research.study.scenes import make_project


def linear(trial):
    """A ridge."""
    return Ridge(trial.suggest_float("alpha", 0.1, 1))


def stump(_):
    """A tree of one question."""
    return DecisionTreeRegressor(max_depth=1)


def test_studies_are_ranked_by_their_best_trials(project, snapshot) -> None:
    """Best first in the direction of the metric, with what it takes to read the numbers."""
    studies = [
        project.study(search, snapshot, trials=2, cv=3, name=search.__name__) for search in (stump, linear)
    ]
    comparison = project.compare(*studies)
    assert [row["study"] for row in comparison.rows] == ["linear", "stump"]
    assert [row["rmse"] for row in comparison.rows] == [study.best.score for study in studies[::-1]]
    assert [row["folds"] for row in comparison.rows] == [3, 3]
    assert comparison.frame()["spread"].tolist() == [study.best.spread for study in studies[::-1]]
    assert "Ridge" in repr(comparison)
    wide = dataclasses.replace(comparison, rows=({**comparison.rows[0], "best": "Ridge(" * 40},))
    assert max(map(len, repr(wide).splitlines())) < 130
    assert studies[0].setting.train in repr(comparison)
    assert json.loads(json.dumps(comparison.to_dict()))["rows"][0]["trials"] == 2
    assert comparison._repr_html_().count("<tr") == 3
    maximised = dataclasses.replace(studies[0].setting.metric, direction="maximize")
    flipped = [
        dataclasses.replace(study, setting=dataclasses.replace(study.setting, metric=maximised))
        for study in studies
    ]
    assert [row["study"] for row in project.compare(*flipped).rows] == ["stump", "linear"]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"split": Split(seed=8)}, "train rows"),
        ({"metric": "mae"}, "metrics"),
        ({"target": "distance", "metric": "rmse"}, "targets"),
    ],
    ids=["split", "metric", "target"],
)
def test_numbers_that_mean_different_things_are_not_compared(project, snapshot, change, what) -> None:
    """Other train rows, another metric or another target: refused, and both are named."""
    first = project.study(linear, snapshot, trials=1, cv=2, name="first")
    other = make_project(**change).study(linear, snapshot, trials=1, cv=2, name="other")
    with pytest.raises(UsageError, match=f"first and other have different {what}") as caught:
        project.compare(first, other)
    assert caught.value.code == "CLI029"


def test_nothing_is_not_compared(project, snapshot) -> None:
    """No studies, no splits."""
    for compare in (project.compare, lambda: project.try_splits(Ridge(), snapshot, splits=[])):
        with pytest.raises(UsageError) as caught:
            compare()
        assert caught.value.code == "CLI029"


def test_splits_are_tried_in_the_order_given(project, snapshot) -> None:
    """Mean and spread over folds of each; the project's split gives what a study would say."""
    splits = [Split(test=0.25, seed=7), Split(seed=1, by="hour"), Split(time="hour"), Split(validation=0.3)]
    comparison = project.try_splits(Ridge(), snapshot, splits=splits, cv=3)
    texts = [row["split"] for row in comparison.rows]
    assert texts == ["0.25 seed 7", "0.2 by hour seed 1", "0.2 by time hour", "0.2 seed 0"]
    assert [row["train"] + row["test"] for row in comparison.rows] == [snapshot.rows] * 4
    study = project.study(lambda _: Ridge(), snapshot, trials=1, cv=3)
    first = comparison.rows[0]
    assert (first["mean"], first["spread"]) == (study.best.score, study.best.spread)
    assert comparison.rows[3]["spread"] is None
    assert "choose a split for its meaning" in repr(comparison)
    assert comparison.title == "Ridge by rmse, 3 folds"


def test_splits_of_classes_can_be_stratified(home, flights) -> None:
    """And are named so."""
    project = make_project(metric="accuracy")
    snapshot = project.snapshot(flights.dropna().assign(delay=lambda rows: rows["delay"] > 20))
    from sklearn.tree import DecisionTreeClassifier  # noqa: PLC0415 - of this test only

    comparison = project.try_splits(DecisionTreeClassifier(), snapshot, splits=[Split(stratify=True)], cv=2)
    assert comparison.rows[0]["split"] == "0.2 seed 0 stratified"


def test_an_estimator_that_fails_ends_the_trying(project, snapshot) -> None:
    """There is nothing else to try."""
    with pytest.raises(StudyError, match="fit raised"):
        project.try_splits(Ridge(alpha=-1), snapshot, splits=[Split()])


def test_looks_at_test_rows_are_counted(project, snapshot) -> None:
    """Each scores the model refitted on all train rows; the count stands with the study and the config."""
    study = project.study(linear, snapshot, trials=2, cv=2)
    first, second = project.evaluate(study.best), project.evaluate(study.trials[0])
    assert (first.looks, second.looks) == (1, 2)
    train, test = (part.to_pandas() for part in (project.split(snapshot).train, project.split(snapshot).test))
    features = list(study.setting.features)
    model = Ridge(**study.best.params).fit(train[features], train["delay"])
    errors = model.predict(test[features]) - test["delay"]
    assert first.score == pytest.approx(np.sqrt(np.mean(errors**2)))
    assert (first.rows, first.cv_score, first.metric) == (len(test), study.best.score, "rmse")
    assert "look 1 at the sealed rows" in repr(first)
    assert first.to_dict()["looks"] == 1
    config = project.freeze(study.best, gate=Gate(), source=str(snapshot.table))
    origin = json.loads(config.path.with_suffix(".provenance.json").read_text())
    assert origin["test_looks"] == 2


def test_only_complete_trials_are_looked_at(project) -> None:
    """A trial that failed has no model."""
    with pytest.raises(UsageError) as caught:
        project.evaluate(Trial(3, "failed", {}, None, (), 0.0, {}))
    assert caught.value.code == "CLI022"
