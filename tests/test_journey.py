"""The whole journey on one machine, as a user of each kind of problem would make it."""

from __future__ import annotations

import polars as pl
import pytest
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from mlkit import FrozenConfig, Gate, ModelProject, Split
from mlkit.errors import ConfigError, NamingError, UsageError


def forest(trial):
    """A forest whose depth is searched."""
    depth = trial.suggest_int("max_depth", 2, 4)
    return RandomForestRegressor(n_estimators=8, max_depth=depth, n_jobs=2)


def logistic(trial):
    """A scaled logistic regression."""
    return make_pipeline(StandardScaler(), LogisticRegression(C=trial.suggest_float("C", 0.1, 10, log=True)))


def boosting(trial):
    """A small boosting classifier."""
    return HistGradientBoostingClassifier(max_iter=10, max_depth=trial.suggest_int("max_depth", 2, 4))


def sklearn_frame(load, *, names=None):
    """A dataset of scikit-learn as one frame with clean column names, labels as text where asked."""
    frame = load(as_frame=True).frame.rename(
        columns=lambda name: name.replace(" ", "_").replace("/", "_per_")
    )
    if names is not None:
        frame["target"] = frame["target"].map(dict(enumerate(names)))
    return frame


@pytest.mark.parametrize(
    ("data", "metric", "threshold", "search", "task"),
    [
        (lambda: sklearn_frame(load_diabetes), "mae", 70, forest, "regression"),
        (lambda: sklearn_frame(load_breast_cancer), "roc_auc", 0.9, boosting, "binary"),
        (
            lambda: sklearn_frame(load_wine, names=["red", "white", "rose"]),
            "log_loss",
            0.5,
            logistic,
            "multiclass",
        ),
    ],
    ids=["regression", "binary", "multiclass"],
)
def test_from_dataframe_to_champion(home, data, metric, threshold, search, task) -> None:
    """Snapshot, study, freeze, deploy, deploy again: for each task, from a dataframe in memory."""
    project = ModelProject("journey", target="target", metric=metric, split=Split(test=0.25, seed=3))
    snapshot = project.snapshot(data())
    study = project.study(search, snapshot, trials=3, cv=3, workers=2)
    config = project.freeze(study.best, gate=Gate(threshold=threshold), source=str(snapshot.table))
    report = project.deploy(config)
    assert (report.outcome, report.version) == ("promoted", 1)
    assert config.task == task
    assert project.deploy(config).outcome == "unchanged"
    assert project.champion().version == 1
    stored = project.explain(1).to_dict()["decision"]
    assert stored["scores"]["candidate"] == report.scores["candidate"]
    assert report.train.rows + report.test.rows == snapshot.rows


def test_every_dataframe_library_gives_the_same_snapshot(home, flights) -> None:
    """pandas, Polars and Arrow rows, shuffled, are one snapshot, and its second taking says so."""
    project = ModelProject("journey", target="delay", key="flight_id", metric="rmse")
    rows = flights.dropna()
    first = project.snapshot(rows)
    shuffled = rows.sample(frac=1, random_state=1)
    for same in (
        shuffled,
        pl.from_pandas(shuffled),
        pl.from_pandas(rows).to_arrow(),
        rows[rows.columns[::-1]],
    ):
        again = project.snapshot(same)
        assert (again.fingerprint, again.table, again.reused) == (first.fingerprint, first.table, True)
    assert first.reused is False
    assert "already known" in repr(again)


def test_new_rows_retrain_and_are_judged_on_the_same_rows(home, user_module, flights) -> None:
    """Retraining is deploying on fresh data; the champion is scored on the new test rows."""
    project = ModelProject("journey", target="delay", key="flight_id", metric="rmse", split=Split(seed=7))
    project.publish_features("features.flights", flights.head(200))
    snapshot = project.snapshot("features.flights", prepare=f"{user_module}:prepare")
    study = project.study(lambda trial: Ridge(trial.suggest_float("alpha", 0.1, 1)), snapshot, trials=2, cv=2)
    config = project.freeze(study.best, gate=Gate(threshold=50))
    assert project.deploy(config).outcome == "promoted"
    project.publish_features("features.flights", flights)
    assert project.plan(config).kind == "primary"
    report = project.deploy(config)
    assert report.outcome in ("promoted", "kept_champion")
    assert None not in report.scores.values()
    assert project.plan(config).kind == "nothing"
    if report.outcome == "promoted":
        assert project.rollback(reason="to see it work").version == 1
        assert project.deploy(config).outcome == "unchanged"
        assert project.champion().version == 1


def test_a_config_edited_by_hand_is_deployed_as_edited(home, user_module, flights) -> None:
    """A reviewer changes one hyper-parameter in the file: that is a new model."""
    project = ModelProject("journey", target="delay", key="flight_id", metric="rmse", split=Split(seed=7))
    project.publish_features("features.flights", flights)
    snapshot = project.snapshot("features.flights", prepare=f"{user_module}:prepare")
    study = project.study(lambda trial: Ridge(trial.suggest_float("alpha", 0.1, 1)), snapshot, trials=2, cv=2)
    config = project.freeze(study.best, gate=Gate(threshold=50))
    project.deploy(config)
    text = config.path.read_text(encoding="utf-8")
    alpha = next(line for line in text.splitlines() if "alpha" in line)
    config.path.write_text(text.replace(alpha, "    alpha: 500.0"), encoding="utf-8")
    edited = FrozenConfig.load("journey")
    assert edited.digest != config.digest
    plan = project.plan(edited)
    assert plan.kind == "primary"
    assert any("alpha" in reason and "500" in reason for reason in plan.reasons)


def test_words_and_numbers_in_a_pipeline(home, flights) -> None:
    """Text columns reach the estimator as text, and the frozen pipeline gives the trial's model."""
    frame = flights.dropna().assign(carrier=lambda rows: rows["is_ua"].map({True: "UA", False: "other"}))
    words = make_column_transformer((OneHotEncoder(), ["carrier"]), remainder="passthrough")
    project = ModelProject("journey", target="delay", key="flight_id", metric="rmse")
    snapshot = project.snapshot(frame)
    study = project.study(
        lambda trial: make_pipeline(words, Ridge(trial.suggest_float("alpha", 0.1, 1))),
        snapshot,
        trials=2,
        cv=2,
    )
    config = project.freeze(study.best, gate=Gate(), source=str(snapshot.table))
    assert project.deploy(config).outcome == "promoted"


def test_categories_reach_the_estimator_as_categories(home, flights) -> None:
    """A categorical column is one for the estimator too, with the categories that the config fixes."""
    carriers = flights.dropna()["flight_id"].mod(3).map({0: "AA", 1: "B6", 2: "UA"}).astype("category")
    project = ModelProject("journey", target="delay", key="flight_id", metric="rmse")
    snapshot = project.snapshot(flights.dropna().assign(carrier=carriers))
    assert snapshot.contract.columns["carrier"].categories == ("AA", "B6", "UA")
    boosting = HistGradientBoostingRegressor(max_iter=3, categorical_features="from_dtype")
    study = project.study(lambda trial: boosting, snapshot, trials=1, cv=2)
    config = project.freeze(study.best, gate=Gate(), source=str(snapshot.table))
    assert project.deploy(config).outcome == "promoted"


def test_reprs_guide(home, flights) -> None:
    """Every object says what to do next, in plain text and for a scratch notebook."""
    project = ModelProject("journey", target="delay", key="flight_id", metric="rmse")
    snapshot = project.snapshot(flights.dropna())
    for thing in (project, snapshot, project.split(snapshot), project.history()):
        assert "next" in repr(thing)
    for thing in (project, snapshot):
        assert "next" in thing._repr_html_()
        assert thing.to_dict()


def test_a_project_checks_its_name_before_anything_is_made(home) -> None:
    """Names that some store would refuse are refused at once."""
    for name in ("", "Flight", "a-b", "v3", "latest", "x" * 64, "a\n"):
        with pytest.raises(NamingError):
            ModelProject(name, target="y", metric="rmse")


def test_numbers_that_mean_nothing_are_refused(home, flights) -> None:
    """Trials, folds and workers are whole numbers with a least value."""
    project = ModelProject("journey", target="delay", metric="rmse")
    snapshot = project.snapshot(flights.dropna())
    for wrong in ({"trials": 0}, {"trials": 2, "cv": 1}, {"trials": 2, "workers": 0}, {"trials": 2.5}):
        with pytest.raises(UsageError, match="CLI021"):
            project.study(forest, snapshot, **wrong)


def test_another_projects_config_is_refused(home, flights) -> None:
    """A config is deployed by its own project only."""
    project = ModelProject("journey", target="delay", key="flight_id", metric="rmse")
    snapshot = project.snapshot(flights.dropna())
    study = project.study(lambda trial: Ridge(), snapshot, trials=1, cv=2)
    config = project.freeze(study.best, gate=Gate(), source=str(snapshot.table))
    other = ModelProject("elsewhere", target="delay", metric="rmse")
    with pytest.raises(UsageError, match="CLI031"):
        other.deploy(config)


def test_a_metric_that_does_not_fit_is_refused_early(home, flights) -> None:
    """The metric is checked against the task before the first fit."""
    project = ModelProject("journey", target="delay", key="flight_id", metric="roc_auc")
    with pytest.raises(ConfigError, match="CFG014"):
        project.study(forest, project.snapshot(flights.dropna()), trials=1)
