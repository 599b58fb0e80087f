"""The page of a study: complete in itself, for studies of any shape."""

from __future__ import annotations

from html.parser import HTMLParser

import optuna
import pytest

from mlkit.research.study.page import draw_study
from mlkit.research.study.trials import Study, Trial

IMPORTANCES = {"hour": {"mean": 2.0, "spread": 0.1}, "is_ua": {"mean": float("nan"), "spread": float("nan")}}


class Reader(HTMLParser):
    """Collects what a browser would ask others for, headings, and the scripts."""

    def __init__(self) -> None:
        """Nothing is read yet."""
        super().__init__()
        self.asked, self.headings, self.scripts, self._inside = [], [], [], ""

    def handle_starttag(self, tag, attrs):
        """What a tag points to."""
        self._inside = tag
        self.asked += [value for name, value in attrs if name in ("src", "href", "action", "data")]
        if tag in ("link", "iframe", "object", "img"):
            self.asked.append(tag)

    def handle_endtag(self, tag):
        """Text that follows is of no interest."""
        self._inside = ""

    def handle_data(self, data):
        """Headings and scripts."""
        if self._inside == "h2":
            self.headings.append(data)
        elif self._inside == "script":
            self.scripts.append(data)


def page(search, trials, setting) -> str:
    """The page of an Optuna study and of the same as ours."""
    native = optuna.create_study(direction="minimize", sampler=optuna.samplers.RandomSampler(0))
    native.optimize(search, n_trials=trials)
    ours = tuple(
        Trial(trial.number, "complete", trial.params, trial.value, (trial.value,), 0.1, {"class": "a.B"})
        if trial.value is not None
        else Trial(trial.number, "pruned", trial.params, None, (), 0.1, {})
        for trial in native.trials
    )
    return draw_study(native, Study("<b>a & b</b>", "run", setting, ours), IMPORTANCES)


def read(text) -> Reader:
    """The page as a browser reads it."""
    reader = Reader()
    reader.feed(text)
    return reader


@pytest.fixture(autouse=True)
def _quiet_optuna():
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield
    optuna.logging.set_verbosity(before)


def nested(trial):
    """Parameters that depend on another one, of all types, and trials that are pruned."""
    kind = trial.suggest_categorical("kind", ["a", "b", None, True])
    if trial.number % 4 == 3:
        raise optuna.TrialPruned
    if kind == "a":
        return trial.suggest_float("x", 1e-3, 1, log=True)
    return trial.suggest_int("n", 1, 5) / 10


def test_the_page_asks_nobody_for_anything(setting) -> None:
    """The drawing library is inlined, exactly once; names are escaped; every trial is in the table."""
    text = page(nested, 12, setting)
    reader = read(text)
    assert reader.asked == []
    assert len([script for script in reader.scripts if len(script) > 1_000_000]) == 1
    assert "<b>" not in text.partition("<script")[0]
    assert text.count("<tr") == 12 + 1
    assert reader.headings == [
        "Feature importances (permutation, train rows)",
        "Course",
        "Parameters, side by side",
        "Parameters, one by one",
        "Parameters that mattered",
        "Timeline",
        "All trials",
    ]


@pytest.mark.parametrize(
    ("search", "trials"),
    [(lambda _: 1.0, 1), (lambda trial: trial.suggest_float("x", 0, 1), 1), (lambda _: 1.0, 3)],
    ids=["no parameter", "one trial", "one score"],
)
def test_a_study_too_small_for_some_figures_has_the_others(search, trials, setting) -> None:
    """Importances of parameters need several scores; nothing fails for the want of them."""
    headings = read(page(search, trials, setting)).headings
    assert "Course" in headings
    assert "Parameters that mattered" not in headings
