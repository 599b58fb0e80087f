"""Workspaces: a target opened, which knows where each thing of a project is and what it is called there.

`local` needs no file and no server: everything lies in ``.mlkit/`` of the working directory (or
``MLKIT_HOME``): MLflow on sqlite, its artifacts, and a lake with the schemas `features`, `training`
and `monitoring`. What another target (`mlkit.targets`) leaves to this machine lies in a folder of its
own below that, so that no two targets share a table, a run or an alias.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import html
import os
import re
import shlex
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mlkit.engines.base import FEATURES, SCHEMAS, TRAINING, TableName
from mlkit.errors import ConfigError, NamingError
from mlkit.targets import DATABRICKS, LOCAL, UNITY, Target, find_config, read_targets

if TYPE_CHECKING:
    from mlkit.engines.base import Engine
    from mlkit.targets import SparkTarget

TARGET = "MLKIT_TARGET"
HOME = "MLKIT_HOME"
RUNTIME = "DATABRICKS_RUNTIME_VERSION"
"""Set in every process that Databricks itself runs, where no profile exists and none is needed."""

MAX_PROJECT, MAX_TABLE = 63, 255
_GIGABYTE = 1_000_000_000

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
        home: Folder below which everything lies that is kept on this machine.
        spec: What ``mlkit.toml`` says about the target.
        config: That file; None if there is none.
    """

    target: str
    home: Path
    spec: Target = dataclasses.field(default_factory=Target)
    config: Path | None = None

    @cached_property
    def engine(self) -> Engine:
        """The engine of this target; its library is loaded on first use."""
        if self.spec.spark is not None:
            return _spark_engine(self.spec, self.spec.spark)
        from mlkit.engines.local import LocalEngine  # noqa: PLC0415 - the chooser of the seam

        return LocalEngine(self.folder / "lake")

    @property
    def folder(self) -> Path:
        """Folder of the local stores of this target alone."""
        return self.home if self.target == LOCAL else self.home / "targets" / self.target

    @property
    def place(self) -> str:
        """Where people look for its tables: the target, and the folder if they lie on this machine."""
        return self.target if self.spec.spark else f"{self.target}, {self.folder}"

    @property
    def tracking_uri(self) -> str:
        """Where MLflow keeps runs."""
        if self.spec.tracking_uri is None:
            return f"sqlite:///{(self.folder / 'mlflow.db').as_posix()}"
        return self._with_profile(DATABRICKS) if self.spec.on_databricks else self.spec.tracking_uri

    @property
    def registry_uri(self) -> str:
        """Where MLflow keeps model versions."""
        return self._with_profile(UNITY) if self.in_unity else self.tracking_uri

    @property
    def in_unity(self) -> bool:
        """Whether Unity Catalog keeps the model versions."""
        return self.spec.on_databricks

    @property
    def artifacts(self) -> str | None:
        """Address below which MLflow keeps the files of runs and models; None where a server decides."""
        return None if self.spec.tracking_uri else (self.folder / "artifacts").as_uri()

    def experiment_name(self, project: str) -> str:
        """Name of a project's experiment."""
        root = self.spec.experiment_root
        return f"{root}/{project}" if root else project

    def model_name(self, project: str) -> str:
        """Name of a project's registered model; of three levels in Unity Catalog."""
        if not self.in_unity:
            return project
        return f"{self.spec.catalog}.{self.spec.schemas[TRAINING]}.{project}"

    def address_of(self, table: TableName) -> str:
        """Where a table is: its full name in Spark, or its folder in the local stores."""
        if self.spec.spark is None:
            return str(self.folder / "lake" / table.schema / table.name)
        parts = (self.spec.catalog, self.spec.schemas[table.schema], table.name)
        return ".".join(part for part in parts if part)

    @property
    def ui_command(self) -> str:
        """What to type to look at the runs in MLflow."""
        uri = self.tracking_uri
        if self.spec.tracking_uri is None:
            return f"mlflow ui --backend-store-uri {shlex.quote(uri)}"
        if not self.spec.on_databricks:
            return f"python -m webbrowser {shlex.quote(uri)}"
        login = f" --profile {shlex.quote(self.spec.profile)}" if self.spec.profile else ""
        return f"databricks experiments get-by-name {self.experiment_name('PROJECT')}{login}"

    def to_dict(self) -> dict[str, Any]:
        """The target and its addresses as plain values."""
        return {
            "target": self.target,
            "home": str(self.home),
            "config": None if self.config is None else str(self.config),
            "tracking_uri": self.tracking_uri,
            "registry_uri": self.registry_uri,
            "spec": self.spec.dump(),
        }

    def __repr__(self) -> str:
        """The target, where its rows and runs are, and how to look at them."""
        rows = self.spec.spark or f"{self.folder / 'lake'}"
        return (
            f"Workspace(target={self.target!r}, home={str(self.home)!r})\n"
            f"  rows    {rows}\n"
            f"  runs    {self.tracking_uri}\n"
            f"  look    {self.ui_command}"
        )

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(repr(self))}</pre>"

    def _with_profile(self, uri: str) -> str:
        profile = None if RUNTIME in os.environ else self.spec.profile
        return f"{uri}://{profile}" if profile else uri


def open_workspace(
    target: str | None = None, *, home: Path | str | None = None, config: Path | str | None = None
) -> Workspace:
    """Open a target by name.

    Args:
        target: Name; by default ``MLKIT_TARGET`` or `local`.
        home: Folder of the local stores; by default ``MLKIT_HOME`` or ``.mlkit``.
        config: File of targets; by default what ``MLKIT_CONFIG`` names or the nearest ``mlkit.toml``.

    Raises:
        ConfigError: No target has this name (CFG030), or the file is wrong (see `read_targets`).
        NamingError: The stores' addresses cannot hold the path of `home` (NAM003).
        SecurityError: A secret stands in the file.
    """
    name = target or os.environ.get(TARGET) or LOCAL
    file = Path(config).expanduser() if config is not None else find_config()
    known = read_targets(file)
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        fix = f"use --target {near[0] if near else LOCAL}, or describe it as [targets.{name}] in mlkit.toml"
        message = f"no target is named {name!r}; known: {', '.join(known)}"
        raise ConfigError("CFG030", message, path="target", fix=fix)
    return Workspace(name, _checked_home(home), known[name], file)


def _checked_home(home: Path | str | None) -> Path:
    folder = Path(home or os.environ.get(HOME) or ".mlkit").expanduser().resolve()
    if folder.exists() and not folder.is_dir():
        message = f"{folder.name} is a file, expected a folder"
        raise ConfigError("CFG030", message, path=HOME, fix="name a folder")
    if any(character in str(folder) for character in "?%"):
        fix = "use a path without ? and %"
        raise NamingError("NAM003", "the stores' addresses cannot hold this path", path=HOME, fix=fix)
    return folder


def _spark_engine(spec: Target, spark: SparkTarget) -> Engine:
    """An engine that opens its session on first use."""
    from mlkit.engines.spark.engine import SparkEngine  # noqa: PLC0415 - loads pyspark
    from mlkit.engines.spark.session import open_session  # noqa: PLC0415 - as above

    login = (
        {"profile": spec.profile} if spark.on_databricks else {}
    )  # that of the runs, where only they name it
    return SparkEngine(
        functools.partial(open_session, spark.model_copy(update=login)),
        catalog=spec.catalog,
        schemas=spec.schemas,
        fetch_bytes=int(spec.fetch_gb * _GIGABYTE),
        table_format=spark.format,
    )


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
