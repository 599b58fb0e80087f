"""The trial behind the config: what its study tells of it, and what was stored of what it leans on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlkit.model.estimator import steps_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlkit.report.context import Context
    from mlkit.tracking.runs import RunRecord

_BEST, _LOOKS = "mlkit_best_trial", "mlkit_test_looks"


def read_chosen(context: Context) -> dict[str, Any]:
    """What is known of the trial behind the config, or of the newest study's best; empty if nothing."""
    config, origin = context.config or {}, dict(context.origin)
    run = _study_run(context, origin.get("study_run_id", ""))
    if not config and run is None:
        return {}
    document = context.document(run.run_id, "study.json") if run else None
    number_ = origin.get("trial", _best_number(run))
    trial = _trial_of(document, number_)
    setting = (document or {}).get("setting", {})
    model = config.get("model") or trial.get("model")
    return {
        "model": steps_text(model) if model else "",
        "metric": config.get("metric") or setting.get("metric", ""),
        "study": run.name if run else "",
        "study_run_id": run.run_id if run else "",
        "trial": number_,
        "is_best": number_ is not None and number_ == _best_number(run),
        "params": trial.get("params", {}),
        "score": trial.get("score"),
        "scores": [score for score in trial.get("scores", ()) if score is not None],
        "seconds": trial.get("seconds"),
        "test_looks": _looks(run, origin),
        "edited": "edited_from" in origin,
    }


def _study_run(context: Context, run_id: str) -> RunRecord | None:
    """The run of the study that a config came from; without a config, the newest one that ended."""
    if run_id:
        return next((run for run in context.study_runs if run.run_id == run_id), None)
    if context.config:
        return None
    ended = [run for run in context.study_runs if run.status == "FINISHED"]
    return ended[-1] if ended else None


def _best_number(run: RunRecord | None) -> int | None:
    text = run.tags.get(_BEST, "") if run else ""
    return int(text) if text.isdigit() else None


def _trial_of(document: Mapping[str, Any] | None, wanted: int | None) -> dict[str, Any]:
    trials = (document or {}).get("trials", ())
    return next((dict(trial) for trial in trials if trial["number"] == wanted), {})


def _looks(run: RunRecord | None, origin: Mapping[str, Any]) -> int | None:
    """How often the sealed rows were looked at: the study counts on after a freeze."""
    counts = [int(run.tags.get(_LOOKS, "0"))] if run else []
    if "test_looks" in origin:
        counts.append(int(origin["test_looks"]))
    return max(counts, default=None)


def read_importances(context: Context, chosen: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """What was stored with the study of its best trial; or why there is nothing."""
    if not chosen.get("study_run_id"):
        return {}, "the study behind this config is not in this store"
    if not chosen["is_best"]:
        return {}, f"they are stored of a study's best trial only, and this is trial {chosen['trial']}"
    found = context.document(chosen["study_run_id"], "importances.json")
    if not found:
        return {}, "the study stored none (a model that trained on Spark has none)"
    known = {name: said for name, said in found.items() if said["mean"] is not None}
    return known, "" if known else "the metric has no value on the sample that they are measured on"
