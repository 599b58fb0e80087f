"""Trials and their ranking."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest

from mlkit.errors import StudyError
from mlkit.model.evaluation import get_metric
from mlkit.research.study.trials import Study, Trial

RIDGE = {"class": "sklearn.linear_model.Ridge", "params": {"alpha": 0.5}}


def trial(number, scores=(), state="complete", **more) -> Trial:
    """A trial that ended so."""
    score = sum(scores) / len(scores) if state == "complete" else None
    return Trial(number, state, {"model": number}, score, tuple(scores), 0.5, RIDGE, **more)


@pytest.fixture
def study(setting) -> Study:
    """Two complete trials that tie, one that is worse, one pruned, one failed."""
    trials = (
        trial(0, (3.0, 5.0)),
        trial(1, (1.0,), "pruned"),
        trial(2, (2.0, 2.0)),
        trial(3, (math.nan,), "failed", error="fold 0 scored nan"),
        trial(4, (1.0, 3.0)),
    )
    return Study("small", "run", setting, trials, reused=2)


def test_the_best_is_the_first_of_equals_in_either_direction(study) -> None:
    """Only complete trials count."""
    assert study.best.number == 2
    accuracy = dataclasses.replace(study.setting, metric=get_metric("accuracy"))
    assert dataclasses.replace(study, setting=accuracy).best.number == 0


def test_without_a_complete_trial_there_is_no_best(study) -> None:
    """The first reason is passed on."""
    with pytest.raises(StudyError, match="fold 0 scored nan") as caught:
        _ = dataclasses.replace(study, trials=study.trials[1:2] + study.trials[3:4]).best
    assert caught.value.code == "RUN011"


def test_the_leaderboard_ranks_every_trial(study) -> None:
    """Best first, in the direction of the metric, those without a score last; a parameter hides no column."""
    board = study.leaderboard()
    assert board["trial"].tolist() == [2, 4, 0, 1, 3]
    assert board["rmse"].tolist()[:3] == [2.0, 2.0, 4.0]
    assert board["rmse"].isna().tolist() == [False, False, False, True, True]
    assert board["spread"].tolist()[:3] == [0.0, np.std([1, 3], ddof=1), np.std([3, 5], ddof=1)]
    assert board["model"].tolist() == ["Ridge(alpha=0.5)"] * 5
    assert board["params_model"].tolist() == board["trial"].tolist()
    accuracy = dataclasses.replace(study.setting, metric=get_metric("accuracy"))
    assert dataclasses.replace(study, setting=accuracy).leaderboard()["trial"].tolist() == [0, 2, 4, 1, 3]


def test_a_single_fold_has_no_spread() -> None:
    """A study with validation rows scores once."""
    assert trial(0, (3.0,)).spread is None
    assert trial(0, (3.0, 3.0)).spread == 0


def test_texts_say_what_comes_next(study) -> None:
    """A study shows its top, a trial what it was; both say what to type."""
    text = repr(study)
    assert "5 trials (3 complete, 1 pruned, 1 failed, 2 of them known from before)" in text
    assert "next    project.freeze(study.best" in text
    assert "test rows stay sealed" in text
    assert repr(study.best).startswith("Trial 2")
    assert "project.evaluate(trial)" in repr(study.best)
    assert "failed fold 0 scored nan" in repr(study.trials[3])
    assert "freeze" not in repr(study.trials[3])
    page = dataclasses.replace(study, name="<script>")._repr_html_()
    assert "<script>" not in page
    assert page.count("<tr") == 6


def test_plain_values_are_json(study) -> None:
    """A score that is no number becomes null; nothing else is lost."""
    values = json.loads(json.dumps(study.to_dict(), allow_nan=False))
    assert [each["scores"] for each in values["trials"]] == [[3, 5], [1], [2, 2], [None], [1, 3]]
    assert values["trials"][3]["error"] == "fold 0 scored nan"
    assert values["setting"]["key"] == ["flight_id"]
    assert values["setting"]["direction"] == "minimize"
    assert values["reused"] == 2
