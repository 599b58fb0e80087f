"""`project.step`: a function that runs once for the same code on the same content."""

from __future__ import annotations

import contextlib
import contextvars
import functools
import inspect
import json
import os
import random
import sys
import time
import types
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar

from mlkit.console import say
from mlkit.errors import StudyError, UsageError
from mlkit.research.steps.forms import NotStoredError, Packed
from mlkit.research.steps.key import Key, Recipe, changed_parts
from mlkit.research.steps.reach import place_of
from mlkit.research.steps.replay import can_replay, recording, replay
from mlkit.research.steps.store import DamagedError, Found, Made, StepStore, limit_bytes
from mlkit.research.steps.values import Values, token_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

P = ParamSpec("P")
R = TypeVar("R")

SWITCH = "MLKIT_STEPS"
LOG = "MLKIT_STEPS_LOG"
"""File to which each call adds a line of JSON; `mlkit watch` counts hits by it."""

_MODES = {"": "on", "on": "on", "1": "on", "off": "off", "0": "off", "lazy": "lazy"}
LAZY_SECONDS = 10.0
"""Under ``MLKIT_STEPS=lazy`` a step that took longer is not run again, but said to be stale."""

_under_way: contextvars.ContextVar[frozenset[str]] = contextvars.ContextVar("under_way", default=frozenset())


class Step(Generic[P, R]):
    """A memoised function; call it as the function itself.

    Args:
        recipe: What it calls and what that depends on.
        store: Where results are kept.
        enabled: False to always run the function.
    """

    def __init__(self, recipe: Recipe, store: StepStore, *, enabled: bool = True) -> None:
        """Take the name and the documentation of the function."""
        self._recipe, self._store, self._enabled = recipe, store, enabled
        functools.update_wrapper(self, recipe.function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """The stored result for the same code on the same content; else call the function and store it.

        Raises:
            StudyError: Something that it depends on has no content to key (RUN081 to RUN083), the
                function changes what it is given (RUN084), or its result cannot be stored (RUN085).
        """
        mode = steps_mode() if self._enabled else "off"
        result: R
        if mode == "off":
            result = self._recipe.function(*args, **kwargs)
            return result
        self._store.check()
        limit_bytes()  # a wrong one is told before the function has run for an hour
        call = _Call(self._recipe, self._store, args, dict(kwargs), lazy=mode == "lazy")
        result = call.run()
        return result

    def __mlkit_key__(self) -> tuple[object, ...]:
        """What another step depends on that calls this one."""
        return (self._recipe.function, self._recipe.depends, self._recipe.version)

    def __get__(self, instance: object, owner: type | None = None) -> Any:  # noqa: ANN401 - as of a function
        """In a class it is a method; the object is its first input."""
        return self if instance is None else types.MethodType(self, instance)

    def __repr__(self) -> str:
        """What it runs, and how to see what is stored."""
        return f"step {self._recipe.name} of {place_of(self._recipe.function)}\n  next    project.steps()"


class _Call:
    """One call of a step."""

    def __init__(
        self, recipe: Recipe, store: StepStore, args: tuple[Any, ...], kwargs: dict[str, Any], *, lazy: bool
    ) -> None:
        self._recipe, self._store, self._lazy = recipe, store, lazy
        self._args, self._kwargs = args, kwargs
        self._began = time.perf_counter()
        self._damaged = ""

    def run(self) -> Any:  # noqa: ANN401 - the user's result
        arguments = self._recipe.arguments(self._args, self._kwargs)
        key = self._recipe.key(arguments)
        found = self._look(key)
        if found is not None:
            return self._hit(found)
        if key.hex in _under_way.get():  # it calls itself: to wait for itself would be for ever
            return self._recipe.function(*self._args, **self._kwargs)
        with self._store.computing(key.hex), _entered(key.hex):
            found = self._look(key)
            return self._hit(found) if found is not None else self._miss(key, arguments)

    def _look(self, key: Key) -> Found | None:
        try:
            found = self._store.read(key.hex)
        except DamagedError as exc:
            self._damaged = str(exc)
            return None
        return found if found is not None and can_replay(found.effects) else None

    def _hit(self, found: Found) -> Any:  # noqa: ANN401 - the user's result
        replay(found.effects)
        self._tell("hit", f"saved {found.seconds:.1f} s", saved=found.seconds)
        return found.value

    def _miss(self, key: Key, arguments: Mapping[str, Any]) -> Any:  # noqa: ANN401 - as above
        reason = self._reason(key)
        if self._lazy:
            self._refuse_long(reason)
        before = _random_state()
        began = time.perf_counter()
        with recording() as effects:
            result = self._recipe.function(*self._args, **self._kwargs)
        seconds = time.perf_counter() - began
        self._refuse_changes(key, arguments)
        if _random_state() != before:
            fix = "use numpy.random.default_rng(seed)"
            self._tell("miss", f"{reason}; not stored: it draws from the global random state ({fix})")
            return result
        return self._keep(key, result, effects, seconds, reason)

    def _keep(self, key: Key, result: object, effects: list[Any], seconds: float, reason: str) -> Any:  # noqa: ANN401 - the user's result
        packed = Packed(Values(token_of).digest)
        try:
            outline, fresh = packed.pack(result)
        except NotStoredError as exc:
            message = f"the result cannot be stored: {exc}"
            fix = "return dataframes, arrays, estimators or plain values"
            raise StudyError("RUN085", message, path=self._recipe.name, fix=fix) from exc
        size = sum(map(len, packed.files.values()))
        if size > limit_bytes():
            self._tell("miss", f"{reason}; not stored: larger than the whole store ({size / 1e9:.1f} GB)")
            return fresh
        try:
            self._store.write(key.hex, Made(self._recipe.name, outline, packed.files, effects, seconds))
            self._store.remember(self._recipe.name, key.hex, key.parts)
        except OSError as exc:
            reason = f"{reason}; not stored: {type(exc).__name__}"
        self._tell("miss", reason)
        return fresh

    def _reason(self, key: Key) -> str:
        """Why there is no result: what differs from the nearest of the last calls."""
        recent = self._store.recent(self._recipe.name)
        if self._damaged:
            return self._damaged
        if any(name == key.hex for name, _ in recent):
            return "no longer stored"
        changes = min((changed_parts(parts, key.parts) for _, parts in recent), key=len, default=None)
        if not changes:
            return "first run"
        more = f", and {len(changes) - 2} more" if len(changes) > 2 else ""  # noqa: PLR2004 - two say enough
        return f"{'; '.join(changes[:2])}{more}"

    def _refuse_changes(self, key: Key, arguments: Mapping[str, Any]) -> None:
        """What the function was given and reads must be as before: a hit would not change it."""
        changed = changed_parts(key.parts, self._recipe.key(arguments).parts)
        if changed:
            message = f"the step works in place: {changed[0]} while it ran"
            fix = "change a copy and return it, e.g. frame = frame.copy() or model = clone(model)"
            raise StudyError("RUN084", message, path=self._recipe.name, fix=fix)

    def _refuse_long(self, reason: str) -> None:
        took = [entry.seconds for entry in self._store.entries() if entry.step == self._recipe.name]
        if took and took[0] > LAZY_SECONDS:
            message = f"stale, and it took {took[0]:.0f} s the last time: {reason}"
            raise StudyError("RUN089", message, path=self._recipe.name, fix=f"run with {SWITCH}=on")

    def _tell(self, outcome: str, why: str, *, saved: float = 0.0) -> None:
        seconds = time.perf_counter() - self._began
        name = self._recipe.name
        say(f" {name:<16} {outcome:<5} {seconds:6.1f} s  {why}")
        if path := os.environ.get(LOG):
            line = {"step": name, "outcome": outcome, "seconds": seconds, "saved": saved, "why": why}
            with contextlib.suppress(OSError), Path(path).open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")


def step_maker(folder: Path, **options: Any) -> Callable[[Callable[P, R]], Step[P, R]]:  # noqa: ANN401 - of `make_step`
    """What makes steps of functions, all with the same options of `make_step`."""
    return lambda function: make_step(function, folder=folder, **options)


def make_step(
    function: Callable[P, R],
    *,
    folder: Path,
    name: str | None = None,
    depends: Sequence[object] = (),
    version: str = "",
    enabled: bool = True,
) -> Step[P, R]:
    """Memoise a function.

    Args:
        function: A plain function, whose result follows from its arguments and code.
        folder: Where results are kept.
        name: For people; by default that of the function.
        depends: Functions, modules, paths or values that it depends on in ways that cannot be seen.
        version: Text to change when something unseen has changed.
        enabled: False to always run the function.

    Raises:
        StudyError: It is no plain function, or gives its result bit by bit (RUN080).
    """
    plain = inspect.isfunction(function) and not inspect.iscoroutinefunction(function)
    if not plain or inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        what = f"expected a function that returns its result, found {_kind(function)}"
        fix = "write a function around it that returns a list, frame or value"
        raise StudyError("RUN080", what, path=str(getattr(function, "__qualname__", "step")), fix=fix)
    label = name or function.__qualname__.replace("<locals>.", "")
    return Step(Recipe(label, function, tuple(depends), version), StepStore(folder), enabled=enabled)


def _kind(function: object) -> str:
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        return "an async function"
    return "a generator" if inspect.isgeneratorfunction(function) else f"a {type(function).__name__}"


def steps_mode() -> str:
    """``on``, ``off`` or ``lazy``, as ``MLKIT_STEPS`` says.

    Raises:
        UsageError: It says something else (CLI094).
    """
    text = os.environ.get(SWITCH, "").lower()
    if text not in _MODES:
        message = f"expected on, off or lazy, found {text!r}"
        raise UsageError("CLI094", message, path=SWITCH, fix=f"{SWITCH}=on")
    return _MODES[text]


@contextlib.contextmanager
def _entered(key: str) -> Iterator[None]:
    token = _under_way.set(_under_way.get() | {key})
    try:
        yield
    finally:
        _under_way.reset(token)


def _random_state() -> tuple[object, ...]:
    """The global random states of Python and numpy."""
    numpy = sys.modules.get("numpy")
    if numpy is None:
        return (random.getstate(),)
    name, words, *rest = numpy.random.get_state()
    return (random.getstate(), name, words.tobytes(), *rest)
