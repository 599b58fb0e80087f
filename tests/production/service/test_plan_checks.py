"""What a plan lets through and hands on, column by column."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from mlkit.data.contract import Contract
from mlkit.production.service.answers import RefusedError
from mlkit.production.service.plan import Plan

HALF = 2**53


def plan(dtype="float64", *, nullable=False, names=("x",), key=(), **more) -> Plan:
    """A plan whose columns are all of one kind."""
    column = {"dtype": dtype, "nullable": nullable, **more}
    return Plan(Contract.from_values({"columns": dict.fromkeys((*names, *key), column)}), names, key)


def refused(made, columns) -> RefusedError:
    """Why a plan does not take them."""
    with pytest.raises(RefusedError) as caught:
        made.check(columns)
    return caught.value


@pytest.mark.parametrize(
    ("dtype", "value", "expected"),
    [
        ("int8", -128, -128),
        ("int8", 127.0, 127),
        ("int16", -0.0, 0),
        ("int64", float(HALF - 1), HALF - 1),
        ("int64", -(2**63), -(2**63)),
        ("float64", 2**63, 2.0**63),
        ("float64", -1.7976931348623157e308, -1.7976931348623157e308),
        ("decimal(5,2)", "1e2", Decimal("100.00")),
        ("decimal(5,2)", -999.99, Decimal("-999.99")),
        ("decimal(5,2)", 0.1, Decimal("0.10")),
        ("date", "0001-01-01", dt.date(1, 1, 1)),
        ("timestamp_utc", "2024-01-31T23:30:00-01:00", dt.datetime(2024, 2, 1, 0, 30, tzinfo=dt.UTC)),
        ("string", "", ""),
        ("string", "😀", "😀"),
    ],
)
def test_values_at_the_edge_are_taken(dtype, value, expected) -> None:
    """As the column holds them, beside a missing one and without."""
    for values in ([value], [None, value]):
        [*_, found] = plan(dtype, nullable=True).check({"x": values})["x"]
        assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("dtype", "value", "code"),
    [
        ("int8", -129, "NET034"),
        ("int8", 128.0, "NET034"),
        ("int64", -(2**63) - 1, "NET034"),
        ("int64", -float(HALF), "NET034"),
        ("int64", "1", "NET033"),
        ("float64", True, "NET033"),
        ("float64", [1.0], "NET033"),
        ("decimal(5,2)", 1000, "NET033"),
        ("decimal(5,2)", 0.001, "NET033"),
        ("decimal(5,2)", "one", "NET033"),
        ("date", "31.01.2024", "NET033"),
        ("date", "2024-01-31T00:00:00Z", "NET033"),
        ("timestamp_utc", "0001-01-01T00:00:00+14:00", "NET033"),
        ("string", {"a": 1}, "NET033"),
        ("bool", 0, "NET033"),
    ],
)
def test_values_beyond_the_edge_are_not(dtype, value, code) -> None:
    """By column, and without the value."""
    error = refused(plan(dtype), {"x": [value]})
    assert (error.code, error.path) == (code, "x")
    assert str(value) not in error.message


@pytest.mark.parametrize("dtype", ["int64", "float64", "bool", "string", "date", "decimal(5,2)"])
def test_a_missing_value_only_where_the_contract_allows_it(dtype) -> None:
    """For every kind of column; a column of nothing else is fine there."""
    assert refused(plan(dtype), {"x": [None]}).code == "NET047"
    made = plan(dtype, nullable=True)
    checked = made.check({"x": [None, None]})
    assert checked == {"x": [None, None]}
    assert made.frame(checked)["x"].isna().all()


def test_kinds_that_were_found_are_named_in_json_words() -> None:
    """All of them, in one order."""
    error = refused(plan("string"), {"x": [1, 1.5, True, [], {}, "text"]})
    words = "a list, a number, a number with a fraction, an object, true or false"
    assert error.message == f"expected a text, found {words}"


def test_the_first_column_that_is_missing_or_too_many_is_named() -> None:
    """What is missing comes first; the fix lists what is wanted."""
    made = plan(names=("a", "b", "c"))
    error = refused(made, {"b": [1], "z": [1]})
    assert (error.code, error.path, error.fix) == ("NET030", "a", "columns: a, b, c")
    error = refused(made, {"a": [1], "b": [1], "c": [1], "z\u0000\u202e": [1], "y": [1]})
    assert (error.code, error.path) == ("NET032", "z")


def test_columns_come_in_the_order_of_the_model() -> None:
    """Whatever order the client has; a key that is a feature is one column."""
    made = Plan(plan(names=("b", "a"), key=("k",))._contract, ("b", "a"), ("a", "k"))
    assert made.key == ("k",)
    checked = made.check({"k": [1], "a": [2], "b": [3]})
    assert list(checked) == ["b", "a", "k"]
    assert made.frame(checked).to_dict("list") == {"b": [3.0], "a": [2.0]}


def test_categories_keep_their_codes_whatever_a_request_holds() -> None:
    """A model sees all categories, in their order, in each frame."""
    made = plan("category", nullable=True, categories=["c", "a", "b"])
    found = made.frame(made.check({"x": ["b", None, "c"]}))["x"]
    assert found.cat.categories.tolist() == ["c", "a", "b"]
    assert found.cat.codes.tolist() == [2, -1, 0]
    error = refused(made, {"x": ["B"]})
    assert (error.code, "3 categories" in error.message) == ("NET048", True)


def test_zero_has_one_sign_in_a_frame() -> None:
    """So that equal rows are equal bits."""
    for dtype in ("float64", "float32"):
        made = plan(dtype)
        assert not np.signbit(made.frame(made.check({"x": [-0.0]}))["x"].to_numpy()).any()


def test_what_was_checked_is_a_copy() -> None:
    """The values of the request stay as they came."""
    values = [1.0, 2]
    checked = plan("int64").check({"x": values})
    assert (checked["x"], values) == ([1, 2], [1.0, 2])
    assert isinstance(values[0], float)


def test_a_frame_has_plain_labels_and_numbers_its_rows() -> None:
    """The same with every pandas."""
    made = plan(names=("a", "b"))
    frame = made.frame(made.check({"a": [1, 2], "b": [3, 4]}))
    assert frame.columns.dtype == object
    pd.testing.assert_index_equal(frame.index, pd.RangeIndex(2))
