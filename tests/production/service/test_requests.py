"""Reading bodies: fast and strict readers agree, whatever the body."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mlkit.production.service import requests
from mlkit.production.service.answers import RefusedError
from mlkit.production.service.requests import read_body, read_json

PLAIN = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=4)
)
VALUES = st.recursive(
    PLAIN,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(":ab", max_size=2), inner, max_size=3)
    ),
)


def outcome(body):
    """What reading gives: values, or the code of the refusal."""
    try:
        return read_json(body)
    except RefusedError as exc:
        return exc.code


@given(VALUES)
@example({"inputs": [{"time": "12:30:00"}]})
def test_what_is_json_is_read_as_it_is(values) -> None:
    """With colons in texts, objects in objects, and without the fast reader."""
    body = json.dumps(values).replace("Infinity", "1e999").encode()
    assert read_json(body) == values
    assert requests._read_strictly(body) == values


@pytest.mark.parametrize(
    "body",
    [
        b'{"a": 1, "a": 1}',
        b'{"a": ":", "a": 1}',
        b'{"a": {"b": 1, "b": 1}}',
        b'{"a": [{"b": {"c": 1, "c": 1}}]}',
        b'{"a": [1, {"b": 1, "b": 1}]}',
        b'{"a": [[{"b": 1, "b": 1}]]}',
        b'[{"a": 1, "a": 1}]',
    ],
)
def test_a_key_twice_is_found_wherever_it_stands(body) -> None:
    """Both readers would take the last one without a word."""
    assert outcome(body) == "NET026"


def test_without_the_fast_reader_everything_is_refused_alike(monkeypatch) -> None:
    """It is not a dependency of what serves, only of what serves fast."""
    bodies = [
        b"",
        b"{",
        b'{"a": NaN}',
        b"\xff",
        b"[" * 3000,
        b'{"a": 1, "a": 2}',
        b'{"a": "\\ud800x"}',
        b"01",
        b"{'a': 1}",
    ]
    fast = [outcome(body) for body in bodies]
    monkeypatch.setattr(requests, "orjson", None)
    assert [outcome(body) for body in bodies] == fast


def test_depth_is_looked_for_in_what_is_refused() -> None:
    """64 levels are a value of a wrong kind, 65 are too deep."""
    for levels, code in ((62, "NET029"), (63, "NET028")):
        with pytest.raises(RefusedError) as caught:
            read_body(b'{"inputs": ' + b"[" * levels + b"{}" + b"]" * levels + b"}", max_rows=1)
        assert caught.value.code == code
