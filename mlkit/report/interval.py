"""How far a score may be off: a bootstrap over the stored test predictions, with a fixed seed.

Rows are drawn one by one with replacement, so the interval holds if they are independent of each other. It
says how much the score depends on which test rows there are; not how another training would come out.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from mlkit.errors import MlkitError
from mlkit.model.evaluation import get_metric
from mlkit.model.predictions import Predictions
from mlkit.workspace import table_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlkit.engines.base import Engine
    from mlkit.model.evaluation import Metric
    from mlkit.model.gate import Direction

    Array = np.ndarray[Any, Any]

DRAWS = 200
SEED = 0
LEVEL = 0.95
MOST_ROWS = 100_000
"""More test rows are not drawn from: it would take longer than the report."""
_LABEL, _MODEL = "label", "model_key"
_FEWEST = DRAWS // 2  # draws that must have given a number


@dataclasses.dataclass(frozen=True)
class Interval:
    """A score, or a difference of two, and how far it may be off.

    Attributes:
        value: The number on all rows.
        low: 2.5 % of the draws were lower.
        high: 2.5 % of the draws were higher.
        rows: Test rows drawn from.
    """

    value: float
    low: float
    high: float
    rows: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values, with how it was made."""
        return {**dataclasses.asdict(self), "level": LEVEL, "draws": DRAWS, "seed": SEED}


@dataclasses.dataclass(frozen=True)
class Unknown:
    """Why there is no interval."""

    reason: str


@dataclasses.dataclass(frozen=True)
class Judged:
    """Stored test predictions of one model, arranged as its metric takes them.

    Attributes:
        metric: The metric.
        labels: (n,) floats, or codes of classes.
        answers: (n,) floats or codes, or (n, k) probabilities.
        identity: Key columns, by which the rows of two models are told to be the same.
    """

    metric: Metric
    labels: Array
    answers: Array
    identity: pa.Table

    @property
    def rows(self) -> int:
        """How many there are."""
        return len(self.labels)

    def only(self, places: Array) -> Judged:
        """Some of the rows, in this order."""
        identity = self.identity.take(pa.array(places))
        return Judged(self.metric, self.labels[places], self.answers[places], identity)

    def score(self, places: Array | None = None) -> float:
        """The metric over some rows, or all; nan where it has no value."""
        chosen = slice(None) if places is None else places
        try:
            with np.errstate(all="ignore"):
                return float(self.metric.function(self.labels[chosen], self.answers[chosen]))
        except ValueError:  # a ranking of rows that all have one label, for instance
            return float("nan")


def read_judged(
    engine: Engine, stored: Mapping[str, Any], *, metric: str, direction: Direction
) -> Judged | Unknown:
    """Read a `test_predictions` table, if it can be judged again here.

    Args:
        engine: Where it is.
        stored: `table` and `rows` of it, as a decision records them.
        metric: Name of the metric.
        direction: Of the metric.
    """
    if ":" in metric:
        return Unknown(f"{metric} is your own code, which a report does not run")
    if stored["rows"] > MOST_ROWS:
        return Unknown(f"{stored['rows']:,} test rows are more than the {MOST_ROWS:,} that are drawn from")
    try:
        rows = engine.read(table_name(stored["table"])).read_all()
        return _arranged(rows, get_metric(metric, direction=direction))
    except MlkitError as exc:
        return Unknown(f"the stored test predictions cannot be read: {exc.message} [{exc.code}]")


def interval_of(judged: Judged) -> Interval | Unknown:
    """The interval of one score."""
    draws = [judged.score(places) for places in _drawn(judged.rows)]
    return _interval(judged.score(), draws, judged.rows)


def interval_between(candidate: Judged, champion: Judged) -> Interval | Unknown:
    """The interval of the improvement of one model over another, on the rows that both tables hold."""
    pairs = _shared(candidate.identity, champion.identity)
    if not len(pairs):
        return Unknown("the stored test predictions of the two have no row in common")
    a, b = candidate.only(pairs[:, 0]), champion.only(pairs[:, 1])
    sign = 1 if candidate.metric.direction == "maximize" else -1
    draws = [sign * (a.score(places) - b.score(places)) for places in _drawn(len(pairs))]
    return _interval(sign * (a.score() - b.score()), draws, len(pairs))


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
    value = Judged(judged.metric, labels, said, judged.identity).score()
    return value if np.isfinite(value) else None


def _drawn(rows: int) -> list[Array]:
    generator = np.random.default_rng(SEED)
    return [generator.integers(0, rows, rows) for _ in range(DRAWS)]


def _interval(value: float, draws: Sequence[float], rows: int) -> Interval | Unknown:
    known = [draw for draw in draws if np.isfinite(draw)]
    if len(known) < _FEWEST or not np.isfinite(value):
        return Unknown("the metric has no value on most draws of these rows")
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(value, float(low), float(high), rows)


def _arranged(rows: pa.Table, metric: Metric) -> Judged | Unknown:
    chances = [name for name in rows.column_names if name.startswith("probability_")]
    known = [*chances, _LABEL, "prediction", _MODEL]
    identity = rows.select([name for name in rows.column_names if name not in known])
    labels, said = rows.column(_LABEL), rows.column("prediction")
    if labels.null_count or said.null_count:
        return Unknown("a label or a prediction is missing")
    if "regression" in metric.tasks:
        numbers = [values.cast(pa.float64()).to_numpy() for values in (labels, said)]
        return Judged(metric, numbers[0], numbers[1], identity)
    seen = sorted({*labels.to_pylist(), *said.to_pylist()}, key=lambda label: (isinstance(label, str), label))
    codes = {label: code for code, label in enumerate(seen)}
    coded = [np.array([codes[label] for label in values.to_pylist()]) for values in (labels, said)]
    if metric.needs == "prediction":
        return Judged(metric, coded[0], coded[1], identity)
    if list(Predictions(coded[1], None, tuple(seen)).probability_columns()) != chances:
        return Unknown("the stored probabilities are not those of the classes seen among the test rows")
    table = np.stack([rows.column(name).to_numpy() for name in chances], axis=1)
    return Judged(metric, coded[0], table, identity)


def _shared(one: pa.Table, other: pa.Table) -> Array:
    """(n, 2) places of the rows that stand in both; none where they are told apart by other columns."""
    names = one.column_names
    if sorted(names) != sorted(other.column_names) or one.schema != other.select(names).schema:
        return np.empty((0, 2), dtype=np.int64)
    numbered = [
        table.select(names).append_column(place, pa.array(np.arange(table.num_rows)))
        for table, place in ((one, "mlkit_one"), (other, "mlkit_other"))
    ]
    joined = numbered[0].join(numbered[1], names, join_type="inner").sort_by("mlkit_one")
    return np.stack([joined.column(name).to_numpy() for name in ("mlkit_one", "mlkit_other")], axis=1)
