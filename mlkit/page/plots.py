"""Plots as SVG that needs no script: every mark has a text, every plot a name.

A plot is as wide as its place; its texts keep their size, so it is readable on a phone and on paper. Colours
are variables of ``style.css``. Numbers are aggregated before they get here, or here: many points are counted
in cells, and of a long line the lowest and highest of each part are drawn.
"""

from __future__ import annotations

from mlkit.page.axes import Rule
from mlkit.page.bars import Bar, bar_plot, heat_table, histogram_pair, interval_plot
from mlkit.page.curves import Line, Point, line_plot, scatter_plot, spark_line
from mlkit.page.lanes import Span, parallel_plot, timeline_plot

__all__ = [
    "Bar",
    "Line",
    "Point",
    "Rule",
    "Span",
    "bar_plot",
    "heat_table",
    "histogram_pair",
    "interval_plot",
    "line_plot",
    "parallel_plot",
    "scatter_plot",
    "spark_line",
    "timeline_plot",
]
