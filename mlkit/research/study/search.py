"""The loop of a study: ask a batch, evaluate its folds in parallel, tell in order.

Trials are asked in batches of a fixed size, in one thread, each with a sampler seeded from the study's
seed and the trial's number; pruning is decided after each fold for the whole batch. So the course of a
study follows from its seed, whatever the number of workers. A stopped study is replayed from the
start, and what the tracking store already holds is not computed again.
"""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import json
import math
import warnings
from typing import TYPE_CHECKING, Any

import joblib
import optuna
from optuna.trial import TrialState

from mlkit.boundary import user_code
from mlkit.console import progress, say
from mlkit.errors import StudyError, UsageError
from mlkit.failpoints import failpoint
from mlkit.model.estimator import describe, packages_of
from mlkit.model.training import deterministic, evaluate_fold, held_out_fingerprint
from mlkit.research.study.trials import Trial, params_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mlkit.console import Advance
    from mlkit.data.split import Folds
    from mlkit.model.training import FoldResult, Rows
    from mlkit.research.study.trials import State, StudySetting, TrialLog

    Search = Callable[[optuna.Trial], Any]
    SamplerFactory = Callable[[int], optuna.samplers.BaseSampler]

BATCH = 8
"""Trials asked at a time. Part of a study's identity: another size would give other trials."""

_NATIVE = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}


@dataclasses.dataclass
class Running:
    """A trial of the batch in flight; `known` holds its results if an earlier process evaluated it."""

    native: optuna.Trial
    model: dict[str, Any]
    known: Mapping[str, Any]
    state: State | None = None
    error: str = ""
    scores: list[float] = dataclasses.field(default_factory=list)
    results: list[FoldResult] = dataclasses.field(default_factory=list)

    def take(self, result: FoldResult | None, error: str) -> None:
        """Take the outcome of the next fold from a worker."""
        if result is None:
            self.state, self.error = "failed", error
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
            self.state, self.error = "failed", f"fold {len(self.scores) - 1} scored {value}"


@dataclasses.dataclass(frozen=True)
class Searcher:
    """A search with everything that its course depends on.

    Attributes:
        search: The user's function from trial to unfitted estimator.
        setting: Data, metric and seed.
        rows: The rows a study may see.
        folds: Their folds.
        sampler: Gives Optuna's sampler for a seed; called once per trial.
        pruner: Optuna's pruner.
    """

    search: Search
    setting: StudySetting
    rows: Rows
    folds: Folds
    sampler: SamplerFactory
    pruner: optuna.pruners.BasePruner

    @property
    def identity(self) -> str:
        """sha256 (64 hex) of everything that decides the trials, Optuna's version included."""
        parts = {
            **self.setting.to_dict(),
            "batch": BATCH,
            "search": _code_digest(self.search),
            "sampler": _code_digest(self.sampler),
            "pruner": [type(self.pruner).__qualname__, repr(sorted(vars(self.pruner).items()))],
            "optuna": optuna.__version__,
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def run(self, trials: int, *, workers: int, log: TrialLog) -> tuple[optuna.Study, list[Trial]]:
        """Run the first `trials` trials of this search; those in the log are not evaluated again."""
        known = log.known()
        if known:
            say(f"resuming: {len([n for n in known if n < trials])} of {trials} trials are known")
        native = _native_study(self.setting.metric.direction, self.pruner)
        title = f"study of {trials} trials"
        ended: list[Trial] = []
        with (
            deterministic(self.setting.seed),
            joblib.Parallel(n_jobs=workers, prefer="threads") as parallel,
            progress(title, trials) as advance,
        ):
            for first in range(0, trials, BATCH):
                batch = [self._ask(native, n, known.get(n, {})) for n in range(first, min(first + BATCH, trials))]
                self._evaluate(batch, parallel)
                ended += self._tell(native, batch, log, advance)
                failpoint("study.batch_told")
        return native, ended

    def _ask(self, native: optuna.Study, number: int, known: Mapping[str, Any]) -> Running:
        native.sampler = self.sampler(trial_seed(self.setting.seed, number))
        trial = native.ask()
        try:
            with user_code("search"):
                estimator = _suggestion(self.search, trial)
                if estimator is None:
                    return Running(trial, {}, known, state="pruned")
                model = describe(estimator)
        except StudyError as exc:
            return Running(trial, {}, known, state="failed", error=exc.message)
        if known and known["params"] != params_text(trial.params)[:2000]:
            message = f"trial {number} now asks for other parameters than the trial that was evaluated"
            fix = "pass resume=False to start anew; search may depend on nothing but its trial"
            raise StudyError("RUN012", message, path="search", fix=fix)
        return Running(trial, model, known)

    def _evaluate(self, batch: Sequence[Running], parallel: joblib.Parallel) -> None:
        """Evaluate fold by fold, so that pruning sees the same numbers on any number of workers."""
        folds = list(self.folds.pairs())
        for number, fold in enumerate(folds):
            alive = [running for running in batch if running.state is None]
            fresh = [running for running in alive if not running.known]
            outcomes = parallel(joblib.delayed(_attempt)(self, running.model, fold) for running in fresh)
            for running, outcome in zip(fresh, outcomes, strict=True):
                running.take(*outcome)
            for running in alive:
                if running.known:
                    running.replay()
            for running in alive:
                if running.state is None and number + 1 < len(folds) and running.native.should_prune():
                    running.state = "pruned"

    def _tell(
        self, native: optuna.Study, batch: Sequence[Running], log: TrialLog, advance: Advance
    ) -> list[Trial]:
        ended = []
        for running in batch:
            trial = self._ended_trial(running)
            native.tell(running.native, trial.score, state=_NATIVE[trial.state])
            if not running.known:
                log.write(trial)
            ended.append(trial)
            advance(note=_note(native, self.setting.metric.name))
        if all(trial.state == "failed" for trial in ended):
            message = f"every trial of a batch failed; the first: {ended[0].error}"
            raise StudyError("RUN013", message, path="search", fix="try search on one estimator by hand")
        return ended

    def _ended_trial(self, running: Running) -> Trial:
        state: State = running.state or "complete"
        complete = state == "complete"
        fresh = complete and not running.known
        predictions = held_out_fingerprint(self.folds, running.results) if fresh else ""
        return Trial(
            number=running.native.number,
            state=state,
            params=dict(running.native.params),
            score=math.fsum(running.scores) / len(running.scores) if complete else None,
            scores=tuple(running.scores),
            seconds=running.known.get("seconds", sum(result.seconds for result in running.results)),
            model=running.model,
            predictions=running.known.get("predictions", predictions),
            run_id=running.known.get("run_id", ""),
            error=running.error,
            setting=self.setting,
        )


def default_sampler(seed: int) -> optuna.samplers.BaseSampler:
    """Optuna's TPE, which keeps the trials of a batch in flight apart."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.TPESampler(seed=seed, constant_liar=True)


def default_pruner() -> optuna.pruners.BasePruner:
    """Stops a trial whose folds so far are worse than the median of the complete trials."""
    return optuna.pruners.MedianPruner(n_startup_trials=5)


def trial_seed(seed: int, number: int) -> int:
    """Seed of the sampler for one trial, in [0, 2**32)."""
    return int.from_bytes(hashlib.sha256(f"mlkit trial {seed} {number}".encode()).digest()[:4], "big")


def check_numbers(*, trials: int, cv: int, workers: int) -> None:
    """Refuse numbers that mean nothing.

    Raises:
        UsageError: Naming the argument.
    """
    for name, value, least in (("trials", trials, 1), ("cv", cv, 2), ("workers", workers, 1)):
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise UsageError("CLI021", f"expected a whole number >= {least}, found {value!r}", path=name)


def _attempt(searcher: Searcher, model: Mapping[str, Any], fold: Any) -> tuple[FoldResult | None, str]:  # noqa: ANN401 - positions
    """Evaluate one fold in a worker; the user's estimator may fail, and then its trial does."""
    setting = searcher.setting
    try:
        result = evaluate_fold(
            model,
            searcher.rows,
            fold,
            metric=setting.metric,
            task=setting.task,
            seed=setting.seed,
            trusted=packages_of(model),
        )
    except StudyError as exc:
        return None, exc.message
    return result, ""


def _suggestion(search: Search, trial: optuna.Trial) -> Any:  # noqa: ANN401 - any estimator
    try:
        return search(trial)
    except optuna.TrialPruned:
        return None


def _native_study(direction: str, pruner: optuna.pruners.BasePruner) -> optuna.Study:
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        return optuna.create_study(direction=direction, pruner=pruner)
    finally:
        optuna.logging.set_verbosity(level)


def _note(native: optuna.Study, metric: str) -> str:
    complete = [trial.value for trial in native.get_trials(deepcopy=False) if trial.state == TrialState.COMPLETE]
    return f"best {metric} {native.best_value:.6g}" if complete else ""


def _code_digest(function: Callable[..., Any]) -> str:
    """sha256 of a function's text (of its byte code where there is no text)."""
    try:
        text = inspect.getsource(function).encode()
    except (OSError, TypeError):
        code = getattr(function, "__code__", None)
        text = code.co_code + repr(code.co_consts).encode() if code else repr(function).encode()
    return hashlib.sha256(text).hexdigest()
