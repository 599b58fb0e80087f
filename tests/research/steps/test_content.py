"""The part of the key that is content: whatever code can tell apart is another input, and nothing else."""

from __future__ import annotations

import datetime as dt
import decimal
import pathlib
import threading
import types

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import Ridge
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mlkit.errors import StudyError
from mlkit.research.steps.key import Recipe


def frame(**columns):
    """A pandas frame."""
    return pd.DataFrame(columns or {"a": [1, 2, 3], "b": ["x", "y", "z"]})


def fitted(estimator, *, rows=30):
    """An estimator, fitted to a line."""
    x = np.arange(rows * 2.0).reshape(rows, 2)
    return estimator.fit(x, x[:, 0])


TIMES = pd.to_datetime(["2024-01-01", None, "2024-01-03"])
# Pairs of which a step must not take one for the other; the order-free fingerprint is the same for many.
DIFFERENT = {
    "row order": (frame(), frame().iloc[::-1].reset_index(drop=True)),
    "index": (frame(), frame().set_axis([7, 8, 9])),
    "kind of index": (frame(), frame().set_axis([0, 1, 2])),
    "name of the index": (frame(), frame().rename_axis("row")),
    "column order": (frame(), frame()[["b", "a"]]),
    "names of columns": (frame(), frame().rename(columns={"a": "c"})),
    "int and float": (frame(a=[1, 2]), frame(a=[1.0, 2.0])),
    "width": (frame(a=np.array([1], "int32")), frame(a=np.array([1], "int64"))),
    "bool and int": (frame(a=[True]), frame(a=[1])),
    "None and NaN": (pd.Series(["x", None], dtype=object), pd.Series(["x", np.nan], dtype=object)),
    "zero and minus zero": (np.array([0.0]), np.array([-0.0])),
    "object and string": (frame(a=["x"]).astype(object), frame(a=["x"]).astype("string")),
    "int and nullable int": (frame(a=[1]), frame(a=[1]).astype("Int64")),
    "categories": (
        frame(a=["x"]).astype(pd.CategoricalDtype(["x"])),
        frame(a=["x"]).astype(pd.CategoricalDtype(["x", "y"])),
    ),
    "order of categories": (
        frame(a=["x"]).astype(pd.CategoricalDtype(["x", "y"])),
        frame(a=["x"]).astype(pd.CategoricalDtype(["y", "x"])),
    ),
    "unit of time": (frame(a=TIMES.astype("datetime64[us]")), frame(a=TIMES.astype("datetime64[ns]"))),
    "zone": (frame(a=TIMES.tz_localize("UTC")), frame(a=TIMES.tz_localize("Europe/Berlin"))),
    "attributes": (frame(), frame().pipe(lambda data: data.attrs.update(unit="km") or data)),
    "frame and series": (frame(a=[1]), frame(a=[1])["a"]),
    "libraries": (pa.table({"a": [1]}), frame(a=[1])),
    "array and list": (np.array([1, 2]), [1, 2]),
    "shape": (np.zeros((2, 3)), np.zeros((3, 2))),
    "null and value": (pa.array([1, None]), pa.array([1, 0])),
    "where text is cut": (pa.array(["ab", "c"]), pa.array(["a", "bc"])),
    "nested": (pa.array([[1], [2, 3]]), pa.array([[1, 2], [3]])),
    "metadata": (pa.table({"a": [1]}), pa.table({"a": [1]}).replace_schema_metadata({"k": "v"})),
    "int, float, bool": (1, 1.0),
    "text and bytes": ("a", b"a"),
    "order of a dict": ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    "tuple and list": ((1,), [1]),
    "moments": (dt.datetime(2024, 1, 1, tzinfo=dt.UTC), dt.datetime(2024, 1, 1)),  # noqa: DTZ001 - the point
    "decimals": (decimal.Decimal("1.0"), decimal.Decimal("1.00")),
    "parameters of an estimator": (Ridge(alpha=1), Ridge(alpha=2)),
    "fitted or not": (Ridge(), fitted(Ridge())),
    "fitted to other rows": (fitted(Ridge()), fitted(Ridge(), rows=31)),
    "random state": (np.random.default_rng(0), np.random.default_rng(1)),
    "long lists": (list(range(2000)), [0.0, *range(1, 2000)]),
    "long lists of text": (["a"] * 2000, ["a"] * 1999 + ["b"]),
    "long lists of large numbers": ([2**70] * 2000, [2**70] * 1999 + [0]),
    "sparse": (scipy.sparse.csr_array(np.eye(2)), scipy.sparse.csr_array(np.eye(2) * 2)),
}
SOURCE = "@project.step\ndef f(x): return 1"


@pytest.mark.parametrize("name", DIFFERENT)
def test_what_code_can_tell_apart_is_another_input(bench, name) -> None:
    """Two values, two results; each is found again."""
    step = bench.run(SOURCE)["f"]
    first, second = DIFFERENT[name]
    for value in (first, second, first, second):
        step(value)
    assert bench.outcomes == ["miss", "miss", "hit", "hit"]
    assert bench.calls[1]["why"].startswith("input `x` changed")


strings = pa.chunked_array([["a", None], ["b", "c"]])
nested = pa.table({"a": [[1, 2], None, [], [3]], "b": [{"c": 1}, None, {"c": None}, {"c": 4}]})
# Pairs that are the same to any code, though they lie in memory in another way.
SAME = {
    "strides": (np.arange(12.0).reshape(3, 4).T, np.ascontiguousarray(np.arange(12.0).reshape(3, 4).T)),
    "slice": (frame().iloc[:2], frame().head(2).copy()),
    "chunks": (strings, pa.chunked_array([strings.combine_chunks()])),
    "offsets": (pa.array([9, 1, None, 2]).slice(1), pa.array([1, None, 2])),
    "bits": (pa.array([True, False, None, True]).slice(1), pa.array([False, None, True])),
    "chunks of nested rows": (pa.concat_tables([nested.slice(0, 2), nested.slice(2)]), nested),
    "parts of a dictionary": (
        pa.chunked_array(
            [pa.array(["a", "b"]).dictionary_encode(), pa.array(["b", "c"]).dictionary_encode()]
        ),
        pa.chunked_array([pa.array(["a", "b", "b", "c"]).dictionary_encode()]),
    ),
    "order of a set": ({"a", "b", "c"}, {"c", "b", "a"}),
    "objects": (
        fitted(make_pipeline(StandardScaler(), Ridge())),
        fitted(make_pipeline(StandardScaler(), Ridge())),
    ),
    "boosting": (
        fitted(HistGradientBoostingRegressor(max_iter=2, random_state=0)),
        fitted(HistGradientBoostingRegressor(max_iter=2, random_state=0)),
    ),
}


@pytest.mark.parametrize("name", SAME)
def test_what_is_the_same_to_code_is_a_hit(bench, name) -> None:
    """Memory layout is no content."""
    step = bench.run(SOURCE)["f"]
    for value in SAME[name]:
        step(value)
    assert bench.outcomes == ["miss", "hit"]


def test_an_estimator_that_counts_its_calls_is_not_changed_by_them(bench) -> None:
    """The trees of neighbours keep statistics of their own."""
    step = bench.run("@project.step\ndef f(model, x): return model.predict(x)")["f"]
    model, rows = fitted(KNeighborsRegressor(algorithm="kd_tree")), np.ones((3, 2))
    assert np.array_equal(step(model, rows), step(model, rows))
    assert bench.outcomes == ["miss", "hit"]


def test_what_an_object_only_remembers_is_no_content(bench) -> None:
    """A property that is kept once computed does not make the object another."""
    source = """
import functools
class Box:
    @functools.cached_property
    def slow(self): return 5
@project.step
def f(box): return box.slow
"""
    names = bench.run(source)
    box = names["Box"]()
    assert [names["f"](box), names["f"](box)] == [5, 5]
    assert vars(box) == {"slow": 5}
    assert bench.outcomes == ["miss", "hit"]


def test_a_value_may_hold_itself(bench) -> None:
    """A cycle ends."""
    step = bench.run(SOURCE)["f"]
    for number in (1, 1, 2):
        value = [number]
        value.append(value)
        step(value)
    assert bench.outcomes == ["miss", "hit", "miss"]


def test_polars_frames_are_inputs_and_results(bench) -> None:
    """Row order, dtypes and categories count; the result is a frame of Polars again."""
    pl = pytest.importorskip("polars")
    step = bench.run("@project.step\ndef f(x): return x.with_row_index('row')")["f"]
    data = pl.DataFrame({"a": [1, 2], "b": ["x", None], "c": pl.Series(["u", "v"], dtype=pl.Categorical)})
    for value in (data, data.clone(), data.reverse(), data.cast({"a": pl.Int32})):
        assert step(value).equals(value.with_row_index("row"))
        assert step(value).schema == value.with_row_index("row").schema
    assert bench.outcomes == ["miss", "hit", "hit", "hit", "miss", "hit", "miss", "hit"]
    with pytest.raises(StudyError, match=r"RUN082.*LazyFrame"):
        step(data.lazy())


def test_a_path_is_what_the_file_holds(bench) -> None:
    """Content, not time: touching a file is a hit, another content a miss; of a folder, all files count."""
    step = bench.run("@project.step\ndef f(x): return x.exists()")["f"]
    folder = bench.folder / "data"
    path = folder / "rows.csv"
    folder.mkdir()
    for content, told in (("a", "miss"), ("a", "hit"), ("b", "miss"), ("a", "hit")):
        path.write_text(content)
        step(path)
        assert bench.outcomes[-1] == told
    step(folder)
    (folder / "more.csv").write_text("c")
    (folder / ".hidden").write_text("c")
    step(folder)
    assert bench.outcomes[-2:] == ["miss", "miss"]
    (folder / ".hidden").write_text("d")
    step(folder)
    path.unlink()
    assert step(path) is False
    assert bench.outcomes[-2:] == ["hit", "miss"]


def test_objects_of_this_project_are_known_by_their_own_names(bench, home, flights) -> None:
    """No rows are read of a snapshot; that it was reused does not make it another."""
    project = bench.project
    data = flights.dropna()
    step = bench.run("@project.step\ndef f(x): return x.rows")["f"]
    assert step(project.snapshot(data)) == step(project.snapshot(data)) == len(data)
    step(project.snapshot(data.head(100)))
    assert bench.outcomes == ["miss", "hit", "miss"]


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.binary(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=2), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(PLAIN, PLAIN)
def test_plain_values_have_one_key_each(first, second) -> None:
    """Two keys are equal exactly where the values are written alike, types and signs included."""
    keys = [Recipe("f", lambda x: x).key({"x": value}).hex for value in (first, second)]
    assert (keys[0] == keys[1]) == (repr(first) == repr(second))


@given(st.lists(st.tuples(st.integers(-9, 9), st.sampled_from(["x", "y", None])), max_size=8), st.randoms())
def test_a_frame_has_one_key_for_each_order_of_its_rows(rows, random) -> None:
    """Shuffled rows have another key exactly where they are in another order."""
    shuffled = random.sample(rows, len(rows))
    keys = [
        Recipe("f", lambda x: x).key({"x": pd.DataFrame(data, columns=["a", "b"])}).hex
        for data in (rows, shuffled)
    ]
    assert (keys[0] == keys[1]) == (rows == shuffled)


class Keyed:
    """A user's class that says what stands for it."""

    def __init__(self, address):
        self.address, self.lock = address, threading.Lock()

    def __mlkit_key__(self):
        return self.address


def test_a_class_may_say_what_stands_for_it(bench) -> None:
    """Then it may hold what has no content."""
    step = bench.run(SOURCE)["f"]
    for address in ("a", "a", "b"):
        step(Keyed(address))
    assert bench.outcomes == ["miss", "hit", "miss"]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (threading.Lock(), "_thread.lock"),
        ({"deep": [threading.Lock()]}, "_thread.lock"),
        ((number for number in ()), "generator"),
        (types.ModuleType("made_by_hand"), "made_by_hand as a whole"),
        (type("Client", (), {"__module__": "pytest"})(), "pytest.Client, which may be more"),
    ],
)
def test_an_input_without_content_is_refused_by_name(bench, value, words) -> None:
    """Nothing is ignored in silence."""
    step = bench.run(SOURCE)["f"]
    with pytest.raises(StudyError) as caught:
        step(value)
    assert caught.value.code == "RUN082"
    assert words in str(caught.value)
    assert caught.value.path == "x"


@pytest.mark.newest_only
def test_a_spark_frame_is_refused(bench, spark) -> None:
    """Its rows are elsewhere, and may change."""
    rows = spark.createDataFrame([(1,)], "a int")
    step = bench.run("@project.step\ndef f(x): return x")["f"]
    with pytest.raises(StudyError, match=r"RUN083.*\n.*project.snapshot"):
        step(rows)


def test_home_folders_are_not_read(bench) -> None:
    """A folder of very many files is refused, not hashed for minutes."""
    folder = bench.folder / "many"
    folder.mkdir()
    for number in range(1001):
        (folder / f"{number}.txt").touch()
    step = bench.run(SOURCE)["f"]
    with pytest.raises(StudyError, match=r"more than 1,000 files"):
        step(pathlib.Path(folder))
