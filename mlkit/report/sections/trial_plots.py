"""What the chosen trial answers, drawn: residuals or curves, confusion, calibration, error by segment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mlkit.page.html import number, tag
from mlkit.page.parts import Part, grid, heading, paragraph, plain, plotted
from mlkit.page.plots import Bar, Line, Rule, heat_table, histogram_pair, interval_plot, line_plot
from mlkit.page.words import counted
from mlkit.report.curves import (
    calibration_error,
    confusion,
    histogram,
    precision_recall,
    reliability,
    roc,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlkit.report.curves import Bin, Curve, Histogram
    from mlkit.report.evaluated import Evaluated
    from mlkit.report.segments import Segmented

    Array = np.ndarray[Any, Any]


SHOWN = 4
"""Features whose segments are drawn."""


def answer_parts(found: Evaluated) -> Iterator[Part]:
    """Plots of labels against answers, those that the task has."""
    yield heading("Answers and labels")
    if found.task == "regression":
        yield from _regression(found)
        return
    if found.chances is None:
        yield paragraph("No curves and no calibration: the model gives no probabilities.")
    elif found.task == "binary":
        yield from _binary(found)
    else:
        yield from _multiclass(found)
    yield _confusion(found)


def segment_parts(segmented: Sequence[Segmented], found: Evaluated) -> Iterator[Part]:
    """Loss by segment, for the `SHOWN` features that tell most about it."""
    yield heading("Where it is wrong")
    shown, of = segmented[:SHOWN], len(segmented)
    if not shown:
        yield paragraph("No segments: no feature has two groups of 30 rows.")
        return
    name, loss = found.loss
    mean = float(np.mean(loss))
    chosen = f"the {len(shown)} that tell most" if of > len(shown) else "all that have segments"
    yield paragraph(
        f"{name.capitalize()} by segment, for {chosen} of {counted(of, 'feature')}; segments of fewer "
        "than 30 rows are told together."
    )
    for each in shown:
        yield Part(tag("h4", each.feature), f"**{plain(each.feature)}**")
        bars = [Bar(one.label, one.loss, one.low, one.high, f"n = {one.rows:,}") for one in each.segments]
        yield plotted(
            interval_plot(
                bars,
                title=f"{name} by {each.feature}",
                x_label=name,
                rules=[Rule(mean, "all rows", upright=True)],
            ),
            caption=f"{name.capitalize()} by `{each.feature}`, which tells {each.told:.1%} of the variance; "
            "95 % intervals.",
            headers=[each.feature, "rows", name, "low", "high"],
            rows=[[one.label, one.rows, one.loss, one.low, one.high] for one in each.segments],
        )


def _regression(found: Evaluated) -> Iterator[Part]:
    said = found.predictions.values
    constant = found.constant["mean"].values
    residuals = histogram(constant - found.labels, said - found.labels)
    yield _pair(
        residuals,
        names=("a constant", "this model"),
        title="Residuals: predicted less actual",
        caption="Residuals (predicted less actual), as shares of the rows, of a constant and of this model.",
    )
    bins = reliability(said, found.labels, share=False)
    yield _bins(
        bins,
        title="Mean label by predicted value",
        caption="Mean label by predicted value, bins of equally many rows, 95 % intervals: on the dashed "
        "line the model is right on average.",
        labels=("predicted", "mean label"),
    )


def _binary(found: Evaluated) -> Iterator[Part]:
    chances = found.chances
    positive = found.labels == found.positive
    if chances is None or positive.all() or not positive.any():
        yield paragraph("No curves: the test rows are all of one class.")
        return
    share = float(positive.mean())
    curve = roc(positive, chances)
    yield _curve(
        curve,
        title="ROC",
        caption=f"ROC: area {number(curve.area)}; the dashed line is chance.",
        labels=("share of negatives taken for positive", "share of positives found"),
        chance=((0.0, 1.0), (0.0, 1.0)),
    )
    curve = precision_recall(positive, chances)
    yield _curve(
        curve,
        title="Precision and recall",
        caption=f"Precision by recall: average {number(curve.area)}; the dashed line is the share of "
        f"positives, {share:.1%}.",
        labels=("recall", "precision"),
        chance=((0.0, 1.0), (share, share)),
    )
    yield from _calibration(chances, positive, what=f"share of `{found.positive}`")
    spread = histogram(chances[~positive], chances[positive], span=(0.0, 1.0))
    yield _pair(
        spread,
        names=("others", str(found.positive)),
        title="Probabilities by class",
        caption=f"Probability of `{found.positive}`, as shares of each class: the farther apart, the better.",
    )


def _multiclass(found: Evaluated) -> Iterator[Part]:
    chances = found.chances
    if chances is not None:
        right = found.labels == found.predictions.values
        yield from _calibration(chances, right, what="share that is right")
    rows: list[list[Any]] = []
    for place, label in enumerate(found.predictions.classes):
        own = found.labels == label
        table = found.predictions.probabilities
        if table is None or own.all() or not own.any():
            rows.append([str(label), int(own.sum()), None, None])
            continue
        chance = table[:, place]
        rows.append([str(label), int(own.sum()), roc(own, chance).area, precision_recall(own, chance).area])
    rows.sort(key=lambda row: -row[1])
    yield grid(
        ["class", "rows", "ROC area against the rest", "average precision"],
        rows,
        label="each class against the rest",
        sortable=True,
    )


def _calibration(chances: Array, was: Array, *, what: str) -> Iterator[Part]:
    bins = reliability(chances, was.astype(np.float64), share=True)
    off = calibration_error(bins)
    yield _bins(
        bins,
        title="Calibration",
        caption=f"Calibration: {what} by probability, bins of equally many rows, 95 % intervals; off by "
        f"{off:.3f} on average.",
        labels=("mean probability", what.replace("`", "")),
    )


def _confusion(found: Evaluated) -> Part:
    names, counts = confusion(found.labels.tolist(), found.predictions.values.tolist())
    table = heat_table(names, counts, title="Confusion: rows by actual and predicted class")
    lines = [[name, *row] for name, row in zip(names, counts, strict=True)]
    said = grid(["actual", *(f"predicted {name}" for name in names)], lines, label="confusion")
    return Part(table, said.markdown)


def _curve(
    curve: Curve,
    *,
    title: str,
    caption: str,
    labels: tuple[str, str],
    chance: tuple[tuple[float, float], tuple[float, float]],
) -> Part:
    drawn = line_plot(
        [Line("this model", curve.x, curve.y), Line("chance", *chance, dashed=True)],
        title=title,
        x_label=labels[0],
        y_label=labels[1],
    )
    rows = [[x, y] for x, y in zip(curve.x, curve.y, strict=True)]
    return plotted(drawn, caption=caption, headers=list(labels), rows=rows[:: max(1, len(rows) // 20)])


def _bins(bins: Sequence[Bin], *, title: str, caption: str, labels: tuple[str, str]) -> Part:
    x, y = [each.predicted for each in bins], [each.actual for each in bins]
    ends = (min(x), max(x))
    drawn = line_plot(
        [
            Line("this model", x, y, [one.low for one in bins], [one.high for one in bins], dots=True),
            Line("right", ends, ends, dashed=True),
        ],
        title=title,
        x_label=labels[0],
        y_label=labels[1],
    )
    rows = [[one.predicted, one.actual, one.low, one.high, one.rows] for one in bins]
    return plotted(drawn, caption=caption, headers=[*labels, "low", "high", "rows"], rows=rows)


def _pair(counted_: Histogram, *, names: tuple[str, str], title: str, caption: str) -> Part:
    first, second = counted_.counts
    drawn = histogram_pair(counted_.labels, first, second, title=title, names=names)
    rows = [list(row) for row in zip(counted_.labels, first, second, strict=True)]
    return plotted(drawn, caption=caption, headers=["bin", *names], rows=rows)
