"""Model versions in MLflow's registry, and the files behind them.

MLflow registers anything, so nothing here trusts a status: a version is found by its run key, and its
files are compared with the manifest before and after registration and before every load.
"""

from __future__ import annotations

import dataclasses
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import mlflow.artifacts
from mlflow.exceptions import MlflowException

from mlkit.errors import IntegrityError, StoreError
from mlkit.failpoints import failpoint
from mlkit.tracking.models import load_model, verify_manifest
from mlkit.tracking.store import translated

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlflow.entities.model_registry import ModelVersion as NativeVersion

    from mlkit.tracking.runs import Tracking

ALIAS = "champion"
RUN_KEY = "mlkit_run_key"
MODEL_KEY = "mlkit_model_key"
MANIFEST_TAG = "mlkit_manifest"
MODEL_ID = "mlkit_model_id"
READY_SECONDS = 300
_PAGE = 1000
_POLL_SECONDS = 1.0
_EXISTS = "RESOURCE_ALREADY_EXISTS"
_GONE = "RESOURCE_DOES_NOT_EXIST"
_MISSING = frozenset({_GONE, "INVALID_PARAMETER_VALUE"})


@dataclasses.dataclass(frozen=True)
class ModelVersion:
    """A registered version.

    Attributes:
        name: The registered model: the project's name.
        version: Its number; a label, not an identity.
        model_id: MLflow's id of the logged model.
        run_id: The production run that made it.
        tags: Run key, commit, table names and digests.
    """

    name: str
    version: int
    model_id: str
    run_id: str
    tags: Mapping[str, str]

    @property
    def manifest_digest(self) -> str:
        """sha256 of the manifest of its files."""
        return self.tags.get(MANIFEST_TAG, "")

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return dataclasses.asdict(self)

    def __repr__(self) -> str:
        """What it was trained on and how to read more."""
        return (
            f"ModelVersion {self.name} v{self.version}  {self.model_id}\n"
            f"  train   {self.tags.get('mlkit_train_table', '')}\n"
            f"  next    project.explain({self.version})"
        )


class Registry:
    """Logged models and versions of one project."""

    def __init__(self, tracking: Tracking, name: str) -> None:
        """Nothing is read yet."""
        self._tracking, self._name = tracking, name

    def log(self, folder: Path, *, experiment: str, run_id: str, tags: Mapping[str, str]) -> str:
        """Upload a model folder and give the id of the logged model; without a finish it never counts."""
        client = self._tracking.client
        with translated("log a model"):
            model = client.create_logged_model(
                experiment, name=self._name, source_run_id=run_id, tags=dict(tags)
            )
            failpoint("train.model_created")
            client.log_model_artifacts(model.model_id, str(folder))
            failpoint("train.model_uploaded")
            client.finalize_logged_model(model.model_id, "READY")
        return str(model.model_id)

    def logged(self, experiment: str, *, model_key: str) -> dict[str, str]:
        """Manifest digests of finished logged models of this key, by model id, oldest first."""
        with translated("search models"):
            found = self._tracking.client.search_logged_models(
                [experiment], filter_string=f"tags.{MODEL_KEY} = '{model_key}'"
            )
        ready = [model for model in found if str(model.status) == "READY"]
        ready.sort(key=lambda model: model.creation_timestamp)
        return {str(model.model_id): model.tags.get(MANIFEST_TAG, "") for model in ready}

    def folder(self, model_id: str) -> Path:
        """A local folder with the files of a logged model (the store's own where it is local)."""
        with translated("fetch a model"):
            location = self._location(model_id)
            if location.startswith("file:"):
                return Path(url2pathname(urlsplit(location).path))
            kept = tempfile.mkdtemp(prefix="mlkit-model-")
            return Path(mlflow.artifacts.download_artifacts(artifact_uri=location, dst_path=kept))

    def load(self, model_id: str, *, manifest_digest: str) -> Any:  # noqa: ANN401 - any estimator
        """The estimator of a logged model, after checking every file of it."""
        return load_model(self.folder(model_id), manifest_digest=manifest_digest)

    def verify(self, model_id: str, *, manifest_digest: str) -> None:
        """Check that a logged model's files are those recorded."""
        verify_manifest(self.folder(model_id), manifest_digest=manifest_digest)

    def register(self, model_id: str, *, run_id: str, run_key: str, tags: Mapping[str, str]) -> ModelVersion:
        """Register a logged model once: its version of the same run key is found again.

        Raises:
            IntegrityError: The files are not those of the manifest.
            StoreError: The version did not become ready.
        """
        manifest = tags[MANIFEST_TAG]
        self.verify(model_id, manifest_digest=manifest)
        wanted = {RUN_KEY: run_key, MODEL_ID: model_id}
        known = (native for native in self._natives() if wanted.items() <= dict(native.tags).items())
        native = next(known, None) or self._create_version(model_id, run_id, {**tags, **wanted})
        version = _version(self._await_ready(native))
        self.verify(model_id, manifest_digest=manifest)
        return version

    def versions(self) -> list[ModelVersion]:
        """All versions, oldest first."""
        return sorted(map(_version, self._natives()), key=lambda version: version.version)

    def version(self, number: int) -> ModelVersion | None:
        """One version by number; None if there is none."""
        return next((found for found in self.versions() if found.version == number), None)

    def champion(self) -> ModelVersion | None:
        """The version that the alias points at; None if it points at none."""
        with translated("read the alias"):
            try:
                return _version(self._tracking.client.get_model_version_by_alias(self._name, ALIAS))
            except MlflowException as exc:
                if exc.error_code in _MISSING:
                    return None
                raise

    def point_alias(self, version: int) -> None:
        """Point the alias at a version."""
        with translated("move the alias"):
            try:
                self._tracking.client.set_registered_model_alias(self._name, ALIAS, str(version))
            except MlflowException:  # two that set it for the first time break each other on sqlite
                self._tracking.client.set_registered_model_alias(self._name, ALIAS, str(version))

    def _location(self, model_id: str) -> str:
        try:
            return str(self._tracking.client.get_logged_model(model_id).artifact_location)
        except MlflowException as exc:
            if exc.error_code != _GONE:
                raise
            fix = "restore the tracking store from its backup, or make another version the champion"
            raise IntegrityError("INT025", "the model is gone", path=model_id, fix=fix) from exc

    def _natives(self) -> list[NativeVersion]:
        found: list[NativeVersion] = []
        token: str | None = None
        with translated("list versions"):
            while True:
                page = self._tracking.client.search_model_versions(
                    f"name = '{self._name}'", _PAGE, None, token
                )
                found.extend(page)
                token = page.token
                if not token:
                    return found

    def _create_version(self, model_id: str, run_id: str, tags: Mapping[str, str]) -> NativeVersion:
        client = self._tracking.client
        with translated("register a version"):
            try:
                client.create_registered_model(self._name)
            except MlflowException as exc:
                if exc.error_code != _EXISTS:
                    raise
            source = self._location(model_id)
            return client.create_model_version(
                self._name, source, run_id=run_id, tags=dict(tags), await_creation_for=0
            )

    def _await_ready(self, native: NativeVersion) -> NativeVersion:
        deadline = time.monotonic() + READY_SECONDS
        while native.status != "READY":
            if native.status == "FAILED_REGISTRATION":
                raise IntegrityError("INT024", "the registry failed to take the version", path=self._name)
            if time.monotonic() > deadline:
                message = f"the version is {native.status} after {READY_SECONDS} s"
                raise StoreError(
                    "STO027", message, path=self._name, fix="deploy again: it is found by its run key"
                )
            time.sleep(_POLL_SECONDS)
            with translated("read a version"):
                native = self._tracking.client.get_model_version(self._name, native.version)
        return native


def _version(native: NativeVersion) -> ModelVersion:
    tags = dict(native.tags)
    return ModelVersion(native.name, int(native.version), tags.get(MODEL_ID, ""), native.run_id or "", tags)
