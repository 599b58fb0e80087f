"""Snapshots of any data, and what a study may see of them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mlkit import Source, Split
from mlkit.errors import ConfigError, DataError, UsageError
from mlkit.research.exploration import gather
from tests.research.study.scenes import make_project


def halved(frame):
    """Every other row, which no process could import as a lambda."""
    return frame.iloc[::2]


@pytest.fixture
def raw(home, flights, user_module):
    """A project whose rows, missing labels included, are published; and the user's `prepare`."""
    project = make_project()
    project.publish_features("features.flights", flights)
    return project


def test_a_table_and_a_prepare_by_name_can_be_frozen(raw, user_module) -> None:
    """Table, prepare as text, and prepare as the function are the same source and the same rows."""
    by_name = raw.snapshot("features.flights", prepare=f"{user_module}:prepare")
    function = __import__(user_module).prepare
    by_function = raw.snapshot("flights", prepare=function)
    by_source = raw.snapshot(Source(table="features.flights"), prepare=function)
    assert by_name.source == Source(table="features.flights", prepare="my_prepare:prepare")
    assert by_function.source == by_source.source == by_name.source
    assert by_function.fingerprint == by_source.fingerprint == by_name.fingerprint
    assert "per_mile" in by_name.contract.columns
    assert by_function.reused


def test_a_dataframe_is_prepared_and_has_no_source(raw, flights, user_module) -> None:
    """The same rows as from the table, by either form of prepare; and it is said why they have no name."""
    named = raw.snapshot("features.flights", prepare=f"{user_module}:prepare")
    for prepare in (f"{user_module}:prepare", __import__(user_module).prepare):
        snapshot = raw.snapshot(flights, prepare=prepare)
        assert snapshot.fingerprint == named.fingerprint
        assert snapshot.source is None
        assert snapshot.unnamed == "the snapshot was taken from a dataframe in memory"


@pytest.mark.parametrize("data", ["features.flights", Source(table="features.flights", prepare="no:where")])
def test_a_lambda_prepares_but_has_no_name(raw, data) -> None:
    """Exploring with a lambda is fine, on a table too; the snapshot says that it cannot be frozen."""
    snapshot = raw.snapshot(data, prepare=lambda frame: halved(frame.dropna()))
    assert snapshot.source is None
    assert snapshot.unnamed.startswith("prepare cannot be imported by name:")
    assert "lambda" in snapshot.unnamed
    assert snapshot.rows == pytest.approx(300, abs=10)


def test_a_snapshot_needs_the_target(raw, flights) -> None:
    """The columns that are there are listed; a snapshot of another project is asked for it too."""
    with pytest.raises(DataError) as caught:
        raw.snapshot(flights.drop(columns="delay"))
    assert (caught.value.code, caught.value.path) == ("DAT040", "delay")
    assert "distance" in caught.value.fix
    with pytest.raises(DataError, match=r"\[DAT040\] dely: .*\n  fix: did you mean 'delay'\?"):
        gathered(make_project(target="dely"), raw.snapshot(flights.dropna()))


def test_a_prepare_that_is_no_function_is_refused(raw, flights) -> None:
    """A name that leads to nothing, and a value that cannot be called."""
    with pytest.raises(ConfigError):
        raw.snapshot(flights, prepare="my_prepare:missing")
    with pytest.raises(ConfigError):
        raw.snapshot(flights, prepare=3)


def test_a_feature_table_passes_its_contract_on(home, flights) -> None:
    """Used as it is, its contract is kept; prepared, dtypes are taken from the rows."""
    project = make_project()
    columns = {name: {"dtype": dtype} for name, dtype in (("flight_id", "int64"), ("hour", "int64"))}
    columns["delay"] = {"dtype": "float64", "checks": {"greater_than_or_equal_to": -1000}}
    rows = flights.dropna()[["flight_id", "hour", "delay"]]
    project.publish_features("features.flights", rows, contract={"columns": columns})
    assert project.snapshot("features.flights").contract.columns["delay"].checks
    assert (
        not project.snapshot("features.flights", prepare=lambda frame: frame).contract.columns["delay"].checks
    )


def gathered(project, snapshot, *, cv=3, seed=0):
    """What a study of a project would work on."""
    return gather(project._problem, snapshot, cv=cv, seed=seed)


def test_a_study_sees_train_rows_and_features_only(project, snapshot) -> None:
    """Target, key and test rows are left out; the test rows are counted and fingerprinted."""
    material = gathered(project, snapshot)
    parts = project.split(snapshot)
    setting = material.setting
    assert setting.features == ("distance", "hour", "is_ua")
    assert material.rows.frame.columns.tolist() == ["distance", "hour", "is_ua"]
    assert len(material.rows) == setting.train_rows == parts.train.num_rows
    assert (setting.train, setting.test) == parts.fingerprints
    assert setting.train_rows + setting.test_rows == snapshot.rows
    assert len(list(material.folds.pairs())) == 3
    assert (setting.task, setting.metric.name, setting.seed) == ("regression", "rmse", 0)


def test_features_may_be_chosen(project, snapshot) -> None:
    """In the order given, a key among them if the user wants it."""
    chosen = make_project(features=["hour", "flight_id"])
    assert gathered(chosen, snapshot).rows.frame.columns.tolist() == ["hour", "flight_id"]


@pytest.mark.parametrize(
    ("features", "code", "path"),
    [(["hour", "delay"], "DAT044", "features"), (["hour", "wind"], "DAT045", "wind")],
    ids=["target", "unknown"],
)
def test_features_that_cannot_be_are_refused_before_the_study(
    project, snapshot, features, code, path
) -> None:
    """Learning from the target, or from a column that is not there."""
    with pytest.raises(DataError) as caught:
        make_project(features=features).study(lambda _: None, snapshot, trials=1)
    assert (caught.value.code, caught.value.path) == (code, path)


def test_dates_are_left_out_aloud(home, flights, capsys, monkeypatch) -> None:
    """What no estimator takes is no feature, and the time of the split is none either."""
    monkeypatch.delenv("MLKIT_QUIET")
    day = pd.Timestamp("2020-01-01") + pd.to_timedelta(np.arange(len(flights)), unit="D")
    rows = flights.assign(day=day, seen=day).dropna()
    project = make_project(split=Split(time="day"))
    assert gathered(project, project.snapshot(rows)).setting.features == ("distance", "hour", "is_ua")
    said = capsys.readouterr().err
    assert "not used as features: seen" in said
    assert "task: regression (from delay, double)" in said


def test_a_group_is_no_feature(home, flights) -> None:
    """What keeps rows together would only teach the model to know the group again."""
    project = make_project(split=Split(by="hour"))
    assert gathered(project, project.snapshot(flights.dropna())).setting.features == ("distance", "is_ua")


def test_something_must_be_left_to_learn_from(home, flights) -> None:
    """Key and target alone make no model."""
    project = make_project()
    snapshot = project.snapshot(flights.dropna()[["flight_id", "delay"]])
    with pytest.raises(DataError) as caught:
        gathered(project, snapshot)
    assert caught.value.code == "DAT001"


def test_rows_without_a_key_are_split_by_content_aloud(home, flights, capsys, monkeypatch) -> None:
    """Another column would reshuffle them, so it is said; with a key or a group there is nothing to say."""
    monkeypatch.delenv("MLKIT_QUIET")
    for arguments, warned in (
        ({"key": None}, True),
        ({}, False),
        ({"key": None, "split": Split(by="hour")}, False),
    ):
        project = make_project(**arguments)
        gathered(project, project.snapshot(flights.dropna()))
        assert ("no key" in capsys.readouterr().err) is warned


def test_the_task_follows_from_train_rows(project, flights) -> None:
    """A third label that only a sealed row has does not make the study multiclass."""
    rows = flights.dropna().assign(delay=lambda frame: (frame["delay"] > 10).astype("int64"))
    project = make_project(metric="roc_auc")
    test = project.split(project.snapshot(rows)).test.to_pandas()["flight_id"]
    rows.loc[rows["flight_id"] == test[0], "delay"] = 2
    assert gathered(project, project.snapshot(rows)).setting.task == "binary"


@pytest.mark.parametrize("seed", [-1, 2**32, 1.0, True])
def test_a_seed_that_no_config_could_hold_is_refused(project, snapshot, seed) -> None:
    """Before the work, not when the result is frozen."""
    with pytest.raises(UsageError) as caught:
        gathered(project, snapshot, seed=seed)
    assert (caught.value.code, caught.value.path) == ("CLI021", "seed")


def test_metric_and_task_must_fit(project, snapshot) -> None:
    """An accuracy of real numbers means nothing."""
    with pytest.raises(ConfigError) as caught:
        gathered(make_project(metric="accuracy"), snapshot)
    assert caught.value.code == "CFG014"


def test_a_misspelt_metric_is_refused_with_the_project(home) -> None:
    """One's own is looked for when it is needed: it may not be written yet."""
    for metric, said in (("rsme", "did you mean 'rmse'"), (len, "found a builtin_function_or_method")):
        with pytest.raises(ConfigError, match=said) as caught:
            make_project(metric=metric)
        assert (caught.value.code, caught.value.path) == ("CFG013", "metric")
    assert make_project(metric="not_written:yet", direction="minimize").name == "flights"
