"""The rehearsal of a model, of an example that lies in a folder and of one that does not."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mlkit.errors import IntegrityError, StudyError
from mlkit.production.service.rehearse import ANSWERS_FILE, EXAMPLE, example_rows, rehearse
from tests.production.service.standin import FEATURES, ROW, scorer

ROWS = [ROW, {**ROW, "hour": 8}, {**ROW, "distance": None}]


class Says:
    """Answers what a function makes of the hours."""

    def __init__(self, function=lambda hours: hours) -> None:
        self.function = function

    def predict(self, frame):
        """As a regression."""
        return self.function(frame["hour"].to_numpy(float))


@pytest.fixture
def stored(tmp_path):
    """A function that stores an example and its answers, as text or values, and gives who answers."""

    def store(model=None, *, example=ROWS, answers=None):
        if example is not None:
            split = {"columns": list(FEATURES), "data": [[row[name] for name in FEATURES] for row in example]}
            (tmp_path / EXAMPLE).write_text(json.dumps({"dataframe_split": split}))
        if answers is not None:
            text = answers if isinstance(answers, str) else json.dumps(answers)
            (tmp_path / ANSWERS_FILE).write_text(text)
        return scorer(model or Says(), folder=tmp_path)

    return store


def test_the_example_is_read_in_the_types_of_the_contract(stored) -> None:
    """Missing values included; the label and the key are not in it."""
    rows = example_rows(stored())
    assert rows.column_names == list(FEATURES)
    assert rows.column("hour").type == "int32"
    assert rows.column("distance").to_pylist() == [120.5, 120.5, None]


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "{",
        "[]",
        "{}",
        '{"inputs": []}',
        '{"dataframe_split": {}}',
        '{"dataframe_split": [[1]]}',
        '{"dataframe_split": {"columns": ["hour"], "data": [[1]]}}',
        '{"dataframe_split": {"columns": ["hour"], "data": [[1, 2]]}}',
        '{"dataframe_split": {"columns": ["hour"], "data": [1]}}',
    ],
)
def test_without_an_example_that_reads_nothing_is_batched(stored, tmp_path, text) -> None:
    """A model of somebody else may have none: it serves all the same, one request at a time."""
    served = stored(example=None)
    if text is not None:
        (tmp_path / EXAMPLE).write_text(text)
    assert example_rows(served) is None
    assert rehearse(served) is False


def test_an_example_whose_values_the_contract_does_not_take(stored) -> None:
    """As none; one of no rows proves nothing."""
    assert example_rows(stored(example=[{**ROW, "carrier": "never seen"}])) is None
    assert rehearse(stored(example=[])) is False


@pytest.mark.parametrize(
    ("answers", "same"),
    [
        (None, True),
        ({"prediction": [7.0, 8.0, 7.0]}, True),
        ({"prediction": [7, 8, 7]}, True),
        ({"prediction": [7.0 + 1e-7, 8.0, 7.0]}, True),
        ("no JSON", True),
        ("[1]", True),
        ({"prediction": [7.0 + 1e-4, 8.0, 7.0]}, False),
        ({"prediction": [8.0, 7.0, 7.0]}, False),
        ({"prediction": [7.0, 8.0]}, False),
        ({"prediction": [7.0, 8.0, 7.0], "probability_a": [1.0, 1.0, 1.0]}, False),
        ({"prediction": ["7.0", "8.0", "7.0"]}, False),
        ({"prediction": [7.0, None, 7.0]}, False),
    ],
)
def test_answers_are_compared_with_those_of_where_it_was_made(stored, answers, same) -> None:
    """But for what another machine adds up in another order."""
    if same:
        assert rehearse(stored(answers=answers)) is True
    else:
        with pytest.raises(IntegrityError) as caught:
            rehearse(stored(answers=answers))
        assert caught.value.code == "INT042"
        assert caught.value.path in {"prediction", "probability_a"}


@pytest.mark.parametrize("odd", [np.nan, np.inf])
def test_an_answer_that_is_not_finite_is_itself(stored, odd) -> None:
    """Here as where it was made: such a row is answered with null."""
    answers = json.dumps({"prediction": [7.0, odd, 7.0]})
    model = Says(lambda hours: np.where(hours == 8, odd, hours))
    assert rehearse(stored(model, answers=answers)) is True


def test_what_depends_on_its_neighbours_is_not_batched(stored) -> None:
    """On how many there are, on the ones before, or only in large batches."""
    for function in (
        lambda hours: hours + len(hours) * 1e-13,
        np.cumsum,
        lambda hours: np.nextafter(hours, 99) if len(hours) > 100 else hours,
    ):
        assert rehearse(stored(Says(function))) is False


def test_a_model_that_raises_or_answers_in_another_shape_does_not_serve(stored) -> None:
    """An error of its own, not of the machine."""
    for function in (lambda hours: 1 / 0, lambda hours: hours[:1]):
        with pytest.raises(StudyError):
            rehearse(stored(Says(function)))
