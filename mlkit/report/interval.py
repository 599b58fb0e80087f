"""How sure a score is: as the decision recorded it, else drawn from the stored test predictions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from mlkit.errors import MlkitError
from mlkit.model.evaluation import get_metric
from mlkit.model.interval import Interval, Judged, Unknown, interval_of, why_not
from mlkit.model.predictions import Predictions
from mlkit.workspace import table_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mlkit.engines.base import Engine
    from mlkit.model.evaluation import Metric


def recorded(record: Mapping[str, Any], who: str) -> Mapping[str, Any] | Unknown:
    """What a decision keeps of how sure its comparison is.

    Args:
        record: Of the decision.
        who: ``candidate``, ``champion`` or ``improvement``.
    """
    kept = record.get("intervals", {})
    if who in kept:
        return dict(kept[who])
    if "reason" in kept:
        return Unknown(kept["reason"])
    if record["champion"] is None:
        return Unknown("there was no champion to compare with")
    if record["scores"]["champion_error"]:
        return Unknown("the champion could not be scored")
    return Unknown("it was judged before decisions kept intervals")


def interval_of_candidate(
    record: Mapping[str, Any], read: Callable[[], Judged | Unknown]
) -> Mapping[str, Any] | Unknown:
    """How sure the score of a decision is, on the rows that it was judged on.

    Args:
        record: Of the decision.
        read: Gives its stored test predictions, to draw from where there was nothing to compare with.
    """
    kept = recorded(record, "candidate")
    if not isinstance(kept, Unknown):
        return kept
    judged = read()
    found = interval_of(judged) if isinstance(judged, Judged) else judged
    return found.to_dict() if isinstance(found, Interval) else found


def read_judged(engine: Engine, record: Mapping[str, Any]) -> Judged | Unknown:
    """Read the `test_predictions` of a decision, if they can be judged again here.

    Args:
        engine: Where they are.
        record: Of the decision: `metric`, `direction`, and `table` and `rows` of its `predictions`.
    """
    stored, metric = record["predictions"], record["metric"]
    if unknown := why_not(metric, stored["rows"]):
        return unknown
    try:
        rows = engine.read(table_name(stored["table"])).read_all()
        return _arranged(rows, get_metric(metric, direction=record["direction"]))
    except MlkitError as exc:
        return Unknown(f"the stored test predictions cannot be read: {exc.message} [{exc.code}]")


def constant_score(judged: Judged) -> float | None:
    """The score of the best that can be said without looking at a row: mean, median, or the class shares."""
    labels, answers = judged.labels, judged.answers
    if judged.metric.needs == "probability":
        shares = np.bincount(labels, minlength=answers.shape[1])[: answers.shape[1]] / len(labels)
        said = np.tile(shares, (len(labels), 1))
    elif labels.dtype.kind == "f":
        middle = np.median(labels) if judged.metric.name in ("mae", "mape") else labels.mean()
        said = np.full(len(labels), middle)
    else:
        said = np.full(len(labels), np.bincount(labels).argmax())
    value = Judged(judged.metric, labels, said).score()
    return value if np.isfinite(value) else None


def _arranged(rows: pa.Table, metric: Metric) -> Judged | Unknown:
    chances = [name for name in rows.column_names if name.startswith("probability_")]
    labels, said = rows.column("label"), rows.column("prediction")
    if labels.null_count or said.null_count:
        return Unknown("a label or a prediction is missing")
    if "regression" in metric.tasks:
        numbers = [values.cast(pa.float64()).to_numpy() for values in (labels, said)]
        return Judged(metric, numbers[0], numbers[1])
    seen = sorted({*labels.to_pylist(), *said.to_pylist()}, key=lambda label: (isinstance(label, str), label))
    codes = {label: code for code, label in enumerate(seen)}
    coded = [np.array([codes[label] for label in values.to_pylist()]) for values in (labels, said)]
    if metric.needs == "prediction":
        return Judged(metric, coded[0], coded[1])
    if list(Predictions(coded[1], None, tuple(seen)).probability_columns()) != chances:
        return Unknown("the stored probabilities are not those of the classes seen among the test rows")
    table = np.stack([rows.column(name).to_numpy() for name in chances], axis=1)
    return Judged(metric, coded[0], table)
