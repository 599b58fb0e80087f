"""Where an error code is raised and what is said there, read from the code itself.

Nothing is kept beside the code, so nothing can go stale: the sentences are found in the syntax trees of the
installed package. What is only known when it happens stands in angle brackets, as in ``<column>``.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib.resources
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from importlib.resources.abc import Traversable

_PACKAGE = __name__.partition(".")[0]
_CODE = re.compile(r"[A-Z]{3}[0-9]{3}")
_MOST = 4
"""Alternatives of one sentence that are told apart."""
_UNKNOWN = "<...>"


@dataclasses.dataclass(frozen=True)
class Place:
    """One place that raises a code.

    Attributes:
        code: The code.
        module: Its module, e.g. ``mlkit.data.contract``.
        function: The function or method around it; empty where a table of the module holds the code.
        messages: What may be said there.
        fixes: What to type or change next, in the same words as the error.
    """

    code: str
    module: str
    function: str
    messages: tuple[str, ...] = ()
    fixes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, str | list[str]]:
        """Plain values."""
        said = {"messages": list(self.messages), "fixes": list(self.fixes)}
        return {"module": self.module, "function": self.function, **said}


def read_places(code: str = "") -> list[Place]:
    """Every place that raises a code, by module and line.

    Args:
        code: The code, e.g. ``DAT060``; without one, the places of all codes.
    """
    return [place for module, text in _modules(code) for place in read_text(module, text, code)]


def read_text(module: str, text: str, code: str = "") -> list[Place]:
    """Places in one module.

    Args:
        module: Its name.
        text: Its source.
        code: The code that is wanted; without one, all.
    """
    return list(_Module(module, text).places(code))


def _modules(word: str) -> Iterator[tuple[str, str]]:
    """Name and text of each module of the package in which a word stands."""
    root = importlib.resources.files(_PACKAGE)
    for module, file in _files(root, _PACKAGE):
        text = file.read_text(encoding="utf-8")
        if word in text:
            yield module, text


def _files(folder: Traversable, name: str) -> Iterator[tuple[str, Traversable]]:
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            yield from _files(entry, f"{name}.{entry.name}")
        elif entry.name.endswith(".py"):
            yield f"{name}.{entry.name.removesuffix('.py')}".removesuffix(".__init__"), entry


class _Module:
    """One module: which statement stands around which, and what its names hold."""

    def __init__(self, name: str, text: str) -> None:
        self._name, self._tree = name, ast.parse(text)
        self._around = {
            inner: outer for outer in ast.walk(self._tree) for inner in ast.iter_child_nodes(outer)
        }

    def places(self, code: str) -> Iterator[Place]:
        """Places of a code, or of all; one for each function and sentence."""
        nodes = [node for node in ast.walk(self._tree) if isinstance(node, ast.Constant)]
        seen = set()
        for node in sorted(nodes, key=lambda node: node.lineno):
            text = node.value if isinstance(node.value, str) else ""
            if _CODE.fullmatch(text) and code in ("", text):
                place = Place(text, self._name, self._function(node), *self._said(node))
                if place not in seen:
                    yield place
                seen.add(place)

    def _said(self, code: ast.Constant) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Messages and fixes that stand beside a code, as far as the code can be read."""
        match self._around[code]:
            case ast.Call(args=given, keywords=words) if code in given:
                named = {word.arg: word.value for word in words}
                said = self._first_texts(given[given.index(code) + 1 :])
                fixes = self._texts(named.get("fix"))
                return (self._texts(named.get("message")) or said[0], fixes or said[1])
            case ast.Tuple(elts=row):
                said = self._first_texts(row[row.index(code) + 1 :])
                return said if said[1] else ((), said[0])
            case ast.Dict(keys=keys, values=values) if code in keys:
                return (), self._texts(values[keys.index(code)])
            case _:
                return (), ()

    def _first_texts(self, nodes: Sequence[ast.expr]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The first two of some expressions that are texts: a message and a fix."""
        found = [self._texts(node) for node in nodes]
        texts = [said for said in found if any(" " in text for text in said)]
        return (*texts, (), ())[0], (*texts, (), ())[1]

    def _function(self, node: ast.AST) -> str:
        names = []
        while node in self._around:
            node = self._around[node]
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                names.append(node.name)
        return ".".join(reversed(names))

    def _texts(self, node: ast.expr | None) -> tuple[str, ...]:
        """What an expression may say; nothing where that cannot be known."""
        match node:
            case ast.Constant(value=str() as text):
                found = [text]
            case ast.JoinedStr():
                found = ["".join(map(_part, node.values))]
            case ast.IfExp(body=first, orelse=second):
                found = [*self._texts(first), *self._texts(second)]
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                ends = self._texts(right) or (_UNKNOWN,)
                found = [f"{start}{end}" for start in self._texts(left) for end in ends]
            case ast.Name():
                found = [text for value in self._values(node) for text in self._texts(value)]
            case (
                ast.Subscript(value=ast.Name() as table)
                | ast.Call(func=ast.Attribute(value=ast.Name() as table, attr="get"))
            ):
                tables = [value for value in self._values(table) if isinstance(value, ast.Dict)]
                found = [text for value in tables for row in value.values for text in self._texts(row)]
            case _:
                found = []
        return tuple(dict.fromkeys(re.sub(r"\s+", " ", text) for text in found if text.strip()))[:_MOST]

    def _values(self, name: ast.Name) -> list[ast.expr]:
        """What a name may hold where it is used: what was assigned before it, outwards from its place."""
        node: ast.AST = name
        while node in self._around:
            outer = self._around[node]
            for block in _blocks(outer):
                if node in block:
                    found, is_sure = _assigned(block[: block.index(node)], name.id)
                    if found or is_sure:
                        return found
            if isinstance(outer, ast.FunctionDef) and name.id in _parameters(outer):
                return []
            node = outer
        return []


def _part(node: ast.expr) -> str:
    """A piece of an f-string: its text, or the name of what is filled in."""
    match node:
        case ast.Constant(value=text) | ast.FormattedValue(value=ast.Constant(value=text)):
            return str(text)
        case ast.FormattedValue(value=ast.Name(id=name) | ast.Attribute(attr=name)):
            return f"<{name.strip('_').lower()}>"
        case _:
            return _UNKNOWN


def _blocks(node: ast.AST) -> list[list[ast.stmt]]:
    """The lists of statements of a statement."""
    parts = [getattr(node, name, None) for name in ("body", "orelse", "finalbody")]
    return [part for part in parts if isinstance(part, list)]


def _branches(node: ast.stmt) -> list[list[ast.stmt]]:
    """The lists of statements that may have run when what follows a statement runs."""
    blocks = _blocks(node)
    if isinstance(node, ast.Try):
        blocks += [handler.body for handler in node.handlers]
    if isinstance(node, ast.Match):
        blocks += [case.body for case in node.cases]
    ends = (ast.Raise, ast.Return, ast.Continue, ast.Break)
    return [block for block in blocks if block and not isinstance(block[-1], ends)]


def _assigned(before: Sequence[ast.stmt], name: str) -> tuple[list[ast.expr], bool]:
    """What some statements leave in a name, and whether that is all it can hold."""
    found: list[ast.expr] = []
    for statement in reversed(before):
        match statement:
            case ast.Assign(targets=[ast.Name(id=target)], value=value) if target == name:
                return [*found, value], True
            case ast.Assign(targets=[ast.Tuple(elts=names)], value=ast.Tuple(elts=values)):
                held = {ast.unparse(inner): value for inner, value in zip(names, values, strict=False)}
                if name in held:
                    return [*found, held[name]], True
            case ast.AnnAssign(target=ast.Name(id=target), value=ast.expr() as value) if target == name:
                return [*found, value], True
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                continue
        parts = [_assigned(block, name) for block in _branches(statement)]
        found += [value for values, _ in parts for value in values]
        if found and parts and all(sure for _, sure in parts) and getattr(statement, "orelse", None):
            return found, True
    return found, False


def _parameters(function: ast.FunctionDef) -> set[str]:
    given = function.args
    return {word.arg for word in (*given.posonlyargs, *given.args, *given.kwonlyargs)}
