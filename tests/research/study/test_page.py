"""The page of a study: complete in itself, for studies of any shape."""

from __future__ import annotations

import math
import re

import pytest

from mlkit.research.study.page import draw_study
from mlkit.research.study.trials import Study, Trial

IMPORTANCES = {"hour": {"mean": 2.0, "spread": 0.1}, "is_ua": {"mean": math.nan, "spread": math.nan}}
HOSTILE = "<b>a & b</b>"


def nested(number):
    """Parameters that depend on another one, of all types, and trials that are pruned or fail."""
    kind = ("a", "b", None, True)[number % 4]
    params = {"kind": kind, **({"x": 10.0**-number} if kind == "a" else {"n": number})}
    if number % 5 == 4:
        return Trial(number, "pruned", params, None, (), 0.1, {})
    if number % 7 == 6:
        return Trial(number, "failed", params, None, (), 0.1, {}, error=HOSTILE)
    return complete(number, params, 1 / (number + 1))


def complete(number, params, score) -> Trial:
    """A trial of two folds."""
    return Trial(number, "complete", params, score, (score, score), 0.1, {"class": "a.B"})


def page(setting, trials, importances=IMPORTANCES) -> str:
    """The page of a study of these trials."""
    return draw_study(Study(HOSTILE, "run", setting, tuple(trials)), importances)


def test_the_page_asks_nobody_for_anything(setting) -> None:
    """It is small, carries no library, and what people have named is text."""
    text = page(setting, map(nested, range(24)))
    assert not re.search(
        r"""\s(?:src|action|data)=|href=["'](?!#)|<(?:link|iframe|object|img)\b|@import|url\(""", text
    )
    assert HOSTILE not in text
    assert len(text) < 150_000
    titles = re.findall(r"<h2>([^<]*)</h2>", text)
    assert titles == ["Trials", "Features"]
    for said in ("Course: rmse", "Parameters side by side", "rmse by", "that mattered", "Failed trials"):
        assert said in text
    board = text[text.index("Leaderboard") : text.index("Course: rmse")]
    assert board.count("<tr data-key") == 24
    assert "Trial 23 is the best: rmse 0.04167; 24 trials (" in text


@pytest.mark.parametrize("scores", [[1.0], [1.0, 1.0, 1.0]], ids=["one trial", "one score"])
def test_a_study_too_small_for_some_figures_has_the_others(scores, setting) -> None:
    """Without parameters, with one trial, or with the same score everywhere: nothing fails for the want."""
    text = page(setting, (complete(number, {}, score) for number, score in enumerate(scores)), {})
    assert "Course: rmse" in text
    assert "What mattered is said from" in text
    assert "Parameters side by side" not in text
    assert "Nobody asked" in text


def test_of_many_features_the_first_are_drawn(setting) -> None:
    """And it is said that there are more."""
    many = {f"column {place}": {"mean": 1.0, "spread": 0.1} for place in range(50)}
    assert "The first 40 of 50." in page(setting, [complete(0, {}, 1.0)], many)
