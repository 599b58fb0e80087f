"""How results are written: the safest form that gives them back exactly, or a refusal in words."""

from __future__ import annotations

import collections
import itertools
import json
import threading

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlkit.research.steps.forms import FileChangedError, NotStoredError, Packed, unpack
from mlkit.research.steps.values import Values, token_of

Pair = collections.namedtuple("Pair", "a b")  # noqa: PYI024 - a plain one
COUNT = itertools.count()


class Moody:
    """Another object each time it is pickled."""

    def __reduce__(self):
        """Made with the next number."""
        return (remade, (next(COUNT),))


class Broken:
    """Cannot be read back."""

    def __reduce__(self):
        """Made by a function that fails."""
        return (int, ("x",))


def remade(_number):
    """What is read back."""
    return Moody()


def digest(value):
    """The content key of a result."""
    return Values(token_of).digest(value)


def pack(value):
    """Outline (through JSON, as it is stored) and files of a value."""
    packed = Packed(digest)
    outline, _ = packed.pack(value)
    files = {name: memoryview(bytes(data)) for name, data in packed.files.items()}
    return json.loads(json.dumps(outline)), files


ARRAY = np.arange(4.0)
FRAME = pd.DataFrame({"a": [1, 2]}, index=[7, 8])


@pytest.mark.parametrize(
    ("value", "files"),
    [
        (None, []),
        ({"a": [1, (2.5, "x")], "": float("-inf")}, []),
        ("é \u202e \n", []),
        ("\ud800", ["0.pickle"]),
        (ARRAY, ["0.npy"]),
        (np.asfortranarray(ARRAY.reshape(2, 2)), ["0.npy"]),
        (np.zeros((0, 3), "int8"), ["0.npy"]),
        (np.array([{"a"}, None], dtype=object), ["0.pickle"]),
        (np.float64(1), ["0.pickle"]),
        (FRAME, ["0.pandas.arrow"]),
        (FRAME.head(0), ["0.pandas.arrow"]),
        (FRAME["a"], ["0.pickle"]),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), ["0.pickle"]),
        (pa.table({"a": [[1], None]}), ["0.arrow"]),
        (pa.table({"a": [1]}).replace_schema_metadata({"k": "v"}), ["0.arrow"]),
        ({"x": ARRAY, "y": [FRAME, 1]}, ["0.npy", "1.pandas.arrow"]),
        ({1: ARRAY}, ["0.pickle"]),
        (Pair(1, 2), ["0.pickle"]),
        (True, []),
    ],
)
def test_the_safest_form_is_taken(value, files) -> None:
    """And what is read back is the value, with its type."""
    outline, written = pack(value)
    assert list(written) == files
    back = unpack(outline, written, digest=digest)
    assert type(back) is type(value)
    assert digest(back) == digest(value)


NESTED = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.binary(max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=5,
)


@given(NESTED)
def test_plain_values_survive_as_they_are(value) -> None:
    """Types, signs, order, and what is not a number."""
    assert repr(unpack(*pack(value), digest=digest)) == repr(value)


def test_what_is_given_back_is_fresh() -> None:
    """The caller gets what a hit would give, not what the function holds on to."""
    array = ARRAY.copy()
    _, back = Packed(digest).pack([array])
    back[0][0] = 99
    assert array[0] == 0
    _, frame = Packed(digest).pack(FRAME)
    frame.loc[7, "a"] = 99
    assert FRAME.loc[7, "a"] == 1


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (threading.Lock(), "_thread.lock"),
        ({"deep": [1, threading.Lock()]}, "_thread.lock"),
        (Moody(), "Moody: something else is read back"),
        (Broken(), "Broken: ValueError when it is written or read"),
        (lambda: 1, "function"),
    ],
)
def test_what_no_form_holds_is_refused_in_words(value, words) -> None:
    """What it is, and what went wrong."""
    with pytest.raises(NotStoredError, match=words):
        Packed(digest).pack(value)


def test_a_path_is_read_only_while_it_leads_to_the_same(tmp_path) -> None:
    """A changed, removed or new file is told by its name."""
    path = tmp_path / "rows.csv"
    for before, after in (("a", "b"), ("a", None), (None, "b")):
        path.unlink(missing_ok=True)
        if before:
            path.write_text(before)
        outline, files = pack({"path": path})
        assert files == {}
        assert unpack(outline, files, digest=digest) == {"path": path}
        path.unlink(missing_ok=True)
        if after:
            path.write_text(after)
        with pytest.raises(FileChangedError, match=r"^the file `rows.csv` of its result changed$"):
            unpack(outline, files, digest=digest)


@pytest.mark.parametrize("value", [ARRAY, FRAME, pa.table({"a": [1]}), {1, 2}])
def test_files_that_do_not_fit_are_refused(value) -> None:
    """Missing or broken: one kind of error, whatever the library says."""
    outline, files = pack(value)
    (name,) = files
    with pytest.raises(NotStoredError, match="KeyError"):
        unpack(outline, {}, digest=digest)
    with pytest.raises(NotStoredError, match="when it is written or read"):
        unpack(outline, {name: memoryview(b"broken")}, digest=digest)
