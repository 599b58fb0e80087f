"""What mlkit says to a person while it works: notices and progress, on standard error.

Results are returned (or printed to standard output by the command line); whatever is only of
interest while it happens goes through here. On a terminal long work shows a live bar with the time
left; elsewhere (CI, a log file, ``TERM=dumb``) one quiet line a tenth. ``MLKIT_QUIET=1`` silences both.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from contextvars import ContextVar
from typing import TYPE_CHECKING, Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from mlkit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

QUIET = "MLKIT_QUIET"

_SHORT_SECONDS, _MINUTE, _HOUR = 9.95, 60, 3600
_BUSY: ContextVar[Progress | None] = ContextVar("busy", default=None)


class Advance(Protocol):
    """Reports progress: so many units more are done."""

    def __call__(self, units: int = 1, *, note: str = "") -> None:
        """Advance by `units`; `note` replaces the words behind the bar."""
        ...


def console() -> Console:
    """A console on standard error (looked up each time, so that redirection works)."""
    if (busy := _BUSY.get()) is not None:
        return busy.console
    quiet = os.environ.get(QUIET) == "1"
    return Console(stderr=True, quiet=quiet, highlight=False, emoji=False, soft_wrap=True)


def is_live(screen: Console) -> bool:
    """Whether somebody looks on while it happens: a terminal that can redraw a line, and no CI."""
    if screen.quiet or screen.is_dumb_terminal or os.environ.get("CI") == "true":
        return False
    return screen.is_terminal and screen.file.isatty()  # colours may be forced into a file


def say(text: str) -> None:
    """Tell the user something worth knowing that is not a result."""
    console().print(text, markup=False)


def agree(lost: str, *, yes: bool) -> bool:
    """Ask whether something may be lost for good; elsewhere than on a terminal it is said beforehand.

    Args:
        lost: What would be lost, as a sentence.
        yes: It was said beforehand.

    Raises:
        UsageError: Nobody can be asked, and it was not said (CLI133).
    """
    if yes:
        return True
    if not sys.stdin.isatty():
        raise UsageError("CLI133", f"{lost}; nobody can be asked here", path="yes", fix="say --yes")
    sys.stderr.write(f"{lost}: go on? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def duration(seconds: float) -> str:
    """``0.6 s``, ``38 s``, ``4 m 02 s`` or ``2 h 05 m``: no more digits than anybody reads."""
    whole = round(seconds)
    if seconds < _SHORT_SECONDS:
        return f"{seconds:.1f} s"
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} m {whole % _MINUTE:02d} s"
    return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE:02d} m"


@contextlib.contextmanager
def working(title: str) -> Iterator[None]:
    """Show what is being done and for how long, on a terminal and until it is done; elsewhere nothing.

    Args:
        title: What is being done, in a few words.
    """
    screen = console()
    if not is_live(screen) or _BUSY.get() is not None:
        yield
        return
    columns = (TextColumn("{task.description}", markup=False), SpinnerColumn("line"), TimeElapsedColumn())
    with Progress(*columns, console=screen, transient=True) as shown:
        shown.add_task(title, total=None)
        token = _BUSY.set(shown)
        try:
            yield
        finally:
            _BUSY.reset(token)


@contextlib.contextmanager
def progress(title: str, total: int) -> Iterator[Advance]:
    """Progress of work that has `total` units.

    Args:
        title: What is being done, in a few words.
        total: Number of units.

    Yields:
        A function to call when units are done.
    """
    screen = console()
    if is_live(screen):
        with _paused(), _bar(screen) as bar:
            task = bar.add_task(title, total=total, note="")
            yield lambda units=1, *, note="": bar.update(task, advance=units, note=note)
    else:
        yield _Lines(screen, title, total)


@contextlib.contextmanager
def _paused() -> Iterator[None]:
    """A terminal shows one thing at a time: a bar takes the place of what `working` shows."""
    busy = _BUSY.get()
    if busy is None:
        yield
        return
    busy.stop()
    try:
        yield
    finally:
        busy.start()


def _bar(screen: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        console=screen,
        transient=True,
    )


class _Lines:
    """Progress as plain lines, one at each tenth of the work."""

    def __init__(self, screen: Console, title: str, total: int) -> None:
        self._screen, self._title, self._total = screen, title, max(total, 1)
        self._done = 0
        self._started = time.monotonic()

    def __call__(self, units: int = 1, *, note: str = "") -> None:
        before, self._done = self._done, self._done + units
        if before * 10 // self._total != self._done * 10 // self._total:
            took = duration(time.monotonic() - self._started)
            line = f"{self._title} {self._done}/{self._total}  {took}  {note}"
            self._screen.print(line.rstrip(), markup=False)
