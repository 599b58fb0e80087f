"""A study as people find it later: one parent run with its trials, best model, importances and figures."""

from __future__ import annotations

import dataclasses
import math
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from mlkit.code import third_party, user_files
from mlkit.model.estimator import packages_of, references
from mlkit.model.importance import feature_importances
from mlkit.model.predictions import predict
from mlkit.model.spark_training import FrameRows, fit_frame
from mlkit.model.training import deterministic, fit
from mlkit.research.pins import pins_of
from mlkit.research.study.course import run_course
from mlkit.research.study.log import TrialLog, log_train_rows
from mlkit.research.study.page import draw_study
from mlkit.research.study.search import digest_of
from mlkit.research.study.trials import BEST_TAG, MANIFEST_TAG, SERIALIZATION_TAG, STUDY_TAG, Study
from mlkit.tracking.models import choose_serialization, save_model

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import optuna
    import pandas as pd

    from mlkit.research.study.search import Searcher, WorkerCount
    from mlkit.research.study.trials import Trial
    from mlkit.tracking.models import Serialization
    from mlkit.tracking.runs import Status, Tracking

    Importances = Mapping[str, Mapping[str, float]]

KIND_TAG = "mlkit_kind"
DONE_TAG = "mlkit_trials_done"
MODEL = "model"
"""Where the refitted best model lies in the run of its trial."""

_EXAMPLE_ROWS = 5


def run_study(
    searcher: Searcher,
    *,
    trials: int,
    workers: WorkerCount,
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
        workers: How many folds are evaluated at a time, or ``spark``.
        tracking: Where runs are kept.
        name: What people call the study; by default made of the project and the study's identity.
        resume: Continue a study of the same identity rather than start another.
        tags: Tags for parent and children (git commit and state).
        requirements: Pins of what every model here follows from; with others it is another study.

    Raises:
        StudyError: As for `run_course`, or no trial is complete (RUN011).
    """
    setting = searcher.setting
    identity = digest_of([searcher.identity, list(requirements)])
    experiment = tracking.experiment(setting.project)
    title = name or f"{setting.project}-{identity[:8]}"
    found = tracking.runs(experiment, tags={STUDY_TAG: identity}) if resume else []
    if found:
        run_id, done = found[-1].run_id, found[-1].tags.get(DONE_TAG)
        tracking.reopen(run_id)
    else:
        own = {**tags, KIND_TAG: "study", STUDY_TAG: identity}
        run_id, done = tracking.start(experiment, title, tags=own), None
    status: Status = "FAILED"
    try:
        with TrialLog(tracking, experiment, run_id, setting, tags={**tags, KIND_TAG: "trial"}) as log:
            native, ended = run_course(searcher, trials=trials, workers=workers, log=log)
            written = log.close()
        study = _study(title, run_id, searcher, ended, written)
        if done != str(trials):
            _finish(study, native, searcher, tracking)
        status = "FINISHED"
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    finally:
        tracking.end(run_id, status)
    return study


def _study(
    name: str, run_id: str, searcher: Searcher, ended: Sequence[Trial], written: Mapping[int, str]
) -> Study:
    trials = tuple(
        dataclasses.replace(trial, run_id=trial.run_id or written[trial.number], study_run_id=run_id)
        for trial in ended
    )
    return Study(name, run_id, searcher.setting, trials, reused=len(trials) - len(written))


def _finish(study: Study, native: optuna.Study, searcher: Searcher, tracking: Tracking) -> None:
    """Log what belongs to the study as a whole; the tag that says so comes last."""
    setting, best = study.setting, study.best
    model, importances = _refitted(best, searcher)
    kept = _keep_model(model, best, searcher, tracking)
    tracking.document(study.run_id, "study.json", study.to_dict())
    tracking.document(study.run_id, "importances.json", _finite(importances))
    tracking.text(study.run_id, "study.html", draw_study(study, importances))
    log_train_rows(tracking, study.run_id, setting)
    seconds = sum(trial.seconds for trial in study.trials)
    tracking.log(
        study.run_id,
        params={
            "cv": setting.cv,
            "seed": setting.seed,
            "metric": setting.metric.name,
            "snapshot": setting.snapshot.fingerprint,
        },
        metrics={f"best_{setting.metric.name}": native.best_value, "seconds": seconds},
        tags={
            **kept,
            BEST_TAG: str(best.number),
            "mlkit_best_run": best.run_id,
            DONE_TAG: str(len(study.trials)),
        },
    )


def _refitted(best: Trial, searcher: Searcher) -> tuple[object, Importances]:
    """The best model, fitted on all rows of the study, and what it leans on (not asked of one in Spark)."""
    setting, rows, trusted = searcher.setting, searcher.rows, packages_of(best.model)
    if isinstance(rows, FrameRows):
        return fit_frame(best.model, rows, seed=setting.seed, trusted=trusted), {}
    with deterministic(setting.seed):
        model = fit(best.model, rows, seed=setting.seed, trusted=trusted)
        importances = feature_importances(
            model, rows, task=setting.task, metric=setting.metric, seed=setting.seed
        )
    return model, importances


def _example(model: object, searcher: Searcher) -> tuple[pd.DataFrame, str, Serialization]:
    """A few rows, the numpy kind of what is predicted of them, and the format of the model's file."""
    rows, setting = searcher.rows, searcher.setting
    if isinstance(rows, FrameRows):
        return rows.example(setting.snapshot.contract, _EXAMPLE_ROWS), rows.answers(setting.task), "spark"
    example = rows.frame.head(_EXAMPLE_ROWS)
    kind = predict(model, example, task=setting.task).values.dtype.kind  # noqa: PD011 - an array already
    return example, kind, choose_serialization(model)


def _keep_model(model: object, best: Trial, searcher: Searcher, tracking: Tracking) -> dict[str, str]:
    """Store the refitted best model with the trial it belongs to; gives the tags of what was stored."""
    code = user_files(references(best.model))
    example, output, serialization = _example(model, searcher)
    with tempfile.TemporaryDirectory() as folder:
        where = Path(folder) / MODEL
        manifest = save_model(
            where,
            model,
            serialization=serialization,
            example=example,
            output=output,
            requirements=pins_of([*packages_of(best.model), *third_party(code)]),
            code=code,
        )
        tracking.folder(best.run_id, where, MODEL)
    tags = {SERIALIZATION_TAG: serialization, MANIFEST_TAG: manifest}
    tracking.log(best.run_id, tags=tags)
    return tags


def _finite(importances: Importances) -> dict[str, dict[str, float | None]]:
    """JSON has no nan."""
    return {
        feature: {name: value if math.isfinite(value) else None for name, value in numbers.items()}
        for feature, numbers in importances.items()
    }
