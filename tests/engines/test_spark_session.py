from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import socket
import sys

import pytest

from mlkit.engines.base import FEATURES, SCHEMAS, TableName
from mlkit.errors import DataError, IntegrityError, StoreError
from mlkit.workspace import RUNTIME

sql = pytest.importorskip("pyspark.sql")
errors = pytest.importorskip("pyspark.errors")
grpc = pytest.importorskip("grpc")
pytestmark = pytest.mark.newest_only

from mlkit.engines.spark import engine as engine_module  # noqa: E402 - it needs pyspark
from mlkit.engines.spark import selfcheck, session  # noqa: E402 - as above
from mlkit.engines.spark.engine import SparkEngine  # noqa: E402 - as above
from mlkit.engines.spark.session import made_ready, open_session  # noqa: E402 - as above


@dataclasses.dataclass
class Spark:
    """How to open a session, as a target says it."""

    remote: str | None = None
    master: str | None = None
    profile: str | None = None
    cluster: str | None = None
    serverless: bool = False


class Refusing(grpc.GenericRpcHandler):
    """A server that answers every call with one status."""

    def __init__(self, status, text):
        self.status, self.text = status, text

    def service(self, details):
        """The same for each method."""
        return grpc.unary_unary_rpc_method_handler(lambda _, call: call.abort(self.status, self.text))


@contextlib.contextmanager
def refusing(status, text=""):
    """Address of a server that refuses."""
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        server = grpc.server(pool, handlers=[Refusing(status, text)])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        yield f"sc://127.0.0.1:{port}"
        server.stop(None).wait()


class TestOpen:
    def test_remote_session_is_utc_and_ansi(self, sail):
        """Instants and overflows do not depend on how a server is set up."""
        opened = open_session(Spark(remote=sail))
        assert opened.conf.get("spark.sql.session.timeZone") == "UTC"
        assert opened.conf.get("spark.sql.ansi.enabled") == "true"
        opened.stop()

    def test_running_session_is_taken(self, spark):
        """Where a job has a session, that is the one; nothing needs to be said."""
        active = sql.SparkSession.getActiveSession()
        assert active is not None
        assert open_session(Spark()) is active

    def test_job_of_databricks_has_its_own_session(self, spark, monkeypatch):
        """A profile that only the machines of people have is left aside there."""
        active = sql.SparkSession.getActiveSession()
        monkeypatch.setenv(session.INSIDE, "17.3")
        assert session.INSIDE == RUNTIME
        assert open_session(Spark(profile="prod", serverless=True)) is active

    def test_server_that_is_not_there(self):
        """It is told at once, with the address: the client itself would try for ten minutes."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        with pytest.raises(StoreError, match="STO052") as caught:
            open_session(Spark(remote=f"sc://127.0.0.1:{port}/;token=hush"))
        assert str(port) in caught.value.message
        assert "hush" not in str(caught.value)

    @pytest.mark.parametrize("way", [{"profile": "prod"}, {"cluster": "0123-4567"}, {"serverless": True}])
    def test_databricks_connect_that_is_not_installed(self, way, monkeypatch):
        """It is told which Python it needs, and that it cannot stand beside pyspark."""
        monkeypatch.setitem(sys.modules, "databricks.connect", None)
        with pytest.raises(StoreError, match="STO056") as caught:
            open_session(Spark(**way))
        assert "needs Python 3.12" in caught.value.message
        assert "mlkit-sdk[databricks]" in caught.value.fix

    def test_pyspark_that_is_not_installed(self, monkeypatch, sail):
        """So is the client of Spark itself."""
        monkeypatch.setitem(sys.modules, "pyspark.sql", None)
        with pytest.raises(StoreError, match="STO056") as caught:
            open_session(Spark(remote=sail))
        assert "mlkit-sdk[spark]" in caught.value.fix


class TestRefusals:
    @pytest.mark.parametrize(
        ("status", "text", "code"),
        [
            ("UNAUTHENTICATED", "bad token dapi123", "STO053"),
            ("PERMISSION_DENIED", "", "STO051"),
            ("UNKNOWN", "(a.b.UnauthorizedAccessException) PERMISSION_DENIED: dapi123", "STO051"),
            ("RESOURCE_EXHAUSTED", "too large", "DAT070"),
            ("DEADLINE_EXCEEDED", "dapi123", "STO052"),
            ("UNIMPLEMENTED", "dapi123", "STO050"),
        ],
    )
    def test_status_of_a_call_is_told_in_our_words(self, status, text, code):
        """Each has its code, whatever text a server sends with it, and that text is not repeated.

        Only one of them means that the session has ended; the others are raised by who asks that.
        """
        with refusing(grpc.StatusCode[status], text) as address:
            opened = sql.SparkSession.builder.remote(address).create()
            engine = SparkEngine(
                lambda: opened, catalog=None, schemas=dict.fromkeys(SCHEMAS, "x"), fetch_bytes=0
            )
            with pytest.raises((StoreError, DataError), match=code) as caught:
                engine.tables(FEATURES)
            ended = pytest.raises(Exception, match=status) if code != "STO052" else contextlib.nullcontext()
            with ended:
                assert session.has_ended(opened)
            opened.client.close()  # which waits for answers
        assert "dapi123" not in str(caught.value)


class TestReady:
    def test_spark_with_other_digests_is_refused(self, sail, monkeypatch):
        """Nothing is read or written with a Spark that would name content differently."""
        wrong = (("1.5D", 2.5, selfcheck._VALUES[0][2]),)
        monkeypatch.setattr(selfcheck, "_VALUES", (*selfcheck._VALUES, *wrong))
        opened = sql.SparkSession.builder.remote(sail).create()
        with pytest.raises(IntegrityError, match="INT014"):
            made_ready(opened)
        monkeypatch.undo()
        assert made_ready(opened) is opened
        opened.stop()

    def test_errors_are_not_written_to_the_terminal(self, spark, capfd):
        """Spark would print each failing statement, with values and a stack."""
        made_ready(spark)
        with pytest.raises(errors.AnalysisException):
            spark.sql("SELECT nothing FROM range(1)").collect()
        assert "nothing" not in "".join(capfd.readouterr())

    def test_session_that_ended_is_opened_anew(self, sail, monkeypatch):
        """A session that nobody uses for a while ends; the next call opens another."""
        opened = []

        def open_one():
            opened.append(sql.SparkSession.builder.remote(sail).create())
            return opened[-1]

        engine = SparkEngine(open_one, catalog=None, schemas=dict.fromkeys(SCHEMAS, "none"), fetch_bytes=0)
        assert engine.tables(FEATURES) == []
        opened[0].stop()
        with pytest.raises(StoreError, match="STO052"):
            engine.describe(TableName(FEATURES, "flights"))
        monkeypatch.setattr(engine_module, "IDLE_SECONDS", -1)
        assert engine.describe(TableName(FEATURES, "flights")) is None
        assert len(opened) == 2
        opened[1].stop()
