"""The boundary of the user's code."""

from __future__ import annotations

import pytest
from sklearn.linear_model import Ridge

from mlkit import Gate, ModelProject
from mlkit.boundary import user_code
from mlkit.errors import ConfigError, DataError, StudyError


def test_what_user_code_raises_says_whose_it_is() -> None:
    """Name, action, type and the first line of the reason; the cause is kept for --debug."""
    cause = LookupError("first line\nsecond line")
    with pytest.raises(StudyError) as caught, user_code("flight_delay:prepare", action="fit"):
        raise cause
    error = caught.value
    assert (error.code, error.path) == ("RUN010", "flight_delay:prepare")
    assert error.message == "fit raised LookupError: first line"
    assert error.__cause__ is cause


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("could not convert string to float: 'Anna'", "could not convert string to float: '..'"),
        ("can't convert 'Anna', don't know why", "can't convert '..', don't know why"),
        ("found 'O'Neil' and \"O'Neil\" in the users' rows", "found '..' and '..' in the users' rows"),
        ("3 rows are wrong", "3 rows are wrong"),
    ],
)
def test_what_a_message_quotes_may_be_data_and_is_left_out(text, shown) -> None:
    """Apostrophes do not mislead, in the message or in the value."""
    with pytest.raises(StudyError) as caught, user_code("x"):
        raise ValueError(text)
    assert caught.value.message == f"call raised ValueError: {shown}"


def test_names_of_the_code_are_shown() -> None:
    """A missing attribute, module, name or key is what the user needs to read."""
    with pytest.raises(StudyError, match="has no attribute 'dropnas'"), user_code("x"):
        [].dropnas()
    with pytest.raises(StudyError, match="KeyError: 'hours'"), user_code("x"):
        {}["hours"]


@pytest.mark.parametrize("text", ["", "  \n "])
def test_an_error_without_words_is_still_a_sentence(text) -> None:
    """Many errors carry no message."""
    with pytest.raises(StudyError, match="call raised ValueError: no message"), user_code("x"):
        raise ValueError(text)


@pytest.mark.parametrize("error", [DataError("DAT001", "ours"), KeyboardInterrupt(), SystemExit(3)], ids=repr)
def test_our_own_errors_and_exits_pass(error) -> None:
    """What already says enough, and what is no error, is not wrapped."""
    with pytest.raises(type(error)) as caught, user_code("x"):
        raise error
    assert caught.value is error


def test_no_error_no_trace() -> None:
    """The context gives nothing and keeps nothing."""
    with user_code("x") as given:
        done = True
    assert (given, done) == (None, True)


def test_what_an_exception_quotes_is_left_out_unless_it_is_a_name() -> None:
    """A value of the data never reaches a message; the name of a column or attribute does."""
    with pytest.raises(StudyError) as caught, user_code("prep:prepare"):
        float("secret value")
    assert "secret value" not in str(caught.value)
    assert "could not convert string to float" in str(caught.value)
    with pytest.raises(StudyError, match="KeyError: 'dest'"), user_code("prep:prepare"):
        _ = {}["dest"]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (
            lambda project: project.study(lambda _: None, [1], trials=1),
            "snapshot: expected a Snapshot, found a list",
        ),
        (lambda project: project.split([1]), "snapshot: expected a Snapshot, found a list"),
        (lambda project: project.study(Ridge, [1], trials=1), r"class Ridge\n  fix: lambda trial: Ridge\("),
        (lambda project: project.study(Ridge(), [1], trials=1), r"a Ridge\n  fix: lambda trial: Ridge\("),
        (lambda project: project.study("ridge", [1], trials=1), "search: expected a function .* found a str"),
        (lambda project: project.evaluate("best"), "trial: expected a Trial, found a str"),
        (lambda project: project.freeze("best", gate=Gate(threshold=1)), "trial: expected a Trial"),
        (lambda project: project.plan("flights"), "config: expected a FrozenConfig, found a str"),
        (lambda project: project.deploy("flights"), r"FrozenConfig\.load\('models/<name>\.yaml'\)"),
        (lambda project: project.handoff("flights"), "config: expected a FrozenConfig"),
    ],
)
def test_what_is_none_of_what_a_method_takes_is_named(call, said) -> None:
    """A dataframe for a snapshot, a study for its trial, a name for a config: the way out is said."""
    with pytest.raises(ConfigError, match=said) as caught:
        call(ModelProject("flights", target="delay", metric="rmse"))
    assert caught.value.code == "CFG009"
