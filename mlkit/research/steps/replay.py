"""What a step does besides giving a result, and how a hit does it again: its text output, its figures.

While a step runs, what it prints is shown and written down; so are the calls of functions that are marked
`replayed` (such as the one that keeps a figure for the report). A hit prints and calls them once more.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import sys
from typing import IO, TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

from mlkit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

P = ParamSpec("P")
R = TypeVar("R")

MOST_TEXT = 1_000_000
"""Characters that a hit prints again at most."""

REPLAYED = "__mlkit_replayed__"
"""Attribute of a function that a hit calls again; what it does with its arguments is not the step's doing."""

_recordings: contextvars.ContextVar[tuple[list[Any], ...]] = contextvars.ContextVar("recordings", default=())
_replayed: dict[str, Callable[..., Any]] = {}


def replayed(function: Callable[P, R]) -> Callable[P, R]:
    """Mark a function whose calls within a step a hit repeats.

    Its arguments must be plain values (text, numbers, None, lists and dicts of them).
    """
    name = f"{function.__module__}:{function.__qualname__}"

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        for recording in _recordings.get():
            recording.append(["call", name, list(args), dict(kwargs)])
        return function(*args, **kwargs)

    _replayed[name] = function
    setattr(call, REPLAYED, name)
    return call


@contextlib.contextmanager
def recording() -> Iterator[list[Any]]:
    """Write down what happens meanwhile; a step within a step is written down by both."""
    effects: list[Any] = []
    token = _recordings.set((*_recordings.get(), effects))
    try:
        with contextlib.redirect_stdout(cast("IO[str]", _Tee(sys.stdout, effects))):
            yield effects
    finally:
        _recordings.reset(token)


def replay(effects: Sequence[Any]) -> None:
    """Do again what was written down."""
    for kind, *what in effects:
        if kind == "out":
            sys.stdout.write(what[0])
        elif what[0] in _replayed:
            name, args, kwargs = what
            for outer in _recordings.get():
                outer.append(["call", name, args, kwargs])
            _replayed[name](*args, **kwargs)


def can_replay(effects: Sequence[Any]) -> bool:
    """Whether the functions that were called are known in this process."""
    return all(kind == "out" or what[0] in _replayed for kind, *what in effects)


def refuse_in_step(what: str) -> None:
    """Refuse what a hit could not repeat.

    Raises:
        UsageError: A step is running (CLI095).
    """
    if _recordings.get():
        message = f"{what} cannot be used inside of a step: a hit would not do it again"
        raise UsageError("CLI095", message, path=what, fix="call it outside, with what the step returns")


class _Tee:
    """Standard output that also writes down what the step itself prints."""

    def __init__(self, screen: Any, effects: list[Any]) -> None:  # noqa: ANN401 - whatever stands for stdout
        self._screen, self._effects = screen, effects
        self._left = MOST_TEXT

    def write(self, text: str) -> int:
        # Other threads have recordings of their own: what they print is not this step's.
        if any(effects is self._effects for effects in _recordings.get()) and self._left > 0:
            kept, self._left = text[: self._left], self._left - len(text)
            if self._effects and self._effects[-1][0] == "out":
                self._effects[-1][1] += kept
            else:
                self._effects.append(["out", kept])
        self._screen.write(text)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:  # the screen's own would go round `write`
            self.write(line)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - as the screen has it
        return getattr(self._screen, name)
