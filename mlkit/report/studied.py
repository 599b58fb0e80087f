"""Studies as the tracking store keeps them."""

from __future__ import annotations

import dataclasses
import json
import math
import statistics
from typing import TYPE_CHECKING, Any

from mlkit.research.study.told import Told, Tried, family

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping

    from mlkit.report.context import Context
    from mlkit.tracking.runs import RunRecord

_RESULT, _TRIAL = "mlkit_result", "mlkit_trial"


@dataclasses.dataclass(frozen=True)
class Studied(Tried):
    """One study.

    Attributes:
        run: Its parent run.
    """

    run: RunRecord


def read_study(context: Context, run: RunRecord) -> Studied:
    """A study as its runs tell it; one that is under way, or was stopped, by its children alone."""
    children = context.trial_runs(run.run_id)
    ended = {int(child.tags[_TRIAL]): child.started_at for child in children if _TRIAL in child.tags}
    document = context.document(run.run_id, "study.json")
    if document is not None:
        setting = document["setting"]
        told = (_from_document(trial, ended.get(trial["number"])) for trial in document["trials"])
        return Studied(setting["metric"], setting["direction"], tuple(told), run)
    found = sorted((_from_run(child) for child in children if _RESULT in child.tags), key=lambda t: t.number)
    config = context.config or {}
    metric = run.params.get("metric") or config.get("metric", "score")
    return Studied(metric, None, tuple(found), run)


def _from_document(trial: Mapping[str, Any], ended: dt.datetime | None) -> Told:
    scores = [score for score in trial["scores"] if score is not None]
    several = trial["score"] is not None and len(scores) > 1
    return Told(
        number=trial["number"],
        state=trial["state"],
        params=trial["params"],
        score=trial["score"],
        spread=statistics.stdev(scores) if several else None,
        seconds=trial["seconds"],
        model=family(trial["model"]),
        error=trial["error"],
        ended=ended,
    )


def _from_run(run: RunRecord) -> Told:
    result = json.loads(run.tags[_RESULT])
    complete, scores = result["state"] == "complete", result["scores"]
    return Told(
        number=int(run.tags[_TRIAL]),
        state=result["state"],
        params={name: _number(text) for name, text in run.params.items()},
        score=math.fsum(scores) / len(scores) if complete else None,
        spread=statistics.stdev(scores) if complete and len(scores) > 1 else None,
        seconds=result["seconds"],
        error=result["error"],
        ended=run.started_at,
    )


def _number(text: str) -> float | str:
    """MLflow keeps parameters as texts."""
    try:
        return float(text)
    except ValueError:
        return text
