"""The test rows of the champion with what it said of them, read back from its tables."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from mlkit.errors import MlkitError
from mlkit.model.evaluation import KNOWN, score
from mlkit.model.predictions import Predictions
from mlkit.report.sample import smallest_rows
from mlkit.workspace import table_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlkit.engines.base import Engine
    from mlkit.model.evaluation import Metric
    from mlkit.model.predictions import Class, Task
    from mlkit.report.context import Context
    from mlkit.report.sample import Sample

    Array = np.ndarray[Any, Any]

MOST_ROWS = 100_000
"""Test rows that are looked at; of more, those with the smallest digests."""

_LANES = ("row_lane0", "row_lane1")
_CHANCE = "probability_"
_METRICS: Mapping[str, tuple[str, ...]] = {
    "regression": ("rmse", "mae", "median_absolute_error", "r2"),
    "binary": (
        *("roc_auc", "average_precision", "log_loss", "brier", "accuracy", "balanced_accuracy"),
        *("f1", "precision", "recall"),
    ),
    "multiclass": ("accuracy", "balanced_accuracy", "f1_macro", "log_loss", "roc_auc"),
}
_TAIL = 1e-15  # below which a probability is no smaller, as in `log_loss`


@dataclasses.dataclass(frozen=True, eq=False)
class Evaluated:
    """Test rows with labels and predictions, all in one order.

    Attributes:
        task: Kind of prediction.
        labels: (n,) true values, float64, or classes.
        predictions: What the model said.
        constant: What is best said without looking at a row, by the train rows; for `mae` its median.
        features: (n,) rows, the columns that the model sees.
        said: How many rows these are of how many, in words.
        train_said: The same of the train rows behind `constant`.
    """

    task: Task
    labels: Array
    predictions: Predictions
    constant: Mapping[str, Predictions]
    features: pa.Table
    said: str
    train_said: str

    @property
    def positive(self) -> Class:
        """The positive class of a binary task: the last one."""
        return self.predictions.classes[-1]

    @property
    def chances(self) -> Array | None:
        """(n,) probability of the positive class, or of what was predicted; None without probabilities."""
        table = self.predictions.probabilities
        if table is None:
            return None
        return np.asarray(table[:, -1] if self.task == "binary" else table.max(axis=1))

    @property
    def loss(self) -> tuple[str, Array]:
        """How wrong each prediction was, (n,) float64, and what that is called."""
        if self.task == "regression":
            said = self.predictions.values
            return "mean absolute error", np.abs(self.labels - said)
        table = self.predictions.probabilities
        if table is None:
            wrong = self.labels != self.predictions.values
            return "share of wrong predictions", wrong.astype(np.float64)
        places = {label: place for place, label in enumerate(self.predictions.classes)}
        columns = np.array([places.get(label, -1) for label in self.labels.tolist()])
        chances = np.where(columns < 0, 0.0, table[np.arange(len(columns)), columns])
        return "log loss", -np.log(np.clip(chances, _TAIL, 1.0))

    def scores(self, first: str) -> list[tuple[Metric, float, float]]:
        """Each metric of the task with the score of the model and of the constant, the named one first."""
        names = dict.fromkeys([first, *_METRICS[self.task]])
        chosen = [KNOWN[name] for name in names if name in KNOWN and self.task in KNOWN[name].tasks]
        if self.predictions.probabilities is None:
            chosen = [metric for metric in chosen if metric.needs == "prediction"]
        found = []
        for metric in chosen:
            constant = self.constant[
                "median" if "absolute" in metric.name or metric.name == "mae" else "mean"
            ]
            ours, base = (score(metric, self.labels, each) for each in (self.predictions, constant))
            found.append((metric, ours, base))
        return found


def read_evaluated(context: Context) -> Evaluated | str:
    """The champion's test rows with its predictions, or a sentence that says why there are none."""
    decision = context.explanation.decision if context.explanation else None
    config = context.champion_config
    if context.champion is None:
        return "nothing was deployed yet, so the test rows are still sealed: no model was scored on them"
    if decision is None or config is None:
        return "the records of what serves are not there, so its test rows are not known"
    try:
        return _read(context.engine, decision.record, config)
    except MlkitError as exc:  # cleaned up, damaged or away: the rest of the report can still be made
        return f"the stored test predictions cannot be read: {exc.message} [{exc.code}]"


def _read(engine: Engine, record: Mapping[str, Any], config: Mapping[str, Any]) -> Evaluated | str:
    key = list(record["key"])
    predicted = smallest_rows(
        engine,
        table_name(record["predictions"]["table"]),
        most=MOST_ROWS,
        by=key or _LANES,
        by_value=not key,
    )
    rows = smallest_rows(
        engine,
        table_name(record["test"]["table"]),
        most=MOST_ROWS,
        by=key,
        columns=[*config["features"]],
    )
    train = _train_labels(engine, record, config, key)
    if not predicted.rows.num_rows or predicted.rows.num_rows != rows.rows.num_rows:
        return "the stored test predictions are not of the stored test rows"
    return _arranged(predicted, rows.rows, train, config["task"])


def _train_labels(
    engine: Engine, record: Mapping[str, Any], config: Mapping[str, Any], key: list[str]
) -> Sample:
    """Labels of train rows, from which the constant follows."""
    table = table_name(record["train"]["table"])
    return smallest_rows(engine, table, most=MOST_ROWS, by=key, columns=[config["target"]])


def _arranged(predicted: Sample, features: pa.Table, train: Sample, task: Task) -> Evaluated | str:
    table = predicted.rows
    labels, values = (_values(table.column(name), task) for name in ("label", "prediction"))
    learnt = _values(train.rows.column(0), task)
    if task == "regression":
        said = Predictions(values)
        constant = {
            "mean": Predictions(np.full(len(labels), learnt.mean())),
            "median": Predictions(np.full(len(labels), np.median(learnt))),
        }
        return Evaluated(task, labels, said, constant, features, predicted.said, train.said)
    classes = _classes(table, (*labels.tolist(), *values.tolist(), *learnt.tolist()))
    if not classes:
        return "the stored probabilities are not those of the classes that were seen"
    shares = np.array([(learnt == label).mean() for label in classes])
    most = np.full(len(labels), classes[int(shares.argmax())], dtype=object)
    chances = _chances(table)
    said = Predictions(values, chances, classes)
    best = Predictions(most, np.tile(shares, (len(labels), 1)), classes)
    constant = {"mean": best, "median": best}
    return Evaluated(task, labels, said, constant, features, predicted.said, train.said)


def _values(column: pa.ChunkedArray, task: Task) -> Array:
    if task == "regression":
        return np.asarray(column.cast(pa.float64(), safe=False).to_numpy(), dtype=np.float64)
    return np.array(column.to_pylist(), dtype=object)


def _chances(table: pa.Table) -> Array | None:
    names = [name for name in table.column_names if name.startswith(_CHANCE)]
    return np.stack([table.column(name).to_numpy() for name in names], axis=1) if names else None


def _classes(table: pa.Table, seen: Sequence[Class]) -> tuple[Class, ...]:
    """The classes in the order of the probabilities; none where these cannot be told apart."""
    ordered = tuple(sorted(set(seen), key=lambda label: (isinstance(label, str), label)))
    names = [name for name in table.column_names if name.startswith(_CHANCE)]
    if not names or list(Predictions(np.empty(0), None, ordered).probability_columns()) == names:
        return ordered
    # A class that these rows do not hold, or one that training did not: the names say which were learnt.
    by_name = {f"{_CHANCE}{label}": label for label in ordered}
    return tuple(by_name.get(name, name.removeprefix(_CHANCE)) for name in names) if len(names) > 1 else ()
