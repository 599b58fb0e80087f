"""Folds evaluated several at a time, with the results they have one after the other.

Workers are threads of this process, unless `joblib.parallel_config` names another backend: whatever
travels to a worker can be pickled. The one thing that threads share are the global random generators;
if an estimator draws from them, folds are evaluated one at a time, each freshly seeded.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import os
from typing import TYPE_CHECKING, Any, Self

import joblib

from mlkit.console import say
from mlkit.errors import ConfigError, StudyError
from mlkit.model.estimator import packages_of
from mlkit.model.training import deterministic, evaluate_fold, native_threads

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from mlkit.model.evaluation import Metric, Task
    from mlkit.model.training import FoldResult, Rows

    Model = Mapping[str, Any]
    Fold = tuple[NDArray[np.intp], NDArray[np.intp]]
    Outcome = tuple[FoldResult | None, str]


@dataclasses.dataclass(frozen=True)
class Job:
    """What all evaluations of a study share.

    Attributes:
        rows: What the study may see.
        metric: How predictions are scored.
        task: Kind of prediction.
        seed: Seed of the study.
    """

    rows: Rows
    metric: Metric
    task: Task
    seed: int

    def evaluate(self, model: Model, fold: Fold, *, alone: bool) -> Outcome:
        """The result of one fold, or why there is none: an estimator may fail, and then its trial does."""
        try:
            result = evaluate_fold(
                model,
                self.rows,
                fold,
                metric=self.metric,
                task=self.task,
                seed=self.seed,
                trusted=packages_of(model),
                alone=alone,
            )
        except (StudyError, ConfigError) as exc:
            return None, exc.message
        return result, ""


class Workers:
    """Evaluates one fold of several models at a time.

    Args:
        job: What all evaluations share.
        count: How many at a time.
    """

    def __init__(self, job: Job, count: int) -> None:
        """Nothing is started yet."""
        self._job = job
        self._one_by_one = count == 1
        self._parallel = joblib.Parallel(n_jobs=count, prefer="threads")
        self._threads = max(1, joblib.cpu_count() // count)

    def __enter__(self) -> Self:
        """Start the workers."""
        self._parallel.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        """Stop the workers."""
        self._parallel.__exit__(*error)

    def evaluate(self, models: Sequence[Model], fold: Fold) -> list[Outcome]:
        """Outcomes in the order of the models, whatever the number of workers.

        Raises:
            StudyError: A worker process died.
        """
        if not self._one_by_one:
            with deterministic(self._job.seed) as drawn:
                outcomes = self._together(models, fold)
                self._one_by_one = drawn()
            if not self._one_by_one:
                return outcomes
            say("an estimator draws from the global random generators: folds are evaluated one at a time")
        return [self._job.evaluate(model, fold, alone=True) for model in models]

    def _together(self, models: Sequence[Model], fold: Fold) -> list[Outcome]:
        tasks = [
            joblib.delayed(_work)(self._job, model, fold, os.getpid(), self._threads) for model in models
        ]
        try:
            outcomes: list[Outcome] = self._parallel(tasks)
        except concurrent.futures.BrokenExecutor as exc:
            fix = "is memory short? take fewer workers, or threads instead of processes"
            raise StudyError("RUN016", "a worker process died", path="workers", fix=fix) from exc
        return outcomes


def _work(job: Job, model: Model, fold: Fold, home: int, threads: int) -> Outcome:
    """Evaluate in a worker: a thread of the process `home`, or a process of its own."""
    if os.getpid() != home:
        return job.evaluate(model, fold, alone=True)
    with native_threads(threads, "openmp"):
        return job.evaluate(model, fold, alone=False)
