"""The key of a call, and in words what of it changed since an earlier one."""

from __future__ import annotations

import dataclasses
import inspect
from typing import TYPE_CHECKING, Any

from mlkit.research.steps.reach import ROOT, Part, Walk
from mlkit.research.steps.tokens import Tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

FORMAT = "mlkit steps 1"


@dataclasses.dataclass(frozen=True)
class Key:
    """What a result follows from.

    Attributes:
        hex: 32 hex digits over all parts.
        parts: Inputs, then code, globals and libraries in the order they are reached.
    """

    hex: str
    parts: tuple[Part, ...]


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What a step is, apart from the arguments of a call.

    Attributes:
        name: For people and errors; no part of the key.
        function: What it calls.
        depends: Values that it depends on without naming them.
        version: Text that the user changes to say that something unseen has changed.
    """

    name: str
    function: Callable[..., Any]
    depends: tuple[object, ...] = ()
    version: str = ""

    def key(self, arguments: Mapping[str, Any]) -> Key:
        """The key of a call with these arguments, by parameter.

        Raises:
            StudyError: Something that it depends on has no content to key (RUN081, RUN082, RUN083).
        """
        walk = Walk(self.name)
        for name, value in arguments.items():
            walk.add_input(name, value)
        walk.begin(self.function)
        for number, value in enumerate(self.depends):
            walk.depend(number, value)
        parts = walk.finish()
        out = Tokens()
        out.text(FORMAT)
        out.text(self.version)
        for part in parts:
            for text in (part.kind, part.name, part.digest):
                out.text(text)
        return Key(out.digest().hex(), (Part("option", "version", self.version), *parts))

    def arguments(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Arguments by parameter, defaults filled in: ``f(1)`` is ``f(x=1)``.

        Raises:
            TypeError: They do not fit the function, as if it were called.
        """
        bound = inspect.signature(self.function, follow_wrapped=False).bind(*args, **kwargs)
        bound.apply_defaults()
        return bound.arguments


def changed_parts(before: Sequence[Part], now: Sequence[Part]) -> list[str]:
    """What is not as it was, one phrase for each part; changes of content before additions."""
    old, new = _by_name(before), _by_name(now)
    different = [name for name in new if name in old and old[name].digest != new[name].digest]
    added = [name for name in new if name not in old]
    removed = [name for name in old if name not in new]
    return [
        *(_phrase(new[name], "changed", old[name]) for name in different),
        *(_phrase(new[name], "is new") for name in added),
        *(_phrase(old[name], "is gone") for name in removed),
    ]


def _by_name(parts: Sequence[Part]) -> dict[tuple[str, str], Part]:
    return {(part.kind, part.name): part for part in parts}


def _phrase(part: Part, what: str, before: Part | None = None) -> str:
    if part.kind == "library":
        return f"{part.name} {before.digest} -> {part.digest}" if before else f"{part.name} {what}"
    if part.kind == "input":
        forms = f" ({before.note} -> {part.note})" if before and before.note != part.note else ""
        return f"input `{part.name}` {what}{forms}"
    place = f", {part.note}" if part.note and what != "is gone" else ""
    if part.kind == "code":
        own = "its own code" if part.name == ROOT else f"{_short(part.name)}"
        return f"{own} {what}{place}"
    return f"{part.kind} `{_short(part.name)}` {what}{place}"


def _short(name: str) -> str:
    name = name.partition("#")[0]  # of two with one name, such as a function and its decorator
    return name.rpartition(".")[2] if "<" not in name else name
