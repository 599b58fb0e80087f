"""The chosen trial: how good it is beside no model at all, where it is wrong, and what it leans on."""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING, Any

from mlkit.model.evaluation import better
from mlkit.page.html import number
from mlkit.page.parts import Part, facts, grid, heading, joined, paragraph, plotted
from mlkit.page.plots import Bar, bar_plot
from mlkit.page.words import counted, gain
from mlkit.report.chosen import read_chosen, read_importances
from mlkit.report.evaluated import Evaluated, read_evaluated
from mlkit.report.section import Section
from mlkit.report.sections.trial_findings import ANCHOR, trial_findings
from mlkit.report.sections.trial_plots import SHOWN, answer_parts, segment_parts
from mlkit.report.segments import by_segment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mlkit.report.context import Context
    from mlkit.report.segments import Segmented

TITLE = "Chosen trial"

_SHOWN_FEATURES = 20


def trial_section(context: Context) -> Section | None:
    """What serves as its test rows show it; before any deployment, what cross-validation said.

    None if nothing was ever studied, frozen or deployed.
    """
    chosen = read_chosen(context)
    found = read_evaluated(context)
    if not chosen and isinstance(found, str):
        return None
    importances, why_not = read_importances(context, chosen)
    tables = {} if isinstance(found, str) else _tables(found, chosen.get("metric", ""))
    segmented = [] if isinstance(found, str) else by_segment(found.features, found.loss[1])
    answers = [paragraph(f"No plots of answers: {found}.")] if isinstance(found, str) else answer_parts(found)
    wrong = [] if isinstance(found, str) else segment_parts(segmented, found)
    parts = [
        facts(_said(chosen, found)),
        *_folds(chosen),
        *([_metrics(tables)] if tables else []),
        *answers,
        *_importance_parts(importances, why_not, chosen),
        *wrong,
    ]
    findings = tuple(trial_findings(chosen, tables, importances, segmented, found))
    whole = joined(parts)
    return Section(
        anchor=ANCHOR,
        title=TITLE,
        summary=_summary(chosen, tables),
        values=_values(chosen, tables, importances, segmented, found),
        body=whole.html,
        markdown=whole.markdown,
        is_open=True,
        findings=findings,
    )


def _said(chosen: Mapping[str, Any], found: Evaluated | str) -> dict[str, object]:
    trial = f"{chosen['trial']} of study {chosen['study']}" if chosen.get("study") else None
    looks = chosen.get("test_looks")
    told = f"looked at {counted(looks, 'time')}" if looks else "never looked at"
    before = None if looks is None else f"{told} while exploring"
    return {
        "model": f"`{chosen['model']}`" if chosen.get("model") else None,
        "trial": f"{trial} (the config was edited since)" if trial and chosen["edited"] else trial,
        "parameters": ", ".join(
            f"{name} = {_short(value)}" for name, value in chosen.get("params", {}).items()
        ),
        "sealed test rows": before,
        "shown below": found.said if isinstance(found, Evaluated) else None,
    }


def _short(value: object) -> str:
    return number(value) if isinstance(value, float) else str(value)


def _folds(chosen: Mapping[str, Any]) -> Iterator[Part]:
    scores: Sequence[float] = chosen.get("scores", ())
    if len(scores) > 1:
        folds = ", ".join(number(score) for score in scores)
        mean, spread = statistics.fmean(scores), statistics.stdev(scores)
        yield paragraph(
            f"Cross-validation on train rows: {chosen['metric']} **{number(mean)}** "
            f"(spread of the folds {number(spread)}; {folds})."
        )


def _tables(found: Evaluated, metric: str) -> dict[str, Any]:
    rows = [
        {
            "metric": spec.name,
            "direction": spec.direction,
            "model": _finite(ours),
            "constant": _finite(base),
            "better_by": _finite(better(spec, ours, base)),
        }
        for spec, ours, base in found.scores(metric)
    ]
    return {"rows": rows, "on": found.said, "constant_from": found.train_said}


def _metrics(tables: Mapping[str, Any]) -> Part:
    """Each metric beside that of what is best said without looking at a row."""
    arrows = {"minimize": "lower", "maximize": "higher"}
    lines = [
        [
            row["metric"],
            row["model"],
            row["constant"],
            _gained(row["better_by"]),
            f"{arrows[row['direction']]} is better",
        ]
        for row in tables["rows"]
    ]
    headers = ["metric", "this model", "a constant instead", "gain", ""]
    return joined(
        [
            heading("Against no model at all"),
            grid(headers, lines, label="metrics of this model and of a constant"),
            paragraph(
                f"On {tables['on']}. The constant is the mean, median or share of classes of train rows "
                f"({tables['constant_from']}).",
                kind="faint",
            ),
        ]
    )


def _gained(better_by: float | None) -> str | None:
    return None if better_by is None else gain(better_by)


def _importance_parts(
    importances: Mapping[str, Any], why_not: str, chosen: Mapping[str, Any]
) -> Iterator[Part]:
    yield heading("What it leans on")
    if not importances:
        yield paragraph(f"No importances: {why_not}.")
        return
    names = list(importances)[:_SHOWN_FEATURES]
    bars = [_bar(name, importances[name]) for name in names]
    more = f" The first {len(names)} of {len(importances)}." if len(importances) > len(names) else ""
    metric = chosen["metric"]
    yield plotted(
        bar_plot(bars, title=f"Loss of {metric} when a column is shuffled", x_label=f"loss of {metric}"),
        caption=(
            f"How much worse {metric} is when one column is shuffled: mean of three shuffles and their "
            f"spread, on train rows, of the model of the study.{more}"
        ),
        headers=["column", "mean", "spread"],
        rows=[[name, said["mean"], said["spread"]] for name, said in importances.items()],
    )


def _bar(name: str, said: Mapping[str, float]) -> Bar:
    spread = said["spread"] or 0.0
    return Bar(name, said["mean"], said["mean"] - spread, said["mean"] + spread)


def _summary(chosen: Mapping[str, Any], tables: Mapping[str, Any]) -> str:
    if tables:
        first = tables["rows"][0]
        if first["model"] is not None and first["constant"] is not None:
            return f"{first['metric']} {number(first['model'])}; a constant has {number(first['constant'])}"
    score = chosen.get("score")
    said = f"cross-validation said {chosen['metric']} {number(score)}" if score is not None else ""
    return f"{said}; not scored on test rows yet" if said else "not scored on test rows yet"


def _values(
    chosen: Mapping[str, Any],
    tables: Mapping[str, Any],
    importances: Mapping[str, Any],
    segmented: Sequence[Segmented],
    found: Evaluated | str,
) -> dict[str, Any]:
    segments = [
        {
            "feature": each.feature,
            "variance_told": round(each.told, 6),
            "segments": [vars(segment) for segment in each.segments],
        }
        for each in segmented[:SHOWN]
    ]
    return {
        "trial": dict(chosen),
        "metrics": list(tables.get("rows", ())),
        "rows": found.said if isinstance(found, Evaluated) else None,
        "not_scored": found if isinstance(found, str) else "",
        "importances": dict(importances),
        "loss": found.loss[0] if isinstance(found, Evaluated) else None,
        "segments": segments,
    }


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
