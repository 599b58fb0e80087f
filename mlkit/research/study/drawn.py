"""A study drawn, for its own page and for the report: every trial, the course, what mattered, what failed."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from mlkit.page.html import Html, figure, number, selection, table, tag
from mlkit.page.parts import Part, grid, heading, joined, paragraph, plotted
from mlkit.page.plots import (
    Bar,
    Line,
    Point,
    Span,
    bar_plot,
    interval_plot,
    parallel_plot,
    scatter_plot,
    timeline_plot,
)
from mlkit.page.words import counted
from mlkit.research.study.told import FEWEST, failures, is_logarithmic, numbers_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mlkit.page.html import Status
    from mlkit.research.study.told import Told, Tried

MOST_LISTED = 50
"""Trials of a leaderboard and of the parallel plot, the best ones."""

STATUS: Mapping[str, Status] = {"complete": "fine", "pruned": "quiet", "failed": "act"}
"""How each state of a trial is shown."""

MOST_FAILURES = 20
"""Messages of failed trials, the most frequent ones."""

_MOST_DRAWN = 2000  # trials of the course; more are counted in cells anyway
_MOST_SPANS = 200
_MOST_PARAMS = 8  # of leaderboard and parallel plot, those that mattered most
_SLICES = 4
_NAMED = 5  # trials that failed with the same message


def counts(study: Tried) -> str:
    """How many trials there are, and how they ended."""
    states = [f"{study.count(state):,} {state}" for state in STATUS if study.count(state)]
    return f"{counted(len(study.trials), 'trial')} ({', '.join(states)})" if states else "no trials yet"


def course(study: Tried) -> Part | None:
    """The score of each complete trial, and the best so far; None without any."""
    scored = sorted(study.scored, key=lambda trial: trial.number)[-_MOST_DRAWN:]
    if not scored:
        return None
    points = [Point(trial.number, trial.score or 0.0, _label(study, trial), trial.number) for trial in scored]
    steps = study.so_far() if study.direction else []
    lines = []
    if steps:
        x, y = (
            [*(step[0] for step in steps), study.trials[-1].number],
            [*(step[1] for step in steps), steps[-1][1]],
        )
        lines.append(Line("best so far", x, y, stepped=True))
    svg = scatter_plot(
        points, title=f"{study.metric} by trial", x_label="trial", y_label=study.metric, lines=lines
    )
    return plotted(
        svg,
        caption=f"Course: {study.metric} of each complete trial, and the best so far.",
        headers=["trial", f"best {study.metric} so far"],
        rows=[list(step) for step in steps],
    )


def _label(study: Tried, trial: Told) -> str:
    params = ", ".join(f"{name} {_text(value)}" for name, value in list(trial.params.items())[:_MOST_PARAMS])
    return f"trial {trial.number}: {study.metric} {number(trial.score)}; {params}"


def parallel(study: Tried, importances: Mapping[str, Any]) -> Part | None:
    """Parameters side by side, of the best trials; None of fewer than two."""
    shown = study.scored[:MOST_LISTED]
    names = shown_names(study, importances)
    if len(shown) < 2 or not names:  # noqa: PLR2004 - one line shows nothing
        return None
    columns: dict[str, list[float | str | None]] = {
        name: [shown_value(trial.params.get(name)) for trial in shown] for name in names
    }
    columns[study.metric] = [trial.score for trial in shown]
    svg = parallel_plot(
        columns,
        title=f"Parameters and {study.metric} of each trial",
        keys=[trial.number for trial in shown],
        log=[name for name in names if is_logarithmic(numbers_of(shown, name))],
        highest_is_best=None if study.direction is None else study.direction == "maximize",
    )
    most = (
        f"the best {len(shown)} of {len(study.scored):,}"
        if len(study.scored) > len(shown)
        else "all complete"
    )
    caption = f"Parameters side by side, of {most} trials; a line below an axis has no such parameter."
    return _without_numbers(svg, caption)


def _without_numbers(svg: Html, caption: str) -> Part:
    """A plot whose numbers are those of the leaderboard above it."""
    return Part(figure(svg, caption=caption), "")


def slices(study: Tried, importances: Mapping[str, Any]) -> Iterator[Part]:
    """Score by one parameter at a time, for those that mattered most."""
    for name in shown_names(study, importances)[:_SLICES]:
        own = [trial for trial in study.scored if trial.params.get(name) is not None][:_MOST_DRAWN]
        if numbers_of(own, name):
            points = [
                Point(float(trial.params[name]), trial.score or 0.0, _label(study, trial), trial.number)
                for trial in own
            ]
            svg = scatter_plot(points, title=f"{study.metric} by {name}", x_label=name, y_label=study.metric)
            yield _without_numbers(svg, f"{study.metric} by {name}, {counted(len(own), 'trial')}.")
        elif own:
            yield _byshown_value(study, own, name)


def _byshown_value(study: Tried, own: Sequence[Told], name: str) -> Part:
    groups: dict[str, list[float]] = {}
    for trial in own:
        groups.setdefault(_text(trial.params[name]), []).append(trial.score or 0.0)
    bars = [
        Bar(value, sum(scores) / len(scores), min(scores), max(scores), f"n = {len(scores)}")
        for value, scores in groups.items()
    ]
    svg = interval_plot(bars, title=f"{study.metric} by {name}", x_label=study.metric)
    return plotted(
        svg,
        caption=f"{study.metric} by {name}: mean, lowest and highest.",
        headers=[name, "mean", "lowest", "highest", "trials"],
        rows=[[bar.label, bar.value, bar.low, bar.high, bar.note] for bar in bars],
    )


def mattered(study: Tried, importances: Mapping[str, tuple[float, int]]) -> Part:
    """How much each parameter tells of the scores."""
    if not importances:
        said = f"What mattered is said from {FEWEST} complete trials on; there are {len(study.scored)}."
        return paragraph(said)
    bars = [Bar(name, share, note=f"n = {trials}") for name, (share, trials) in importances.items()]
    svg = bar_plot(bars, title="Parameters that mattered", x_label="share of variance")
    return plotted(
        svg,
        caption=(
            f"Parameters that mattered: share of the variance of {study.metric} that bins of one parameter "
            "alone tell, less what chance would. Effects of several together are not in it."
        ),
        headers=["parameter", "share", "trials"],
        rows=[[name, share, trials] for name, (share, trials) in importances.items()],
    )


def timeline(study: Tried) -> Part | None:
    """When each trial ran and how it ended; None where no time is known."""
    known = [trial for trial in study.trials if trial.ended is not None]
    if not known:
        return None
    shown = known[-_MOST_SPANS:]
    spans = packed(shown)
    first = f" The last {len(shown)} of {len(known):,}." if len(known) > len(shown) else ""
    svg = timeline_plot(spans, title="Timeline of trials")
    return plotted(
        svg,
        caption=(
            "Timeline: each bar ends when its trial was recorded and is as long as its fits took; pruned and "
            f"failed trials have signs of their own.{first}"
        ),
        headers=["state", "trials", "seconds of fits"],
        rows=[
            [state, study.count(state), sum(trial.seconds for trial in study.trials if trial.state == state)]
            for state in STATUS
            if study.count(state)
        ],
    )


def packed(trials: Sequence[Told]) -> list[Span]:
    """Spans in as few lanes as they fit into side by side."""
    free: list[dt.datetime] = []
    spans = []
    begun = [(trial.ended - dt.timedelta(seconds=trial.seconds), trial) for trial in trials if trial.ended]
    for start, trial in sorted(begun, key=lambda pair: (pair[0], pair[1].number)):
        end = trial.ended or start
        lane = next((place for place, until in enumerate(free) if until <= start), len(free))
        free[lane : lane + 1] = [end]
        label = f"{trial.number} {trial.state}, {trial.seconds:.1f} s"
        spans.append(Span(str(lane + 1), start, end, label, STATUS[trial.state], trial.number))
    return sorted(spans, key=lambda span: int(span.lane))


def shown_names(study: Tried, importances: Mapping[str, Any]) -> list[str]:
    """Parameters that are shown: those that mattered most first."""
    every = dict.fromkeys(name for trial in study.trials for name in trial.params)
    return [*importances, *(name for name in every if name not in importances)][:_MOST_PARAMS]


def shown_value(value: Any) -> float | str | None:  # noqa: ANN401 - any parameter
    """A parameter as a cell or a place on an axis."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) else _text(value) or None


def _text(value: object) -> str:
    return "" if value is None else number(value) if isinstance(value, float) else str(value)


def study_parts(study: Tried) -> Iterator[Part]:
    """All that is drawn and said of the trials of a study."""
    if not study.trials:
        yield paragraph("No trial has ended yet.")
        return
    if study.direction is None:
        yield paragraph(
            "The study has not ended, and nothing says which scores are better: trials stand as asked."
        )
    importances = study.importances()
    shared = [
        part
        for part in (
            _leaderboard(study, importances),
            course(study),
            parallel(study, importances),
            *slices(study, importances),
        )
        if part is not None
    ]
    code = "[study.trials[number] for number in [{keys}]]"
    yield Part(selection(*(part.html for part in shared), code=code), joined(shared).markdown)
    yield mattered(study, importances)
    when = timeline(study)
    if when is not None:
        yield when
    yield from _failed(study)


def _leaderboard(study: Tried, importances: Mapping[str, Any]) -> Part:
    """The best trials, then those without a score, as rows that can be ticked."""
    ranked = [*study.scored, *(trial for trial in study.trials if trial.score is None)]
    shown = ranked[:MOST_LISTED]
    names = shown_names(study, importances)
    headers = ["trial", study.metric, "spread", "state", "seconds", *names, "model"]
    rows = [
        [
            trial.number,
            trial.score,
            trial.spread,
            trial.state,
            round(trial.seconds, 2),
            *(shown_value(trial.params.get(name)) for name in names),
            trial.model,
        ]
        for trial in shown
    ]
    more = f" The best {len(shown)} of {len(ranked):,}." if len(ranked) > len(shown) else ""
    every = {name for trial in study.trials for name in trial.params}
    hidden = f" {len(every) - len(names)} more parameters are in the JSON." if len(every) > len(names) else ""
    caption = f"Leaderboard, best first; the spread is over folds.{more}{hidden}"
    keys = [trial.number for trial in shown]
    board = table(headers, rows, sortable=True, keys=keys, label="leaderboard")
    html = Html(tag("p", caption, class_="faint") + board)
    return Part(html, f"{caption}\n\n{grid(headers, rows, label='leaderboard').markdown}")


def _failed(study: Tried) -> Iterator[Part]:
    found = failures(study)
    if not found:
        return
    yield heading("Failed trials")
    rows = [
        [
            message,
            len(numbers),
            ", ".join(map(str, numbers[:_NAMED])) + (", ..." if len(numbers) > _NAMED else ""),
        ]
        for message, numbers in found[:MOST_FAILURES]
    ]
    yield grid(["message", "trials", "which"], rows, label="failed trials")
