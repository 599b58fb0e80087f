"""Predictions: the same bits every time, in one shape, whatever the library."""

from __future__ import annotations

import threading
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lightgbm import LGBMClassifier
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import BaggingRegressor, RandomForestClassifier, RandomForestRegressor, VotingClassifier
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from mlkit.errors import StudyError
from mlkit.model.predictions import Predictions, predict

ROWS = 600
FRAME = pd.DataFrame(np.random.default_rng(7).normal(size=(ROWS, 4)), columns=list("abcd"))
AMOUNT = (FRAME["a"] * 3 + FRAME["b"]).to_numpy()
SIDE = np.where(FRAME["a"] > 0, "right", "left").astype(object)


class Echo(BaseEstimator):
    """Answers with whatever a test tells it to, and remembers the chunks it saw."""

    def __init__(self, answer: Any = None, n_jobs: int | None = 3) -> None:
        self.answer = answer
        self.n_jobs = n_jobs
        self.seen: list[tuple[int, int | None]] = []

    def predict(self, frame: pd.DataFrame) -> Any:
        """Answer one chunk."""
        self.seen.append((len(frame), self.n_jobs))
        return self.answer(frame)


class EchoClassifier(ClassifierMixin, Echo):
    """The same for classes, with probabilities that a test chooses."""

    def __init__(self, answer: Any = None, chances: Any = None, n_jobs: int | None = 3) -> None:
        super().__init__(answer, n_jobs)
        self.chances = chances
        self.classes_ = np.array(["left", "right"])

    def predict_proba(self, frame: pd.DataFrame) -> Any:
        """Answer one chunk."""
        return self.chances(frame)


def _first_column(frame: pd.DataFrame) -> np.ndarray:
    return frame["a"].to_numpy()


def _regression(estimator: Any, frame: pd.DataFrame = FRAME, rows: int = 4096) -> np.ndarray:
    return predict(estimator, frame, task="regression", rows=rows).values  # noqa: PD011 - an array already


def _n_jobs_inside(estimator: Any) -> list[int | None]:
    return [value for key, value in sorted(estimator.get_params().items()) if key.endswith("n_jobs")]


@pytest.mark.parametrize(("rows", "sizes"), [(250, [250, 250, 100]), (600, [600]), (4096, [600])])
def test_a_frame_is_cut_into_chunks_of_one_size(rows: int, sizes: list[int]) -> None:
    """Every chunk but the last has the given size, and the order of the rows is kept."""
    echo = Echo(_first_column)
    answer = predict(echo, FRAME, task="regression", rows=rows)
    assert [size for size, _ in echo.seen] == sizes
    np.testing.assert_array_equal(answer.values, FRAME["a"])


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 700), st.integers(0, ROWS))
def test_chunks_add_up_to_the_frame(rows: int, length: int) -> None:
    """No row is lost, doubled or moved for any chunk size and length."""
    values = _regression(Echo(_first_column), FRAME.iloc[:length], rows)
    np.testing.assert_array_equal(values, FRAME["a"].iloc[:length])
    assert values.dtype == np.float64


@pytest.mark.parametrize("estimator", [LinearRegression(), MLPRegressor(max_iter=5, random_state=0)])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_rows_in_front_of_a_whole_chunk_do_not_change_its_answers(estimator: Any) -> None:
    """A linear model answers differently in another batch, so equal chunks must give equal bits."""
    fitted = estimator.fit(FRAME, AMOUNT)
    whole = _regression(fitted, rows=200)
    later = _regression(fitted, FRAME.iloc[200:], rows=200)
    assert whole[200:].tobytes() == later.tobytes()


def test_a_parallel_forest_gives_the_same_bits_every_time() -> None:
    """Its threads would add the trees up in the order in which they end."""
    forest = RandomForestRegressor(60, n_jobs=4, random_state=0).fit(FRAME, AMOUNT)
    answers = {_regression(forest).tobytes() for _ in range(5)}
    forest.n_jobs = 1
    assert answers == {forest.predict(FRAME).tobytes()}


def test_one_job_while_predicting_and_as_before_afterwards() -> None:
    """The estimator itself is set, and put back also when it fails."""
    echo = Echo(_first_column)
    predict(echo, FRAME, task="regression", rows=300)
    assert echo.seen == [(300, 1), (300, 1)]
    assert echo.n_jobs == 3
    failing = Echo(lambda frame: frame["no such column"])
    with pytest.raises(StudyError, match="RUN010") as stopped:
        predict(failing, FRAME, task="regression")
    assert isinstance(stopped.value.__cause__, KeyError)
    assert failing.seen == [(ROWS, 1)]
    assert failing.n_jobs == 3


def _voting() -> Any:
    forests = [("one", RandomForestClassifier(5, n_jobs=3)), ("two", RandomForestClassifier(5, n_jobs=2))]
    return VotingClassifier(forests, voting="soft", n_jobs=2)


def _columns() -> Any:
    scaled = ColumnTransformer([("scaled", StandardScaler(), ["a", "b"])], n_jobs=2)
    return make_pipeline(scaled, RandomForestClassifier(5, n_jobs=3))


def _searched() -> Any:
    return GridSearchCV(RandomForestClassifier(5, n_jobs=3), {"max_depth": [2, 3]}, cv=2)


def _calibrated() -> Any:
    return CalibratedClassifierCV(RandomForestClassifier(5, n_jobs=3), cv=2)


@pytest.mark.parametrize("make", [_voting, _columns, _searched, _calibrated])
def test_estimators_inside_work_in_one_thread_too(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fitted copies are no parameters, yet it is they that predict."""
    seen = []
    answer = RandomForestClassifier.predict_proba

    def spy(self: RandomForestClassifier, X: Any) -> Any:  # noqa: N803 - sklearn's name
        seen.append(self.n_jobs)
        return answer(self, X)

    estimator = make().fit(FRAME, SIDE)
    before = _n_jobs_inside(estimator)
    monkeypatch.setattr(RandomForestClassifier, "predict_proba", spy)
    predict(estimator, FRAME, task="binary")
    assert set(seen) == {1}
    assert _n_jobs_inside(estimator) == before
    seen.clear()
    estimator.predict_proba(FRAME)
    assert set(seen) <= {2, 3}


def test_threads_that_share_an_estimator_leave_it_as_it_was() -> None:
    """The first to end must not hand its threads back to the other one."""
    inside, go_on = threading.Barrier(2, timeout=20), threading.Event()

    def slow(frame: pd.DataFrame) -> np.ndarray:
        if len(frame) == 1:
            inside.wait()
            go_on.wait(20)
        return _first_column(frame)

    echo = Echo(slow)
    other = threading.Thread(
        target=predict, args=(echo, FRAME.iloc[:3]), kwargs={"task": "regression", "rows": 1}
    )
    other.start()
    inside.wait()
    predict(echo, FRAME, task="regression")
    assert echo.n_jobs == 1, "the other thread still predicts"
    inside.reset()
    echo.answer = _first_column
    go_on.set()
    other.join()
    assert echo.n_jobs == 3
    assert {jobs for _, jobs in echo.seen} == {1}


def test_any_collection_may_hold_estimators() -> None:
    """They are found in dictionaries, lists and tuples; a cycle among them ends."""
    inner = Echo(_first_column)
    outer = Echo(inner.predict)
    outer.parts_ = {"number": [("inner", inner), outer]}
    outer.vocabulary_ = {str(number): number for number in range(20_000)}
    _regression(outer)
    assert inner.seen == outer.seen == [(ROWS, 1)]
    assert inner.n_jobs == outer.n_jobs == 3


def test_a_classifier_gives_classes_and_probabilities() -> None:
    """Classes are Python values; probabilities are float64 in their order."""
    fitted = GaussianNB().fit(FRAME, SIDE)
    answer = predict(fitted, FRAME, task="binary")
    assert answer.classes == ("left", "right")
    assert all(type(label) is str for label in answer.classes)
    np.testing.assert_array_equal(answer.values, fitted.predict(FRAME))
    np.testing.assert_array_equal(answer.probabilities, fitted.predict_proba(FRAME))


@pytest.mark.parametrize(
    ("labels", "kinds"),
    [(np.array([0, 1, 2]), {int}), (np.array([False, True]), {bool}), (np.array([0.5, 1.5]), {float})],
)
def test_classes_are_python_values(labels: np.ndarray, kinds: set[type]) -> None:
    """Neither numpy nor its version shows in what is stored."""
    tree = EchoClassifier(
        lambda frame: np.resize(labels, len(frame)), lambda frame: np.ones((len(frame), len(labels)))
    )
    tree.classes_ = labels
    answer = predict(tree, FRAME, task="multiclass")
    assert {type(label) for label in answer.classes} == kinds
    assert answer.to_table()["prediction"].to_pylist() == np.resize(labels, ROWS).tolist()


def test_a_classifier_without_probabilities_gets_none_derived() -> None:
    """A decision function is no probability."""
    answer = predict(LinearSVC().fit(FRAME, SIDE), FRAME, task="binary")
    assert answer.probabilities is None
    assert answer.to_table().column_names == ["prediction"]


def test_single_precision_is_widened() -> None:
    """Stored and compared numbers are float64, with the values the model gave."""
    halves = EchoClassifier(
        lambda frame: np.resize(SIDE, len(frame)),
        lambda frame: np.full((len(frame), 2), 0.5, dtype=np.float32),
    )
    answer = predict(halves, FRAME, task="binary")
    assert answer.probabilities is not None
    assert answer.probabilities.dtype == np.float64
    single = Echo(lambda frame: frame["a"].to_numpy(dtype=np.float32))
    values = _regression(single)
    assert values.dtype == np.float64
    np.testing.assert_array_equal(values, FRAME["a"].to_numpy(dtype=np.float32))


def test_counts_of_a_regression_become_float64() -> None:
    """A regressor may answer with integers, or with a column instead of a row."""
    values = _regression(Echo(lambda frame: np.ones((len(frame), 1), dtype=np.int32)))
    assert (values.dtype, values.shape) == (np.float64, (ROWS,))


@pytest.mark.parametrize(
    "answer",
    [
        lambda frame: np.zeros((len(frame), 2)),
        lambda frame: np.zeros(len(frame) + 1),
        lambda frame: np.zeros(len(frame) - 1),
        lambda _: 0.0,
        lambda frame: np.array(["text"] * len(frame)),
    ],
)
def test_an_answer_of_another_shape_is_refused(answer: Any) -> None:
    """Several outputs, lost rows and text are errors of the model, not rows to guess about."""
    with pytest.raises(StudyError, match="RUN040"):
        predict(Echo(answer), FRAME, task="regression")


def test_probabilities_of_another_shape_are_refused() -> None:
    """One column per class, no fewer."""
    estimator = EchoClassifier(lambda frame: np.resize(SIDE, len(frame)), lambda frame: np.ones(len(frame)))
    with pytest.raises(StudyError, match="RUN040") as refused:
        predict(estimator, FRAME, task="binary")
    assert "(600, 2)" in refused.value.message


@pytest.mark.parametrize("classes", [None, [np.array([0, 1]), np.array([0, 1])]])
def test_what_is_no_single_classifier_is_refused(classes: Any) -> None:
    """A regressor, or a classifier of several outputs, cannot fill a classification."""
    estimator = Echo(_first_column)
    if classes is not None:
        estimator.classes_ = classes
    with pytest.raises(StudyError, match="RUN041") as refused:
        predict(estimator, FRAME, task="binary")
    assert "binary" in refused.value.message


@pytest.mark.parametrize("inner", [LGBMClassifier(n_estimators=3, verbose=-1), GaussianNB()])
def test_no_library_warns_about_feature_names(inner: Any) -> None:
    """The model sees the same kind of frame as at fit."""
    for estimator in (inner, make_pipeline(StandardScaler(), inner)):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")  # an older lightgbm has deprecations of its own
            predict(estimator.fit(FRAME, SIDE), FRAME, task="binary", rows=100)
        assert not [str(each.message) for each in caught if "feature name" in str(each.message)]


def test_bags_of_forests_are_repeatable() -> None:
    """Estimators below estimators are reached as well."""
    bag = BaggingRegressor(RandomForestRegressor(10, n_jobs=4), n_estimators=3, n_jobs=2, random_state=0)
    bag.fit(FRAME, AMOUNT)
    answers = {_regression(bag).tobytes() for _ in range(4)}
    assert len(answers) == 1
    assert {part.n_jobs for part in bag.estimators_} == {4}


def test_no_rows_give_an_empty_table_of_the_same_types() -> None:
    """An empty test set is the gate's business, not a crash of the library."""
    fitted = GaussianNB().fit(FRAME, SIDE)
    empty = predict(fitted, FRAME.iloc[:0], task="binary").to_table()
    assert empty.num_rows == 0
    assert empty.schema == predict(fitted, FRAME, task="binary").to_table().schema
    assert empty.schema.types == [pa.string(), pa.float64(), pa.float64()]


@pytest.mark.parametrize(
    ("classes", "names"),
    [
        (("no", "yes"), ("no", "yes")),
        ((False, True), ("False", "True")),
        ((0, 1, 2), ("0", "1", "2")),
        ((-1, 0, 1), ("0", "1", "2")),
        (("a b", "c"), ("0", "1")),
        (("yes", "YES"), ("0", "1")),
        (("1", "größer"), ("0", "1")),
        (("a" * 300, "b"), ("0", "1")),
        (("", "b"), ("0", "1")),
        (("a\n", "b"), ("0", "1")),
    ],
)
def test_probability_columns_have_names_that_every_store_takes(classes: Any, names: tuple[str, ...]) -> None:
    """By the text of the class if all are plain and distinct, else by position for all of them."""
    chances = np.tile(np.arange(len(classes)) / 10, (2, 1))
    answer = Predictions(np.array([classes[0]] * 2), chances, classes)
    table = answer.to_table()
    assert table.column_names == ["prediction", *(f"probability_{name}" for name in names)]
    assert table.column_names[1:] == list(answer.probability_columns())
    assert [column[0].as_py() for column in table.columns[1:]] == chances[0].tolist()


def test_a_regression_table_keeps_every_number() -> None:
    """Not a number is a number here: it is stored, and the gate refuses it later."""
    values = np.array([1.5, np.nan, -np.inf])
    column = Predictions(values).to_table()["prediction"]
    assert column.type == pa.float64()
    assert column.null_count == 0
    np.testing.assert_array_equal(column.to_numpy(), values)
