"""Rows of the prediction log made of checked values, by a plan made once for a model.

The rows are those of `mlkit.production.prediction_log.log_rows`; a single one takes a tenth of the time. Only
`row_id` differs where a project has a key and a request came without it: then no label can be joined by row,
and the position in the request tells its rows apart.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from mlkit.production.prediction_log import INPUT, INSTANT, STAMPS, input_type
from mlkit.production.scorer import PREDICTION

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlkit.model.predictions import Predictions
    from mlkit.production.scorer import Scorer
    from mlkit.production.service.plan import Plan

_BIGINT, _TEXT = pa.int64(), pa.string()


class LogPlan:
    """How answers of one model become rows of the log."""

    def __init__(self, scorer: Scorer, plan: Plan) -> None:
        """Make what is the same in all rows."""
        self._scorer, self._plan = scorer, plan
        contract = scorer.contract
        self._inputs = {
            name: (contract.columns[name], input_type(contract.columns[name])) for name in scorer.inputs
        }
        self._same = {
            "version": pa.scalar(scorer.version, _BIGINT),
            "model_id": pa.scalar(scorer.model_id, _TEXT),
            "seq": pa.scalar(scorer.seq, _BIGINT),
            "source": pa.scalar("serve", _TEXT),
            "batch": pa.scalar("", _TEXT),  # the segment, which its reader knows
        }

    def rows(
        self,
        columns: Mapping[str, list[Any]],
        predictions: Predictions,
        *,
        request_id: Sequence[str],
        event_time: Sequence[int],
        sizes: Sequence[int],
        traffic: str,
    ) -> pa.Table:
        """Rows of requests that have the same columns and traffic.

        Args:
            columns: Checked values of all of them, one after the other.
            predictions: Of all of them.
            request_id: Of each request.
            event_time: Of each request, microseconds since 1970.
            sizes: Rows of each request.
            traffic: Of all of them.

        Returns:
            (sum of sizes,) rows as `log_rows` makes them.
        """
        count = sum(sizes)
        found = {
            **{name: pa.repeat(value, count) for name, value in self._same.items()},
            "request_id": pa.array(np.repeat(np.array(request_id, dtype=object), sizes), _TEXT),
            "row_id": self._row_ids(columns, sizes),
            "event_time": pa.array(np.repeat(np.array(event_time, dtype=np.int64), sizes), INSTANT),
            "logged_at": pa.repeat(pa.scalar(time.time_ns() // 1000, INSTANT), count),
            "traffic": pa.repeat(pa.scalar(traffic, _TEXT), count),
        }
        ordered = {name: found[name] for name in STAMPS.names}
        inputs = {INPUT + name: self._input(name, columns[name]) for name in self._inputs}
        return pa.table({**ordered, **self._answers(predictions), **inputs})

    def _row_ids(self, columns: Mapping[str, list[Any]], sizes: Sequence[int]) -> pa.Array:
        scorer = self._scorer
        names = scorer.key or scorer.features
        if all(name in columns for name in names):
            return scorer.row_ids(self._plan.table({name: columns[name] for name in names}))
        return pa.array([f"{row:032x}" for size in sizes for row in range(size)], _TEXT)

    def _answers(self, predictions: Predictions) -> dict[str, pa.Array]:
        values = predictions.values
        if self._scorer.task != "regression":
            texts = [str(value) for value in values.tolist()]
            found = {PREDICTION: pa.array(texts, _TEXT)}
        else:
            found = {PREDICTION: pa.array(values)}
        if predictions.probabilities is not None:
            names = enumerate(predictions.probability_columns())
            found |= {name: pa.array(predictions.probabilities[:, k]) for k, name in names}
        return found

    def _input(self, name: str, values: list[Any]) -> pa.Array:
        column, kind = self._inputs[name]
        array = pa.array(values, type=column.arrow_type)
        if column.kind == "decimal":  # by way of text: Arrow's own cast is not correctly rounded
            return array.cast(_TEXT).cast(kind)
        return array if array.type == kind else array.cast(kind, safe=False)
