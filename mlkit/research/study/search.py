"""A search and everything that its course depends on."""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import json
import warnings
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import optuna

from mlkit.boundary import user_code
from mlkit.errors import ConfigError, StudyError, UsageError
from mlkit.model.references import is_spark_model
from mlkit.model.training import deterministic

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType

    from mlkit.data.split import Folds
    from mlkit.data.split_sql import FrameFolds
    from mlkit.model.spark_training import FrameRows
    from mlkit.model.training import Rows
    from mlkit.research.study.trials import StudySetting

    Search = Callable[[optuna.Trial], Any]
    SamplerFactory = Callable[[int], optuna.samplers.BaseSampler]

WorkerCount: TypeAlias = int | Literal["spark"]
"""How many folds are evaluated at a time; ``spark`` leaves it to the executors of Spark."""

BATCH = 8
"""Trials asked at a time. Part of a study's identity: another size would give other trials."""

MOST_FOLDS = 100


@dataclasses.dataclass(frozen=True)
class Searcher:
    """A search with everything that its course depends on.

    Attributes:
        search: The user's function from trial to unfitted estimator.
        setting: Data, metric and seed.
        rows: The rows a study may see, here or in Spark.
        folds: Their folds.
        sampler: Gives Optuna's sampler for a seed; called once per trial.
        pruner: Optuna's pruner; a study works on a copy of it.
    """

    search: Search
    setting: StudySetting
    rows: Rows | FrameRows
    folds: Folds | FrameFolds
    sampler: SamplerFactory
    pruner: optuna.pruners.BasePruner

    @property
    def identity(self) -> str:
        """sha256 (64 hex) of everything that decides the trials, Optuna's version included."""
        return digest_of(
            {
                **self.setting.to_dict(),
                "batch": BATCH,
                "search": _text(self.search),
                "sampler": _text(self.sampler),
                "pruner": _attributes(self.pruner),
                "optuna": optuna.__version__,
            }
        )


def digest_of(values: object) -> str:
    """sha256 (64 hex) of values as JSON; objects count by their type and attributes."""
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=_attributes).encode()).hexdigest()


def default_sampler(seed: int) -> optuna.samplers.BaseSampler:
    """Optuna's TPE, which keeps the trials of a batch in flight apart."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.TPESampler(seed=seed, constant_liar=True)


def default_pruner() -> optuna.pruners.BasePruner:
    """Stops a trial with no fold so far as good as the median of the complete trials on the latest fold."""
    return optuna.pruners.MedianPruner(n_startup_trials=5)


def asks_for_spark(search: Search, sampler: SamplerFactory) -> bool:
    """Whether a search gives estimators that train on Spark, told by a trial that is thrown away.

    One that fails tells nothing; the study will say why.
    """
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study = optuna.create_study(sampler=sampler(trial_seed(0, 0)))
    finally:
        optuna.logging.set_verbosity(level)
    try:
        with user_code("search"), deterministic(0):
            return is_spark_model(type(search(study.ask())))
    except StudyError:
        return False


def trial_seed(seed: int, number: int) -> int:
    """Seed of the sampler for one trial, in [0, 2**32)."""
    return int.from_bytes(hashlib.sha256(f"mlkit trial {seed} {number}".encode()).digest()[:4], "big")


def _check_search(search: object) -> None:
    """Refuse an estimator, or its class, where a function that gives one is expected.

    Raises:
        ConfigError: CFG009.
    """
    if callable(search) and not isinstance(search, type) and not hasattr(search, "fit"):
        return
    kind = search if isinstance(search, type) else type(search)
    found = f"the class {kind.__name__}" if kind is search else f"a {kind.__name__}"
    example = kind.__name__ if hasattr(kind, "fit") else "Ridge"
    message = f"expected a function from a trial to an unfitted estimator, found {found}"
    raise ConfigError("CFG009", message, path="search", fix=f"lambda trial: {example}(...)")


def check_study(search: object, *, trials: int, cv: int, workers: WorkerCount) -> None:
    """Refuse what no study can be made of, before any row is read.

    Raises:
        ConfigError: `search` is no function of a trial (CFG009).
        UsageError: A number that means nothing (CLI021).
    """
    check_numbers(trials=trials, cv=cv, workers=workers)
    _check_search(search)


def check_numbers(*, trials: int, cv: int, workers: WorkerCount) -> None:
    """Refuse numbers that mean nothing.

    Raises:
        UsageError: Naming the argument.
    """
    check_whole("trials", trials, least=1)
    check_whole("cv", cv, least=2, most=MOST_FOLDS)
    if workers != "spark":
        check_whole("workers", workers, least=1)


def check_whole(name: str, value: int, *, least: int, most: int | None = None) -> None:
    """Refuse what is not a whole number between two limits, themselves included.

    Raises:
        UsageError: Naming the argument.
    """
    whole = isinstance(value, int) and not isinstance(value, bool) and value >= least
    if not whole or (most is not None and value > most):
        limits = f">= {least}" if most is None else f"between {least} and {most}"
        raise UsageError("CLI021", f"expected a whole number {limits}, found {value!r}", path=name)


def _attributes(value: object) -> object:
    """An object as something that does not depend on where it lies in memory."""
    return [type(value).__qualname__, vars(value)] if hasattr(value, "__dict__") else repr(value)


def _text(function: Any) -> str:  # noqa: ANN401 - any callable
    """A function's text; where there is none, what is left of it in memory.

    It need not be everything: what a search really asks for is compared when a study is resumed.
    """
    function = getattr(function, "func", function)  # of a partial
    try:
        return inspect.getsource(function)
    except (OSError, TypeError):
        code = getattr(inspect.unwrap(function), "__code__", None)
        return _compiled(code) if code else f"{type(function).__module__}.{type(function).__qualname__}"


def _compiled(code: CodeType) -> str:
    constants = [repr(value) for value in code.co_consts if isinstance(value, str | int | float | None)]
    return json.dumps([code.co_code.hex(), code.co_names, constants])
