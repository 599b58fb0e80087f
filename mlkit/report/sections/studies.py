"""Studies: every trial, what mattered, how the search went, and what failed with which message."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlkit.page.html import number
from mlkit.page.parts import Part, folded, grid, joined, paragraph
from mlkit.page.words import counted, moment
from mlkit.report.section import Finding, Section
from mlkit.report.studied import read_study
from mlkit.research.study.drawn import MOST_FAILURES, MOST_LISTED, STATUS, counts, study_parts
from mlkit.research.study.told import failures

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlkit.report.context import Context
    from mlkit.report.section import Severity
    from mlkit.report.studied import Studied

ANCHOR, TITLE = "studies", "Studies"

MOST_STUDIES = 3
"""Studies that are drawn; of others there is a line."""

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
        title = f"{study.run.name}: {counts(study)}"
        parts.append(folded(title, *study_parts(study), is_open=place == 0))
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
    return f"{counted(of, 'study', plural='studies')}; {first.run.name} has {counts(first)}{best}"


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
            {"message": message, "trials": numbers} for message, numbers in failures(study)[:MOST_FAILURES]
        ],
    }
