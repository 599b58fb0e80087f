"""Kinds of values, with what is said of them, and the JSON Schema of each.

Types are those that the code declares, also where a module imports them for type checkers alone.
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import datetime as dt
import functools
import inspect
import itertools
import re
import sys
import types
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, get_args, get_origin

from .fields import attributes_of
from .markdown import prose

_WORDS = {bool: "boolean", int: "integer", float: "number", str: "string", types.NoneType: "null"}
_TEXTS = (Path, dt.datetime, str)
_UNIONS = (typing.Union, types.UnionType)
_NONE = re.compile(r"\bNone\b")


class Form(NamedTuple):
    """An object that is described once: a class, and what makes an object of it.

    Attributes:
        kind: The class.
        made_by: ``to_dict``, or ``fields`` where all its fields are taken as they are.
    """

    kind: type
    made_by: str


class Deep(NamedTuple):
    """A value inside ``dataclasses.asdict``: what it holds are objects as well."""

    hint: Any


class Schema(NamedTuple):
    """A value of which only the JSON is known."""

    schema: dict[str, Any]


class Said(NamedTuple):
    """What an expression gives.

    Attributes:
        kind: A type of Python, a `Form`, `Deep`, `Shape` or `Schema`.
        meaning: A sentence.
        value: The value itself, where it stands in the code.
    """

    kind: Any
    meaning: str = ""
    value: Any = None


@dataclasses.dataclass
class Shape:
    """An object whose fields are known.

    Attributes:
        fields: Type and meaning by name.
        optional: Those that may be missing.
    """

    fields: dict[str, Said] = dataclasses.field(default_factory=dict)
    optional: frozenset[str] = frozenset()

    def schema(self) -> dict[str, Any]:
        """Every field has to be there, but for optional ones.

        Raises:
            KeyError: Nobody says what a field means.
        """
        silent = [name for name, said in self.fields.items() if not said.meaning]
        if silent:
            raise KeyError(
                f"{', '.join(silent)}: the class, or a property of that name, has to say what it is"
            )
        found = {
            name: {"description": _NONE.sub("null", said.meaning), **schema_of(said.kind)}
            for name, said in self.fields.items()
        }
        required = [name for name in found if name not in self.optional]
        return {"type": "object", "properties": found, "required": required, "additionalProperties": False}


def schema_of(kind: Any) -> dict[str, Any]:
    """What a kind of value prints; an object that has a name is a reference to its `Form`.

    Raises:
        TypeError: JSON has no such values, or they would be printed as Python writes them.
    """
    match kind:
        case Schema(found):
            return found
        case Shape():
            return kind.schema()
        case Form():
            return {"$ref": kind}
        case Deep(hint):
            return _of_hint(hint, deep=True)
    return _of_hint(kind, deep=False)


def either(schemas: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """One of several; none is named twice."""
    known: list[dict[str, Any]] = []
    for schema in schemas:
        known += [part for part in _parts(schema) if part not in known]
    if len(known) == 1 or {} in known:
        return known[0] if len(known) == 1 else {}
    words = [part["type"] for part in known if set(part) == {"type"} and isinstance(part["type"], str)]
    return {"type": words} if len(words) == len(known) else {"anyOf": known}


def _parts(schema: dict[str, Any]) -> list[dict[str, Any]]:
    if isinstance(schema.get("type"), list):
        return [{"type": word} for word in schema["type"]]
    return schema.get("anyOf", [schema])


def hints_of(thing: Any) -> dict[str, Any]:
    """Types of the fields of a class, or of what a function takes and gives."""
    return typing.get_type_hints(thing, _names(sys.modules[thing.__module__]))


def summary_of(thing: Any) -> str:
    """The first paragraph of a docstring."""
    return prose((inspect.getdoc(thing) or "").partition("\n\n")[0])


def text_below(module: types.ModuleType, name: str) -> str:
    """What stands below a constant of a module."""
    for pair in itertools.pairwise(_tree(module).body):
        match pair:
            case (
                ast.Assign(targets=[ast.Name(id=found)]),
                ast.Expr(value=ast.Constant(value=str() as text)),
            ) if found == name:
                return prose(text)
    return ""


def class_tree(kind: type) -> ast.ClassDef:
    """The source of a class."""
    body = _tree(sys.modules[kind.__module__]).body
    return next(node for node in body if isinstance(node, ast.ClassDef) and node.name == kind.__name__)


def fields_of(kind: type) -> Shape:
    """All fields of a class; of a dataclass as deep as they go, as ``asdict`` takes them."""
    told, hints, deep = attributes_of(kind), hints_of(kind), dataclasses.is_dataclass(kind)
    names = [field.name for field in dataclasses.fields(kind)] if deep else list(kind.__annotations__)
    fields = {
        name: Said(Deep(hints[name]) if deep else hints[name], prose(told.get(name, ""))) for name in names
    }
    return Shape(fields, optional=getattr(kind, "__optional_keys__", frozenset()))


def member_of(kind: Any, name: str) -> Said:
    """A field, property or other attribute of an instance.

    Raises:
        TypeError: There is none, or nothing tells its type.
    """
    for owner in classes_of(kind):
        hint, own = _type_of(owner, name)
        if hint is not None:
            return Said(hint, prose(attributes_of(owner).get(name, "")) or own)
    raise TypeError(f"{kind}: nothing tells the type of {name}")


def classes_of(kind: Any) -> list[type]:
    """The classes that an instance may be of; None is left out, since a condition stands before it."""
    if isinstance(kind, Deep):
        return classes_of(kind.hint)
    if get_origin(kind) in _UNIONS:
        return [owner for part in get_args(kind) for owner in classes_of(part)]
    return [kind] if isinstance(kind, type) and kind is not types.NoneType else []


def inner_of(kind: Any) -> Any:
    """What a list or table holds."""
    hint = kind.hint if isinstance(kind, Deep) else kind
    found = get_args(hint)[-1 if issubclass(get_origin(hint), Mapping) else 0]
    return Deep(found) if isinstance(kind, Deep) else found


def parts_of(kind: Any) -> list[Any]:
    """The types of a union, or the one type."""
    return (
        [part for each in get_args(kind) for part in parts_of(each)]
        if get_origin(kind) in _UNIONS
        else [kind]
    )


def _of_hint(hint: Any, *, deep: bool) -> dict[str, Any]:
    if hint in (Any, object):
        found: dict[str, Any] | None = {}
    elif hint in _WORDS:
        found = {"type": _WORDS[hint]}
    elif isinstance(hint, type) and issubclass(hint, _TEXTS):
        found = {"type": "string"}
    elif typing.is_typeddict(hint) or (deep and dataclasses.is_dataclass(hint)):
        found = {"$ref": Form(hint, "fields")}
    else:
        found = _of_parts(get_origin(hint), get_args(hint), deep=deep)
    if found is None:
        raise TypeError(f"{hint}: JSON has no such values")
    return found


def _of_parts(kind: Any, inner: tuple[Any, ...], *, deep: bool) -> dict[str, Any] | None:
    """Of a type that is made of others, or of values."""
    of = functools.partial(_of_hint, deep=deep)
    if kind is Literal:
        return {"enum": list(inner)}
    if kind is ClassVar or kind in _UNIONS:
        return either(map(of, inner))
    if kind is tuple and Ellipsis not in inner:
        return {"type": "array", "prefixItems": [*map(of, inner)], "items": False, "minItems": len(inner)}
    if isinstance(kind, type) and issubclass(kind, Mapping):
        return {"type": "object", "additionalProperties": of(inner[1])}
    return {"type": "array", "items": of(inner[0])} if kind and issubclass(kind, Iterable) else None


def _type_of(owner: type, name: str) -> tuple[Any, str]:
    """Type of an attribute, and what stands at itself; None if nothing tells it."""
    hints, found = hints_of(owner), inspect.getattr_static(owner, name, None)
    if name in hints:
        return hints[name], ""
    if getter := getattr(found, "fget", getattr(found, "func", None)):
        return hints_of(getter)["return"], summary_of(getter)
    if found is not None:
        return type(found), ""
    return _set_in(owner, name), ""


def _set_in(owner: type, name: str) -> Any:
    """Type of what is set when an instance is made."""
    for node in ast.walk(class_tree(owner)):
        match node:
            case ast.AnnAssign(target=ast.Attribute(attr=set_name), annotation=hint) if set_name == name:
                return eval(ast.unparse(hint), _names(sys.modules[owner.__module__]))  # noqa: S307 - our own source
            case ast.Assign(targets=[ast.Attribute(attr=set_name)], value=ast.Name(id=given)) if (
                set_name == name
            ):
                return hints_of(owner.__init__).get(given)
    return None


@functools.cache
def _names(module: types.ModuleType) -> dict[str, Any]:
    """The names of a module, those among them that only a type checker sees."""
    names: dict[str, Any] = dict(vars(module))
    for node in _tree(module).body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            for statement in node.body:
                with contextlib.suppress(ImportError):  # of a library that is not installed
                    exec(compile(ast.Module([statement], []), module.__name__, "exec"), names)  # noqa: S102 - as above
    return names


@functools.cache
def _tree(module: types.ModuleType) -> ast.Module:
    return ast.parse(inspect.getsource(module))
