"""Metrics: what a score is called, which way is better, and how it is computed.

A known metric carries its direction and the tasks it fits; one of the user's own is named
``module:function`` and must be given its direction. A score is a Python float of float64 arithmetic
on rows in their order. It is nan, which the gate refuses, wherever the metric has no value.

The positive class of a binary metric is the last of the sorted classes seen in training. A class that
was not seen in training has probability 0, and counts as not positive.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import math
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from sklearn import metrics

from mlkit.boundary import user_code
from mlkit.code import load_function
from mlkit.errors import ConfigError, DataError, StudyError, UnsupportedTypeError
from mlkit.model.gate import Direction
from mlkit.model.predictions import Task

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mlkit.model.predictions import Class, Predictions

__all__ = ["KNOWN", "TASKS", "Metric", "Task", "arrange", "better", "get_metric", "infer_task", "score"]

Needs = Literal["prediction", "probability"]
Array = np.ndarray[Any, Any]

TASKS: frozenset[Task] = frozenset(get_args(Task))
_REGRESSION: frozenset[Task] = frozenset({"regression"})
_BINARY: frozenset[Task] = frozenset({"binary"})
_CLASSES: frozenset[Task] = frozenset({"binary", "multiclass"})

_MOST_CLASSES = 20  # of an integer target; more distinct numbers are taken for quantities
_TWO = 2  # classes of a binary task, and the least that a model can tell apart
_POSITIVE = 1  # code of the positive class of a binary metric


@dataclasses.dataclass(frozen=True)
class Metric:
    """A way to score predictions.

    Attributes:
        name: Its name in a config: one that is known, or ``module:function``.
        direction: Which scores are better.
        needs: Whether it looks at predicted values or at probabilities.
        tasks: The tasks it fits.
        function: `(labels, answers) -> float`. A known regression metric gets two float64 arrays (n,).
            A known classification metric gets codes (n,), int64, counting the sorted classes, and
            either such codes or probabilities (n, k). One's own gets labels and values as they are.
    """

    name: str
    direction: Direction
    needs: Needs
    tasks: frozenset[Task]
    function: Callable[[Array, Array], float]


def get_metric(name: str, *, direction: Direction | None = None, task: Task | None = None) -> Metric:
    """The metric of this name.

    Args:
        name: A known name such as ``rmse``, or ``module:function`` for `score(y_true, y_pred) -> float`.
        direction: Required for one's own metric; for a known one it may be left out.
        task: When given, the metric must fit it.

    Raises:
        ConfigError: Unknown name, or a direction that is missing, unknown or contradicts the metric
            (CFG013); the metric does not fit the task (CFG014).
    """
    if direction not in (None, *get_args(Direction)):
        raise _wrong_direction(f"expected 'minimize' or 'maximize', found {direction!r}", "give one of them")
    metric = _own(name, direction) if _is_own(name) else _known(name)
    if direction not in (None, metric.direction):
        found = f"{name} is a metric to {metric.direction}, the direction given is {direction!r}"
        raise _wrong_direction(found, "leave the direction out")
    if task is not None and task not in metric.tasks:
        fitting = ", ".join(sorted(known.name for known in KNOWN.values() if task in known.tasks))
        found = f"{name} is a metric for {' or '.join(sorted(metric.tasks))}, the task is {task}"
        raise ConfigError("CFG014", found, path="metric", fix=f"for {task} choose one of: {fitting}")
    return metric


def check_metric_name(name: object) -> None:
    """Refuse what names no known metric; a name of one's own is not looked up.

    Raises:
        ConfigError: CFG013.
    """
    if not isinstance(name, str):
        message = f"expected the name of a metric, found a {type(name).__name__}"
        fix = "a known one such as 'rmse', or your own as 'module:function' with a direction"
        raise ConfigError("CFG013", message, path="metric", fix=fix)
    if not _is_own(name):
        _known(name)


def _known(name: str) -> Metric:
    if name in KNOWN:
        return KNOWN[name]
    near = difflib.get_close_matches(name.lower(), KNOWN, n=1)
    guess = f"did you mean {near[0]!r}? " if near else ""
    known = f"known: {', '.join(sorted(KNOWN))}; one of your own is 'module:function' with a direction"
    raise ConfigError("CFG013", f"unknown metric {name!r}", path="metric", fix=guess + known)


def _own(reference: str, direction: Direction | None) -> Metric:
    if direction is None:
        raise _wrong_direction(
            f"{reference} is a metric of your own, and nothing says which scores are better",
            "give direction='minimize' or 'maximize'",
        )
    function = load_function(reference)
    if not callable(function):
        found = f"expected a function at {reference}, found a {type(function).__name__}"
        raise ConfigError(
            "CFG013", found, path="metric", fix="name a function score(y_true, y_pred) -> float"
        )
    return Metric(reference, direction, "prediction", TASKS, function)


def _wrong_direction(message: str, fix: str) -> ConfigError:
    return ConfigError("CFG013", message, path="gate.direction", fix=fix)


def better(metric: Metric, a: float, b: float) -> float:
    """How much better score `a` is than score `b`; positive is better, in units of the metric."""
    return b - a if metric.direction == "minimize" else a - b


def infer_task(target: pa.Array[Any] | pa.ChunkedArray[Any], *, name: str = "target") -> Task:
    """What a model of this target does.

    Text, booleans and dictionaries are classes. Floats and decimals are quantities. Integers are classes
    when exactly two differ, or at most 20 that are 0..k-1 or 1..k; else quantities.

    Args:
        target: The target column, n rows.
        name: Its name, for the error message.

    Raises:
        DataError: Nothing to learn, because the target is constant or all missing (DAT041).
        UnsupportedTypeError: A type that is neither a number nor a class (DAT041).
    """
    distinct = _distinct(target, name)
    if len(distinct) < _TWO:
        raise DataError(
            "DAT041",
            f"expected at least 2 different values to learn from, found {len(distinct)}",
            path=name,
            fix="check the column's name, and the filter that chose the rows",
        )
    if _is_class(target.type) or (pa.types.is_integer(distinct.type) and _counts_classes(distinct)):
        return "binary" if len(distinct) == _TWO else "multiclass"
    return "regression"


def _distinct(target: pa.Array[Any] | pa.ChunkedArray[Any], name: str) -> pa.Array[Any]:
    """The different values, without nulls and nan; -0.0 is 0.0."""
    kind = target.type
    if not (_is_class(kind) or pa.types.is_null(kind) or _is_quantity(kind)):
        raise UnsupportedTypeError(
            "DAT041",
            f"expected a target of numbers, text, booleans or categories, found {kind}",
            path=name,
            fix="turn it into a number or a class in prepare",
        )
    if pa.types.is_dictionary(kind):
        target = target.cast(kind.value_type)
    if pa.types.is_floating(target.type):
        target = pc.add(target.cast(pa.float64()), 0.0).filter(pc.invert(pc.is_nan(target)))
    return pc.drop_null(pc.unique(target))


def _is_class(kind: pa.DataType) -> bool:
    types = pa.types
    text = types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)
    return bool(text or types.is_boolean(kind) or types.is_dictionary(kind))


def _is_quantity(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _counts_classes(distinct: pa.Array[Any]) -> bool:
    if len(distinct) > _MOST_CLASSES:
        return False
    numbers = sorted(distinct.to_pylist())
    return len(numbers) == _TWO or (numbers[0] in (0, 1) and numbers[-1] - numbers[0] == len(numbers) - 1)


def score(metric: Metric, labels: Array, predictions: Predictions) -> float:
    """Score predictions against the labels of the same rows.

    Args:
        metric: From `get_metric`.
        labels: True value or class of each row, shape (n,).
        predictions: What the model says about these rows, in the same order.

    Returns:
        The score; nan when there are no rows, a label or a prediction is missing or not finite, or the
        metric has no value here, such as a ranking of rows that all have the same label.

    Raises:
        ConfigError: The metric needs probabilities and there are none, or wants numbers and the labels
            are text (CFG014); one's own metric returned no number (CFG013).
        StudyError: There are not as many predictions as labels (RUN040), or one's own metric raised
            (RUN010).
    """
    arranged = arrange(metric, labels, predictions)
    if arranged is None:
        return float("nan")
    boundary = user_code(metric.name) if _is_own(metric.name) else contextlib.nullcontext()
    with np.errstate(all="ignore"), boundary:
        return _number(metric, metric.function(*arranged))


def arrange(metric: Metric, labels: Array, predictions: Predictions) -> tuple[Array, Array] | None:
    """Labels and answers as the function of the metric takes them.

    Args:
        metric: From `get_metric`.
        labels: True value or class of each row, shape (n,).
        predictions: What the model says about these rows, in the same order.

    Returns:
        Both; None when there are no rows, or a label or a prediction is missing or not finite.

    Raises:
        ConfigError: The metric needs probabilities and there are none, or wants numbers and the labels
            are text (CFG014).
        StudyError: There are not as many predictions as labels (RUN040).
    """
    answers = _answers(metric, predictions)
    if len(labels) != len(answers):
        raise StudyError(
            "RUN040",
            f"expected one prediction per label, found {len(answers)} for {len(labels)}",
            path="model",
            fix="score the rows that were predicted, in their order",
        )
    if not len(labels) or _incomplete(labels) or _incomplete(answers):
        return None
    return _arranged(metric, labels, answers, predictions.classes)


def _is_own(name: str) -> bool:
    return ":" in name


def _answers(metric: Metric, predictions: Predictions) -> Array:
    if metric.needs == "prediction":
        return predictions.values  # noqa: PD011 - an array already
    if predictions.probabilities is None:
        raise ConfigError(
            "CFG014",
            f"{metric.name} needs probabilities, and this model has no predict_proba",
            path="metric",
            fix="use a classifier with predict_proba, wrap it in CalibratedClassifierCV, or choose accuracy",
        )
    return predictions.probabilities


def _incomplete(values: Array) -> bool:
    if values.dtype == object:
        return bool(pd.isna(values).any()) or any(value in (math.inf, -math.inf) for value in values.tolist())
    return np.issubdtype(values.dtype, np.floating) and not np.isfinite(values).all()


def _number(metric: Metric, result: object) -> float:
    try:
        return float(result)  # type: ignore[arg-type]
    except (TypeError, ValueError) as exc:
        found = f"{metric.name} must return a number, found a {type(result).__name__}"
        raise ConfigError("CFG013", found, path="metric", fix="return one float") from exc


def _arranged(
    metric: Metric, labels: Array, answers: Array, classes: tuple[Class, ...]
) -> tuple[Array, Array]:
    """Labels and answers as the function of the metric wants them."""
    if _is_own(metric.name):
        return labels, answers
    if metric.tasks == _REGRESSION:
        return _floats(metric, labels), _floats(metric, answers)
    if metric.needs == "prediction":
        codes = _class_codes(classes, [*labels.tolist(), *answers.tolist()])
        return _coded(labels, codes), _coded(answers, codes)
    codes = _class_codes(classes, labels.tolist())
    table = np.zeros((len(labels), len(codes)))
    table[:, [codes[label] for label in classes]] = answers
    return _coded(labels, codes), table


def _floats(metric: Metric, values: Array) -> Array:
    try:
        return values.astype(np.float64)
    except (TypeError, ValueError) as exc:
        found = f"{metric.name} wants numbers, found values of type {values.dtype}"
        fix = "choose a metric for classes, such as accuracy"
        raise ConfigError("CFG014", found, path="metric", fix=fix) from exc


def _class_codes(classes: tuple[Class, ...], seen: list[Class]) -> dict[Class, int]:
    """Position of each class among the sorted ones; a model of one class needs help of what is seen."""
    every = classes if len(classes) >= _TWO else {*classes, *seen}
    ordered = sorted(every, key=lambda label: (isinstance(label, str), label))
    return {label: code for code, label in enumerate(ordered)}


def _coded(values: Array, codes: dict[Class, int]) -> Array:
    """Codes of the values, shape (n,), int64; a value that is no known class gets the next free code."""
    coded = (codes.setdefault(value, len(codes)) for value in values.tolist())
    return np.fromiter(coded, dtype=np.int64, count=len(values))


def _rmsle(labels: Array, answers: Array) -> float:
    if min(labels.min(), answers.min()) < 0:
        return float("nan")
    return float(metrics.root_mean_squared_error(np.log1p(labels), np.log1p(answers)))


def _r2(labels: Array, answers: Array) -> float:
    return float(metrics.r2_score(labels, answers)) if len(labels) > 1 else float("nan")


def _balanced_accuracy(labels: Array, answers: Array) -> float:
    # The mean recall of the classes that are there: sklearn's own warns about a class that is only predicted.
    return _averaged(metrics.recall_score, "macro", labels, answers, among=np.unique(labels))


def _averaged(
    function: Callable[..., float], average: str, labels: Array, answers: Array, *, among: Array | None = None
) -> float:
    return function(labels, answers, labels=among, average=average, zero_division=0.0)


def _of_positive(function: Callable[..., float], labels: Array, answers: Array) -> float:
    positive, found = labels == _POSITIVE, answers == _POSITIVE
    return function(positive.astype(np.int64), found.astype(np.int64), zero_division=0.0)


def _matthews(labels: Array, answers: Array) -> float:
    alone = np.unique(np.concatenate([labels, answers])).size == 1  # sklearn 1.6 warns, and says 0
    return 0.0 if alone else float(metrics.matthews_corrcoef(labels, answers))


def _log_loss(labels: Array, table: Array) -> float:
    known = table.shape[1]
    chances = table[np.arange(len(labels)), np.minimum(labels, known - 1)]
    least = np.finfo(np.float64).eps
    return float(-np.log(np.clip(np.where(labels < known, chances, 0.0), least, 1 - least)).mean())


def _brier(labels: Array, table: Array) -> float:
    return float(np.square(table[:, _POSITIVE] - (labels == _POSITIVE)).mean())


def _roc_auc(labels: Array, table: Array) -> float:
    """Area of the positive class, or the plain mean over the classes, each against the rest."""
    classes = [_POSITIVE] if table.shape[1] == _TWO else range(table.shape[1])
    return float(np.mean([_area(labels == code, table[:, code]) for code in classes]))


def _area(positive: Array, chances: Array) -> float:
    alone = positive.all() or not positive.any()
    return float("nan") if alone else float(metrics.roc_auc_score(positive, chances))


def _average_precision(labels: Array, table: Array) -> float:
    positive, chances = labels == _POSITIVE, table[:, _POSITIVE]
    return float(metrics.average_precision_score(positive, chances)) if positive.any() else float("nan")


_MACRO_F1 = partial(_averaged, metrics.f1_score, "macro")
_WEIGHTED_F1 = partial(_averaged, metrics.f1_score, "weighted")
_MACRO_PRECISION = partial(_averaged, metrics.precision_score, "macro")
_MACRO_RECALL = partial(_averaged, metrics.recall_score, "macro")

_LIST = (
    Metric("rmse", "minimize", "prediction", _REGRESSION, metrics.root_mean_squared_error),
    Metric("mse", "minimize", "prediction", _REGRESSION, metrics.mean_squared_error),
    Metric("mae", "minimize", "prediction", _REGRESSION, metrics.mean_absolute_error),
    Metric("median_absolute_error", "minimize", "prediction", _REGRESSION, metrics.median_absolute_error),
    Metric("mape", "minimize", "prediction", _REGRESSION, metrics.mean_absolute_percentage_error),
    Metric("rmsle", "minimize", "prediction", _REGRESSION, _rmsle),
    Metric("r2", "maximize", "prediction", _REGRESSION, _r2),
    Metric("accuracy", "maximize", "prediction", _CLASSES, metrics.accuracy_score),
    Metric("balanced_accuracy", "maximize", "prediction", _CLASSES, _balanced_accuracy),
    Metric("matthews", "maximize", "prediction", _CLASSES, _matthews),
    Metric("f1_macro", "maximize", "prediction", _CLASSES, _MACRO_F1),
    Metric("f1_weighted", "maximize", "prediction", _CLASSES, _WEIGHTED_F1),
    Metric("precision_macro", "maximize", "prediction", _CLASSES, _MACRO_PRECISION),
    Metric("recall_macro", "maximize", "prediction", _CLASSES, _MACRO_RECALL),
    Metric("f1", "maximize", "prediction", _BINARY, partial(_of_positive, metrics.f1_score)),
    Metric("precision", "maximize", "prediction", _BINARY, partial(_of_positive, metrics.precision_score)),
    Metric("recall", "maximize", "prediction", _BINARY, partial(_of_positive, metrics.recall_score)),
    Metric("log_loss", "minimize", "probability", _CLASSES, _log_loss),
    Metric("brier", "minimize", "probability", _BINARY, _brier),
    Metric("roc_auc", "maximize", "probability", _CLASSES, _roc_auc),
    Metric("average_precision", "maximize", "probability", _BINARY, _average_precision),
)

KNOWN: Mapping[str, Metric] = MappingProxyType({metric.name: metric for metric in _LIST})
