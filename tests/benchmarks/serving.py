"""Measures `mlkit serve` beside `mlflow models serve`: the same model, the same bodies, taking turns.

Run by hand: ``python tests/benchmarks/serving.py [seconds a cell] [rounds]``. The load comes from wrk where
that is installed, else from a small client in a process of its own. MLflow serves as it does by default, and
with one computing thread, which it does not set itself. Answers of all servers are compared first. Every
figure is the median of the rounds; on a busy machine only the ratios say something.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OrdinalEncoder, StandardScaler

from mlkit import Gate, ModelProject, Split
from mlkit.production.stores import Stores

if TYPE_CHECKING:
    from collections.abc import Iterator

ROWS, TREES = 20_000, 200
NUMBERS, WORDS = [f"x{number}" for number in range(10)], ["carrier", "origin"]
CELLS = [(1, 1), (1, 8), (1, 32), (1000, 1), (1000, 8)]  # rows of a request, connections
LUA = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
local file = io.open("{body}", "rb")
wrk.body = file:read("*a")
file:close()
"""
CLIENT = """
import http.client, json, sys, threading, time
port, connections, seconds = int(sys.argv[1]), int(sys.argv[3]), float(sys.argv[4])
body = open(sys.argv[2], "rb").read()
taken, wrong, end = [], [], time.perf_counter() + seconds
def ask():
    link = http.client.HTTPConnection("127.0.0.1", port)
    while time.perf_counter() < end:
        begun = time.perf_counter()
        link.request("POST", "/invocations", body, {"Content-Type": "application/json"})
        answer = link.getresponse(); answer.read()
        (taken if answer.status == 200 else wrong).append(time.perf_counter() - begun)
threads = [threading.Thread(target=ask) for _ in range(connections)]
[one.start() for one in threads]; [one.join() for one in threads]
taken.sort()
print(len(taken) / seconds, taken[len(taken) // 2] * 1000, taken[len(taken) * 99 // 100] * 1000, len(wrong))
"""


class Figures(NamedTuple):
    """Of one cell: requests a second, milliseconds of the median and of the slowest hundredth, failures."""

    rate: float
    p50: float
    p99: float
    wrong: int


def flights() -> pd.DataFrame:
    """Ten numbers, two words, a label."""
    random = np.random.default_rng(0)
    frame = pd.DataFrame({name: random.normal(size=ROWS) for name in NUMBERS})
    frame["carrier"] = random.choice(["AA", "B6", "DL", "UA", "WN"], ROWS)
    frame["origin"] = random.choice([f"A{number:02}" for number in range(50)], ROWS)
    label = frame["x0"] * 3 + frame["x1"] ** 2 + (frame["carrier"] == "UA") + random.normal(size=ROWS)
    return frame.assign(flight_id=np.arange(ROWS), delay=label)


def pipeline(trial: object) -> Pipeline:
    """The model of facts/serving.md."""
    del trial
    columns = [("numbers", StandardScaler(), NUMBERS), ("words", OrdinalEncoder(), WORDS)]
    boosting = HistGradientBoostingRegressor(max_iter=TREES, early_stopping=False, random_state=0)
    return Pipeline([("columns", ColumnTransformer(columns)), ("boosting", boosting)])


def deploy() -> Stores:
    """Make a champion in the working directory."""
    project = ModelProject(
        "serving", target="delay", metric="rmse", key="flight_id", split=Split(test=0.2), task="regression"
    )
    snapshot = project.snapshot(flights())
    study = project.study(pipeline, snapshot, trials=1, cv=2)
    config = project.freeze(
        study.best, gate=Gate(threshold=100), source=str(snapshot.table), reason="benchmark"
    )
    project.deploy(config)
    return Stores(project.workspace, "serving")


def free_port() -> int:
    """A port that nobody uses."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def started(words: list[str], port: int, environment: dict[str, str], log: Path) -> Iterator[int]:
    """A server as a process of its own, from when it is ready."""
    with log.open("wb") as said:
        process = subprocess.Popen(words, env=environment, stdout=said, stderr=said, start_new_session=True)
    try:
        by = time.monotonic() + 120
        while not answers(port):
            if process.poll() is not None or time.monotonic() > by:
                raise RuntimeError(log.read_text()[-2000:])
            time.sleep(0.2)
        yield port
    finally:
        process.terminate()
        process.wait(60)


def answers(port: int) -> bool:
    """Whether a server says that it is ready."""
    with contextlib.suppress(OSError):
        link = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        link.request("GET", "/ping")
        return link.getresponse().status == 200
    return False


def ask(port: int, body: bytes) -> list[float]:
    """The predictions of one request."""
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    link.request("POST", "/invocations", body, {"Content-Type": "application/json"})
    return [float(value) for value in json.loads(link.getresponse().read())["predictions"]]


def measure(port: int, body: Path, connections: int, seconds: float) -> Figures:
    """One cell."""
    if shutil.which("wrk") is None:
        words = [sys.executable, "-c", CLIENT, str(port), str(body), str(connections), str(seconds)]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        rate, p50, p99, wrong = done.stdout.split()
        return Figures(float(rate), float(p50), float(p99), int(wrong))
    script = body.with_suffix(".lua")
    script.write_text(LUA.format(body=body))
    words = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "--latency", "-s", str(script)]
    words.append(f"http://127.0.0.1:{port}/invocations")
    text = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    wrong = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    return Figures(
        float(re.search(r"Requests/sec: +([\d.]+)", text)[1]),
        milliseconds(text, "50%"),
        milliseconds(text, "99%"),
        int(wrong[1]) if wrong else 0,
    )


def milliseconds(text: str, share: str) -> float:
    """What wrk writes of a share of the requests, such as ``50%    3.20ms``."""
    number, unit = re.search(rf"^ *{share} +([\d.]+)(us|ms|s|m)\b", text, re.MULTILINE).groups()
    return float(number) * {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}[unit]


def bodies(folder: Path) -> dict[int, Path]:
    """A file with the body of a request, by its rows."""
    made = {}
    for rows in {rows for rows, _ in CELLS}:
        frame = flights().drop(columns=["flight_id", "delay"]).head(rows)
        made[rows] = folder / f"rows-{rows}.json"
        made[rows].write_text(json.dumps({"dataframe_split": frame.to_dict(orient="split")}))
    return made


def main(seconds: float = 3.0, rounds: int = 2) -> None:
    """Print one line a cell."""
    with tempfile.TemporaryDirectory() as place, contextlib.ExitStack() as servers:
        folder = Path(place)
        os.chdir(folder)
        os.environ.update(MLKIT_HOME=str(folder / ".mlkit"), MLKIT_QUIET="1", MLFLOW_DISABLE_TELEMETRY="true")
        stores = deploy()
        model = stores.registry.folder(stores.ledger.head().model_id)
        ports = {name: free_port() for name in ("mlkit", "mlkit fast", "mlflow", "mlflow OMP=1")}
        for name, port in ports.items():
            if name.startswith("mlkit"):
                words = [sys.executable, "-m", "mlkit", "serve", "serving", "--port", str(port)]
                words += ["--policy", "fast" if name.endswith("fast") else "durable"]
            else:
                words = [sys.executable, "-m", "mlflow", "models", "serve", "-m", str(model), "-p", str(port)]
                words += ["--env-manager", "local"]
            path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # where mlflow finds uvicorn
            environment = {**os.environ, "PATH": path}
            if name.endswith("OMP=1"):
                environment["OMP_NUM_THREADS"] = "1"
            servers.enter_context(started(words, port, environment, folder / f"{name}.log"))
        files = bodies(folder)
        for path in files.values():
            told = {name: ask(port, path.read_bytes()) for name, port in ports.items()}
            assert all(one == told["mlflow"] for one in told.values()), "the servers disagree"
        report(ports, files, seconds, rounds)


def report(ports: dict[str, int], files: dict[int, Path], seconds: float, rounds: int) -> None:
    """Measure all cells in turns, and print them."""
    print(
        f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; rps (p50 / p99 ms), ratio to OMP=1"
    )
    for rows, connections in CELLS:
        found: dict[str, list[Figures]] = {name: [] for name in ports}
        for _ in range(rounds):
            for name, port in ports.items():
                found[name].append(measure(port, files[rows], connections, seconds))
        rates = {name: statistics.median(one.rate for one in cell) for name, cell in found.items()}
        parts = []
        for name, cell in found.items():
            p50, p99 = (statistics.median(getattr(one, what) for one in cell) for what in ("p50", "p99"))
            wrong = sum(one.wrong for one in cell)
            ratio = rates[name] / rates["mlflow OMP=1"]
            note = f" {wrong} WRONG" if wrong else ""
            parts.append(f"{name} {rates[name]:.0f} ({p50:.1f} / {p99:.1f}) {ratio:.2f}x{note}")
        print(f"{rows} rows, {connections} connections: {'; '.join(parts)}", flush=True)


if __name__ == "__main__":
    main(*(float(word) for word in sys.argv[1:2]), *(int(word) for word in sys.argv[2:3]))
