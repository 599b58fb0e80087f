"""Checks in one canonical form: equal meaning gives equal bytes, and mistakes are named."""

from __future__ import annotations

import datetime as dt
import re
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlkit.data.checks import APPLICABLE, NAMES, canonical, keywords
from mlkit.errors import ConfigError

SAME = [
    ("integer", {"greater_than": 1.0}, {"greater_than": 1}),
    ("integer", {"greater_than": {"min_value": 1}}, {"greater_than": 1}),
    ("integer", {"equal_to": np.int16(3)}, {"equal_to": 3}),
    ("integer", {"isin": (3, 1, 1, 2.0)}, {"isin": [1, 2, 3]}),
    ("integer", {"notin": {"forbidden_values": [2, 1]}}, {"notin": [1, 2]}),
    ("float", {"less_than": -0.0}, {"less_than": 0}),
    ("float", {"less_than": np.float32(0.5)}, {"less_than": 0.5}),
    ("float", {"less_than": 1e300}, {"less_than": 1e300}),
    ("float", {"isin": [0.5, 1.0, 1]}, {"isin": [0.5, 1]}),
    ("bool", {"isin": [True, False]}, {"isin": [False, True]}),
    ("decimal", {"less_than": "1.50"}, {"less_than": 1.5}),
    ("decimal", {"less_than": Decimal("2.00")}, {"less_than": 2}),
    ("decimal", {"less_than": Decimal("0.12345678901234567890")}, {"less_than": "0.1234567890123456789"}),
    ("decimal", {"less_than": 10**30}, {"less_than": 1e30}),
    ("decimal", {"isin": [0.1, "0.10", 0]}, {"isin": [0, 0.1]}),
    ("string", {"isin": {"b", "a"}}, {"isin": ["a", "b"]}),
    ("string", {"str_matches": re.compile("a+")}, {"str_matches": "a+"}),
    ("string", {"str_length": 3}, {"str_length": {"min_value": 3, "max_value": 3}}),
    (
        "string",
        {"str_length": {"exact_value": 3, "min_value": None}},
        {"str_length": {"min_value": 3, "max_value": 3}},
    ),
    ("date", {"greater_than": dt.date(2024, 1, 2)}, {"greater_than": "2024-01-02"}),
    ("date", {"greater_than": pd.Timestamp("2024-01-02")}, {"greater_than": "2024-01-02"}),
    ("timestamp", {"greater_than": "2024-01-02"}, {"greater_than": "2024-01-02T00:00:00"}),
    (
        "timestamp",
        {"greater_than": pd.Timestamp("2024-01-02 03:04")},
        {"greater_than": "2024-01-02T03:04:00"},
    ),
    ("timestamp_utc", {"greater_than": "2024-01-02T00:00Z"}, {"greater_than": "2024-01-02T00:00:00+00:00"}),
    (
        "timestamp_utc",
        {"greater_than": "2024-01-02T02:00+02:00"},
        {"greater_than": "2024-01-02T00:00:00+00:00"},
    ),
    (
        "integer",
        {"in_range": {"min_value": 0, "max_value": 9, "include_min": True, "include_max": False}},
        {"in_range": {"min_value": 0, "max_value": 9, "include_max": False}},
    ),
]


@pytest.mark.parametrize(("kind", "given_checks", "expected"), SAME)
def test_canonical_forms(kind, given_checks, expected):
    """However an argument is written, it is kept in one plain form, and that form is kept as it is."""
    found = canonical(given_checks, kind)
    assert repr(found) == repr(expected)
    assert repr(canonical(found, kind)) == repr(expected)


WRONG = [
    ("integer", {"bigger": 1}, "unknown check"),
    ("bool", {"greater_than": 1}, "makes no sense"),
    ("integer", {"str_matches": "a"}, "makes no sense"),
    ("binary", {"equal_to": "a"}, "makes no sense"),
    ("category of string", {"greater_than": "a"}, "makes no sense"),
    ("integer", {"greater_than": True}, "found bool"),
    ("integer", {"greater_than": "1"}, "found str"),
    ("integer", {"greater_than": 2**63}, "found int"),
    ("float", {"greater_than": float("nan")}, "found float"),
    ("float", {"less_than": float("inf")}, "found float"),
    ("bool", {"equal_to": 1}, "found int"),
    ("string", {"equal_to": 1}, "found int"),
    ("decimal", {"equal_to": "many"}, "found str"),
    ("decimal", {"equal_to": Decimal("NaN")}, "found Decimal"),
    ("decimal", {"equal_to": True}, "found bool"),
    ("date", {"equal_to": "2024-01-01T01:00"}, "kind date"),
    ("date", {"equal_to": "yesterday"}, "kind date"),
    ("timestamp", {"equal_to": "2024-01-01T00:00Z"}, "kind timestamp"),
    ("timestamp_utc", {"equal_to": "2024-01-01T00:00"}, "kind timestamp_utc"),
    ("timestamp", {"equal_to": 5}, "found int"),
    ("integer", {"isin": []}, "list of values"),
    ("string", {"isin": "ab"}, "list of values"),
    ("integer", {"greater_than": {"max_value": 1}}, "expected the arguments min_value"),
    ("integer", {"in_range": 3}, "expected the arguments"),
    ("integer", {"in_range": {"min_value": 0}}, "expected the arguments"),
    ("integer", {"in_range": {"min_value": 0, "max_value": 1, "open": True}}, "expected the arguments"),
    ("integer", {"in_range": {"min_value": 2, "max_value": 1}}, "no value lies"),
    ("integer", {"in_range": {"min_value": 1, "max_value": 1, "include_min": False}}, "no value lies"),
    ("integer", {"in_range": {"min_value": 0, "max_value": 1, "include_min": 1}}, "true or false"),
    ("string", {"str_matches": "("}, "not a regular expression"),
    ("string", {"str_matches": re.compile("a", re.IGNORECASE)}, "flags"),
    ("string", {"str_startswith": 1}, "expected text"),
    ("string", {"str_length": {}}, "expected a length"),
    ("string", {"str_length": -1}, "whole number"),
    ("string", {"str_length": {"min_value": 1.5}}, "whole number"),
    ("string", {"str_length": {"min_value": 2, "max_value": 1}}, "no length lies"),
    ("string", {"str_length": {"exact_value": 2, "max_value": 1}}, "expected a length"),
]


@pytest.mark.parametrize(("kind", "checks", "message"), WRONG)
def test_wrong_checks_are_named(kind, checks, message):
    """A check that could never be kept is a config error at its name, with a way out."""
    with pytest.raises(ConfigError) as caught:
        canonical(checks, kind)
    assert caught.value.code == "CFG009"
    assert caught.value.path.startswith(next(iter(checks)))
    assert message in caught.value.message
    assert caught.value.fix


def test_checks_stand_in_name_order():
    """The order in which checks were written has no meaning and leaves no trace."""
    assert list(canonical({"less_than": 1, "greater_than": 0}, "integer")) == ["greater_than", "less_than"]


def test_every_check_is_known_somewhere():
    """No check can be written that no column takes, and no kind names one that does not exist."""
    assert set().union(*APPLICABLE.values()) == set(NAMES)


@given(
    st.sampled_from(["integer", "float", "decimal"]),
    st.integers(-(2**70), 2**70) | st.floats(allow_nan=False),
)
@settings(deadline=None, max_examples=200)
def test_bounds_keep_their_value(kind, value):
    """A kept bound is the same number, or it is refused."""
    try:
        kept = canonical({"less_than": value}, kind)
    except ConfigError:
        return
    bound = keywords("less_than", kept["less_than"], kind)["max_value"]
    assert bound == (Decimal(str(value)) if kind == "decimal" else value)
