"""What each command prints with ``--json``, as JSON Schema.

``schemas.json`` is written by ``python -m tests.checks.reference`` from the classes that print it; an object
that several commands print stands in it once.
"""

from __future__ import annotations

import functools
import importlib.resources
import json
from typing import TYPE_CHECKING, Any

from mlkit.commands.parser import COMMANDS

if TYPE_CHECKING:
    from collections.abc import Iterator

FILE = "schemas.json"
_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_PLACE = "#/$defs/"


def read_schema(command: str) -> dict[str, Any]:
    """The schema of a command, with every object that it may print.

    Raises:
        KeyError: There is no such command.
    """
    known = _schemas()
    schema = known["commands"][command]
    objects: dict[str, Any] = {}
    wanted = list(_references(schema))
    while wanted:
        name = wanted.pop()
        if name not in objects:
            objects[name] = known["$defs"][name]
            wanted += _references(objects[name])
    return {
        "$schema": _DIALECT,
        "title": f"mlkit {command} --json",
        "description": COMMANDS[command].summary,
        **schema,
        "$defs": dict(sorted(objects.items())),
    }


@functools.cache
def _schemas() -> dict[str, Any]:
    text = importlib.resources.files(__package__).joinpath(FILE).read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def _references(part: object) -> Iterator[str]:
    """Names of the objects that a part of a schema refers to."""
    if isinstance(part, dict):
        if isinstance(place := part.get("$ref"), str):
            yield place.removeprefix(_PLACE)
        for inner in part.values():
            yield from _references(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from _references(inner)
