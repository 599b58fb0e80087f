"""Model folders: how a fitted estimator is written, listed and read back.

The format is always explicit. `skops` may hold only types of an allow-list kept here, never one read
from the artifact; anything else needs `cloudpickle`, said in the frozen config. Every file of a folder
is listed with its sha256 in a manifest; a folder is read only after it equals its manifest.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import warnings
from typing import TYPE_CHECKING, Any, Literal

import cloudpickle
import mlflow.sklearn
import skops.io
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, Schema

from mlkit.errors import ConfigError, IntegrityError, SecurityError
from mlkit.tracking.store import translated

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import pandas as pd

Serialization = Literal["skops", "cloudpickle"]

MANIFEST = "mlkit_manifest.json"
_ALLOWED = ("sklearn.", "numpy.", "scipy.", "xgboost.", "lightgbm.", "catboost.", "_loss.")
_FILES = {"skops": "model.skops", "cloudpickle": "model.pkl"}
_MLFLOW_TYPES = {"bool": "boolean", "int64": "long", "float64": "double", "object": "string"}


def choose_serialization(estimator: object) -> Serialization:
    """The safest format that can hold a fitted estimator: skops, or cloudpickle where skops cannot."""
    if not _mlflow_has_skops():
        return "cloudpickle"
    try:
        return "cloudpickle" if _foreign(_untrusted(skops.io.dumps(estimator))) else "skops"
    except (TypeError, ValueError, AttributeError, NotImplementedError):  # skops cannot represent it
        return "cloudpickle"


def save_model(
    folder: Path,
    estimator: object,
    *,
    serialization: Serialization,
    example: pd.DataFrame,
    output: str,
    requirements: Sequence[str],
    code: Sequence[str] = (),
    extra: Mapping[str, str] | None = None,
) -> str:
    """Write an MLflow model folder with a manifest.

    Args:
        folder: Where to write; must not exist.
        estimator: The fitted estimator.
        serialization: Format of the estimator's file.
        example: A few input rows; also gives the signature.
        output: Numpy kind of the predictions: ``f``, ``i``, ``b`` or ``O``.
        requirements: Pinned requirements, never inferred.
        code: Paths of the user's modules that the estimator needs.
        extra: Further text files by name, under the same manifest.

    Returns:
        sha256 (64 hex) of the manifest.

    Raises:
        SecurityError: `skops` would have to hold a type that is not on the allow-list.
        ConfigError: This MLflow cannot write skops.
    """
    arguments: dict[str, Any] = {"serialization_format": serialization}
    if serialization == "skops":
        arguments["skops_trusted_types"] = _checked_types(skops.io.dumps(estimator))
    with translated("write a model"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # advice on pickle, which the config has settled
        mlflow.sklearn.save_model(
            estimator,
            str(folder),
            signature=_signature(example, output),
            input_example=example,
            pip_requirements=list(requirements),
            code_paths=list(code) or None,
            **arguments,
        )
    for name, text in (extra or {}).items():
        (folder / name).write_text(text, encoding="utf-8")
    return _write_manifest(folder)


def load_model(folder: Path, *, manifest_digest: str) -> Any:  # noqa: ANN401 - any estimator
    """Read the estimator of a folder after checking every file of it.

    Raises:
        IntegrityError: A file is missing, added or changed, or the manifest is another one.
        SecurityError: The file holds a type that is not on the allow-list.
    """
    verify_manifest(folder, manifest_digest=manifest_digest)
    packed = folder / _FILES["skops"]
    if packed.exists():
        return skops.io.load(packed, trusted=_checked_types(packed.read_bytes()))
    with (folder / _FILES["cloudpickle"]).open("rb") as file:
        return cloudpickle.load(file)  # noqa: S301 - only after the manifest that our runner recorded matched


def verify_manifest(folder: Path, *, manifest_digest: str) -> None:
    """Check that a folder holds exactly the files that were recorded.

    Raises:
        IntegrityError: Any difference, named.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise IntegrityError("INT020", "the model has no manifest", path=MANIFEST, fix="deploy again")
    if _sha256(path) != manifest_digest:
        raise IntegrityError("INT021", "the manifest is not the one recorded", path=MANIFEST, fix="deploy again")
    recorded = json.loads(path.read_text())["files"]
    found = _listing(folder)
    for name in sorted(recorded.keys() | found.keys()):
        if recorded.get(name) != found.get(name):
            state = "missing" if name not in found else "not listed" if name not in recorded else "changed"
            raise IntegrityError("INT022", f"this file of the model is {state}", path=name, fix="deploy again")


def _write_manifest(folder: Path) -> str:
    path = folder / MANIFEST
    path.write_text(json.dumps({"version": 1, "files": _listing(folder)}, indent=1, sort_keys=True))
    return _sha256(path)


def _listing(folder: Path) -> dict[str, dict[str, Any]]:
    """Size and sha256 of every file; links are refused, for they point out of what was recorded."""
    files: dict[str, dict[str, Any]] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            raise IntegrityError("INT023", "a model holds no links", path=name, fix="deploy again")
        if path.is_file() and name != MANIFEST and "__pycache__" not in path.parts:
            files[name] = {"bytes": path.stat().st_size, "sha256": _sha256(path)}
    return files


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _signature(example: pd.DataFrame, output: str) -> ModelSignature:
    """MLflow's signature from dtypes alone; number columns may be missing, as NaN."""
    inputs = [ColSpec(_mlflow_type(example[name]), name, required=True) for name in example.columns]
    outputs = {"f": "double", "i": "long", "b": "boolean"}.get(output, "string")
    return ModelSignature(Schema(inputs), Schema([ColSpec(outputs)]))


def _mlflow_type(column: pd.Series) -> str:
    name = str(column.dtype)
    if name == "category":
        return _MLFLOW_TYPES.get(str(column.cat.categories.dtype), "string")
    return "datetime" if name.startswith("datetime64") else _MLFLOW_TYPES.get(name, "string")


def _mlflow_has_skops() -> bool:
    return "skops_trusted_types" in inspect.signature(mlflow.sklearn.save_model).parameters


def _untrusted(packed: bytes) -> list[str]:
    return list(skops.io.get_untrusted_types(data=packed))


def _foreign(types: Sequence[str]) -> list[str]:
    return [name for name in types if not name.startswith(_ALLOWED)]


def _checked_types(packed: bytes) -> list[str]:
    if not _mlflow_has_skops():
        fix = "install mlflow >= 3.10, or set model.serialization: cloudpickle"
        raise ConfigError("CFG031", "this MLflow cannot write skops", path="model.serialization", fix=fix)
    types = _untrusted(packed)
    if foreign := _foreign(types):
        raise SecurityError(
            "SEC007",
            f"skops may not hold {', '.join(foreign[:3])}",
            path="model.serialization",
            fix="set model.serialization: cloudpickle, if you trust this code",
        )
    return types
