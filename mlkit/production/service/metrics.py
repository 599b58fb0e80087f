"""Counts of one worker, and the text in which Prometheus reads those of all workers together."""

from __future__ import annotations

import bisect
import collections
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 1024, 4096)
_COUNTERS = {
    "requests_total": "Requests to /invocations by status.",
    "rows_total": "Rows predicted.",
    "errors_total": "Refused or failed requests by code.",
    "disconnects_total": "Clients that left before their answer.",
    "not_finite_total": "Predictions that were not finite and were answered as null.",
    "served_rows_total": "Rows answered.",
    "logged_rows_total": "Rows in the log of this machine.",
    "dropped_rows_total": "Rows answered and not logged (policy fast).",
}
_GAUGES = {
    "waiting": "Requests that wait for a thread.",
    "under_way": "Requests under way.",
    "spool_bytes": "Bytes that are not in the prediction log yet.",
}


class Metrics:
    """What one worker has done since it started."""

    def __init__(self) -> None:
        """All counts are 0."""
        self._counts: collections.Counter[str] = collections.Counter()
        self._seconds = [0] * (len(SECONDS) + 1)
        self._seconds_sum = 0.0

    def count(self, name: str, amount: int = 1, **labels: object) -> None:
        """Add to a counter."""
        inner = ",".join(f'{key}="{value}"' for key, value in labels.items())
        self._counts[f"{name}{{{inner}}}" if inner else name] += amount

    def answered(self, status: int, seconds: float) -> None:
        """Count a finished request."""
        self._counts[f'requests_total{{status="{status}"}}'] += 1
        self._seconds[bisect.bisect_left(SECONDS, seconds)] += 1
        self._seconds_sum += seconds

    def state(self, *, batches: Mapping[int, int], gauges: Mapping[str, float]) -> dict[str, Any]:
        """Plain values, from which `render` makes the text.

        Args:
            batches: How many batches there were by their number of rows.
            gauges: Values of this moment.
        """
        rows = [0] * (len(ROWS) + 1)
        for size, times in batches.items():
            rows[bisect.bisect_left(ROWS, size)] += times
        return {
            "counts": dict(self._counts),
            "gauges": dict(gauges),
            "seconds": [*self._seconds, self._seconds_sum],
            "batch_rows": [*rows, sum(size * times for size, times in batches.items())],
        }


def render(states: Iterable[Mapping[str, Any]], *, facts: Mapping[str, object]) -> str:
    """The metrics of all workers, in Prometheus' text format.

    Args:
        states: Of each worker, as `Metrics.state` gives it, and whether it is `alive`.
        facts: Labels of the model that answers.
    """
    counts: collections.Counter[str] = collections.Counter()
    gauges: collections.Counter[str] = collections.Counter()
    seconds, rows = [0.0] * (len(SECONDS) + 2), [0.0] * (len(ROWS) + 2)
    workers = 0
    for state in states:
        counts.update(state["counts"])
        if state["alive"]:
            workers += 1
            gauges.update(state["gauges"])
        seconds = [a + b for a, b in zip(seconds, state["seconds"], strict=True)]
        rows = [a + b for a, b in zip(rows, state["batch_rows"], strict=True)]
    lines = [line for name, said in _COUNTERS.items() for line in _samples(name, said, "counter", counts)]
    lines += [line for name, said in _GAUGES.items() for line in _samples(name, said, "gauge", gauges)]
    lines += _histogram(
        "request_seconds", "Seconds from the head of a request to its answer.", SECONDS, seconds
    )
    lines += _histogram("batch_rows", "Rows that were predicted in one go.", ROWS, rows)
    lines += _samples("workers", "Processes that answer.", "gauge", {"workers": workers})
    labels = ",".join(f'{name}="{_escaped(value)}"' for name, value in facts.items())
    lines += _samples("model_info", "The model that answers.", "gauge", {f"model_info{{{labels}}}": 1})
    return "\n".join(lines) + "\n"


def _samples(name: str, said: str, kind: str, values: Mapping[str, float]) -> list[str]:
    found = [key for key in sorted(values) if key.partition("{")[0] == name]
    lines = [
        f"mlkit_{key} {values[key]:g}" if values[key] % 1 else f"mlkit_{key} {int(values[key])}"
        for key in found
    ]
    return [f"# HELP mlkit_{name} {said}", f"# TYPE mlkit_{name} {kind}", *(lines or [f"mlkit_{name} 0"])]


def _histogram(name: str, said: str, bounds: tuple[float, ...], values: list[float]) -> list[str]:
    *counts, total = values
    lines = [f"# HELP mlkit_{name} {said}", f"# TYPE mlkit_{name} histogram"]
    so_far = 0
    for bound, count in zip((*bounds, None), counts, strict=True):
        so_far += int(count)
        lines.append(f'mlkit_{name}_bucket{{le="{"+Inf" if bound is None else f"{bound:g}"}"}} {so_far}')
    return [*lines, f"mlkit_{name}_sum {total:.9g}", f"mlkit_{name}_count {so_far}"]


def _escaped(value: object) -> str:
    return str(value).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
