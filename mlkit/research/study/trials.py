"""What a study leaves behind: its trials and their ranking."""

from __future__ import annotations

import dataclasses
import html
import json
import math
import statistics
from typing import TYPE_CHECKING, Any, Literal, get_args

import pandas as pd

from mlkit.errors import StudyError
from mlkit.model.estimator import steps_text
from mlkit.page.words import counted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlkit.data.snapshot import Snapshot
    from mlkit.data.split import Split
    from mlkit.model.evaluation import Metric, Task
    from mlkit.tracking.runs import RunRecord

State = Literal["complete", "pruned", "failed"]

TRIAL_TAG = "mlkit_trial"
STATE_TAG = "mlkit_state"
STUDY_TAG = "mlkit_study"
BEST_TAG = "mlkit_best_trial"
SERIALIZATION_TAG = "mlkit_serialization"
LOOKS_TAG = "mlkit_test_looks"
MANIFEST_TAG = "mlkit_manifest"
_TOP, _WIDTH = 5, 60


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
            "key": list(self.key),
            "target": self.target,
            "features": list(self.features),
            "task": self.task,
            "metric": self.metric.name,
            "direction": self.metric.direction,
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

    @property
    def spread(self) -> float | None:
        """Standard deviation of the fold scores; None unless complete, or of a single fold."""
        several = self.score is not None and len(self.scores) > 1
        return statistics.stdev(self.scores) if several else None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, without the setting; a score that is no number is None."""
        values = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name not in ("setting", "study_run_id")
        }
        scores = [score if math.isfinite(score) else None for score in self.scores]
        return {**values, "params": dict(self.params), "model": dict(self.model), "scores": scores}

    def __repr__(self) -> str:
        """How good it was, what it was, and what to do next."""
        ending = f"{self.score:.6g}" if self.score is not None else f"{self.state} {self.error}".strip()
        name = self.setting.metric.name if self.setting else "score"
        folds = ", ".join(f"{value:.6g}" for value in self.scores)
        following = "project.freeze(trial, gate=Gate(threshold=...)), or project.evaluate(trial)"
        return (
            f"Trial {self.number}  {name} {ending}  [{folds}]  {self.seconds:.1f} s\n"
            f"  model   {steps_text(self.model) if self.model else 'none'}\n"
            f"  params  {json.dumps(dict(self.params), default=str)}\n"
            f"  next    {following if self.state == 'complete' else 'study.best'}"
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
    """

    name: str
    run_id: str
    setting: StudySetting
    trials: tuple[Trial, ...]
    reused: int = 0

    @property
    def best(self) -> Trial:
        """The complete trial with the best score; of equals the first.

        Raises:
            StudyError: No trial is complete.
        """
        found = [(trial.score, trial) for trial in self.trials if trial.score is not None]
        if not found:
            error = next((trial.error for trial in self.trials if trial.error), "all were pruned")
            fix = "see study.trials, or the child runs of this study"
            raise StudyError("RUN011", f"no trial is complete: {error}", path=self.name, fix=fix)
        sign = 1 if self.setting.metric.direction == "minimize" else -1
        return min(found, key=lambda pair: sign * pair[0])[1]

    def leaderboard(self) -> pd.DataFrame:
        """One row per trial, best first, those without a score last.

        Columns: ``trial``, the metric's name, ``spread`` over folds, ``state``, ``seconds``, ``model``, and
        ``params_<name>`` for every parameter.
        """
        metric = self.setting.metric
        rows = [
            {
                "trial": trial.number,
                metric.name: trial.score,
                "spread": trial.spread,
                "state": trial.state,
                "seconds": round(trial.seconds, 2),
                "model": steps_text(trial.model) if trial.model else "",
                **{f"params_{name}": value for name, value in trial.params.items()},
            }
            for trial in self.trials
        ]
        board = pd.DataFrame(rows).astype({metric.name: "float64", "spread": "float64"})
        ascending = metric.direction == "minimize"
        return board.sort_values(metric.name, ascending=ascending, kind="stable", ignore_index=True)

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
        again = f", {self.reused} of them known from before" if self.reused else ""
        top = self.leaderboard().head(_TOP)[["trial", self.setting.metric.name, "spread", "seconds", "model"]]
        top = top.assign(model=top["model"].map(_short))
        return (
            f"Study {self.name}  {counted(len(self.trials), 'trial')} ({_counts(self.trials)}{again})"
            f"  run {self.run_id}\n"
            f"  on      {self.setting.train_rows:,} train rows {self.setting.train}, {self.setting.cv} folds;"
            f" {self.setting.test_rows:,} test rows stay sealed\n"
            f"{top.to_string(index=False)}\n"
            f"  next    project.freeze(study.best, gate=Gate(threshold=...))"
        )

    def _repr_html_(self) -> str:
        return f"<h4>Study {html.escape(self.name)}</h4>{self.leaderboard().to_html(index=False)}"


def _short(model: str) -> str:
    """A model's text in at most 60 letters: it begins like the others, what was tried stands at its end."""
    return model if len(model) <= _WIDTH else f"{model[:24]}...{model[-33:]}"


def _counts(trials: Sequence[Trial]) -> str:
    states = [trial.state for trial in trials]
    return ", ".join(f"{states.count(state)} {state}" for state in get_args(State) if state in states)


def looks(run: RunRecord) -> int:
    """How often the sealed test rows were looked at through this study."""
    return int(run.tags.get(LOOKS_TAG, "0"))
