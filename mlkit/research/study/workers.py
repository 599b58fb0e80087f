"""Folds evaluated several at a time, with the results they have one after the other.

Workers are threads of this process, unless `joblib.parallel_config` names another backend (processes,
Dask), or the executors of the Spark that holds the snapshot: whatever travels to a worker can be
pickled. The one thing that threads share are the global random generators; if an estimator draws from
them, folds are evaluated one at a time, each freshly seeded.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import functools
import os
import pickle
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

import cloudpickle
import joblib

from mlkit.code import user_files
from mlkit.console import say
from mlkit.digest.spark_frame import is_spark
from mlkit.errors import ConfigError, MlkitError, StudyError, UsageError
from mlkit.model.estimator import build, packages_of, references
from mlkit.model.spark_training import FrameRows, evaluate_frame_fold
from mlkit.model.training import deterministic, evaluate_fold, native_threads
from mlkit.tracking.models import CODE, carried_code

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from mlkit.data.snapshot import Snapshot
    from mlkit.model.evaluation import Metric, Task
    from mlkit.model.training import FoldResult, Rows
    from mlkit.research.study.search import Searcher, WorkerCount

    Model = Mapping[str, Any]
    Fold = tuple[NDArray[np.intp], NDArray[np.intp]]
    Outcome = tuple[FoldResult | None, str]

# The random generators are those of a whole process, in which a cluster may run several tasks.
_alone = threading.Lock()


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

    def __sizeof__(self) -> int:
        """Bytes of the rows, by which Dask sees that they are worth sending only once."""
        return int(self.rows.frame.memory_usage().sum()) + self.rows.target.nbytes


@dataclasses.dataclass(frozen=True)
class SparkJob:
    """The same where estimators train on Spark: folds are evaluated one after the other.

    Attributes:
        rows: What the study may see, in Spark.
        metric: How predictions are scored.
        task: Kind of prediction.
        seed: Seed of the study.
    """

    rows: FrameRows
    metric: Metric
    task: Task
    seed: int

    def evaluate(self, models: Sequence[Model], fold: tuple[str, str]) -> list[Outcome]:
        """Outcomes in the order of the models.

        Raises:
            StoreError: Spark is away.
        """
        return [self._evaluated(model, fold) for model in models]

    def _evaluated(self, model: Model, fold: tuple[str, str]) -> Outcome:
        try:
            result = evaluate_frame_fold(
                model,
                self.rows,
                fold,
                metric=self.metric,
                task=self.task,
                seed=self.seed,
                trusted=packages_of(model),
            )
        except (StudyError, ConfigError) as exc:
            return None, exc.message
        return result, ""


class Pool(Protocol):
    """What evaluates one fold of several models."""

    def evaluate(self, models: Sequence[Model], fold: Any) -> list[Outcome]:  # noqa: ANN401 - positions, or SQL
        """Outcomes in the order of the models, whatever the number of workers."""
        ...


def job_of(searcher: Searcher) -> Job | SparkJob:
    """What all evaluations of a search share."""
    setting, rows = searcher.setting, searcher.rows
    if isinstance(rows, FrameRows):
        return SparkJob(rows, setting.metric, setting.task, setting.seed)
    return Job(rows, setting.metric, setting.task, setting.seed)


def open_pool(
    job: Job | SparkJob, workers: WorkerCount, *, snapshot: Snapshot
) -> contextlib.AbstractContextManager[Pool]:
    """The workers of a study; where estimators train on Spark, that is parallel enough.

    Args:
        job: What all evaluations share.
        workers: How many at a time, or ``spark`` for the executors of the Spark that holds the snapshot.
        snapshot: Where the rows come from.

    Raises:
        UsageError: Executors are asked for, and the snapshot lies elsewhere (CLI045).
    """
    if isinstance(job, SparkJob):
        return contextlib.nullcontext(job)
    if workers != "spark":
        return Workers(job, workers)
    frame = snapshot.engine.scan(snapshot.table)
    if not is_spark(frame):
        fix = "open a workspace of Spark, or give a number: joblib.parallel_config('dask') spreads that too"
        raise UsageError("CLI045", "this target has no executors of Spark", path="workers", fix=fix)
    return contextlib.nullcontext(Executors(job, frame.sparkSession))


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
            StudyError: A worker process died (RUN016).
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
        except _deaths() as exc:
            fix = "is memory short? take fewer workers, or threads instead of processes"
            raise StudyError("RUN016", "a worker process died", path="workers", fix=fix) from exc
        return outcomes


def _deaths() -> tuple[type[Exception], ...]:
    """How backends say that a worker is gone; whoever chose Dask has loaded it."""
    dask = sys.modules.get("distributed")
    lost = (dask.KilledWorker, dask.comm.CommClosedError) if dask else ()
    # Cancelled is what waits for rows that went with a worker.
    return (concurrent.futures.BrokenExecutor, concurrent.futures.CancelledError, *lost)


def _work(job: Job, model: Model, fold: Fold, home: int, threads: int) -> Outcome:
    """Evaluate in a worker: a thread of the process `home`, or a process of its own."""
    if os.getpid() != home:
        # What an estimator spreads stays here: Dask would give it to threads that wait for `_alone`.
        with _alone, joblib.parallel_config("threading", n_jobs=1):
            return job.evaluate(model, fold, alone=True)
    with native_threads(threads, "openmp"):
        return job.evaluate(model, fold, alone=False)


class Executors:
    """Evaluates one fold of several models as one job of Spark, each on one core of an executor.

    The rows travel with each job, and so does the user's code. The trials are those of any other workers.

    Args:
        job: What all evaluations share.
        session: A Spark session.
    """

    def __init__(self, job: Job, session: Any) -> None:  # noqa: ANN401 - of a library that may not be there
        """Pack what travels each time."""
        self._job, self._session = cloudpickle.dumps(job), session
        self._metric = [job.metric.name] if ":" in job.metric.name else []

    def evaluate(self, models: Sequence[Model], fold: Fold) -> list[Outcome]:
        """Outcomes in the order of the models.

        Raises:
            StudyError: The rows are too many to travel (RUN021), the executors lack this package (RUN022),
                or one died (RUN016).
            StoreError: Spark failed.
        """
        from mlkit.engines.spark.executors import run_on_executors  # noqa: PLC0415 - it needs Spark

        named = {name for model in models for name in references(model)}
        files = user_files([*named, *self._metric])
        code = {path: file.read_bytes() for path, file in files.items()}
        task = functools.partial(_work_elsewhere, self._job, code, fold)
        return run_on_executors(self._session, task, list(models))


def _work_elsewhere(job: bytes, code: Mapping[str, bytes], fold: Fold, model: Model) -> Outcome:
    """Evaluate on an executor: in one thread, with the user's code as it was where the study runs."""
    with _alone, tempfile.TemporaryDirectory(prefix="mlkit-code-") as name:
        for path, content in code.items():
            file = Path(name) / CODE / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        with carried_code(Path(name)):
            evaluated: Job = pickle.loads(job)  # noqa: S301 - packed where the study runs
            with contextlib.suppress(MlkitError):  # told by the evaluation; here it only loads libraries
                build(model, trusted=packages_of(model))
            with native_threads(1, "openmp"):
                return evaluated.evaluate(model, fold, alone=True)
