"""Opening MLflow's store, and translating its errors at this door.

MLflow's own first use of a sqlite file is not safe: processes that start together break each other,
and a kill in the middle leaves a file that nothing repairs. So a new store is migrated under a file
lock in a temporary file, switched to write-ahead logging, and linked into place whole and durable.
The kernel gives the lock back when its holder dies; what that one left is removed by the next.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import sqlite3
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

# Read by MLflow when it is imported, or later: no telemetry; addresses of runs do not belong into what a
# command prints for programs, nor bars for files into what it prints for people.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

import filelock
import sqlalchemy.exc
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from mlkit.engines import durable
from mlkit.errors import MlkitError, StoreError
from mlkit.failpoints import failpoint
from mlkit.tracking.faults import explained

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mlflow.store.entities.paged_list import PagedList

T = TypeVar("T")

LOCK_SECONDS = 120
_SQLITE = "sqlite:///"
_DRAFT = ".mlflow-"
_NOISY = (
    "alembic",
    "mlflow.store._unity_catalog.registry.rest_store",
    "mlflow.utils._unity_catalog_utils",
    "mlflow.utils.databricks_utils",
    "mlflow.store.db.utils",
    "mlflow.tracking.fluent",
    "mlflow.sklearn",
    "mlflow.models.model",
)


def open_client(tracking_uri: str, registry_uri: str) -> MlflowClient:
    """A client of the two stores; a local sqlite store is made on first use.

    Args:
        tracking_uri: Where runs are kept.
        registry_uri: Where model versions are kept; often the same.

    Raises:
        StoreError: The store cannot be made (STO023), another process has been making it for
            `LOCK_SECONDS` (STO024), or MLflow does not open it (STO020).
    """
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.ERROR)
    for uri in {tracking_uri, registry_uri}:
        if uri.startswith(_SQLITE):
            _ensure_sqlite(Path(uri.removeprefix(_SQLITE)))
    with translated("open the tracking store"):
        return _client(tracking_uri, registry_uri)


def store_exists(uri: str) -> bool:
    """Whether a store is there already, without making one; of a server that is for its answer to say."""
    return not uri.startswith(_SQLITE) or Path(uri.removeprefix(_SQLITE)).exists()


@contextlib.contextmanager
def translated(action: str) -> Iterator[None]:
    """Turn MLflow's and the database's errors into a `StoreError` that says what was being done.

    The errors of this project pass as they are.

    Args:
        action: Completes "cannot ...", e.g. ``create the run trial 3``.

    Raises:
        StoreError: MLflow refused (STO020), the database did (STO022), or the system (STO023); what a server
            answered, or the way to it (STO031 to STO036); a library that the store needs is not installed
            (STO037).
    """
    try:
        yield
    except MlkitError:
        raise
    except MlflowException as exc:
        if told := explained(exc, action):
            raise told from exc
        message = f"MLflow refused to {action}: {exc.error_code}"
        raise StoreError("STO020", message, fix="--debug shows the cause; then run `mlkit doctor`") from exc
    except sqlalchemy.exc.SQLAlchemyError as exc:
        message = f"the database refused to {action}: {type(exc).__name__}"
        raise StoreError("STO022", message, fix="is the disk full, or another process stuck?") from exc
    except OSError as exc:  # that of an HTTP library is one too
        if told := explained(exc, action):
            raise told from exc
        message = f"cannot {action}: {exc.strerror or type(exc).__name__}"
        raise StoreError("STO023", message, fix="check the disk and its rights") from exc
    except ModuleNotFoundError as exc:
        message = f"cannot {action}: {exc.name} is not installed"
        raise StoreError("STO037", message, fix="pip install databricks-sdk") from exc


def all_pages(search: Callable[[str | None], PagedList[T]]) -> list[T]:
    """Everything that a search finds.

    Args:
        search: Gives the page of a token, the first one for None.
    """
    found: list[T] = []
    token: str | None = None
    while True:
        page = search(token)
        found.extend(page)
        token = page.token
        if not token:
            return found


def _client(tracking_uri: str, registry_uri: str) -> MlflowClient:
    """A client, without the folder for artifacts that MLflow 3.8 makes here and that stays empty."""
    folder = Path("mlruns")
    was_there = folder.exists()
    client = MlflowClient(tracking_uri=tracking_uri, registry_uri=registry_uri)
    if not was_there:
        with contextlib.suppress(OSError):  # not made, or in use by now
            folder.rmdir()
    return client


def _ensure_sqlite(path: Path) -> None:
    """Make the database unless it is there; of several processes one makes it, the others wait."""
    if path.exists():
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _hide_from_git(path.parent)
        with filelock.FileLock(path.with_suffix(".lock"), timeout=LOCK_SECONDS):
            if not path.exists():
                _migrate_into_place(path)
    except MlkitError:
        raise
    except filelock.Timeout as exc:
        message = f"another process has been making it for {LOCK_SECONDS} s"
        fix = "end that process (its lock goes with it), then repeat"
        raise StoreError("STO024", message, path=str(path), fix=fix) from exc
    except (OSError, sqlite3.Error) as exc:
        message = f"cannot make the tracking store: {getattr(exc, 'strerror', None) or exc}"
        raise StoreError("STO023", message, path=str(path), fix="check the disk and its rights") from exc


def _migrate_into_place(path: Path) -> None:
    """Make the database beside its place and link it there; call it under the lock."""
    for left in path.parent.glob(f"{_DRAFT}*"):
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=_DRAFT) as folder:
        fresh = Path(folder) / path.name
        uri = f"{_SQLITE}{fresh.as_posix()}"
        with translated("make the tracking store"):
            _client(uri, uri).search_experiments(max_results=1)
        failpoint("store.migrated")
        with contextlib.closing(sqlite3.connect(fresh)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
        durable.flush(fresh)
        os.link(fresh, path)
        durable.flush(path.parent)


def _hide_from_git(folder: Path) -> None:
    """The stores lie in the user's repository and are none of its business (unless they are its root)."""
    ignore = folder / ".gitignore"
    if not ignore.exists() and not (folder / ".git").exists():
        ignore.write_text("*\n")
