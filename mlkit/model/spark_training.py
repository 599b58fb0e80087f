"""Fitting and scoring where the rows are: estimators that train on Spark.

Rows never come here but for what a score needs: two lanes that tell rows apart, label, prediction and
probabilities. These are put in canonical order and scored by the same code as any other predictions.

Before a fit the rows are laid out by their own digests, in a number of partitions that follows from how
many there are: the same rows then reach Spark in the same order, whatever the cluster. Sums over several
partitions still depend on which is ready first, in their last bits.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from mlkit.boundary import user_code
from mlkit.data.frame import to_frame
from mlkit.digest.fingerprint import canonical_order, fingerprint
from mlkit.digest.spark_frame import LANES, fields_of, translated
from mlkit.digest.sql import lane, quoted
from mlkit.engines.sizes import check_size
from mlkit.engines.spark.faults import Kind, kind_of, of_spark
from mlkit.engines.spark.faults import translated as explained
from mlkit.engines.spark.ml import make_active
from mlkit.errors import DataError, StudyError
from mlkit.model.estimator import build, seeded
from mlkit.model.evaluation import score
from mlkit.model.predictions import Predictions
from mlkit.model.training import FoldResult

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from mlkit.data.contract import Contract
    from mlkit.data.source import Source
    from mlkit.engines.base import Engine, Frame
    from mlkit.model.evaluation import Metric, Task
    from mlkit.model.predictions import Class

ROWS_PER_PARTITION = 250_000
PREDICTION, PROBABILITY = "prediction", "probability"
"""What Spark's models call their answers unless they are told otherwise; here they may not be."""

_ANSWER_BYTES = 48  # two lanes, a prediction, and the probabilities of two classes, with what is around them

_NUMBERS = {"bool": np.bool_, "integer": np.int64, "float": np.float64, "decimal": np.float64}
_TYPES: dict[type, type[Class]] = {np.bool_: bool, np.int64: int, np.float64: float}


@dataclasses.dataclass(frozen=True)
class FrameRows:
    """Rows in Spark as an estimator sees them; `mlkit.model.training.Rows` is the same for rows here.

    Attributes:
        frame: Prepared rows with all their columns, in the types of the contract: a Spark dataframe.
        features: Columns the estimator may use.
        target: The label column.
        label: Numpy type of the labels.
        partitions: How many to lay the rows out in before a fit.
        most: Bytes of answers that may come to this process; None for as many as there are.
    """

    frame: Frame = dataclasses.field(repr=False)
    features: tuple[str, ...]
    target: str
    label: type
    partitions: int
    most: int | None = None

    def take(self, condition: str) -> FrameRows:
        """The rows of which an SQL condition is true."""
        return dataclasses.replace(self, frame=self.frame.where(condition))

    def example(self, contract: Contract, count: int) -> pd.DataFrame:
        """A few rows as a pandas frame, for their dtypes."""
        with translated("read a few rows"):
            table = self.frame.selectExpr(*map(quoted, self.features)).limit(count).toArrow()
        return to_frame(table, contract, self.features)

    def answers(self, task: Task) -> str:
        """Numpy kind of what a model of these rows predicts."""
        return "f" if task == "regression" else np.dtype(self.label).kind


@dataclasses.dataclass(frozen=True, eq=False)
class Answers:
    """What a model says about rows in Spark, in canonical order.

    Attributes:
        lanes: (2, n) int64, the digests that tell rows apart.
        labels: (n,) true value or class.
        predictions: What the model says.
        columns: Further columns that were asked for, in the same order.
    """

    lanes: NDArray[np.int64]
    labels: NDArray[Any]
    predictions: Predictions
    columns: pa.Table


@dataclasses.dataclass(frozen=True)
class FrameFoldResult(FoldResult):
    """One fold of rows in Spark; `lanes` (2, n) tell to which row each prediction belongs."""

    lanes: NDArray[np.int64] = dataclasses.field(default_factory=lambda: np.empty((2, 0), np.int64))


def as_frame_rows(
    frame: Frame,
    contract: Contract,
    *,
    features: Sequence[str],
    target: str,
    rows: int,
    most: int | None,
) -> FrameRows:
    """Rows of a Spark dataframe, in the types of their contract already, as an estimator sees them.

    Args:
        frame: Prepared rows with all their columns.
        contract: Declares `target`.
        features: Columns the estimator may use.
        target: The label column.
        rows: How many rows there are.
        most: Bytes of answers that may come to this process; None for as many as there are.

    Raises:
        DataError: The labels are no numbers (DAT046).
    """
    make_active(frame)
    kind = contract.columns[target].kind
    if kind not in _NUMBERS:
        message = f"estimators of Spark learn numbers, found labels of type {contract.columns[target].dtype}"
        raise DataError("DAT046", message, path=target, fix="number the classes from 0 in prepare")
    partitions = max(1, -(-rows // ROWS_PER_PARTITION))
    return FrameRows(frame, tuple(features), target, _NUMBERS[kind], partitions, most)


def lanes_sql(fields: Sequence[Mapping[str, Any]], names: Sequence[str] = LANES) -> list[str]:
    """SQL of both lanes of these columns, under these names."""
    return [f"{lane(index, fields)} AS {quoted(name)}" for index, name in enumerate(names)]


def check_frame_source(source: Source | None, engine: Engine) -> None:
    """Refuse a source whose rows would not be in Spark, where an estimator trains.

    Raises:
        StudyError: The target has no Spark, or `prepare` takes a pandas frame (RUN025).
    """
    if engine.fetch_bytes is None:
        message = "an estimator that trains on Spark needs a target that has Spark"
        fix = "take another --target, or an estimator that trains in this process"
        raise StudyError("RUN025", message, path="model", fix=fix)
    if source is not None and source.prepare is not None and source.frame == "pandas":
        message = "prepare takes a pandas frame, for which all rows would have to come to this process"
        fix = "write it for Spark, or for both with Narwhals, and say frame='spark' or 'any'"
        raise StudyError("RUN025", message, path=source.prepare, fix=fix)


def fit_frame(
    description: Mapping[str, Any], rows: FrameRows, *, seed: int, trusted: Sequence[str] = ()
) -> Any:  # noqa: ANN401 - of a library that may not be there
    """Fit the described estimator.

    Args:
        description: Class path and parameters (`mlkit.model.spark_estimator`).
        rows: What to learn from.
        seed: Every seed that the description leaves open follows from it.
        trusted: Further packages that may be imported.

    Raises:
        StudyError: The estimator refused to fit (RUN010), or there is no session (RUN023).
        StoreError: Spark is away.
    """
    estimator = seeded(build(description, trusted=trusted), seed)
    label = f"CAST({quoted(rows.target)} AS DOUBLE) AS {quoted(rows.target)}"
    lanes = lanes_sql(fields_of(rows.frame))
    given = rows.frame.selectExpr(*map(quoted, rows.features), label, *lanes)
    laid_out = given.repartition(rows.partitions, *LANES).sortWithinPartitions(*LANES).drop(*LANES)
    with _spark_code(str(description.get("class", "model")), "fit"):
        return estimator.fit(laid_out)


def predict_frame(model: Any, rows: FrameRows, *, task: Task, columns: Sequence[str] = ()) -> Answers:  # noqa: ANN401 - as above
    """Predict each row of a Spark dataframe; only the answers come here.

    Args:
        model: A fitted model of Spark, whose answers are called `PREDICTION` and `PROBABILITY`.
        rows: The rows.
        task: What is predicted.
        columns: Further columns to bring along, such as the key.

    Raises:
        DataError: The answers are more than may come here (DAT070).
        StudyError: The model raised (RUN010), has no prediction, or leaves out rows (RUN040).
        StoreError: Spark is away.
    """
    expected = _check_size(rows, columns)
    kept = [f"{quoted(name)} AS mlkit_column{place}" for place, name in enumerate((rows.target, *columns))]
    given = rows.frame.selectExpr(*map(quoted, rows.features), *kept, *lanes_sql(fields_of(rows.frame)))
    with _spark_code(type(model).__name__, "predict"):
        answered = model.transform(given)
        found = [name for name in (PREDICTION, PROBABILITY) if name in answered.columns]
        names = [f"mlkit_column{place}" for place in range(len(kept))]
        table = answered.selectExpr(*LANES, *names, *found).toArrow()
    _check_answers(found, table.num_rows, expected)
    lanes = np.stack([table.column(name).to_numpy() for name in LANES])
    order = canonical_order(lanes)
    table = table.take(pa.array(order))
    labels = table.column(names[0]).cast(pa.from_numpy_dtype(rows.label), safe=False).to_numpy()
    return Answers(
        lanes=lanes[:, order],
        labels=labels,
        predictions=_predictions(table, rows, task),
        columns=table.select(names[1:]).rename_columns(list(columns)),
    )


def evaluate_frame_fold(
    description: Mapping[str, Any],
    rows: FrameRows,
    fold: tuple[str, str],
    *,
    metric: Metric,
    task: Task,
    seed: int,
    trusted: Sequence[str] = (),
) -> FrameFoldResult:
    """Fit on the rows of the first condition of a fold, score on those of the second.

    Raises:
        StudyError: The estimator refused to fit or to predict.
        ConfigError: The estimator cannot be built, or has no answer to what the metric needs.
        StoreError: Spark is away.
    """
    started = time.perf_counter()
    fitted = fit_frame(description, rows.take(fold[0]), seed=seed, trusted=trusted)
    answers = predict_frame(fitted, rows.take(fold[1]), task=task)
    value = score(metric, answers.labels, answers.predictions)
    return FrameFoldResult(value, answers.predictions, time.perf_counter() - started, answers.lanes)


def frame_results_fingerprint(results: Sequence[FrameFoldResult]) -> str:
    """Fingerprint of all held-out predictions by row: equal only if each prediction is."""
    tables = []
    for result in results:
        table = result.predictions.to_table()
        for name, values in zip(LANES, result.lanes, strict=True):
            table = table.append_column(name, pa.array(values))
        tables.append(table)
    return fingerprint(pa.concat_tables(tables, promote_options="default"))


def _check_size(rows: FrameRows, columns: Sequence[str]) -> int:
    """The number of rows, if what is said of them may come here: lanes, answer, label, and columns."""
    kept = rows.frame.selectExpr(*map(quoted, (rows.target, *columns)))
    return check_size(kept, most=rows.most, what="predictions", further=_ANSWER_BYTES)


def _check_answers(found: Sequence[str], answers: int, expected: int) -> None:
    if PREDICTION not in found:
        message = f"the model gives no column {PREDICTION!r}"
        fix = "leave predictionCol at its default"
        raise StudyError("RUN040", message, path="model", fix=fix)
    if answers != expected:
        message = f"expected one prediction for each of {expected:,} rows, found {answers:,}"
        fix = "let no step leave out rows (handleInvalid='skip'); fill in what is missing in prepare"
        raise StudyError("RUN040", message, path="model", fix=fix)


def _predictions(table: pa.Table, rows: FrameRows, task: Task) -> Predictions:
    values = table.column(PREDICTION).cast(pa.float64()).to_numpy()
    if task == "regression":
        return Predictions(values)
    if PROBABILITY not in table.column_names:
        return Predictions(values.astype(rows.label))
    probabilities = _vectors(table.column(PROBABILITY))
    numbers: NDArray[Any] = np.arange(probabilities.shape[1]).astype(rows.label)
    return Predictions(values.astype(rows.label), probabilities, tuple(map(_TYPES[rows.label], numbers)))


def _vectors(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """Vectors of Spark, all of one size and dense, as (n, k)."""
    vectors = pa.chunked_array(column).combine_chunks()
    values = vectors.field("values")
    flat = values.flatten().to_numpy()
    return flat.reshape(len(vectors), -1) if len(vectors) else np.empty((0, 0))


@contextlib.contextmanager
def _spark_code(name: str, action: str) -> Iterator[None]:
    """What an estimator raises is the user's to mend, but that Spark is away is not."""
    try:
        with user_code(name, action=action):
            yield
    except StudyError as exc:
        cause = exc.__cause__
        if isinstance(cause, of_spark()) and kind_of(cause) is Kind.UNAVAILABLE:
            raise explained(cause, name) from cause
        raise
