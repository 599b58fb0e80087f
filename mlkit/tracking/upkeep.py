"""Keeping MLflow's stores tidy: what they hold of a project, how old it is, and how to let go of it.

MLflow only marks runs and models as deleted, so that they can be brought back, and leaves their files. The
files of models are what takes space: those are removed here. A run is marked; ``mlflow gc`` does the rest.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import shutil
from typing import TYPE_CHECKING

from mlflow.entities import ViewType
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from mlkit.tracking.copies import local_path
from mlkit.tracking.store import all_pages, translated

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from mlkit.tracking.runs import Tracking

_GONE = frozenset({"RESOURCE_DOES_NOT_EXIST", "NOT_FOUND"})
_PAGE = 100


@dataclasses.dataclass(frozen=True)
class StoredModel:
    """A logged model as it stands in the store.

    Attributes:
        model_id: MLflow's id.
        run_id: The run that made it.
        ready: Whether it was finished.
        made_at: When, by the clock of the store.
        location: Address of its files.
        tags: Its tags.
    """

    model_id: str
    run_id: str
    ready: bool
    made_at: dt.datetime
    location: str
    tags: Mapping[str, str]

    @property
    def folder(self) -> Path | None:
        """Where its files are, if that is on this machine."""
        return local_path(self.location)

    @property
    def size(self) -> int | None:
        """Bytes of its files; None where they are not on this machine."""
        folder = self.folder
        if folder is None:
            return None
        return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


class TrackingUpkeep:
    """What MLflow keeps of projects, and letting go of it."""

    def __init__(self, tracking: Tracking) -> None:
        """Nothing is read yet."""
        self._tracking = tracking

    def find_experiment(self, project: str) -> str | None:
        """Id of a project's experiment; None if it is not there, for looking makes nothing."""
        if not self._tracking.is_made:
            return None
        name = self._tracking.workspace.experiment_name(project)
        with translated(f"look for the experiment {name}"):
            found = self._tracking.client.get_experiment_by_name(name)
        return str(found.experiment_id) if found else None

    def models(self, experiment: str) -> list[StoredModel]:
        """All logged models of an experiment that are not deleted, oldest first."""
        client = self._tracking.client
        with translated("list models"):
            listed = all_pages(
                lambda token: client.search_logged_models([experiment], max_results=_PAGE, page_token=token)
            )
        found = [
            StoredModel(
                model_id=str(model.model_id),
                run_id=str(model.source_run_id or ""),
                ready=str(model.status) == "READY",
                made_at=_instant(model.creation_timestamp),
                location=str(model.artifact_location),
                tags=dict(model.tags),
            )
            for model in listed
        ]
        return sorted(found, key=lambda model: model.made_at)

    def versions(self, model: str) -> dict[int, dt.datetime]:
        """When each version of a registered model was made, by its number."""
        if not self._tracking.is_made:
            return {}
        client, wanted = self._tracking.client, f"name = '{model}'"
        found: dict[int, dt.datetime] = {}
        with translated("list versions"), _unless_gone():
            for native in all_pages(lambda token: client.search_model_versions(wanted, _PAGE, None, token)):
                found[int(native.version)] = _instant(native.creation_timestamp)
        return dict(sorted(found.items()))

    def aliases(self, model: str) -> dict[str, int]:
        """Version by alias of a registered model."""
        if not self._tracking.is_made:
            return {}
        with translated("read the aliases"):
            try:
                found = self._tracking.client.get_registered_model(model).aliases
            except MlflowException as exc:
                if exc.error_code in _GONE:
                    return {}
                raise
        return {str(alias): int(version) for alias, version in dict(found).items()}

    def remove_model(self, model_id: str, location: str) -> None:
        """Remove the files of a logged model, then the model; fine if either is gone already.

        Args:
            model_id: The model.
            location: Address of its files.
        """
        folder = local_path(location)
        with translated(f"remove the files of {model_id}"):
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=not folder.exists())
            elif not self._tracking.workspace.spec.on_databricks:  # which removes them itself
                get_artifact_repository(location).delete_artifacts()  # type: ignore[no-untyped-call]
            with _unless_gone():
                self._tracking.client.delete_logged_model(model_id)

    def remove_run(self, run_id: str) -> None:
        """Mark a run as deleted; ``mlflow runs restore`` brings it back until ``mlflow gc`` has run."""
        with translated("delete a run"), _unless_gone():
            self._tracking.client.delete_run(run_id)

    def remove_version(self, model: str, version: int) -> None:
        """Delete a version from the registry, for good."""
        with translated("delete a version"), _unless_gone():
            self._tracking.client.delete_model_version(model, str(version))

    def check(self, model: str) -> None:
        """Ask each of the two stores something.

        Args:
            model: Name of a registered model, which need not be there.

        Raises:
            StoreError: One of them does not answer.
        """
        with translated("look at the experiments"):
            self._tracking.client.search_experiments(max_results=1, view_type=ViewType.ALL)
        self.aliases(model)


def _instant(milliseconds: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(milliseconds / 1000, dt.UTC)


@contextlib.contextmanager
def _unless_gone() -> Iterator[None]:
    try:
        yield
    except MlflowException as exc:
        if exc.error_code not in _GONE:
            raise
