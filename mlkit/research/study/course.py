"""The loop of a study: ask a batch, evaluate its folds in parallel, tell in order.

Trials are asked in batches of a fixed size, in one thread, each with a sampler seeded from the study's
seed and the trial's number; pruning is decided after each fold for the whole batch. So the course of a
study follows from its seed, whatever the number of workers. A stopped study is replayed from the
start, and what the tracking store already holds is not computed again.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import math
import sys
from typing import TYPE_CHECKING, Any

import optuna
from optuna.trial import TrialState

from mlkit.boundary import user_code
from mlkit.code import code_digest, user_files
from mlkit.console import progress, say
from mlkit.errors import StudyError
from mlkit.failpoints import failpoint
from mlkit.model.estimator import describe, packages_of, references, steps_text
from mlkit.model.folds import predictions_fingerprint
from mlkit.model.spark_estimator import trains_on_spark
from mlkit.model.spark_training import FrameRows
from mlkit.model.training import deterministic
from mlkit.page.words import counted
from mlkit.research.study.search import BATCH, digest_of, trial_seed
from mlkit.research.study.trials import Trial
from mlkit.research.study.workers import job_of, open_pool

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from mlkit.model.training import FoldResult
    from mlkit.research.study.log import TrialLog
    from mlkit.research.study.search import Searcher, WorkerCount
    from mlkit.research.study.trials import State
    from mlkit.research.study.workers import Pool

MAX_ERROR = 500
_NATIVE = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}


def run_course(
    searcher: Searcher, *, trials: int, workers: WorkerCount, log: TrialLog
) -> tuple[optuna.Study, list[Trial]]:
    """Run the first trials of a search; those in the log are not evaluated again.

    Args:
        searcher: The search.
        trials: How many there shall be in all.
        workers: How many folds are evaluated at a time, at most `BATCH`; or ``spark``.
        log: Where ended trials are kept.

    Returns:
        Optuna's study, and every trial in the order they were asked.

    Raises:
        StudyError: All trials failed (RUN013), or a trial is not what it was when it was evaluated (RUN012).
    """
    known = log.known()
    if known:
        say(f"resuming: {sum(number < trials for number in known)} of {trials} trials are known")
    setting = searcher.setting
    job = job_of(searcher)
    ended: list[Trial] = []
    several = workers if workers == "spark" else min(workers, BATCH)
    opened = open_pool(job, several, snapshot=setting.snapshot)
    with opened as pool, progress(f"study of {counted(trials, 'trial')}", trials) as advance:
        course = _Course(searcher, known, pool)
        for first in range(0, trials, BATCH):
            for trial, content in course.batch(range(first, min(first + BATCH, trials))):
                if trial.number not in known:
                    log.write(trial, content)
                ended.append(trial)
                advance(note=course.note)
            _check_some_work(ended)
            failpoint("study.batch_told")
    return course.native, ended


def _check_some_work(ended: Sequence[Trial]) -> None:
    if all(trial.state == "failed" for trial in ended):
        message = f"no trial of {len(ended)} worked; the first: {ended[0].error}"
        fix = "try search on one estimator by hand, then pass resume=False"
        raise StudyError("RUN013", message, path="search", fix=fix)


@dataclasses.dataclass
class _Running:
    """A trial of the batch in flight; `known` holds its results if an earlier process evaluated it."""

    native: optuna.Trial
    known: Mapping[str, Any]
    model: dict[str, Any] = dataclasses.field(default_factory=dict)
    content: str = ""
    state: State | None = None
    error: str = ""
    scores: list[float] = dataclasses.field(default_factory=list)
    results: list[FoldResult] = dataclasses.field(default_factory=list)

    def fail(self, error: str) -> None:
        """End as failed."""
        self.state, self.error = "failed", error[:MAX_ERROR]

    def take(self, result: FoldResult | None, error: str) -> None:
        """Take the outcome of the next fold from a worker."""
        if result is None:
            self.fail(error)
        else:
            self.results.append(result)
            self._record(result.score)

    def replay(self) -> None:
        """Take the outcome of the next fold from what is known."""
        if len(self.scores) < len(self.known["scores"]):
            self._record(self.known["scores"][len(self.scores)])
        else:
            self.state, self.error = self.known["state"], self.known["error"]

    def _record(self, value: float) -> None:
        self.scores.append(value)
        if math.isfinite(value):
            self.native.report(value, len(self.scores) - 1)
        else:
            self.fail(f"fold {len(self.scores) - 1} scored {value}")


class _Course:
    """A search under way, with Optuna's view of it."""

    def __init__(self, searcher: Searcher, known: Mapping[int, Mapping[str, Any]], pool: Pool) -> None:
        self._searcher, self._known, self._pool = searcher, known, pool
        self._setting = searcher.setting
        self._folds = list(searcher.folds.pairs())
        self._code = functools.cache(_code)
        self.native = _native_study(searcher)

    @property
    def note(self) -> str:
        """The best score so far."""
        complete = self.native.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        return f"best {self._setting.metric.name} {self.native.best_value:.6g}" if complete else ""

    def batch(self, numbers: Iterable[int]) -> Iterator[tuple[Trial, str]]:
        """Ask, evaluate and tell the trials of these numbers; each with the digest of its content."""
        running = [self._ask(number) for number in numbers]
        for fold in range(len(self._folds)):
            self._evaluate([each for each in running if each.state is None], fold)
        for each in running:
            trial = self._ended(each)
            self.native.tell(each.native, trial.score, state=_NATIVE[trial.state])
            yield trial, each.content

    def _ask(self, number: int) -> _Running:
        seed = trial_seed(self._setting.seed, number)
        self.native.sampler = self._searcher.sampler(seed)
        running = _Running(self.native.ask(), self._known.get(number, {}))
        try:
            with user_code("search"), deterministic(seed):
                running.model = describe(self._searcher.search(running.native))
        except StudyError as exc:
            running.fail(exc.message)
            if isinstance(exc.__cause__, optuna.TrialPruned):
                running.state, running.error = "pruned", ""
        self._check_place(running.model)
        running.content = self._content(running)
        self._check_same(running, "content", running.content)
        return running

    def _check_place(self, model: Mapping[str, Any]) -> None:
        """Refuse an estimator that cannot train where the rows of this study are."""
        rows_in_spark = isinstance(self._searcher.rows, FrameRows)
        if model and trains_on_spark(model) != rows_in_spark:
            here = "in Spark" if rows_in_spark else "in this process"
            message = f"the rows of this study are {here}, and {steps_text(model)} does not train there"
            fix = "estimators of Spark need a target that has Spark, and a study of their own"
            raise StudyError("RUN024", message, path="search", fix=fix)

    def _content(self, running: _Running) -> str:
        """Digest of what is evaluated: parameters, estimator, and the code behind it."""
        own_metric = [self._setting.metric.name] if ":" in self._setting.metric.name else []
        code = self._code((*references(running.model), *own_metric))
        packages = {name: _version(name) for name in packages_of(running.model)}
        return digest_of([running.native.params, running.model, code, packages])

    def _check_same(self, running: _Running, name: str, found: str) -> None:
        if running.known and running.known[name] != found:
            message = (
                f"trial {running.native.number} is not the one that was evaluated: "
                "search depends on more than its trial, or code of yours or a library has changed"
            )
            raise StudyError("RUN012", message, path="search", fix="pass resume=False to start anew")

    def _evaluate(self, alive: Sequence[_Running], fold: int) -> None:
        """One fold of the whole batch, so that pruning sees the same numbers on any number of workers."""
        fresh = [running for running in alive if not running.known]
        if fresh:
            outcomes = self._pool.evaluate([running.model for running in fresh], self._folds[fold])
            for running, outcome in zip(fresh, outcomes, strict=True):
                running.take(*outcome)
        for running in alive:
            if running.known:
                running.replay()
        if fold + 1 < len(self._folds):
            for running in alive:
                if running.state is None and running.native.should_prune():
                    running.state = "pruned"

    def _ended(self, running: _Running) -> Trial:
        state: State = running.state or "complete"
        self._check_same(running, "state", state)
        complete, known = state == "complete", running.known
        evaluated = complete and not known
        predictions = predictions_fingerprint(self._searcher.folds, running.results) if evaluated else ""
        return Trial(
            number=running.native.number,
            state=state,
            params=dict(running.native.params),
            score=math.fsum(running.scores) / len(running.scores) if complete else None,
            scores=tuple(running.scores),
            seconds=known.get("seconds", sum(result.seconds for result in running.results)),
            model=running.model,
            predictions=known.get("predictions", predictions),
            run_id=known.get("run_id", ""),
            error=running.error,
            setting=self._setting,
        )


def _native_study(searcher: Searcher) -> optuna.Study:
    """Optuna's study in memory; its name is fixed because Hyperband draws brackets from it."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        return optuna.create_study(
            study_name=f"mlkit {searcher.setting.seed}",
            direction=searcher.setting.metric.direction,
            pruner=copy.deepcopy(searcher.pruner),
        )
    finally:
        optuna.logging.set_verbosity(level)


def _code(names: tuple[str, ...]) -> str:
    return code_digest(user_files(names))


def _version(package: str) -> str:
    return str(getattr(sys.modules.get(package), "__version__", ""))
