"""A small production: flights, frozen configs of them, what they leave behind, and other processes."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import json
import multiprocessing
import os
import sys
from typing import TYPE_CHECKING

from sklearn.linear_model import Ridge

from mlkit import Gate, MlkitError, Source, Split, open_workspace
from mlkit.data.features import publish_features
from mlkit.engines.base import MONITORING, TRAINING, TableName
from mlkit.errors import RaceLostError
from mlkit.frozen import FrozenConfig
from mlkit.production import promotion, runner
from mlkit.production.cleanup.retention import Retention
from mlkit.production.cleanup.sweep import clean_up
from mlkit.production.monitor import monitor
from mlkit.production.registry import RUN_KEY
from mlkit.production.retrain import retrain
from mlkit.production.rollback import roll_back
from mlkit.production.scoring import score
from mlkit.production.stores import Stores
from mlkit.tracking.models import choose_serialization

if TYPE_CHECKING:
    from pathlib import Path

NAME = "flight_delay"
# The lowest supported MLflow cannot write skops.
FORMAT = choose_serialization(Ridge())
MODEL_FILE = {"skops": "model.skops", "cloudpickle": "model.pkl"}[FORMAT]
TABLE = TableName("features", "flights")
RIDGE = {"class": "sklearn.linear_model.Ridge", "params": {"alpha": 1.0}}
TREE = {"class": "sklearn.tree.DecisionTreeRegressor", "params": {"max_depth": 6}}
STUMP = {"class": "sklearn.tree.DecisionTreeRegressor", "params": {"max_depth": 1}}
DTYPES = {
    "flight_id": "int64",
    "hour": "int64",
    "distance": "float64",
    "is_ua": "bool",
    "delay": "float64",
    "per_mile": "float64",
}


def publish(engine, frame):
    """Publish flights as official features."""
    return publish_features(engine, TABLE, frame, contract=None, key=("flight_id",))


def frozen(**changes) -> FrozenConfig:
    """The config of the flights, with other fields where they are given."""
    values = {
        "name": NAME,
        "task": "regression",
        "target": "delay",
        "key": ("flight_id",),
        "features": ("hour", "distance", "is_ua", "per_mile"),
        "metric": "rmse",
        "seed": 3,
        "model": RIDGE,
        "serialization": FORMAT,
        "source": Source(table="features.flights", prepare="my_prepare:prepare"),
        "split": Split(test=0.25, seed=7),
        "gate": Gate(threshold=25),
        "contract": {"columns": {name: {"dtype": dtype} for name, dtype in DTYPES.items()}},
        "environment": {"python": "3.11", "requirements": []},
    }
    return FrozenConfig.from_values({**values, **changes})


def state(stores: Stores) -> dict:
    """All that a production leaves behind and that may not depend on how often it was stopped."""
    champion = stores.registry.champion()
    runs = stores.tracking.runs(stores.experiment, tags={"mlkit_kind": "deploy"})
    found = {
        "ledger": [
            (e.seq, e.kind, e.from_version, e.to_version, e.reason, e.run_key, tables_of(e.evidence))
            for e in stores.ledger.entries()
        ],
        "alias": champion and champion.version,
        "versions": [(version.version, version.tags[RUN_KEY]) for version in stores.registry.versions()],
        "tables": [str(name) for schema in (TRAINING, MONITORING) for name in stores.engine.tables(schema)],
        "decisions": [
            (decision.run_key, decision.outcome, decision.record["scores"], tables_of(decision.record))
            for run in runs
            for decision in stores.decisions.find(run.tags[RUN_KEY])
        ],
        "runs": [(run.tags[RUN_KEY], run.status, run.tags.get("mlkit_outcome")) for run in runs],
        "artifacts": [artifacts(stores, run.run_id) for run in runs],
    }
    return json.loads(json.dumps(found))


def tables_of(record) -> list:
    """Names of the tables of a record: they hold the fingerprints, so equal names are equal rows."""
    return [record[part]["table"] for part in ("train", "test", "predictions")]


def artifacts(stores: Stores, run_id: str) -> list:
    """Paths of what is stored with a run, but for the error of a stopped one."""
    paths = [item.path for item in stores.tracking.client.list_artifacts(run_id)]
    return sorted(path for path in paths if path != "error.txt")


def listing(home: Path) -> dict:
    """Every file below a home with its bytes; the database apart, which is touched by every reader."""
    files = (path for path in home.rglob("*") if path.is_file() and not path.name.startswith("mlflow.db"))
    return {path.relative_to(home).as_posix(): path.read_bytes() for path in files}


class Children:
    """Processes of their own in a folder, forked from one that has the libraries loaded already."""

    def __init__(self, folder: Path) -> None:
        self._context = multiprocessing.get_context("forkserver")
        self._folder = folder

    def run(self, *task, fail=None) -> tuple:
        """Run one task to its end; its exit code, and its answer (none of one that was killed)."""
        return self.race([task], fail=fail)[0]

    def race(self, tasks, *, fail=None, meet_at=None) -> list:
        """Run tasks at once; with `meet_at`, all go on together from that failpoint."""
        barrier = self._context.Barrier(len(tasks)) if meet_at else None
        answers = [self._folder / f"answer-{number}.json" for number in range(len(tasks))]
        children = [
            self._context.Process(target=_child, args=(self._folder, task, fail, answer, barrier, meet_at))
            for task, answer in zip(tasks, answers, strict=True)
        ]
        for child in children:
            child.start()
        for child in children:
            child.join(100)
        told = [json.loads(answer.read_text()) if answer.is_file() else None for answer in answers]
        for answer in answers:
            answer.unlink(missing_ok=True)
        return [(child.exitcode, answer) for child, answer in zip(children, told, strict=True)]


def _child(folder, task, fail, answer, barrier, meet_at) -> None:
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    os.environ.update(MLKIT_HOME=str(folder / ".mlkit"), MLKIT_TEST="1", MLKIT_QUIET="1")
    os.environ["MLKIT_TEST_FAIL"] = fail or ""
    if barrier is not None:
        for room in (runner, promotion):
            room.failpoint = lambda name: barrier.wait(60) if name == meet_at else None
    try:
        answer.write_text(json.dumps(_TASKS[task[0]](Stores(open_workspace(), NAME), *task[1:])))
    except MlkitError as exc:
        answer.write_text(json.dumps(exc.to_dict()))


def _deploy(stores, file) -> dict:
    report = runner.deploy(FrozenConfig.load(file), stores)
    return {**report.to_dict(), "state": state(stores)}


def _roll_back(stores, reason) -> dict:
    return {**roll_back(stores, reason=reason).to_dict(), "state": state(stores)}


def _leave(stores, reason) -> dict:
    return roll_back(stores, reason=reason, mark_bad=True).to_dict()


def _append(stores, reason, turns) -> list:
    """Append to the ledger, as often as it takes; the sequence numbers that were won."""
    won = []
    while len(won) < turns:
        head = stores.ledger.head()
        entry = dataclasses.replace(head, seq=head.seq + 1, reason=reason)
        with contextlib.suppress(RaceLostError):
            won.append(stores.ledger.append(entry, expected_seq=head.seq).seq)
    return won


def _monitor(stores, since) -> dict:
    return monitor(stores, since=dt.datetime.fromisoformat(since)).to_dict()


def _retrain(stores, file) -> dict:
    return {**retrain(FrozenConfig.load(file), stores).to_dict(), "state": state(stores)}


def _clean_up(stores, retention, now) -> dict:
    return clean_up(stores, Retention(**retention), now=dt.datetime.fromisoformat(now)).to_dict()


def _score(stores, data, to) -> dict:
    return score(stores, data, to=to).to_dict()


_TASKS = {
    "cleanup": _clean_up,
    "deploy": _deploy,
    "rollback": _roll_back,
    "leave": _leave,
    "append": _append,
    "monitor": _monitor,
    "retrain": _retrain,
    "score": _score,
}
