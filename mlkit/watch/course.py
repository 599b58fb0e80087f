"""`mlkit watch`: runs a script again at every save, each time in a fresh interpreter.

One run at a time: a save during a run stops it, which stores survive. What counts is content, looked at in
folders (editors replace files); what the script itself writes does not start it again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlkit.console import console, duration, say
from mlkit.errors import EXIT_DONE, UsageError
from mlkit.page.words import counted
from mlkit.watch.child import PAGE, TROUBLE, WATCHED
from mlkit.watch.files import CODE, Files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from mlkit.watch.live import LivePage

STEPS, STEPS_LOG = "MLKIT_STEPS", "MLKIT_STEPS_LOG"
POLL_SECONDS, QUIET_SECONDS = 0.15, 0.1
GRACE_SECONDS = 3.0

_LOG, _PAGE, _TROUBLE = "steps.jsonl", "page.html", "trouble.txt"
_CHILD = "from mlkit.watch.child import run_script; run_script()"


@dataclasses.dataclass(frozen=True)
class WatchReport:
    """How a watch ended.

    Attributes:
        script: What was run.
        runs: How often it was started.
        code: Exit code of the last run; None if it was stopped before its end.
        exit_code: Of the command: with ``--once`` that of the run, else 0.
    """

    script: str
    runs: int
    code: int | None
    exit_code: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return dataclasses.asdict(self)

    def __repr__(self) -> str:
        """Runs, and how the last one ended."""
        words = {None: "was stopped", EXIT_DONE: "ended well"}
        ended = words.get(self.code, f"ended with exit code {self.code}")
        return f"{self.script}  {counted(self.runs, 'run')}{f', the last one {ended}' if self.runs else ''}"


def watch(
    script: Path | str,
    *,
    arguments: Sequence[str] = (),
    folders: Sequence[Path | str] = (),
    once: bool = False,
    lazy: bool = False,
    target: str | None = None,
    page: LivePage | None = None,
) -> WatchReport:
    """Run a script, and again whenever code or data beside it is saved, until Ctrl-C.

    Args:
        script: A Python file.
        arguments: What it gets as ``sys.argv[1:]``.
        folders: Folders to look at besides the script's and the working directory.
        once: Run it a single time, as in CI.
        lazy: Let steps that take long be stale instead of running them.
        target: Set of stores that the script works with; by default as it says itself.
        page: Shows the report of the script's project in a browser, anew after each run.

    Raises:
        UsageError: No such script (CLI090), or too many files to look at (CLI091).
    """
    path = Path(script).resolve()
    if path.suffix != ".py" or not path.is_file():
        raise UsageError("CLI090", "expected a Python file", path=str(script), fix="mlkit watch script.py")
    files = Files([path.parent, Path.cwd(), *map(Path, folders)])
    environment = {**({STEPS: "lazy"} if lazy else {}), **({"MLKIT_TARGET": target} if target else {})}
    watcher = _Watcher([str(path), *arguments], files, environment, page)
    with _terminated_as_interrupted():
        if once:
            watcher.run_once()
        else:
            with contextlib.suppress(KeyboardInterrupt):
                watcher.run()
    exit_code = watcher.code if once and watcher.code is not None else EXIT_DONE
    return WatchReport(os.path.relpath(path), watcher.runs, watcher.code, exit_code)


class _Watcher:
    """Starts, stops and counts runs."""

    def __init__(
        self,
        command: list[str],
        files: Files,
        environment: dict[str, str],
        page: LivePage | None,
    ) -> None:
        self.runs = 0
        self.code: int | None = None
        self._command, self._files, self._page = command, files, page
        self._environment = environment

    def run(self) -> None:
        """Run for ever, or until Ctrl-C."""
        _forget_bytecode(self._files.fresh())
        changed = self._run(Path(self._command[0]).name, self._follow)
        while True:
            changed = changed or self._wait()
            _forget_bytecode(changed)
            changed = self._run(_named(changed), self._follow)

    def run_once(self) -> None:
        """One run, whatever is saved meanwhile."""
        _forget_bytecode(self._files.fresh())
        self._run(Path(self._command[0]).name, _to_its_end)

    def _run(self, why: str, follow: Callable[[subprocess.Popen[bytes]], list[str]]) -> list[str]:
        """One run, as long as it is followed; gives what was saved meanwhile and stopped it."""
        self.runs, self.code = self.runs + 1, None
        _head(self.runs, why)
        if self._page:
            self._page.begin(self.runs)
        began = time.perf_counter()
        with tempfile.TemporaryDirectory(prefix="mlkit-watch-") as name:
            folder = Path(name)
            with self._started(folder) as process:
                try:
                    saved = follow(process)
                finally:  # also when a signal ends the watch
                    self.code = process.poll()
            took = duration(time.perf_counter() - began)
            if saved:
                say(f"run {self.runs}  stopped after {took}: {_named(saved)} changed")
                return saved
            ended = "done in" if self.code == EXIT_DONE else f"failed (exit code {self.code}) after"
            say(f"run {self.runs}  {ended} {took}{_steps(folder / _LOG)}")
            self._show(folder)
        return []

    def _show(self, folder: Path) -> None:
        """Bring to the page what a run has left, or why there is nothing new."""
        if self._page is None:
            return
        page, trouble = folder / _PAGE, folder / _TROUBLE
        if self.code == EXIT_DONE and page.is_file():
            self._page.show(page.read_text(encoding="utf-8"), run=self.runs)
        elif self.code == EXIT_DONE and not trouble.is_file():
            self._page.fail("it made no ModelProject, so there is nothing to report", run=self.runs)
        else:
            said = trouble.read_text(encoding="utf-8") if trouble.is_file() else f"exit code {self.code}"
            self._page.fail(said, run=self.runs)

    @contextlib.contextmanager
    def _started(self, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
        log = str(folder / _LOG)
        environment = {**os.environ, WATCHED: "1", STEPS_LOG: log, "PYTHONUNBUFFERED": "1"}
        if self._page:
            environment |= {PAGE: str(folder / _PAGE), TROUBLE: str(folder / _TROUBLE)}
        process = subprocess.Popen(  # noqa: S603 - the user's own script, as they asked
            [sys.executable, "-c", _CHILD, *self._command],
            stdin=subprocess.DEVNULL,
            env={**environment, **self._environment},
            start_new_session=True,  # so that its own children end with it
        )
        try:
            yield process
        finally:
            _stop(process)

    def _follow(self, process: subprocess.Popen[bytes]) -> list[str]:
        """Wait for the end of a run or for saved code; data that changes meanwhile is its own output."""
        while True:
            ended = process.poll() is not None
            saved = [path for path in self._quiet_changes() if Path(path).suffix in CODE]
            if saved or ended:
                self._files.settle()
                return saved
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(POLL_SECONDS)

    def _wait(self) -> list[str]:
        while not (changed := self._quiet_changes()):
            time.sleep(POLL_SECONDS)
        self._files.settle()
        return changed

    def _quiet_changes(self) -> list[str]:
        """Changes, once nothing more is written: a save may be several writes, and several files."""
        changed = self._files.changes()
        while changed:
            time.sleep(QUIET_SECONDS)
            before = self._files.look()
            changed = self._files.changes()
            if self._files.look() == before:
                break
        return changed


def _to_its_end(process: subprocess.Popen[bytes]) -> list[str]:
    process.wait()
    return []


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End a run with all that it started; politely, then not."""
    if process.poll() is not None:
        return
    for send in (signal.SIGTERM, getattr(signal, "SIGKILL", signal.SIGTERM)):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if hasattr(os, "killpg"):
                os.killpg(process.pid, send)
            else:
                process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_SECONDS)
            return


def _forget_bytecode(paths: Sequence[str]) -> None:
    """Remove what was compiled of these modules.

    Python takes it for current if time (in seconds) and size of the source are the same, which a quick
    second save of one changed digit may well leave as they were.
    """
    for path in paths:
        if path.endswith(".py"):
            with contextlib.suppress(OSError, NotImplementedError):
                Path(importlib.util.cache_from_source(path)).unlink(missing_ok=True)


def _head(number: int, why: str) -> None:
    """What starts a run: a rule across a terminal, else a line."""
    screen = console()
    if screen.is_terminal:
        screen.rule(f"run {number}: {why}")
    else:
        say(f"run {number}  {why}")


def _named(paths: Sequence[str]) -> str:
    names = [os.path.relpath(path) for path in paths]
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more" if names else ""


def _steps(log: Path) -> str:
    """How many steps were hits, in words; nothing if there were none."""
    if not log.is_file():
        return ""
    calls = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    hits = [call for call in calls if call["outcome"] == "hit"]
    saved = sum(call["saved"] for call in hits)
    return f"  steps: {len(hits)} of {len(calls)} hits, saved {duration(saved)}"


@contextlib.contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Let SIGTERM end a watch as Ctrl-C does, so that no run is left behind."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
