"""Outputs of an earlier run: still there, and still what was recorded, or nothing is built on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlkit.digest.fingerprint import fingerprint
from mlkit.errors import IntegrityError
from mlkit.workspace import table_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlkit.engines.base import Frame
    from mlkit.production.stores import Stores

TABLES = ("train", "test", "predictions")
"""Tables that every judged model has; each stands in the records as `table`, `fingerprint`, `rows`."""


def verify_outputs(
    stores: Stores, model_id: str, *, manifest_digest: str, evidence: Mapping[str, Any]
) -> None:
    """Check every file of a model, and every row of its tables.

    Args:
        stores: Where they are.
        model_id: The model.
        manifest_digest: sha256 of the manifest of its files.
        evidence: What was recorded about its tables.

    Raises:
        IntegrityError: A file or a table is gone, damaged or another one.
    """
    stores.registry.verify(model_id, manifest_digest=manifest_digest)
    for part in TABLES:
        recorded = evidence[part]
        if fingerprint(read_output(stores, recorded["table"])) != recorded["fingerprint"]:
            raise _lost("a table of this version holds other rows than recorded", recorded["table"])


def read_output(stores: Stores, table: str) -> Frame:
    """Rows of a table of an earlier run, where they are.

    Raises:
        IntegrityError: It is gone.
    """
    name = table_name(table)
    if stores.engine.describe(name) is None:
        raise _lost("a table of this version is gone", table)
    return stores.engine.scan(name)


def _lost(message: str, table: str) -> IntegrityError:
    fix = "restore it from a backup, or make another version the champion: mlkit rollback"
    return IntegrityError("INT031", message, path=table, fix=fix)
