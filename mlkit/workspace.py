"""Targets: where the stores of a project are, by name.

``local`` needs no file and no server: everything lies in ``.mlkit/`` of the working directory (or
``MLKIT_HOME``): MLflow on sqlite, its artifacts, and a lake with the schemas `features`, `training`
and `monitoring`.
"""

from __future__ import annotations

import dataclasses
import os
import re
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from mlkit.engines.base import FEATURES, SCHEMAS, TableName
from mlkit.errors import ConfigError, NamingError

if TYPE_CHECKING:
    from mlkit.engines.base import Engine

TARGET = "MLKIT_TARGET"
HOME = "MLKIT_HOME"
LOCAL = "local"

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_TABLE = re.compile(r"[a-z][a-z0-9_]{0,254}")
_RESERVED = frozenset({"latest", "none", "null", "champion", "con", "nul", "aux", "prn"})


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
        return f"mlflow ui --backend-store-uri {self.tracking_uri}"

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
    folder = Path(home or os.environ.get(HOME) or ".mlkit").resolve()
    uri = f"sqlite:///{(folder / 'mlflow.db').as_posix()}"
    return Workspace(LOCAL, folder, uri, uri)


def project_name(name: str) -> str:
    """Check the name of a project: it becomes part of tables, models and files in every store.

    Raises:
        NamingError: Not lowercase letters, digits and underscores, too long, or reserved.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        message = "a project name is a lowercase letter, then up to 62 letters, digits or underscores"
        raise NamingError("NAM002", message, path="name", fix="e.g. flight_delay")
    if name in _RESERVED or re.fullmatch(r"v[0-9]+", name):
        raise NamingError("NAM006", f"{name!r} means something else in a store", path="name", fix=f"e.g. {name}_model")
    return name


def table_name(text: str, *, schema: str = FEATURES) -> TableName:
    """Read ``schema.table`` or, in the schema given, ``table``.

    Raises:
        NamingError: Another number of parts, an unknown schema, or characters that a store refuses.
    """
    parts = text.split(".") if isinstance(text, str) else []
    if len(parts) == 1:
        parts = [schema, *parts]
    expected = f"schema.table with a schema of {', '.join(SCHEMAS)}"
    if len(parts) != 2:  # noqa: PLR2004 - schema and table
        raise NamingError("NAM007", f"a table is named {expected}", path=str(text), fix="e.g. features.flights")
    if parts[0] not in SCHEMAS:
        raise NamingError("NAM007", f"no such schema; a table is named {expected}", path=text)
    if not _TABLE.fullmatch(parts[1]):
        message = "a table name is a lowercase letter, then letters, digits or underscores"
        raise NamingError("NAM002", message, path=text, fix="e.g. features.flights")
    return TableName(*parts)
