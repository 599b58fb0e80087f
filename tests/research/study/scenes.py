"""A small study: flights, estimators of a user's own that count their fits, and a process to be killed."""

from __future__ import annotations

import multiprocessing
import os
import sys
from pathlib import Path

import joblib
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeRegressor

from mlkit import ModelProject, Split

MODELS = '''\
"""Estimators of the user's own."""

import multiprocessing
import os
import random

import numpy as np
from sklearn.linear_model import Ridge


class Counted(Ridge):
    """Leaves the process in which it was fitted, one line each time."""

    def fit(self, X, y):
        with open("fits.txt", "a") as file:
            file.write(f"{os.getpid()}\\n")
        return super().fit(X, y)


class Drawing(Counted):
    """Draws from the generators that a whole process shares."""

    def fit(self, X, y):
        super().fit(X, y)
        self.intercept_ += np.random.normal() + random.random()
        return self


class Broken(Ridge):
    """Ends as `alpha` says: it raises, is interrupted, dies, or predicts nan."""

    def fit(self, X, y):
        if self.alpha == 1:
            raise ValueError("no luck today\\nat all")
        if self.alpha == 2:
            raise KeyboardInterrupt
        if self.alpha == 3 and multiprocessing.current_process().name != "MainProcess":
            os._exit(9)
        return super().fit(X, y)

    def predict(self, X):
        return super().predict(X) * (np.nan if self.alpha == 4 else 1)


def mad(y_true, y_pred):
    """Median absolute deviation."""
    return float(np.median(np.abs(y_true - y_pred)))
'''


def make_project(**changes) -> ModelProject:
    """The project of the flights, with other arguments where they are given."""
    usual = {"target": "delay", "key": "flight_id", "metric": "rmse", "split": Split(test=0.25, seed=7)}
    return ModelProject("flights", **{**usual, **changes})


def linear_or_tree(trial):
    """Two kinds of model, one of them a pipeline."""
    if trial.suggest_categorical("kind", ["linear", "tree"]) == "tree":
        return DecisionTreeRegressor(max_depth=trial.suggest_int("max_depth", 1, 6), max_features=2)
    return make_pipeline(StandardScaler(), Ridge(trial.suggest_float("alpha", 1e-3, 1e3, log=True)))


def counted(trial):
    """A model of the user's own."""
    from my_models import Counted  # noqa: PLC0415 - it lies in the folder of one test

    return Counted(trial.suggest_float("alpha", 1e-3, 1e3, log=True))


def view(study) -> list[str]:
    """What may not depend on workers, stops or time; as text, in which nan equals nan."""
    names = ("number", "state", "params", "score", "scores", "predictions", "error", "model")
    return [repr([getattr(trial, name) for name in names]) for trial in study.trials]


def fits() -> list[str]:
    """Processes in which estimators were fitted, in order, since this was last asked."""
    file = Path("fits.txt")
    found = file.read_text().split() if file.is_file() else []
    file.unlink(missing_ok=True)
    return found


def folds_of(trials) -> int:
    """How many folds of these trials were evaluated."""
    return sum(len(trial.scores) for trial in trials)


def study_elsewhere(
    folder: Path, *, fail: str, target: str = "local", backend: str = "threading", **arguments
) -> int:
    """Run a study of `counted` in another process, with a failpoint set; gives its exit code."""
    context = multiprocessing.get_context("forkserver")
    child = context.Process(target=_study, args=(folder, fail, target, backend, arguments))
    child.start()
    child.join(100)
    return child.exitcode


def _study(folder: Path, fail: str, target: str, backend: str, arguments: dict) -> None:
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    os.environ.update(MLKIT_HOME=str(folder / ".mlkit"), MLKIT_TARGET=target)
    os.environ.update(MLKIT_TEST="1", MLKIT_QUIET="1", MLKIT_TEST_FAIL=fail)
    project = make_project()
    with joblib.parallel_config(backend=backend):
        project.study(counted, project.snapshot("features.flights"), **arguments)
