"""What a comparison could have seen: a statement that belongs beside every silence."""

from __future__ import annotations

import math
from statistics import NormalDist

POWER = 0.8


def smallest_shift(reference: int, window: int, *, alpha: float, categories: int | None = None) -> float:
    """The smallest change that is seen with a probability of at least `POWER`, wherever the rows go.

    It is a share of the rows, as KS and TV are, and 1 where not even a change of all rows is sure to be seen.

    Args:
        reference: Number of rows before.
        window: Number of rows now.
        alpha: Level of the test.
        categories: How many categories occur; None for numbers.
    """
    if not reference or not window:
        return 1.0
    scale = math.sqrt(1 / reference + 1 / window)
    certain = NormalDist().inv_cdf(POWER)
    if categories is None:
        return min(1.0, (math.sqrt(-math.log(alpha / 2) / 2) + certain / 2) * scale)
    freedom = max(1, categories - 1)
    critical = _chi2_quantile(1 - alpha, freedom)
    away = max(critical - freedom, 0.0)
    for _ in range(20):  # the distance at which the statistic exceeds the critical value often enough
        away = max(critical - freedom + certain * math.sqrt(2 * freedom + 4 * away), 0.0)
    return min(1.0, math.sqrt(away) / 2 * scale)


def in_deviations(shift: float) -> float:
    """The shift of a normal distribution, in standard deviations, whose KS distance is `shift`."""
    return 2 * NormalDist().inv_cdf((1 + min(shift, 1 - 1e-9)) / 2)


def _chi2_quantile(share: float, freedom: int) -> float:
    """Wilson and Hilferty's approximation."""
    part = 2 / (9 * freedom)
    return freedom * max(0.0, 1 - part + NormalDist().inv_cdf(share) * math.sqrt(part)) ** 3
