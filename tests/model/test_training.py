"""Fitting gives the same model every time, and leaves the process as it was."""

from __future__ import annotations

import random

import numpy as np
import pandas as pd
import pytest
import threadpoolctl
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.linear_model import Ridge, SGDRegressor
from sklearn.pipeline import make_pipeline
from sklearn.tree import DecisionTreeClassifier
from xgboost import XGBClassifier, XGBRegressor

from mlkit.data.contract import Contract
from mlkit.data.split import Folds
from mlkit.errors import StudyError
from mlkit.model.estimator import describe
from mlkit.model.evaluation import get_metric
from mlkit.model.training import (
    Rows,
    as_rows,
    deterministic,
    evaluate_fold,
    fit,
    held_out_fingerprint,
    native_threads,
)

FOLDS = Folds(np.array([0, 1, 2] * 40, dtype=np.uint8), 3)
DRAWING = """
import random

import numpy as np
from sklearn.linear_model import Ridge


class Drawing(Ridge):
    def fit(self, X, y):
        super().fit(X, y)
        self.intercept_ += np.random.normal() + random.random()
        return self
"""


@pytest.fixture
def rows() -> Rows:
    """120 rows with two features and a noisy label."""
    generator = np.random.default_rng(0)
    frame = pd.DataFrame({"a": generator.normal(size=120), "b": generator.normal(size=120)})
    return Rows(frame, (3 * frame["a"] + generator.normal(size=120)).to_numpy())


def folds_of(estimator, rows, *, numbers=(0, 1, 2), seed=1, **more) -> list:
    """Results of the folds of these numbers, in this order."""
    pairs = list(FOLDS.pairs())
    arguments = {"metric": get_metric("rmse"), "task": "regression", "seed": seed, **more}
    return [evaluate_fold(describe(estimator), rows, pairs[number], **arguments) for number in numbers]


def texts(results) -> list[str]:
    """Scores and predictions, every bit of them."""
    return [repr((result.score, result.predictions.to_table().to_pydict())) for result in results]


@pytest.mark.parametrize(
    "estimator",
    [
        RandomForestRegressor(n_estimators=5, n_jobs=2),
        HistGradientBoostingRegressor(max_iter=5, early_stopping=True),
        SGDRegressor(),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_a_fold_depends_on_the_seed_alone(estimator, rows) -> None:
    """Not on the global generators, the threads allowed, or the folds before it; on the seed it does."""
    first = texts(folds_of(estimator, rows))
    np.random.seed(99)  # noqa: NPY002 - a user's own seed
    with threadpoolctl.threadpool_limits(limits=1):
        assert texts(folds_of(estimator, rows, numbers=(2, 0, 1))) == [first[2], first[0], first[1]]
    assert texts(folds_of(estimator, rows, seed=2)) != first


def test_global_draws_are_seeded_for_each_fold(rows, tmp_path, monkeypatch) -> None:
    """An estimator that knows no random_state gives the same fold, whatever was drawn before."""
    (tmp_path / "my_drawing.py").write_text(DRAWING)
    monkeypatch.syspath_prepend(str(tmp_path))
    from my_drawing import Drawing  # noqa: PLC0415 - it was written just now

    first = texts(folds_of(Drawing(), rows))
    assert texts(folds_of(Drawing(), rows, numbers=(2, 2, 0))) == [first[2], first[2], first[0]]
    assert texts(folds_of(Drawing(), rows, seed=2)) != first


def test_fold_scores_are_of_the_held_out_rows(rows) -> None:
    """Fitted on one side of the fold, scored on the other; time is wall time."""
    results = folds_of(Ridge(), rows)
    for (inside, outside), result in zip(FOLDS.pairs(), results, strict=True):
        model = Ridge().fit(rows.frame.iloc[inside], rows.target[inside])
        errors = model.predict(rows.frame.iloc[outside]) - rows.target[outside]
        assert result.score == pytest.approx(np.sqrt(np.mean(errors**2)))
        assert len(result.predictions.to_table()) == 40
        assert 0 < result.seconds < 10


def test_the_process_is_left_as_it_was() -> None:
    """Generators and thread limits come back, also after an error; inside, every draw is repeatable."""
    np.random.seed(5)  # noqa: NPY002 - a user's own seed
    random.seed(5)
    before = threadpoolctl.threadpool_info()
    found = []
    for _ in range(2):
        with deterministic(1):
            found.append((np.random.random(), random.random()))  # noqa: NPY002, S311 - what estimators use
            limits = {
                each["num_threads"] for each in threadpoolctl.threadpool_info() if each["user_api"] == "blas"
            }
            assert limits == {1}
    assert found[0] == found[1]
    with pytest.raises(ZeroDivisionError), deterministic(1):
        _ = 1 / 0
    assert threadpoolctl.threadpool_info() == before
    assert np.random.random() == np.random.RandomState(5).random()  # noqa: NPY002 - as above
    assert random.random() == random.Random(5).random()  # noqa: S311 - as above


@pytest.mark.parametrize("draw", [np.random.standard_normal, random.random], ids=["numpy", "python"])
def test_a_draw_from_either_generator_is_noticed(draw) -> None:
    """One number is enough; without any, nothing is claimed."""
    with deterministic(2**32 + 1) as drawn:
        assert not drawn()
        draw()
        assert drawn()


def test_native_threads_are_limited_by_kind() -> None:
    """A limit of OpenMP leaves linear algebra alone, and ends with the context."""
    before = threadpoolctl.threadpool_info()
    with native_threads(1, "openmp"):
        found = {each["user_api"]: each["num_threads"] for each in threadpoolctl.threadpool_info()}
        assert found["openmp"] == 1
        assert found["blas"] == next(each["num_threads"] for each in before if each["user_api"] == "blas")
    assert threadpoolctl.threadpool_info() == before


def test_an_estimator_that_refuses_is_named(rows) -> None:
    """The error says which class failed to fit, and how."""
    with pytest.raises(StudyError, match="fit raised InvalidParameterError") as caught, deterministic(0):
        fit(describe(Ridge(alpha=-1.0)), rows, seed=0)
    assert (caught.value.code, caught.value.path) == ("RUN010", "sklearn.linear_model.Ridge")


@pytest.mark.parametrize("wrap", [lambda model: model, make_pipeline], ids=["alone", "in a pipeline"])
def test_labels_that_xgboost_does_not_take_are_named_before(rows, wrap) -> None:
    """It counts classes from 0; regression and classes that do count from 0 are left to it."""
    model = describe(wrap(XGBClassifier(n_estimators=1)))
    for labels in (np.where(rows.target > 0, 2, 1), np.where(rows.target > 0, "late", "in_time")):
        with pytest.raises(StudyError, match="takes the classes 0 to 1") as caught:
            fit(model, Rows(rows.frame, labels), seed=0)
        assert (caught.value.code, caught.value.path) == ("RUN017", "target")
    fit(model, Rows(rows.frame, (rows.target > 0).astype(int)), seed=0)
    fit(describe(wrap(XGBRegressor(n_estimators=1))), rows, seed=0)


def test_rows_follow_the_contract(flights) -> None:
    """Columns in the order asked for, whatever the table holds beside them."""
    import pyarrow as pa  # noqa: PLC0415 - of this test only

    table = pa.Table.from_pandas(flights.dropna(), preserve_index=False)
    rows = as_rows(table, Contract.infer(table), features=("is_ua", "hour"), target="delay")
    assert rows.frame.columns.tolist() == ["is_ua", "hour"]
    assert len(rows) == len(table)
    taken = rows.take(np.array([3, 1]))
    assert taken.frame.index.tolist() == [0, 1]
    assert taken.target.tolist() == [rows.target[3], rows.target[1]]
    taken.frame.loc[0, "hour"] = -1
    assert rows.frame["hour"].min() > 0


def test_the_fingerprint_is_of_every_held_out_prediction(rows) -> None:
    """It changes with any prediction and with the row that it is for."""
    results = folds_of(Ridge(), rows)
    first = held_out_fingerprint(FOLDS, results)
    assert held_out_fingerprint(FOLDS, folds_of(Ridge(), rows)) == first
    found = {first, held_out_fingerprint(FOLDS, folds_of(Ridge(1 + 1e-9), rows))}
    moved = Folds(np.roll(FOLDS.ids, 1), 3)
    found.add(held_out_fingerprint(moved, results))
    assert len(found) == 3


def test_classes_unknown_to_a_fold_are_no_obstacle(rows) -> None:
    """A fold whose models never saw a class has one column less, and still its fingerprint."""
    labels = np.where(rows.target > 0, 1, 0)
    labels[FOLDS.ids == 0] = np.where(labels[FOLDS.ids == 0] == 1, 2, 0)
    rare = Rows(rows.frame, labels)
    arguments = {"metric": get_metric("accuracy"), "task": "multiclass"}
    results = folds_of(DecisionTreeClassifier(max_depth=2), rare, **arguments)
    assert [len(result.predictions.classes) for result in results] == [2, 3, 3]
    assert held_out_fingerprint(FOLDS, results).startswith("d1:")
