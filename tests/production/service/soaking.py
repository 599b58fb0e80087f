"""A service under load while versions are swapped, workers are killed and its stores are cut off."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pyarrow as pa

from mlkit import open_workspace
from mlkit.production.prediction_log import PredictionLog
from mlkit.production.rollback import roll_back
from mlkit.production.scorer import open_scorer
from mlkit.production.service.assignment import serving_folder
from mlkit.production.serving_counts import served_counts
from mlkit.production.stores import Stores
from tests.tracking.backends import free_port

START_SECONDS = 90
COLUMNS = {"hour": 7, "distance": 200.0, "is_ua": True, "per_mile": 25.0}


@dataclasses.dataclass
class Seen:
    """What clients and the log saw.

    Attributes:
        sent: Ids of all requests.
        acknowledged: Ids of those that were answered with 200.
        mixed: Answers whose prediction is not that of the version in their header.
        versions: Answers by version.
        refused: Other answers by status; 0 for a broken connection.
        logged: Ids in the log, once for each row.
        misnamed: Rows of the log whose prediction is not that of their version.
        seconds: Time of each answer.
        swaps: Versions that the replicas were brought to.
        kills: Workers that were killed.
        cuts: How often the stores were away.
    """

    sent: list = dataclasses.field(default_factory=list)
    acknowledged: list = dataclasses.field(default_factory=list)
    mixed: int = 0
    versions: Counter = dataclasses.field(default_factory=Counter)
    refused: Counter = dataclasses.field(default_factory=Counter)
    logged: list = dataclasses.field(default_factory=list)
    misnamed: int = 0
    seconds: list = dataclasses.field(default_factory=list)
    swaps: int = 0
    kills: int = 0
    cuts: int = 0
    counts: object = None


def soak(
    stores, *, seconds, swap_every, kill_every, cut_at=(), cut_seconds=1.0, clients=2, workers=2
) -> Seen:
    """Load a service for some time, and count; it is told to stop at the end."""
    seen, stop, port = Seen(), threading.Event(), free_port()
    expected = {version: _expected(stores, version) for version in (1, 2)}
    (stores.workspace.home.parent / "mlkit.toml").write_text(
        f'[targets.local.serving]\nreplicas = ["http://127.0.0.1:{port}"]\ntimeout_seconds = 60\n'
    )
    stores = Stores(open_workspace(home=stores.workspace.home), stores.project)  # with what the file says now
    numbers = itertools.count()
    with _service(stores, port, workers) as service:
        threads = [
            threading.Thread(target=_ask, args=(seen, port, expected, stop, numbers)) for _ in range(clients)
        ]
        for thread in threads:
            thread.start()
        _disturb(stores, seen, service, seconds, swap_every, kill_every, cut_at, cut_seconds)
        stop.set()
        for thread in threads:
            thread.join()
    _read_log(stores, seen, expected)
    return seen


def _expected(stores, version) -> float:
    rows = pa.table({name: [value] for name, value in COLUMNS.items()})
    return open_scorer(stores, version=version).predict(rows).column("prediction")[0].as_py()


@contextlib.contextmanager
def _service(stores, port, workers):
    home = stores.workspace.home
    command = [sys.executable, "-m", "mlkit", "serve", stores.project, "--port", str(port)]
    command += ["--workers", str(workers), "--refresh-seconds", "5"]
    with (home.parent / "service.log").open("w") as log:
        service = subprocess.Popen(command, cwd=home.parent, stdout=log, stderr=log)
    try:
        _wait(lambda: _status(port, "/readyz") == 200, service)
        yield service
        service.send_signal(signal.SIGTERM)
        assert service.wait(90) == 0
    finally:
        if service.poll() is None:
            service.terminate()
            service.wait(60)


def _wait(condition, service) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        assert service.poll() is None
        time.sleep(0.05)


def _status(port, path) -> int:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return 0


def _ask(seen, port, expected, stop, numbers) -> None:
    """Send one request after the other, on a connection that is kept as long as it holds."""
    body = json.dumps({"dataframe_records": [COLUMNS]})
    connection = None
    while not stop.is_set():
        name = f"r-{next(numbers)}"
        seen.sent.append(name)
        started = time.perf_counter()
        try:
            connection = connection or http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            headers = {"Content-Type": "application/json", "X-Request-Id": name}
            connection.request("POST", "/invocations", body, headers)
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException):
            seen.refused[0] += 1
            connection = connection and connection.close()
            time.sleep(0.02)
            continue
        seen.seconds.append(time.perf_counter() - started)
        if answer.status != 200:
            seen.refused[answer.status] += 1
            time.sleep(0.05)
            continue
        version = int(answer.headers["X-Mlkit-Model-Version"])
        seen.acknowledged.append(name)
        seen.versions[version] += 1
        seen.mixed += json.loads(content)["predictions"] != [expected[version]]
    if connection:
        connection.close()


def _disturb(stores, seen, service, seconds, swap_every, kill_every, cut_at, cut_seconds) -> None:
    """Do each thing when it is due, one at a time."""
    started = time.monotonic()
    due = {"swap": swap_every, "kill": kill_every}
    cuts = list(cut_at)
    while (now := time.monotonic() - started) < seconds:
        if cuts and now >= cuts[0]:
            cuts.pop(0)
            _cut(stores, cut_seconds)
            seen.cuts += 1
        elif now >= due["kill"]:
            due["kill"] += kill_every
            seen.kills += _kill_one(service)
        elif now >= due["swap"]:
            due["swap"] += swap_every
            to = 3 - stores.ledger.head().to_version
            assert roll_back(stores, to=to, reason=f"swap {seen.swaps}").version == to
            seen.swaps += 1
        time.sleep(0.02)


def _kill_one(service) -> int:
    """Kill -9 the worker that was started first; its parent and the flusher live on."""
    for child in Path(f"/proc/{service.pid}/task/{service.pid}/children").read_text().split():
        if b"service.worker" in Path(f"/proc/{child}/cmdline").read_bytes():
            os.kill(int(child), signal.SIGKILL)
            return 1
    return 0


def _cut(stores, seconds) -> None:
    """Take ledger and log away for a while: nothing can be read or written there."""
    lake = stores.workspace.folder / "lake"
    hidden = lake.with_name("lake-away")
    lake.rename(hidden)
    lake.write_text("nothing here")
    time.sleep(seconds)
    lake.unlink()
    hidden.rename(lake)


def _read_log(stores, seen, expected) -> None:
    columns = ["request_id", "version", "prediction"]
    found = PredictionLog(stores.engine, stores.project).window(columns=columns)
    for row in found.read_all().to_pylist() if found else []:
        seen.logged.append(row["request_id"])
        seen.misnamed += row["prediction"] != expected[row["version"]]
    seen.counts = served_counts(stores.engine, stores.project)
    assert list((serving_folder(stores) / "spool").iterdir()) == []
