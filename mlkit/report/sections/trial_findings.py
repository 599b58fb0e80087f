"""What is worth a word about the chosen trial."""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING, Any

import numpy as np

from mlkit.page.html import number
from mlkit.page.words import counted
from mlkit.report.section import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mlkit.report.evaluated import Evaluated
    from mlkit.report.section import Severity
    from mlkit.report.segments import Segmented

ANCHOR = "trial"

_FAR = 3.0  # spreads of the folds between cross-validation and test rows that are worth a word
_LEAK = 0.9  # share of all importance in one column
_WORSE = 2.0  # times the mean loss of a row


def trial_findings(
    chosen: Mapping[str, Any],
    tables: Mapping[str, Any],
    importances: Mapping[str, Any],
    segmented: Sequence[Segmented],
    found: Evaluated | str,
) -> Iterator[Finding]:
    """Findings about the model's answers, its promise and its columns.

    Args:
        chosen: What is known of the trial.
        tables: Its metrics beside those of a constant.
        importances: What it leans on.
        segmented: Its loss by segments.
        found: The test rows with its answers, or why there are none.
    """
    if isinstance(found, str):
        yield Finding(
            "RPT060", "not run", f"the model was not compared with a constant: {found}", None, ANCHOR
        )
    else:
        yield from _against_constant(tables)
        yield from _segments_findings(segmented, found)
    yield from _promise(chosen, tables)
    positive = {name: max(said["mean"], 0.0) for name, said in importances.items()}
    total = math.fsum(positive.values())
    if total > 0 and len(positive) > 1:
        name, most = max(positive.items(), key=lambda item: item[1])
        share = most / total
        severity: Severity = "look" if share > _LEAK else "fine"
        sentence = f"{name} carries {share:.0%} of all importance"
        if share > _LEAK:
            sentence += ": is it known when a row is answered?"
        yield Finding("RPT063", severity, sentence, round(share, 4), ANCHOR)


def _against_constant(tables: Mapping[str, Any]) -> Iterator[Finding]:
    first = tables["rows"][0]
    better_by = first["better_by"]
    if better_by is None:
        sentence = f"{first['metric']} has no value on the test rows"
        yield Finding("RPT060", "not run", sentence, None, ANCHOR)
        return
    said = f"{first['metric']} {number(first['model'])}, a constant {number(first['constant'])}"
    severity: Severity = "fine" if better_by > 0 else "act"
    told = "better than a constant" if better_by > 0 else "no better than a constant"
    yield Finding("RPT060", severity, f"the model is {told}: {said}", better_by, ANCHOR)


def _promise(chosen: Mapping[str, Any], tables: Mapping[str, Any]) -> Iterator[Finding]:
    """Whether the test rows confirm what cross-validation said."""
    scores: Sequence[float] = chosen.get("scores", ())
    rows = {row["metric"]: row for row in tables.get("rows", ())}
    row = rows.get(chosen.get("metric", ""))
    if ":" in chosen.get("metric", ""):
        sentence = f"{chosen['metric']} is your own code, which a report does not run"
        yield Finding("RPT061", "not run", sentence, None, ANCHOR)
    if row is None or row["model"] is None or len(scores) < 2:  # noqa: PLR2004 - one fold has no spread
        return
    mean, spread = statistics.fmean(scores), statistics.stdev(scores)
    worse = row["model"] - mean if row["direction"] == "minimize" else mean - row["model"]
    far = spread > 0 and worse > _FAR * spread
    sentence = (
        f"cross-validation said {row['metric']} {number(mean)} (spread {number(spread)}), "
        f"the test rows say {number(row['model'])}"
    )
    yield Finding("RPT061", "look" if far else "fine", sentence, worse, ANCHOR)


def _segments_findings(segmented: Sequence[Segmented], found: Evaluated) -> Iterator[Finding]:
    name, loss = found.loss
    mean = float(np.mean(loss))
    bad = [
        (each.feature, segment)
        for each in segmented
        for segment in each.segments
        if segment.low > _WORSE * mean
    ]
    if not segmented:
        yield Finding("RPT062", "not run", "no feature has segments of enough rows to compare", None, ANCHOR)
    elif bad:
        feature, worst = max(bad, key=lambda pair: pair[1].loss)
        sentence = (
            f"in one segment of {feature} ({counted(worst.rows, 'row')}) the {name} is "
            f"{worst.loss / mean:.1f} times that of all rows"
        )
        yield Finding("RPT062", "look", sentence, round(worst.loss / mean, 3), ANCHOR)
    else:
        sentence = f"no segment of {counted(len(segmented), 'feature')} has twice the {name} of all rows"
        yield Finding("RPT062", "fine", sentence, None, ANCHOR)
