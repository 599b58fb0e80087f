"""The stores of a target: whether each answers, and keeps the promises that everything rests on."""

from __future__ import annotations

import concurrent.futures
import datetime as dt
import ipaddress
import shutil
import tempfile
import threading
import uuid
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pyarrow as pa

from mlkit.doctor.finding import Finding
from mlkit.engines.base import MONITORING, TableName
from mlkit.errors import EXIT_INTEGRITY
from mlkit.production.cleanup.plan import readable
from mlkit.tracking.database import look_at_database
from mlkit.tracking.runs import Tracking
from mlkit.tracking.upkeep import TrackingUpkeep

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlkit.engines.base import Engine, Leftover
    from mlkit.workspace import Workspace

SKEW = dt.timedelta(minutes=5)
YOUNG = dt.timedelta(days=14)
"""What is younger may be somebody's work."""
LITTLE, TOO_LITTLE = 5_000_000_000, 200_000_000
_ROUNDS = 3


def check_home(workspace: Workspace) -> Iterator[Finding]:
    """Whether the folder on this machine can be written, and has room."""
    folder = next(place for place in (workspace.home, *workspace.home.parents) if place.is_dir())
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b".")
    except OSError as exc:
        message = f"{folder} cannot be written: {exc.strerror}"
        yield Finding("home", "FAIL", message, "check its rights, or set MLKIT_HOME to another folder")
        return
    free = shutil.disk_usage(folder).free
    said = f"{workspace.home}, {readable(free)} free"
    if free < LITTLE:
        mend = "mlkit cleanup shows what may go"
        yield Finding("home", "FAIL" if free < TOO_LITTLE else "WARN", said, mend)
    else:
        yield Finding("home", "OK", said)


def check_address(workspace: Workspace) -> Iterator[Finding]:
    """Whether what is said to a tracking server can be read on its way."""
    parts = urlsplit(workspace.tracking_uri)
    if parts.scheme == "http" and not _is_here(parts.hostname or ""):
        message = (
            "the tracking server is reached without encryption, so anybody on the way reads and changes it"
        )
        yield Finding("address", "WARN", message, "put a proxy with a certificate before it and use https")


def check_database(workspace: Workspace) -> Iterator[Finding]:
    """Whether the local database is sound, finished, and of the MLflow that is installed."""
    found = look_at_database(workspace.tracking_uri)
    if found is None:
        return
    restore = f"restore {found.path} from a backup"
    if found.faults:
        yield Finding("database", "FAIL", "; ".join(found.faults), restore, EXIT_INTEGRITY)
    elif found.revision != found.wanted:
        state = "was never finished" if not found.revision else f"is of revision {found.revision}"
        message = f"it {state}, the installed MLflow works with {found.wanted}"
        mend = f"copy {found.path}, then mlflow db upgrade it; or install the MLflow that made it"
        yield Finding("database", "FAIL", message, mend)
    elif found.journal != "wal":
        message = f"it is in {found.journal} mode, in which readers and writers wait for each other"
        yield Finding("database", "WARN", message, f"sqlite3 {found.path} 'PRAGMA journal_mode=WAL'")
    else:
        yield Finding("database", "OK", f"sound, write-ahead, revision {found.revision}")


def check_tracking(workspace: Workspace) -> Iterator[Finding]:
    """Whether runs and versions can be read."""
    tracking = Tracking(workspace)
    TrackingUpkeep(tracking).check(workspace.model_name("mlkit_doctor"))
    yield Finding("tracking", "OK", "runs and versions can be read")


def check_engine(workspace: Workspace) -> Iterator[Finding]:
    """Whether tables can be read, and whether the two clocks agree."""
    engine = workspace.engine
    count = len(engine.tables(MONITORING))
    yield Finding("tables", "OK", f"{workspace.spec.spark or 'local lake'}: {count} in {MONITORING}")
    before = dt.datetime.now(dt.UTC)
    theirs = engine.upkeep.now()
    after = dt.datetime.now(dt.UTC)
    skew = max(before - theirs, theirs - after, dt.timedelta())
    if skew > SKEW:
        message = f"the clock of the store differs from that of this machine by {skew}"
        yield Finding("clock", "WARN", message, "let both follow a time server; records tell wrong times")
    else:
        yield Finding("clock", "OK", "agrees with that of the store")


def check_exclusive(workspace: Workspace) -> Iterator[Finding]:
    """Whether of two who create a table at once exactly one does: everything rests on that."""
    engine = workspace.engine
    for _ in range(_ROUNDS):
        table = TableName(MONITORING, f"mlkit_doctor_{uuid.uuid4().hex[:12]}")
        try:
            created = _created(engine, table)
            info = engine.describe(table)
            rows = info.rows if info else 0
        finally:
            engine.drop(table)
        if created != 1 or rows != 1:
            message = (
                f"two created a table at once: {created} were told that they did, and it has {rows} rows"
            )
            mend = "put the stores on a local disk, or in a catalog with transactions"
            yield Finding("exclusive create", "FAIL", message, mend, EXIT_INTEGRITY)
            return
    yield Finding("exclusive create", "OK", f"holds in {_ROUNDS} races of two")


def check_leftovers(workspace: Workspace) -> Iterator[Finding]:
    """What killed writers have left in the store."""
    upkeep = workspace.engine.upkeep
    found, now = upkeep.leftovers(), upkeep.now()
    old = [left for left in found if left.made_at is not None and now - left.made_at > YOUNG]
    if not old:
        said = f"{len(found)} younger than {YOUNG.days} days" if found else "none"
        yield Finding("leftovers", "OK", said)
        return

    def cure() -> str:
        for left in old:
            upkeep.remove(left)
        return f"{len(old)} removed"

    said = f"{len(old)} writers were killed and left {readable(_sum(old))}"
    yield Finding("leftovers", "WARN", said, "mlkit doctor --fix", cure=cure)


def _created(engine: Engine, table: TableName) -> int:
    """How many of two callers were told that they created it."""
    together = threading.Barrier(2)
    rows = pa.table({"creator": ["doctor"]})

    def create() -> bool:
        together.wait(30)
        return engine.create(table, rows.to_reader())

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        racing = [pool.submit(create) for _ in range(2)]
        return sum(each.result() for each in racing)


def _sum(leftovers: list[Leftover]) -> int:
    return sum(left.size or 0 for left in leftovers)


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
