"""Model folders: how a fitted estimator is written, listed and read back.

The format is always explicit. `skops` may hold only types of an allow-list kept here, never one read
from the artifact; anything else needs `cloudpickle`, said in the frozen config. Every file of a folder
is listed with its sha256 in a manifest; a folder is read only after it equals its manifest, and the
user's code that travels in it is imported from there, whatever the working tree has become since.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import inspect
import json
import shutil
import sys
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import cloudpickle
import mlflow.sklearn
import skops.io
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, Schema

from mlkit.errors import ConfigError, IntegrityError, SecurityError
from mlkit.tracking.spark_models import is_spark_folder, read_spark_model, write_spark_model
from mlkit.tracking.store import translated

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from types import ModuleType

    import pandas as pd
    from mlflow.types.schema import TensorSpec

Serialization = Literal["skops", "cloudpickle", "spark"]

MANIFEST = "mlkit_manifest.json"
CODE = "code"  # where MLflow puts what an estimator imports
_FIX = "restore it from a backup, or make another version the champion: mlkit rollback"

_ALLOWED = ("sklearn.", "numpy.", "scipy.", "xgboost.", "lightgbm.", "catboost.", "_loss.")
# Parts of these libraries that read files, or run text as a program.
_REFUSED = frozenset(
    {
        *("_joblib", "_testing", "conftest", "datasets", "distutils", "externals", "f2py", "io"),
        *("testing", "tests", "fromfile", "fromregex", "genfromtxt", "load", "loadtxt", "memmap"),
        *("save", "savetxt", "savez", "savez_compressed"),
    }
)
_FILES = {"skops": "model.skops", "cloudpickle": "model.pkl"}
_MLFLOW_TYPES = {"bool": "boolean", "int64": "long", "float64": "double", "object": "string"}
# What skops raises for an object that it cannot represent.
_UNPACKABLE = (TypeError, ValueError, AttributeError, NotImplementedError)


def choose_serialization(estimator: object) -> Serialization:
    """The safest format that can hold a fitted estimator: skops, or cloudpickle where skops cannot."""
    if not _mlflow_has_skops():
        return "cloudpickle"
    try:
        return "cloudpickle" if _foreign(_untrusted(skops.io.dumps(estimator))) else "skops"
    except _UNPACKABLE:
        return "cloudpickle"


def save_model(
    folder: Path,
    estimator: object,
    *,
    serialization: Serialization,
    example: pd.DataFrame,
    output: str,
    requirements: Sequence[str],
    code: Mapping[str, Path] | None = None,
    extra: Mapping[str, str] | None = None,
) -> str:
    """Write an MLflow model folder with a manifest.

    Args:
        folder: Where to write; must not exist.
        estimator: The fitted estimator.
        serialization: Format of the estimator's file; ``spark`` for what was fitted by Spark.
        example: A few input rows; also gives the signature.
        output: Numpy kind of the predictions: ``f``, ``i``, ``b`` or ``O``.
        requirements: Pinned requirements, never inferred.
        code: The user's files that the estimator imports, by their path below the import root.
        extra: Further text files by name, under the same manifest.

    Returns:
        sha256 (64 hex) of the manifest.

    Raises:
        SecurityError: `skops` would have to hold a type that is not on the allow-list.
        ConfigError: This MLflow, or skops itself, cannot write the estimator as skops.
        StoreError: The disk is full.
    """
    signature = _signature(example, output)
    with translated("write a model"), warnings.catch_warnings(), _staged(code or {}) as paths:
        warnings.simplefilter("ignore")  # advice on pickle, which the config has settled
        if serialization == "spark":
            write_spark_model(
                folder,
                estimator,
                signature=signature,
                requirements=requirements,
                code=paths,
                code_folder=CODE,
            )
        else:
            mlflow.sklearn.save_model(
                estimator,
                str(folder),
                signature=signature,
                input_example=example,
                pip_requirements=list(requirements),
                code_paths=paths or None,
                **_format(estimator, serialization),
            )
        for name, text in (extra or {}).items():
            (folder / name).write_text(text, encoding="utf-8")
        return _write_manifest(folder)


def load_model(folder: Path, *, manifest_digest: str, kept: dict[str, ModuleType] | None = None) -> Any:  # noqa: ANN401 - any estimator
    """Read the estimator of a folder after checking every file of it.

    Args:
        folder: The files of the model.
        manifest_digest: sha256 of the manifest that was recorded.
        kept: Takes the modules that the model brought along, as `carried_code` does.

    Raises:
        IntegrityError: A file is missing, added or changed, or the manifest is another one.
        SecurityError: The file holds a type that is not on the allow-list.
        StoreError: The files cannot be read.
    """
    verify_manifest(folder, manifest_digest=manifest_digest)
    if is_spark_folder(folder):
        with carried_code(folder, kept):
            return read_spark_model(folder)
    with translated("read a model"):
        name = next(name for name in _FILES.values() if (folder / name).is_file())
        packed = (folder / name).read_bytes()
    if name == _FILES["skops"]:
        return skops.io.loads(packed, trusted=_checked_types(packed))
    with carried_code(folder, kept):
        return cloudpickle.loads(packed)


def verify_manifest(folder: Path, *, manifest_digest: str) -> None:
    """Check that a folder holds exactly the files that were recorded.

    Raises:
        IntegrityError: Any difference, named.
        StoreError: The files cannot be read.
    """
    for fault in manifest_faults(folder, manifest_digest=manifest_digest):
        raise fault


def manifest_faults(folder: Path, *, manifest_digest: str) -> Iterator[IntegrityError]:
    """Every way in which a folder differs from what was recorded, each as an error that could be raised.

    Raises:
        IntegrityError: There is nothing to compare with: no manifest, or another one, or a link.
        StoreError: The files cannot be read.
    """
    path = folder / MANIFEST
    with translated("read a model"):
        if not path.is_file():
            raise IntegrityError("INT020", "the model has no manifest", path=MANIFEST, fix=_FIX)
        if _sha256(path) != manifest_digest:
            raise IntegrityError("INT021", "the manifest is not the one recorded", path=MANIFEST, fix=_FIX)
        recorded = json.loads(path.read_text(encoding="utf-8"))["files"]
        found = _listing(folder)
    for name in sorted(recorded.keys() | found.keys()):
        if recorded.get(name) != found.get(name):
            state = "missing" if name not in found else "not listed" if name not in recorded else "changed"
            yield IntegrityError("INT022", f"this file of the model is {state}", path=name, fix=_FIX)


@contextlib.contextmanager
def _staged(code: Mapping[str, Path]) -> Iterator[list[str]]:
    """Top-level modules and packages made of these files alone: MLflow copies whole folders."""
    with tempfile.TemporaryDirectory(prefix="mlkit-code-") as name:
        stage = Path(name)
        for path, file in code.items():
            (stage / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, stage / path)
        yield sorted(str(top) for top in stage.iterdir())


@contextlib.contextmanager
def carried_code(folder: Path, kept: dict[str, ModuleType] | None = None) -> Iterator[None]:
    """Import the modules that a model brought along from its own folder, for as long as this lasts.

    Hold it around whatever runs the model too: estimators may import while they predict. Compiled files
    are neither read, for no manifest lists them, nor written.

    Args:
        folder: The files of the model.
        kept: Its modules as they were imported before, which are put in place; those that are imported
            now are added. Without it each use imports them anew, and their classes are other ones.
    """
    code = folder / CODE
    if not code.is_dir():
        yield
        return
    names = {path.name.removesuffix(".py") for path in code.iterdir()}
    working_tree = _taken_out(names)
    sys.modules.update(kept or {})
    before = sys.pycache_prefix, sys.dont_write_bytecode
    sys.pycache_prefix, sys.dont_write_bytecode = str(code / "nowhere"), True
    sys.path.insert(0, str(code))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(code))
        sys.pycache_prefix, sys.dont_write_bytecode = before
        used = _taken_out(names)
        if kept is not None:
            kept.update(used)
        sys.modules.update(working_tree)


def _taken_out(names: set[str]) -> dict[str, Any]:
    """Remove modules, and those inside them, from the loaded ones; gives what was removed."""
    inside = [name for name in sys.modules if name.partition(".")[0] in names]
    return {name: sys.modules.pop(name) for name in inside}


def _write_manifest(folder: Path) -> str:
    path = folder / MANIFEST
    text = json.dumps({"version": 1, "files": _listing(folder)}, indent=1, sort_keys=True)
    path.write_text(text, encoding="utf-8")
    return _sha256(path)


def _listing(folder: Path) -> dict[str, dict[str, Any]]:
    """Size and sha256 of every file; links are refused, for they point out of what was recorded."""
    files: dict[str, dict[str, Any]] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            raise IntegrityError("INT023", "a model holds no links", path=name, fix=_FIX)
        # Whoever serves a model from its folder leaves compiled files there; they are never used here.
        if path.is_file() and name != MANIFEST and "__pycache__" not in path.parts:
            files[name] = {"bytes": path.stat().st_size, "sha256": _sha256(path)}
    return files


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _signature(example: pd.DataFrame, output: str) -> ModelSignature:
    """MLflow's signature from dtypes alone; number columns may be missing, as NaN."""
    inputs: list[ColSpec | TensorSpec] = [
        ColSpec(_mlflow_type(example[name]), name, required=True) for name in example.columns
    ]
    outputs = {"f": "double", "i": "long", "b": "boolean"}.get(output, "string")
    return ModelSignature(Schema(inputs), Schema([ColSpec(outputs)]))


def _mlflow_type(column: pd.Series) -> str:
    name = str(column.dtype)
    if name == "category":
        return _MLFLOW_TYPES.get(str(column.cat.categories.dtype), "string")
    return "datetime" if name.startswith("datetime64") else _MLFLOW_TYPES.get(name, "string")


def _mlflow_has_skops() -> bool:
    return "skops_trusted_types" in inspect.signature(mlflow.sklearn.save_model).parameters


def _format(estimator: object, serialization: Serialization) -> dict[str, Any]:
    """What MLflow's writer is told of the format."""
    if serialization == "skops":
        return {"serialization_format": "skops", "skops_trusted_types": _packable_types(estimator)}
    return {"serialization_format": serialization}


def _packable_types(estimator: object) -> list[str]:
    """Types of an estimator that skops shall hold, all of them allowed."""
    if not _mlflow_has_skops():
        fix = "install mlflow >= 3.10, or set serialization: cloudpickle"
        raise ConfigError("CFG031", "this MLflow cannot write skops", path="serialization", fix=fix)
    try:
        packed = skops.io.dumps(estimator)
    except _UNPACKABLE as exc:
        message = f"skops cannot hold this {type(estimator).__name__}"
        fix = "set serialization: cloudpickle"
        raise ConfigError("CFG031", message, path="serialization", fix=fix) from exc
    return _checked_types(packed)


def _untrusted(packed: bytes) -> list[str]:
    return list(skops.io.get_untrusted_types(data=packed))


def _foreign(types: Sequence[str]) -> list[str]:
    return [name for name in types if not name.startswith(_ALLOWED) or _REFUSED.intersection(name.split("."))]


def _checked_types(packed: bytes) -> list[str]:
    """Types beyond those that skops trusts itself, if all of them are allowed."""
    types = _untrusted(packed)
    if foreign := _foreign(types):
        message = f"skops may not hold {', '.join(foreign[:3])}"
        fix = "set serialization: cloudpickle, if you trust this code"
        raise SecurityError("SEC007", message, path="serialization", fix=fix)
    return types
