"""Studies in a report: every trial, what mattered, what failed and why, and caps that are said."""

from __future__ import annotations

import dataclasses
import datetime as dt
import math

import numpy as np
import pytest

from mlkit.production.stores import Stores
from mlkit.report.context import open_context
from mlkit.report.sections import studies as section_of
from mlkit.report.sections.studies import studies_section
from mlkit.report.studied import Studied, read_study
from mlkit.research.study import told as studied
from mlkit.research.study.drawn import packed
from mlkit.research.study.told import Told, failures
from mlkit.tracking.runs import RunRecord


def told(section):
    """What a section says, as plain values."""
    return section.to_dict()["values"]


@pytest.fixture(scope="module")
def context(lived):
    """The project that has lived; its study has six trials, of which one fails."""
    return open_context(Stores(lived.workspace, lived.name))


@pytest.fixture(scope="module")
def section(context):
    """Its section."""
    return studies_section(context)


def test_every_trial_is_there_and_the_best_comes_first(section, context) -> None:
    """With the state it ended in; the best is that of the study's own record."""
    (study,) = told(section)["studies"]
    document = context.document(study["run_id"], "study.json")
    scores = [trial["score"] for trial in document["trials"] if trial["score"] is not None]
    assert [row["score"] for row in study["leaderboard"]] == sorted(scores)
    assert study["best"]["score"] == min(scores)
    assert sum(study["trials"].values()) == 6
    assert study["trials"]["failed"] == 1


def test_what_a_study_shows(section) -> None:
    """Leaderboard, course, axes side by side, slices and timeline; one selection, which is code."""
    for said in ("Leaderboard, best first", "Course: rmse", "Parameters side by side", "rmse by", "Timeline"):
        assert said in section.body
    assert "[study.trials[number] for number in [" in section.body
    assert "plotly" not in section.body
    assert section.body.count("<svg") >= 4


def test_failures_stand_with_their_message(section) -> None:
    """And which trials they were; so they do in Markdown and JSON."""
    (study,) = told(section)["studies"]
    (failed,) = study["failures"]
    assert failed["trials"] == [1]
    assert "this one cannot be made" in failed["message"]
    assert "this one cannot be made" in section.markdown
    (finding,) = (each for each in section.findings if each.code == "RPT070")
    assert (finding.severity, finding.value) == ("fine", 1)


def test_no_study_no_section(home) -> None:
    """And looking makes nothing."""
    from mlkit import open_workspace  # noqa: PLC0415 - after the fixture has set the scene

    assert studies_section(open_context(Stores(open_workspace(), "nothing"))) is None


def test_a_study_that_never_ended_is_told_by_its_children(lived, context) -> None:
    """Scores are the same; only what is better is not known there."""
    (run,) = context.study_runs
    whole = read_study(context, run)
    hidden = dataclasses.replace(context)
    object.__setattr__(hidden, "document", lambda run_id, path: None)
    left = read_study(hidden, run)
    assert [trial.score for trial in left.trials] == pytest.approx(
        [trial.score for trial in whole.trials], nan_ok=True
    )
    assert [trial.state for trial in left.trials] == [trial.state for trial in whole.trials]
    assert (left.direction, left.best, left.metric) == (None, None, "rmse")
    assert all(trial.ended is not None for trial in (*left.trials, *whole.trials))


# --------------------------------------------------------------------------------- of many trials


def made(count, *, direction="minimize", score=None):
    """A study of `count` trials whose score follows from one of three parameters; every tenth fails."""
    generator = np.random.default_rng(0)
    began = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    trials = []
    for number in range(count):
        params = {
            "rate": float(10 ** generator.uniform(-4, 0)),
            "depth": int(generator.integers(1, 9)),
            "kind": str(generator.choice(["a", "b"])),
        }
        state = "failed" if number % 10 == 9 else "pruned" if number % 10 == 8 else "complete"
        value = (score or (lambda params: abs(math.log10(params["rate"]) + 2)))(params)
        ended = began + dt.timedelta(seconds=2 * number)
        trials.append(
            Told(
                number=number,
                state=state,
                params=params,
                score=value if state == "complete" else None,
                spread=0.1 if state == "complete" else None,
                seconds=3.0,
                error=f"error {number % 20}" if state == "failed" else "",
                ended=ended,
            )
        )
    run = RunRecord("r", "wide", "FINISHED", {}, {}, {}, began)
    return Studied("rmse", direction, tuple(trials), run)


def test_what_mattered_comes_first() -> None:
    """The share of variance that a parameter alone tells; nothing is said of few trials."""
    found = made(200).importances()
    assert next(iter(found)) == "rate"
    assert found["rate"][0] > 0.7
    assert max(found["depth"][0], found["kind"][0]) < 0.1
    assert made(10).importances() == {}


def test_the_best_so_far_only_gets_better() -> None:
    """In the metric's direction."""
    for direction, sign in (("minimize", 1), ("maximize", -1)):
        study = made(50, direction=direction)
        steps = [sign * score for _, score in study.so_far()]
        assert steps == sorted(steps, reverse=True)
        assert sign * study.best.score == steps[-1]


def test_a_range_that_is_too_narrow_is_said() -> None:
    """Where all of the best lie at one end of what was tried, on the axis that fits."""
    assert made(400, score=lambda params: params["rate"]).at_edge() == [("rate", "lower")]
    assert made(400, direction="maximize", score=lambda params: params["rate"]).at_edge() == [
        ("rate", "upper")
    ]
    assert made(400).at_edge() == []


def test_failures_are_grouped_by_message() -> None:
    """The most frequent first."""
    found = failures(made(60))
    assert [(message, len(numbers)) for message, numbers in found] == [("error 9", 3), ("error 19", 3)]


def test_many_trials_are_capped_and_the_caps_are_said(context, monkeypatch) -> None:
    """A thousand trials make a page of a few hundred kilobytes; JSON has the best only, too."""
    monkeypatch.setattr(section_of, "read_study", lambda context, run: made(1000))
    section = studies_section(context)
    assert "The best 50 of 1,000." in section.body
    assert "of the best 50 of 800 trials" in section.body
    assert "The last 200 of 1,000." in section.body
    assert len(told(section)["studies"][0]["leaderboard"]) == 50
    assert len(section.body) < 600_000
    assert "error 9" in section.markdown


def test_trials_that_ran_together_stand_in_lanes_of_their_own() -> None:
    """No two spans of a lane overlap."""
    spans = packed(made(30).trials)
    lanes = {}
    for span in sorted(spans, key=lambda span: span.start):
        assert lanes.get(span.lane, span.start) <= span.start
        lanes[span.lane] = span.end
    assert len(lanes) == 2


def test_numbers_far_apart_are_logarithmic() -> None:
    """And texts are no numbers."""
    study = made(100)
    assert studied.is_logarithmic(studied.numbers_of(study.trials, "rate"))
    assert not studied.is_logarithmic(studied.numbers_of(study.trials, "depth"))
    assert studied.numbers_of(study.trials, "kind") == []
