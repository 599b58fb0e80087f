"""The shapes of a body, read by themselves: what they hold, and what they may not."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlkit.production.service.answers import RefusedError
from mlkit.production.service.requests import Asked, read_body

CELLS = st.none() | st.booleans() | st.integers(-9, 9) | st.text(':"{}, é', max_size=3)
NAMES = st.lists(st.text(max_size=3), min_size=1, max_size=4, unique=True)


def asked(values, *, max_rows=10) -> Asked:
    """What these values ask for."""
    return read_body(json.dumps(values).encode(), max_rows=max_rows)


def refusal(values, *, max_rows=10) -> tuple[str, str]:
    """Code and place of the refusal."""
    with pytest.raises(RefusedError) as caught:
        asked(values, max_rows=max_rows)
    return caught.value.code, caught.value.path


@given(st.data(), NAMES, st.integers(1, 4))
def test_one_table_in_any_shape_asks_for_the_same(data, names, count) -> None:
    """Whatever its columns are called, and whatever stands in them."""
    rows = [[data.draw(CELLS) for _ in names] for _ in range(count)]
    records = [dict(zip(names, row, strict=True)) for row in rows]
    columns = {name: [row[place] for row in rows] for place, name in enumerate(names)}
    for body in (
        {"dataframe_split": {"columns": names, "data": rows}},
        {"dataframe_split": {"columns": names, "data": rows, "index": None}},
        {"dataframe_records": records},
        {"inputs": records},
        {"inputs": columns},
        {"instances": records},
        {"instances": columns},
    ):
        found = asked(body)
        assert ({name: list(values) for name, values in found.columns.items()}, found.rows) == (
            columns,
            count,
        )


@pytest.mark.parametrize(
    ("besides", "proba", "name"),
    [
        ({}, False, ""),
        ({"params": None}, False, ""),
        ({"params": {}}, False, ""),
        ({"params": {"proba": False}}, False, ""),
        ({"params": {"proba": True}, "client_request_id": "r:1"}, True, "r:1"),
        ({"client_request_id": 7}, False, ""),
        ({"client_request_id": None}, False, ""),
    ],
)
def test_what_may_stand_beside_the_rows(besides, proba, name) -> None:
    """An id that is no text is as none."""
    found = asked({"inputs": [{"x": 1}], **besides})
    assert (found.with_probabilities, found.client_request_id) == (proba, name)


@pytest.mark.parametrize(
    "params", [{"proba": 1}, {"proba": None}, {"proba": "true"}, {"Proba": True}, [], "x", 0]
)
def test_a_parameter_that_is_not_known(params) -> None:
    """Also a known one of another kind: a guess could be wrong."""
    assert refusal({"inputs": [{"x": 1}], "params": params}) == ("NET046", "params")


@pytest.mark.parametrize(
    "rows",
    [
        {"dataframe_split": {"columns": ["x"], "data": [[1]] * 4}},
        {"dataframe_records": [{"x": 1}] * 4},
        {"inputs": {"x": [1] * 4}},
        {"instances": [{"x": 1}] * 4},
    ],
)
def test_as_many_rows_as_are_allowed_and_no_more(rows) -> None:
    """In every shape; the message has both numbers."""
    assert asked(rows, max_rows=4).rows == 4
    assert refusal(rows, max_rows=3) == ("NET024", "body")
    with pytest.raises(RefusedError, match="at most 3 rows, found 4"):
        asked(rows, max_rows=3)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"dataframe_split": []}, ("NET029", "dataframe_split")),
        ({"dataframe_split": {"columns": "x", "data": [[1]]}}, ("NET029", "dataframe_split")),
        ({"dataframe_split": {"columns": [1], "data": [[1]]}}, ("NET029", "dataframe_split")),
        ({"dataframe_split": {"columns": ["x"], "data": [1]}}, ("NET029", "dataframe_split")),
        ({"dataframe_split": {"columns": ["x"], "data": [[1]], "dtype": 1}}, ("NET029", "dataframe_split")),
        ({"dataframe_split": {"columns": ["x"], "data": [[1], [1, 2]]}}, ("NET029", "dataframe_split.data")),
        ({"dataframe_split": {"columns": ["x", "x"], "data": []}}, ("NET031", "body")),
        ({"dataframe_records": {"x": [1]}}, ("NET029", "dataframe_records")),
        ({"dataframe_records": [{"x": 1}, {}]}, ("NET030", "x")),
        ({"dataframe_records": [{}, {"x\n": 1}]}, ("NET030", "x")),
        ({"dataframe_records": [{"b": 1, "a": 1}, {"c": 1}]}, ("NET030", "a")),
        ({"inputs": {}}, ("NET029", "inputs")),
        ({"inputs": {"x": 1}}, ("NET029", "inputs")),
        ({"inputs": {"x": [1], "y": [1, 2]}}, ("NET029", "inputs")),
        ({"inputs": "x"}, ("NET029", "inputs")),
        ({"instances": None}, ("NET029", "inputs")),
        ({"inputs": [{"x": 1}], "b": 1, "a\t": 1}, ("NET029", "a")),
        ({"params": {}}, ("NET029", "body")),
        (None, ("NET029", "body")),
    ],
)
def test_a_shape_that_is_none(body, expected) -> None:
    """The place is named, with no character that does not print."""
    assert refusal(body) == expected
