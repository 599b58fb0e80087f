"""The verdict on a window: from the comparisons of its columns, those of earlier windows, and the rule."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from mlkit.data.drift_tests import Comparison
    from mlkit.data.monitor_spec import Monitor

DriftVerdict = Literal["OK", "WARN", "DRIFT", "INSUFFICIENT_DATA"]

OUTPUT = "prediction"
PROBABILITY_PREFIX, INPUT_PREFIX = "probability_", "input_"

_ALARMS = ("WARN", "DRIFT")
_CONCLUSIVE = ("OK", *_ALARMS)
_WORST_FIRST: tuple[DriftVerdict, ...] = ("DRIFT", "WARN", "INSUFFICIENT_DATA", "OK")
_AT_ONCE = 10  # a p-value so many times smaller than alpha needs no second window


@dataclasses.dataclass(frozen=True)
class ColumnVerdict:
    """What is said of one column: the verdict, its p-value among all columns, its effect, and why."""

    verdict: DriftVerdict
    p_value: float
    effect: float
    reason: str


@dataclasses.dataclass(frozen=True)
class WindowVerdict:
    """What is said of a window.

    Attributes:
        verdict: The worst of its columns.
        columns: By column.
        reasons: One sentence for each column that is not OK; for all of them where all are.
    """

    verdict: DriftVerdict
    columns: Mapping[str, ColumnVerdict]
    reasons: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        columns = {name: dataclasses.asdict(found) for name, found in self.columns.items()}
        return {"verdict": self.verdict, "columns": columns, "reasons": list(self.reasons)}


def judge_window(
    comparisons: Mapping[str, Comparison],
    monitor: Monitor,
    *,
    earlier: Mapping[str, Sequence[str]] | None = None,
    coverage: float | None = None,
) -> WindowVerdict:
    """Judge a window.

    `WARN`: the p-value is at most alpha, and the effect reaches `min_effect`. `DRIFT`: so it was in the
    window before too, or the p-value is at most a tenth of alpha. `INSUFFICIENT_DATA`: fewer rows than
    `min_rows`, too little of the log, or no alarm where none could have been seen. The chance that a
    window without any change is not OK is at most alpha, over all columns together.

    Args:
        comparisons: By column of the prediction log, made at its `levels`.
        monitor: The rule.
        earlier: Verdicts on earlier windows by column, oldest first.
        coverage: Share of the answers that stand in the log, where it is known.
    """
    p_values = adjusted({name: found.p_value for name, found in comparisons.items()})
    columns = {
        name: _judged(found, p_values[name], monitor, (earlier or {}).get(name, ()), coverage)
        for name, found in comparisons.items()
    }
    verdicts = {found.verdict for found in columns.values()}
    worst = next((verdict for verdict in _WORST_FIRST if verdict in verdicts), _WORST_FIRST[2])
    said = tuple(
        f"{name}: {found.reason}" for name, found in columns.items() if worst == "OK" or found.verdict != "OK"
    )
    return WindowVerdict(worst, columns, said or ("nothing was compared",))


def adjusted(p_values: Mapping[str, float]) -> dict[str, float]:
    """P-values as if each column were the only one: at most alpha by chance for all of them together.

    Half of alpha is for the output, half for all inputs; Holm's rule holds within each, and the half of the
    output is free for the inputs once all of the output has changed. Whichever stands alone has all of it.

    Args:
        p_values: By column of the prediction log.
    """
    first = _holm({name: p for name, p in p_values.items() if _is_output(name)})
    second = _holm({name: p for name, p in p_values.items() if not _is_output(name)})
    if not first or not second:
        return first or second
    halved = max(min(1.0, 2 * p) for p in first.values())
    inputs = {name: min(1.0, 2 * p, max(p, halved)) for name, p in second.items()}
    return {**{name: min(1.0, 2 * p) for name, p in first.items()}, **inputs}


def levels(columns: Collection[str], monitor: Monitor) -> dict[str, float]:
    """The level that a p-value of each column has to reach when no other column has changed.

    Args:
        columns: All columns of the prediction log that are compared.
        monitor: The rule.
    """
    outputs = sum(map(_is_output, columns))
    families = bool(outputs) + bool(len(columns) - outputs)
    size = {True: outputs, False: len(columns) - outputs}
    return {name: monitor.window_alpha / families / size[_is_output(name)] for name in columns}


def _is_output(column: str) -> bool:
    return column == OUTPUT or column.startswith(PROBABILITY_PREFIX)


def _holm(p_values: Mapping[str, float]) -> dict[str, float]:
    found: dict[str, float] = {}
    largest = 0.0
    for place, name in enumerate(sorted(p_values, key=lambda name: p_values[name])):
        largest = max(largest, min(1.0, p_values[name] * (len(p_values) - place)))
        found[name] = largest
    return found


def _judged(
    found: Comparison, p_value: float, monitor: Monitor, earlier: Sequence[str], coverage: float | None
) -> ColumnVerdict:
    verdict: DriftVerdict = "INSUFFICIENT_DATA"
    reason = _insufficient(found, monitor, coverage)
    if not reason:
        weigh = _weighed_alarm if p_value <= monitor.window_alpha else _weighed_silence
        verdict, reason = weigh(found, p_value, monitor, earlier)
    return ColumnVerdict(verdict, p_value, found.effect, reason)


def _insufficient(found: Comparison, monitor: Monitor, coverage: float | None) -> str:
    """Why a column cannot be judged; empty where it can."""
    rows = found.rows[1]
    if rows < monitor.min_rows:
        return f"{rows:,} rows, fewer than {monitor.min_rows:,}"
    if coverage is not None and coverage < monitor.min_coverage:
        return f"{coverage:.1%} of the answers are in the log, fewer than {monitor.min_coverage:.0%}"
    return ""


def _weighed_alarm(
    found: Comparison, p_value: float, monitor: Monitor, earlier: Sequence[str]
) -> tuple[DriftVerdict, str]:
    alpha = monitor.window_alpha
    changed = f"{found.effect:.1%} of the rows moved, p = {p_value:.2g}"
    if found.effect < monitor.min_effect:
        return "OK", f"{changed}, less than the {monitor.min_effect:.0%} that matter"
    if p_value <= alpha / _AT_ONCE:
        return "DRIFT", f"{changed}, at most {alpha / _AT_ONCE:.2g}"
    if _alarmed(earlier):
        return "DRIFT", f"{changed}, at most {alpha:.2g} in two windows running"
    return "WARN", f"{changed}, at most {alpha:.2g}"


def _weighed_silence(
    found: Comparison, p_value: float, monitor: Monitor, _: Sequence[str]
) -> tuple[DriftVerdict, str]:
    if found.visible <= monitor.min_effect:
        return "OK", f"no change beyond chance (p = {p_value:.2g})"
    before, now = found.rows
    where = "at training" if before < now else "in this window"
    seen = f"only a change of {found.visible:.1%} of the rows or more would be seen"
    return "INSUFFICIENT_DATA", f"{seen}, for there are {min(before, now):,} rows {where}"


def _alarmed(earlier: Sequence[str]) -> bool:
    """Whether the last window that could be judged raised an alarm."""
    conclusive = [verdict for verdict in earlier if verdict in _CONCLUSIVE]
    return bool(conclusive) and conclusive[-1] in _ALARMS
