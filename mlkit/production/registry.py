"""Model versions in MLflow's registry, and the files behind them.

MLflow registers anything, so nothing here trusts a status: a version is found by its run key, and its
files are compared with the manifest before and after registration and before every load. What Unity
Catalog would refuse is refused on every store, so that a project which works on one works on all; and
nothing is asked that it cannot answer: no stages, no filters but the name, no tags of a listing.
"""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlflow.exceptions import MlflowException
from mlflow.models import Model

from mlkit.errors import IntegrityError, StoreError, UsageError
from mlkit.failpoints import failpoint
from mlkit.tracking.copies import download, fetch_once, local_path
from mlkit.tracking.limits import check_version_tags
from mlkit.tracking.models import load_model, manifest_faults, verify_manifest
from mlkit.tracking.store import translated

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mlflow.entities.model_registry import ModelVersion as NativeVersion

    from mlkit.tracking.runs import Tracking

ALIAS = "champion"
MLMODEL = "MLmodel"
RUN_KEY = "mlkit_run_key"
MODEL_KEY = "mlkit_model_key"
MANIFEST_TAG = "mlkit_manifest"
MODEL_ID = "mlkit_model_id"
READY_SECONDS = 300
_DOWNLOAD_NOTE = "registered_model_meta"  # what MLflow adds to a version that it downloads
_PAGE = 1000
_POLL_SECONDS = 1.0
_EXISTS = frozenset({"RESOURCE_ALREADY_EXISTS", "ALREADY_EXISTS"})
_GONE = frozenset({"RESOURCE_DOES_NOT_EXIST", "NOT_FOUND"})
_MISSING = _GONE | {"INVALID_PARAMETER_VALUE"}


@dataclasses.dataclass(frozen=True)
class ModelVersion:
    """One version of a project's model; ``project.explain(version)`` says what it was made of and judged by.

    Attributes:
        name: The registered model: the project's name, in Unity Catalog behind catalog and schema.
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
        return self.text(f"project.explain({self.version})")

    def text(self, following: str) -> str:
        """The same with another next step, such as a command."""
        return (
            f"ModelVersion {self.name} v{self.version}  {self.model_id}\n"
            f"  train   {self.tags.get('mlkit_train_table', '')}\n"
            f"  next    {following}"
        )


class Registry:
    """Logged models and versions of one project.

    Attributes:
        full_name: Name of the registered model; of three levels in Unity Catalog.
    """

    def __init__(self, tracking: Tracking, project: str) -> None:
        """Nothing is read yet."""
        self._tracking, self._project = tracking, project
        self.full_name = tracking.workspace.model_name(project)
        self._in_unity = tracking.workspace.in_unity

    def log(self, folder: Path, *, experiment: str, run_id: str, tags: Mapping[str, str]) -> str:
        """Upload a model folder and give the id of the logged model; without a finish it never counts."""
        client = self._tracking.client
        with translated("log a model"):
            model = client.create_logged_model(
                experiment, name=self._project, source_run_id=run_id, tags=dict(tags)
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
        """A local folder with the files of a logged model: the store's own where it is local, else a copy.

        Each model is fetched once in a process; the copies go when it ends.
        """
        with translated("fetch a model"):
            location = self._location(model_id)
            return local_path(location) or fetch_once(location, model_id, self._tracking.workspace)

    def copy(self, model_id: str, place: Path) -> Path:
        """Copy the files of a logged model below a folder, for who must not depend on the store later."""
        with translated("fetch a model"):
            location = self._location(model_id)
            here = local_path(location)
            if here is None:
                return download(location, str(place), self._tracking.workspace)
            bytecode = shutil.ignore_patterns("__pycache__")  # of whoever served from there; never read
            return Path(shutil.copytree(here, place / here.name, symlinks=True, ignore=bytecode))

    def load(self, model_id: str, *, manifest_digest: str) -> Any:  # noqa: ANN401 - any estimator
        """The estimator of a logged model, after checking every file of it."""
        return load_model(self.folder(model_id), manifest_digest=manifest_digest)

    def verify(self, model_id: str, *, manifest_digest: str) -> None:
        """Check that a logged model's files are those recorded."""
        verify_manifest(self.folder(model_id), manifest_digest=manifest_digest)

    def faults(self, model_id: str, *, manifest_digest: str) -> Iterator[IntegrityError]:
        """Every way in which a logged model's files differ from those recorded."""
        return manifest_faults(self.folder(model_id), manifest_digest=manifest_digest)

    def register(self, model_id: str, *, run_id: str, run_key: str, tags: Mapping[str, str]) -> ModelVersion:
        """Register a logged model once: its version of the same run key is found again.

        Raises:
            IntegrityError: The files are not those of the manifest, or have no signature (INT026).
            StoreError: The version did not become ready, or a tag does not fit the stores (STO025, STO039).
        """
        manifest = tags[MANIFEST_TAG]
        wanted = {RUN_KEY: run_key, MODEL_ID: model_id}
        check_version_tags({**tags, **wanted})
        self.verify(model_id, manifest_digest=manifest)
        _check_signature(self.folder(model_id))
        known = (native for native in self._natives() if wanted.items() <= dict(native.tags).items())
        native = next(known, None) or self._create_version(model_id, run_id, {**tags, **wanted})
        version = _version(self._await_ready(native))
        self._verify_registered(version)
        return version

    def versions(self) -> list[ModelVersion]:
        """All versions, oldest first."""
        return sorted(map(_version, self._natives()), key=lambda version: version.version)

    def version(self, number: int) -> ModelVersion | None:
        """One version by number; None if there is none."""
        if not self._tracking.is_made:
            return None
        with translated("read a version"):
            try:
                return _version(self._tracking.client.get_model_version(self.full_name, str(number)))
            except MlflowException as exc:
                if exc.error_code in _GONE:
                    return None
                raise

    def existing(self, number: int) -> ModelVersion:
        """One version by number.

        Raises:
            UsageError: There is none (CLI005).
        """
        version = self.version(number)
        if version is None:
            known = ", ".join(f"v{found.version}" for found in self.versions()) or "none yet"
            raise UsageError("CLI005", f"no version {number}", path="version", fix=f"known: {known}")
        return version

    def champion(self) -> ModelVersion | None:
        """The version that the alias points at; None if it points at none."""
        if not self._tracking.is_made:
            return None
        with translated("read the alias"):
            try:
                return _version(self._tracking.client.get_model_version_by_alias(self.full_name, ALIAS))
            except MlflowException as exc:
                if exc.error_code in _MISSING:
                    return None
                raise

    def point_alias(self, version: int) -> None:
        """Point the alias at a version."""
        with translated("move the alias"):
            try:
                self._tracking.client.set_registered_model_alias(self.full_name, ALIAS, str(version))
            except MlflowException:  # two that set it for the first time break each other on sqlite
                self._tracking.client.set_registered_model_alias(self.full_name, ALIAS, str(version))

    def _location(self, model_id: str) -> str:
        try:
            return str(self._tracking.client.get_logged_model(model_id).artifact_location)
        except MlflowException as exc:
            if exc.error_code not in _GONE:
                raise
            fix = "restore the tracking store from its backup, or make another version the champion"
            raise IntegrityError("INT025", "the model is gone", path=model_id, fix=fix) from exc

    def _natives(self) -> list[NativeVersion]:
        """All versions with their tags, which Unity Catalog gives one by one only."""
        if not self._tracking.is_made:
            return []
        client = self._tracking.client
        with translated("list versions"):
            found = self._listed()
            if self._in_unity:
                return [client.get_model_version(self.full_name, str(native.version)) for native in found]
        return found

    def _listed(self) -> list[NativeVersion]:
        found: list[NativeVersion] = []
        token: str | None = None
        while True:
            try:
                page = self._tracking.client.search_model_versions(
                    f"name = '{self.full_name}'", _PAGE, None, token
                )
            except MlflowException as exc:
                if exc.error_code in _GONE:  # Unity Catalog's answer where others list nothing
                    return []
                raise
            found.extend(page)
            token = page.token
            if not token:
                return found

    def _verify_registered(self, version: ModelVersion) -> None:
        """Check the files that serve: Unity Catalog keeps a copy of its own, others the logged model's."""
        if not self._in_unity:
            self.verify(version.model_id, manifest_digest=version.manifest_digest)
            return
        with tempfile.TemporaryDirectory(prefix="mlkit-version-") as place:
            with translated("fetch a version"):
                location = f"models:/{version.name}/{version.version}"
                folder = download(location, place, self._tracking.workspace)
                (folder / _DOWNLOAD_NOTE).unlink(missing_ok=True)
            verify_manifest(folder, manifest_digest=version.manifest_digest)

    def _create_version(self, model_id: str, run_id: str, tags: Mapping[str, str]) -> NativeVersion:
        client = self._tracking.client
        with translated("register a version"):
            try:
                client.create_registered_model(self.full_name)
            except MlflowException as exc:
                if exc.error_code not in _EXISTS:
                    raise
            # In Unity Catalog the link would be looked up in whatever store is MLflow's current one.
            link = {} if self._in_unity else {"model_id": model_id}
            return client.create_model_version(
                self.full_name,
                self._location(model_id),
                run_id=run_id,
                tags=dict(tags),
                await_creation_for=0,
                **link,
            )

    def _await_ready(self, native: NativeVersion) -> NativeVersion:
        deadline = time.monotonic() + READY_SECONDS
        while native.status != "READY":
            if native.status == "FAILED_REGISTRATION":
                raise IntegrityError("INT024", "the registry failed to take the version", path=self.full_name)
            if time.monotonic() > deadline:
                message = f"the version is {native.status} after {READY_SECONDS} s"
                raise StoreError(
                    "STO027", message, path=self.full_name, fix="deploy again: it is found by its run key"
                )
            time.sleep(_POLL_SECONDS)
            with translated("read a version"):
                native = self._tracking.client.get_model_version(self.full_name, native.version)
        return native


def _check_signature(folder: Path) -> None:
    """Unity Catalog takes no model that does not say what goes in and what comes out."""
    signature = Model.load(str(folder)).signature
    if signature is None or not signature.inputs or not signature.outputs:
        message = "the model has no signature of its inputs and outputs"
        raise IntegrityError("INT026", message, path=MLMODEL, fix="train it again: deploy with a new reason")


def _version(native: NativeVersion) -> ModelVersion:
    tags = dict(native.tags)
    return ModelVersion(native.name, int(native.version), tags.get(MODEL_ID, ""), native.run_id or "", tags)
