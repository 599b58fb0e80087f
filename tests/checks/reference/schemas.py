"""What commands print with ``--json``: the schemas that travel with the package, and the page of them.

The annotation of a verb names the classes of its results, and a type checker holds it to that; `shapes` reads
what those classes print.
"""

from __future__ import annotations

import collections
import functools
import importlib
import json
import typing
from typing import TYPE_CHECKING, Any, Literal

from mlkit.commands.answer import Answer
from mlkit.commands.parser import COMMANDS, GROUPS
from mlkit.commands.schemas import FILE, read_schema
from mlkit.errors import MlkitError

from .catalogues import PACKAGE
from .kinds import Form, Said, Schema, Shape, either, hints_of, parts_of, schema_of, summary_of
from .markdown import code, table
from .shapes import same_form, shapes_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FOLDER = "reference/json"
KEPT = PACKAGE / "commands" / FILE

_PLACE = "#/$defs/"
_FAILED = "Failed"
_WORDS = {
    "array": "list",
    "boolean": "true or false",
    "integer": "whole number",
    "null": "null",
    "number": "number",
    "object": "object",
    "string": "text",
}


def schemas_text() -> str:
    """The file of all schemas."""
    return f"{json.dumps(all_schemas(), indent=1, ensure_ascii=False)}\n"


@functools.cache
def all_schemas() -> dict[str, Any]:
    """What each command prints, and every object in it by name."""
    printed = {name: _printed(name) for name in sorted(COMMANDS)}
    failed = _failed()
    objects: dict[Form, dict[str, Any]] = {}
    wanted = list(_forms([printed, failed]))
    while wanted:
        form = wanted.pop()
        if form not in objects:
            objects[form] = _object(form)
            wanted += _forms(objects[form])
    names = _names(objects)
    found = {_FAILED: failed, **{names[form]: schema for form, schema in objects.items()}}
    return _linked({"commands": printed, "$defs": dict(sorted(found.items()))}, names)


def schemas_page(_: str) -> str:
    """Every command with the objects that it prints; one that several print stands at the first of them."""
    known = all_schemas()
    parts, shown = [_table(_FAILED, known, level=2)], {_FAILED}
    for command in (command.name for commands in GROUPS.values() for command in commands):
        schema = known["commands"][command]
        kinds = [part for part in schema["anyOf"] if part.get("$ref") != f"{_PLACE}{_FAILED}"]
        links = f"[Schema](json/{command}.json) · [command](commands.md#mlkit-{command})"
        head = f"## `mlkit {command}` {{ #mlkit-{command} }}"
        parts.append(f"{head}\n\n{links}\n\nPrints {_type({'anyOf': kinds})}.\n")
        for name in _reached(kinds, known):
            if name not in shown:
                parts.append(_table(name, known))
                shown.add(name)
    return "\n".join(parts)


def schema_files() -> dict[str, str]:
    """The schema of each command, by its path under docs."""
    return {f"{FOLDER}/{name}.json": f"{json.dumps(read_schema(name), indent=2)}\n" for name in COMMANDS}


def _printed(command: str) -> dict[str, Any]:
    verbs = importlib.import_module(COMMANDS[command].home)
    results, _ = typing.get_args(hints_of(getattr(verbs, f"{command}_verb"))["return"])
    schema = either(schema_of(form) for kind in parts_of(results) for form in _results(kind))
    return {"anyOf": [*schema.get("anyOf", [schema]), {"$ref": f"{_PLACE}{_FAILED}"}]}


def _results(kind: Any) -> Iterator[Any]:
    """What a result prints; a text with another result prints that one."""
    if typing.get_origin(kind) is Answer:
        for part in parts_of(typing.get_args(kind)[0]):
            yield from _results(part)
    elif isinstance(kind, type) and not typing.get_origin(kind):
        yield Form(kind, "fields" if typing.is_typeddict(kind) else "to_dict")
    else:
        yield kind


def _failed() -> dict[str, Any]:
    """What a command prints that came to no result."""
    stopped = Shape({"code": Said(Literal["INTERRUPTED"], "Somebody stopped the command.")})
    error = Schema(either([schema_of(Form(MlkitError, "to_dict")), schema_of(stopped)]))
    shape = Shape({"error": Said(error, "Why; the exit code says it too.")})
    return {"description": "A command that came to no result.", **shape.schema()}


def _object(form: Form) -> dict[str, Any]:
    found = either(shape.schema() for shape in shapes_of(form))
    return {"description": summary_of(form.kind), **found}


def _names(forms: Mapping[Form, Any]) -> dict[Form, str]:
    """The name of each class; of those that share one, with the room or module before it."""
    names = {form: form.kind.__name__ for form in forms}
    for place in (1, -1):
        often = collections.Counter(names.values())
        rooms = {form: form.kind.__module__.split(".")[place] for form in forms}
        names = {
            form: name if often[name] == 1 else f"{rooms[form]}.{form.kind.__name__}"
            for form, name in names.items()
        }
    if len(set(names.values())) < len(names):
        raise KeyError("one name for several objects", names)
    return names


def _forms(part: Any) -> Iterator[Form]:
    """Objects that a part of a schema refers to."""
    if isinstance(part, Form):
        yield same_form(part)
    elif isinstance(part, dict | list):
        for inner in part.values() if isinstance(part, dict) else part:
            yield from _forms(inner)


def _linked(part: Any, names: Mapping[Form, str]) -> Any:
    """The same with names in place of objects."""
    if isinstance(part, Form):
        return f"{_PLACE}{names[same_form(part)]}"
    if isinstance(part, dict):
        return {name: _linked(inner, names) for name, inner in part.items()}
    return [_linked(inner, names) for inner in part] if isinstance(part, list) else part


def _reached(part: Any, known: dict[str, Any]) -> dict[str, None]:
    """Names of all objects below a part of a schema, those nearest to it first."""
    found: dict[str, None] = {}
    wanted = [part]
    while wanted:
        part = wanted.pop(0)
        inner = part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
        for value in inner:
            name = value.removeprefix(_PLACE) if isinstance(value, str) else ""
            if name in known["$defs"] and name != value and name not in found:
                found[name] = None
                wanted.append(known["$defs"][name])
            wanted.append(value)
    return found


def _table(name: str, known: dict[str, Any], *, level: int = 3) -> str:
    """An object with its fields; one that has several shapes with the fields of all."""
    schema = known["$defs"][name]
    shapes = schema.get("anyOf", [schema])
    fields = {field: value for shape in shapes for field, value in shape["properties"].items()}
    always = set.intersection(*(set(shape["required"]) for shape in shapes))
    rows = [
        (code(field), _type(value), value["description"] + ("" if field in always else " Not always there."))
        for field, value in fields.items()
    ]
    told = table(["field", "type", "meaning"], rows)
    return f"{'#' * level} {name} {{ #{_anchor(name)} }}\n\n{schema['description']}\n\n{told}"


def _type(schema: Mapping[str, Any]) -> str:
    """A type in plain words, objects as links to their tables."""
    match schema:
        case {"$ref": place}:
            name = place.removeprefix(_PLACE)
            found = f"[{name}](#{_anchor(name)})"
        case {"anyOf": parts}:
            found = " or ".join(map(_type, parts))
        case {"enum": values}:
            found = ", ".join(code(str(value)) for value in values)
        case {"type": "array" | "object"}:
            found = _type_of_many(schema)
        case {"type": words}:
            found = " or ".join(_WORDS[word] for word in ([words] if isinstance(words, str) else words))
        case _:
            found = "anything"
    return "time" if "format" in schema else found


def _type_of_many(schema: Mapping[str, Any]) -> str:
    match schema:
        case {"prefixItems": parts}:
            return f"list: {', '.join(map(_type, parts))}"
        case {"items": inner}:
            return f"list of {_type(inner)}"
        case {"properties": fields}:
            return f"object of {', '.join(map(code, fields))}"
        case {"additionalProperties": inner} if inner:
            return f"{_type(inner)} by name"
    return "object"


def _anchor(name: str) -> str:
    return name.lower().replace(".", "-")
