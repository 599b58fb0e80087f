"""What makes two searches the same study."""

from __future__ import annotations

import dataclasses
import functools
import subprocess
import sys

import optuna
import pytest
from sklearn.linear_model import Lasso, Ridge

from mlkit.errors import UsageError
from mlkit.model.evaluation import get_metric
from mlkit.research.study.search import Searcher, check_numbers, default_pruner, default_sampler, trial_seed

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")


def ridge(trial):
    """A search with a text."""
    return Ridge(trial.suggest_float("alpha", 0, 1))


class Whole:
    """A search that is an object."""

    def __call__(self, trial):
        """Ask."""
        return Ridge()


@pytest.fixture
def identity(setting):
    """A function that gives the identity of a search."""

    def of(search=ridge, *, sampler=default_sampler, pruner=None, **changes):
        changed = dataclasses.replace(setting, **changes)
        return Searcher(search, changed, None, None, sampler, pruner or default_pruner()).identity

    return of


def compiled(text):
    """A function without a text, as of an interactive prompt."""
    return eval(text, {"Ridge": Ridge, "Lasso": Lasso})  # noqa: S307 - that is what a prompt does


def test_the_same_search_has_the_same_identity(identity) -> None:
    """A function, a partial of it, an object, and functions without a text are each themselves."""
    assert identity() == identity(ridge)
    assert identity(functools.partial(ridge)) == identity()
    assert identity(Whole()) == identity(Whole())
    assert identity(compiled("lambda trial: Ridge(1)")) == identity(compiled("lambda trial: Ridge(1)"))


def test_any_change_gives_another_identity(identity) -> None:
    """Text, names, constants, sampler, pruner and what a pruner wraps all count."""
    wrapped = optuna.pruners.PatientPruner
    found = [
        identity(),
        identity(Whole()),
        *(identity(compiled(f"lambda trial: {text}")) for text in ("Ridge(1)", "Lasso(1)", "Ridge(2)")),
        identity(key=()),
        identity(seed=1),
        identity(metric=get_metric("mae")),
        identity(sampler=optuna.samplers.RandomSampler),
        identity(pruner=optuna.pruners.NopPruner()),
        identity(pruner=optuna.pruners.MedianPruner(n_startup_trials=6)),
        identity(pruner=wrapped(optuna.pruners.NopPruner(), patience=1)),
        identity(pruner=wrapped(optuna.pruners.MedianPruner(), patience=1)),
        identity(pruner=wrapped(optuna.pruners.MedianPruner(), patience=2)),
    ]
    assert len(set(found)) == len(found)


def test_an_identity_holds_no_address(identity) -> None:
    """Two pruners of equal settings are one, wherever they lie in memory."""
    wrapped = [optuna.pruners.PatientPruner(optuna.pruners.MedianPruner(), patience=1) for _ in range(2)]
    assert identity(pruner=wrapped[0]) == identity(pruner=wrapped[1])


def test_an_identity_holds_in_every_process() -> None:
    """Hashing is not salted: another process, with other seeds of its own, agrees."""
    script = (
        "from mlkit.research.study.search import digest_of, _text;"
        "import optuna; pruner = optuna.pruners.HyperbandPruner();"
        "print(digest_of([_text(lambda trial: {'a', 'b'}), pruner]))"
    )
    answers = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(answers) == 1


def test_trials_are_seeded_one_by_one() -> None:
    """Seeds differ by study and by number, and never change again."""
    seeds = [trial_seed(seed, number) for seed in range(3) for number in range(100)]
    assert len(set(seeds)) == 300
    assert trial_seed(0, 0) == 1890856056


@pytest.mark.parametrize(
    ("wrong", "path"),
    [
        ({"trials": 0}, "trials"),
        ({"trials": 2.0}, "trials"),
        ({"cv": 1}, "cv"),
        ({"cv": 101}, "cv"),
        ({"workers": 0}, "workers"),
        ({"workers": True}, "workers"),
    ],
)
def test_numbers_that_mean_nothing_are_refused(wrong, path) -> None:
    """The argument is named."""
    with pytest.raises(UsageError) as caught:
        check_numbers(**{"trials": 1, "cv": 2, "workers": 1, **wrong})
    assert (caught.value.code, caught.value.path) == ("CLI021", path)
