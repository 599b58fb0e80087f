"""The trials of a study in the tracking store: one child run each, written beside the search."""

from __future__ import annotations

import concurrent.futures
import json
from typing import TYPE_CHECKING, Any, Self

from mlkit.errors import StoreError
from mlkit.failpoints import failpoint
from mlkit.research.study.trials import STATE_TAG, TRIAL_TAG

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from mlkit.research.study.trials import StudySetting, Trial
    from mlkit.tracking.runs import Tracking

RESULT_TAG = "mlkit_result"


class TrialLog:
    """Keeps trials in the tracking store, written in order by one thread of its own.

    A trial is one child run, created when the trial has ended and tagged with all that a replay
    needs; a run that was never closed is what a killed process left, and is closed on the next start.

    Args:
        tracking: The store.
        experiment: Id of the experiment.
        run_id: Parent run.
        setting: What the trials share.
        tags: Carried by every child run.
    """

    def __init__(
        self,
        tracking: Tracking,
        experiment: str,
        run_id: str,
        setting: StudySetting,
        *,
        tags: Mapping[str, str],
    ) -> None:
        """Nothing is read or written yet."""
        self._tracking, self._experiment, self._run_id, self._setting = tracking, experiment, run_id, setting
        self._tags = dict(tags)
        self._pool = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="mlkit-trials")
        self._pending: list[concurrent.futures.Future[tuple[int, str]]] = []

    def known(self) -> dict[int, dict[str, Any]]:
        """Results of the trials that ended before, by number; leftovers of a killed process are closed."""
        results: dict[int, dict[str, Any]] = {}
        for run in self._tracking.children(self._experiment, self._run_id):
            if run.status == "RUNNING":
                self._tracking.end(run.run_id, "KILLED")
            elif run.status != "KILLED" and RESULT_TAG in run.tags:
                results[int(run.tags[TRIAL_TAG])] = {
                    **json.loads(run.tags[RESULT_TAG]),
                    "run_id": run.run_id,
                }
        return results

    def write(self, trial: Trial, content: str) -> None:
        """Queue an ended trial; an earlier failure to write is raised here.

        Args:
            trial: The trial.
            content: Digest of what was evaluated, by which a replay knows it again.
        """
        for done in self._pending:
            if done.done():
                done.result()
        self._pending.append(self._pool.submit(self._write, trial, content))

    def close(self) -> dict[int, str]:
        """Wait until everything is written; the run id of each trial that was."""
        self._pool.shutdown(wait=True)
        return dict(future.result() for future in self._pending)

    def __enter__(self) -> Self:
        """The log."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        """Write what has ended, also after an error; only a store that failed is not asked again."""
        self._pool.shutdown(wait=True, cancel_futures=kind is not None and issubclass(kind, StoreError))

    def _write(self, trial: Trial, content: str) -> tuple[int, str]:
        metric, name = self._setting.metric.name, f"trial {trial.number}"
        own = {TRIAL_TAG: str(trial.number), STATE_TAG: trial.state, RESULT_TAG: _result(trial, content)}
        tags = {**self._tags, **own}
        run_id = self._tracking.start(self._experiment, name, tags=tags, parent=self._run_id)
        failpoint("study.trial_started")
        self._tracking.log(
            run_id,
            params=trial.params,
            metrics={"seconds": trial.seconds, **({} if trial.score is None else {metric: trial.score})},
            steps={f"fold_{metric}": list(trial.scores)},
        )
        log_train_rows(self._tracking, run_id, self._setting)
        self._tracking.end(run_id, "FAILED" if trial.state == "failed" else "FINISHED")
        failpoint("study.trial_written")
        return trial.number, run_id


def log_train_rows(tracking: Tracking, run_id: str, setting: StudySetting) -> None:
    """Log the rows a study sees as MLflow's dataset input, under their fingerprint."""
    table, rows = setting.snapshot.table, setting.train_rows
    tracking.dataset(run_id, table, fingerprint=setting.train, rows=rows, context="training")


def _result(trial: Trial, content: str) -> str:
    """What a replay needs of a trial, exact: JSON keeps every bit of a double."""
    names = ("state", "scores", "seconds", "predictions", "error")
    kept = {name: getattr(trial, name) for name in names}
    return json.dumps({**kept, "content": content}, ensure_ascii=False)
