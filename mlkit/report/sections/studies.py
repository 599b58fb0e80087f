"""Studies: every trial, what mattered, how the search went, and what failed with which message."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlkit.page.html import Html, number, selection, table, tag
from mlkit.report.parts import Part, folded, grid, heading, joined, paragraph
from mlkit.report.section import Finding, Section
from mlkit.report.sections.study_plots import (
    MOST_LISTED,
    STATUS,
    course,
    mattered,
    parallel,
    shown_names,
    shown_value,
    slices,
    timeline,
)
from mlkit.report.studied import failures, read_study
from mlkit.report.words import counted, moment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mlkit.report.context import Context
    from mlkit.report.section import Severity
    from mlkit.report.studied import Studied

ANCHOR, TITLE = "studies", "Studies"

MOST_STUDIES = 3
"""Studies that are drawn; of others there is a line."""

_FAILURES, _TOP = 20, 5  # messages, and trials that are named for each
_MANY_FAILED = 0.25


def studies_section(context: Context) -> Section | None:
    """The studies of a project, that behind the config first, then the newest; None if there are none."""
    runs = list(context.study_runs)[::-1]
    if not runs:
        return None
    chosen = context.origin.get("study_run_id")
    runs.sort(key=lambda run: run.run_id != chosen)
    drawn = [read_study(context, run) for run in runs[:MOST_STUDIES]]
    parts = [_overview(context, drawn, len(runs))] if len(runs) > 1 else []
    for place, study in enumerate(drawn):
        title = f"{study.run.name}: {_counts(study)}"
        parts.append(folded(title, *_study_parts(study), is_open=place == 0))
    left = len(runs) - len(drawn)
    if left:
        parts.append(
            paragraph(
                f"{counted(left, 'older study', plural='older studies')} not drawn: they are in MLflow."
            )
        )
    whole = joined(parts)
    return Section(
        anchor=ANCHOR,
        title=TITLE,
        summary=_summary(drawn, len(runs)),
        values={"studies": [_values(study) for study in drawn], "of": len(runs)},
        body=whole.html,
        markdown=whole.markdown,
        is_open=True,
        findings=tuple(finding for study in drawn for finding in _findings(study)),
    )


def _summary(drawn: Sequence[Studied], of: int) -> str:
    first = drawn[0]
    best = f"; best {first.metric} {number(first.best.score)}" if first.best else ""
    return f"{counted(of, 'study', plural='studies')}; {first.run.name} has {_counts(first)}{best}"


def _counts(study: Studied) -> str:
    states = [f"{study.count(state):,} {state}" for state in STATUS if study.count(state)]
    return f"{counted(len(study.trials), 'trial')} ({', '.join(states)})" if states else "no trials yet"


def _overview(context: Context, drawn: Sequence[Studied], of: int) -> Part:
    chosen = context.origin.get("study_run_id")
    rows = [
        [
            study.run.name,
            "frozen from it" if study.run.run_id == chosen else study.run.status.lower(),
            moment(study.run.started_at),
            len(study.trials),
            study.metric,
            study.best.score if study.best else None,
            study.best.spread if study.best else None,
            round(sum(trial.seconds for trial in study.trials), 1),
        ]
        for study in drawn
    ]
    headers = ["study", "", "started", "trials", "metric", "best", "spread", "seconds of fits"]
    label = f"{len(drawn)} of {of} studies"
    return grid(headers, rows, label=label, sortable=True)


def _study_parts(study: Studied) -> Iterator[Part]:
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


def _leaderboard(study: Studied, importances: Mapping[str, Any]) -> Part:
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


def _failed(study: Studied) -> Iterator[Part]:
    found = failures(study)
    if not found:
        return
    yield heading("Failed trials")
    rows = [
        [
            message,
            len(numbers),
            ", ".join(map(str, numbers[:_TOP])) + (", ..." if len(numbers) > _TOP else ""),
        ]
        for message, numbers in found[:_FAILURES]
    ]
    yield grid(["message", "trials", "which"], rows, label="failed trials")


def _findings(study: Studied) -> Iterator[Finding]:
    failed, every = study.count("failed"), len(study.trials)
    name = study.run.name
    if failed:
        severity: Severity = "look" if failed > _MANY_FAILED * every else "fine"
        sentence = f"{failed:,} of {counted(every, 'trial')} of {name} failed"
        yield Finding("RPT070", severity, sentence, failed, ANCHOR)
    for parameter, end in study.at_edge():
        sentence = f"the best trials of {name} lie at the {end} end of what was tried of {parameter}"
        yield Finding("RPT071", "look", sentence, parameter, ANCHOR)


def _values(study: Studied) -> dict[str, Any]:
    best = study.best
    return {
        "name": study.run.name,
        "run_id": study.run.run_id,
        "status": study.run.status,
        "started_at": study.run.started_at.isoformat(),
        "metric": study.metric,
        "direction": study.direction,
        "trials": {state: study.count(state) for state in STATUS},
        "best": None
        if best is None
        else {"trial": best.number, "score": best.score, "params": dict(best.params)},
        "leaderboard": [
            {
                "trial": trial.number,
                "score": trial.score,
                "spread": trial.spread,
                "params": dict(trial.params),
            }
            for trial in study.scored[:MOST_LISTED]
        ],
        "importances": {name: share for name, (share, _) in study.importances().items()},
        "failures": [
            {"message": message, "trials": numbers} for message, numbers in failures(study)[:_FAILURES]
        ],
    }
