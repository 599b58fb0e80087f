"""Outputs of an earlier run: still there, and still what was recorded, or nothing is built on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlkit.digest.fingerprint import fingerprint
from mlkit.errors import IntegrityError, UsageError
from mlkit.production.removals import Removals
from mlkit.workspace import table_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlkit.engines.base import Frame
    from mlkit.production.ledger import Entry
    from mlkit.production.stores import Stores

TABLES = ("train", "test", "predictions")
"""Tables that every judged model has; each stands in the records as `table`, `fingerprint`, `rows`."""


class OutputsRemovedError(UsageError):
    """Nothing is damaged: cleanup has removed what is asked for."""


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
        OutputsRemovedError: Cleanup has removed one (CLI083).
    """
    try:
        stores.registry.verify(model_id, manifest_digest=manifest_digest)
    except IntegrityError as exc:
        if removed := _removed(stores, model_id):
            raise removed from exc
        raise
    for part in TABLES:
        recorded = evidence[part]
        if fingerprint(read_output(stores, recorded["table"])) != recorded["fingerprint"]:
            raise _lost("a table of this version holds other rows than recorded", recorded["table"])


def check_outputs_stay(stores: Stores, entry: Entry) -> None:
    """Check that the tables of a model that is to serve are there, and that no cleanup removes it.

    Raises:
        StoreError: A table is gone, or an unfinished cleanup names it or the model (STO081).
    """
    tables = [entry.evidence[part]["table"] for part in TABLES]
    Removals(stores.engine, stores.project).check_there(tables, [entry.model_id])


def read_output(stores: Stores, table: str) -> Frame:
    """Rows of a table of an earlier run, where they are.

    Raises:
        IntegrityError: It is gone.
        OutputsRemovedError: Cleanup has removed it (CLI083).
    """
    name = table_name(table)
    if stores.engine.describe(name) is None:
        raise _removed(stores, table) or _lost("a table of this version is gone", table)
    return stores.engine.scan(name)


def _removed(stores: Stores, name: str) -> OutputsRemovedError | None:
    removal = Removals(stores.engine, stores.project).of(name)
    if removal is None:
        return None
    message = f"the cleanup of {removal.at:%Y-%m-%d} has removed it, for nothing reached it any more"
    return OutputsRemovedError("CLI083", message, path=name, fix="deploy the config again: it is made anew")


def _lost(message: str, table: str) -> IntegrityError:
    fix = "restore it from a backup, or make another version the champion: mlkit rollback"
    return IntegrityError("INT031", message, path=table, fix=fix)
