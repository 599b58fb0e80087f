"""Tables of fields: of a frozen config and its parts, and of the file of targets."""

from __future__ import annotations

import importlib
import inspect
import re
import types
import typing
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from pydantic_core import PydanticUndefined

from mlkit.spec import Spec

from .markdown import code, prose, table

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

_PLAIN = {str: "text", int: "whole number", float: "number", bool: "true or false", Any: "anything"}
_ATTRIBUTE = re.compile(r"^    (\w+): (.*)$")


def fields_of(given: str) -> str:
    """Path, type, default and meaning of each field.

    Args:
        given: The dotted path of a spec and, behind a space, what stands before its fields in the file.

    Raises:
        KeyError: A field that the docstring of its spec does not explain, or the other way round.
    """
    dotted, _, prefix = given.partition(" ")
    module, _, name = dotted.rpartition(".")
    spec = getattr(importlib.import_module(module), name)
    meanings = attributes_of(spec)
    if set(meanings) != set(spec.model_fields):
        raise KeyError(dotted, set(meanings) ^ set(spec.model_fields))
    hints = typing.get_type_hints(spec)
    rows = [
        (f"`{prefix}{field}`", type_text(hints[field]), _default(info), prose(meanings[field]))
        for field, info in spec.model_fields.items()
    ]
    return table(["field", "type", "default", "meaning"], rows)


def attributes_of(kind: type) -> dict[str, str]:
    """What the docstring of a class says of each attribute."""
    found: dict[str, str] = {}
    inside, name = False, ""
    for line in (inspect.getdoc(kind) or "").splitlines():
        if line and not line.startswith(" "):
            inside = line in ("Attributes:", "Args:")
        elif inside and (match := _ATTRIBUTE.match(line)):
            name, found[match[1]] = match[1], match[2]
        elif inside and name and line.strip():
            found[name] += f" {line.strip()}"
    return found


def type_text(hint: Any) -> str:
    """A type in plain words."""
    kind, inner = get_origin(hint), get_args(hint)
    if hint in _PLAIN:
        return _PLAIN[hint]
    if kind is Literal:
        return ", ".join(code(str(value)) for value in inner)
    if kind in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(type_text(part) for part in inner if part is not types.NoneType))
    if kind is tuple:
        return f"list: {type_text(inner[0])}"
    if kind is dict:
        return f"table: {type_text(inner[1])} by name"
    if isinstance(hint, type) and issubclass(hint, Spec):
        return "table"
    raise KeyError(hint)


def _default(info: FieldInfo) -> str:
    if info.is_required():
        return "required"
    value = info.default if info.default is not PydanticUndefined else info.default_factory()
    if isinstance(value, Spec):
        return "the defaults of its fields"
    if value is None or value in ((), {}):
        return "none"
    if isinstance(value, bool):
        return code(str(value).lower())
    if isinstance(value, dict):
        return ", ".join(code(str(key)) for key in value)
    return code(str(value))
