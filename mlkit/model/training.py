"""Fitting: the same rows and the same description give the same model, bit for bit.

Rows arrive in canonical order and canonical types; every seed is derived from one number; linear
algebra runs on one thread, because a sum split over threads depends on how many there are. Estimators
that draw from the global generators of numpy and Python are covered too, as long as nothing else draws
at the same time: a fold is seeded anew, whatever was fitted before it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import random
import sys
import time
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
import threadpoolctl

from mlkit.boundary import user_code
from mlkit.data.frame import to_frame, to_target
from mlkit.digest.fingerprint import fingerprint
from mlkit.errors import StudyError
from mlkit.model.estimator import build, seeded
from mlkit.model.evaluation import score
from mlkit.model.predictions import Predictions, predict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from mlkit.data.contract import Contract
    from mlkit.data.split import Folds
    from mlkit.model.evaluation import Metric, Task


@dataclasses.dataclass(frozen=True)
class Rows:
    """Rows as an estimator sees them.

    Attributes:
        frame: (n, features) in the order of the config, rows in canonical order.
        target: (n,) labels.
    """

    frame: pd.DataFrame
    target: NDArray[Any]

    def take(self, positions: NDArray[np.intp]) -> Rows:
        """The rows at these positions."""
        return Rows(self.frame.iloc[positions].reset_index(drop=True), self.target[positions])

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.target)


@dataclasses.dataclass(frozen=True)
class FoldResult:
    """One fold of a cross-validation: its score, its predictions, and the wall time in seconds."""

    score: float
    predictions: Predictions
    seconds: float


def as_rows(table: pa.Table, contract: Contract, *, features: Sequence[str], target: str) -> Rows:
    """Rows of a table (in canonical order already) as an estimator sees them."""
    return Rows(to_frame(table, contract, features), to_target(table, contract, target))


@contextlib.contextmanager
def deterministic(seed: int) -> Iterator[Callable[[], bool]]:
    """One thread for linear algebra and fixed global seeds, put back afterwards.

    Args:
        seed: Of the global generators of numpy and Python.

    Yields:
        A function that tells whether anything has been drawn from the global generators since.
    """
    numpy_state, python_state = np.random.get_state(), random.getstate()  # noqa: NPY002 - what estimators use
    np.random.seed(seed % 2**32)  # noqa: NPY002 - what estimators without random_state use
    random.seed(seed)
    untouched = _positions()
    try:
        with native_threads(1, "blas"):
            yield lambda: _positions() != untouched
    finally:
        np.random.set_state(numpy_state)  # noqa: NPY002 - as above
        random.setstate(python_state)


def _positions() -> tuple[object, ...]:
    """Where the global generators stand, as something to compare."""
    state = np.random.get_state(legacy=False)  # noqa: NPY002 - as above
    inner = state["state"]
    return inner["key"].tobytes(), inner["pos"], state["has_gauss"], random.getstate()


def native_threads(count: int, library: Literal["blas", "openmp"]) -> contextlib.AbstractContextManager[Any]:
    """Context in which native libraries of a kind use so many threads, where this thread calls them."""
    limited: contextlib.AbstractContextManager[Any] = _libraries(len(sys.modules)).limit(
        limits=count, user_api=library
    )
    return limited


@functools.lru_cache(maxsize=1)
def _libraries(_: int) -> threadpoolctl.ThreadpoolController:
    """The native libraries in memory. Finding them takes milliseconds, and only imports add some."""
    return threadpoolctl.ThreadpoolController()


def fit(description: Mapping[str, Any], rows: Rows, *, seed: int, trusted: Sequence[str] = ()) -> Any:  # noqa: ANN401 - any estimator
    """Fit the described estimator; call it inside `deterministic`.

    Args:
        description: Class path and parameters (`mlkit.model.estimator`).
        rows: What to learn from.
        seed: Every `random_state` that the description leaves open follows from it.
        trusted: Further packages that may be imported (those pinned in the config).

    Raises:
        StudyError: The estimator refused to fit.
    """
    estimator = seeded(build(description, trusted=trusted), seed)
    _check_labels(estimator, rows.target)
    with user_code(str(description.get("class", "model")), action="fit"):
        estimator.fit(rows.frame, rows.target)
    return estimator


def _check_labels(estimator: Any, target: NDArray[Any]) -> None:  # noqa: ANN401 - any estimator
    """Say before the fit what xgboost says in other words: its classes are numbered from 0."""
    last = estimator.steps[-1][1] if hasattr(estimator, "steps") else estimator
    if type(last).__module__.startswith("xgboost") and type(last).__name__.endswith("Classifier"):
        classes = np.unique(target)
        if classes.tolist() != list(range(len(classes))):
            message = f"{type(last).__name__} takes the classes 0 to {len(classes) - 1}, found others"
            raise StudyError("RUN017", message, path="target", fix="number the classes in prepare")


def evaluate_fold(
    description: Mapping[str, Any],
    rows: Rows,
    fold: tuple[NDArray[np.intp], NDArray[np.intp]],
    *,
    metric: Metric,
    task: Task,
    seed: int,
    trusted: Sequence[str] = (),
    alone: bool = True,
) -> FoldResult:
    """Fit on the first positions of a fold, score on the second.

    Args:
        description: Class path and parameters (`mlkit.model.estimator`).
        rows: What a study may see.
        fold: Positions to fit on and to score on.
        metric: How predictions are scored.
        task: Kind of prediction.
        seed: Seed of the study.
        trusted: Further packages that may be imported.
        alone: False where other threads evaluate at the same time: then it is for the caller to hold
            `deterministic`, and to see that nothing was drawn.

    Raises:
        StudyError: The estimator refused to fit or to predict.
        ConfigError: The estimator cannot be built, or has no answer to what the metric needs.
    """
    with deterministic(seed) if alone else contextlib.nullcontext():
        started = time.perf_counter()
        fitted = fit(description, rows.take(fold[0]), seed=seed, trusted=trusted)
        held_out = rows.take(fold[1])
        predictions = predict(fitted, held_out.frame, task=task)
        value = score(metric, held_out.target, predictions)
        return FoldResult(value, predictions, time.perf_counter() - started)


def held_out_fingerprint(folds: Folds, results: Sequence[FoldResult]) -> str:
    """Fingerprint of all held-out predictions by row position: equal only if each prediction is."""
    tables = []
    for (_, positions), result in zip(folds.pairs(), results, strict=True):
        column = pa.array(positions.astype(np.int64))
        tables.append(result.predictions.to_table().append_column("position", column))
    # A fold may not have seen every class; then it has no column of its probability.
    return fingerprint(pa.concat_tables(tables, promote_options="default"))
