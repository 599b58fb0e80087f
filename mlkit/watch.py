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
import traceback
import types
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xxhash

from mlkit.code import DATA_SUFFIXES
from mlkit.console import console, say
from mlkit.errors import EXIT_DONE, MlkitError, UsageError
from mlkit.research.steps.origin import is_library_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    Mark = tuple[int, int, int]

WATCHED = "MLKIT_WATCHED"
"""Set in the process of a watched script: there, nothing is deployed but to the local stores."""

STEPS, STEPS_LOG = "MLKIT_STEPS", "MLKIT_STEPS_LOG"
POLL_SECONDS, QUIET_SECONDS = 0.15, 0.1
GRACE_SECONDS = 3.0
MOST_FILES = 20_000

_CODE = frozenset({".py", ".toml"})
_SUFFIXES = _CODE | DATA_SUFFIXES
_READ_BYTES = 1 << 20
_FRESH_SECONDS = 3.0
_NEVER = frozenset({"__pycache__", "node_modules", "mlruns", "site-packages"})
_CHILD = "from mlkit.watch import run_script; run_script()"


@dataclasses.dataclass(frozen=True)
class WatchReport:
    """How a watch ended.

    Attributes:
        script: What was run.
        runs: How often it was started.
        code: Exit code of the last run that ended; 0 if none did.
        exit_code: Of the command: with ``--once`` that of the run, else 0.
    """

    script: str
    runs: int
    code: int
    exit_code: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return dataclasses.asdict(self)

    def __repr__(self) -> str:
        """Runs, and how the last one ended."""
        ended = "ended well" if self.code == EXIT_DONE else f"ended with exit code {self.code}"
        return f"{self.script}  {self.runs} run{'s' * (self.runs != 1)}, the last one {ended}"


def watch(
    script: Path | str,
    *,
    arguments: Sequence[str] = (),
    folders: Sequence[Path | str] = (),
    once: bool = False,
    lazy: bool = False,
    target: str | None = None,
    refresh: Callable[[], None] | None = None,
) -> WatchReport:
    """Run a script, and again whenever code or data beside it is saved, until Ctrl-C.

    Args:
        script: A Python file.
        arguments: What it gets as ``sys.argv[1:]``.
        folders: Folders to look at besides the script's and the working directory.
        once: Run it a single time, as in CI.
        lazy: Let steps that take long be stale instead of running them.
        target: Set of stores that the script works with; by default as it says itself.
        refresh: Called after each run that ended, e.g. to write the report anew.

    Raises:
        UsageError: No such script (CLI090), or too many files to look at (CLI091).
    """
    path = Path(script).resolve()
    if path.suffix != ".py" or not path.is_file():
        raise UsageError("CLI090", "expected a Python file", path=str(script), fix="mlkit watch script.py")
    files = Files([path.parent, Path.cwd(), *map(Path, folders)])
    environment = {**({STEPS: "lazy"} if lazy else {}), **({"MLKIT_TARGET": target} if target else {})}
    watcher = _Watcher([str(path), *arguments], files, environment, refresh)
    with _terminated_as_interrupted():
        if once:
            watcher.run_once()
        else:
            with contextlib.suppress(KeyboardInterrupt):
                watcher.run()
    code = watcher.code if once else EXIT_DONE
    return WatchReport(os.path.relpath(path), watcher.runs, watcher.code, code)


class Files:
    """The files in some folders, by content; hidden folders and environments are left out.

    Args:
        folders: Looked at with all that is below them.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        """Remember what they hold now."""
        whole = sorted({folder.resolve() for folder in folders})
        self._folders = [one for one in whole if not any(one != o and one.is_relative_to(o) for o in whole)]
        home = os.environ.get("MLKIT_HOME")
        self._home = Path(home).resolve() if home else None
        self._known: dict[str, tuple[Mark, object]] = {}
        self._base = self.look()

    def look(self) -> dict[str, object]:
        """What stands for the content of each file now."""
        found: dict[str, tuple[Mark, object]] = {}
        for entry in self._entries():
            with contextlib.suppress(OSError):  # gone meanwhile
                state = entry.stat()
                mark = (state.st_mtime_ns, state.st_size, state.st_ino)
                known = self._known.get(entry.path, (None, None))
                found[entry.path] = (mark, known[1] if known[0] == mark else _content(entry.path, mark))
        self._known = found
        return {path: content for path, (_, content) in found.items()}

    def changes(self) -> list[str]:
        """Files whose content is another than when `settle` was called last."""
        now = self.look()
        return sorted(path for path in {*now, *self._base} if now.get(path) != self._base.get(path))

    def settle(self) -> None:
        """Take what is there as seen."""
        self._base = {path: content for path, (_, content) in self._known.items()}

    def fresh(self) -> list[str]:
        """Modules that were written moments ago."""
        limit = (time.time() - _FRESH_SECONDS) * 1e9
        return [path for path, (mark, _) in self._known.items() if mark[0] > limit]

    def _entries(self) -> Iterator[os.DirEntry[str]]:
        waiting = [os.fspath(folder) for folder in self._folders]
        count = 0
        while waiting:
            with contextlib.suppress(OSError), os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.extend([entry.path] if self._is_watched(entry) else [])
                    elif os.path.splitext(entry.name)[1].lower() in _SUFFIXES:  # noqa: PTH122 - called often
                        count += 1
                        yield entry
            if count > MOST_FILES:
                message = f"more than {MOST_FILES:,} files to look at"
                raise UsageError("CLI091", message, fix="start it in the folder of the script")

    def _is_watched(self, entry: os.DirEntry[str]) -> bool:
        if entry.name.startswith(".") or entry.name in _NEVER or Path(entry.path) == self._home:
            return False
        return not os.path.exists(os.path.join(entry.path, "pyvenv.cfg"))  # noqa: PTH110, PTH118 - called often


def _content(path: str, mark: Mark) -> object:
    """A digest of a small file; large ones are told by time and size."""
    return xxhash.xxh3_128_digest(Path(path).read_bytes()) if mark[1] <= _READ_BYTES else mark


class _Watcher:
    """Starts, stops and counts runs."""

    def __init__(
        self,
        command: list[str],
        files: Files,
        environment: dict[str, str],
        refresh: Callable[[], None] | None,
    ) -> None:
        self.runs = 0
        self.code = EXIT_DONE
        self._command, self._files, self._refresh = command, files, refresh
        self._environment = environment

    def run(self) -> None:
        """Run for ever, or until Ctrl-C."""
        _forget_bytecode(self._files.fresh())
        changed = self._run(Path(self._command[0]).name, self._follow)
        while True:
            changed = changed or self._wait()
            _forget_bytecode(changed)
            changed = self._run(_named(changed), self._follow)

    def run_once(self) -> list[str]:
        """One run, whatever is saved meanwhile."""
        _forget_bytecode(self._files.fresh())
        return self._run(Path(self._command[0]).name, _to_its_end)

    def _run(self, why: str, follow: Callable[[subprocess.Popen[bytes]], list[str]]) -> list[str]:
        """One run, as long as it is followed; gives what was saved meanwhile and stopped it."""
        self.runs += 1
        _head(self.runs, why)
        began = time.perf_counter()
        with tempfile.TemporaryDirectory(prefix="mlkit-watch-") as folder:
            log = Path(folder) / "steps.jsonl"
            with self._started(log) as process:
                saved = follow(process)
            seconds = time.perf_counter() - began
            if saved:
                say(f"run {self.runs}  stopped after {seconds:.1f} s: {_named(saved)} changed")
                return saved
            self.code = process.returncode
            ended = "done in" if self.code == EXIT_DONE else f"failed (exit code {self.code}) after"
            say(f"run {self.runs}  {ended} {seconds:.1f} s{_steps(log)}")
        self._call_refresh()
        return []

    @contextlib.contextmanager
    def _started(self, log: Path) -> Iterator[subprocess.Popen[bytes]]:
        environment = {**os.environ, WATCHED: "1", STEPS_LOG: str(log), "PYTHONUNBUFFERED": "1"}
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
            saved = [path for path in self._quiet_changes() if Path(path).suffix in _CODE]
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

    def _call_refresh(self) -> None:
        if self._refresh is not None:
            try:
                self._refresh()
            except MlkitError as exc:
                say(f"the report stays as it was: {exc}")


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
    return f"  steps: {len(hits)} of {len(calls)} hits, saved {saved:.1f} s"


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


def refuse_when_watched(verb: str, target: str) -> None:
    """Refuse to deploy from a watched script: it would at every save.

    Raises:
        UsageError: This process is watched and the target is not `local` (CLI092).
    """
    if os.environ.get(WATCHED) == "1" and target != "local":
        message = f"{verb} on target {target} from a script that is watched: it would happen at every save"
        raise UsageError("CLI092", message, path=verb, fix=f"mlkit {verb}, or run the script with python")


def run_script() -> None:
    """Run ``sys.argv[1]`` as the main module; what goes wrong is shown in the user's own code alone."""
    path = Path(sys.argv[1])
    del sys.argv[0]
    sys.path[0] = str(path.parent)
    sys.excepthook = _show
    module = types.ModuleType("__main__")
    module.__file__ = str(path)
    sys.modules["__main__"] = module
    code = compile(path.read_bytes(), str(path), "exec", dont_inherit=True)
    exec(code, vars(module))  # noqa: S102 - the script that is watched


def _show(kind: type[BaseException], error: BaseException, trace: types.TracebackType | None) -> None:
    shown = traceback.TracebackException(kind, error, trace)
    _leave_out_libraries(shown)
    sys.stderr.write("".join(shown.format()))


def _leave_out_libraries(shown: traceback.TracebackException) -> None:
    own = [frame for frame in shown.stack if not is_library_file(frame.filename)]
    # Of an error that happened in libraries alone, all is shown but this file.
    kept = own or [frame for frame in shown.stack if frame.filename != __file__]
    shown.stack = traceback.StackSummary.from_list(kept)
    for other in (shown.__cause__, shown.__context__, *(shown.exceptions or ())):
        if other is not None:
            _leave_out_libraries(other)
