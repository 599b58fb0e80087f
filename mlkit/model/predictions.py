"""Predictions that can be compared bit by bit.

A linear model answers differently for a row alone and for the same row in a batch, and a forest that
adds up its trees in several threads answers differently each time. So `predict` always cuts a frame
into chunks of one size and lets one thread do the adding.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
import threading
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa

from mlkit.boundary import user_code
from mlkit.errors import StudyError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import pandas as pd

Task = Literal["regression", "binary", "multiclass"]
Class = bool | int | float | str

CHUNK_ROWS = 4096

_SAFE_CLASS = re.compile(r"[A-Za-z0-9_]{1,200}")
_ESTIMATOR_METHODS = ("get_params", "predict", "predict_proba")
_MOST_PARTS = 10_000  # a longer collection inside an estimator is data (a vocabulary), not estimators

_lock = threading.Lock()
_held: dict[int, tuple[int, Any]] = {}  # id of an estimator -> predictions under way, its own n_jobs


@dataclasses.dataclass(frozen=True, eq=False)
class Predictions:
    """What a model says about some rows, in their order.

    Attributes:
        values: Predicted value or class of each row, shape (n,); float64 for a regression.
        probabilities: Probability of each class, shape (n, k), float64; None when the model gives none.
        classes: The k classes seen in training, in the order of the columns; empty for a regression.
    """

    values: np.ndarray[Any, Any]
    probabilities: np.ndarray[Any, Any] | None = None
    classes: tuple[Class, ...] = ()

    def probability_columns(self) -> tuple[str, ...]:
        """Column name of each class's probability, in the order of `classes`.

        `probability_<class>` when every class reads as letters, digits and underscores (at most 200)
        and no two differ only in case; else `probability_<position>` for all of them, counted from 0.
        """
        texts = [str(label) for label in self.classes]
        distinct = len({text.lower() for text in texts}) == len(texts)
        if not distinct or not all(map(_SAFE_CLASS.fullmatch, texts)):
            texts = [str(position) for position in range(len(texts))]
        return tuple(f"probability_{text}" for text in texts)

    def only(self, rows: np.ndarray[Any, np.dtype[np.bool_]]) -> Predictions:
        """Those of the rows that are marked, shape (n,)."""
        probabilities = None if self.probabilities is None else self.probabilities[rows]
        return Predictions(self.values[rows], probabilities, self.classes)

    def to_table(self) -> pa.Table:
        """Column `prediction` and, where there are probabilities, one column per class; n rows."""
        kind = pa.array(self.classes).type if self.classes else pa.from_numpy_dtype(self.values.dtype)
        columns = {"prediction": pa.array(self.values.tolist(), type=kind)}
        if self.probabilities is not None:
            names = self.probability_columns()
            columns.update({name: pa.array(self.probabilities[:, k]) for k, name in enumerate(names)})
        return pa.table(columns)


def predict(estimator: Any, frame: pd.DataFrame, *, task: Task, rows: int = CHUNK_ROWS) -> Predictions:  # noqa: ANN401
    """Predict each row of a frame, the same way every time.

    Args:
        estimator: A fitted scikit-learn-compatible estimator. Its `n_jobs`, and that of every estimator
            inside it, is 1 while it predicts and what it was before afterwards.
        frame: Features as at `fit`, n rows.
        task: What is predicted; for a classification the estimator must have `classes_`.
        rows: Rows per chunk; the same number wherever predictions are compared.

    Raises:
        StudyError: The estimator raised (RUN010), is no classifier (RUN041), or answers with another
            number of rows or another shape than one value per row and one probability per row and
            class (RUN040).
    """
    with _one_job(estimator):
        return predict_settled(estimator, frame, task=task, rows=rows)


def use_one_thread(estimator: object) -> None:
    """Let an estimator, and every estimator inside it, work in one thread from now on."""
    for part in _parts(estimator):
        if "n_jobs" in vars(part):
            part.n_jobs = 1


def predict_settled(
    estimator: Any,  # noqa: ANN401 - as above
    frame: pd.DataFrame,
    *,
    task: Task,
    rows: int = CHUNK_ROWS,
) -> Predictions:
    """The same predictions, of an estimator on which `use_one_thread` was called; its parts are left alone.

    Raises:
        StudyError: As `predict`.
    """
    classes = () if task == "regression" else _classes(estimator, task)
    probabilities = None
    with user_code(type(estimator).__name__, action="predict"):
        values = _one_per_row(_answers(estimator.predict, frame, (), rows), classes)
        if classes and hasattr(estimator, "predict_proba"):
            answers = _answers(estimator.predict_proba, frame, (len(classes),), rows)
            probabilities = np.concatenate(answers).astype(np.float64)
    return Predictions(values, probabilities, classes)


def _classes(estimator: object, task: Task) -> tuple[Class, ...]:
    """The classes as Python values, which neither numpy nor a pickle can change."""
    found = getattr(estimator, "classes_", ())
    classes = [label.item() if isinstance(label, np.generic) else label for label in found]
    if not classes or not all(isinstance(label, Class) for label in classes):
        raise StudyError(
            "RUN041",
            f"the task is {task}, but {type(estimator).__name__} has no plain list of classes in classes_",
            path="model",
            fix="use a classifier with one output, or say task='regression'",
        )
    return tuple(classes)


def _answers(
    method: Callable[[pd.DataFrame], object], frame: pd.DataFrame, columns: tuple[int, ...], rows: int
) -> list[np.ndarray[Any, Any]]:
    """The method's answer to each chunk, each of shape (rows of the chunk, *columns)."""
    answers = [np.empty((0, *columns))]
    for start in range(0, len(frame), rows):
        chunk = frame if len(frame) <= rows else frame.iloc[start : start + rows]
        answers.append(_shaped(np.asarray(method(chunk)), (len(chunk), *columns)))
    return answers[1:] or answers


def _shaped(answer: np.ndarray[Any, Any], expected: tuple[int, ...]) -> np.ndarray[Any, Any]:
    if answer.shape == (*expected, 1):  # some libraries answer with a column
        return answer.reshape(expected)
    if answer.shape != expected:
        raise StudyError(
            "RUN040",
            f"the model answered with shape {answer.shape}, expected {expected}",
            path="model",
            fix="predict one value per row; several outputs need one project each",
        )
    return answer


def _one_per_row(answers: list[np.ndarray[Any, Any]], classes: tuple[Class, ...]) -> np.ndarray[Any, Any]:
    values = np.concatenate(answers)
    if classes and not np.issubdtype(values.dtype, np.floating):
        return values
    try:
        return values.astype(np.float64)
    except (TypeError, ValueError) as exc:
        raise StudyError(
            "RUN040",
            f"the task is regression, but the model answered with {values.dtype}, expected numbers",
            path="model",
            fix="use a regressor, or say which classification it is with task=",
        ) from exc


@contextlib.contextmanager
def _one_job(estimator: object) -> Iterator[None]:
    """Let each estimator inside this one work in one thread; safe when several threads share it."""
    parts = [part for part in _parts(estimator) if "n_jobs" in vars(part)]
    with _lock:
        for part in parts:
            underway, before = _held.get(id(part), (0, part.n_jobs))
            _held[id(part)] = underway + 1, before
            part.n_jobs = 1
    try:
        yield
    finally:
        with _lock:
            for part in parts:
                _release(part)


def _release(part: Any) -> None:  # noqa: ANN401 - any estimator
    underway, before = _held.pop(id(part))
    if underway > 1:
        _held[id(part)] = underway - 1, before
    else:
        part.n_jobs = before


def _parts(estimator: object) -> list[Any]:
    """The estimator and every estimator that can be reached from it, fitted ones included."""
    found: dict[int, object] = {}
    waiting = [estimator]
    while waiting:
        part = waiting.pop()
        if id(part) not in found and hasattr(part, "__dict__"):
            found[id(part)] = part
            waiting.extend(_estimators_in(list(vars(part).values())))
    return list(found.values())


def _estimators_in(value: object) -> Iterator[object]:
    if any(hasattr(value, method) for method in _ESTIMATOR_METHODS) and not isinstance(value, type):
        yield value
    for inner in _members(value):
        yield from _estimators_in(inner)


def _members(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, np.ndarray) and value.dtype == object:
        value = value.ravel().tolist()
    return value if isinstance(value, list | tuple) and len(value) <= _MOST_PARTS else ()
