"""Reproduction: a version is made again from what is recorded about it, and compared row by row.

It is equal only if its test predictions have the very fingerprint that was recorded, that is, bit by bit.
Whatever comes out is stored as a certificate, with the environment it came out in.
"""

from __future__ import annotations

import hashlib
import math
import platform
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlkit import document
from mlkit.code import DISTRIBUTION, code_digest, installed_version
from mlkit.digest.fingerprint import fingerprint
from mlkit.errors import IntegrityError, UsageError
from mlkit.failpoints import failpoint
from mlkit.production.certificate import Certificate, Outcome, differences, keep_certificate
from mlkit.production.evidence import asked, evidence_of
from mlkit.production.judging import ROW_COLUMNS, prediction_rows
from mlkit.production.outputs import verify_outputs
from mlkit.production.recipe import Recipe, code_files, follow, read_recipe
from mlkit.production.registry import MODEL_KEY
from mlkit.tracking.models import carried_code
from mlkit.workspace import table_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from mlkit.production.registry import ModelVersion
    from mlkit.production.stores import Stores

_MODEL_FILES = ("model.skops", "model.pkl")


def reproduce(
    stores: Stores, version: int | None = None, *, tolerance: float = 0.0, to: Path | str | None = None
) -> Certificate:
    """Make a version again in this environment and compare what it predicts with what was recorded.

    Args:
        stores: Of which project.
        version: Its number; by default the one that serves.
        tolerance: Largest difference of a number that counts as close; a class is equal or not.
        to: File that the certificate is also written to, as JSON.

    Returns:
        The certificate, which is stored.

    Raises:
        UsageError: No such version (CLI005), one without a record (CLI075), nothing serves (CLI006), or a
            tolerance that is none (CLI077).
        IntegrityError: The predictions are others (INT045; the certificate is stored all the same), or what
            is needed to make the version again is not what was recorded.
        StudyError: The estimator does not fit in this environment.
    """
    _check_tolerance(tolerance)
    found, decision = evidence_of(stores, asked(stores, version))
    record = decision.record
    verify_outputs(stores, found.model_id, manifest_digest=found.manifest_digest, evidence=record)
    recipe = read_recipe(stores.registry.folder(found.model_id), record)
    with tempfile.TemporaryDirectory(prefix="mlkit-again-") as place, carried_code(recipe.folder):
        answers = follow(recipe, stores.engine, Path(place) / "model")
        model_file = _compared_files(recipe.folder, Path(place) / "model")
    model_key = found.tags.get(MODEL_KEY, "")
    made = prediction_rows(answers, key=recipe.key, target=recipe.target, model_key=model_key)
    failpoint("reproduce.predicted")
    facts = {**_facts(found, record, recipe), "model_file": model_file, "tolerance": tolerance}
    outcome = _compared(stores, record["predictions"], made, recipe.key or ROW_COLUMNS, tolerance)
    certificate = keep_certificate(stores, {**facts, **outcome})
    if to is not None:
        document.save(Path(to), certificate.to_json())
    _refuse_if_different(certificate)
    return certificate


def compare_predictions(known: pa.Table, made: pa.Table, *, identity: Sequence[str]) -> dict[str, Any]:
    """Compare two tables of predictions row by row.

    Args:
        known: The recorded rows.
        made: The rows made again.
        identity: Columns that tell rows apart.

    Returns:
        Number of `rows` that differ; the `largest` difference of a number, None where something differs
        that is no number; and `columns`: both by name of the column. `columns` is None where the tables do
        not even have the same columns and number of rows.
    """
    if set(known.column_names) != set(made.column_names) or known.num_rows != made.num_rows:
        return {"rows": max(known.num_rows, made.num_rows), "largest": None, "columns": None}
    order = [(name, "ascending") for name in identity]
    left, right = (rows.take(pc.sort_indices(rows, sort_keys=order)) for rows in (known, made))
    marked = np.zeros(known.num_rows, np.bool_)
    columns: dict[str, dict[str, Any]] = {}
    for name in sorted(set(known.column_names)):
        differs, largest = _differences(left.column(name), right.column(name))
        marked |= differs
        if differs.any():
            columns[name] = {"rows": int(differs.sum()), "largest": largest}
    numbers = [said["largest"] for said in columns.values() if said["largest"] is not None]
    largest = max(numbers, default=0.0) if len(numbers) == len(columns) else None
    return {"rows": int(marked.sum()), "largest": largest, "columns": columns}


def _differences(known: pa.ChunkedArray, made: pa.ChunkedArray) -> tuple[NDArray[np.bool_], float | None]:
    """(n,) bool, where two columns differ, and by how much at most; a missing number equals another one."""
    if not (pa.types.is_floating(known.type) and pa.types.is_floating(made.type)):
        left, right = (np.array(column.to_pylist(), dtype=object) for column in (known, made))
        return np.asarray(left != right, dtype=np.bool_), None
    left, right = (column.to_numpy().astype(np.float64) for column in (known, made))
    differs = (left != right) & ~(np.isnan(left) & np.isnan(right))
    with np.errstate(invalid="ignore"):  # of two infinities
        largest = float(np.abs(left - right)[differs].max(initial=0.0))
    return differs, largest if math.isfinite(largest) else None


def _check_tolerance(tolerance: float) -> None:
    if not (math.isfinite(tolerance) and tolerance >= 0):
        message = f"expected a number from 0, found {tolerance}"
        raise UsageError("CLI077", message, path="tolerance", fix="--tolerance 1e-9")


def _compared(
    stores: Stores, recorded: Mapping[str, Any], made: pa.Table, identity: Sequence[str], tolerance: float
) -> dict[str, Any]:
    """Outcome and differences; the recorded table has been verified."""
    found = fingerprint(made)
    outcome: Outcome = "identical"
    compared: dict[str, Any] = {"rows": 0, "largest": 0.0, "columns": {}}
    if found != recorded["fingerprint"]:
        known = stores.engine.read(table_name(recorded["table"])).read_all()
        compared = compare_predictions(known, made, identity=identity)
        largest = compared["largest"]
        outcome = "close" if largest is not None and largest <= tolerance else "different"
    return {"outcome": outcome, "differences": compared, "predictions": {**recorded, "found": found}}


def _facts(version: ModelVersion, record: Mapping[str, Any], recipe: Recipe) -> dict[str, Any]:
    """What went in, by digest, and the environments then and now."""
    environment: dict[str, str] = record["ingredients"]["environment"]
    return {
        "version": version.version,
        "model_id": version.model_id,
        "run_id": version.run_id,
        "run_key": record.get("run_key", version.tags.get("mlkit_run_key", "")),
        "manifest_digest": version.manifest_digest,
        "config_digest": record["config_digest"],
        "code": {"digest": code_digest(code_files(recipe.folder)), "commit": record["origin"].get("commit")},
        "train": record["train"],
        "test": record["test"],
        "environment": {
            "recorded": environment,
            "here": {name: installed_version(name) for name in environment},
            "python": platform.python_version(),
            "machine": f"{platform.system()} {platform.machine()}",
            "mlkit": installed_version(DISTRIBUTION),
        },
    }


def _compared_files(stored: Path, made: Path) -> dict[str, Any]:
    """Whether the file of the estimator has the same bytes: some formats note times and addresses in it."""
    for name in _MODEL_FILES:
        if (stored / name).is_file() and (made / name).is_file():
            before, now = (_sha256(folder / name) for folder in (stored, made))
            return {"name": name, "recorded": before, "found": now, "equal": before == now}
    return {"name": None, "recorded": None, "found": None, "equal": False}


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _refuse_if_different(certificate: Certificate) -> None:
    if certificate.outcome != "different":
        return
    changes = certificate.environment_changes
    pins = " ".join(f"{name}=={before}" for name, (before, _) in changes.items() if name != "python")
    fix = f"repeat it with what was recorded: {pins}" if pins else "does the estimator draw without its seed?"
    if "python" in changes:
        fix = f"take Python {changes['python'][0]} first; {fix}"
    message = f"{differences(certificate.record)}; stored as certificate {certificate.certificate_id[:12]}"
    raise IntegrityError("INT045", message, path=f"v{certificate.version}", fix=fix)
