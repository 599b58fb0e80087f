"""From JSON values to frames: the same bits as from tables, and nothing that a column cannot hold."""

from __future__ import annotations

import datetime as dt
import json
import math

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlkit.data.contract import Contract
from mlkit.data.frame import to_frame
from mlkit.production.service.answers import RefusedError
from mlkit.production.service.plan import Plan
from mlkit.production.service.requests import read_body

NAIVE = dt.datetime.fromisoformat
INSTANTS = st.datetimes(NAIVE("1970-01-01"), NAIVE("2100-01-01"))
# Of each dtype: values that a table holds, and what a client writes for them.
VALUES = {
    "bool": (st.booleans(), None),
    "int8": (st.integers(-128, 127), None),
    "int64": (st.integers(-(2**63), 2**63 - 1), None),
    "float64": (st.floats(allow_nan=False, allow_infinity=False), None),
    "float32": (st.floats(allow_nan=False, allow_infinity=False, width=32), None),
    "string": (st.text(st.characters(exclude_categories=["Cs"]), max_size=5), None),
    "date": (st.dates(dt.date(1970, 1, 1), dt.date(2100, 1, 1)), dt.date.isoformat),
    "timestamp": (INSTANTS, dt.datetime.isoformat),
    "timestamp_utc": (INSTANTS.map(lambda moment: moment.replace(tzinfo=dt.UTC)), dt.datetime.isoformat),
    "decimal(9,2)": (st.decimals(-1000, 1000, places=2), str),
    "texts": (st.sampled_from(["a", "b:c", ""]), None),
    "numbers": (st.sampled_from([7, -1]), None),
}
CATEGORIES = {"texts": ["", "a", "b:c", "never"], "numbers": [-1, 7, 9]}


def column(dtype, nullable=False) -> dict:
    """A column of a contract."""
    if dtype in CATEGORIES:
        return {"dtype": "category", "categories": CATEGORIES[dtype], "nullable": nullable}
    return {"dtype": dtype, "nullable": nullable}


@pytest.mark.parametrize("nullable", [False, True])
@pytest.mark.parametrize("dtype", VALUES)
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_a_frame_of_json_equals_that_of_a_table(dtype, nullable, data) -> None:
    """For every dtype, missing values included: bit for bit, dtypes included."""
    strategy, write = VALUES[dtype]
    values = data.draw(st.lists(strategy | st.none() if nullable else strategy, min_size=1, max_size=6))
    contract = Contract.from_values({"columns": {"x": column(dtype, nullable)}})
    table = pa.table({"x": pa.array(values, contract.columns["x"].arrow_type)})
    written = [value if value is None or write is None else write(value) for value in values]
    asked = read_body(json.dumps({"inputs": {"x": written}}).encode(), max_rows=10)
    plan = Plan(contract, ["x"])
    checked = plan.check(asked.columns)
    expected = to_frame(table, contract, ["x"])
    pd.testing.assert_frame_equal(plan.frame(checked), expected, check_exact=True)
    if expected["x"].dtype == np.float64:
        assert np.array_equal(
            plan.frame(checked)["x"].to_numpy().view("i8"), expected["x"].to_numpy().view("i8")
        )
    assert plan.table(checked).equals(table)


@pytest.mark.parametrize(
    ("dtype", "value", "expected"),
    [
        ("int64", 3.0, 3),
        ("float64", 3, 3.0),
        ("float32", 0.1, float(np.float32(0.1))),
        ("decimal(9,2)", 12.3, 12.3),
        ("decimal(9,2)", 12, 12.0),
        ("date", "2024-01-31T00:00:00", pd.Timestamp("2024-01-31")),
        ("timestamp_utc", "2024-01-31T12:00:00+01:00", pd.Timestamp("2024-01-31T11:00Z")),
    ],
)
def test_what_json_writes_otherwise(dtype, value, expected) -> None:
    """JSON has one kind of number and no times."""
    plan = Plan(Contract.from_values({"columns": {"x": column(dtype)}}), ["x"])
    assert plan.frame(plan.check({"x": [value]}))["x"].iloc[0] == expected


@pytest.mark.parametrize(
    ("dtype", "value", "code"),
    [
        ("int8", 128, "NET034"),
        ("int64", 2.0**53, "NET034"),
        ("float32", math.inf, "NET034"),
        ("bool", "true", "NET033"),
        ("string", "\ud800", "NET033"),
        ("numbers", 7.0, "NET033"),
        ("numbers", True, "NET033"),
        ("numbers", 8, "NET048"),
        ("date", "2024-01-31T12:00:00", "NET033"),
        ("timestamp", "2024-01-31T12:00:00Z", "NET033"),
        ("timestamp_utc", "2024-01-31T12:00:00", "NET033"),
        ("timestamp_utc", 1706702400, "NET033"),
        ("decimal(9,2)", 1.234, "NET033"),
        ("decimal(9,2)", "1e30", "NET033"),
        ("decimal(9,2)", "nan", "NET033"),
        ("decimal(9,2)", True, "NET033"),
        ("binary", "eA==", "NET033"),
    ],
)
def test_what_a_column_cannot_hold(dtype, value, code) -> None:
    """It is refused by the column's name."""
    plan = Plan(Contract.from_values({"columns": {"x": column(dtype, nullable=True)}}), ["x"])
    with pytest.raises(RefusedError) as caught:
        plan.check({"x": [None, value]})
    assert (caught.value.code, caught.value.path) == (code, "x")


def test_the_key_comes_whole_or_not_at_all() -> None:
    """It is checked like a feature, and no part of the frame."""
    columns = {name: column("int64") for name in ("a", "b", "x", "label")}
    plan = Plan(Contract.from_values({"columns": columns}), ["x"], ["a", "b"])
    assert list(plan.check({"x": [1]})) == ["x"]
    whole = plan.check({"b": [3], "x": [1], "a": [2]})
    assert plan.table(whole).column_names == ["x", "a", "b"]
    assert list(plan.frame(whole).columns) == ["x"]
    for rows, code in (({"x": [1], "a": [1]}, "NET030"), ({"x": [1], "label": [1]}, "NET032")):
        with pytest.raises(RefusedError) as caught:
            plan.check(rows)
        assert caught.value.code == code


def test_the_example_is_one_that_the_plan_takes() -> None:
    """So that what `mlkit serve` prints can be pasted."""
    columns = {f"column_{number}": column(dtype) for number, dtype in enumerate(VALUES)}
    plan = Plan(Contract.from_values({"columns": columns}), list(columns))
    example = json.dumps({"dataframe_split": plan.example()})
    frame = plan.frame(plan.check(read_body(example.encode(), max_rows=1).columns))
    assert frame.shape == (1, len(columns))
