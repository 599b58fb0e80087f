"""A service on a real socket, around a model that is trained in a moment."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import http.client
import json
import socket
import threading
import time
from concurrent.futures import Future
from typing import Any

import numpy as np

from mlkit.data.contract import Contract
from mlkit.production.scorer import Scorer
from mlkit.production.service.app import make_app
from mlkit.production.service.connection import make_server
from mlkit.production.service.limits import Settings

CONTRACT = Contract.from_values(
    {
        "columns": {
            "flight": {"dtype": "int64"},
            "hour": {"dtype": "int32"},
            "distance": {"dtype": "float64", "nullable": True},
            "carrier": {"dtype": "category", "categories": ["AA", "UA"]},
            "is_late": {"dtype": "bool"},
            "delay": {"dtype": "float64"},
        }
    }
)
FEATURES = ("hour", "distance", "carrier", "is_late")
ROW = {"hour": 7, "distance": 120.5, "carrier": "UA", "is_late": False}
JSON = {"Content-Type": "application/json"}


class Adds:
    """A model whose answer is the hour plus the distance; some hours make it fail, wait, or answer nan."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.entered = threading.Event()
        self.sizes: list[int] = []

    def predict(self, frame):
        """Hour 100 fails, 101 waits for the gate, 102 is answered with nan."""
        hours = frame["hour"].to_numpy()
        self.sizes.append(len(frame))
        if (hours == 100).any():
            raise ValueError("secret-value /home/somebody")
        if (hours == 101).any():
            self.entered.set()
            assert self.gate.wait(30)
        return np.where(hours == 102, np.nan, hours + frame["distance"].fillna(0).to_numpy())


@dataclasses.dataclass(frozen=True, eq=False)
class Served:
    """As `mlkit.production.service.holder.Served`, without files."""

    scorer: Scorer
    batchable: bool = True
    since: dt.datetime = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
    trial: str | None = None

    def facts(self) -> dict[str, Any]:
        """What it is."""
        return {"version": self.scorer.version, "model_id": self.scorer.model_id, "seq": self.scorer.seq}


class Holder:
    """As `mlkit.production.service.holder.Holder`, of what a test puts there."""

    def __init__(self, served: Served | None) -> None:
        self.current = served
        self.asked: list[int | None] = []

    @property
    def state(self) -> dict[str, Any]:
        """Ready if something serves."""
        facts = self.current.facts() if self.current else {}
        return {"ready": self.current is not None, "stale": False, "degraded": False, "error": None, **facts}

    def refresh(self, *, wanted_seq=None):
        """Remember that it was asked."""
        self.asked.append(wanted_seq)
        return _Refreshed()


class _Refreshed:
    def to_dict(self) -> dict[str, Any]:
        """Nothing has changed."""
        return {"changed": False, "version": 3, "seq": 5, "error": None}


class Log:
    """As `mlkit.production.service.spool.Spool`, in memory."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.error: Exception | None = None

    @property
    def state(self) -> dict[str, Any]:
        """How many rows there are."""
        return {"served": len(self.rows), "logged": len(self.rows), "dropped_total": 0, "bytes": 0}

    def check(self) -> None:
        """Room as long as there is no error."""
        if self.error:
            raise self.error

    def write(self, rows) -> Future[None]:
        """Keep rows."""
        self.rows += rows.to_pylist()
        done: Future[None] = Future()
        done.set_result(None)
        return done


def scorer(estimator, *, version: int = 3, **changes) -> Scorer:
    """A scorer of flights."""
    values = {
        "version": version,
        "model_id": f"m-{version}",
        "seq": version + 2,
        "manifest_digest": "0" * 64,
        "task": "regression",
        "contract": CONTRACT,
        "features": FEATURES,
        "key": ("flight",),
        "target": "delay",
        "inputs": ("distance",),
        "folder": None,
        "estimator": estimator,
        "code": contextlib.nullcontext,
        "config": {},
    }
    return Scorer(**{**values, **changes})


@dataclasses.dataclass
class Running:
    """A service that listens.

    Attributes:
        port: Where.
        app: The application.
        holder: What serves.
        log: What was logged.
    """

    port: int
    app: Any
    holder: Any
    log: Any

    def ask(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Told:
        """One request on a connection of its own; a body that is no text or bytes is sent as JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        data = body if isinstance(body, bytes | str | None) else json.dumps(body)
        try:
            connection.request(method, path, data, headers or {})
            answer = connection.getresponse()
            return Told(answer.status, dict(answer.headers.items()), answer.read())
        finally:
            connection.close()

    def predict(
        self, rows: list[dict[str, Any]], headers: dict[str, str] | None = None, *, path="/invocations"
    ):
        """Ask for predictions."""
        return self.ask("POST", path, {"dataframe_records": rows}, {**JSON, **(headers or {})})

    def raw(self, data: bytes, *, seconds: float = 20) -> Told:
        """Bytes as they are, and what comes back until the connection ends."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=seconds) as connection:
            connection.sendall(data)
            return parse(read_all(connection))


@dataclasses.dataclass(frozen=True)
class Told:
    """An answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as values."""
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, str]:
        """The error of the body."""
        return self.json["error"]


def read_all(connection: socket.socket) -> bytes:
    """Everything until the other side ends."""
    parts = []
    with contextlib.suppress(ConnectionResetError):
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


def parse(data: bytes) -> Told:
    """An answer of raw bytes."""
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.title(): value for name, _, value in (line.partition(": ") for line in lines)}
    return Told(int(first.split()[1]), headers, body)


@contextlib.contextmanager
def running(holder, log=None, settings: Settings | None = None, **parts):
    """A service on a free port of this machine, in a thread."""
    settings = settings or Settings()
    app = make_app(holder, log, settings, **parts)
    server = make_server(app, settings)
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield Running(port, app, holder, log)
    finally:
        server.should_exit = True
        thread.join(30)
        app.close()


def wait_for(condition, *, seconds: float = 60.0) -> None:
    """Wait until something holds."""
    by = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < by, "it did not come to hold in time"
        time.sleep(0.01)
