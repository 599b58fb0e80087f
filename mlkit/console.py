"""What mlkit says to a person while it works: notices and progress, on standard error.

Results are returned (or printed to standard output by the command line); whatever is only of
interest while it happens goes through here. On a terminal long work shows a live bar with the time
left; elsewhere (CI, a log file) one quiet line a tenth. ``MLKIT_QUIET=1`` silences both.
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from collections.abc import Iterator

QUIET = "MLKIT_QUIET"


class Advance(Protocol):
    """Reports progress: so many units more are done."""

    def __call__(self, units: int = 1, *, note: str = "") -> None:
        """Advance by `units`; `note` replaces the words behind the bar."""
        ...


def console() -> Console:
    """A console on standard error (looked up each time, so that redirection works)."""
    quiet = os.environ.get(QUIET) == "1"
    return Console(stderr=True, quiet=quiet, highlight=False, emoji=False, soft_wrap=True)


def say(text: str) -> None:
    """Tell the user something worth knowing that is not a result."""
    console().print(text, markup=False)


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
    if screen.is_terminal and not screen.quiet:
        with _bar(screen) as bar:
            task = bar.add_task(title, total=total, note="")
            yield lambda units=1, *, note="": bar.update(task, advance=units, note=note)
    else:
        yield _Lines(screen, title, total)


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
            seconds = time.monotonic() - self._started
            line = f"{self._title} {self._done}/{self._total}  {seconds:.1f} s  {note}"
            self._screen.print(line.rstrip(), markup=False)
