"""What a scoring run says of itself."""

from __future__ import annotations

import dataclasses
import html
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from mlkit.model.evaluation import Task

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_SAMPLED_ROWS = 512  # of each chunk: a run of any length is summed up in little memory
_MOST_CLASSES = 10


class Scored(NamedTuple):
    """Rows that were answered, what the answers are like, and whether they were added to the log."""

    rows: int
    summary: Mapping[str, float]
    added: bool


@dataclasses.dataclass(frozen=True)
class ScoreReport:
    """The outcome of a scoring run.

    Attributes:
        model: The project.
        version: The version that answered.
        model_id: Its model, by MLflow's id.
        run_id: Name of this run in the prediction log.
        source: Where the rows came from.
        rows: Rows that were answered.
        logged: Rows that were added to the prediction log; 0 if the run was there already.
        output: Where the answers are beside the log; empty where nobody asked for that.
        seconds: Wall time.
        summary: `mean` and quantiles of a regression, else the share of each class.
        notes: What is worth knowing beside.
    """

    model: str
    version: int
    model_id: str
    run_id: str
    source: str
    rows: int
    logged: int
    output: str = ""
    seconds: float = 0.0
    summary: Mapping[str, float] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def rows_per_second(self) -> float:
        """Rows that were answered in a second of wall time, model and log included."""
        return self.rows / self.seconds if self.seconds else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as ``--json`` prints them."""
        return {**dataclasses.asdict(self), "rows_per_second": round(self.rows_per_second)}

    def __repr__(self) -> str:
        """What was answered, where it is, and what to do next."""
        speed = f"{self.rows_per_second:,.0f} rows/s"
        lines = [f"{self.rows:,} rows scored  {self.model} v{self.version}  in {self.seconds:.1f} s  {speed}"]
        lines.append(f"  source  {self.source}")
        if self.summary:
            told = "  ".join(f"{name} {value:.6g}" for name, value in self.summary.items())
            lines.append(f"  answers {told}")
        lines.append(f"  log     {self.logged:,} rows as {self.run_id}")
        if self.output:
            lines.append(f"  output  {self.output}")
        lines += [f"  note: {note}" for note in self.notes]
        return "\n".join([*lines, f"  next    mlkit monitor {self.model}"])

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(repr(self))}</pre>"


class Summary:
    """Sums up predictions as they pass, in little memory."""

    def __init__(self, task: Task) -> None:
        """Nothing has passed."""
        self.rows = 0
        self._is_number = task == "regression"
        self._total = 0.0
        self._sample: list[NDArray[np.float64]] = []
        self._classes: dict[str, int] = {}

    def add(self, predictions: pa.ChunkedArray) -> None:
        """Take in the predictions of a chunk."""
        self.rows += len(predictions)
        if self._is_number:
            values = predictions.to_numpy()
            self._total += float(values.sum())
            self._sample.append(values[:: max(1, len(values) // _SAMPLED_ROWS)])
            return
        for found in pc.value_counts(predictions).to_pylist():
            name = str(found["values"])
            self._classes[name] = self._classes.get(name, 0) + found["counts"]

    def values(self) -> dict[str, float]:
        """`mean` and, of an even sample, quantiles; or the shares of the most frequent classes."""
        if not self.rows:
            return {}
        if self._is_number:
            sample = np.concatenate(self._sample)
            quantiles = np.quantile(sample, QUANTILES).tolist()
            return {"mean": self._total / self.rows, **named(quantiles)}
        return shares(self._classes)


def named(quantiles: Sequence[float]) -> dict[str, float]:
    """Values of `QUANTILES` by name."""
    return {f"p{round(100 * at)}": value for at, value in zip(QUANTILES, quantiles, strict=True)}


def shares(counts: Mapping[str, int]) -> dict[str, float]:
    """The share of each class, the most frequent first."""
    rows = sum(counts.values())
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:_MOST_CLASSES]
    return {name: count / rows for name, count in ranked}
