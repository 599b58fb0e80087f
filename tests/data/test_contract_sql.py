"""Contracts checked in Spark: the verdict, the counts and the keys that they have for the same rows here."""

from __future__ import annotations

import datetime as dt
import random
import re
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from mlkit.data import contract_sql
from mlkit.data.checks import APPLICABLE
from mlkit.data.contract import Column, Contract
from mlkit.data.contract_sql import cast_frame, check_frame, frame_violations, infer_frame
from mlkit.data.patterns import portable
from mlkit.digest.fingerprint import fingerprint
from mlkit.errors import ConfigError, ContractError, MlkitError, StoreError
from tests.conftest import not_on_classic, on_each_spark, on_one_spark
from tests.data.frames import as_frame

pytestmark = pytest.mark.newest_only

DAYS = [dt.date(2024, 1, day) for day in range(1, 6)] + [dt.date(1900, 2, 28)]
INSTANTS = [dt.datetime.fromisoformat(f"2024-01-0{day}T06:30:00.000005") for day in range(1, 6)]
VALUES = {
    "bool": [True, False],
    "integer": [-128, -3, -1, 0, 1, 2, 127],
    "float": [-2.5, -0.0, 0.0, 0.5, 0.1, 3.0, float("inf"), float("-inf"), float("nan"), 1e30],
    "decimal": [Decimal(text) for text in ("0", "-0.1", "0.1", "1.50", "2", "10.25", "99999999.99")],
    "string": ["", "a", "ab", "b", "ba", "é", "a\n", "A'b\\", "🙂", "\u2028"],
    "category of string": ["a", "ab", "b'\\"],
    "category of integer": [3, 1, 2],
    "date": DAYS,
    "timestamp": INSTANTS,
    "timestamp_utc": [instant.replace(tzinfo=dt.UTC) for instant in INSTANTS],
    "binary": [b"", b"a"],
}
# Arguments that no value of the column need have.
FURTHER = {
    "integer": [0.5, -0.5, 300, 2**63 - 1, -(2**63), 1e17],
    "float": [0.1, -1, 2**53 + 1, 1e300, -1e39, 0.30000000000000004],
    "decimal": [Decimal("0.105"), Decimal("-0.105"), Decimal("1e20"), Decimal("-1e20"), 3, 0.1],
}
DTYPES = {
    "integer": ["int8", "int16", "int32", "int64"],
    "float": ["float32", "float64"],
    "decimal": ["decimal(10,2)"],
    "category of string": ["category"],
    "category of integer": ["category"],
}
PATTERNS = [r"a", r"^a?b$", r"[ab]+", r"é|b", r"^.$", r"\w", r"a$", r"[^\da-c']", r"\s", r"(?:a|b){2}"]


def argument(check: str, kind: str, chance: random.Random):
    """Some argument of a check."""
    bounds = [*VALUES[kind], *FURTHER.get(kind, [])]
    bounds = [value for value in bounds if not isinstance(value, float) or np.isfinite(value)]
    if check in ("isin", "notin"):
        return chance.sample(bounds, min(3, len(bounds)))
    if check == "in_range":
        low, high = sorted(chance.sample(sorted(set(bounds)), 2))
        return {"min_value": low, "max_value": high, "include_min": chance.random() < 0.5}
    if check == "str_length":
        return chance.choice([0, 1, {"max_value": 1}, {"min_value": 1, "max_value": 2}, {"exact_value": 2}])
    if check in ("str_matches", "str_contains"):
        return chance.choice(PATTERNS)
    return chance.choice(["a", "b", "", "'"] if check.startswith("str_") else bounds)


def wide_contract(seed: int) -> Contract:
    """A column for every check, kind and dtype that can have it."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    columns = {"id": Column(dtype="int64")}
    for kind, values in VALUES.items():
        for dtype in DTYPES.get(kind, [kind]):
            for check in [*sorted(APPLICABLE[kind]), ""]:
                columns[f"c{len(columns)}"] = Column(
                    dtype=dtype,
                    nullable=chance.random() < 0.7,
                    unique=chance.random() < 0.02,
                    categories=tuple(values) if kind.startswith("category") else (),
                    checks={check: argument(check, kind, chance)} if check else {},
                )
    return Contract(columns=columns, unique=("c1", "c2"))


def wide_rows(contract: Contract, seed: int, count: int = 40) -> pa.Table:
    """Rows of any values in the contract's types."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    arrays = {"id": pa.array(range(count))}
    for name, column in list(contract.columns.items())[1:]:
        values = [*VALUES[column.kind], None]
        if column.categories:
            values.append("zebra" if column.kind == "category of string" else 9)
        arrays[name] = pa.array(chance.choices(values, k=count), column.arrow_type)
    return pa.table(arrays)


def outcome(function, *arguments, **options):
    """What a function gives; of an error everything that is said."""
    try:
        return function(*arguments, **options)
    except MlkitError as exc:
        return type(exc), exc.to_dict()


@on_each_spark("seed", range(2), on_jvm=[0])
def test_counts_and_keys_are_those_of_the_rows_here(spark, seed, monkeypatch) -> None:
    """Every check on every kind it applies to, with bounds between, at and beyond the values."""
    monkeypatch.setattr("mlkit.data.contract_sql.SHOWN_VIOLATIONS", 3)
    contract = wide_contract(seed)
    assert len(contract.columns) > 100
    table = wide_rows(contract, seed)
    expected = contract.violations(table, ["id"])
    found = frame_violations(as_frame(spark, table), contract, key=["id"])
    assert len(expected) > 50
    assert [(one.column, one.check, one.count) for one in found] == [
        (one.column, one.check, one.count) for one in expected
    ]
    assert found[:3] == expected[:3]


ORDERS = Contract(
    columns={
        "id": Column(dtype="int64"),
        "price": Column(dtype="float64", checks={"greater_than": 0}),
        "kind": Column(dtype="category", nullable=True, categories=("a", "b")),
        "co.dé": Column(dtype="string", unique=True, nullable=True),
    }
)


def orders(**changes) -> pa.Table:
    """Four rows that keep the contract of orders, but for some columns."""
    good = {"id": [1, 2, 3, 4], "price": [1.0, 2.0, 3.0, 4.0], "kind": ["a", "b", None, "a"]}
    return pa.table({**good, "co.dé": list("wxyz"), **changes})


BROKEN = {
    "bound and null": orders(price=[1.0, -9.5, None, float("nan")]),
    "category": orders(kind=["a", "zebra", None, "b"]),
    "repeated": orders(**{"co.dé": ["w", "x", "w", "w"]}),
    "missing twice": orders(**{"co.dé": ["w", None, None, "z"]}),
    "key null": orders(id=[1, None, 3, 4]),
    "key twice": orders(id=[1, 2, 2, 1]),
    "all": orders(id=[None, None, 1, 1], price=[0.0] * 4, kind=["c"] * 4, **{"co.dé": ["w"] * 4}),
}


@on_each_spark("case", BROKEN, on_jvm=["all"])
def test_errors_are_those_of_the_rows_here(spark, case) -> None:
    """The same code, counts, first keys and words."""
    expected = outcome(ORDERS.check, BROKEN[case], key=["id"])
    assert expected[0] is ContractError
    assert outcome(check_frame, as_frame(spark, BROKEN[case]), ORDERS, key=["id"]) == expected


@not_on_classic
def test_keys_of_several_columns_and_of_any_type(spark) -> None:
    """Shown as they are shown for rows that are here, whatever the session's zone."""
    columns = {"at": Column(dtype="timestamp_utc"), "day": Column(dtype="date"), "x": Column(dtype="bool")}
    contract = Contract(columns=columns, unique=("x", "day"))
    instants = [dt.datetime(2024, 1, 1, 5, tzinfo=dt.UTC), dt.datetime(2024, 1, 1, 6, tzinfo=dt.UTC)]
    table = pa.table({"at": [*instants, instants[0]], "day": [DAYS[0]] * 3, "x": [True] * 3})
    for key in (["at", "day"], ["at"], ["x", "day"]):
        assert frame_violations(as_frame(spark, table), contract, key=key) == contract.violations(table, key)


def test_rows_that_keep_a_contract_come_back_in_its_types(spark) -> None:
    """Columns in the order of the contract, NaN as missing, and the same fingerprint as here."""
    nullable = ORDERS.replace(columns={**ORDERS.columns, "price": Column(dtype="float32", nullable=True)})
    table = orders(id=pa.array([1, 2, 3, 4], pa.int8()), price=[1.0, float("nan"), 3.0, None])
    found = check_frame(as_frame(spark, table.select(["co.dé", "kind", "price", "id"])), nullable, key=["id"])
    kinds = [(field["name"], field["type"]) for field in found.schema.jsonValue()["fields"]]
    assert kinds == [("id", "long"), ("price", "float"), ("kind", "string"), ("co.dé", "string")]
    assert found.where("price IS NULL").count() == 2
    assert fingerprint(found) == fingerprint(nullable.check(table, key=["id"]))


CENTS = [Decimal("1.50"), Decimal("-7.25"), None]
CASTS = {
    "narrower": (pa.array([1, -128, 127]), "int8"),
    "too wide": (pa.array([1, 128]), "int8"),
    "least": (pa.array([-(2**63), 2**63 - 1]), "int64"),
    "integers as floats": (pa.array([2**53, -(2**53), None]), "float64"),
    "integers beyond floats": (pa.array([2**53 + 1]), "float64"),
    "integers beyond singles": (pa.array([2**24 + 1]), "float32"),
    "whole floats": (pa.array([1.0, -0.0, float("nan"), None]), "int32"),
    "floats with a fraction": (pa.array([1.5]), "int32"),
    "floats beyond integers": (pa.array([2.0**63]), "int64"),
    "floats as far as they are exact": (pa.array([-(2.0**53), 2.0**53]), "int64"),
    "floats that may be rounded": (pa.array([2.0**53 + 2]), "int64"),
    "singles as far as they are exact": (pa.array([2.0**24], pa.float32()), "int64"),
    "singles that may be rounded": (pa.array([2.0**24 + 2], pa.float32()), "int64"),
    "infinity": (pa.array([float("inf")]), "int64"),
    "singles": (pa.array([0.5, float("inf"), None]), "float32"),
    "not quite singles": (pa.array([0.1]), "float32"),
    "beyond singles": (pa.array([1e39]), "float32"),
    "decimals": (pa.array(CENTS, pa.decimal128(10, 2)), "decimal(12,4)"),
    "fewer digits": (pa.array(CENTS, pa.decimal128(10, 2)), "decimal(10,1)"),
    "fewer places": (pa.array(CENTS, pa.decimal128(38, 2)), "decimal(2,2)"),
    "integers as decimals": (pa.array([1, -99]), "decimal(4,2)"),
    "integers beyond decimals": (pa.array([100]), "decimal(4,2)"),
    "midnights": (pa.array([dt.datetime(1969, 5, 1), None]), "date"),  # noqa: DTZ001 - naive on purpose
    "noons": (pa.array([dt.datetime(2024, 5, 1, 12)]), "date"),  # noqa: DTZ001 - naive on purpose
    "days": (pa.array([dt.date(1969, 5, 1), None]), "timestamp"),
    "other meaning": (pa.array(["a", "1"]), "int64"),
    "numbers as text": (pa.array(["1", " 2.5 ", None]), "decimal(4,2)"),
    "numbers as flags": (pa.array([True]), "int64"),
    "zones": (pa.array([INSTANTS[0].replace(tzinfo=dt.UTC)]), "timestamp"),
    "lists": (pa.array([[1]]), "int64"),
    "structs": (pa.array([{"a": 1}]), "string"),
    "nothing but missing": (pa.array([None, None], pa.list_(pa.string())), "date"),
    "nothing but NaN": (pa.array([float("nan")]), "string"),
}


@on_each_spark("case", CASTS, on_jvm=["integers beyond floats", "numbers as text"])
def test_casts_are_exact_or_refused_in_the_same_words(spark, case) -> None:
    """No value changes on its way to the contract's type, there as here."""
    array, dtype = CASTS[case]
    table, contract = pa.table({"x": array}), Contract(columns={"x": Column(dtype=dtype, nullable=True)})
    expected, found = outcome(contract.check, table), outcome(check_frame, as_frame(spark, table), contract)
    if isinstance(expected, tuple):
        assert found == expected
    else:
        assert fingerprint(found) == fingerprint(expected)
        assert contract.cast(found.toArrow()).equals(expected) or pa.types.is_floating(expected["x"].type)


@not_on_classic
def test_the_same_casts_are_exact_on_each_spark(spark) -> None:
    """All of them in one query: what is not exact is counted, the rest gives the same values."""
    arrays = {case.replace(" ", "_"): array for case, (array, _) in CASTS.items()}
    rows = {name: pa.concat_arrays([x, pa.nulls(4 - len(x), x.type)]) for name, x in arrays.items()}
    dtypes = zip(arrays, [dtype for _, dtype in CASTS.values()], strict=True)
    contract = Contract(columns={name: Column(dtype=dtype, nullable=True) for name, dtype in dtypes})
    table = pa.table(rows)
    frame = as_frame(spark, table)
    checked = {name: outcome(contract.select([name]).check, table.select([name])) for name in rows}
    wrong = {name: cast.wrong for name, cast in contract_sql._casts(frame, contract).items() if cast.wrong}
    (counts,) = frame.selectExpr(*(f"count_if({condition})" for condition in wrong.values())).collect()
    refused = {name for name, count in zip(wrong, counts, strict=True) if count}
    assert refused == {name for name, found in checked.items() if isinstance(found, tuple)}
    exact = [name for name in rows if name not in refused]
    found = check_frame(frame.selectExpr(*exact), contract.select(exact))
    assert fingerprint(found) == fingerprint(contract.select(exact).check(table.select(exact)))


@on_one_spark
def test_a_frame_that_has_other_columns_is_refused_in_the_same_words(spark) -> None:
    """Missing ones, further ones, and a key that the contract does not know."""
    for table, key in ((orders().drop_columns("kind"), []), (orders(more=[1] * 4), []), (orders(), ["nope"])):
        expected = outcome(ORDERS.check, table, key=key)
        assert outcome(check_frame, as_frame(spark, table), ORDERS, key=key) == expected


@on_one_spark
def test_no_rows_are_a_mistake_upstream(spark) -> None:
    """As they are for a stream; whose rows are missing is said."""
    empty = as_frame(spark, orders()).where("id < 0")
    for function in (
        lambda: check_frame(empty, ORDERS, origin="flights"),
        lambda: infer_frame(empty, origin="flights"),
    ):
        with pytest.raises(MlkitError, match=r"\[DAT002\] flights"):
            function()


def test_a_contract_is_inferred_as_from_the_rows_here(spark) -> None:
    """Dtypes, and whether a value is missing where that is looked at; no row comes here."""
    table = pa.table(
        {
            "whole": pa.array([1, None, 3], pa.int32()),
            "key": [1, 2, 3],
            "real": [0.5, 1.0, 2.0],
            "flag": [True, False, None],
            "day": DAYS[:3],
            "at": INSTANTS[:3],
            "instant": VALUES["timestamp_utc"][:3],
            "text": ["a", "b", "c"],
            "raw": [b"a", None, b"c"],
            "fare": pa.array([Decimal("1.5")] * 3, pa.decimal128(9, 3)),
        }
    )
    inferred = infer_frame(as_frame(spark, table))
    assert inferred == Contract.infer(table)
    assert fingerprint(cast_frame(as_frame(spark, table), inferred)) == fingerprint(table)


@pytest.mark.parametrize(
    "column", ["array(1)", "CAST(NULL AS VOID)", "CAST(id AS DECIMAL(38,19))", "map(1, 2)"]
)
def test_nothing_is_inferred_from_what_no_contract_holds(spark, column) -> None:
    """With the column and a way out."""
    frame = spark.range(2).selectExpr("id", f"{column} AS x")
    with pytest.raises(MlkitError, match="x: ") as caught:
        infer_frame(frame)
    assert caught.value.code in {"DAT021", "DAT034", "DAT030"}


def test_an_error_of_spark_is_translated(spark) -> None:
    """What the frame itself cannot do is an error of this project, without a value of the data."""
    frame = spark.range(1).selectExpr("CAST(concat('sec', 'ret', id) AS BIGINT) AS id")
    contract = Contract(columns={"id": Column(dtype="int64", checks={"greater_than": 0})})
    with pytest.raises(StoreError, match="STO050") as caught:
        check_frame(frame, contract)
    assert "secret" not in str(caught.value)


# ----------------------------------------------------------------------------------------- patterns

TEXTS = [
    "",
    "a",
    "b",
    "ab",
    "a\n",
    "\n",
    "é",
    "٣",
    "3",
    " ",
    "\u2028",
    "-",
    "]",
    "_",
    "aab",
    "🙂",
    "a]",
    "x{",
]
READ_ALIKE = [
    *PATTERNS,
    r"",
    r"^$",
    r"\A\w+\Z",
    r"\d",
    r"[\d\s]",
    r"\D",
    r"^\W$",
    r"[\s\S]",
    r"[^\s\S]",
    r"[]a]",
    r"[^]\-_]",
    r"a{,2}b",
    r"a{2}",
    r"a{1,}?b",
    r"x{",
    r"(?P<one>a)|b$",
    r"\x61|\u00e9|\U0001F642",
    r"^(a|b)$",
    r"[a-]",
    r"[^\D]",
    r"a.|\.",
    r"\t|\n",
]
REFUSED = [
    r"(?i)a",
    r"\bfoo",
    r"(a)\1",
    r"a(?=b)",
    r"(?<!a)b",
    r"a$\n",
    r"(a$|b)c",
    r"\0",
    r"a{1001}",
    r"[\Wa]",
]


@not_on_classic
def test_patterns_say_the_same_of_every_text(spark) -> None:
    """What Python finds or matches, Spark finds."""
    frame = as_frame(spark, pa.table({"id": range(len(TEXTS)), "s": TEXTS}))
    columns, expected = [], []
    for anchored, matches in ((False, re.search), (True, re.match)):
        for pattern in READ_ALIKE:
            text = portable(pattern, anchored=anchored, path="s").encode().hex()
            columns.append(f"s RLIKE CAST(X'{text}' AS STRING)")
            expected.append([bool(matches(pattern, value)) for value in TEXTS])
    rows = sorted(map(list, frame.selectExpr("id", *columns).collect()))
    for place, pattern in enumerate(READ_ALIKE * 2):
        assert [row[place + 1] for row in rows] == expected[place], pattern


@pytest.mark.parametrize("pattern", REFUSED)
def test_patterns_that_engines_read_otherwise_are_refused(pattern) -> None:
    """With the column, and before any row is looked at."""
    re.compile(pattern)
    with pytest.raises(ConfigError, match=r"\[CFG035\] s\.str_matches"):
        portable(pattern, anchored=True, path="s.str_matches")
