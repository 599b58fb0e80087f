"""`mlkit serve` as users run it: processes of its own, swaps and kills under load, and the log afterwards."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
import uuid

import pandas as pd
import pyarrow as pa
import pytest
from sklearn.linear_model import Ridge

from mlkit import ModelProject
from mlkit.errors import SecurityError, UsageError
from mlkit.production.prediction_log import PredictionLog
from mlkit.production.runner import deploy
from mlkit.production.scorer import open_scorer
from mlkit.production.service.limits import Settings
from mlkit.production.service.run import serve
from tests.conftest import make_flights
from tests.production.scenes import NAME, STUMP, frozen
from tests.production.service.standin import JSON, wait_for
from tests.schemas import complaint

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

ROWS = [
    {"hour": hour, "distance": 100.0 * hour, "is_ua": hour % 2 == 0, "per_mile": hour / 7}
    for hour in range(5, 23)
]


class Command:
    """`mlkit serve` with these words, from when it has said where it listens."""

    def __init__(self, *words: str) -> None:
        environment = {**os.environ, "MLKIT_QUIET": "0"}
        command = [sys.executable, "-m", "mlkit", "serve", *words, "--port", "0", "--json"]
        self.process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.said: list[str] = []
        found: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, args=(found,), daemon=True)
        self._reader.start()
        self.port = int(found.get(timeout=60))

    def _read(self, found) -> None:
        for line in self.process.stderr:
            self.said.append(line)
            if address := re.search(r"on http://127\.0\.0\.1:(\d+)", line):
                found.put(address[1])

    def ask(self, method, path, body=None, headers=None) -> tuple[int, dict[str, str], dict]:
        """One request."""
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        with contextlib.closing(link):
            link.request(method, path, body and json.dumps(body), headers or {})
            answer = link.getresponse()
            text = answer.read()
            return answer.status, dict(answer.headers.items()), json.loads(text)

    def version(self) -> dict:
        """What `/version` says."""
        return self.ask("GET", "/version")[2]

    def stop(self, number=signal.SIGTERM) -> dict:
        """End it, and give what it printed."""
        self.process.send_signal(number)
        assert self.process.wait(60) == 0, "".join(self.said)
        self._reader.join(10)
        with self.process.stdout as printed:
            text = printed.read()
        self.process.stderr.close()
        values = json.loads(text)
        assert complaint("serve", values) == ""
        return values


@pytest.fixture
def serving():
    """A function that runs the command; what is left of it is killed afterwards."""
    made: list[Command] = []

    def run(*words):
        made.append(Command(*words))
        return made[-1]

    yield run
    for command in made:
        command.process.kill()
        command.process.wait(30)
        command.process.stdout.close()
        command.process.stderr.close()


class Clients:
    """Threads that ask one row at a time and remember what they were told."""

    def __init__(self, command: Command, count: int) -> None:
        self.answers: list[tuple[str, int, int, float]] = []  # id, version, row, prediction
        self.failed: list[object] = []
        self.unknown = 0  # requests whose connection broke: nobody knows whether they were answered
        self._command, self._stop = command, threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def _ask(self) -> None:
        number = 0
        while not self._stop.is_set():
            number = (number + 1) % len(ROWS)
            name = uuid.uuid4().hex
            try:
                status, headers, told = self._command.ask(
                    "POST",
                    "/invocations",
                    {"dataframe_records": [ROWS[number]]},
                    {**JSON, "X-Request-Id": name},
                )
            except (OSError, http.client.HTTPException):
                self.unknown += 1
                continue
            if status != 200:
                self.failed.append(told)
                continue
            self.answers.append((name, int(headers["x-mlkit-model-version"]), number, told["predictions"][0]))

    def end(self) -> None:
        """Ask no more."""
        self._stop.set()
        for thread in self._threads:
            thread.join(60)


def test_swaps_and_kills_under_load(stores, home, serving) -> None:
    """No request fails by a swap, none is answered by two models, and what was answered is in the log."""
    deploy(frozen(model=STUMP), stores)
    command = serving(NAME, "--workers", "2", "--refresh-seconds", "60")
    clients = Clients(command, 3)
    deploy(frozen(), stores)
    command.ask("POST", "/-/refresh")
    wait_for(lambda: command.version().get("seq_everywhere") == 2, seconds=60)
    assert (clients.failed, clients.unknown) == ([], 0)

    kill_one_worker(home)
    wait_for(lambda: any("another takes its place" in line for line in command.said), seconds=60)
    seen = len(clients.answers)
    wait_for(lambda: len(clients.answers) > seen + 20, seconds=60)
    clients.end()
    assert clients.failed == []
    assert command.stop()["restarts"] == 1

    expected = {version: predictions(stores, version) for version in (1, 2)}
    assert {version for _, version, _, _ in clients.answers} == {1, 2}
    assert all(found == expected[version][row] for _, version, row, found in clients.answers)
    rows = PredictionLog(stores.engine, NAME).window().read_all().to_pylist()
    logged = {row["request_id"]: (row["version"], row["prediction"]) for row in rows}
    assert len(logged) == len(rows)
    assert {name: logged.get(name) for name, *_ in clients.answers} == {
        name: (version, found) for name, version, _, found in clients.answers
    }
    assert len(rows) - len(clients.answers) <= clients.unknown


def kill_one_worker(home) -> None:
    """As the kernel does when memory is short."""
    post = next(home.glob("serving/*/board-*/worker-*.json"))
    os.kill(int(post.stem.removeprefix("worker-")), signal.SIGKILL)


def predictions(stores, version) -> list[float]:
    """What a version says of the rows, asked without a service."""
    scorer = open_scorer(stores, version=version)
    return [
        scorer.predict(pa.Table.from_pandas(pd.DataFrame([row])))["prediction"][0].as_py() for row in ROWS
    ]


def test_a_service_waits_for_its_first_model(stores, serving) -> None:
    """It starts without one, says what to do, and answers as soon as one is promoted; Ctrl-C ends it."""
    command = serving(NAME)
    assert any("no model is there" in line for line in command.said)
    assert command.ask("GET", "/readyz")[0] == 503
    assert command.ask("POST", "/invocations", {"dataframe_records": ROWS}, JSON)[0] == 503
    deploy(frozen(), stores)
    command.ask("POST", "/-/refresh")
    wait_for(lambda: command.ask("GET", "/readyz")[0] == 200)
    status, _, told = command.ask("POST", "/invocations", {"dataframe_records": ROWS}, JSON)
    assert (status, len(told["predictions"])) == (200, len(ROWS))
    assert command.stop(signal.SIGINT)["address"] == f"http://127.0.0.1:{command.port}"


def test_the_model_of_a_trial(workspace, serving) -> None:
    """Named by its run alone; it is marked, and nothing of it is logged."""
    project = ModelProject("trials", target="delay", key="flight_id", metric="rmse", workspace=workspace)
    columns = ["flight_id", "hour", "distance", "delay"]
    snapshot = project.snapshot(make_flights(200)[columns].dropna())
    study = project.study(lambda trial: Ridge(trial.suggest_float("alpha", 0.1, 1)), snapshot, trials=1, cv=2)
    command = serving("--trial", study.run_id)
    body = {"dataframe_split": {"columns": ["hour", "distance"], "data": [[7, 120.5]]}}
    status, headers, told = command.ask("POST", "/invocations", body, JSON)
    assert (status, len(told["predictions"])) == (200, 1)
    assert headers["x-mlkit-not-for-production"] == "trial"
    assert command.version()["production"] is False
    assert any("not for production" in line for line in command.said)
    command.stop()
    assert PredictionLog(workspace.engine, "trials").window() is None


def test_a_service_that_would_be_open_does_not_start(stores, monkeypatch) -> None:
    """Nor one whose address is taken."""
    monkeypatch.delenv("MLKIT_SERVE_TOKENS", raising=False)
    with pytest.raises(SecurityError) as caught:
        serve(stores, Settings(host="0.0.0.0"))  # noqa: S104 - what is to be refused
    assert caught.value.code == "SEC021"
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(UsageError) as taken:
        serve(stores, Settings(port=other.getsockname()[1]))
    assert taken.value.code == "CLI056"
