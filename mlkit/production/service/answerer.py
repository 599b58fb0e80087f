"""One version as it answers here: rows in, predictions out, and what goes to the log."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from mlkit.model.predictions import Predictions, predict_settled, use_one_thread
from mlkit.production.service.log_plan import LogPlan
from mlkit.production.service.plan import Plan

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from concurrent.futures import Future

    from mlkit.production.service.batching import Job
    from mlkit.production.service.holder import Served
    from mlkit.production.service.spool import Spool


class ServedAnswerer:
    """Answers with the model that served when the request came in.

    Attributes:
        served: The model.
        plan: How requests become its frames.
    """

    def __init__(self, served: Served, spool: Spool | None) -> None:
        """Make the plan; without a spool nothing is logged."""
        scorer = served.scorer
        self.served, self._spool = served, spool
        self.plan = Plan(scorer.contract, scorer.features, scorer.key)
        self._log_plan = LogPlan(scorer, self.plan)
        use_one_thread(scorer.estimator)

    @property
    def batchable(self) -> bool:
        """Whether rows are answered in a batch with the same bits as alone."""
        return self.served.batchable

    def predict(self, columns: Mapping[str, list[Any]]) -> Predictions:
        """What the model says of checked rows.

        Raises:
            StudyError: The estimator raised, or answered in a wrong shape.
        """
        scorer = self.served.scorer
        frame = self.plan.frame(columns)
        with scorer.code():
            return predict_settled(scorer.estimator, frame, task=scorer.task)

    def log(self, jobs: Sequence[Job], predictions: Sequence[Predictions]) -> Future[None] | None:
        """Hand answers to the log.

        Raises:
            SpoolFullError: There is no room for them.
        """
        if self._spool is None:
            return None
        groups: dict[tuple[Any, ...], list[tuple[Job, Predictions]]] = {}
        for job, one in zip(jobs, predictions, strict=True):
            groups.setdefault((job.traffic, *job.columns), []).append((job, one))
        tables = [self._rows(*zip(*group, strict=True)) for group in groups.values()]
        return self._spool.write(pa.concat_tables(tables) if len(tables) > 1 else tables[0])

    def _rows(self, jobs: Sequence[Job], predictions: Sequence[Predictions]) -> pa.Table:
        """Rows of the log, of requests with the same columns and traffic."""
        columns = {
            name: list(itertools.chain.from_iterable(job.columns[name] for job in jobs))
            for name in jobs[0].columns
        }
        return self._log_plan.rows(
            columns,
            _together(predictions),
            request_id=[job.request_id for job in jobs],
            event_time=[job.event_time for job in jobs],
            sizes=[job.rows for job in jobs],
            traffic=jobs[0].traffic,
        )


def _together(parts: Sequence[Predictions]) -> Predictions:
    if len(parts) == 1:
        return parts[0]
    values = np.concatenate([part.values for part in parts])
    some = [part.probabilities for part in parts if part.probabilities is not None]
    return Predictions(values, np.concatenate(some) if some else None, parts[0].classes)
