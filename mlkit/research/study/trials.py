"""What a study leaves behind: trials, their ranking, and their runs in the tracking store."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import json
from typing import TYPE_CHECKING, Any, Literal, Self

import pandas as pd

from mlkit.errors import StudyError
from mlkit.failpoints import failpoint
from mlkit.model.estimator import steps_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from mlkit.data.snapshot import Snapshot
    from mlkit.data.split import Split
    from mlkit.model.evaluation import Metric, Task
    from mlkit.tracking.runs import RunRecord, Tracking

State = Literal["complete", "pruned", "failed"]

TRIAL_TAG = "mlkit_trial"
STATE_TAG = "mlkit_state"
STUDY_TAG = "mlkit_study"
RESULT_TAG = "mlkit_result"
BEST_TAG = "mlkit_best_trial"
SERIALIZATION_TAG = "mlkit_serialization"
LOOKS_TAG = "mlkit_test_looks"
_TOP = 5


@dataclasses.dataclass(frozen=True)
class StudySetting:
    """What all trials of a study share.

    Attributes:
        project: Name of the project.
        snapshot: The rows, test rows included.
        split: Which of them are test rows.
        key: Columns that identify a row.
        target: Label column.
        features: Columns the estimator sees, in order.
        task: Kind of prediction.
        metric: What is optimised.
        train: Fingerprint of the rows the study may see.
        test: Fingerprint of the sealed rows.
        train_rows: Their number.
        test_rows: Their number.
        cv: Number of folds asked for.
        seed: Seed of trials, folds and estimators.
    """

    project: str
    snapshot: Snapshot
    split: Split
    key: tuple[str, ...]
    target: str
    features: tuple[str, ...]
    task: Task
    metric: Metric
    train: str
    test: str
    train_rows: int
    test_rows: int
    cv: int
    seed: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values that identify the setting."""
        return {
            "project": self.project,
            "snapshot": self.snapshot.fingerprint,
            "split": self.split.dump(),
            "target": self.target,
            "features": list(self.features),
            "task": self.task,
            "metric": self.metric.name,
            "train": self.train,
            "test": self.test,
            "train_rows": self.train_rows,
            "test_rows": self.test_rows,
            "cv": self.cv,
            "seed": self.seed,
        }


@dataclasses.dataclass(frozen=True)
class Trial:
    """One trial of a study, as it ended.

    Attributes:
        number: From 0, in the order they were asked.
        state: ``complete``, ``pruned`` (stopped early, worse than its peers) or ``failed``.
        params: What `search` asked for.
        score: Mean of the fold scores; None unless complete.
        scores: Score by fold, as many as were evaluated.
        seconds: Time spent fitting and scoring.
        model: Description of the estimator, as it will be frozen.
        predictions: Fingerprint of all held-out predictions; empty unless complete.
        run_id: Child run in the tracking store.
        error: Why it failed.
        setting: What it shares with the other trials.
        study_run_id: Parent run.
    """

    number: int
    state: State
    params: Mapping[str, Any]
    score: float | None
    scores: tuple[float, ...]
    seconds: float
    model: Mapping[str, Any]
    predictions: str = ""
    run_id: str = ""
    error: str = ""
    setting: StudySetting | None = dataclasses.field(default=None, repr=False, compare=False)
    study_run_id: str = dataclasses.field(default="", compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, without the setting."""
        return {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name not in ("setting", "study_run_id")
        }

    def __repr__(self) -> str:
        """How good it was, what it was, and what to do next."""
        ending = f"{self.score:.6g}" if self.score is not None else f"{self.state} {self.error}".strip()
        name = self.setting.metric.name if self.setting else "score"
        folds = ", ".join(f"{value:.6g}" for value in self.scores)
        return (
            f"Trial {self.number}  {name} {ending}  [{folds}]  {self.seconds:.1f} s\n"
            f"  model   {steps_text(self.model)}\n"
            f"  params  {json.dumps(dict(self.params), default=str)}\n"
            f"  next    project.freeze(trial, gate=Gate(threshold=...)), or project.evaluate(trial)"
        )


@dataclasses.dataclass(frozen=True)
class Study:
    """A finished (or resumed and finished) study.

    Attributes:
        name: What people call it.
        run_id: Parent run in the tracking store.
        setting: Data, split, metric and seed of all its trials.
        trials: Every trial in the order they were asked, pruned and failed ones included.
        reused: Trials that had been evaluated before and were not evaluated again.
        serialization: Format that can hold the best trial's fitted model.
    """

    name: str
    run_id: str
    setting: StudySetting
    trials: tuple[Trial, ...]
    reused: int = 0
    serialization: str = ""

    @property
    def best(self) -> Trial:
        """The complete trial with the best score; of equals the first.

        Raises:
            StudyError: No trial is complete.
        """
        complete = [trial for trial in self.trials if trial.score is not None]
        if not complete:
            errors = next((trial.error for trial in self.trials if trial.error), "all were pruned")
            raise StudyError("RUN011", f"no trial is complete: {errors}", path=self.name, fix="see study.leaderboard()")
        sign = 1 if self.setting.metric.direction == "minimize" else -1
        return min(complete, key=lambda trial: sign * (trial.score or 0.0))

    def leaderboard(self) -> pd.DataFrame:
        """One row per trial, best first: score, spread over folds, state, seconds, model, parameters."""
        rows = [
            {
                "trial": trial.number,
                self.setting.metric.name: trial.score,
                "spread": pd.Series(trial.scores, dtype="float64").std() if trial.score is not None else None,
                "state": trial.state,
                "seconds": round(trial.seconds, 2),
                "model": steps_text(trial.model),
                **trial.params,
            }
            for trial in self.trials
        ]
        ascending = self.setting.metric.direction == "minimize"
        board = pd.DataFrame(rows).sort_values(self.setting.metric.name, ascending=ascending, kind="stable")
        return board.reset_index(drop=True)

    def to_dict(self) -> dict[str, Any]:
        """Plain values: the setting and every trial."""
        return {
            "name": self.name,
            "run_id": self.run_id,
            "setting": self.setting.to_dict(),
            "trials": [trial.to_dict() for trial in self.trials],
            "reused": self.reused,
        }

    def __repr__(self) -> str:
        """The leaderboard's top and what to do next."""
        states = [trial.state for trial in self.trials]
        counts = ", ".join(f"{states.count(s)} {s}" for s in ("complete", "pruned", "failed") if s in states)
        again = f", {self.reused} of them known from before" if self.reused else ""
        top = self.leaderboard().head(_TOP)[["trial", self.setting.metric.name, "spread", "seconds", "model"]]
        return (
            f"Study {self.name}  {len(self.trials)} trials ({counts}{again})  run {self.run_id}\n"
            f"  on      {self.setting.train_rows:,} train rows {self.setting.train}, {self.setting.cv} folds;"
            f" {self.setting.test_rows:,} test rows stay sealed\n"
            f"{top.to_string(index=False, max_colwidth=60)}\n"
            f"  next    project.freeze(study.best, gate=Gate(threshold=...))"
        )

    def _repr_html_(self) -> str:
        return f"<h4>Study {self.name}</h4>{self.leaderboard().to_html(index=False)}"


class TrialLog:
    """Keeps trials in the tracking store, written by one thread beside the search.

    A trial is one child run, created when the trial has ended and tagged with all that a replay
    needs; a run without that tag is what a killed process left, and is closed on the next start.
    """

    def __init__(
        self, tracking: Tracking, experiment: str, run_id: str, setting: StudySetting, *, tags: Mapping[str, str]
    ) -> None:
        """Nothing is read or written yet; `tags` are carried by every child run."""
        self._tracking, self._experiment, self._run_id, self._setting = tracking, experiment, run_id, setting
        self._tags = dict(tags)
        self._pool = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="mlkit-trials")
        self._pending: list[concurrent.futures.Future[Trial]] = []

    def known(self) -> dict[int, dict[str, Any]]:
        """Results of the trials that ended before, by number; leftovers of a killed process are closed."""
        results: dict[int, dict[str, Any]] = {}
        for run in self._tracking.children(self._experiment, self._run_id):
            if RESULT_TAG in run.tags and run.status in ("FINISHED", "FAILED"):
                results[int(run.tags[TRIAL_TAG])] = {**json.loads(run.tags[RESULT_TAG]), "run_id": run.run_id}
            elif run.status == "RUNNING":
                self._tracking.end(run.run_id, "KILLED")
        return results

    def write(self, trial: Trial) -> None:
        """Queue an ended trial; an earlier failure to write is raised here."""
        for done in [future for future in self._pending if future.done()]:
            done.result()
        self._pending.append(self._pool.submit(self._write, trial))

    def close(self) -> list[Trial]:
        """Wait until everything is written; the trials with their run ids, in order of writing."""
        self._pool.shutdown(wait=True)
        return [future.result() for future in self._pending]

    def __enter__(self) -> Self:
        """The log."""
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        """Write what was queued; after an error of the search, do not hide it behind one of the store."""
        self._pool.shutdown(wait=True, cancel_futures=kind is not None)

    def _write(self, trial: Trial) -> Trial:
        metric = self._setting.metric.name
        tags = {TRIAL_TAG: str(trial.number), STATE_TAG: trial.state, RESULT_TAG: _result(trial), **self._tags}
        run_id = self._tracking.start(
            self._experiment, f"trial {trial.number}", tags={**self._tags, TRIAL_TAG: str(trial.number)}, parent=self._run_id
        )
        failpoint("study.trial_started")
        values = {"seconds": trial.seconds} | ({metric: trial.score} if trial.score is not None else {})
        self._tracking.log(
            run_id, params=trial.params, metrics=values, steps={f"fold_{metric}": list(trial.scores)}, tags=tags
        )
        self._log_dataset(run_id)
        self._tracking.end(run_id, "FAILED" if trial.state == "failed" else "FINISHED")
        failpoint("study.trial_written")
        return dataclasses.replace(trial, run_id=run_id)

    def _log_dataset(self, run_id: str) -> None:
        log_train_rows(self._tracking, run_id, self._setting)


def log_train_rows(tracking: Tracking, run_id: str, setting: StudySetting) -> None:
    """Log the rows a study sees as MLflow's dataset input, under their fingerprint."""
    table = str(setting.snapshot.table)
    tracking.dataset(
        run_id,
        f"{setting.project}_train",
        fingerprint=setting.train,
        table=table,
        rows=setting.train_rows,
        context="training",
    )


def _result(trial: Trial) -> str:
    """What a replay needs of a trial, exact: JSON keeps every bit of a double."""
    error = trial.error[:1000]
    return json.dumps(
        {
            "state": trial.state,
            "scores": trial.scores,
            "seconds": trial.seconds,
            "predictions": trial.predictions,
            "error": error,
            "params": params_text(trial.params)[:2000],
        }
    )


def params_text(params: Mapping[str, Any]) -> str:
    """Parameters as one text, to tell whether a replay asked for the same."""
    return json.dumps(dict(params), sort_keys=True, default=str)


def looks(run: RunRecord) -> int:
    """How often the sealed test rows were looked at through this study."""
    return int(run.tags.get(LOOKS_TAG, "0"))
