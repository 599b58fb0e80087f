"""Drift: has what a model says, or what it is asked, changed since it was trained?

The front of four rooms: bins that are fixed at training, whole counts that add up, a test of two sets of
counts, and the verdict on a window.
"""

from __future__ import annotations

from mlkit.data.drift_baseline import BINS_FILE, Baseline, read_baseline, read_bins
from mlkit.data.drift_bins import SAMPLE_ROWS, Bins, make_bins
from mlkit.data.drift_counts import Counts, count, count_stream
from mlkit.data.drift_effects import Moved
from mlkit.data.drift_power import in_deviations, smallest_shift
from mlkit.data.drift_tests import ASSUMPTION, Comparison, compare
from mlkit.data.drift_verdict import (
    INPUT_PREFIX,
    OUTPUT,
    PROBABILITY_PREFIX,
    ColumnVerdict,
    DriftVerdict,
    WindowVerdict,
    adjusted,
    judge_window,
    levels,
)

__all__ = [
    "ASSUMPTION",
    "BINS_FILE",
    "INPUT_PREFIX",
    "OUTPUT",
    "PROBABILITY_PREFIX",
    "SAMPLE_ROWS",
    "Baseline",
    "Bins",
    "ColumnVerdict",
    "Comparison",
    "Counts",
    "DriftVerdict",
    "Moved",
    "WindowVerdict",
    "adjusted",
    "compare",
    "count",
    "count_stream",
    "in_deviations",
    "judge_window",
    "levels",
    "make_bins",
    "read_baseline",
    "read_bins",
    "smallest_shift",
]
