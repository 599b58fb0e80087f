"""SQL conditions: a store that tests them admits what pandera passes, and nothing is half said."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pyarrow as pa
import pytest
from deltalake import DeltaTable, QueryBuilder, write_deltalake
from deltalake.exceptions import DeltaError

from mlkit.data.contract import Column, Contract

DAYS = [dt.date(2024, 1, day) for day in (1, 2, 3)]
SINGLES = [0.1, 0.5, -1.0, float("inf"), float("nan"), None]
COLUMNS = {
    "i": (pa.array([-3, 0, 1, 127, None], pa.int8()), {"dtype": "int8"}),
    "l": (pa.array([-(2**63), 0, 2**53, 2**53 + 1, None]), {"dtype": "int64"}),
    "f": (pa.array([-2.5, 0.0, 0.1, float("nan"), None]), {"dtype": "float64"}),
    "g": (pa.array(SINGLES, pa.float32()), {"dtype": "float32"}),
    "s": (pa.array(["", "a", "ab", "Bé", None]), {"dtype": "string"}),
    "b": (pa.array([True, False, None]), {"dtype": "bool"}),
    "d": (pa.array([*DAYS, None]), {"dtype": "date"}),
}
CASES = [
    ("i", {"greater_than": 0}),
    ("i", {"less_than_or_equal_to": -3}),
    ("i", {"greater_than": 0.5}),
    ("i", {"in_range": {"min_value": 0, "max_value": 127, "include_max": False}}),
    ("i", {"isin": [0, 1]}),
    ("i", {"notin": [0, 1]}),
    ("l", {"equal_to": 2**53 + 1}),
    ("l", {"not_equal_to": -(2**63)}),
    ("f", {"greater_than_or_equal_to": 0.1}),
    ("f", {"less_than": 1e-5}),
    ("f", {"in_range": {"min_value": -2.5, "max_value": 0, "include_min": False}}),
    ("g", {"greater_than": 0.25}),
    ("g", {"isin": [0.5, -1]}),
    ("s", {"isin": ["a", "Bé"]}),
    ("s", {"not_equal_to": "ab"}),
    ("s", {"greater_than": "a"}),
    ("s", {"str_startswith": "a"}),
    ("s", {"str_startswith": ""}),
    ("s", {"str_endswith": "é"}),
    ("s", {"str_length": 2}),
    ("s", {"str_length": {"min_value": 1}}),
    ("s", {"str_length": {"max_value": 1}}),
    ("s", {"str_length": {"min_value": 0}}),
    ("b", {"equal_to": True}),
    ("b", {"notin": [True]}),
    ("d", {"less_than": DAYS[1]}),
    ("d", {"in_range": {"min_value": DAYS[1], "max_value": DAYS[2]}}),
    ("d", {"isin": [DAYS[0], DAYS[2]]}),
]


@pytest.fixture(scope="module")
def query(tmp_path_factory):
    """Row numbers of a column for which a condition is not true, as DataFusion finds them."""
    folder = tmp_path_factory.mktemp("tables")
    for name, (array, _) in COLUMNS.items():
        write_deltalake(folder / name, pa.table({name: array, "row": range(len(array))}))

    def failing(name, condition):
        tables = QueryBuilder().register("t", DeltaTable(folder / name))
        result = tables.execute(f"SELECT `row` FROM t WHERE NOT ({condition})")
        return sorted(pa.table(result)["row"].to_pylist())

    return failing


@pytest.mark.parametrize(("name", "checks"), CASES)
def test_conditions_fail_for_the_rows_that_fail_the_check(query, name, checks):
    """The store refuses exactly the rows that pandera refuses; a missing value passes."""
    array, values = COLUMNS[name]
    contract = Contract.of(
        {"columns": {name: {**values, "nullable": True, "checks": checks}, "row": {"dtype": "int64"}}}
    )
    conditions = contract.sql_constraints()
    assert list(conditions) == [f"mlkit_{name}_{next(iter(checks))}"]
    table = pa.table({name: array, "row": range(len(array))})
    expected = [violation.count for violation in contract.violations(table)]
    assert query(name, *conditions.values()) == failing_rows(contract, table)
    assert len(query(name, *conditions.values())) == sum(expected)


def failing_rows(contract, table):
    """Rows that break the contract when they stand alone."""
    return [row for row in range(table.num_rows) if contract.violations(table.slice(row, 1))]


def test_delta_keeps_and_enforces_the_conditions(tmp_path):
    """As delta-rs stores them, the conditions still admit good rows and refuse each bad one."""
    columns = {
        "i": Column(dtype="int32", nullable=True, checks={"in_range": {"min_value": 0, "max_value": 9}}),
        "f": Column(dtype="float64", nullable=True, checks={"less_than": 1e-3, "greater_than": -0.5}),
        "s": Column(dtype="string", nullable=True, checks={"str_length": {"min_value": 1, "max_value": 2}}),
        "c": Column(dtype="category", nullable=True, categories=("x", "y")),
        "d": Column(dtype="date", nullable=True, checks={"greater_than_or_equal_to": DAYS[1]}),
        "b": Column(dtype="bool", nullable=True, checks={"equal_to": True}),
    }
    contract = Contract(columns=columns)
    good = {"i": 9, "f": -0.25, "s": "Bé", "c": "y", "d": DAYS[1], "b": True}
    wrong = {"i": 10, "f": 0.5, "s": "abc", "c": "z", "d": DAYS[0], "b": False}

    def rows(**changes):
        return pa.Table.from_pylist([{**good, **changes}], schema=contract.arrow_schema())

    write_deltalake(tmp_path, rows().slice(0, 0))
    for name, condition in contract.sql_constraints().items():
        DeltaTable(tmp_path).alter.add_constraint({name: condition})
    write_deltalake(tmp_path, rows(), mode="append")
    write_deltalake(tmp_path, rows(**dict.fromkeys(good)), mode="append")
    write_deltalake(tmp_path, rows(f=float("nan")), mode="append")
    for name, value in wrong.items():
        with pytest.raises(DeltaError):
            write_deltalake(tmp_path, rows(**{name: value}), mode="append")
    assert DeltaTable(tmp_path).count() == 3


LEFT_OUT = {
    "pattern": Column(dtype="string", checks={"str_matches": "a", "str_contains": "b"}),
    "quote": Column(dtype="string", checks={"isin": ["it's", "b"], "str_endswith": "'"}),
    "backslash": Column(dtype="category", categories=("a\\b",)),
    "decimal": Column(dtype="decimal(5,2)", checks={"greater_than": Decimal("0.5")}),
    "timestamp": Column(dtype="timestamp", checks={"greater_than": "2024-01-01"}),
    "zoned": Column(dtype="timestamp_utc", checks={"greater_than": "2024-01-01T00:00:00Z"}),
    "bound beyond the width": Column(dtype="int8", checks={"less_than": 1000}),
    "bound that no single holds": Column(dtype="float32", checks={"less_than": 0.1, "greater_than": 1e300}),
    "half a range": Column(dtype="int8", checks={"in_range": {"min_value": 0, "max_value": 1000}}),
}


@pytest.mark.parametrize("case", LEFT_OUT)
def test_what_engines_read_differently_is_left_out(case):
    """No condition is better than one that means something else elsewhere."""
    assert Contract(columns={"x": LEFT_OUT[case]}).sql_constraints() == {}


def test_names_are_safe_and_distinct():
    """Names of constraints hold letters, digits and underscores, whatever the columns are called."""
    columns = {name: Column(dtype="int64", checks={"greater_than": 0}) for name in ("a-b", "a.b", "Größe")}
    assert Contract(columns=columns).sql_constraints() == {
        "mlkit_a_b_greater_than": "`a-b` IS NULL OR `a-b` > 0",
        "mlkit_a_b_greater_than_2": "`a.b` IS NULL OR `a.b` > 0",
        "mlkit_gr__e_greater_than": "`Größe` IS NULL OR `Größe` > 0",
    }
