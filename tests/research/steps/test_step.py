"""What a call gives: exact results, the same text and figures, and refusals where a hit could not."""

from __future__ import annotations

import collections
import dataclasses
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mlkit.errors import StudyError, UsageError
from mlkit.research.steps.replay import replayed

Point = collections.namedtuple("Point", "x y")  # noqa: PYI024 - a plain one


@dataclasses.dataclass
class Scores:
    """A result of a user's own class."""

    mean: float
    rows: list[int]


def odd_frame():
    """A frame of what Arrow alone would not bring back."""
    columns = {
        "object": pd.Series(["x", None, np.nan], dtype=object),
        "mixed": pd.Series([1, "a", (2, 3)], dtype=object),
        "category": pd.Categorical(["u", None, "v"], categories=["v", "u", "w"], ordered=True),
        "time": pd.to_datetime(["2024-01-01", None, "2024-03-31"]).tz_localize("Europe/Berlin"),
        "period": pd.period_range("2024-01", periods=3, freq="M"),
        "nullable": pd.array([1, None, 3], dtype="Int8"),
        "text": pd.array(["a", None, "c"], dtype="string"),
        "float": np.array([0.0, -0.0, np.nan], "float32"),
    }
    index = pd.MultiIndex.from_tuples([("a", 1), ("a", 2), ("b", 1)], names=["k", None])
    return pd.DataFrame(columns).set_index(index)


ROWS = np.arange(60.0).reshape(30, 2)
RESULTS = {
    "plain": {"a": [1, 2.5, None, True, "x", float("inf")], "b": {}},
    "not a number": float("nan"),
    "half a surrogate": "\ud800",
    "tuple": (1, (2, "x")),
    "dict by number": {1: "a", (2, 3): "b"},
    "named tuple": Point(1, 2),
    "dataclass": Scores(0.5, [1, 2]),
    "set": {1, 2},
    "bytes": b"ab",
    "array": np.arange(6, dtype="int16").reshape(2, 3),
    "columns first": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "objects": np.array(["a", None], dtype=object),
    "scalar": np.float32(1.5),
    "empty": np.zeros((0, 3)),
    "moment": pd.Timestamp("2024-01-01", tz="UTC"),
    "frame": pd.DataFrame({"a": [1, 2], "b": ["x", None]}),
    "odd frame": odd_frame(),
    "two columns of one name": pd.DataFrame([[1, 2.0]], columns=["a", "a"]),
    "names that are numbers": pd.DataFrame(np.eye(2)),
    "no rows": pd.DataFrame({"a": pd.Series(dtype="Int64")}),
    "no columns": pd.DataFrame(index=[1, 2]),
    "series": pd.Series([1, 2], name="a"),
    "table": pa.table({"a": [[1], None], "b": pa.array(["x", "y"]).dictionary_encode()}),
    "two frames and a score": (odd_frame(), pd.DataFrame({"a": [1]}), {"rmse": 0.1}),
    "line": Ridge().fit(ROWS, ROWS[:, 0]),
    "pipeline": make_pipeline(StandardScaler(), LogisticRegression(solver="liblinear")).fit(
        ROWS, ROWS[:, 0] > 30
    ),
    "boosting": HistGradientBoostingClassifier(max_iter=3, random_state=0).fit(ROWS, ROWS[:, 0] > 30),
    "forest": RandomForestRegressor(3, random_state=0).fit(ROWS, ROWS[:, 0]),
}


@pytest.mark.parametrize("name", RESULTS)
def test_a_hit_gives_exactly_what_the_function_gave(bench, name) -> None:
    """Types, order, index and dtypes are those of the result; each call gives an object of its own."""
    names = bench.run("def f(x): return TABLE[x]\nTABLE = {}")
    names["TABLE"]["r"] = RESULTS[name]
    step = bench.project.step(names["f"])
    miss, hit = step("r"), step("r")
    assert bench.outcomes == ["miss", "hit"]
    for result in (miss, hit):
        assert type(result) is type(RESULTS[name])
        # The key of a value is exact, so what has the same key as input is the same.
        check = bench.run("@project.step\ndef g(x): return 1")["g"]
        check(RESULTS[name])
        check(result)
        assert bench.outcomes[-1] == "hit"
    if not isinstance(hit, (int, float, str, tuple)):
        assert hit is not miss


def test_a_path_that_is_returned_is_looked_at(bench) -> None:
    """A hit does not name a file that is gone or holds something else: it is written anew."""
    source = "from pathlib import Path\n@project.step\ndef f():\n    path = Path('rows.csv')\n"
    step = bench.run(f"{source}    path.write_text('a')\n    return [path]")["f"]
    (path,) = step()
    assert step() == [path]
    for harm in (path.unlink, lambda: path.write_text("b")):
        harm()
        step()
        assert bench.why == "the file `rows.csv` of its result changed"
        assert path.read_text() == "a"
    assert bench.outcomes == ["miss", "hit", "miss", "miss"]


def test_figures_are_results(bench) -> None:
    """An object of a library that remembers what it is not pickled with is stored all the same."""
    source = (
        "import plotly.graph_objects as go\n@project.step\ndef f(): return go.Figure(go.Bar(x=[1], y=[2]))"
    )
    step = bench.run(source)["f"]
    assert step() == step()
    assert bench.outcomes == ["miss", "hit"]


@pytest.mark.filterwarnings("ignore:'force_all_finite':FutureWarning")
@pytest.mark.parametrize("library", ["xgboost", "lightgbm", "catboost"])
def test_boosters_are_inputs_and_results(bench, library) -> None:
    """Fitted once, and not changed by predicting."""
    module = pytest.importorskip(library)
    quiet = {"verbose": 0, "allow_writing_files": False} if library == "catboost" else {"n_jobs": 1}
    names = {"xgboost": "XGBRegressor", "lightgbm": "LGBMRegressor", "catboost": "CatBoostRegressor"}
    source = """
from sklearn.base import clone
@project.step
def fit(model, x, y): return clone(model).fit(x, y)
@project.step
def predict(model, x): return model.predict(x)
"""
    steps = bench.run(source)
    estimator = getattr(module, names[library])(n_estimators=3, **quiet)
    made = [steps["predict"](steps["fit"](estimator, ROWS, ROWS[:, 0]), ROWS) for _ in range(2)]
    assert np.array_equal(*made)
    assert bench.outcomes == ["miss", "miss", "hit", "hit"]


def test_results_can_be_changed_without_harm(bench) -> None:
    """A frame or array that was read is writable, and the stored one stays as it was."""
    step = bench.run(
        "import numpy as np, pandas as pd\n"
        "@project.step\ndef f(): return pd.DataFrame({'a': [1.0, 2.0]}), np.ones(3)"
    )["f"]
    for _ in range(3):
        frame, array = step()
        frame.loc[0, "a"] = 9.0
        frame["b"] = 1
        array[0] = 9.0
    assert step()[0].equals(pd.DataFrame({"a": [1.0, 2.0]}))
    assert bench.outcomes == ["miss", "hit", "hit", "hit"]


def test_steps_follow_each_other(bench) -> None:
    """What a hit gives is the same input to the next step as what a miss gave."""
    source = """
import pandas as pd
@project.step
def load(n): return pd.DataFrame({"a": range(n), "b": ["x", None] * (n // 2)})
@project.step
def clean(rows): return rows.dropna()
@project.step
def count(rows): return len(rows)
"""
    for told in ("miss", "hit", "hit"):
        names = bench.run(source)
        assert names["count"](names["clean"](names["load"](10))) == 5
        assert bench.outcomes[-3:] == [told] * 3


def test_what_was_printed_is_printed_again(bench, capsys) -> None:
    """Off, miss and hit look the same on standard output; a step within a step is part of both."""
    source = """
@project.step
def inner(x):
    print("inner", x)
    return x
@project.step
def outer(x):
    print("begin")
    inner(x)
    print("end")
"""
    seen = []
    for switch in ("off", "on", "on"):
        os.environ["MLKIT_STEPS"] = switch
        bench.run(source)["outer"](1)
        seen.append(capsys.readouterr().out)
    assert seen == ["begin\ninner 1\nend\n"] * 3
    bench.run(source)["inner"](1)
    assert capsys.readouterr().out == "inner 1\n"
    assert bench.outcomes == ["miss", "miss", "hit", "hit"]


def test_what_other_threads_print_is_not_the_steps(bench, capsys) -> None:
    """Only the text of the step itself comes again."""
    source = """
import threading
@project.step
def f():
    other = threading.Thread(target=print, args=("other",))
    other.start()
    other.join()
    print("mine")
"""
    step = bench.run(source)["f"]
    step()
    assert sorted(capsys.readouterr().out.split()) == ["mine", "other"]
    step()
    assert capsys.readouterr().out == "mine\n"


kept = []


@replayed
def keep_figure(name, svg, *, caption=""):
    """Stand-in for what keeps a figure for the report."""
    kept.append((name, svg, caption))


def test_figures_are_kept_again(bench) -> None:
    """A hit does not empty the report: calls of what is marked `replayed` are repeated, nested ones once."""
    kept.clear()
    names = bench.run(
        "def inner(x): keep('b', '<svg/>', caption=str(x))\ndef f(x):\n    keep('a', '<svg/>')\n    step(x)"
    )
    names["keep"] = keep_figure
    names["step"] = bench.project.step(names["inner"])
    step = bench.project.step(names["f"])
    for _ in range(3):
        step(1)
    assert kept == [("a", "<svg/>", ""), ("b", "<svg/>", "1")] * 3
    assert bench.outcomes == ["miss", "miss", "hit", "hit"]


@pytest.mark.parametrize(
    ("body", "argument"),
    [
        ("x['new'] = 1", pd.DataFrame({"a": [1]})),
        ("x.sort()", [3, 1]),
        ("x[0] = 9", np.array([1, 2])),
        ("x.fit([[1], [2]], [1, 2])", Ridge()),
        ("x.normal()", np.random.default_rng(0)),
    ],
)
def test_working_in_place_is_refused(bench, body, argument) -> None:
    """A hit would leave the input as it is; what is wrong is named, and nothing is stored."""
    step = bench.run(f"@project.step\ndef f(x):\n    {body}\n    return 1")["f"]
    with pytest.raises(StudyError, match=r"RUN084.*input `x` changed"):
        step(argument)
    assert bench.project.steps().entries == []


def test_changing_a_global_in_place_is_refused(bench) -> None:
    """A list that grows at each call would not."""
    step = bench.run("SEEN = []\n@project.step\ndef f(x):\n    SEEN.append(x)\n    return 1")["f"]
    with pytest.raises(StudyError, match=r"RUN084.*global `SEEN` changed"):
        step(1)


@pytest.mark.parametrize("draw", ["numpy.random.rand()", "random.random()"])
def test_unseeded_draws_are_not_stored(bench, draw) -> None:
    """The global random state is no input: each call draws anew, and why is said."""
    step = bench.run(f"import numpy, random\n@project.step\ndef f(): return {draw}")["f"]
    assert step() != step()
    assert "not stored: it draws from the global random state" in bench.why


def test_errors_are_the_users_own_and_never_stored(bench) -> None:
    """An exception passes as it was raised; the next call tries again."""
    step = bench.run("@project.step\ndef f(x):\n    return 1 / x")["f"]
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            step(0)
    assert bench.calls == []


@pytest.mark.parametrize(
    "result", ["(n for n in [1])", "lambda: 1", "__import__('sys').__stdout__.write", "object"]
)
def test_a_result_that_cannot_be_stored_is_refused(bench, result) -> None:
    """Better told once than computed each time in silence."""
    step = bench.run(f"@project.step\ndef f(): return {result}")["f"]
    if result == "object":  # a class of a library is stored by its name
        assert step() is object
        return
    with pytest.raises(StudyError, match=r"RUN085.*cannot be stored"):
        step()


def test_a_step_that_calls_itself_does_not_wait_for_itself(bench) -> None:
    """Other arguments are steps of their own; the same ones are Python's own error."""
    step = bench.run("@project.step\ndef f(x): return x and x + f(x - 1)")["f"]
    assert step(3) == 6
    assert bench.outcomes == ["miss"] * 4
    endless = bench.run("@project.step\ndef f(x): return f(x)")["f"]
    with pytest.raises(RecursionError):
        endless(1)


def test_threads_that_want_one_result_compute_it_once(bench) -> None:
    """One works, the others wait and read."""
    source = """
import time
@project.step
def f(x):
    with open("count", "a") as file:
        file.write("x")
    time.sleep(0.2)
    return x
"""
    step = bench.run(source)["f"]
    start = threading.Barrier(4)

    def call(_):
        start.wait()
        return step(7)

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(call, range(4))) == [7] * 4
    assert (bench.folder / "count").read_text() == "x"
    assert sorted(bench.outcomes) == ["hit", "hit", "hit", "miss"]


def test_steps_can_be_switched_off(bench, monkeypatch) -> None:
    """By the environment for all, by argument for one: nothing is read, refused or stored."""
    source = "def f(x):\n    x.append(1)\n    return len(x)"
    step = bench.project.step(bench.run(source)["f"], enabled=False)
    assert step([]) == 1
    monkeypatch.setenv("MLKIT_STEPS", "off")
    assert bench.project.step(bench.run(source)["f"])([]) == 1
    assert bench.calls == []
    monkeypatch.setenv("MLKIT_STEPS", "of")
    with pytest.raises(UsageError, match=r"CLI094.*on, off or lazy"):
        bench.project.step(bench.run(source)["f"])([])


def test_lazy_steps_are_stale_instead_of_run(bench, monkeypatch) -> None:
    """Only those that took long the last time; a hit stays a hit."""
    monkeypatch.setenv("MLKIT_STEPS", "lazy")
    monkeypatch.setattr("mlkit.research.steps.step.LAZY_SECONDS", 0.0)
    step = bench.run("@project.step\ndef f(x): return x")["f"]
    step(1)
    assert step(1) == 1
    with pytest.raises(StudyError, match=r"RUN089.*stale.*input `x` changed"):
        step(2)


def test_a_call_is_told_on_standard_error(bench, monkeypatch, capsys) -> None:
    """Name, hit or miss, seconds, and why."""
    monkeypatch.setenv("MLKIT_QUIET", "0")
    step = bench.run("@project.step\ndef features(x): return x")["features"]
    step(1)
    step(1)
    step(2)
    first, second, third = capsys.readouterr().err.splitlines()
    assert first.split()[:2] == ["features", "miss"]
    assert first.endswith("first run")
    assert second.split()[:2] == ["features", "hit"]
    assert "saved" in second
    assert third.endswith("input `x` changed")


def test_a_step_looks_like_its_function(bench) -> None:
    """Name, documentation and place are those of the function."""
    step = bench.run("@project.step(name='load')\ndef f(x):\n    'Load rows.'\n    return x")["f"]
    assert (step.__name__, step.__doc__, step.__wrapped__.__name__) == ("f", "Load rows.", "f")
    assert repr(step).splitlines()[0] == "step load of my_script.py:1"
