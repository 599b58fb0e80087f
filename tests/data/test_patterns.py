"""Patterns spelled out for any engine, and plain Arrow: read here by RE2, another engine than Python's."""

from __future__ import annotations

import datetime as dt
import re
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlkit.data.cast import can_cast, cast_column, holds_numbers, match_columns
from mlkit.data.column import Column
from mlkit.data.patterns import MOST_REPEATS, portable
from mlkit.data.plain import nan_to_null, plain_column, plain_type
from mlkit.errors import ConfigError, DataError, DataOverflowError, UnsupportedTypeError

ATOMS = [
    "a", "b", ".", r"\.", r"\d", r"\D", r"\s", r"\S", r"\w", "[ab]", "[^ab]", "[a-c1-3]", r"[\d_]", r"[^\s]",
    "é", r"\n", r"\x61", r"\u00e9", "(ab)", "(?:a|b)", "[-a]", "{", r"\{", "🙂", " ",
]  # fmt: skip
REPEATS = ["", "", "*", "+", "?", "*?", "+?", "{2}", "{1,}", "{,2}", "{1,2}?"]
patterns = st.lists(st.tuples(st.sampled_from(ATOMS), st.sampled_from(REPEATS)), max_size=5).map(
    lambda parts: "".join(atom + repeat for atom, repeat in parts)
)
subjects = st.lists(st.text(st.sampled_from("ab1_ .\n\té{🙂٣-"), max_size=6), min_size=1, max_size=8)


def found_by_re2(pattern: str, texts, *, anchored: bool) -> list[bool]:
    """Whether the spelled out pattern is found in each text, by Arrow's engine."""
    spelled = portable(pattern, anchored=anchored, path="x")
    return pc.match_substring_regex(pa.array(texts, pa.string()), spelled).to_pylist()


@given(patterns, st.sampled_from(["{}", "^{}", "{}$", "^{}$", r"\A{}\Z", "{}|b$", "^(?:{})|a"]), subjects)
def test_another_engine_finds_what_python_finds(inner, frame, texts):
    """Anywhere in the text, or from its first character on; the spelled out text is plain ASCII."""
    pattern = frame.format(inner)
    for anchored, matches in ((False, re.search), (True, re.match)):
        expected = [bool(matches(pattern, text)) for text in texts]
        assert found_by_re2(pattern, texts, anchored=anchored) == expected, pattern
    assert portable(pattern, anchored=True, path="x").isascii()


@given(st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=10))
def test_an_escaped_text_is_itself(text):
    """Whatever characters it has, also those that mean something in a pattern."""
    pattern = rf"\A{re.escape(text)}\Z"
    assert found_by_re2(pattern, [text, text + "x", "x" + text], anchored=False) == [True, False, False]


@pytest.mark.parametrize(
    ("pattern", "spelled"),
    [
        ("", ""),
        ("a", r"\x{61}"),
        (r"[a-c\n]", r"[\x{61}-\x{63}\x{A}]"),
        ("a{,3}", r"\x{61}{0,3}"),
        ("a{2,}?", r"\x{61}{2,}"),
        ("(?P<name>x)", r"(?:\x{78})"),
        (r"[\w\W]", r"[\x{0}-\x{10FFFF}]"),
        ("[^-]", r"[^\x{2D}]"),
        ("[]-]", r"[\x{5D}\x{2D}]"),
    ],
)
def test_how_a_pattern_is_spelled(pattern, spelled):
    """By the codes of its characters; groups and laziness, which change no answer, are left out."""
    assert portable(pattern, anchored=False, path="x") == spelled
    assert portable(pattern, anchored=True, path="x") == rf"\A(?:{spelled})"


@pytest.mark.parametrize(
    ("pattern", "part"),
    [
        ("(?!a)b", "(?!"),
        ("(?:a)(?#note)", "(?#"),
        (r"\Ba", r"\B"),
        (r"a\2", r"\2"),
        ("a$b", "$ before the end"),
        ("(a|b$)c", "$ before the end"),
        ("^*", "*"),
        ("a*+", "*+"),
        (f"a{{{MOST_REPEATS + 1}}}", "more than 1,000 repeats"),
        (f"a{{1,{MOST_REPEATS + 1}}}", "more than 1,000 repeats"),
        (r"[a\S]", r"[..\S..]"),
        (r"\N{DIGIT ONE}", r"\N"),
    ],
)
def test_the_part_that_is_not_read_alike_is_named(pattern, part):
    """With the column of the check."""
    with pytest.raises(ConfigError, match="CFG035") as caught:
        portable(pattern, anchored=False, path="fare.str_matches")
    assert caught.value.message.endswith(f": {part}")
    assert caught.value.path == "fare.str_matches"


def test_as_many_repeats_as_engines_take():
    """One more would be refused by those that run in linear time."""
    assert portable(f"a{{{MOST_REPEATS}}}", anchored=False, path="x") == rf"\x{{61}}{{{MOST_REPEATS}}}"
    assert found_by_re2(f"^a{{{MOST_REPEATS}}}$", ["a" * 1000, "a" * 999], anchored=False) == [True, False]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (pa.uint8(), pa.int16()),
        (pa.uint64(), pa.int64()),
        (pa.float16(), pa.float32()),
        (pa.date64(), pa.date32()),
        (pa.binary(3), pa.binary()),
        (pa.timestamp("ns", "Asia/Tokyo"), pa.timestamp("us", "UTC")),
        (pa.decimal256(20, 2), pa.decimal128(20, 2)),
        (pa.run_end_encoded(pa.int32(), pa.dictionary(pa.int8(), pa.large_string())), pa.string()),
        (pa.list_(pa.field("item", pa.uint8()), 2), pa.list_(pa.field("item", pa.int16()))),
    ],
)
def test_the_plain_type_is_plain(kind, expected):
    """And stays as it is when it is asked for again."""
    assert plain_type(kind, "x") == expected
    assert plain_type(expected, "x") == expected


@pytest.mark.parametrize(
    ("column", "error", "code", "path"),
    [
        (pa.array([[2**64 - 1]], pa.list_(pa.uint64())), DataError, "DAT027", "x[]"),
        (pa.array([{"at": 1}], pa.struct([("at", pa.timestamp("ns"))])), DataError, "DAT032", "x.at"),
        (pa.array([2**62], pa.timestamp("s")), DataOverflowError, "DAT028", "x"),
        (pa.array([1], pa.date64()), DataError, "DAT032", "x"),
        (pa.array([1], pa.time64("us")), UnsupportedTypeError, "DAT025", "x"),
        (pa.nulls(1), UnsupportedTypeError, "DAT034", "x"),
        (pa.array([[[1]]], pa.list_(pa.list_(pa.duration("s")))), UnsupportedTypeError, "DAT024", "x[][]"),
    ],
)
def test_what_no_table_holds_is_named_with_its_place(column, error, code, path):
    """The type, or the value that would change; the value is not shown."""
    if code == "DAT032" and column.type == pa.date64():
        column = pa.Array.from_buffers(pa.date64(), 1, [None, pa.py_buffer((1).to_bytes(8, "little"))])
    with pytest.raises(error, match=code) as caught:
        plain_column(column, "x")
    assert caught.value.path == path
    assert "18446744073709551615" not in str(caught.value)


def test_only_floats_have_nan():
    """It becomes null, of the same type; a column without it is the column itself."""
    column = pa.chunked_array([[1.0, float("nan")], [None]])
    assert nan_to_null(column).to_pylist() == [1.0, None, None]
    assert nan_to_null(column).type == pa.float64()
    for same in (
        pa.chunked_array([[1, None]]),
        pa.chunked_array([[1.0]]),
        pa.chunked_array([], pa.float32()),
    ):
        assert nan_to_null(same) is same


@pytest.mark.parametrize(
    ("dtype", "to", "expected"),
    [
        ("int8", "int64", True),
        ("int64", "float32", True),
        ("float64", "int8", True),
        ("float64", "decimal(9,2)", False),
        ("decimal(9,2)", "float64", False),
        ("date", "timestamp", True),
        ("timestamp", "timestamp_utc", False),
        ("bool", "int8", False),
        ("int8", "bool", False),
        ("string", "int64", False),
    ],
)
def test_kinds_that_mean_the_same(dtype, to, expected):
    """What may become what at all, before any value is looked at."""
    assert can_cast(dtype, Column(dtype=to)) is expected


def test_whether_a_column_holds_numbers():
    """Categories hold what their values are."""
    expected = {
        "int8": True,
        "float64": True,
        "decimal(9,2)": True,
        "bool": False,
        "string": False,
        "date": False,
    }
    assert {dtype: holds_numbers(Column(dtype=dtype)) for dtype in expected} == expected


@pytest.mark.parametrize(
    ("values", "to", "expected"),
    [
        (pa.array([1.0, float("nan")]), "int8", [1, None]),
        (pa.array([127], pa.uint64()), "int8", [127]),
        (pa.array([2**53]), "float64", [2.0**53]),
        (pa.array([5]), "decimal(3,2)", [Decimal("5.00")]),
        (pa.array([dt.date(2024, 2, 29)]), "timestamp", [dt.datetime(2024, 2, 29)]),  # noqa: DTZ001 - a wall clock
        (pa.array([dt.datetime(2024, 2, 29)]), "date", [dt.date(2024, 2, 29)]),  # noqa: DTZ001 - as above
        (pa.nulls(2), "string", [None, None]),
        (pa.array([float("nan")]), "string", [None]),
    ],
)
def test_values_that_stay_the_same(values, to, expected):
    """In the type that is declared, missing ones in one form."""
    found = cast_column(pa.chunked_array([values]), Column(dtype=to), path="x")
    assert found.type == Column(dtype=to).arrow_type
    assert found.to_pylist() == expected


@pytest.mark.parametrize(
    ("values", "to", "code"),
    [
        (pa.array([128]), "int8", "DAT046"),
        (pa.array([0.5]), "int64", "DAT046"),
        (pa.array([2**53 + 1]), "float64", "DAT046"),
        (pa.array([0.1]), "float32", "DAT046"),
        (pa.array([1000]), "decimal(3,0)", "DAT046"),
        (pa.array([float("inf")]), "int64", "DAT046"),
        (pa.array([" 12.5 ", None]), "float64", "DAT054"),
        (pa.array(["12", "x"]), "float64", "DAT046"),
        (pa.array(["12"]), "date", "DAT046"),
    ],
)
def test_values_that_would_change(values, to, code):
    """The column and both types are named, numbers written as text are called that."""
    with pytest.raises(DataError, match=code) as caught:
        cast_column(pa.chunked_array([values]), Column(dtype=to), path="x")
    assert caught.value.path == "x"
    assert to in caught.value.message
    assert caught.value.fix


def test_columns_in_any_order():
    """The first that is missing is named before the first that is too many."""
    match_columns(["b", "a"], ["a", "b"])
    with pytest.raises(DataError, match="missing: c, d") as caught:
        match_columns(["a", "x"], ["a", "c", "d"])
    assert (caught.value.path, caught.value.fix) == ("c", "columns found: a, x")
    with pytest.raises(DataError, match="does not have: x, y") as caught:
        match_columns(["x", "a", "y"], ["a"])
    assert caught.value.path == "x"
