"""What a function reaches: every function, class and value of the user's that it may run or read.

From the function as it is loaded, the walk follows the names that its code looks up (nested code and its
own imports included), closures, defaults, decorators, bases and methods. A library is reached by its
version; what is looked up by a computed name (`getattr`, a registry) is not seen.
"""

from __future__ import annotations

import builtins
import contextlib
import dataclasses
import functools
import importlib
import importlib.util
import os
import sys
import types
from collections import deque
from typing import TYPE_CHECKING, Any

from mlkit.errors import StudyError
from mlkit.research.steps.bytecode import Lookup, read_code
from mlkit.research.steps.origin import is_library, is_library_file, versions_of
from mlkit.research.steps.replay import REPLAYED
from mlkit.research.steps.tokens import NotKeyedError, Tokens
from mlkit.research.steps.values import Values

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Refuse = Callable[[NotKeyedError], StudyError]

ROOT = ""
"""Name of the function that the walk begins with: how it is called is no part of what it does."""

_MADE_BY_CLASSES = frozenset(
    {
        *("__module__", "__qualname__", "__doc__", "__dict__", "__weakref__", "__firstlineno__"),
        *("__static_attributes__", "__dataclass_fields__", "__dataclass_params__", "__annotations__"),
        *(
            "__slotnames__",
            "__annotate__",
            "__annotate_func__",
            "__annotations_cache__",
            "__abstractmethods__",
            "_abc_impl",
        ),
        *("__orig_bases__", "__parameters__", "__pydantic_core_schema__", "__pydantic_validator__"),
        *("__pydantic_serializer__", "__signature__", "__match_args__"),
    }
)
_MADE_AT_RUN_TIME = 1 << 9  # Py_TPFLAGS_HEAPTYPE


@dataclasses.dataclass(frozen=True)
class Part:
    """One part of what a result depends on.

    Attributes:
        kind: ``input``, ``code``, ``global``, ``closure``, ``library`` or ``option``.
        name: Which one, as people call it.
        digest: Its content; of a library its version.
        note: Where it stands, or what form it has; only to be told.
    """

    kind: str
    name: str
    digest: str
    note: str = ""


class Walk:
    """Collects the parts of a call.

    Args:
        step: Name of the step, for errors.
    """

    def __init__(self, step: str) -> None:
        """Nothing reached yet."""
        self.parts: dict[tuple[str, str], Part] = {}
        self._step = step
        self._values = Values(self.refer)
        self._waiting: deque[tuple[str, Any]] = deque()
        self._names: dict[int, tuple[object, str]] = {}
        self._taken: set[str] = set()
        self._tops: set[str] = set()

    def begin(self, function: Callable[..., Any]) -> None:
        """Reach a function and all that follows from it."""
        self._enqueue(function, ROOT)
        self._drain()

    def depend(self, number: int, value: object) -> None:
        """Reach what the user says the step depends on: of a module, all that is defined in it."""
        name = f"depends[{number}]"
        if isinstance(value, types.ModuleType) and not is_library(value.__name__):
            coded = [item for item in vars(value).values() if isinstance(item, type | types.FunctionType)]
            value = [item for item in coded if item.__module__ == value.__name__]
        self.add("option", name, value, refuse=functools.partial(self._refused, "RUN082", "depends"))
        self._drain()

    def add(self, kind: str, name: str, value: object, *, refuse: Refuse, note: str = "") -> None:
        """Add a part by its value, and what that reaches."""
        try:
            digest = self._values.digest(value)
        except NotKeyedError as exc:
            raise refuse(exc) from exc
        self.parts[kind, name] = Part(kind, name, digest.hex(), note)

    def add_input(self, name: str, value: object) -> None:
        """Add an argument of the call."""
        shape = getattr(value, "shape", None)
        note = " x ".join(map(str, shape)) if isinstance(shape, tuple) else ""
        self.add("input", name, value, refuse=functools.partial(self._refused, "RUN082", name), note=note)
        self._drain()

    def finish(self) -> tuple[Part, ...]:
        """All parts, with the versions of the libraries that were reached."""
        found = versions_of(self._tops)
        return (*self.parts.values(), *(Part("library", name, version) for name, version in found.items()))

    def refer(self, value: object) -> str:
        """The token of a function, class or module; those of the user's are reached by it."""
        if isinstance(value, types.ModuleType):
            return self._refer_module(value)
        if isinstance(value, types.MethodType):
            return f"{self.refer(value.__func__)} of {self._values.digest(value.__self__).hex()}"
        if isinstance(value, types.FunctionType | type):
            return self._refer_named(value)
        owner = getattr(value, "__self__", None)
        if owner is not None and not isinstance(owner, types.ModuleType):
            return f"{type(value).__name__} {_name(value)} of {self._values.digest(owner).hex()}"
        return self._library(_name(value))

    def _refer_module(self, module: types.ModuleType) -> str:
        if is_library(module.__name__):
            return self._library(module.__name__)
        message = f"the module {module.__name__} as a whole"
        raise NotKeyedError(message)

    def _refer_named(self, value: Any) -> str:  # noqa: ANN401 - a function or class
        if is_library(value.__module__ or "builtins") and _is_named(value):
            return self._library(_name(value))
        if (replayed := getattr(value, REPLAYED, None)) is not None:
            return f"replayed {replayed}"
        return self._enqueue(value, _name(value))

    def _library(self, name: str) -> str:
        top = name.partition(".")[0]
        if top == "mlflow":
            message = "MLflow, whose stores change without the step"
            raise NotKeyedError(message)
        if is_library(top):
            self._tops.add(top)
        return f"library {name}"

    def _enqueue(self, value: object, name: str) -> str:
        if id(value) in self._names:
            return self._names[id(value)][1]
        unique, number = name, 1
        while unique in self._taken:
            number += 1
            unique = f"{name}#{number}"
        self._taken.add(unique)
        self._names[id(value)] = (value, unique)
        self._waiting.append((unique, value))
        return unique

    def _drain(self) -> None:
        while self._waiting:
            name, value = self._waiting.popleft()
            out = Tokens()
            try:
                (self._read_class if isinstance(value, type) else self._read_function)(out, name, value)
            except NotKeyedError as exc:
                where = name or self._step
                raise self._refused("RUN081", where, exc, place=place_of(value)) from exc
            self.parts["code", name] = Part("code", name, out.digest().hex(), place_of(value))

    def _read_function(self, out: Tokens, name: str, function: Any) -> None:  # noqa: ANN401 - a function
        code, place = function.__code__, place_of(function)
        reading = read_code(code)
        out.raw(reading.digest)
        self._values.add_all(out, (function.__defaults__ or (), function.__kwdefaults__ or {}))
        for variable, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
            out.text(self._closed_over(name, variable, cell, place))
        if is_library_file(code.co_filename):  # a decorator of a library: its own globals follow its version
            self._library(str(function.__globals__.get("__name__", "builtins")))
            return
        if reading.writes:
            message = f"code that assigns the global `{reading.writes[0]}`"
            raise NotKeyedError(message)
        for lookup in reading.lookups:
            out.text(self._look_up(lookup, function, place))

    def _closed_over(self, name: str, variable: str, cell: types.CellType, place: str) -> str:
        try:
            value = cell.cell_contents
        except ValueError:
            return f"{variable} is empty"
        return self._reach("closure", variable, f"{name}.{variable}", value, place)

    def _reach(self, kind: str, variable: str, name: str, value: object, place: str) -> str:
        """Token of what a name stands for; a value becomes a part of its own, so that it can be named."""
        if isinstance(value, types.FunctionType | type | types.ModuleType | types.BuiltinFunctionType):
            return f"{variable} = {self.refer(value)}"
        if (kind, name) not in self.parts:
            refuse = functools.partial(self._refused, "RUN081", f"{kind} {variable}", place=place)
            self.add(kind, name, value, refuse=refuse, note=place)
        return f"{variable} = {kind} {name}"

    def _look_up(self, lookup: Lookup, function: Any, place: str) -> str:  # noqa: ANN401 - a function
        spelled = ".".join((lookup.module or "", *lookup.chain))
        scope = function.__globals__
        chain = lookup.chain
        if lookup.module is not None:
            owner = self._module(lookup.module, scope)
            if isinstance(owner, str):
                return f"{spelled} = {self._library(owner)}"
            if chain == ("",):
                return spelled
            return self._follow(owner, chain, spelled, place)
        if chain[0] in scope:
            name = f"{_home(function)}.{chain[0]}"
            return self._follow(scope[chain[0]], chain[1:], name, place)
        if hasattr(builtins, chain[0]):
            return f"builtin {chain[0]}"
        return f"{spelled} is not there"

    def _module(self, name: str, scope: Mapping[str, Any]) -> types.ModuleType | str:
        """A module that code imports itself; of a library only its name, for loading it may take long."""
        package = str(scope.get("__package__") or "")
        with contextlib.suppress(ImportError):
            name = importlib.util.resolve_name(name, package)
        if is_library(name):
            return name
        try:
            return importlib.import_module(name)
        except ImportError:
            return name

    def _follow(self, value: object, chain: tuple[str, ...], name: str, place: str) -> str:
        """Follow attributes through modules of the user's, to what is defined there."""
        while isinstance(value, types.ModuleType) and chain:
            if is_library(value.__name__):
                return self._library(".".join((value.__name__, *chain)))
            name = f"{value.__name__}.{chain[0]}"
            if not hasattr(value, chain[0]) and hasattr(value, "__path__"):
                with contextlib.suppress(ImportError):  # a module of a package, which the code will import
                    importlib.import_module(name)
            if not hasattr(value, chain[0]):
                return f"{name} is not there"
            value, chain = getattr(value, chain[0]), chain[1:]
        return self._reach("global", name.rpartition(".")[2], name, value, place)

    def _read_class(self, out: Tokens, _name: str, kind: Any) -> None:  # noqa: ANN401 - a class
        self._values.add_all(out, (type(kind), *kind.__bases__))
        out.text(repr({name: _annotation(value) for name, value in _annotations(kind).items()}))
        for name, value in vars(kind).items():
            if name in _MADE_BY_CLASSES:
                continue
            out.text(name)
            for item in _inside(value):
                self._values.add(out, item)

    def _refused(self, code: str, what: str, exc: NotKeyedError, *, place: str = "") -> StudyError:
        where = f" at {place}" if place else ""
        message = f"step {self._step} depends on {what}{where}: {exc}"
        if "Spark" in str(exc):
            code = "RUN083"
        return StudyError(code, message, path=what, fix=_FIXES[code])


_FIXES = {
    "RUN081": "make it inside the function, pass plain values, or give its class a method __mlkit_key__",
    "RUN082": "pass dataframes, arrays, plain values or estimators, or give its class a method __mlkit_key__",
    "RUN083": "take the rows into memory before, or take a snapshot: project.snapshot(frame)",
}


def place_of(value: object) -> str:
    """File and line of a function or class, from the working directory where that is shorter."""
    code = getattr(value, "__code__", None)
    if code is None:
        return str(getattr(value, "__module__", ""))
    path = code.co_filename
    with contextlib.suppress(ValueError):  # another drive
        relative = os.path.relpath(path)
        path = path if relative.startswith("..") else relative
    return f"{path}:{code.co_firstlineno}"


def _home(function: Any) -> str:  # noqa: ANN401 - a function
    return str(function.__globals__.get("__name__", "?"))


def _name(value: Any) -> str:  # noqa: ANN401 - whatever is called
    module = getattr(value, "__module__", None) or getattr(type(value), "__module__", "builtins")
    owner = getattr(value, "__objclass__", None)
    if owner is not None:
        module = owner.__module__
    name = getattr(value, "__qualname__", None) or getattr(value, "__name__", None)
    return f"{module}.{name or type(value).__name__}"


def _is_named(value: Any) -> bool:  # noqa: ANN401 - a function or class of a library
    """Whether name and version say what it is: no closure, and no class made from something of the user's."""
    if isinstance(value, type) and not value.__flags__ & _MADE_AT_RUN_TIME:
        return True
    if isinstance(value, type) and "<locals>" in value.__qualname__:
        return True
    found: Any = sys.modules.get(value.__module__)
    for name in value.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is value


def _inside(value: Any) -> tuple[object, ...]:  # noqa: ANN401 - whatever stands in a class
    """The functions of what stands in a class around them; other things as they are."""
    if isinstance(value, staticmethod | classmethod):
        return (value.__func__,)
    if isinstance(value, property):
        return (value.fget, value.fset, value.fdel)
    if isinstance(value, functools.cached_property):
        return (value.func,)
    return (value,)


def _annotations(kind: type) -> dict[str, Any]:
    found = vars(kind).get("__annotations__", {})
    return found if isinstance(found, dict) else {}


def _annotation(value: object) -> str:
    return _name(value) if isinstance(value, type) else str(value)
