"""Metrics, the task that a target asks for, and scores."""

from __future__ import annotations

import decimal
import math
import pickle
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn import metrics as sk
from sklearn.naive_bayes import GaussianNB

from mlkit.errors import ConfigError, DataError, StudyError, UnsupportedTypeError
from mlkit.model.evaluation import KNOWN, Task, better, get_metric, infer_task, score
from mlkit.model.predictions import Predictions, predict

if TYPE_CHECKING:
    from pathlib import Path

MODEST = settings(deadline=None, max_examples=60)
NUMBERS = st.integers(-(10**6), 10**6).map(lambda thousandths: thousandths / 1000)  # no overflow
REGRESSION = [name for name, metric in KNOWN.items() if "regression" in metric.tasks]
CLASSIFICATION = [name for name, metric in KNOWN.items() if "regression" not in metric.tasks]
BINARY = ("no", "yes")
PAIRS = [BINARY, (False, True), (0, 1), (-1, 1), (1.0, 2.0), ("no", "yes, really")]


def _scored(
    name: str, labels: Any, values: Any = None, chances: Any = None, classes: tuple[Any, ...] = ()
) -> float:
    """Score under a name; values default to the likeliest class, probabilities to certainty."""
    labels = np.asarray(labels)
    if values is None:
        values = np.asarray(classes)[np.asarray(chances).argmax(axis=1)]
    values = np.asarray(values)
    if chances is None and classes:
        chances = np.array([[float(label == value) for label in classes] for value in values.tolist()])
    table = None if chances is None else np.asarray(chances, dtype=np.float64).reshape(len(values), -1)
    return score(get_metric(name), labels, Predictions(values, table, classes))


def _two(positive: Any) -> np.ndarray:
    """Probabilities (n, 2) from those of the positive class."""
    return np.column_stack([1 - np.asarray(positive), positive])


# ---------------------------------------------------------------------------------- names


@pytest.mark.parametrize("name", KNOWN)
def test_a_known_metric_knows_its_direction(name: str) -> None:
    """Its direction may be repeated, and cannot be turned round."""
    metric = get_metric(name)
    other = "maximize" if metric.direction == "minimize" else "minimize"
    assert get_metric(name, direction=metric.direction) == metric
    with pytest.raises(ConfigError, match="CFG013") as refused:
        get_metric(name, direction=other)
    assert refused.value.path == "gate.direction"
    assert metric.direction in refused.value.message


def test_an_unknown_metric_is_answered_with_the_nearest_and_the_list() -> None:
    """A slip of the pen costs one look at the error."""
    with pytest.raises(ConfigError, match="CFG013") as refused:
        get_metric("RMES")
    assert refused.value.fix.startswith("did you mean 'rmse'? known: accuracy, ")
    assert all(name in refused.value.fix for name in KNOWN)


def test_a_metric_like_no_other_gets_the_list_alone() -> None:
    """No far-fetched guess."""
    with pytest.raises(ConfigError, match="CFG013") as refused:
        get_metric("zzz")
    assert refused.value.fix.startswith("known: ")


@pytest.mark.parametrize(
    ("name", "task"),
    [("rmse", "binary"), ("f1", "multiclass"), ("accuracy", "regression"), ("brier", "multiclass")],
)
def test_a_metric_that_does_not_fit_names_those_that_do(name: str, task: Task) -> None:
    """The fix lists what fits this task and nothing else."""
    with pytest.raises(ConfigError, match="CFG014") as refused:
        get_metric(name, task=task)
    listed = refused.value.fix.split(": ", 1)[1].split(", ")
    assert listed == sorted(known for known, metric in KNOWN.items() if task in metric.tasks)


@pytest.mark.parametrize("task", get_args(Task))
def test_every_task_has_metrics_that_fit(task: Task) -> None:
    """What the error lists is accepted."""
    fitting = [name for name, metric in KNOWN.items() if task in metric.tasks]
    assert [get_metric(name, task=task).name for name in fitting] == fitting != []


def test_metrics_go_to_worker_processes() -> None:
    """A study evaluates in parallel, so a metric must survive pickling."""
    assert all(pickle.loads(pickle.dumps(metric)).name == name for name, metric in KNOWN.items())  # noqa: S301


@pytest.mark.parametrize(("name", "gain"), [("rmse", 1.5), ("accuracy", -1.5)])
def test_better_is_positive_whichever_way_the_metric_goes(name: str, gain: float) -> None:
    """The improvement of the first score over the second."""
    assert better(get_metric(name), 1.0, 2.5) == gain


# ---------------------------------------------------------------------------------- one's own


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Name of an importable module with metrics of a user."""
    code = """
import numpy as np
LIMIT = 3
def worst(y_true, y_pred): return np.float32(np.abs(y_true - y_pred).max())
def broken(y_true, y_pred): return y_true.no_such_thing
def wordy(y_true, y_pred): return "good"
def kinds(y_true, y_pred): return float(y_true.dtype == object and y_pred.dtype == object)
"""
    (tmp_path / "own_metrics_of_a_test.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    return "own_metrics_of_a_test"


def test_a_metric_of_ones_own_scores(own: str) -> None:
    """It gets labels and values as they are, and its result becomes a Python float."""
    metric = get_metric(f"{own}:worst", direction="minimize", task="regression")
    assert (metric.direction, metric.needs, metric.name) == ("minimize", "prediction", f"{own}:worst")
    result = score(metric, np.array([1.0, 2.0]), Predictions(np.array([1.5, 4.5])))
    assert (result, type(result)) == (2.5, float)
    texts = np.array(["a", "b"], dtype=object)
    assert score(get_metric(f"{own}:kinds", direction="maximize"), texts, Predictions(texts)) == 1.0


def test_a_metric_of_ones_own_never_sees_what_is_missing(own: str) -> None:
    """A nan prediction is a nan score, whatever the function would make of it."""
    metric = get_metric(f"{own}:wordy", direction="maximize")
    assert math.isnan(score(metric, np.array([1.0]), Predictions(np.array([np.nan]))))


def test_a_metric_of_ones_own_needs_a_direction(own: str) -> None:
    """Nobody can guess whether more is better."""
    with pytest.raises(ConfigError, match="CFG013") as refused:
        get_metric(f"{own}:worst")
    assert refused.value.path == "gate.direction"


def test_a_metric_of_ones_own_must_be_a_function_that_returns_a_number(own: str) -> None:
    """Both mistakes say what was expected."""
    with pytest.raises(ConfigError, match="CFG013") as refused:
        get_metric(f"{own}:LIMIT", direction="minimize")
    assert "found a int" in refused.value.message
    with pytest.raises(ConfigError, match="CFG013") as refused:
        score(get_metric(f"{own}:wordy", direction="minimize"), np.ones(2), Predictions(np.ones(2)))
    assert "must return a number" in refused.value.message


def test_a_metric_of_ones_own_that_raises_is_a_study_error(own: str) -> None:
    """The error says whose code failed; the cause is kept."""
    with pytest.raises(StudyError, match="RUN010") as stopped:
        score(get_metric(f"{own}:broken", direction="minimize"), np.ones(2), Predictions(np.ones(2)))
    assert stopped.value.path == f"{own}:broken"
    assert isinstance(stopped.value.__cause__, AttributeError)


@pytest.mark.parametrize("name", ["rmse", "own:worst"])
def test_a_direction_is_one_of_two_words(name: str) -> None:
    """The words of the config, not those of another library."""
    with pytest.raises(ConfigError, match="CFG013"):
        get_metric(name, direction="lower")  # type: ignore[arg-type]


# ---------------------------------------------------------------------------------- task


@pytest.mark.parametrize(
    ("values", "kind", "task"),
    [
        ([True, False, None], pa.bool_(), "binary"),
        (["a", "b", "a"], pa.string(), "binary"),
        (["a", "b", "c", None], pa.large_string(), "multiclass"),
        ([0, 1, 1], pa.int8(), "binary"),
        ([-1, 1], pa.int64(), "binary"),
        ([7, 900], pa.int64(), "binary"),
        ([0, 1, 2, None], pa.uint8(), "multiclass"),
        ([3, 1, 2], pa.int64(), "multiclass"),
        ([1, 2, 4], pa.int64(), "regression"),
        ([2, 3, 4], pa.int64(), "regression"),
        (list(range(20)), pa.int64(), "multiclass"),
        (list(range(1, 22)), pa.int64(), "regression"),
        ([0.0, 1.0], pa.float64(), "regression"),
        ([0.5, math.nan, 1.5], pa.float32(), "regression"),
        ([decimal.Decimal("1.5"), decimal.Decimal("2.5")], pa.decimal128(5, 2), "regression"),
    ],
)
def test_the_task_follows_from_the_target(values: list[Any], kind: pa.DataType, task: Task) -> None:
    """Type first, then, for integers, how many there are and which; whole or in chunks."""
    assert infer_task(pa.array(values, kind)) == task
    assert infer_task(pa.chunked_array([values[:1], values[1:]], kind)) == task


def test_categories_are_classes_even_when_each_chunk_has_its_own() -> None:
    """A dictionary says that its values are categories, numbers included."""
    chunks = [pa.array(part).dictionary_encode() for part in ([1, 5, 1], [9, 5, None])]
    assert infer_task(pa.chunked_array(chunks)) == "multiclass"
    unused = pa.DictionaryArray.from_arrays(pa.array([0, 1, 0], pa.int8()), pa.array(["a", "b", "c"]))
    assert infer_task(unused) == "binary"


@pytest.mark.parametrize(
    "target",
    [
        pa.nulls(3),
        pa.array([], pa.int64()),
        pa.array([None, None], pa.string()),
        pa.array([4, 4, None], pa.int64()),
        pa.array([1.5, math.nan]),
        pa.array([0.0, -0.0]),
        pa.array([math.nan, math.nan]),
        pa.array(["a", "a"]).dictionary_encode(),
        pa.DictionaryArray.from_arrays([0, 1, 2], ["a", None, "a"]),
    ],
)
def test_a_target_with_nothing_to_learn_is_refused(target: pa.Array) -> None:
    """Constant or empty, which is mostly a filter gone wrong."""
    with pytest.raises(DataError, match="DAT041") as refused:
        infer_task(target)
    assert refused.value.path == "target"


def test_a_target_of_another_type_is_refused() -> None:
    """A date is neither a number nor a class."""
    with pytest.raises(UnsupportedTypeError, match="timestamp"):
        infer_task(pa.array([1, 2], pa.timestamp("us")))


@MODEST
@given(st.lists(st.integers(-3, 25) | st.none(), min_size=1, max_size=60))
def test_the_task_does_not_depend_on_order_or_repetition(values: list[int | None]) -> None:
    """The same set of values asks for the same task."""
    different = set(values) - {None}
    if len(different) < 2:
        with pytest.raises(DataError):
            infer_task(pa.array(values, pa.int64()))
        return
    tasks = {infer_task(pa.array(order, pa.int64())) for order in (values, values[::-1], values * 2)}
    assert len(tasks) == 1


# ---------------------------------------------------------------------------------- regression


@MODEST
@given(st.data(), st.integers(2, 50))
def test_regression_metrics_equal_those_of_scikit_learn(data: st.DataObject, length: int) -> None:
    """Names promise the usual definitions."""
    labels, values = (data.draw(hnp.arrays(np.float64, length, elements=NUMBERS)) for _ in range(2))
    expected = {
        "rmse": math.sqrt(sk.mean_squared_error(labels, values)),
        "mse": sk.mean_squared_error(labels, values),
        "mae": sk.mean_absolute_error(labels, values),
        "median_absolute_error": sk.median_absolute_error(labels, values),
        "mape": sk.mean_absolute_percentage_error(labels, values),
        "r2": sk.r2_score(labels, values),
    }
    assert {name: _scored(name, labels, values) for name in expected} == pytest.approx(expected)
    assert _scored("rmsle", abs(labels), abs(values)) == pytest.approx(
        sk.root_mean_squared_log_error(abs(labels), abs(values))
    )


def test_labels_of_any_number_type_are_scored_in_float64() -> None:
    """Integers, decimals and single precision give the score of their values."""
    values = np.array([1.5, 2.5, 3.0])
    kinds: list[Any] = [np.int8, np.uint64, np.float32, object]
    assert {_scored("rmse", np.array([1, 2, 4]).astype(kind), values) for kind in kinds} == {
        _scored("rmse", [1.0, 2.0, 4.0], values)
    }
    decimals = np.array([decimal.Decimal(1), decimal.Decimal(2), decimal.Decimal(4)])
    assert _scored("mae", decimals, values) == pytest.approx(2 / 3)
    wide = _scored("mae", np.array([16_777_217.0]), np.array([0], dtype=np.float32))
    assert wide == 16_777_217.0, "not rounded to single precision"


@pytest.mark.parametrize("name", REGRESSION)
@pytest.mark.parametrize("broken", [math.nan, math.inf, -math.inf, None])
def test_a_broken_number_gives_nan(name: str, broken: float | None) -> None:
    """On either side, as a float or as an object, and never an exception."""
    fine, bad = np.array([1.0, 2.0, 3.0]), np.array([1.0, broken, 3.0], dtype=object)
    pairs = [(fine, bad), (bad, fine), (fine, bad.astype(np.float64)), (bad.astype(np.float64), fine)]
    assert all(math.isnan(_scored(name, labels, values)) for labels, values in pairs)


@pytest.mark.parametrize(
    ("name", "labels", "values"),
    [("rmsle", [-1.0, 2.0], [1.0, 2.0]), ("rmsle", [1.0], [-0.5]), ("r2", [1.0], [1.0]), ("rmse", [], [])],
)
def test_a_metric_without_a_value_here_gives_nan(name: str, labels: list[float], values: list[float]) -> None:
    """The logarithm of a negative number, a variance of one row, a mean of no rows."""
    assert math.isnan(_scored(name, np.array(labels), np.array(values)))


def test_too_large_an_error_is_infinite_and_silent() -> None:
    """Overflow is an outcome for the gate to refuse, not a warning."""
    assert _scored("mse", [0.0, 1.0], [1e200, 1.0]) == math.inf


def test_text_labels_of_a_regression_metric_are_refused() -> None:
    """The metric does not fit what is predicted."""
    with pytest.raises(ConfigError, match="CFG014"):
        _scored("rmse", np.array(["a", "b"]), np.array([1.0, 2.0]))


def test_predictions_of_other_rows_are_refused() -> None:
    """Labels and predictions belong together row by row."""
    with pytest.raises(StudyError, match="RUN040"):
        _scored("mae", [1.0, 2.0], [1.0])


# ---------------------------------------------------------------------------------- classification


@MODEST
@given(
    st.lists(st.tuples(st.booleans(), st.floats(0.001, 0.999)), min_size=4, max_size=60),
    st.sampled_from(PAIRS),
)
def test_binary_metrics_equal_those_of_scikit_learn(rows: list[tuple[bool, float]], classes: Any) -> None:
    """The positive class is the last of the sorted ones, whatever type the classes have."""
    truth, positive = (
        np.array([yes for yes, _ in rows] + [True, False]),
        np.array([p for _, p in rows] + [0.4, 0.6]),
    )
    found = positive > 0.5
    expected = {
        "accuracy": sk.accuracy_score(truth, found),
        "f1": sk.f1_score(truth, found, zero_division=0),
        "precision": sk.precision_score(truth, found, zero_division=0),
        "recall": sk.recall_score(truth, found),
        "balanced_accuracy": sk.balanced_accuracy_score(truth, found),
        "matthews": sk.matthews_corrcoef(truth, found),
        "f1_macro": sk.f1_score(truth, found, average="macro"),
        "log_loss": sk.log_loss(truth, positive),
        "brier": sk.brier_score_loss(truth, positive),
        "roc_auc": sk.roc_auc_score(truth, positive),
        "average_precision": sk.average_precision_score(truth, positive),
    }
    labels, values = (np.asarray(classes)[flags.astype(int)] for flags in (truth, found))
    for each in (labels, labels.astype(object)):
        scores = {name: _scored(name, each, values, _two(positive), classes) for name in expected}
        assert scores == pytest.approx(expected)


@MODEST
@given(st.data(), st.integers(0, 40))
def test_multiclass_metrics_equal_those_of_scikit_learn(data: st.DataObject, length: int) -> None:
    """Averages over classes as their names say; ranking is each class against the rest."""
    classes = ("blue", "green", "red")
    truth = np.array([0, 1, 2, *data.draw(st.lists(st.integers(0, 2), min_size=length, max_size=length))])
    weights = data.draw(hnp.arrays(np.float64, (len(truth), 3), elements=st.floats(0.01, 1)))
    chances = weights / weights.sum(axis=1, keepdims=True)
    found = chances.argmax(axis=1)
    expected = {
        "accuracy": sk.accuracy_score(truth, found),
        "balanced_accuracy": sk.recall_score(truth, found, average="macro"),
        "f1_macro": sk.f1_score(truth, found, average="macro", zero_division=0),
        "f1_weighted": sk.f1_score(truth, found, average="weighted", zero_division=0),
        "precision_macro": sk.precision_score(truth, found, average="macro", zero_division=0),
        "recall_macro": sk.recall_score(truth, found, average="macro", zero_division=0),
        "matthews": sk.matthews_corrcoef(truth, found),
        "log_loss": sk.log_loss(truth, chances),
        "roc_auc": sk.roc_auc_score(truth, chances, multi_class="ovr"),
    }
    labels = np.asarray(classes)[truth]
    scores = {name: _scored(name, labels, chances=chances, classes=classes) for name in expected}
    assert scores == pytest.approx(expected)


@pytest.mark.parametrize("name", CLASSIFICATION)
def test_a_perfect_classifier_beats_one_that_is_always_wrong(name: str) -> None:
    """The direction of each metric agrees with what it measures."""
    labels = np.array(["no", "yes", "no", "yes"])
    right, wrong = (_scored(name, labels, values, classes=BINARY) for values in (labels, labels[::-1]))
    assert better(get_metric(name), right, wrong) > 0


@pytest.mark.parametrize("name", CLASSIFICATION)
def test_classes_in_another_order_give_the_same_score(name: str) -> None:
    """Columns belong to classes, not to positions."""
    labels, chances = np.array(["no", "yes", "yes"]), _two([0.2, 0.4, 0.9])
    straight = _scored(name, labels, np.array(["no", "no", "yes"]), chances, BINARY)
    assert _scored(name, labels, np.array(["no", "no", "yes"]), chances[:, ::-1], BINARY[::-1]) == straight


def test_a_class_unseen_in_training_has_no_probability() -> None:
    """It costs what a certain error costs, and counts as not positive in a ranking."""
    labels, chances = np.array(["no", "yes", "maybe"]), _two([0.2, 0.9, 0.3])
    values = np.array(["no", "yes", "no"])
    worst = -math.log(np.finfo(np.float64).eps)
    expected = (-math.log(0.8) - math.log(0.9) + worst) / 3
    assert _scored("log_loss", labels, values, chances, BINARY) == pytest.approx(expected)
    assert _scored("accuracy", labels, values, chances, BINARY) == pytest.approx(2 / 3)
    assert _scored("f1_macro", labels, values, chances, BINARY) == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert _scored("roc_auc", labels, values, chances, BINARY) == 1.0


@pytest.mark.parametrize("name", CLASSIFICATION)
@pytest.mark.parametrize("labels", [["no"] * 3, ["yes"] * 3, ["else"] * 3, ["no", "yes", "else"]])
@pytest.mark.parametrize("values", [["no"] * 3, ["no", "yes", "no"]])
def test_odd_labels_never_raise_or_warn(name: str, labels: list[str], values: list[str]) -> None:
    """One class only, or one that training has not seen: a number or nan."""
    result = _scored(name, labels, values, _two([0.2, 0.9, 0.3]), BINARY)
    assert isinstance(result, float)
    if len(set(labels)) == 1 and name == "roc_auc":
        assert math.isnan(result), "a ranking needs two classes"


@pytest.mark.parametrize("name", CLASSIFICATION)
@pytest.mark.parametrize("only", BINARY)
def test_a_model_that_saw_one_class_is_scored_on_both(name: str, only: str) -> None:
    """The labels say what the other class is, so the positive one stays the positive one."""
    both = _scored(name, BINARY, [only, only], [[1 - (only == "yes"), only == "yes"]] * 2, BINARY)
    assert _scored(name, BINARY, [only, only], [[1.0], [1.0]], (only,)) == both


@pytest.mark.parametrize("name", CLASSIFICATION)
def test_missing_labels_or_probabilities_give_nan(name: str) -> None:
    """As for a regression: nan, never an exception."""
    values = np.array(["no", None], dtype=object)
    fine = np.array(["no", "yes"], dtype=object)
    chances = _two([0.2, math.nan])
    assert math.isnan(_scored(name, values, fine, _two([0.2, 0.4]), BINARY))
    broken = Predictions(values, chances, BINARY)
    assert math.isnan(score(get_metric(name), fine, broken))


@pytest.mark.parametrize("name", ["log_loss", "roc_auc", "brier", "average_precision"])
def test_missing_probabilities_are_an_error_with_a_way_out(name: str) -> None:
    """The metric was chosen for another kind of model."""
    with pytest.raises(ConfigError, match="CFG014") as refused:
        score(get_metric(name), np.array(["no"]), Predictions(np.array(["no"]), None, BINARY))
    assert "predict_proba" in refused.value.fix


@pytest.mark.parametrize("name", KNOWN)
def test_scores_are_python_floats_and_the_same_bits_each_time(name: str) -> None:
    """A recorded score can be compared with `==`."""
    rng = np.random.default_rng(3)
    positive, truth = rng.random(5_000), rng.integers(0, 2, 5_000)
    labels: np.ndarray = truth.astype(float) if name in REGRESSION else truth
    values: np.ndarray = positive if name in REGRESSION else (positive > 0.5).astype(int)
    scores = [_scored(name, labels.copy(), values.copy(), _two(positive), (0, 1)) for _ in range(3)]
    assert {type(each) for each in scores} == {float}
    assert len(set(scores)) == 1


@pytest.mark.parametrize("name", CLASSIFICATION)
def test_a_fitted_classifier_is_scored_end_to_end(name: str) -> None:
    """Labels as pandas holds them meet classes as scikit-learn does."""
    frame = pd.DataFrame(np.random.default_rng(1).normal(size=(200, 2)), columns=["a", "b"])
    labels = pd.Series(np.where(frame["a"] + 0.1 * frame["b"] > 0, "late", "in time"))
    answer = predict(GaussianNB().fit(frame, labels), frame, task="binary")
    result = score(get_metric(name), labels.to_numpy(dtype=object), answer)
    assert 0 <= result < 0.3 if get_metric(name).direction == "minimize" else result > 0.9
