"""A study as people find it later: one parent run with its trials, best model, importances and figures."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlkit.errors import MlkitError
from mlkit.model.estimator import packages_of
from mlkit.model.importance import feature_importances
from mlkit.model.training import deterministic, fit
from mlkit.research.study.page import draw_study
from mlkit.research.study.trials import BEST_TAG, SERIALIZATION_TAG, STUDY_TAG, Study, Trial, TrialLog, log_train_rows
from mlkit.tracking.models import choose_serialization, save_model

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import optuna

    from mlkit.research.study.search import Searcher
    from mlkit.tracking.runs import Tracking

KIND_TAG = "mlkit_kind"
DONE_TAG = "mlkit_trials_done"
_EXAMPLE_ROWS = 5


def run_study(
    searcher: Searcher,
    *,
    trials: int,
    workers: int,
    tracking: Tracking,
    name: str | None,
    resume: bool,
    tags: Mapping[str, str],
    requirements: Sequence[str],
) -> Study:
    """Run a search, or finish the one that was stopped, and keep everything in the tracking store.

    Args:
        searcher: The search and everything its course depends on.
        trials: How many trials there shall be in all, those of earlier runs included.
        workers: How many folds are evaluated at a time.
        tracking: Where runs are kept.
        name: What people call the study; by default made of the project and the study's identity.
        resume: Continue a study of the same identity rather than start another.
        tags: Tags for parent and children (git commit and state).
        requirements: Pinned requirements of the best model's folder.
    """
    setting, identity = searcher.setting, searcher.identity
    experiment = tracking.experiment(setting.project)
    title = name or f"{setting.project}-{identity[:8]}"
    found = tracking.runs(experiment, tags={STUDY_TAG: identity}) if resume else []
    tags = {**tags, KIND_TAG: "study"}
    run_id = found[-1].run_id if found else tracking.start(experiment, title, tags={**tags, STUDY_TAG: identity})
    if found:
        tracking.reopen(run_id)
    try:
        with TrialLog(tracking, experiment, run_id, setting, tags={**tags, KIND_TAG: "trial"}) as log:
            native, ended = searcher.run(trials, workers=workers, log=log)
            written = {trial.number: trial.run_id for trial in log.close()}
    except (MlkitError, KeyboardInterrupt):
        tracking.end(run_id, "KILLED")
        raise
    study = _study(title, run_id, searcher, ended, written)
    if not found or found[-1].tags.get(DONE_TAG) != str(trials):
        serialization = _finish(study, native, searcher, tracking, requirements)
    else:
        serialization = found[-1].tags.get(SERIALIZATION_TAG, "")
    tracking.end(run_id)
    return dataclasses.replace(study, serialization=serialization)


def _study(
    name: str, run_id: str, searcher: Searcher, ended: Sequence[Trial], written: Mapping[int, str]
) -> Study:
    trials = tuple(
        dataclasses.replace(trial, run_id=trial.run_id or written[trial.number], study_run_id=run_id)
        for trial in ended
    )
    return Study(name, run_id, searcher.setting, trials, reused=len(trials) - len(written))


def _finish(
    study: Study, native: optuna.Study, searcher: Searcher, tracking: Tracking, requirements: Sequence[str]
) -> str:
    """Log what belongs to the study as a whole; gives the format that holds the best model."""
    setting, best = study.setting, study.best
    with deterministic(setting.seed):
        model = fit(best.model, searcher.rows, seed=setting.seed, trusted=packages_of(best.model))
        importances = feature_importances(model, searcher.rows, task=setting.task, metric=setting.metric, seed=setting.seed)
    serialization = choose_serialization(model)
    example = searcher.rows.frame.head(_EXAMPLE_ROWS)
    with tempfile.TemporaryDirectory() as folder:
        where = Path(folder) / "model"
        save_model(
            where,
            model,
            serialization=serialization,
            example=example,
            output=searcher.rows.target.dtype.kind,
            requirements=requirements,
        )
        tracking.folder(study.run_id, where, "model")
    tracking.document(study.run_id, "study.json", study.to_dict())
    tracking.document(study.run_id, "importances.json", importances)
    tracking.text(study.run_id, "study.html", draw_study(native, study, importances))
    log_train_rows(tracking, study.run_id, setting)
    tracking.log(study.run_id, params=_params(study), metrics=_metrics(study), tags=_tags(study, serialization))
    return serialization


def _params(study: Study) -> dict[str, Any]:
    setting = study.setting
    return {"cv": setting.cv, "seed": setting.seed, "metric": setting.metric.name, "snapshot": setting.snapshot.fingerprint}


def _metrics(study: Study) -> dict[str, float]:
    best = study.best
    return {f"best_{study.setting.metric.name}": best.score or 0.0, "seconds": sum(t.seconds for t in study.trials)}


def _tags(study: Study, serialization: str) -> dict[str, str]:
    return {
        DONE_TAG: str(len(study.trials)),
        SERIALIZATION_TAG: serialization,
        BEST_TAG: str(study.best.number),
        "mlkit_best_run": study.best.run_id,
    }
