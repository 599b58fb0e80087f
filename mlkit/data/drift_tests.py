"""Whether two sets of counts are of one distribution: a permutation test, and how far apart they are.

The question is answered by shuffling: all rows of both sides are thrown together and dealt out again, many
times, and the p-value is how often chance alone gives a statistic as large as the one that was found. It
holds for any distribution, with ties and at any size, as long as rows could have come in any order. The
statistic is that of Kolmogorov and Smirnov for numbers, where a row without a value is the smallest of all,
and chi-squared for categories. Effects (PSI, JS and so on) say how large a change is; they never decide
whether there is one, since on few rows they are large by chance.

Everything follows from whole numbers and a seed: the same counts give the same result on every machine.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from mlkit.data.drift_counts import Counts, other_bins
from mlkit.data.drift_effects import Moved, chi2, effects, ks
from mlkit.data.drift_power import smallest_shift

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from mlkit.data.drift_bins import Bins

    Numbers = NDArray[np.int64]
    Floats = NDArray[np.float64]
    Statistic = Callable[[Numbers, Numbers], Floats]

DRAWS = (999, 9_000)
"""Shuffles: a first round, and a second one unless the first leaves no doubt that chance is enough."""

CHANCE = 0.06
"""A p-value above it is final after the first round: alarms are decided at levels far below."""

ASSUMPTION = "rows are taken as independent of each other"
"""Under what a p-value holds."""

_SMALLEST_P = 1e-300
_LARGEST_DEAL = 10**9  # beyond it numpy deals no hands; there, drawing with replacement is the same


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A window of one column beside its reference.

    Attributes:
        p_value: How often chance alone would give a difference as large.
        ks: Largest distance between the shares of rows up to any cut, rows without a value first.
        psi: Population stability index, with half a row added to each cell.
        js: Jensen-Shannon distance, 0 to 1.
        tv: Total variation: the share of rows that would have to move.
        l_infinity: Largest change of the share of one cell.
        chi2: Chi-squared statistic of the two rows of counts.
        w1: Wasserstein distance, each bin taken at its middle, in units of the column; None for categories.
        missing: Shares of rows without a value, before and now.
        outside: Shares of rows beyond what the sample held (of values that are none of the frequent ones).
        rows: Number of rows, before and now.
        visible: Smallest change (as `effect`) that this comparison shows four times out of five at least.
        moved: The cells that changed most.
        category: Whether the column is one of categories.
    """

    p_value: float
    ks: float
    psi: float
    js: float
    tv: float
    l_infinity: float
    chi2: float
    w1: float | None
    missing: tuple[float, float]
    outside: tuple[float, float]
    rows: tuple[int, int]
    visible: float
    moved: tuple[Moved, ...] = ()
    category: bool = False

    @property
    def effect(self) -> float:
        """The change as a share of rows: `ks` for numbers, `tv` for categories."""
        return self.tv if self.category else self.ks

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        said = dataclasses.asdict(self)
        pairs = {name: list(said[name]) for name in ("missing", "outside", "rows")}
        moved = [cell._asdict() for cell in self.moved]
        return {**said, **pairs, "moved": moved, "effect": self.effect}


def compare(reference: Counts, window: Counts, bins: Bins, *, alpha: float, seed: int = 0) -> Comparison:
    """Compare a window with its reference.

    Args:
        reference: Counts before.
        window: Counts now.
        bins: Where the column was cut.
        alpha: Level at which the column is tested (`mlkit.data.drift.levels`): it decides what could be seen.
        seed: Of the shuffles.

    Raises:
        DataError: Counts in other bins (DAT094).
    """
    old, new = _tested(reference, bins), _tested(window, bins)
    statistic = chi2 if bins.kind == "category" else ks
    rows = int(old.sum()), int(new.sum())
    return Comparison(
        p_value=_p_of_rows(old, new, statistic, np.random.default_rng(seed)),
        rows=rows,
        visible=smallest_shift(rows[0], rows[1], alpha=alpha, categories=_categories(old + new, bins)),
        category=bins.kind == "category",
        **effects(old, new, bins),
    )


def _tested(counts: Counts, bins: Bins) -> Numbers:
    """(cells,) counts as they are tested; nan and null of numbers are one cell, the first."""
    if counts.bins != bins.digest or len(counts.numbers) != bins.cells:
        raise other_bins()
    found = np.array(counts.numbers, np.int64)
    if bins.kind == "category":
        return found
    inside, minus, plus, missing = found[:-4], found[-4:-3], found[-3:-2], found[-2:]
    return np.hstack([missing.sum(), minus, inside, plus])


def _p_of_rows(old: Numbers, new: Numbers, statistic: Statistic, generator: np.random.Generator) -> float:
    there = (old + new) > 0
    old, new = old[there], new[there]
    if not old.sum() or not new.sum():
        return 1.0
    pooled = old + new

    def deal(size: int) -> tuple[Numbers, Numbers]:
        if pooled.sum() >= _LARGEST_DEAL:
            shares = pooled / pooled.sum()
            before, now = (generator.multinomial(side.sum(), shares, size) for side in (old, new))
            return before, now
        hands = generator.multivariate_hypergeometric(pooled, int(new.sum()), size, method="marginals")
        return pooled - hands, hands

    exceeded, draws = _exceeded(old, new, deal, statistic)
    if exceeded:
        return (exceeded + 1) / (draws + 1)
    return min(1 / (draws + 1), _bound(old, new, cumulative=statistic is ks))


def _exceeded(
    old: Numbers, new: Numbers, deal: Callable[[int], tuple[Numbers, Numbers]], statistic: Statistic
) -> tuple[int, int]:
    """How many shuffles gave as much as was found, of how many."""
    exceeded = draws = 0
    for size in DRAWS:
        dealt_old, dealt_new = deal(size)
        # What was found goes through the same sums as what was dealt, so that equal counts are equal.
        values = statistic(np.vstack([old, dealt_old]), np.vstack([new, dealt_new]))
        exceeded += int(np.count_nonzero(values[1:] >= values[0]))
        draws += size
        if (exceeded + 1) / (draws + 1) > CHANCE:
            break
    return exceeded, draws


def _bound(old: Numbers, new: Numbers, *, cumulative: bool) -> float:
    """What the exact p-value of the largest deviation is at most, for changes that no shuffle ever reached.

    For each cut (or cell) the number of rows of the window on one side is hypergeometric, whose tail is at
    most its first term over one minus the ratio of the next one; Bonferroni over both sides and all cuts.
    """
    rows, drawn = int((old + new).sum()), int(new.sum())
    if cumulative:
        old, new = old.cumsum()[:-1], new.cumsum()[:-1]
    tails = [
        min(_log_tail(x, marked, rows, drawn), _log_tail(drawn - x, rows - marked, rows, drawn))
        for x, marked in zip(new.tolist(), (old + new).tolist(), strict=True)
    ]
    least = min(tails, default=0.0) + math.log(2 * max(len(tails), 1))
    return max(math.exp(min(least, 0.0)), _SMALLEST_P)


def _log_tail(found: int, marked: int, rows: int, drawn: int) -> float:
    """Upper bound of the logarithm of P(X >= found), X marked rows among those drawn without replacement."""
    if found * rows <= drawn * marked:
        return 0.0
    first = (
        _log_choices(marked, found) + _log_choices(rows - marked, drawn - found) - _log_choices(rows, drawn)
    )
    ratio = (marked - found) * (drawn - found) / ((found + 1) * (rows - marked - drawn + found + 1))
    return first - math.log1p(-ratio) if ratio < 1 else 0.0


def _log_choices(of: int, chosen: int) -> float:
    return math.lgamma(of + 1) - math.lgamma(chosen + 1) - math.lgamma(of - chosen + 1)


def _categories(pooled: Numbers, bins: Bins) -> int | None:
    return int(np.count_nonzero(pooled)) if bins.kind == "category" else None
