"""What a piece of code says, as it is loaded: its digest, and the names it looks up when it runs.

The code object is read, not the source: after an edit on disk the source is new while the old code runs.
Comments, docstrings, positions and the name of the function are no part of the digest.
"""

from __future__ import annotations

import dataclasses
import dis
import functools
from types import CodeType
from typing import TYPE_CHECKING

from mlkit.research.steps.tokens import Tokens

if TYPE_CHECKING:
    from collections.abc import Iterator

_CONSTANT = frozenset(dis.hasconst)
_EXTENDED = dis.EXTENDED_ARG
_OF_GLOBALS = frozenset({"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"})
_ATTRIBUTES = frozenset({"LOAD_ATTR", "LOAD_METHOD"})
_WRITES = frozenset({"STORE_GLOBAL", "DELETE_GLOBAL"})


@dataclasses.dataclass(frozen=True)
class Lookup:
    """A name that code looks up outside of itself.

    Attributes:
        module: Module that the code itself imports, with leading dots where it is relative; else None.
        chain: The global name, then attributes of it; below an imported module only attributes.
    """

    module: str | None
    chain: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Reading:
    """What one code object says, those nested in it included.

    Attributes:
        digest: 16 bytes over instructions, constants and names.
        lookups: In the order of the code, each once.
        writes: Global names that it assigns or deletes.
    """

    digest: bytes
    lookups: tuple[Lookup, ...]
    writes: tuple[str, ...]


@functools.lru_cache(maxsize=4096)
def read_code(code: CodeType) -> Reading:
    """Read a code object once in a process."""
    scan = _Scan()
    scan.read(code, {})
    return Reading(_digest(code), tuple(dict.fromkeys(scan.lookups)), tuple(dict.fromkeys(scan.writes)))


def _digest(code: CodeType) -> bytes:
    out = Tokens()
    counts = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
    out.text(repr(counts))
    for names in (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars):
        out.text(repr(names))
    out.raw(code.co_exceptiontable)
    for operation, argument in _instructions(code.co_code):
        # A constant stands for itself: its place in the list moves when a docstring comes or goes.
        if operation in _CONSTANT:
            out.raw(_constant(code.co_consts[argument]))
        out.text(f"{operation} {0 if operation in _CONSTANT else argument}")
    return out.digest()


def _instructions(raw: bytes) -> Iterator[tuple[int, int]]:
    high = 0
    for operation, low in zip(raw[::2], raw[1::2], strict=True):
        argument = high | low
        high = argument << 8 if operation == _EXTENDED else 0
        if operation != _EXTENDED:
            yield operation, argument


def _constant(value: object) -> bytes:
    out = Tokens()
    out.text(type(value).__name__)
    if isinstance(value, CodeType):
        out.raw(_digest(value))
    elif isinstance(value, tuple):
        for item in value:
            out.raw(_constant(item))
    elif isinstance(value, frozenset):
        for digest in sorted(map(_constant, value)):
            out.raw(digest)
    else:
        out.text(repr(value))
    return out.digest()


class _Scan:
    """Collects the names that code looks up: globals, and what it imports itself."""

    def __init__(self) -> None:
        self.lookups: list[Lookup] = []
        self.writes: list[str] = []

    def read(self, code: CodeType, imported: dict[str, Lookup]) -> None:
        """Go through the instructions, then through nested code, which sees the same imports."""
        known = dict(imported)
        steps = [step for step in dis.get_instructions(code) if step.opname != "EXTENDED_ARG"]
        importing: Lookup | None = None
        picked: tuple[str, ...] = ()
        for place, step in enumerate(steps):
            if step.opname == "IMPORT_NAME":
                importing, picked = _imported(step.argval, steps, place), ()
            elif step.opname == "IMPORT_FROM" and importing is not None:
                picked = (step.argval,) if importing.chain else (*picked, step.argval)
            elif importing is not None and step.opname.startswith("STORE_"):
                # A nested `import a.b` binds `a`; any other form binds what was picked.
                known[_stored(step)] = self._bind(importing, picked)
                importing = importing if importing.chain else None
            elif importing is not None and step.opname == "POP_TOP" and importing.chain:
                importing = None
            self._look(steps, place, known)
        for constant in code.co_consts:
            if isinstance(constant, CodeType):
                self.read(constant, known)

    def _bind(self, importing: Lookup, picked: tuple[str, ...]) -> Lookup:
        module = importing.module or ""
        if not importing.chain and not picked:
            self.lookups.append(Lookup(module, ("",)))  # imported, so that `a.b` can be looked up in `a`
            module = module.partition(".")[0] if not module.startswith(".") else module
        elif not importing.chain:
            module = module.partition(".")[0]
        return Lookup(module, picked)

    def _look(self, steps: list[dis.Instruction], place: int, known: dict[str, Lookup]) -> None:
        step = steps[place]
        if step.opname in _WRITES:
            self.writes.append(step.argval)
        for base in _bases(step, known):
            self.lookups.append(Lookup(base.module, (*base.chain, *_attributes(steps, place + 1))))


def _bases(step: dis.Instruction, known: dict[str, Lookup]) -> Iterator[Lookup]:
    """What an instruction begins to look up."""
    if step.opname in _OF_GLOBALS:
        yield known.get(step.argval) or Lookup(None, (step.argval,))
    elif "LOAD_" in step.opname and isinstance(step.argval, str | tuple):
        names = (step.argval,) if isinstance(step.argval, str) else step.argval
        # Two loads in one instruction (3.13): the attributes that follow belong to the last.
        if step.opname.startswith(("LOAD_FAST", "LOAD_DEREF", "LOAD_CLASSDEREF", "STORE_FAST_LOAD")):
            yield from (known[name] for name in names if name in known)


def _attributes(steps: list[dis.Instruction], start: int) -> tuple[str, ...]:
    names = []
    for step in steps[start:]:
        if step.opname not in _ATTRIBUTES:
            break
        names.append(step.argval)
    return tuple(names)


def _imported(name: str, steps: list[dis.Instruction], place: int) -> Lookup:
    """The module of an import; a chain of one empty name marks `from ... import`."""
    constants = [step.argval for step in steps[max(place - 2, 0) : place]]
    level, names = constants if len(constants) == 2 else (0, None)  # noqa: PLR2004 - level and names
    return Lookup("." * int(level or 0) + name, ("",) if names else ())


def _stored(step: dis.Instruction) -> str:
    return step.argval if isinstance(step.argval, str) else str(step.argval[0])
