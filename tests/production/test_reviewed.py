"""What a review found once, by the journey that showed it."""

from __future__ import annotations

import sys

import pytest
from sklearn.linear_model import Ridge
from xgboost import XGBClassifier

from mlkit import FrozenConfig, Gate, ModelProject, Split
from mlkit.errors import ConfigError, DataError, SecurityError, StudyError

LAZY = '''\
from sklearn.base import BaseEstimator, RegressorMixin


class Lazy(RegressorMixin, BaseEstimator):
    """Imports a sibling only when it predicts."""

    def __init__(self, k=0.0):
        self.k = k

    def fit(self, frame, target):
        self.mean_ = float(target.mean())
        return self

    def predict(self, frame):
        from . import helper

        return frame["hour"].to_numpy() * 0.0 + self.mean_ + self.k + helper.OFFSET
'''


@pytest.fixture
def project(home, flights) -> ModelProject:
    """A project with a published table."""
    project = ModelProject("reviewed", target="delay", key="flight_id", metric="rmse", split=Split(seed=7))
    project.publish_features("features.flights", flights.dropna())
    return project


def frozen(project, estimator=None, *, gate=None) -> FrozenConfig:
    """A config of one estimator."""
    snapshot = project.snapshot("features.flights")
    study = project.study(lambda trial: estimator or Ridge(), snapshot, trials=1, cv=2)
    return project.freeze(study.best, gate=gate or Gate(threshold=500))


def edited(config, old, new) -> FrozenConfig:
    """The config after an edit of its file."""
    text = config.path.read_text()
    assert old in text
    config.path.write_text(text.replace(old, new))
    return FrozenConfig.load(config.path)


def test_the_champion_is_judged_with_its_own_code_while_it_predicts(project, tmp_path, monkeypatch) -> None:
    """What an estimator imports inside `predict` comes from its own files, not from today's tree."""
    package = tmp_path / "lazypack"
    package.mkdir()
    for name, text in {"__init__.py": "", "helper.py": "OFFSET = 0.0\n", "est.py": LAZY}.items():
        (package / name).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    from lazypack.est import Lazy  # noqa: PLC0415 - written above

    config = frozen(project, Lazy(k=0.5))
    first = project.deploy(config)
    assert first.outcome == "promoted"
    (package / "helper.py").write_text("OFFSET = -50.0\n")
    for name in [name for name in sys.modules if name.startswith("lazypack")]:
        monkeypatch.delitem(sys.modules, name)
    again = project.deploy(edited(config, "k: 0.5", "k: 0.75"))
    assert again.scores["champion"] == first.scores["candidate"]
    assert again.outcome == "kept_champion"


def test_a_pin_vouches_for_estimators_not_for_functions(project) -> None:
    """A config cannot name a function of a library by pinning the library."""
    config = frozen(project)
    mlflow = "  requirements:\n    - mlflow==9.9.9\n"
    step = "model:\n  class: sklearn.preprocessing.FunctionTransformer\n  params:\n"
    text = config.path.read_text().replace("  requirements:\n", mlflow)
    start, end = text.index("model:\n"), text.index("serialization:")
    function = "    func: {ref: 'mlflow.utils.process:_exec_cmd'}\n"
    config.path.write_text(f"{text[:start]}{step}{function}{text[end:]}")
    with pytest.raises(SecurityError, match="SEC004"):
        FrozenConfig.load(config.path)


def test_a_stricter_gate_says_that_the_champion_would_fail_it(project) -> None:
    """The model stays, and the report does not pretend that it passed."""
    config = frozen(project, gate=Gate(threshold=500))
    project.deploy(config)
    report = project.deploy(edited(config, "threshold: 500.0", "threshold: 0.001"))
    assert (report.outcome, report.verdict["passed"]) == ("unchanged", False)
    assert any("would not pass" in reason for reason in report.verdict["reasons"])


def test_an_edited_config_has_no_trial_behind_it(project) -> None:
    """Its evidence says what it was edited from, and claims no study."""
    config = edited(frozen(project), "params: {}", "params:\n    alpha: 3.0")
    project.deploy(config)
    explained = project.explain(1)
    assert set(explained.to_dict()["decision"]["origin"]) == {"edited_from", "test_looks"}
    assert "edited by hand" in repr(explained)


def test_looks_at_the_test_rows_are_reported_with_the_deployment(project) -> None:
    """Each look was counted, and the report says how many there were."""
    snapshot = project.snapshot("features.flights")
    study = project.study(lambda trial: Ridge(), snapshot, trials=1, cv=2)
    project.evaluate(study.best)
    project.evaluate(study.best)
    report = project.deploy(project.freeze(study.best, gate=Gate()))
    assert any("looked at 2 times" in note for note in report.notes)


def test_xgboost_with_other_classes_is_told_what_to_do(home, flights) -> None:
    """The error comes before the fit, and names the remedy."""
    rows = flights.dropna().assign(late=lambda frame: (frame["delay"] > 0).map({True: "yes", False: "no"}))
    project = ModelProject("reviewed", target="late", key="flight_id", metric="accuracy")
    snapshot = project.snapshot(rows.drop(columns="delay"))
    with pytest.raises(StudyError, match="takes the classes 0 to 1"):
        project.study(lambda trial: XGBClassifier(n_estimators=2), snapshot, trials=1, cv=2)


def test_the_group_of_a_split_is_no_feature(home, flights) -> None:
    """Every group of the test rows is unseen, so its name could only mislead."""
    rows = flights.dropna().assign(group=lambda frame: frame["flight_id"] % 50)
    project = ModelProject("reviewed", target="delay", metric="rmse", split=Split(by="group"))
    study = project.study(lambda trial: Ridge(), project.snapshot(rows), trials=1, cv=2)
    assert "group" not in study.setting.features


def test_a_constant_target_is_named(home, flights) -> None:
    """The error is about the column, not about a word of ours."""
    project = ModelProject("reviewed", target="delay", key="flight_id", metric="rmse")
    snapshot = project.snapshot(flights.dropna().assign(delay=1.0))
    with pytest.raises(DataError) as caught:
        project.study(lambda trial: Ridge(), snapshot, trials=1, cv=2)
    assert (caught.value.code, caught.value.path) == ("DAT041", "delay")


def test_the_python_of_an_environment_is_a_version(project) -> None:
    """Free text is no version that a wheel could ask for."""
    with pytest.raises(ConfigError, match=r"environment\.python"):
        edited(frozen(project), "python: '3.", "python: 'x3.")
