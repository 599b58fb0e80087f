"""When a model is trained again: the policy answers from what was seen, alone and always alike."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlkit.errors import ConfigError
from mlkit.model.retraining import Retrain, drift_sentence, has_drifted, judge

VERDICTS = st.lists(
    st.sampled_from(["OK", "WARN", "DRIFT", "NO_DATA", "INSUFFICIENT_DATA", "ERROR"]), max_size=8
)
POLICIES = ("alert", "schedule", "drift", "hybrid")


@st.composite
def rules(draw):
    """Any policy that makes sense."""
    of = draw(st.integers(1, 6))
    return Retrain(
        policy=draw(st.sampled_from(POLICIES)),
        every_days=draw(st.integers(1, 60)),
        windows=draw(st.integers(1, of)),
        of=of,
    )


@given(rules(), VERDICTS)
def test_drift_is_asked_of_the_last_windows_only(rule, verdicts):
    """What lies further back says nothing; without drift in the newest window there is none."""
    found = has_drifted(rule, verdicts)
    full = ["OK"] * rule.of + verdicts
    assert found == has_drifted(rule, full) == has_drifted(rule, ["DRIFT", *full[-rule.of :]])
    assert not has_drifted(rule, [*verdicts, "OK"])
    assert has_drifted(rule, [*verdicts, *["DRIFT"] * rule.windows])
    if found:
        assert sum(verdict == "DRIFT" for verdict in verdicts) >= rule.windows


@given(rules(), st.floats(0, 100), VERDICTS)
def test_a_wish_is_age_or_drift_as_the_policy_says(rule, age, verdicts):
    """The policy that only tells never wants; each other one wants for its own reasons, and says them."""
    old, drifted = age >= rule.every_days, has_drifted(rule, verdicts)
    wish = judge(rule, age_days=age, verdicts=verdicts)
    assert wish.wanted == {
        "alert": False, "schedule": old, "drift": drifted, "hybrid": old or drifted,
    }[rule.policy]  # fmt: skip
    told = [reason.split(":")[0] for reason in wish.reasons]
    assert told == {
        "alert": ["drift", "policy alert"], "schedule": ["schedule"], "drift": ["drift"],
        "hybrid": ["schedule", "drift"],
    }[rule.policy]  # fmt: skip
    assert judge(rule, age_days=age, verdicts=tuple(verdicts)) == wish


@pytest.mark.parametrize(
    ("windows", "of", "verdicts", "found"),
    [
        (1, 1, ["DRIFT"], True),
        (1, 1, [], False),
        (1, 3, ["DRIFT", "OK"], False),
        (2, 3, ["DRIFT", "OK", "DRIFT"], True),
        (2, 3, ["DRIFT", "OK", "OK", "DRIFT"], False),
        (2, 3, ["DRIFT"], False),
        (3, 3, ["DRIFT", "DRIFT"], False),
        (2, 2, ["WARN", "DRIFT"], False),
        (1, 100, ["OK"] * 120 + ["DRIFT"], True),
    ],
)
def test_so_many_of_the_last_windows(windows, of, verdicts, found):
    """Fewer windows than are looked at are enough if enough of them drifted; a warning is no drift."""
    assert has_drifted(Retrain(windows=windows, of=of), verdicts) is found


def test_a_model_is_due_on_the_day_itself():
    """Not an hour before, and the sentence says how old it is."""
    rule = Retrain(policy="schedule", every_days=30)
    early = judge(rule, age_days=29.96, verdicts=["DRIFT"] * 3)
    due = judge(rule, age_days=30.0, verdicts=[])
    assert (early.wanted, due.wanted) == (False, True)
    assert early.reasons == ("schedule: not due, 30.0 of 30 days have passed",)
    assert due.reasons == ("schedule: due, 30.0 of 30 days have passed",)


def test_the_sentence_counts_what_was_looked_at():
    """Of a hundred windows only the last three; before the first there is nothing to count."""
    rule = Retrain(windows=2, of=3)
    assert drift_sentence(rule, []) == "no window was checked yet"
    assert drift_sentence(rule, ["DRIFT"] * 97 + ["OK", "DRIFT", "WARN"]) == (
        "1 of the last 3 windows, the last one WARN; 2 of 3 with the last one are asked for"
    )
    assert drift_sentence(rule, ["DRIFT"]).startswith("1 of the last 1 windows, the last one DRIFT")


@pytest.mark.parametrize(
    ("policy", "by_schedule", "by_drift"),
    [("alert", False, False), ("schedule", True, False), ("drift", False, True), ("hybrid", True, True)],
)
def test_what_a_policy_goes_by(policy, by_schedule, by_drift):
    """Age, drift, either or neither."""
    rule = Retrain(policy=policy)
    assert (rule.by_schedule, rule.by_drift) == (by_schedule, by_drift)


@pytest.mark.parametrize(
    ("values", "path", "code"),
    [
        ({"windows": 4}, "retrain.windows", "CFG009"),
        ({"of": 1}, "retrain.windows", "CFG009"),
        ({"every_days": 0}, "retrain.every_days", "CFG009"),
        ({"every_days": 3661}, "retrain.every_days", "CFG009"),
        ({"every_days": 30.5}, "retrain.every_days", "CFG009"),
        ({"cooldown_days": "7"}, "retrain.cooldown_days", "CFG009"),
        ({"min_new_rows": -1}, "retrain.min_new_rows", "CFG009"),
        ({"windows": True}, "retrain.windows", "CFG009"),
        ({"policy": "Drift"}, "retrain.policy", "CFG009"),
        ({"every_day": 7}, "retrain.every_day", "CFG006"),
    ],
)
def test_a_wrong_value_is_named_where_it_stands(values, path, code):
    """In the file and in Python alike: nothing is rounded or guessed."""
    with pytest.raises(ConfigError) as caught:
        Retrain.from_values(values, path="retrain")
    assert (caught.value.path, caught.value.code) == (path, code)
    with pytest.raises(ConfigError) as caught:
        Retrain(**values)
    assert "retrain." + caught.value.path == path


def test_a_default_says_nothing_and_a_copy_is_checked():
    """What is written is what differs; a change that makes no sense is refused."""
    assert Retrain().dump() == {}
    rule = Retrain(policy="hybrid", windows=3, cooldown_days=0)
    assert rule.dump() == {"policy": "hybrid", "windows": 3, "cooldown_days": 0}
    assert Retrain.from_values(rule.dump()) == rule
    assert rule.replace(of=5).windows == 3
    with pytest.raises(ConfigError, match="cannot have drifted"):
        rule.replace(of=2)
