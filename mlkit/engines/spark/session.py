"""Sessions of Spark: opened as a target says, made ready, and told apart by nothing else.

What fails here fails before anything was read or written, so each error says what to install or start.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import socket
import sys
import warnings
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from mlkit.engines.spark import faults
from mlkit.engines.spark.dialect import dialect_of, remember
from mlkit.engines.spark.faults import Kind
from mlkit.engines.spark.selfcheck import check_digest
from mlkit.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyspark.sql import SparkSession

DATABRICKS_PYTHON = (3, 12)
INSIDE = "DATABRICKS_RUNTIME_VERSION"
"""Set where Databricks runs this process: it has a session, and no profile to open another with."""

_PORT = 15002
_PROBE_SECONDS = 10
_REFUSED = ("PermissionDenied", "Unauthenticated")  # by databricks-sdk, which need not be installed
_LOGGERS = ("SQLQueryContextLogger", "DataFrameQueryContextLogger")


class Way(Protocol):
    """How to open a session; `mlkit.targets.SparkTarget` is one."""

    @property
    def remote(self) -> str | None:
        """URL of a Spark Connect server."""

    @property
    def master(self) -> str | None:
        """Master of classic Spark."""

    @property
    def profile(self) -> str | None:
        """Profile of databricks-sdk."""

    @property
    def cluster(self) -> str | None:
        """Id of a Databricks cluster."""

    @property
    def serverless(self) -> bool:
        """Whether to use Databricks serverless compute."""


def open_session(spark: Way) -> SparkSession:
    """Open a session as a target says; with nothing said, the one that runs or that the environment names.

    In a job of Databricks that is the job's own, whatever the target says of Databricks. Its time zone is
    UTC and its arithmetic ANSI, where the server allows to set that.

    Raises:
        StoreError: STO052 (no server answers), STO053 (credentials are refused), STO056 (a library or a
            Java is missing), or what else Spark says.
    """
    with _opening():
        session = _opened(spark)
        for name, value in (("spark.sql.session.timeZone", "UTC"), ("spark.sql.ansi.enabled", "true")):
            with contextlib.suppress(*faults.of_spark()):
                session.conf.set(name, value)
    _close_at_exit(session)
    return session


def _close_at_exit(session: SparkSession) -> None:
    """Close the client before its own ending, which asks a server that is gone for ten minutes."""
    with contextlib.suppress(AttributeError, *faults.of_spark()):  # classic Spark has no client
        atexit.register(session.client.close)


def made_ready(session: SparkSession) -> SparkSession:
    """A session that may be worked with: quiet, and computing digests as the specification says.

    Raises:
        IntegrityError: INT014, it computes others.
    """
    _hush()
    if dialect_of(session) is None:
        check_digest(session)
        remember(session)
    return session


def has_ended(session: SparkSession) -> bool:
    """Whether a session is no more; another fault is no answer, and is raised as it is."""
    try:
        session.sql("SELECT 1").collect()
    except faults.of_spark() as exc:
        if faults.kind_of(exc) is Kind.UNAVAILABLE:
            return True
        raise
    return False


def _opened(spark: Way) -> SparkSession:
    if spark.remote:
        return _remote(spark.remote)
    if spark.master:
        return _classic(spark.master)
    if (spark.profile or spark.cluster or spark.serverless) and INSIDE not in os.environ:
        return _databricks(spark)
    return _running()


def _remote(address: str) -> SparkSession:
    parts = urlsplit(address)
    try:
        socket.create_connection((parts.hostname or "", parts.port or _PORT), timeout=_PROBE_SECONDS).close()
    except OSError as exc:  # the client itself would try for ten minutes
        message = f"no Spark Connect server answers at {parts.hostname}:{parts.port or _PORT}"
        raise StoreError(
            "STO052", message, path="spark.remote", fix="start it, or correct mlkit.toml"
        ) from exc
    from pyspark.sql import SparkSession  # noqa: PLC0415 - only where there is Spark

    return SparkSession.builder.remote(address).create()


def _classic(master: str) -> SparkSession:
    for name in ("PYSPARK_PYTHON", "PYSPARK_DRIVER_PYTHON"):  # else the first python3 on the path
        os.environ.setdefault(name, sys.executable)
    from pyspark.sql import SparkSession  # noqa: PLC0415 - only where there is Spark

    return SparkSession.builder.master(master).getOrCreate()


def _databricks(spark: Way) -> SparkSession:
    from databricks.connect import DatabricksSession  # type: ignore[import-untyped] # noqa: PLC0415 - as above

    builder = DatabricksSession.builder
    if spark.profile:
        builder = builder.profile(spark.profile)
    if spark.cluster:
        builder = builder.clusterId(spark.cluster)
    elif spark.serverless:
        builder = builder.serverless(True)  # noqa: FBT003 - the only form it has
    return _got(builder)


def _got(builder: Any) -> SparkSession:  # noqa: ANN401 - databricks-connect ships no types
    """The session of a builder of Databricks Connect; one that it opened and then refused is closed."""
    from pyspark.sql import SparkSession  # noqa: PLC0415 - only where there is Spark

    before = SparkSession.getActiveSession()
    with contextlib.ExitStack() as stack:
        stack.callback(_close_other_than, before)
        session: SparkSession = builder.getOrCreate()
        stack.pop_all()
    return session


def _close_other_than(before: SparkSession | None) -> None:
    from pyspark.sql import SparkSession  # noqa: PLC0415 - only where there is Spark

    left: Any = SparkSession.getActiveSession()
    if left is not None and left is not before:
        left.release_session_on_close = False  # it was refused: nobody would answer, for minutes
        left.stop()


def _running() -> SparkSession:
    """The session of the job that this is, or what Databricks Connect or Spark finds in the environment."""
    from pyspark.sql import SparkSession  # noqa: PLC0415 - only where there is Spark

    active = SparkSession.getActiveSession()
    if active is not None:
        return active
    try:
        from databricks.connect import DatabricksSession  # noqa: PLC0415 - only where it is installed
    except ImportError:
        return SparkSession.builder.getOrCreate()
    return _got(DatabricksSession.builder)


@contextlib.contextmanager
def _opening() -> Iterator[None]:
    """Say what to install or start when a session does not open."""
    # Said on import and at the first frame; what is used of pandas is tested with both of its versions.
    warnings.filterwarnings("ignore", message="PySpark does not yet fully support pandas")
    try:
        yield
    except ImportError as exc:
        raise _not_installed(exc) from exc
    except ValueError as exc:
        if "databricks.sdk" not in sys.modules:  # it is what says so where there are no credentials
            raise _did_not_open(exc) from exc
        raise _no_credentials() from exc
    except _expected() as exc:
        if isinstance(exc, faults.of_spark()) and faults.kind_of(exc) is not Kind.OTHER:
            raise faults.translated(exc, "spark") from exc
        if type(exc).__name__ in _REFUSED:
            raise _not_accepted() from exc
        raise _did_not_open(exc) from exc


def _hush() -> None:
    """Stop Spark from writing each error to the terminal, rows included: they are told as ours."""
    with contextlib.suppress(ImportError):
        from pyspark.logger import PySparkLogger  # noqa: PLC0415 - only where there is Spark

        for name in _LOGGERS:
            PySparkLogger.getLogger(name).setLevel(logging.CRITICAL + 1)


def _not_installed(exc: ImportError) -> StoreError:
    if (exc.name or "").startswith("databricks"):
        here = ".".join(map(str, sys.version_info[:2]))
        needed = ".".join(map(str, DATABRICKS_PYTHON))
        message = f"Databricks Connect is not installed; it needs Python {needed}, this is {here}"
        fix = f"in an environment of Python {needed} and without pyspark: pip install 'mlkit-sdk[databricks]'"
    else:
        message, fix = "the client of Spark is not installed here", "pip install 'mlkit-sdk[spark]'"
    return StoreError("STO056", message, path="spark", fix=fix)


def _no_credentials() -> StoreError:
    message = "there are no credentials for Databricks, or the profile is not known"
    return StoreError("STO053", message, path="spark.profile", fix="databricks auth login --profile NAME")


def _not_accepted() -> StoreError:
    message = "Databricks does not accept the credentials of this profile or environment"
    return StoreError("STO053", message, path="spark.profile", fix="databricks auth login --profile NAME")


def _did_not_open(exc: Exception) -> StoreError:
    message = f"no session of Spark could be opened: {type(exc).__name__}"
    fix = "a master needs Java 17 or newer (JAVA_HOME); --debug shows the cause"
    return StoreError("STO056", message, path="spark", fix=fix)


def _expected() -> tuple[type[Exception], ...]:
    """What Spark and databricks-sdk raise; whoever meets such an error has loaded them."""
    found = [*faults.of_spark(), RuntimeError]
    if sdk := sys.modules.get("databricks.sdk.errors"):
        found.append(sdk.DatabricksError)
    return tuple(found)
