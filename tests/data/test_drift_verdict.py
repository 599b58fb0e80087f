"""The verdict on a window, and the rule it follows."""

from __future__ import annotations

import pytest

from mlkit.data.drift import Comparison, adjusted, judge_window, levels
from mlkit.data.monitor_spec import Monitor
from mlkit.errors import ConfigError

RULE = Monitor(alpha=0.01)


def found(p_value: float, *, effect: float = 0.3, rows: int = 5000, visible: float = 0.05) -> Comparison:
    """A comparison of which only this matters."""
    zeros = dict.fromkeys(("psi", "js", "tv", "l_infinity", "chi2", "w1"), 0.0)
    return Comparison(
        p_value=p_value,
        ks=effect,
        missing=(0, 0),
        outside=(0, 0),
        rows=(9000, rows),
        visible=visible,
        **zeros,
    )


def verdict(comparison: Comparison, **options) -> str:
    """The verdict on the output alone."""
    return judge_window({"prediction": comparison}, RULE, **options).verdict


@pytest.mark.parametrize(
    ("comparison", "expected"),
    [
        (found(0.5), "OK"),
        (found(0.0101), "OK"),
        (found(0.01), "WARN"),
        (found(0.0011), "WARN"),
        (found(0.001), "DRIFT"),
        (found(0.001, effect=0.09), "OK"),
        (found(0.001, rows=99), "INSUFFICIENT_DATA"),
        (found(0.5, visible=0.11), "INSUFFICIENT_DATA"),
        (found(0.01, visible=0.11), "WARN"),
    ],
)
def test_one_window(comparison, expected):
    """An alarm needs a p-value and an effect, silence needs rows enough to have seen one."""
    assert verdict(comparison) == expected


@pytest.mark.parametrize(
    ("earlier", "expected"),
    [
        ([], "WARN"),
        (["OK"], "WARN"),
        (["WARN"], "DRIFT"),
        (["DRIFT"], "DRIFT"),
        (["WARN", "OK"], "WARN"),
        (["OK", "WARN", "INSUFFICIENT_DATA"], "DRIFT"),
        (["NO_DATA", "ERROR"], "WARN"),
    ],
)
def test_two_windows_running(earlier, expected):
    """The second alarm in a row is drift; windows that could not be judged may lie between them."""
    assert verdict(found(0.01), earlier={"prediction": earlier}) == expected
    assert verdict(found(0.5), earlier={"prediction": earlier}) == "OK"
    assert verdict(found(0.01), earlier={"input_x": earlier}) == "WARN"


def test_a_log_with_gaps_is_not_judged():
    """What is missing from the log may be what changed."""
    assert verdict(found(0.001), coverage=0.94) == "INSUFFICIENT_DATA"
    assert verdict(found(0.001), coverage=0.95) == "DRIFT"


def test_the_worst_column_decides():
    """Each column has its own verdict and reason; those that are not OK are said."""
    columns = {
        "prediction": found(0.5),
        "input_a": found(0.004),
        "input_b": found(1e-9),
        "input_c": found(0.9),
    }
    judged = judge_window(columns, RULE)
    assert {name: each.verdict for name, each in judged.columns.items()} == {
        "prediction": "OK", "input_a": "OK", "input_b": "DRIFT", "input_c": "OK",
    }  # fmt: skip
    assert (judged.verdict, len(judged.reasons)) == ("DRIFT", 1)
    assert judged.reasons[0].startswith("input_b: 30.0% of the rows moved")
    assert judged.to_dict()["columns"]["input_b"]["effect"] == 0.3
    assert judge_window({}, RULE).verdict == "INSUFFICIENT_DATA"


def test_what_many_columns_cost():
    """Half for the output and half for the inputs, by Holm; alone, either has all of it."""
    assert adjusted({"prediction": 0.01}) == {"prediction": 0.01}
    assert adjusted({"input_a": 0.01, "input_b": 0.04}) == {"input_a": 0.02, "input_b": 0.04}
    both = adjusted({"prediction": 0.5, "input_a": 0.01, "input_b": 0.5})
    assert both == {"prediction": 1.0, "input_a": 0.04, "input_b": 1.0}
    freed = adjusted({"prediction": 0.001, "input_a": 0.01, "input_b": 0.5})
    assert freed == {"prediction": 0.002, "input_a": 0.02, "input_b": 0.5}
    several = adjusted({"prediction": 0.01, "probability_x": 0.02, "input_a": 0.9})
    assert several == {"prediction": 0.04, "probability_x": 0.04, "input_a": 0.9}


def test_the_level_of_each_column_adds_up_to_alpha():
    """It is what an only change has to reach, so that a comparison can say what it could have seen."""
    names = ["prediction", *(f"input_{place}" for place in range(5))]
    found_levels = levels(names, RULE)
    assert sum(found_levels.values()) == pytest.approx(0.01)
    assert found_levels["prediction"] == 0.005
    least = dict.fromkeys(names, 1.0) | {"input_3": found_levels["input_3"]}
    assert adjusted(least)["input_3"] == pytest.approx(0.01)
    assert levels(["input_a"], RULE) == {"input_a": 0.01}


def test_alpha_follows_from_a_yearly_budget():
    """One false alarm a year: the longer a window, the fewer there are, and the more each may cost."""
    assert Monitor(window_days=1).window_alpha == pytest.approx(1 / 365)
    assert Monitor(window_days=7, alarms_per_year=2.0).window_alpha == pytest.approx(14 / 365)
    assert (Monitor(window_days=90).window_alpha, Monitor(alpha=0.2).window_alpha) == (0.05, 0.2)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("alpha", 0.0),
        ("alpha", 1.0),
        ("min_rows", 29),
        ("window_days", 0),
        ("alarms_per_year", 0.0),
        ("min_effect", 1.0),
        ("min_coverage", 1.1),
    ],
)
def test_numbers_that_no_test_works_with(field, value):
    """They are refused where they are written."""
    with pytest.raises(ConfigError) as caught:
        Monitor(**{field: value})
    assert (caught.value.code, caught.value.path) == ("CFG018", field)


def test_inputs_are_features():
    """An input is named once, and one of the model's."""
    with pytest.raises(ConfigError, match=r"\[CFG050\] inputs: 'a' stands twice"):
        Monitor(inputs=("a", "a"))
    with pytest.raises(ConfigError, match=r"\[CFG050\] monitor.inputs: the model has no feature 'b'"):
        Monitor(inputs=("a", "b")).check_inputs(("a", "c"))
