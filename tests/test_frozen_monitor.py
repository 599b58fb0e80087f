"""What a frozen config says of watching and retraining: nothing by default, and then exactly what it says."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mlkit import FrozenConfig, Gate, Monitor
from mlkit.errors import EXIT_USAGE, ConfigError, MlkitError
from mlkit.model.retraining import Retrain
from tests.research.study.scenes import make_project

GOLDEN = Path(__file__).parent / "golden" / "frozen_v1.yaml"
TEXT = GOLDEN.read_text(encoding="utf-8")
DIGEST = FrozenConfig.load(GOLDEN).digest


@pytest.fixture
def load(tmp_path):
    """A function that loads the golden file with other sections."""

    def with_sections(**sections):
        path = tmp_path / "c.yaml"
        path.write_text(
            yaml.safe_dump({**yaml.safe_load(TEXT), **sections}, sort_keys=False), encoding="utf-8"
        )
        return FrozenConfig.load(path)

    return with_sections


def frozen(**changes):
    """The golden config, changed in Python."""
    return FrozenConfig.load(GOLDEN).replace(**changes)


@pytest.mark.parametrize(
    "sections",
    [
        {"monitor": {}},
        {"retrain": {}},
        {"monitor": {"inputs": []}},
        {"monitor": {"window_days": 7, "min_effect": 0.1, "alpha": None}},
        {"retrain": {"policy": "alert", "every_days": 30, "windows": 2, "of": 3, "cooldown_days": 7}},
        {"monitor": {"alarms_per_year": 1, "min_rows": 100}, "retrain": {"min_new_rows": 1}},
    ],
)
def test_a_section_that_says_nothing_is_left_out(load, sections) -> None:
    """Defaults that are written out mean what an older file means: its digest, and its very bytes."""
    config = load(**sections)
    assert (config.digest, config.to_yaml()) == (DIGEST, TEXT)
    assert {"monitor", "retrain"}.isdisjoint({*config.dump(), *config.meaning, *config.to_dict()})
    assert (config.monitor, config.retrain) == (Monitor(), Retrain())


def test_a_file_without_sections_has_the_defaults() -> None:
    """Nothing but the prediction is watched, and nothing is retrained by itself."""
    config = FrozenConfig.load(GOLDEN)
    assert (config.monitor.inputs, config.retrain.policy) == ((), "alert")
    assert (config.retrain.by_schedule, config.retrain.by_drift) == (False, False)


@pytest.mark.parametrize(
    ("section", "field", "value"),
    [
        ("monitor", "inputs", ["hour"]),
        ("monitor", "inputs", ["carrier", "hour"]),
        ("monitor", "window_days", 1),
        ("monitor", "alarms_per_year", 0.5),
        ("monitor", "alpha", 0.01),
        ("monitor", "min_effect", 0),
        ("monitor", "min_rows", 30),
        ("monitor", "min_coverage", 1.0),
        ("retrain", "policy", "hybrid"),
        ("retrain", "every_days", 3660),
        ("retrain", "windows", 3),
        ("retrain", "of", 2),
        ("retrain", "cooldown_days", 0),
        ("retrain", "min_new_rows", 0),
    ],
)
def test_each_field_is_in_the_digest_and_in_the_file(load, tmp_path, section, field, value) -> None:
    """One field alone is written, and read again it is the same config."""
    config = load(**{section: {field: value}})
    assert config.digest != DIGEST
    assert config.dump()[section] == {field: value}
    again = FrozenConfig.load(config.write(tmp_path / "again.yaml").path)
    assert (again.monitor, again.retrain, again.digest) == (config.monitor, config.retrain, config.digest)
    assert yaml.safe_load(config.to_yaml())[section] == {field: value}


@pytest.mark.parametrize(
    ("section", "first", "second", "same"),
    [
        ("monitor", {"alarms_per_year": 2}, {"alarms_per_year": 2.0}, True),
        ("monitor", {"min_coverage": 1}, {"min_coverage": 1.0}, True),
        ("monitor", {"alpha": 0.01}, {"alpha": 1e-2, "min_rows": 100}, True),
        ("monitor", {"inputs": ["hour", "carrier"]}, {"inputs": ["carrier", "hour"]}, False),
        ("monitor", {"alpha": 0.01}, {"alpha": 0.010001}, False),
        ("retrain", {"windows": 1, "of": 1}, {"of": 1, "windows": 1}, True),
        ("retrain", {"windows": 1}, {"windows": 1, "of": 1}, False),
    ],
)
def test_the_digest_is_over_the_meaning(load, section, first, second, same) -> None:
    """The type of a number and the order of keys do not count; the order of inputs does."""
    digests = [load(**{section: values}).digest for values in (first, second)]
    assert (digests[0] == digests[1]) is same


def test_sections_have_their_place_in_the_file(load) -> None:
    """After the gate and before the contract, in the order of the fields, wherever they stood."""
    config = load(retrain={"of": 4, "policy": "drift"}, monitor={"alpha": 0.01, "inputs": ["hour"]})
    names = list(yaml.safe_load(config.to_yaml()))
    place = names.index("gate")
    assert names[place : place + 4] == ["gate", "monitor", "retrain", "contract"]
    assert "monitor:\n  inputs: [hour]\n  alpha: 0.01\n" in config.to_yaml()
    assert "retrain:\n  policy: drift\n  of: 4\n" in config.to_yaml()


@pytest.mark.parametrize(
    ("section", "value", "code", "path", "said"),
    [
        ("monitors", {}, "CFG006", "monitors", "did you mean 'monitor'"),
        ("retraining", {}, "CFG006", "retraining", "did you mean 'retrain'"),
        ("monitor", None, "CFG009", "monitor", "NoneType"),
        ("monitor", [], "CFG009", "monitor", "list"),
        ("monitor", "hour", "CFG009", "monitor", "str"),
        ("monitor", {"input": ["hour"]}, "CFG006", "monitor.input", "did you mean 'inputs'"),
        ("monitor", {"window": 7}, "CFG006", "monitor.window", "window_days"),
        ("monitor", {"zzz": 1}, "CFG006", "monitor.zzz", "known here: inputs"),
        ("monitor", {"inputs": "hour"}, "CFG009", "monitor.inputs", "tuple"),
        ("monitor", {"inputs": {"hour": 1}}, "CFG009", "monitor.inputs", "tuple"),
        ("monitor", {"inputs": ["hour", 1]}, "CFG009", "monitor.inputs.1", "string"),
        ("monitor", {"inputs": ["hour", "hour"]}, "CFG050", "monitor.inputs", "'hour' stands twice"),
        ("monitor", {"inputs": ["speed"]}, "CFG050", "monitor.inputs", "no feature 'speed'"),
        ("monitor", {"inputs": ["delay"]}, "CFG050", "monitor.inputs", "carrier, distance, hour"),
        ("monitor", {"inputs": ["hour", "flight_id"]}, "CFG050", "monitor.inputs", "'flight_id'"),
        ("monitor", {"window_days": 7.0}, "CFG009", "monitor.window_days", "integer"),
        ("monitor", {"window_days": "7"}, "CFG009", "monitor.window_days", "integer"),
        ("monitor", {"window_days": True}, "CFG009", "monitor.window_days", "integer"),
        ("monitor", {"window_days": 0}, "CFG018", "monitor.window_days", "1 to 366 days, found 0"),
        ("monitor", {"window_days": 367}, "CFG018", "monitor.window_days", "1 to 366 days, found 367"),
        ("monitor", {"alpha": "0.01"}, "CFG009", "monitor.alpha", "number"),
        ("monitor", {"alpha": 0}, "CFG018", "monitor.alpha", "between 0 and 1"),
        ("monitor", {"alpha": 1}, "CFG018", "monitor.alpha", "between 0 and 1"),
        ("monitor", {"alpha": float("nan")}, "CFG009", "monitor.alpha", "finite"),
        ("monitor", {"alarms_per_year": 0}, "CFG018", "monitor.alarms_per_year", "more than 0"),
        ("monitor", {"alarms_per_year": float("inf")}, "CFG009", "monitor.alarms_per_year", "finite"),
        ("monitor", {"min_effect": 1}, "CFG018", "monitor.min_effect", "to below 1"),
        ("monitor", {"min_effect": -0.1}, "CFG018", "monitor.min_effect", "a share"),
        ("monitor", {"min_rows": 29}, "CFG018", "monitor.min_rows", "30 rows or more, found 29"),
        ("monitor", {"min_coverage": 1.01}, "CFG018", "monitor.min_coverage", "from 0 to 1"),
        ("retrain", None, "CFG009", "retrain", "NoneType"),
        ("retrain", "drift", "CFG009", "retrain", "str"),
        ("retrain", {"polcy": "drift"}, "CFG006", "retrain.polcy", "did you mean 'policy'"),
        ("retrain", {"policy": "always"}, "CFG009", "retrain.policy", "'hybrid'"),
        ("retrain", {"policy": True}, "CFG009", "retrain.policy", "bool"),
        ("retrain", {"every_days": 0}, "CFG009", "retrain.every_days", "or equal to 1"),
        ("retrain", {"every_days": 3661}, "CFG009", "retrain.every_days", "or equal to 3660"),
        ("retrain", {"every_days": 1.5}, "CFG009", "retrain.every_days", "integer"),
        ("retrain", {"windows": 0}, "CFG009", "retrain.windows", "or equal to 1"),
        ("retrain", {"windows": 4}, "CFG009", "retrain.windows", "4 of the last 3 windows"),
        ("retrain", {"of": 1}, "CFG009", "retrain.windows", "2 of the last 1 windows"),
        ("retrain", {"of": 101}, "CFG009", "retrain.of", "or equal to 100"),
        ("retrain", {"cooldown_days": -1}, "CFG009", "retrain.cooldown_days", "or equal to 0"),
        ("retrain", {"cooldown_days": "7"}, "CFG009", "retrain.cooldown_days", "integer"),
        ("retrain", {"min_new_rows": -1}, "CFG009", "retrain.min_new_rows", "or equal to 0"),
        ("retrain", {"min_new_rows": None}, "CFG009", "retrain.min_new_rows", "NoneType"),
    ],
)
def test_a_mistake_in_a_section_is_named_with_its_path(load, section, value, code, path, said) -> None:
    """Which field of which section, what was expected, and what to do."""
    with pytest.raises(MlkitError) as caught:
        load(**{section: value})
    error = caught.value
    assert (error.code, error.path, error.exit_code) == (code, path, EXIT_USAGE)
    assert said in f"{error.message} {error.fix}"
    assert error.fix


def test_a_field_that_stands_twice_is_refused_with_its_line(tmp_path) -> None:
    """Also inside of a section, where the second would silently win."""
    path = tmp_path / "c.yaml"
    path.write_text(f"{TEXT}monitor:\n  alpha: 0.01\n  alpha: 0.02\n", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        FrozenConfig.load(path)
    assert caught.value.code == "CFG005"
    assert f"c.yaml:{len(TEXT.splitlines()) + 3}" in caught.value.path


def test_what_is_changed_in_python_is_checked_alike() -> None:
    """Sections are whole specs; features and inputs have to fit whichever of them is changed."""
    watched = frozen(monitor=Monitor(inputs=("hour", "carrier")))
    assert watched.replace(features=("carrier", "hour")).monitor == watched.monitor
    with pytest.raises(ConfigError, match=r"no feature 'carrier'") as caught:
        watched.replace(features=("hour", "distance"))
    assert (caught.value.code, caught.value.path) == ("CFG050", "monitor.inputs")
    with pytest.raises(ConfigError, match="CFG050"):
        frozen(monitor=Monitor(inputs=("speed",)))
    assert watched.replace(monitor=Monitor()).digest == DIGEST
    assert frozen(retrain=Retrain(policy="drift")).replace(retrain=Retrain()).to_yaml() == TEXT
    with pytest.raises(ConfigError) as caught:
        Retrain().replace(windows=5)
    assert caught.value.path == "windows"


MONITORS = st.fixed_dictionaries(
    {},
    optional={
        "inputs": st.lists(st.sampled_from(["hour", "distance", "carrier"]), unique=True),
        "window_days": st.integers(1, 366),
        "alarms_per_year": st.floats(1e-6, 1e6),
        "min_effect": st.floats(0, 1, exclude_max=True),
        "min_rows": st.integers(30, 10**9),
        "min_coverage": st.floats(0, 1),
    },
)


@given(MONITORS)
def test_any_monitor_is_written_and_read_alike(values) -> None:
    """And its level is one that a test can work with, however rare or long its windows are."""
    monitor = Monitor.from_values(values, path="monitor")
    assert Monitor.from_values(yaml.safe_load(yaml.safe_dump(monitor.dump()))) == monitor
    assert 0 < monitor.window_alpha <= 0.05
    assert monitor.replace(alpha=0.2).window_alpha == 0.2
    assert (monitor == Monitor()) == (monitor.dump() == {})


def test_the_level_follows_from_alarms_and_windows() -> None:
    """Twice the alarms or windows twice as long: twice the chance in each."""
    level = Monitor().window_alpha
    assert level == pytest.approx(7 / 365)
    assert Monitor(alarms_per_year=2.0).window_alpha == pytest.approx(2 * level)
    assert Monitor(window_days=14).window_alpha == pytest.approx(2 * level)
    assert Monitor(alarms_per_year=1e6).window_alpha == 0.05


def test_freezing_writes_out_what_was_asked(home, flights) -> None:
    """Rules that are given stand in the file; inputs that are no features stop it before one is written."""
    project = make_project()
    project.publish_features("features.flights", flights.dropna())
    study = project.study(ridge, project.snapshot("features.flights"), trials=1, cv=2, seed=5)
    gate = Gate(threshold=25)
    with pytest.raises(ConfigError, match="CFG050"):
        project.freeze(study.best, gate=gate, monitor=Monitor(inputs=("no_such_feature",)))
    assert not Path("models").exists()
    retrain = Retrain(policy="hybrid", cooldown_days=0)
    asked = project.freeze(study.best, gate=gate, monitor=Monitor(window_days=1), retrain=retrain)
    written = yaml.safe_load(asked.path.read_text())
    assert written["retrain"] == {"policy": "hybrid", "cooldown_days": 0}
    assert written["monitor"] == {"inputs": list(asked.features), "window_days": 1}
    assert FrozenConfig.load(asked.path).digest == asked.digest


def ridge(trial):
    """A ridge with one parameter."""
    from sklearn.linear_model import Ridge  # noqa: PLC0415 - of one test

    return Ridge(trial.suggest_float("alpha", 0.1, 1))
