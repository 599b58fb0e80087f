"""Measures what a tracked study costs over the bare Optuna study of the same search.

Run by hand: ``python tests/benchmarks/study.py [trials]``. Both ask the same sampler and fit the same
folds; the bare one keeps nothing, the tracked one a run per trial, the refitted best model, importances and
a page. A study of twice the trials tells the cost of a trial from the cost of a study. All figures are CPU
time, the least of several rounds, so that a busy machine disturbs them little.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import optuna
import pandas as pd
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold, cross_val_score

from mlkit import ModelProject, open_workspace
from mlkit.research.study.search import default_sampler

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlkit import Snapshot

TRIALS = 40
ROWS = 1000
FOLDS = 5
ROUNDS = 5


def flights() -> pd.DataFrame:
    """Rows with a key, eight features and a label."""
    random = np.random.default_rng(0)
    frame = pd.DataFrame({f"feature{number}": random.normal(size=ROWS) for number in range(8)})
    label = frame.sum(axis=1) + random.normal(size=ROWS)
    return frame.assign(flight_id=np.arange(ROWS), label=label)


def ridge(trial: optuna.Trial) -> Ridge:
    """A cheap estimator."""
    return Ridge(trial.suggest_float("alpha", 1e-3, 1e3, log=True))


def forest(trial: optuna.Trial) -> RandomForestRegressor:
    """A dearer one."""
    return RandomForestRegressor(
        n_estimators=10, max_depth=trial.suggest_int("max_depth", 2, 8), random_state=0
    )


def bare(search: Callable[[optuna.Trial], Any], rows: pd.DataFrame, trials: int) -> None:
    """Cross-validation inside an objective, nothing kept."""
    frame, labels = rows.drop(columns=["flight_id", "label"]), rows["label"]
    folds = KFold(FOLDS, shuffle=True, random_state=0)
    study = optuna.create_study(sampler=default_sampler(0))
    study.optimize(
        lambda trial: (
            -cross_val_score(
                search(trial), frame, labels, cv=folds, scoring="neg_root_mean_squared_error"
            ).mean()
        ),
        n_trials=trials,
    )


def tracked(
    project: ModelProject, search: Callable[[optuna.Trial], Any], snapshot: Snapshot, trials: int
) -> None:
    """The same as a study."""
    project.study(search, snapshot, trials=trials, cv=FOLDS, resume=False, pruner=optuna.pruners.NopPruner())


def least(jobs: dict[str, Callable[[], None]]) -> dict[str, float]:
    """The least CPU seconds of each job, taken in turns; those of the thread that writes runs count."""
    seconds = dict.fromkeys(jobs, float("inf"))
    for _ in range(ROUNDS):
        for name, job in jobs.items():
            start = time.process_time()
            job()
            seconds[name] = min(seconds[name], time.process_time() - start)
    return seconds


def report(project: ModelProject, search: Callable[[optuna.Trial], Any], trials: int) -> None:
    """Print the figures of one search."""
    snapshot = project.snapshot(flights())
    train = project.split(snapshot).train.to_pandas()
    seconds = least(
        {
            "bare": lambda: bare(search, train, trials),
            "once": lambda: tracked(project, search, snapshot, trials),
            "twice": lambda: tracked(project, search, snapshot, 2 * trials),
        }
    )
    plain, each = seconds["bare"] / trials, (seconds["twice"] - seconds["once"]) / trials
    figures = {
        "bare Optuna, a trial": plain,
        "tracked, a trial": each,
        "  over bare": each - plain,
        "tracked, a study": seconds["once"] - trials * each,
        "whole, bare": seconds["bare"],
        "whole, tracked": seconds["once"],
    }
    sys.stdout.write(f"{search.__name__}: {trials} trials x {FOLDS} folds of {snapshot.rows:,} rows\n")
    for name, spent in figures.items():
        sys.stdout.write(f"  {name:22} {1000 * spent:9.1f} ms\n")


def main(trials: int = TRIALS) -> None:
    """Measure a cheap and a dearer estimator."""
    os.environ["MLKIT_QUIET"] = "1"
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        workspace = open_workspace(home=Path(folder))
        project = ModelProject("bench", target="label", key="flight_id", metric="rmse", workspace=workspace)
        for search in (ridge, forest):
            report(project, search, trials)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
