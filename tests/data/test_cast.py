"""Exact casts: a value never changes silently, and a harmless widening never disturbs."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlkit.data.contract import Column, Contract
from mlkit.digest.fingerprint import fingerprint
from mlkit.errors import DataError

DAY = dt.date(2024, 5, 1)
MIDNIGHT = dt.datetime.fromisoformat("2024-05-01T00:00:00")
NAN = float("nan")


def contract_of(dtype, **options):
    """A contract of one nullable column."""
    return Contract(columns={"x": Column(dtype=dtype, nullable=True, **options)})


EXACT = {
    "int widens": (pa.array([1, None], pa.int8()), "int64", [1, None]),
    "int narrows if it fits": (pa.array([127, -128]), "int8", [127, -128]),
    "unsigned": (pa.array([255], pa.uint8()), "int64", [255]),
    "whole floats": (pa.array([1.0, NAN, None]), "int64", [1, None, None]),
    "int to float": (pa.array([2**53, None]), "float64", [2.0**53, None]),
    "int to single": (pa.array([2**24]), "float32", [2.0**24]),
    "single to double": (pa.array([0.1], pa.float32()), "float64", [0.10000000149011612]),
    "double to single": (pa.array([0.5, NAN]), "float32", [0.5, None]),
    "infinity": (pa.array([float("inf")]), "float32", [float("inf")]),
    "NaN is missing": (pa.array([NAN, 1.0]), "float64", [None, 1.0]),
    "int to decimal": (pa.array([12, None]), "decimal(4,2)", [Decimal("12.00"), None]),
    "decimal scale": (pa.array([Decimal("1.50")]), "decimal(10,1)", [Decimal("1.5")]),
    "midnight to day": (pa.array([MIDNIGHT, None]), "date", [DAY, None]),
    "day to midnight": (pa.array([DAY]), "timestamp", [MIDNIGHT]),
    "nanoseconds": (
        pa.array([1000], pa.timestamp("ns")),
        "timestamp",
        [dt.datetime.fromtimestamp(1e-6, dt.UTC)],
    ),
    "zone": (
        pa.array([0], pa.timestamp("s", "Asia/Tokyo")),
        "timestamp_utc",
        [dt.datetime.fromtimestamp(0, dt.UTC)],
    ),
    "large text": (pa.array(["a"], pa.large_string()), "string", ["a"]),
    "dictionary": (pa.array(["a", None]).dictionary_encode(), "string", ["a", None]),
    "all null": (pa.nulls(2), "decimal(4,2)", [None, None]),
    "all missing floats for text": (pa.array([NAN, None]), "string", [None, None]),
    "no rows": (pa.array([], pa.string()), "int64", []),
}


@pytest.mark.parametrize("case", EXACT)
def test_exact_casts(case):
    """Values arrive unchanged in the declared type, and with them the fingerprint."""
    array, dtype, expected = EXACT[case]
    contract = contract_of(dtype)
    result = contract.cast(pa.table({"x": array}))
    assert result.schema == contract.arrow_schema()
    found = result.column("x").to_pylist()
    assert [value.replace(tzinfo=None) if isinstance(value, dt.datetime) else value for value in found] == [
        value.replace(tzinfo=None) if isinstance(value, dt.datetime) else value for value in expected
    ]
    assert fingerprint(result) == fingerprint(pa.table({"x": array}))


REFUSED = {
    "too wide": (pa.array([128]), "int8", "DAT046"),
    "fraction": (pa.array([1.5]), "int64", "DAT046"),
    "infinity to int": (pa.array([float("inf")]), "int64", "DAT046"),
    "float beyond 2^53": (pa.array([2.0**54]), "int64", "DAT046"),
    "int beyond 2^53": (pa.array([2**53 + 2]), "float64", "DAT046"),
    "int beyond 2^24": (pa.array([2**24 + 1]), "float32", "DAT046"),
    "double to single": (pa.array([0.1]), "float32", "DAT046"),
    "double beyond single": (pa.array([1e300]), "float32", "DAT046"),
    "decimal digits": (pa.array([Decimal("1.55")]), "decimal(10,1)", "DAT046"),
    "decimal width": (pa.array([1000]), "decimal(4,2)", "DAT046"),
    "time of day": (pa.array([MIDNIGHT + dt.timedelta(hours=1)]), "date", "DAT046"),
    "numbers as text": (pa.array(["1", " 2.5 ", None]), "int64", "DAT054"),
    "numbers as text for floats": (pa.array(["1e3"]), "float64", "DAT054"),
    "other text": (pa.array(["secret"]), "float64", "DAT046"),
    "number for text": (pa.array([1]), "string", "DAT046"),
    "bool for int": (pa.array([True]), "int64", "DAT046"),
    "int for bool": (pa.array([1]), "bool", "DAT046"),
    "float for decimal": (pa.array([1.0]), "decimal(4,2)", "DAT046"),
    "naive for zoned": (pa.array([MIDNIGHT]), "timestamp_utc", "DAT046"),
    "zoned for naive": (pa.array([0], pa.timestamp("us", "UTC")), "timestamp", "DAT046"),
    "bytes for text": (pa.array([b"a"]), "string", "DAT046"),
    "nested": (pa.array([[1]]), "int64", "DAT021"),
    "duration": (pa.array([1], pa.duration("s")), "int64", "DAT024"),
    "lost nanoseconds": (pa.array([1], pa.timestamp("ns")), "timestamp", "DAT032"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_casts(case):
    """What means something else, or would change, is refused with both dtypes and without its value."""
    array, dtype, code = REFUSED[case]
    with pytest.raises(DataError) as caught:
        contract_of(dtype).cast(pa.table({"x": array}))
    error = caught.value
    assert (error.code, error.path) == (code, "x")
    assert error.fix
    assert "secret" not in str(error)
    if code == "DAT046":
        assert f"expected {dtype}, found " in error.message
    assert error.__cause__ is None


@given(st.lists(st.none() | st.integers(-(2**63), 2**63 - 1) | st.floats(), max_size=6))
@settings(deadline=None, max_examples=150)
def test_a_cast_keeps_the_fingerprint_or_refuses(values):
    """For any numbers and any numeric dtype, a cast that succeeds has changed no value."""
    has_float = any(isinstance(value, float) for value in values)
    array = pa.array(
        [None if v is None else float(v) if has_float else v for v in values],
        pa.float64() if has_float else pa.int64(),
    )
    table = pa.table({"x": array})
    for dtype in ("int8", "int32", "int64", "float32", "float64", "decimal(38,4)"):
        contract = contract_of(dtype)
        try:
            result = contract.cast(table)
            same = fingerprint(result) == fingerprint(table)
        except DataError:
            continue
        assert same, dtype


TABLES = {
    "missing": ({"a": [1]}, "DAT045", "b", "missing: b"),
    "extra": ({"a": [1], "b": [1], "c": [1]}, "DAT045", "c", "does not have: c"),
    "case": ({"A": [1], "b": [1]}, "DAT045", "a", "missing: a"),
}


@pytest.mark.parametrize("case", TABLES)
def test_columns_must_be_those_of_the_contract(case):
    """A missing and an unexpected column are both named."""
    values, code, path, message = TABLES[case]
    contract = Contract(columns={name: Column(dtype="int64") for name in ("a", "b")})
    with pytest.raises(DataError) as caught:
        contract.cast(pa.table(values))
    assert (caught.value.code, caught.value.path) == (code, path)
    assert message in caught.value.message


def test_a_column_that_stands_twice():
    """Which of the two is meant cannot be known."""
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["x", "x"])
    with pytest.raises(DataError, match="DAT010"):
        contract_of("int64").cast(table)


def test_long_lists_of_columns_are_cut():
    """An error about a wide table stays readable."""
    contract = Contract(columns={f"c{number}": Column(dtype="int64") for number in range(50)})
    with pytest.raises(DataError, match="and 30 more"):
        contract.cast(pa.table({"c0": [1]}))


def test_columns_come_in_the_order_of_the_contract():
    """The order of a library's columns means nothing."""
    contract = Contract(columns={name: Column(dtype="int64") for name in ("b", "a")})
    assert contract.cast(pa.table({"a": [1], "b": [2]})).column_names == ["b", "a"]
