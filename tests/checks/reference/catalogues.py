"""Tables of columns, tags and environment variables: names from the code, meanings from a text beside this.

``columns.txt``, ``tags.txt`` and ``variables.txt`` hold a name and, behind two spaces, a sentence a line.
Names are read from the code; a name without a sentence, or a sentence without a name, is an error. So
whoever adds a column, a tag or a variable is asked for its meaning at once.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import importlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlkit
from mlkit.production.attempt import Attempt
from mlkit.production.outputs import TABLES

from .fields import attributes_of
from .markdown import code, prose, table

if TYPE_CHECKING:
    import pyarrow as pa

TEXTS = Path(__file__).parent
PACKAGE = Path(mlkit.__file__).parent

_VARIABLE = re.compile(r"\b(?:MLKIT|MLFLOW|DATABRICKS|PYSPARK|SPARK)_[A-Z][A-Z0-9_]*[A-Z0-9]\b")
THEIRS = frozenset({"MLFLOW_TRACKING_PASSWORD", "NO_COLOR", "SPARK_REMOTE"})
"""Variables that only the clients below mlkit read, so that the code need not name them."""

_KEYS = ("_TAG", "_KEY", "_ID")
_TAG = re.compile(r"mlkit_[a-z_]*[a-z]")


def read_texts(name: str) -> dict[str, dict[str, str]]:
    """Sentences by name, by part: a line ``[part]`` begins a part."""
    parts: dict[str, dict[str, str]] = {}
    for line in (TEXTS / f"{name}.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            parts[line.strip("[]")] = part = {}
        elif line:
            word, _, sentence = line.partition("  ")
            part[word] = sentence.strip()
    return parts


def columns_of(given: str) -> str:
    """Columns of a table with type, whether they are always there, and meaning.

    Args:
        given: Where the schema stands, ``module:NAME``, and what explains it: a part of ``columns.txt``, or
            ``module:Class`` of a class whose attributes are its columns.
    """
    place, _, part = given.partition(" ")
    schema: pa.Schema = _named(place)
    meanings = attributes_of(_named(part)) if ":" in part else read_texts("columns")[part]
    _same(f"columns.txt [{part}]", set(schema.names), set(meanings))
    rows = [
        (
            code(field.name),
            code(_type(field.type)),
            "" if field.nullable else "yes",
            prose(meanings[field.name]),
        )
        for field in schema
    ]
    return table(["column", "type", "required", "meaning"], rows)


def tags_of(part: str) -> str:
    """Tags of runs, models or versions."""
    known = read_texts("tags")
    _same("tags.txt", set(tag_names()), {name for part in known.values() for name in part})
    return table(["tag", "meaning"], [(code(name), text) for name, text in sorted(known[part].items())])


def variables_of(part: str) -> str:
    """Environment variables: ours, or those of others that are read."""
    known = read_texts("variables")
    explained = {name for part in known.values() for name in part} - THEIRS
    _same("variables.txt", variable_names() - THEIRS, explained)
    rows = []
    for name, text in sorted(known[part].items()):
        default, _, meaning = text.partition("  ")
        rows.append((code(name), default, meaning.strip()))
    return table(["variable", "if it is not set", "meaning"], rows)


@functools.cache
def tag_names() -> set[str]:
    """Every key ``mlkit_...`` of a dictionary or of a constant, and the tags that are put together."""
    written = {text for node in _nodes() for text in _keys(node) if _TAG.fullmatch(text)}
    tables = {f"mlkit_{part}_table" for part in TABLES}
    attempt = {f"mlkit_{field.name}" for field in dataclasses.fields(Attempt)} | {"mlkit_job_run"}
    return written | tables | attempt


@functools.cache
def variable_names() -> set[str]:
    """Every variable that a text of the package names, and every other that it asks for."""
    texts = [node.value for node in _nodes() if isinstance(getattr(node, "value", None), str)]
    named = {name for text in texts for name in _VARIABLE.findall(text)}
    return named | {name for node in _nodes() for name in _asked(node, _constants())}


@functools.cache
def _nodes() -> tuple[ast.AST, ...]:
    """Every part of every module of the package; the first of each module is the module."""
    files = sorted(PACKAGE.rglob("*.py"))
    return tuple(node for path in files for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


@functools.cache
def _constants() -> dict[str, set[str]]:
    """Names of variables by the name of the constant that holds them."""
    found: dict[str, set[str]] = {}
    for module in (node for node in _nodes() if isinstance(node, ast.Module)):
        for node in module.body:
            match node:
                case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=str() as text)):
                    if re.fullmatch(r"[A-Z][A-Z0-9_]+", text):
                        found.setdefault(name, set()).add(text)
    return found


def _keys(node: ast.AST) -> list[str]:
    """Texts that are keys, or that stand in a constant whose name says so."""
    match node:
        case ast.Dict(keys=keys):
            return [key.value for key in keys if isinstance(getattr(key, "value", None), str)]
        case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=str() as text)):
            return [text] if name.endswith(_KEYS) else []
        case _:
            return []


def _asked(node: ast.AST, constants: dict[str, set[str]]) -> set[str]:
    """What an expression looks up in ``os.environ``."""
    match node:
        case (
            ast.Call(func=ast.Attribute(value=ast.Attribute(attr="environ")), args=[wanted, *_])
            | ast.Subscript(value=ast.Attribute(attr="environ"), slice=wanted)
            | ast.Compare(left=wanted, comparators=[ast.Attribute(attr="environ")])
        ):
            return _names(wanted, constants)
        case _:
            return set()


def _names(wanted: ast.expr, constants: dict[str, set[str]]) -> set[str]:
    match wanted:
        case ast.Constant(value=str() as text):
            return {text}
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return constants.get(name, set())
        case _:
            return set()


def _same(where: str, in_code: set[str], explained: set[str]) -> None:
    if missing := sorted(in_code - explained):
        raise KeyError(f"{where}: add a sentence for {', '.join(missing)}")
    if gone := sorted(explained - in_code):
        raise KeyError(f"{where}: remove {', '.join(gone)}, which the code does not name")


def _named(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)


def _type(kind: pa.DataType) -> str:
    """A type of Arrow as it is written in SQL, more or less."""
    text = str(kind).replace("timestamp[us, tz=UTC]", "timestamp")
    return re.sub(r"(\w+): ", r"\1 ", text)
