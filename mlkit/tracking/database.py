"""The database of the local stores, looked at from outside: MLflow itself tells only that it fails."""

from __future__ import annotations

import contextlib
import dataclasses
import sqlite3
from pathlib import Path

from mlkit.tracking.store import translated

_SQLITE = "sqlite:///"


@dataclasses.dataclass(frozen=True)
class Database:
    """What a database file says of itself.

    Attributes:
        path: The file.
        journal: How it writes: ``wal`` where nobody changed it.
        revision: Which version of MLflow's tables it holds; empty if it was never finished.
        wanted: Which version the MLflow that is installed works with.
        faults: What sqlite finds wrong in it; empty where nothing is.
    """

    path: Path
    journal: str
    revision: str
    wanted: str
    faults: tuple[str, ...]


def look_at_database(uri: str, *, thorough: bool = False) -> Database | None:
    """Look at a database without changing it; None if the store is no file, or was never used.

    Args:
        uri: Address of the tracking store.
        thorough: Compare every index with its table as well.

    Raises:
        StoreError: The file cannot be read.
    """
    path = Path(uri.removeprefix(_SQLITE))
    if not uri.startswith(_SQLITE) or not path.exists():
        return None
    with translated("read the database of the tracking store"):
        try:
            with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
                return Database(path, *_read(connection, thorough=thorough))
        except sqlite3.DatabaseError as exc:
            return Database(path, "", "", _wanted(), (f"it does not read: {type(exc).__name__}",))


def _read(connection: sqlite3.Connection, *, thorough: bool) -> tuple[str, str, str, tuple[str, ...]]:
    (journal,) = connection.execute("PRAGMA journal_mode").fetchone()
    check = "integrity_check" if thorough else "quick_check"
    said = [str(row[0]) for row in connection.execute(f"PRAGMA {check}")]
    faults = tuple(f"sqlite finds {len(said)} faults" for _ in said[:1] if said != ["ok"])
    known = connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'alembic_version'")
    (there,) = known.fetchone()
    rows = connection.execute("SELECT version_num FROM alembic_version").fetchall() if there else []
    return str(journal), ",".join(str(row[0]) for row in rows), _wanted(), faults


def _wanted() -> str:
    from mlflow.store.db.utils import _get_latest_schema_revision  # noqa: PLC0415 - loads alembic

    return str(_get_latest_schema_revision())  # type: ignore[no-untyped-call]
