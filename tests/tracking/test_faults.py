"""What a tracking server may answer, or fail to: each has its error, its way out, and no secret in it."""

from __future__ import annotations

import contextlib
import http.server
import socket
import threading

import pytest

from mlkit.errors import OutcomeUnknownError, StoreError
from mlkit.targets import Target
from mlkit.tracking.runs import Tracking
from mlkit.workspace import Workspace
from tests.tracking.backends import free_port

HIDDEN = "a-value-nobody-may-see"


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """MLflow tries once, waits a second, and sends a token."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", HIDDEN)


@contextlib.contextmanager
def answering(status, body=b"{}", *, port=0):
    """A server on the loopback that answers everything in one way; gives its URL and what it was asked."""
    asked = []

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            asked.append(self.headers.get("Authorization"))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_PUT = do_GET  # noqa: N815 - names of the standard library

        def log_message(self, *_):
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Answer)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def fault(tmp_path, url) -> StoreError:
    """The error of opening an experiment there."""
    tracking = Tracking(Workspace("team", tmp_path, Target(tracking_uri=url)))
    with pytest.raises(StoreError) as caught:
        tracking.experiment("flights")
    error = caught.value
    assert error.__cause__ is not None
    assert HIDDEN not in f"{error}{error.to_dict()}"
    assert url not in str(error)
    return error


@pytest.mark.parametrize(
    ("status", "body", "code", "fix"),
    [
        (401, b"You are not authenticated", "STO033", "log in"),
        (403, b'{"error_code": "PERMISSION_DENIED", "message": "x"}', "STO034", "owner"),
        (403, b"<html>no</html>", "STO034", "owner"),
        (404, b"<html>a web site</html>", "STO035", "mlkit.toml"),
        (429, b"", "STO036", "run the same again"),
        (503, b"<html>starting</html>", "STO036", "run the same again"),
        (400, b'{"error_code": "INVALID_PARAMETER_VALUE", "message": "x"}', "STO020", "--debug"),
        (200, b"<html>a login page</html>", "STO020", "--debug"),
    ],
)
def test_an_answer_of_the_server_is_told_apart(tmp_path, status, body, code, fix):
    """By its status: who asks, who may, what is there, and what is only busy."""
    with answering(status, body) as (url, asked):
        error = fault(tmp_path, url)
    assert (error.code, error.exit_code) == (code, 20)
    assert fix in error.fix
    assert asked[0] == f"Bearer {HIDDEN}"


def test_a_server_that_is_not_there(tmp_path):
    """Nobody listens at the port, or the name of the machine is none."""
    for url in (f"http://127.0.0.1:{free_port()}", "http://tracking.invalid"):
        error = fault(tmp_path, url)
        assert (error.code, error.path) == ("STO031", "tracking_uri")


def test_a_server_without_a_certificate(tmp_path):
    """What answers is not what the address promises."""
    with answering(200) as (url, _):
        error = fault(tmp_path, url.replace("http:", "https:"))
    assert error.code == "STO031"
    assert "certificate" in error.message


def test_a_server_that_never_answers(tmp_path):
    """Whether it did what it was asked is not known, and the error says so."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        error = fault(tmp_path, f"http://127.0.0.1:{silent.getsockname()[1]}")
    assert isinstance(error, OutcomeUnknownError)
    assert error.code == "STO032"
    assert "may have been done" in error.message


def test_a_server_that_hangs_up(tmp_path):
    """A connection cut in the middle of an answer is no answer."""
    with socket.create_server(("127.0.0.1", 0)) as rude:

        def cut():
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = rude.accept()
                    connection.recv(1000)
                    connection.close()

        thread = threading.Thread(target=cut, daemon=True)
        thread.start()
        error = fault(tmp_path, f"http://127.0.0.1:{rude.getsockname()[1]}")
        assert error.code == "STO032"
        rude.shutdown(socket.SHUT_RDWR)
    thread.join()


def test_files_that_may_not_be_uploaded(tmp_path):
    """The part of MLflow that moves files raises errors of another library, which are translated too."""
    run = (
        b'{"run": {"info": {"run_id": "a", "experiment_id": "1", "status": "RUNNING",'
        b' "artifact_uri": "mlflow-artifacts:/1/a"}, "data": {}}}'
    )
    with answering(200, run) as (url, _):
        tracking = Tracking(Workspace("team", tmp_path, Target(tracking_uri=url)))
        assert tracking.run("a").status == "RUNNING"
        port = url.rpartition(":")[2]
    with answering(403, b"no", port=int(port)), pytest.raises(StoreError) as caught:
        tracking.text("a", "notes.txt", "text")
    assert caught.value.code == "STO034"


@pytest.mark.newest_only
def test_databricks_without_credentials(tmp_path, monkeypatch):
    """Neither profile nor environment tells who asks; the way to log in is shown."""
    pytest.importorskip("databricks.sdk")
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("DATABRICKS_HOST", "DATABRICKS_TOKEN", "DATABRICKS_CONFIG_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    target = {"catalog": "main", "experiment_root": "/Shared/mlkit"}
    for uri in ("databricks", "databricks://prod"):
        tracking = Tracking(Workspace("prod", tmp_path, Target(tracking_uri=uri, **target)))
        with pytest.raises(StoreError) as caught:
            tracking.experiment("flights")
        assert caught.value.code == "STO033"
        assert "databricks auth login" in caught.value.fix
