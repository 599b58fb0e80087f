"""MLflow runs by explicit id: what was tried, with which parameters, and what came out."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import re
import time
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from mlflow.entities import Dataset, DatasetInput, InputTag, LifecycleStage, Metric, Param, RunTag, ViewType
from mlflow.exceptions import MlflowException

from mlkit.errors import StoreError
from mlkit.tracking.limits import (
    MAX_DATASET_NAME,
    MAX_DIGEST,
    check_entries,
    check_length,
    fitting,
    shortened,
)
from mlkit.tracking.owner import OWNER_TAG, this_process
from mlkit.tracking.store import all_pages, open_client, store_exists, translated

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from mlflow.entities import Experiment, Run
    from mlflow.tracking import MlflowClient

    from mlkit.engines.base import TableName
    from mlkit.workspace import Workspace

MAX_BATCH = 100
_PAGE = 1000
_REFUSED = re.compile(r"[^\w\-. :/]")  # characters that MLflow takes in no name
PARENT_TAG = "mlflow.parentRunId"
SINCE_TAG = "mlkit_since"

Status = Literal["FINISHED", "FAILED", "KILLED"]


@dataclasses.dataclass(frozen=True)
class RunRecord:
    """A run as it stands in the store.

    Attributes:
        run_id: MLflow's id.
        name: The name people see.
        status: ``RUNNING``, ``FINISHED``, ``FAILED`` or ``KILLED``.
        params: Logged parameters, as text.
        metrics: Last value of each metric.
        tags: Tags, MLflow's own included.
        started_at: When it was started, or opened again.
    """

    run_id: str
    name: str
    status: str
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    started_at: dt.datetime


class Tracking:
    """Runs of one workspace, always by id: there is no current run. Safe to use from several threads.

    Whatever MLflow or its database raises becomes a `StoreError` that says what was being done.
    """

    def __init__(self, workspace: Workspace) -> None:
        """Remember the stores; they are opened on first use."""
        self.workspace = workspace

    @cached_property
    def client(self) -> MlflowClient:
        """MLflow's client of these stores."""
        return open_client(self.workspace.tracking_uri, self.workspace.registry_uri)

    @property
    def is_made(self) -> bool:
        """Whether there is a store to look into: a local one is made when something is first written."""
        return store_exists(self.workspace.tracking_uri)

    def experiment(self, project: str) -> str:
        """Id of a project's experiment, made if it is not there.

        Raises:
            StoreError: Somebody deleted it in MLflow (STO030), where its name stays taken.
        """
        name = self.workspace.experiment_name(project)
        with translated(f"open the experiment {name}"):
            found = self.client.get_experiment_by_name(name) or self._made_experiment(name)
        if found.lifecycle_stage != LifecycleStage.ACTIVE:
            fix = f"restore it: mlflow experiments restore --experiment-id {found.experiment_id}"
            raise StoreError("STO030", "the experiment was deleted in MLflow", path=name, fix=fix)
        return str(found.experiment_id)

    def _made_experiment(self, name: str) -> Experiment:
        files = self.workspace.artifacts
        location = f"{files}/{name}" if files else None
        try:
            return self.client.get_experiment(self.client.create_experiment(name, artifact_location=location))
        except MlflowException:
            meanwhile = self.client.get_experiment_by_name(name)  # made by somebody else
            if meanwhile is None:
                raise
            return meanwhile

    def start(self, experiment: str, name: str, *, tags: Mapping[str, str], parent: str | None = None) -> str:
        """Create a run and give its id; `parent` makes it a child of that run."""
        family = {PARENT_TAG: parent} if parent else {}
        with translated(f"create the run {name}"):
            own = {**fitting(tags), **family, OWNER_TAG: this_process()}
            run = self.client.create_run(experiment, run_name=name, tags=own)
        return str(run.info.run_id)

    def log(
        self,
        run_id: str,
        *,
        params: Mapping[str, object] | None = None,
        metrics: Mapping[str, float] | None = None,
        steps: Mapping[str, list[float]] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Log to a run in as few calls as MLflow allows.

        Args:
            run_id: The run.
            params: Parameters; a text over `MAX_PARAM` characters is cut and ends in an ellipsis.
            metrics: Metrics of one value.
            steps: Metrics of one value a step.
            tags: Tags; one that is too long is an error (STO025), for tags are read back.

        Raises:
            StoreError: More than `MAX_ENTRIES` parameters or tags, or a name over `MAX_NAME` (STO038).
        """
        for what, entries in (
            ("parameters", params),
            ("tags", tags),
            ("metrics", metrics),
            ("metrics", steps),
        ):
            check_entries(what, entries or {})
        now = int(time.time() * 1000)
        points = [Metric(name, value, now, 0) for name, value in (metrics or {}).items()]
        for name, values in (steps or {}).items():
            points += [Metric(name, value, now, step) for step, value in enumerate(values)]
        texts = [Param(_REFUSED.sub("_", name), shortened(value)) for name, value in (params or {}).items()]
        labels = [RunTag(name, value) for name, value in fitting(tags or {}).items()]
        with translated("log to a run"):
            for first in range(0, max(len(points), len(texts), len(labels)), MAX_BATCH):
                part = slice(first, first + MAX_BATCH)
                self.client.log_batch(run_id, metrics=points[part], params=texts[part], tags=labels[part])

    def end(self, run_id: str, status: Status = "FINISHED") -> None:
        """Close a run."""
        with translated("close a run"):
            self.client.set_terminated(run_id, status=status)

    def reopen(self, run_id: str) -> None:
        """Mark a run as running again, from now on, by this process."""
        self.log(run_id, tags={OWNER_TAG: this_process(), SINCE_TAG: dt.datetime.now(dt.UTC).isoformat()})
        with translated("reopen a run"):
            self.client.update_run(run_id, status="RUNNING")

    def dataset(self, run_id: str, table: TableName, *, fingerprint: str, rows: int, context: str) -> None:
        """Log a table as dataset input whose digest is the fingerprint (35 characters: it fits MLflow's 36).

        Args:
            run_id: The run.
            table: Where the rows are; also the dataset's name.
            fingerprint: ``d1:`` + 32 hex.
            rows: How many there are.
            context: What they were used for: ``training`` or ``evaluation``.
        """
        check_length(str(table), MAX_DATASET_NAME, "dataset")
        check_length(fingerprint, MAX_DIGEST, "digest")
        kind, source = _source(self.workspace, table)
        dataset = Dataset(str(table), fingerprint, kind, source, profile=json.dumps({"num_rows": rows}))
        entry = DatasetInput(dataset, tags=[InputTag("mlflow.data.context", context)])
        with translated("log a dataset"):
            self.client.log_inputs(run_id, datasets=[entry])

    def text(self, run_id: str, path: str, text: str) -> None:
        """Store a text as an artifact of a run."""
        with translated(f"store {path}"):
            self.client.log_text(run_id, text, path)

    def document(self, run_id: str, path: str, values: Mapping[str, Any]) -> None:
        """Store values as a JSON artifact of a run; what JSON has no form for becomes text."""
        self.text(run_id, path, json.dumps(values, indent=2, ensure_ascii=False, default=str))

    def folder(self, run_id: str, folder: Path, path: str) -> None:
        """Store all files of a folder as artifacts of a run."""
        with translated(f"store {path}"):
            self.client.log_artifacts(run_id, str(folder), path)

    def run(self, run_id: str) -> RunRecord:
        """One run by id."""
        with translated("read a run"):
            return _record(self.client.get_run(run_id))

    def running(self, experiment: str) -> list[RunRecord]:
        """Runs of an experiment that say they are running, oldest first."""
        return self._found(experiment, "attributes.status = 'RUNNING'")

    def runs(self, experiment: str, *, tags: Mapping[str, str]) -> list[RunRecord]:
        """Runs of an experiment that carry these tags, oldest first.

        Args:
            experiment: Id of the experiment.
            tags: Name to value, all of which must be equal.

        Raises:
            StoreError: A value that could end the quotes of the search (STO026).
        """
        wanted = " and ".join(f"tags.`{name}` = '{_literal(value)}'" for name, value in tags.items())
        return self._found(experiment, wanted)

    def _found(self, experiment: str, wanted: str) -> list[RunRecord]:
        order = ["attributes.start_time ASC"]
        with translated("search runs"):
            found = all_pages(
                lambda token: self.client.search_runs(
                    [experiment], wanted, ViewType.ACTIVE_ONLY, _PAGE, order, token
                )
            )
        return [_record(run) for run in found]

    def children(self, experiment: str, parent: str) -> list[RunRecord]:
        """Child runs of a run, oldest first."""
        return self.runs(experiment, tags={PARENT_TAG: parent})


def _record(run: Run) -> RunRecord:
    info, data = run.info, run.data
    params, metrics, tags = dict(data.params), dict(data.metrics), dict(data.tags)
    started = dt.datetime.fromtimestamp((info.start_time or 0) / 1000, dt.UTC)
    if again := tags.get(SINCE_TAG):
        started = dt.datetime.fromisoformat(again)
    return RunRecord(info.run_id, info.run_name, info.status, params, metrics, tags, started)


def _source(workspace: Workspace, table: TableName) -> tuple[str, str]:
    """Kind and address of a table in the words of MLflow's own sources.

    Unity Catalog reads the sources of a run back when a job registers a model, and stops at one of an
    unknown kind. It draws lineage for tables whose id it is told.
    """
    address = workspace.address_of(table)
    if workspace.spec.on_databricks and workspace.spec.spark:
        from mlflow.data.delta_dataset_source import DeltaDatasetSource  # noqa: PLC0415 - loads pyspark

        with translated("describe a dataset"):
            return "delta_table", DeltaDatasetSource(delta_table_name=address).to_json()
    if workspace.spec.spark:
        return "spark", json.dumps({"table_name": address})
    return "delta_table", json.dumps({"path": address})


def _literal(value: str) -> str:
    """A text inside a search filter, in which nothing may end the quotes."""
    if "'" in value or "\\" in value:
        message = "a tag that is searched for holds no quote or backslash"
        raise StoreError("STO026", message, path="tags", fix="search for something else")
    return value
