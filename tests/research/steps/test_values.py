"""Content keys of values by themselves: arrays, frames, plain values and objects at their edges."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import enum
import fractions
import functools
import pathlib
import types
import zoneinfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st

from mlkit.research.steps.files import file_digest
from mlkit.research.steps.tokens import NotKeyedError
from mlkit.research.steps.values import Values, token_of


class Color(enum.Enum):
    """Names for numbers."""

    RED = 1
    BLUE = 2


@dataclasses.dataclass
class Box:
    """Holds something."""

    inside: object
    name: str = "box"


class Slots:
    """Without a dict."""

    __slots__ = ("inside",)

    def __init__(self, inside):
        self.inside = inside


class Texts(list):
    """A list with a name of its own."""


def key(value):
    """The content key of a value, read anew."""
    return Values(token_of).digest(value)


def spare(name):
    """A frame with one column twice."""
    return pd.DataFrame([[1, 2]], columns=["a", name])


def masked(values, mask):
    """An Arrow array, whatever stands under its nulls."""
    return pa.array(np.array(values), mask=np.array(mask, dtype=bool))


MOMENT = dt.datetime(2024, 10, 27, 2, 30, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin"))
LONG = list(range(1000))
DIFFERENT = {
    "None and text": (None, "none"),
    "ellipsis": (..., NotImplemented),
    "complex": (complex(0.0, 1), complex(-0.0, 1)),
    "true in a list": ([True], [1]),
    "bytes and bytearray": (b"a", bytearray(b"a")),
    "set and frozenset": ({1}, frozenset({1})),
    "proxy and dict": (types.MappingProxyType({"a": 1}), {"a": 1}),
    "subclass of list": (Texts(["a"]), ["a"]),
    "ordered dict": (collections.OrderedDict(a=1), {"a": 1}),
    "nested or side by side": ([[1], 2], [[1, 2]]),
    "member of an enum": (Color.RED, Color.BLUE),
    "dataclass": (Box(1), Box(1, name="bag")),
    "slots": (Slots(1), Slots(2)),
    "class and object": (Box, Box(1)),
    "fold of a moment": (MOMENT, MOMENT.replace(fold=1)),
    "day and moment": (dt.date(2024, 1, 1), dt.datetime(2024, 1, 1)),  # noqa: DTZ001 - the point
    "path and text": (pathlib.PurePath("a"), "a"),
    "fractions": (fractions.Fraction(1, 2), fractions.Fraction(1, 3)),
    "arguments of a partial": (functools.partial(int, base=2), functools.partial(int, base=8)),
    "last of many": (LONG, [*LONG[:-1], -1]),
    "many and one more": (LONG, [*LONG, 0]),
    "many numbers of two kinds": (LONG, list(map(float, LONG))),
    "many bools": ([True] * 1000, [1] * 1000),
    "many, list and tuple": (LONG, tuple(LONG)),
    "many texts with a surrogate": (["a"] * 1000, ["a"] * 999 + ["\ud800"]),
    "byte order": (np.array([1], "<i4"), np.array([1], ">i4")),
    "names of fields": (np.zeros(1, [("a", "i4")]), np.zeros(1, [("b", "i4")])),
    "length of text": (np.array(["a"], "U1"), np.array(["a"], "U2")),
    "unit of numpy's time": (np.array([0], "M8[s]"), np.array([0], "M8[ms]")),
    "empty, of two types": (np.zeros(0, "int8"), np.zeros(0, "int16")),
    "empty, of two shapes": (np.zeros((0, 3)), np.zeros((3, 0))),
    "scalar and array of it": (np.float64(1), np.array(1.0)),
    "scalar and number": (np.float64(1), 1.0),
    "matrix format": (scipy.sparse.csr_array(np.eye(2)), scipy.sparse.csc_array(np.eye(2))),
    "matrix shape": (scipy.sparse.coo_array((2, 3)), scipy.sparse.coo_array((3, 2))),
    "empty columns": (pd.Series([], dtype="int64"), pd.Series([], dtype="float64")),
    "name of a series": (pd.Series([1], name="a"), pd.Series([1], name="b")),
    "a column twice": (spare("a"), spare("b")),
    "rows without columns": (pd.DataFrame(index=[1, 2]), pd.DataFrame(index=[1, 3])),
    "step of a range": (pd.RangeIndex(0, 4, 2), pd.RangeIndex(0, 3, 2)),
    "names of levels": (
        pd.MultiIndex.from_tuples([(1, 2)], names=["a", "b"]),
        pd.MultiIndex.from_tuples([(1, 2)], names=["b", "a"]),
    ),
    "sides of intervals": (
        pd.interval_range(0, 2, closed="left").array,
        pd.interval_range(0, 2, closed="right").array,
    ),
    "sparse or not": (pd.Series([0, 1]), pd.Series([0, 1], dtype=pd.SparseDtype("int64"))),
    "ordered categories": (pd.Categorical(["a"], ordered=True), pd.Categorical(["a"], ordered=False)),
    "frequency": (
        pd.date_range("2024-01-01", periods=2, freq="D"),
        pd.DatetimeIndex(["2024-01-01", "2024-01-02"]),
    ),
    "missing, of two kinds": (
        pd.Series([pd.NA, "a"], dtype=object),
        pd.Series([np.nan, "a"], dtype=object),
    ),
    "labels twice": (
        pd.DataFrame({"a": [1]}),
        pd.DataFrame({"a": [1]}).set_flags(allows_duplicate_labels=False),
    ),
    "text widths of Arrow": (pa.array(["a"], pa.string()), pa.array(["a"], pa.large_string())),
    "list and fixed list": (pa.array([[1]]), pa.array([[1]], pa.list_(pa.int64(), 1))),
    "null and empty list": (pa.array([[1], None]), pa.array([[1], []])),
    "null struct, struct of nulls": (pa.array([{"a": 1}, None]), pa.array([{"a": 1}, {"a": None}])),
    "nulls without a type": (pa.nulls(2), pa.nulls(3)),
    "maps": (
        pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64())),
        pa.array([[("a", 2)]], pa.map_(pa.string(), pa.int64())),
    ),
    "decimals of Arrow": (pa.array([1], pa.decimal128(5, 1)), pa.array([1], pa.decimal128(5, 2))),
    "may be null": (
        pa.table({"a": [1]}, schema=pa.schema([pa.field("a", pa.int64(), nullable=False)])),
        pa.table({"a": [1]}),
    ),
    "metadata of a field": (
        pa.table({"a": [1]}, schema=pa.schema([pa.field("a", pa.int64(), metadata={"k": "v"})])),
        pa.table({"a": [1]}),
    ),
    "rows of no columns": (pa.table({"a": [1]}).select([]), pa.table({"a": [1, 2]}).select([])),
    "batch and table": (pa.record_batch({"a": [1]}), pa.table({"a": [1]})),
    "empty and zero bytes": (pa.array([b""]), pa.array([b"\x00"])),
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_what_differs_has_another_key(name) -> None:
    """Each of the two, read again, has its own."""
    first, second = DIFFERENT[name]
    assert key(first) != key(second)
    assert (key(first), key(second)) == (key(first), key(second))


SAME = {
    "order of a set": ({*"abcdefgh"}, {*"hgfedcba"}),
    "equal objects": (Box([1, {"a": (2,)}]), Box([1, {"a": (2,)}])),
    "shared or copied": ([LONG, LONG], [list(LONG), list(LONG)]),
    "not a number": ([float("nan")], [float("nan")]),
    "what stands under a null": (masked([1, 2, 3], [0, 1, 0]), pa.array([1, None, 3])),
    "bits under a null": (masked([True, True], [0, 1]), pa.array([True, None])),
    "text under a null": (masked(["a", "bc"], [0, 1]), pa.array(["a", None])),
    "time under a null": (
        masked(np.array([1, 2], "M8[us]"), [0, 1]),
        pa.array([dt.datetime(1970, 1, 1, 0, 0, 0, 1), None], pa.timestamp("us")),  # noqa: DTZ001 - naive
    ),
    "one chunk or many": (
        pa.chunked_array([["a"], [], ["b", None]], pa.string()),
        pa.chunked_array([["a", "b", None]], pa.string()),
    ),
    "array and one chunk": (pa.array([1, 2]), pa.array([0, 1, 2]).slice(1)),
    "maps cut": (
        pa.array([[("z", 9)], [("a", 1)]], pa.map_(pa.string(), pa.int64())).slice(1),
        pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64())),
    ),
    "structs cut": (pa.array([{"a": 9}, None, {"a": 1}]).slice(1), pa.array([None, {"a": 1}])),
    "reversed and copied": (np.arange(5)[::-1], np.arange(5)[::-1].copy()),
    "read-only": (np.frombuffer(b"ab", "u1"), np.array([97, 98], "u1")),
    "dictionary of keys": (
        scipy.sparse.dok_array(np.eye(2)),
        scipy.sparse.dok_array(np.eye(2)[:, ::-1])[:, [1, 0]],
    ),
    "views of a frame": (
        pd.DataFrame({"a": [1, 2], "b": [3, 4], "c": [5, 6]})[["a", "c"]],
        pd.DataFrame({"a": [1, 2], "c": [5, 6]}),
    ),
}


@pytest.mark.parametrize("name", SAME)
def test_what_is_the_same_has_one_key(name) -> None:
    """However it lies in memory, and whatever stands where nothing is read."""
    first, second = SAME[name]
    assert key(first) == key(second)


@given(st.lists(st.integers(-3, 3), max_size=6), st.integers(0, 6), st.integers(1, 3))
def test_arrays_are_their_elements(values, start, step) -> None:
    """A cut of a larger array is what a copy of it is, in numpy and in Arrow."""
    array = np.array(values, dtype="int16")
    assert key(array[start::step]) == key(array[start::step].copy())
    assert key(pa.array(array).slice(start)) == key(pa.array(array[start:]))
    assert (key(array[start:]) == key(array)) == (len(array[start:]) == len(array))


def test_depth_counts() -> None:
    """A list within a list, a hundred times, is not one within it once more."""
    value = []
    for _ in range(100):
        value = [value]
    assert key(value) != key([value])


def test_a_refusal_leaves_nothing_behind() -> None:
    """The same object reads the next value as another would."""
    values = Values(token_of)
    generator = (number for number in ())
    for _ in range(2):
        with pytest.raises(NotKeyedError, match=r"builtins.generator, which cannot be pickled"):
            values.digest([1, [generator]])
    assert values.digest([1, [2]]) == key([1, [2]])


def test_an_error_of_the_users_is_a_refusal() -> None:
    """Whatever a class raises when it is pickled, it has no content then."""

    class Angry:
        def __reduce_ex__(self, _protocol):
            message = "no"
            raise RuntimeError(message)

    with pytest.raises(NotKeyedError, match=r"Angry, which cannot be pickled") as caught:
        key(Angry())
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_a_file_is_its_bytes(tmp_path) -> None:
    """In pieces or not; a missing one is not an empty one, and a folder not a file."""
    path = tmp_path / "file"
    missing = key(path)
    path.write_bytes(b"")
    empty = key(path)
    path.write_bytes(b"a" * (1 << 20) + b"b")
    large = file_digest(path)
    path.write_bytes(b"a" * (1 << 20) + b"c")
    assert file_digest(path) != large
    path.unlink()
    path.mkdir()
    folder = key(path)
    assert len({missing, empty, folder}) == 3
    (path / "__pycache__").mkdir()
    (path / "__pycache__" / "a.pyc").touch()
    (path / "deep").mkdir()  # folders count by what is in them
    assert key(path) == folder
    (path / "deep" / "a").touch()
    deep = key(path)
    (path / "deep" / "a").rename(path / "deep" / "b")
    assert len({folder, deep, key(path)}) == 3
