"""Sources: the same rows in the same order for prepare, whatever they came from."""

from __future__ import annotations

import importlib
import sys

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from mlkit.data import source
from mlkit.data.source import Source, ordered, prepare_rows, read_dataframe, read_source
from mlkit.digest.fingerprint import fingerprint
from mlkit.engines.base import FEATURES, TableName
from mlkit.engines.local import LocalEngine
from mlkit.errors import ConfigError, DataError, MlkitError, StoreError, StudyError

USER_CODE = """
import pandas as pd

ROWS = pd.DataFrame({"id": [3, 1, 2], "x": [0.5, None, 1.5]})


def load():
    return ROWS


def running(frame):
    assert frame.index.name is None
    assert list(frame.index) == list(range(len(frame)))
    return frame.assign(total=frame["x"].cumsum())


def filtered(frame):
    return frame[frame["x"] > 0]


def forgetful(frame):
    frame["y"] = 1


def failing(frame):
    raise KeyError("delay")


def indexed(frame):
    return frame.set_index("id")


NOT_A_FUNCTION = 3
"""


@pytest.fixture
def engine(tmp_path) -> LocalEngine:
    """An empty lake."""
    return LocalEngine(tmp_path / "lake")


@pytest.fixture(autouse=True)
def steps(tmp_path, monkeypatch) -> None:
    """A module `steps` of the user's own, and one that stops while it is imported."""
    (tmp_path / "steps.py").write_text(USER_CODE)
    (tmp_path / "broken_steps.py").write_text("COLUMNS = NAMES\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    yield
    sys.modules.pop("steps", None)


def test_prepare_sees_one_order_of_rows(engine) -> None:
    """A running total comes out the same for any order of rows and columns, in any library."""
    rows = pd.DataFrame(
        {"id": range(100), "x": np.random.default_rng(0).normal(size=100), "c": ["a", "b"] * 50}
    )
    shuffled = rows.sample(frac=1, random_state=1)[["c", "x", "id"]]
    found = set()
    for frame in (
        rows,
        shuffled,
        pl.from_pandas(shuffled),
        pa.Table.from_pandas(shuffled, preserve_index=False),
    ):
        prepared = prepare_rows(
            read_dataframe(frame),
            importlib.import_module("steps").running,
            name="steps:running",
            engine=engine,
        )
        found.add(fingerprint(prepared))
    assert len(found) == 1


def test_ordered_rows_are_one_table() -> None:
    """Equal content in canonical order is equal row by row, duplicates and missing values included."""
    rows = pa.table({"b": [1.0, None, 1.0, 2.0], "a": ["x", "y", "x", None]})
    again = ordered(rows.take([3, 1, 0, 2]).select(["a", "b"]))
    assert ordered(rows).equals(again)
    assert again.column_names == ["a", "b"]


def test_more_text_than_a_chunk_holds_is_ordered_too(monkeypatch) -> None:
    """Beyond 1 GiB (here: 100 bytes) a column comes out in several chunks, as the same rows."""
    texts = [None, *(f"a text with the number {number}" for number in range(20))]
    rows = pa.table({"t": texts, "b": pa.array(texts, pa.binary()), "n": range(21)})
    expected = ordered(rows)
    monkeypatch.setattr(source, "MAX_TEXT_BYTES", 100)
    found = ordered(rows)
    assert found.equals(expected)
    assert found.schema == expected.schema
    assert found["t"].num_chunks > 1


def test_a_table_is_read_at_one_version(engine) -> None:
    """The version is told with the rows, so that a deployment can name what it was made from."""
    table = TableName(FEATURES, "flights")
    engine.create(table, pa.table({"id": [1, 2], "x": [0.5, 1.0]}).to_reader())
    pinned = read_source(Source(table="features.flights"), engine)
    assert pinned.version == engine.describe(table).version
    engine.append(table, pa.table({"id": [3], "x": [-1.0]}).to_reader(), expected_version=pinned.version)
    later = read_source(Source(table="features.flights", prepare="steps:filtered"), engine)
    assert pinned.rows.num_rows == 2
    assert later.version == pinned.version + 1
    assert sorted(later.rows["id"].to_pylist()) == [1, 2]


def test_a_function_may_load_the_rows(engine) -> None:
    """Rows of a function have no version; prepare follows as it does for a table."""
    pinned = read_source(Source(load="steps:load", prepare="steps:filtered"), engine)
    assert pinned.version is None
    assert sorted(pinned.rows["id"].to_pylist()) == [2, 3]


@pytest.mark.parametrize(
    ("source", "kind", "code", "text"),
    [
        (Source(table="features.none"), StoreError, "STO010", "tables there: features.known"),
        (Source(load="steps:load", prepare="steps:forgetful"), DataError, "DAT021", "return the dataframe"),
        (Source(load="steps:load", prepare="steps:failing"), StudyError, "RUN010", "steps:failing"),
        (Source(load="steps:load", prepare="steps:indexed"), DataError, "DAT014", "reset_index"),
        (Source(load="steps:NOT_A_FUNCTION"), ConfigError, "CFG033", "found int"),
        (Source(load="steps:laod"), ConfigError, "CFG024", "'load'"),
        (Source(load="no_such_steps:load"), ConfigError, "CFG023", "no_such_steps"),
        (Source(load="broken_steps:load"), StudyError, "RUN010", "import raised NameError"),
    ],
)
def test_what_goes_wrong_is_said_in_our_words(engine, source, kind, code, text) -> None:
    """Whoever's mistake it is, the error names the table or function and what to do."""
    engine.create(TableName(FEATURES, "known"), pa.table({"id": [1]}).to_reader())
    with pytest.raises(kind) as caught:
        read_source(source, engine)
    assert caught.value.code == code
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("values", "code", "path"),
    [
        ({}, "CFG032", "table"),
        ({"table": "features.a", "load": "steps:load"}, "CFG032", "table"),
        ({"table": "a.b.c"}, "NAM007", "a.b.c"),
        ({"table": "elsewhere.a"}, "NAM007", "elsewhere.a"),
        ({"table": 3}, "CFG009", "table"),
    ],
)
def test_a_source_has_one_origin(values, code, path) -> None:
    """A table with a proper name or a function, and never both."""
    with pytest.raises(MlkitError) as caught:
        Source(**values)
    assert (caught.value.code, caught.value.path) == (code, path)


def test_a_source_is_shown_as_the_way_of_its_rows() -> None:
    """Its text reads from left to right, and its functions can be listed for the wheel."""
    source = Source(table="features.flights", prepare="steps:running")
    assert str(source) == "features.flights -> steps:running"
    assert source.references == ["steps:running"]
    assert Source(load="steps:load").references == ["steps:load"]
    assert str(Source(load="steps:load")) == "steps:load"


def test_a_frame_that_no_table_holds_is_refused_by_column() -> None:
    """Names and values are checked at the door, before anybody works with the rows."""
    for frame, path in (
        (pd.DataFrame({"a b": [1]}), "a b"),
        (pd.DataFrame({"a": [1], "A": [2]}), "A"),
        (pd.DataFrame({"t": pd.to_timedelta([1], unit="s")}), "t"),
    ):
        with pytest.raises(DataError) as caught:
            read_dataframe(frame)
        assert caught.value.path == path
