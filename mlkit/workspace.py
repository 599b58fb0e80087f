"""Targets: where the stores of a project are, by name.

``local`` needs no file and no server: everything lies in ``.mlkit/`` of the working directory (or
``MLKIT_HOME``): MLflow on sqlite, its artifacts, and a lake with the schemas `features`, `training`
and `monitoring`.
"""

from __future__ import annotations

import dataclasses
import os
import re
import shlex
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mlkit.engines.base import FEATURES, SCHEMAS, TableName
from mlkit.errors import ConfigError, NamingError

if TYPE_CHECKING:
    from mlkit.engines.base import Engine

TARGET = "MLKIT_TARGET"
HOME = "MLKIT_HOME"
LOCAL = "local"

MAX_PROJECT, MAX_TABLE = 63, 255

_GRAMMAR = re.compile(r"[a-z][a-z0-9_]*")
# Words of SQL and YAML, of MLflow's registry (versions, aliases), and devices of Windows.
_RESERVED = re.compile(
    r"all|alter|and|by|create|default|delete|drop|false|from|grant|group|in|insert|into|is|join|not|null|on|or"
    r"|order|select|set|table|true|union|update|user|values|where|with"
    r"|champion|latest|no|none|off|v[0-9]+|yes"
    r"|aux|com[0-9]|con|lpt[0-9]|nul|prn"
)


class _Rule(NamedTuple):
    """What no name may hold, found by a search."""

    code: str
    pattern: re.Pattern[str]
    message: str


# In this order: the first that finds something names the mistake.
_RULES = (
    _Rule("NAM001", re.compile(r"\A\s*\Z"), "a name cannot be empty"),
    _Rule(
        "NAM004",
        re.compile(r"[\x00-\x1f\x7f]|\A\s|\s\Z"),
        "a name holds no line break, NUL or space at its ends",
    ),
    _Rule(
        "NAM005", re.compile(r"[^\x00-\x7f]"), "a name holds no letters beyond a to z: some look like others"
    ),
    _Rule("NAM003", re.compile(r"[./\\:%]"), "a name is no path: it holds no dot, slash, colon or %"),
    _Rule("NAM008", re.compile(r"""[`'"]"""), "a name holds no quotes"),
)


@dataclasses.dataclass(frozen=True)
class Workspace:
    """A set of stores.

    Attributes:
        target: Its name.
        home: Folder that holds the local stores.
        tracking_uri: Where MLflow keeps runs.
        registry_uri: Where MLflow keeps model versions.
    """

    target: str
    home: Path
    tracking_uri: str
    registry_uri: str

    @cached_property
    def engine(self) -> Engine:
        """The engine of this target; its library is loaded on first use."""
        from mlkit.engines.local import LocalEngine  # noqa: PLC0415 - the chooser of the seam

        return LocalEngine(self.home / "lake")

    @property
    def artifacts(self) -> str:
        """Address below which MLflow keeps the files of runs and models."""
        return (self.home / "artifacts").as_uri()

    @property
    def ui_command(self) -> str:
        """What to type to look at the runs in MLflow."""
        return f"mlflow ui --backend-store-uri {shlex.quote(self.tracking_uri)}"

    def __repr__(self) -> str:
        """The target and where it is."""
        return f"Workspace(target={self.target!r}, home={str(self.home)!r})\n  look: {self.ui_command}"


def open_workspace(target: str | None = None, *, home: Path | str | None = None) -> Workspace:
    """Open a target by name.

    Args:
        target: Name; by default ``MLKIT_TARGET`` or `local`.
        home: Folder of the local stores; by default ``MLKIT_HOME`` or ``.mlkit``.

    Raises:
        ConfigError: No target has this name.
    """
    name = target or os.environ.get(TARGET) or LOCAL
    if name != LOCAL:
        fix = f"use --target {LOCAL} or unset {TARGET}"
        raise ConfigError("CFG030", f"no target is named {name!r}; known: {LOCAL}", path="target", fix=fix)
    folder = Path(home or os.environ.get(HOME) or ".mlkit").expanduser().resolve()
    if folder.exists() and not folder.is_dir():
        raise ConfigError(
            "CFG030", f"{folder.name} is a file, expected a folder", path=HOME, fix="name a folder"
        )
    if any(character in str(folder) for character in "?%"):
        fix = "use a path without ? and %"
        raise NamingError("NAM003", "the stores' addresses cannot hold this path", path=HOME, fix=fix)
    uri = f"sqlite:///{(folder / 'mlflow.db').as_posix()}"
    return Workspace(LOCAL, folder, uri, uri)


def project_name(name: str) -> str:
    """Check the name of a project: it becomes part of tables, models and files in every store.

    Args:
        name: A lowercase letter, then up to 62 lowercase letters, digits or underscores.

    Raises:
        NamingError: Empty (NAM001), of another form (NAM002), a path (NAM003), with a line break or space
            at its ends (NAM004), not ASCII (NAM005), reserved (NAM006), or with quotes (NAM008).
    """
    _check_form(name, "a project name", path="name", most=MAX_PROJECT, too_long="NAM002")
    if _RESERVED.fullmatch(name):
        fix = f"e.g. {name}_model"
        raise NamingError("NAM006", f"{name!r} means something else in a store", path="name", fix=fix)
    if "__" in name or name.endswith("_"):
        message = "two underscores part the name of a project from the rest of a table's name"
        raise NamingError("NAM006", message, path="name", fix="use one underscore between words")
    return name


def table_name(text: str, *, schema: str = FEATURES) -> TableName:
    """Read ``schema.table`` or, in the schema given, ``table``.

    Raises:
        NamingError: Another number of parts or an unknown schema (NAM007), longer than 255 (NAM010), or
            characters that some store refuses (codes as for `project_name`).
    """
    *before, name = text.split(".") if isinstance(text, str) else [text]
    expected = f"a table is named schema.table, with a schema of {', '.join(SCHEMAS)}"
    if len(before) > 1:
        message = f"{expected}; found {len(before) + 1} parts"
        raise NamingError("NAM007", message, path=text, fix="e.g. features.flights")
    chosen = before[0] if before else schema
    if chosen not in SCHEMAS:
        raise NamingError("NAM007", f"{expected}; found {chosen!r}", path=text, fix=f"e.g. {schema}.{name}")
    _check_form(name, "a table name", path=str(text), most=MAX_TABLE, too_long="NAM010")
    return TableName(chosen, name)


def _check_form(name: object, what: str, *, path: str, most: int, too_long: str) -> None:
    fix = "use lowercase letters, digits and underscores, e.g. flight_delay"
    if not isinstance(name, str):
        raise NamingError("NAM002", f"{what} is text, found {type(name).__name__}", path=path, fix=fix)
    for rule in _RULES:
        if rule.pattern.search(name):
            raise NamingError(rule.code, rule.message, path=path, fix=fix)
    if not _GRAMMAR.fullmatch(name):
        message = (
            f"{what} is a lowercase letter, then lowercase letters, digits or underscores; found {name!r}"
        )
        raise NamingError("NAM002", message, path=path, fix=fix)
    if len(name) > most:
        message = f"{what} has at most {most} characters, found {len(name)}"
        raise NamingError(too_long, message, path=path, fix="shorten it")
