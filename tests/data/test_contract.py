"""Contracts: pandera's meaning, mlkit's form, exact counts, and no value in a message but keys."""

from __future__ import annotations

import datetime as dt
import importlib
import json
import pickle
import subprocess
import sys
import warnings
from decimal import Decimal

import numpy as np
import pandas as pd
import pandera.pandas as pandera
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlkit import document
from mlkit.data import contract as contract_module
from mlkit.data import violations
from mlkit.data.checks import APPLICABLE
from mlkit.data.contract import Column, Contract
from mlkit.data.violations import Violation
from mlkit.errors import ConfigError, ContractError, DataError

UTC = dt.UTC
DAYS = [dt.date(2024, 1, day) for day in range(1, 6)]
INSTANTS = [dt.datetime.fromisoformat(f"2024-01-0{day}T06:30:00.000005") for day in range(1, 6)]
VALUES = {
    "bool": [True, False],
    "integer": list(range(-3, 4)),
    "float": [-2.5, -1.0, 0.0, 0.5, 3.0],
    "decimal": [Decimal(text) for text in ("0", "0.1", "1.50", "2", "10.25")],
    "string": ["", "a", "ab", "b", "ba", "é"],
    "category of string": ["a", "ab", "b"],
    "category of integer": [3, 1, 2],
    "date": DAYS,
    "timestamp": INSTANTS,
    "timestamp_utc": [instant.replace(tzinfo=UTC) for instant in INSTANTS],
    "binary": [b"", b"a"],
}
DTYPES = {
    "integer": ["int8", "int16", "int32", "int64"],
    "float": ["float32", "float64"],
    "decimal": ["decimal(10,2)"],
    "category of string": ["category"],
    "category of integer": ["category"],
}


def argument(check, kind):
    """Arguments of a check over the values of a kind, in any form that a contract takes."""
    one = st.sampled_from(VALUES[kind])
    if check in ("isin", "notin"):
        return st.lists(one, min_size=1, max_size=3)
    if check == "in_range":
        both = st.lists(one, min_size=2, max_size=2, unique=True).map(sorted)
        flags = st.fixed_dictionaries(
            {}, optional={"include_min": st.booleans(), "include_max": st.booleans()}
        )
        return st.builds(lambda pair, more: {"min_value": pair[0], "max_value": pair[1], **more}, both, flags)
    if check == "str_length":
        return st.sampled_from([0, 1, {"max_value": 1}, {"min_value": 1, "max_value": 2}, {"exact_value": 2}])
    if check in ("str_matches", "str_contains"):
        return st.sampled_from(["a", "^a?b$", "[ab]+", "é|b"])
    return st.sampled_from(["a", "b", ""]) if check.startswith("str_") else one


@st.composite
def columns(draw):
    """A column of any dtype with up to two checks."""
    kind = draw(st.sampled_from(sorted(VALUES)))
    names = draw(st.sets(st.sampled_from(sorted(APPLICABLE[kind]) or [""]), max_size=2)) - {""}
    return Column(
        dtype=draw(st.sampled_from(DTYPES.get(kind, [kind]))),
        nullable=draw(st.booleans()),
        unique=draw(st.booleans()),
        categories=tuple(VALUES[kind]) if kind.startswith("category") else (),
        checks={name: draw(argument(name, kind)) for name in sorted(names)},
    )


contracts = st.dictionaries(st.sampled_from(["a", "b", "c"]), columns(), min_size=1).map(
    lambda chosen: Contract(columns=chosen)
)


def rows_of(contract, data):
    """A table in the contract's types, whose values may break it."""
    count = data.draw(st.integers(1, 6))
    cells = {
        name: data.draw(
            st.lists(st.none() | st.sampled_from(VALUES[column.kind]), min_size=count, max_size=count)
        )
        for name, column in contract.columns.items()
    }
    return pa.table({name: pa.array(cells[name], contract.columns[name].arrow_type) for name in cells})


def as_pandas(table, contract):
    """The same rows as pandas holds them one to one."""
    series = {}
    for name, column in contract.columns.items():
        values = table.column(name).to_pylist()
        holds_missing = column.nullable or None not in values
        dtype = column.pandas_dtype if holds_missing else column.replace(nullable=True).pandas_dtype
        if dtype in (dt.date, object) or column.kind == "decimal":
            dtype = object
        elif column.kind == "timestamp":
            dtype = "datetime64[us]"
        elif dtype is str and None in values:
            dtype = object
        series[name] = pd.Series(values, dtype=dtype)
    return pd.DataFrame(series)


# --------------------------------------------------------------------------------------- properties


@given(contracts)
@settings(deadline=None, max_examples=60)
def test_dump_load_dump(contract):
    """A contract survives YAML, JSON and pickle, and its bytes do not change on the way."""
    text = document.write(contract.dump())
    again = Contract.from_values(document.parse(text.encode(), origin="contract"))
    assert again == contract
    assert document.write(again.dump()) == text
    assert Contract.from_text(contract.text()) == contract
    assert Contract.from_text(contract.text()).text() == contract.text()
    assert pickle.loads(pickle.dumps(contract)) == contract  # noqa: S301 - our own bytes


@given(contracts)
@settings(deadline=None, max_examples=60)
def test_pandera_and_back(contract):
    """Nothing is lost on the way through pandera's own schema."""
    again = Contract.from_pandera(contract.to_pandera())
    assert again == contract
    assert again.text() == contract.text()


# Pandera's report of failures, under pandas 2, concatenates columns that hold nothing.
@pytest.mark.filterwarnings("ignore:The behavior of DataFrame concatenation:FutureWarning")
@given(st.data())
@settings(deadline=None, max_examples=100)
def test_the_verdict_is_panderas(data):
    """Rows keep a contract if and only if pandera's schema of it passes them."""
    contract = data.draw(contracts)
    table = rows_of(contract, data)
    frame = as_pandas(table, contract)
    try:
        contract.to_pandera().validate(frame, lazy=True)
        passes = True
    except pandera.errors.SchemaErrors:
        passes = False
    assert (contract.violations(table) == []) == passes


@given(st.data())
@settings(deadline=None, max_examples=60)
def test_cutting_a_table_changes_no_count(data):
    """Violations are summed over chunks, however the rows are cut."""
    contract = data.draw(contracts)
    table = rows_of(contract, data)
    cut = pa.concat_tables([table.slice(row, 1) for row in range(table.num_rows)])
    assert contract.violations(cut) == contract.violations(table)


@given(contracts)
@settings(deadline=None, max_examples=40)
def test_an_inferred_contract_is_kept(contract):
    """What is inferred from rows is kept by them, and by no rows at all."""
    table = pa.table(
        {name: pa.array(VALUES[column.kind]) for name, column in [("x", contract.columns.popitem()[1])]}
    )
    inferred = Contract.infer(table)
    assert inferred.check(table).num_rows == table.num_rows
    assert inferred.check(table.slice(0, 0)).schema == inferred.arrow_schema()
    assert not any(column.checks or column.unique for column in inferred.columns.values())


# -------------------------------------------------------------------------------------------- specs


def test_a_contract_in_yaml():
    """Golden: the form that stands in a frozen config."""
    contract = Contract(
        columns={
            "flight_id": Column(dtype="int64", unique=True),
            "delay": Column(
                dtype="float64", nullable=True, checks={"in_range": {"min_value": -60, "max_value": 1e4}}
            ),
            "carrier": Column(dtype="category", categories=("AA", "BA"), nullable=True),
            "day": Column(dtype="date", checks={"greater_than": dt.date(2020, 1, 1)}),
            "fare": Column(dtype="decimal(8, 2)", checks={"less_than": Decimal("99.90"), "isin": [2, "1.5"]}),
        }
    )
    assert document.write(contract.dump()).splitlines() == [
        "columns:",
        "  flight_id:",
        "    dtype: int64",
        "    unique: true",
        "  delay:",
        "    dtype: float64",
        "    nullable: true",
        "    checks:",
        "      in_range:",
        "        min_value: -60",
        "        max_value: 10000",
        "  carrier:",
        "    dtype: category",
        "    nullable: true",
        "    categories: [AA, BA]",
        "  day:",
        "    dtype: date",
        "    checks:",
        "      greater_than: '2020-01-01'",
        "  fare:",
        "    dtype: decimal(8,2)",
        "    checks:",
        "      isin: [1.5, 2]",
        "      less_than: 99.9",
    ]


WRONG = {
    "unknown dtype": ({"dtype": "int128"}, "dtype"),
    "decimal beyond the digest": ({"dtype": "decimal(38,19)"}, "dtype"),
    "decimal of no digits": ({"dtype": "decimal(0,0)"}, "dtype"),
    "scale over precision": ({"dtype": "decimal(3,4)"}, "dtype"),
    "category without categories": ({"dtype": "category"}, "categories"),
    "categories without category": ({"dtype": "string", "categories": ["a"]}, "categories"),
    "mixed categories": ({"dtype": "category", "categories": ["a", 1]}, "categories"),
    "bool categories": ({"dtype": "category", "categories": [True]}, "categories"),
    "category twice": ({"dtype": "category", "categories": ["a", "a"]}, "categories"),
    "unknown check": ({"dtype": "int64", "checks": {"bigger": 1}}, "checks.bigger"),
    "check of another kind": ({"dtype": "bool", "checks": {"greater_than": 0}}, "checks.greater_than"),
    "checks as a list": ({"dtype": "bool", "checks": ["isin"]}, "checks"),
    "unknown key": ({"dtype": "bool", "nulls": True}, "nulls"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_columns_name_the_field(case):
    """A mistake in a contract is a config error at its path."""
    values, path = WRONG[case]
    with pytest.raises(ConfigError) as caught:
        Contract.of({"columns": {"x": values}})
    assert caught.value.path == f"columns.x.{path}"
    assert caught.value.fix


@pytest.mark.parametrize(("values", "path"), [
    ({"columns": {"a b": {"dtype": "bool"}}}, "columns.a b"),
    ({"columns": {"a": {"dtype": "bool"}, "A": {"dtype": "bool"}}}, "columns.A"),
    ({"columns": {"a": {"dtype": "bool"}}, "unique": ["b"]}, "unique"),
])  # fmt: skip
def test_wrong_contracts_name_the_field(values, path):
    """Names that no table holds are refused before a table is made."""
    with pytest.raises(ConfigError) as caught:
        Contract.of(values)
    assert caught.value.path == path


def test_of_takes_every_form():
    """Contract, plain values, schema and model come in by one door."""
    contract = Contract(columns={"x": Column(dtype="float64", checks={"greater_than": 0})})

    class Model(pandera.DataFrameModel):
        x: float = pandera.Field(gt=0)

    schema = pandera.DataFrameSchema({"x": pandera.Column(float, pandera.Check.gt(0))})
    for value in (contract, contract.dump(), schema, Model):
        assert Contract.of(value) == contract
    with pytest.raises(ConfigError, match="CFG027"):
        Contract.of(3)


def test_a_stored_contract_must_be_readable():
    """Text that no contract wrote is refused without being quoted."""
    with pytest.raises(ConfigError, match="CFG004") as caught:
        Contract.from_text("{secret")
    assert "secret" not in str(caught.value)


def test_select_orders_and_refuses():
    """A part of a contract has the asked columns in their order, and joint uniqueness only if whole."""
    contract = Contract(columns={name: Column(dtype="int64") for name in "abc"}, unique=("a", "b"))
    assert list(contract.select(["c", "a"]).columns) == ["c", "a"]
    assert contract.select(["c", "a"]).unique == ()
    assert contract.select(["b", "a"]).unique == ("a", "b")
    with pytest.raises(DataError, match="DAT045"):
        contract.select(["d"])


def test_what_pyspark_says_of_pandas_is_not_passed_on(monkeypatch):
    """It is loaded unasked by pandera, where it is installed; anything else that is said then is heard."""

    def load(name):
        warnings.warn("PySpark does not yet fully support pandas >= 3.0.0.", FutureWarning, stacklevel=2)
        warnings.warn(f"{name} is old", FutureWarning, stacklevel=2)

    monkeypatch.setattr(importlib, "import_module", load)
    contract_module._load_pandera.cache_clear()
    with pytest.warns(FutureWarning) as heard:
        Contract(columns={"a": Column(dtype="int64")}).to_pandera()
    assert [str(each.message) for each in heard] == ["pandera.pandas is old"]


def test_casting_for_serving_loads_no_pandera():
    """The slow library is loaded by what needs it only: a model that serves does not."""
    code = (
        "import sys, pyarrow as pa\n"
        "from mlkit.data.contract import Column, Contract\n"
        "from mlkit.data.frame import to_frame\n"
        "contract = Contract.of({'columns': {'x': {'dtype': 'int64', 'checks': {'greater_than': 0}}}})\n"
        "to_frame(pa.table({'x': [1]}), contract, ['x'])\n"
        "sys.exit('pandera' in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# ------------------------------------------------------------------------------------------ pandera

DTYPES_OF_PANDERA = [
    (bool, "bool"),
    ("boolean", "bool"),
    (int, "int64"),
    ("Int16", "int16"),
    ("uint8", "int16"),
    ("UInt32", "int64"),
    ("float16", "float32"),
    (float, "float64"),
    ("Float32", "float32"),
    (str, "string"),
    ("string", "string"),
    (dt.date, "date"),
    (dt.datetime, "timestamp"),
    (pd.Timestamp, "timestamp"),
    ("datetime64[ns]", "timestamp"),
    (pd.DatetimeTZDtype("ns", "Europe/Paris"), "timestamp_utc"),
    (pd.ArrowDtype(pa.int32()), "int32"),
    (pd.ArrowDtype(pa.string()), "string"),
]


@pytest.mark.parametrize(("dtype", "expected"), DTYPES_OF_PANDERA)
def test_dtypes_of_pandera(dtype, expected):
    """What pandera calls a dtype, under pandas 2 and 3, has one name in contracts."""
    schema = pandera.DataFrameSchema({"x": pandera.Column(dtype, nullable=True)})
    assert Contract.of(schema).columns["x"] == Column(dtype=expected, nullable=True)


def test_a_model_with_everything():
    """Fields, aliases, labels, joint uniqueness and a dtype for all columns are understood."""

    class Model(pandera.DataFrameModel):
        kind: str = pandera.Field(isin={"b", "a"}, str_length={"min_value": 1}, description="what it is")
        size: int = pandera.Field(ge=np.int64(0), lt=10, unique=True)
        tail: float = pandera.Field(alias="Tail", nullable=True, in_range={"min_value": 0, "max_value": 1})

        class Config:
            unique = ["kind", "size"]  # noqa: RUF012 - as pandera wants it
            strict = True
            coerce = True

    contract = Contract.of(Model)
    assert contract.dump() == {
        "columns": {
            "kind": {"dtype": "string", "checks": {"isin": ["a", "b"], "str_length": {"min_value": 1}}},
            "size": {
                "dtype": "int64",
                "unique": True,
                "checks": {"greater_than_or_equal_to": 0, "less_than": 10},
            },
            "Tail": {
                "dtype": "float64",
                "nullable": True,
                "checks": {"in_range": {"min_value": 0, "max_value": 1}},
            },
        },
        "unique": ["kind", "size"],
    }
    renamed = pandera.Check.gt(0, name="positive", error="must be positive")
    assert Contract.of(pandera.DataFrameSchema({"x": pandera.Column(None, renamed)}, dtype=int)).columns[
        "x"
    ] == Column(dtype="int64", checks={"greater_than": 0})


def schema_of(dtype=int, checks=None, **options):
    """A schema of one column."""
    return pandera.DataFrameSchema({"x": pandera.Column(dtype, checks, **options)})


def positive(values):
    """A check that only Python can read."""
    return values > 0


COLUMN = {"x": pandera.Column(int)}
REFUSED = {
    "custom check": (schema_of(checks=pandera.Check(positive)), "check positive"),
    "custom check under a known name": (
        schema_of(checks=pandera.Check(positive, name="greater_than", min_value=0)),
        "check greater_than",
    ),
    "unique_values_eq": (schema_of(checks=pandera.Check.unique_values_eq([1])), "check unique_values_eq"),
    "a warning only": (schema_of(checks=pandera.Check.gt(0, raise_warning=True)), "check greater_than"),
    "missing values checked": (schema_of(checks=pandera.Check.gt(0, ignore_na=False)), "check greater_than"),
    "twice": (schema_of(checks=[pandera.Check.gt(0), pandera.Check.gt(1)]), "greater_than twice"),
    "dataframe check": (pandera.DataFrameSchema(COLUMN, checks=pandera.Check(positive)), "checks (positive)"),
    "index": (pandera.DataFrameSchema(COLUMN, index=pandera.Index(int)), "index"),
    "parsers": (pandera.DataFrameSchema(COLUMN, parsers=pandera.Parser(positive)), "parsers"),
    "column parsers": (schema_of(parsers=pandera.Parser(positive)), "parsers"),
    "add_missing_columns": (pandera.DataFrameSchema(COLUMN, add_missing_columns=True), "add_missing_columns"),
    "drop_invalid_rows": (pandera.DataFrameSchema(COLUMN, drop_invalid_rows=True), "drop_invalid_rows"),
    "regex": (schema_of(regex=True), "regex"),
    "optional": (schema_of(required=False), "optional"),
    "default": (schema_of(default=0), "default"),
    "no dtype": (schema_of(None), "dtype None"),
    "object": (schema_of(object), "dtype object"),
    "duration": (schema_of("timedelta64[ns]"), "dtype timedelta64"),
    "complex": (schema_of("complex128"), "dtype complex128"),
    "open category": (schema_of("category"), "category"),
    "ordered category": (schema_of(pd.CategoricalDtype(["a"], ordered=True)), "category"),
    "decimal beyond the digest": (schema_of(pandera.engines.pandas_engine.Decimal(30, 20)), "dtype Decimal"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_a_contract_cannot_keep(case):
    """Pandera drops it with a warning when it writes a schema; here it is named, with a way out."""
    schema, named = REFUSED[case]
    with pytest.raises(ConfigError) as caught:
        Contract.of(schema)
    assert caught.value.code == "CFG027"
    assert named in caught.value.message
    assert caught.value.fix


# -------------------------------------------------------------------------------------------- infer


def test_inferred_dtypes_and_nullability():
    """Types follow from the rows; a bound never does, since a sample knows none."""
    table = pa.table(
        {
            "id": pa.array([1, 2], pa.uint16()),
            "n": pa.array([1, None], pa.int8()),
            "ok": [True, False],
            "x": [0.5, 1.5],
            "s": ["b", "a"],
            "c": pa.array(["b", "a"]).dictionary_encode(),
            "k": pa.array([3, 1], pa.int32()).dictionary_encode(),
            "d": pa.array([DAYS[0], None]),
            "t": pa.array(INSTANTS[:2], pa.timestamp("ns", "Asia/Tokyo")),
            "m": pa.array([Decimal("1.50"), Decimal(2)]),
        }
    )
    assert Contract.infer(table).dump()["columns"] == {
        "id": {"dtype": "int32"},
        "n": {"dtype": "int8", "nullable": True},
        "ok": {"dtype": "bool"},
        "x": {"dtype": "float64", "nullable": True},
        "s": {"dtype": "string", "nullable": True},
        "c": {"dtype": "category", "nullable": True, "categories": ["a", "b"]},
        "k": {"dtype": "category", "nullable": True, "categories": [1, 3]},
        "d": {"dtype": "date", "nullable": True},
        "t": {"dtype": "timestamp_utc"},
        "m": {"dtype": "decimal(3,2)", "nullable": True},
    }


def test_inferred_categories_follow_from_the_rows():
    """Values of a dictionary that no row holds are no categories: equal rows, equal contracts."""
    array = pa.DictionaryArray.from_arrays(pa.array([2, 0, None]), pa.array(["z", "never", "a"]))
    assert Contract.infer(pa.table({"x": array})).columns["x"].categories == ("a", "z")
    empty = Contract.infer(pa.table({"x": array.slice(2)}))
    assert empty.columns["x"] == Column(dtype="string", nullable=True)


@pytest.mark.parametrize(("array", "code"), [
    (pa.nulls(2), "DAT034"),
    (pa.array([[1]]), "DAT021"),
    (pa.array([{"a": 1}]), "DAT021"),
    (pa.array([1], pa.duration("s")), "DAT024"),
    (pa.array([Decimal(1)], pa.decimal128(38, 19)), "DAT030"),
])  # fmt: skip
def test_nothing_is_inferred_from_what_no_contract_holds(array, code):
    """A column without a type of its own needs a declared one."""
    with pytest.raises(DataError, match=code):
        Contract.infer(pa.table({"x": array}))


# -------------------------------------------------------------------------------------------- check

ORDERS = Contract(
    columns={
        "id": Column(dtype="int64"),
        "price": Column(dtype="float64", checks={"greater_than": 0}),
        "kind": Column(dtype="category", nullable=True, categories=("a", "b")),
        "code": Column(dtype="string", unique=True, nullable=True),
    }
)


def orders(**changes):
    """Four rows that keep the contract of orders, but for some columns."""
    good = {
        "id": [1, 2, 3, 4],
        "price": [1.0, 2.0, 3.0, 4.0],
        "kind": ["a", "b", None, "a"],
        "code": list("wxyz"),
    }
    return pa.table({**good, **changes})


def test_rows_that_keep_a_contract_come_back_in_its_types():
    """Checked rows have the schema that a table is created with."""
    table = orders(id=pa.array([1, 2, 3, 4], pa.uint8()), price=[1, 2, 3, 4]).select(
        ["code", "kind", "price", "id"]
    )
    checked = ORDERS.check(table, key=["id"])
    assert checked.schema == ORDERS.arrow_schema()
    assert [field.nullable for field in checked.schema] == [False, False, True, True]
    assert ORDERS.check(checked, key=["id"]).equals(checked)


VIOLATIONS = {
    "bound": (orders(price=[1.0, -9.5, 0.0, 2.0]), Violation("price", "greater_than", 2, (2, 3))),
    "null": (orders(price=[1.0, None, 2.0, None]), Violation("price", "not_nullable", 2, (2, 4))),
    "NaN": (orders(price=[1.0, float("nan"), 2.0, 3.0]), Violation("price", "not_nullable", 1, (2,))),
    "category": (orders(kind=["a", "zebra", None, "b"]), Violation("kind", "categories", 1, (2,))),
    "repeated": (orders(code=["w", "x", "w", "w"]), Violation("code", "unique", 3, (1, 3, 4))),
    "missing twice": (orders(code=["w", None, None, "z"]), Violation("code", "unique", 2, (2, 3))),
    "key null": (orders(id=[1, None, 3, 4]), Violation("id", "key_not_null", 1, (None,))),
    "key twice": (orders(id=[1, 2, 2, 1]), Violation("id", "key_unique", 4, (1, 2))),
    "many": (orders(price=[-1.0] * 4), Violation("price", "greater_than", 4, (1, 2, 3))),
}


@pytest.mark.parametrize("case", VIOLATIONS)
def test_violations_are_counted_with_their_first_keys(case):
    """Each names column, check, count and the keys to look at."""
    table, expected = VIOLATIONS[case]
    assert ORDERS.violations(table, key=["id"]) == [expected]


def test_all_violations_stand_in_one_error_without_values():
    """One error lists everything that is wrong; only keys are shown of the data."""
    table = orders(price=[-123.25, 2.0, None, 4.0], kind=["zebra", "a", "b", "a"])
    with pytest.raises(ContractError) as caught:
        ORDERS.check(table, key=["id"])
    assert str(caught.value) == (
        "[DAT060] price: 4 rows break the contract in 3 ways:\n"
        "  price: not_nullable fails in 1 row (keys 3)\n"
        "  price: greater_than fails in 1 row (keys 1)\n"
        "  kind: categories fails in 1 row (keys 1)\n"
        "  fix: correct the rows at their origin, or change the contract"
    )
    assert isinstance(caught.value, DataError)


@pytest.mark.parametrize("ids", [[1, None, 3, 4], [1, 2, 2, 4], [None, None, 3, 4]])
def test_a_broken_key_has_its_own_code(ids):
    """Rows that nothing identifies are another trouble than rows that break a check."""
    with pytest.raises(ContractError, match="DAT049"):
        ORDERS.check(orders(id=ids), key=["id"])


def test_keys_of_several_columns_are_shown_as_pairs():
    """A row is identified by all columns of its key."""
    contract = Contract(
        columns={"a": Column(dtype="int64"), "b": Column(dtype="string"), "x": Column(dtype="bool")}
    )
    table = pa.table({"a": [1, 1, 1], "b": ["u", "v", "u"], "x": [True, False, True]})
    assert contract.violations(table, key=["a", "b"]) == [Violation("a, b", "key_unique", 2, ((1, "u"),))]
    assert contract.violations(table, key=["b", "x"]) == [Violation("b, x", "key_unique", 2, (("u", True),))]


def test_columns_that_are_unique_together():
    """Joint uniqueness is looked at as pandera does."""
    contract = Contract(columns={"a": Column(dtype="int64"), "b": Column(dtype="int64")}, unique=("a", "b"))
    good, bad = pa.table({"a": [1, 1], "b": [1, 2]}), pa.table({"a": [1, 1], "b": [2, 2]})
    assert contract.violations(good) == []
    assert contract.violations(bad) == [Violation("a, b", "unique", 2)]
    with pytest.raises(pandera.errors.SchemaErrors):
        contract.to_pandera().validate(bad.to_pandas(), lazy=True)


def test_infinite_features_are_a_matter_of_checks():
    """Infinity passes unless a bound forbids it."""
    table = pa.table({"x": [1.0, float("inf")]})
    free = Contract(columns={"x": Column(dtype="float64", checks={"greater_than": 0})})
    bound = Contract(columns={"x": Column(dtype="float64", checks={"less_than": 100})})
    assert free.violations(table) == []
    assert bound.violations(table) == [Violation("x", "less_than", 1)]


def test_large_integers_are_compared_exactly():
    """A nullable column is not turned to floats on the way to its check."""
    contract = Contract(columns={"x": Column(dtype="int64", nullable=True, checks={"less_than": 2**53 + 1})})
    table = pa.table({"x": [2**53, 2**53 + 1, None]})
    assert contract.violations(table) == [Violation("x", "less_than", 1)]


def test_long_columns_are_checked_in_parts(monkeypatch):
    """Row numbers of later parts and beyond missing values lead to the right keys."""
    monkeypatch.setattr(violations, "CHUNK_ROWS", 3)
    contract = Contract(
        columns={
            "id": Column(dtype="int64"),
            "s": Column(dtype="string", nullable=True, checks={"str_startswith": "a"}),
            "n": Column(dtype="int64", nullable=True, checks={"less_than": 7}),
        }
    )
    texts = ["a", None, "b", None, "ab", None, None, None, None, "c"]
    table = pa.table({"id": range(10), "s": texts, "n": [None if n % 2 else n for n in range(10)]})
    found = contract.violations(table, key=["id"])
    assert found == [Violation("s", "str_startswith", 2, (2, 9)), Violation("n", "less_than", 1, (8,))]


def test_an_error_stays_readable_when_everything_is_broken():
    """Beyond a screenful, violations are counted only."""
    contract = Contract(columns={f"c{n}": Column(dtype="int64", checks={"less_than": 0}) for n in range(30)})
    with pytest.raises(ContractError) as caught:
        contract.check(pa.table({f"c{n}": [1] for n in range(30)}))
    assert "and 10 more" in caught.value.message
    assert len(str(caught.value).splitlines()) < 25


def test_a_key_must_be_of_the_contract():
    """A key that the contract does not know is a mistake of the caller."""
    with pytest.raises(DataError, match="DAT045"):
        ORDERS.check(orders(), key=["nope"])


def test_text_is_one_line_of_json():
    """Table properties hold it as it is."""
    text = ORDERS.text()
    assert "\n" not in text
    assert json.loads(text) == ORDERS.dump()
