"""`mlkit serve`: workers on one socket, the flusher of the prediction log, and the end of all of them.

The process that is started here answers no request. It starts the workers with one computing thread each
(several slow each other down), starts one that has died anew, and ends them in order: no new requests,
those under way, the log.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlkit.console import say
from mlkit.errors import ServingError, UsageError
from mlkit.production.service.assignment import Assignment, serving_folder
from mlkit.production.service.auth import Tokens
from mlkit.production.service.board import Board
from mlkit.production.service.flusher import start_flusher
from mlkit.tracking.runs import Tracking
from mlkit.tracking.store import translated

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mlkit.production.service.limits import Settings
    from mlkit.production.stores import Stores
    from mlkit.workspace import Workspace

_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
# MLflow's client asks a server that is away for four minutes; a worker asks again by itself.
_IMPATIENT = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2"}
_LOOK_SECONDS = 0.1
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
_FLUSH_SECONDS = 60.0
_LAST_SECONDS = 10.0  # beyond the time that requests under way have, for the disk
_MOST_FALSE_STARTS = 4
_BACKLOG = 2048


@dataclasses.dataclass(frozen=True)
class Stopped:
    """A service that was told to stop.

    Attributes:
        address: Where it listened.
        seconds: How long.
        restarts: Workers that had died and were started anew.
    """

    address: str
    seconds: float
    restarts: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return dataclasses.asdict(self)

    def __repr__(self) -> str:
        """One line."""
        again = f", {self.restarts} workers were started anew" if self.restarts else ""
        return f"stopped after {self.seconds:.0f} s on {self.address}{again}"


def serve(stores: Stores, settings: Settings, *, trial: str = "") -> Stopped:
    """Serve until a signal says stop.

    Args:
        stores: The project's.
        settings: Bounds.
        trial: Id of a study's run: its model is served, for research, and nothing is logged.

    Raises:
        SecurityError: Other machines could connect without a token (SEC021).
        UsageError: The address cannot be listened on (CLI056).
        ServingError: Its workers do not start (NET049).
    """
    Tokens.read(os.environ).check_bind(settings)
    folder = serving_folder(stores)
    started = time.monotonic()
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(_listening(settings))
        board = stack.enter_context(_board_folder(folder))
        told = Assignment.of(stores, settings, trial=trial, board=board, listener=listener.fileno())
        if not trial:
            stack.enter_context(_flushing(stores, folder / "spool"))
        stop = stack.enter_context(_told_to_stop())
        address = f"http://{_host(settings.host)}:{listener.getsockname()[1]}"
        crew = _Crew(told, address)
        crew.run(stop)
    return Stopped(address, time.monotonic() - started, crew.restarts)


def project_of(workspace: Workspace, run_id: str) -> str:
    """The project of a study's run.

    Raises:
        StoreError: There is no such run.
    """
    client = Tracking(workspace).client
    with translated(f"read the run {run_id}"):
        experiment = client.get_experiment(client.get_run(run_id).info.experiment_id)
    return str(experiment.name).rpartition("/")[2]


class _Crew:
    """The workers of a service."""

    def __init__(self, told: Assignment, address: str) -> None:
        self.restarts = 0
        self._told, self._address = told, address
        self._board = Board(Path(told.board))
        self._environment = {**dict.fromkeys(_ONE_THREAD, "1"), **_IMPATIENT, **os.environ}
        self._workers: list[subprocess.Popen[bytes]] = []
        self._announced = False
        self._pause, self._next = _FIRST_PAUSE, 0.0

    def run(self, stop: list[int]) -> None:
        """Keep the workers running until `stop` holds a signal.

        Raises:
            ServingError: They end before one of them has served (NET049).
        """
        try:
            self._workers = [self._start() for _ in range(self._told.settings.workers)]
            while not stop:
                self._replace_dead()
                if not self._announced:
                    self._announce()
                time.sleep(_LOOK_SECONDS)
        finally:
            self._end()

    def _start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "mlkit.production.service.worker", self._told.to_text()]
        return subprocess.Popen(  # noqa: S603 - our own
            command,
            stdin=subprocess.PIPE,
            env=self._environment,
            pass_fds=[self._told.listener],
            start_new_session=True,  # Ctrl-C is for this process, which ends them in order
        )

    def _replace_dead(self) -> None:
        dead = [number for number, worker in enumerate(self._workers) if worker.poll() is not None]
        if not dead:
            self._pause = _FIRST_PAUSE
        elif time.monotonic() >= self._next:
            if not self._announced and self.restarts >= _MOST_FALSE_STARTS:
                raise ServingError(
                    "NET049", "the workers end as soon as they start", fix="see what they said"
                )
            for number in dead:
                say(f"a worker has ended with {self._workers[number].returncode}; another takes its place")
                _close(self._workers[number])
                self._workers[number] = self._start()
                self.restarts += 1
            self._pause = min(self._pause * 2, _LONGEST_PAUSE)
            self._next = time.monotonic() + self._pause

    def _announce(self) -> None:
        """Tell where to ask for what, as soon as a worker answers."""
        if posts := self._board.read():
            self._announced = True
            serving = next((post for post in posts if post["served"]), None)
            say(_words(self._told, self._address, serving))

    def _end(self) -> None:
        """Let the workers finish what is under way."""
        for worker in self._workers:
            worker.terminate()
        by = time.monotonic() + self._told.settings.stop_seconds + _LAST_SECONDS
        for worker in self._workers:
            try:
                worker.wait(max(by - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()
            _close(worker)


def _words(told: Assignment, address: str, serving: Mapping[str, Any] | None) -> str:
    settings = told.settings
    if serving is None:
        fix = f"mlkit deploy {told.project}"
        return f"{told.project} is not served yet on {address}: no model is there\n  next    {fix}"
    facts = serving["served"]
    what = (
        f"trial {told.trial}, not for production, nothing is logged" if told.trial else f"v{facts['version']}"
    )
    how = "" if told.trial else f"{settings.policy} log, "
    body = json.dumps({"dataframe_split": serving["example"]}, ensure_ascii=False).replace("'", "'\\''")
    token = "" if not Tokens.read(os.environ).serve else " -H 'Authorization: Bearer TOKEN'"
    return (
        f"{told.project} {what} on {address}  ({how}{settings.workers} worker{'s'[: settings.workers > 1]})\n"
        f"  try     curl -s {address}/invocations -H 'Content-Type: application/json'{token} -d '{body}'\n"
        f"  look    {address}/readyz  {address}/version  {address}/metrics\n"
        f"  stop    Ctrl-C: what is under way is answered, what was answered is logged"
    )


@contextlib.contextmanager
def _listening(settings: Settings) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((settings.host, settings.port))
            listener.listen(_BACKLOG)
        except OSError as exc:
            message = f"cannot listen on {settings.host}:{settings.port}: {exc.strerror}"
            raise UsageError("CLI056", message, path="port", fix="--port 0 takes a free one") from exc
        listener.set_inheritable(True)
        yield listener


@contextlib.contextmanager
def _board_folder(folder: Path) -> Iterator[Path]:
    board = folder / f"board-{os.getpid()}"
    shutil.rmtree(board, ignore_errors=True)  # of a process of the same number
    board.mkdir(parents=True)
    try:
        yield board
    finally:
        shutil.rmtree(board, ignore_errors=True)


@contextlib.contextmanager
def _flushing(stores: Stores, folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    flusher = start_flusher(stores.workspace, stores.project, folder)
    try:
        yield
    finally:
        _close(flusher)  # then it flushes a last time
        try:
            flusher.wait(_FLUSH_SECONDS)
        except subprocess.TimeoutExpired:
            say("the log is not complete yet: the next service goes on where this one stopped")
            flusher.kill()
            flusher.wait()


@contextlib.contextmanager
def _told_to_stop() -> Iterator[list[int]]:
    """A list that holds a signal as soon as one says stop."""
    heard: list[int] = []
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.signal(number, lambda found, _: heard.append(found)) for number in numbers}
    try:
        yield heard
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _close(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        process.stdin.close()


def _host(host: str) -> str:
    return f"[{host}]" if ":" in host else host
