"""The frozen config: everything that decides a model, in one file a reviewer can read and edit.

It only composes the specs of the rooms below. Loading is strict: an unknown key, a duplicate, a tag or
a wrong type is an error with the path of the field. The digest is over the meaning, so comments and
layout never change it. Where it came from (run, commit, scores) stands beside it in
``<name>.provenance.json``, outside the digest.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, PrivateAttr, field_validator, model_validator

from mlkit import document
from mlkit.code import installed_version, modules_of
from mlkit.data.contract import Contract  # noqa: TC001 - pydantic reads it
from mlkit.data.monitor_spec import Monitor
from mlkit.data.source import Source  # noqa: TC001 - pydantic reads it
from mlkit.data.split import Split  # noqa: TC001 - pydantic reads it
from mlkit.errors import ConfigError, DataError, MlkitError
from mlkit.model.estimator import check, references, steps_text
from mlkit.model.evaluation import Metric, Task, get_metric
from mlkit.model.gate import Gate  # noqa: TC001 - pydantic reads it
from mlkit.model.retraining import Retrain
from mlkit.model.spark_estimator import trains_on_spark
from mlkit.nearest import likely, nearest
from mlkit.spec import Spec
from mlkit.workspace import project_name

FORMAT: Literal[1] = 1
FOLDER = "models"
_LEFT_OUT = frozenset({"key", "monitor", "retrain"})  # of the file, where they say nothing
_EXACT_BELOW = 2**53  # where every whole float64 is one int
_PIN = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*==[A-Za-z0-9.+!_-]+")
GROUND = frozenset({"numpy", "scipy", "scikit-learn", "pandas", "pyarrow", "joblib", "skops", "cloudpickle"})
"""Below every model: it follows from their versions, and their pins say nothing of what a config may name."""
_HEADER = """\
Frozen by mlkit: this file and the content of the data decide the model.
Edit it like code, in a pull request; `mlkit plan {name}` says what an edit would do."""


class Environment(Spec):
    """What the model was found with; the packaged runner requires exactly this.

    Attributes:
        python: Minor version, e.g. ``3.11``.
        requirements: ``name==version`` of every distribution that can change the model.
    """

    python: str
    requirements: tuple[str, ...] = ()

    @field_validator("requirements", mode="before")
    @classmethod
    def _as_tuple(cls, value: Any) -> Any:  # noqa: ANN401 - any YAML value, checked afterwards
        return tuple(value) if isinstance(value, list) else value

    @model_validator(mode="after")
    def _are_pins(self) -> Self:
        if not re.fullmatch(r"[0-9]+\.[0-9]+", self.python):
            message = "expected a minor version of Python, such as 3.11"
            raise ConfigError("CFG009", message, path="python", fix="write it in quotes, e.g. '3.11'")
        if loose := [index for index, pin in enumerate(self.requirements) if not _PIN.fullmatch(pin)]:
            message = f"expected name==version, found {self.requirements[loose[0]]!r}"
            fix = "pin one version, e.g. scikit-learn==1.6.1, with the name in lowercase and hyphens"
            raise ConfigError("CFG009", message, path=f"requirements.{loose[0]}", fix=fix)
        return self

    @property
    def pins(self) -> dict[str, str]:
        """Version by distribution, Python's minor version among them."""
        pinned = dict(requirement.split("==") for requirement in self.requirements)
        return {"python": self.python, **pinned}

    def drift(self) -> list[str]:
        """How this environment differs from the pins, in words; empty where it does not."""
        found = {name: installed_version(name) for name in self.pins}
        return [
            f"{name} {pin} pinned, {found[name]} here"
            for name, pin in self.pins.items()
            if found[name] != pin
        ]

    @property
    def packages(self) -> list[str]:
        """Import names of the pinned distributions that a config may name estimators of."""
        named = self.pins.keys() - GROUND - {"python"}
        return modules_of(named) if named else []  # it reads the metadata of all that is installed


class FrozenConfig(Spec):
    """A model as a reviewed file.

    Attributes:
        format: Version of this file's format.
        name: The project.
        task: ``regression``, ``binary`` or ``multiclass``.
        target: Label column.
        key: Columns that identify a row.
        features: Columns the estimator sees, in this order.
        metric: Name of the metric that the gate judges by, or ``module:function``.
        seed: Seeds the estimator, the folds of its study and nothing else.
        model: Class path and parameters of the estimator.
        serialization: Format of the model's file.
        source: Where rows come from.
        split: Which rows are test rows.
        gate: When a candidate may serve.
        monitor: What is watched once it serves.
        retrain: When it is trained again.
        contract: What prepared rows must keep.
        environment: What the packaged runner requires.
    """

    format: Literal[1] = FORMAT
    name: str
    task: Task
    target: str
    key: tuple[str, ...] = ()
    features: tuple[str, ...] = Field(min_length=1)
    metric: str
    seed: int = Field(ge=0, lt=2**32)
    model: dict[str, Any]
    serialization: Literal["skops", "cloudpickle", "spark"] = "skops"
    source: Source
    split: Split
    gate: Gate
    monitor: Monitor = Monitor()
    retrain: Retrain = Retrain()
    contract: Contract
    environment: Environment

    _path: Path | None = PrivateAttr(default=None)

    @field_validator("key", "features", mode="before")
    @classmethod
    def _as_tuple(cls, value: Any) -> Any:  # noqa: ANN401 - any YAML value, checked afterwards
        return tuple(value) if isinstance(value, list) else value

    @model_validator(mode="before")
    @classmethod
    def _known_format(cls, values: Any) -> Any:  # noqa: ANN401 - any YAML value, checked afterwards
        found = values.get("format") if isinstance(values, dict) else None
        if isinstance(found, int) and found > FORMAT:
            message = f"format {found} was written by a newer mlkit; this one reads up to {FORMAT}"
            raise ConfigError("CFG019", message, path="format", fix="upgrade mlkit-sdk")
        return values

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        project_name(self.name)
        self._check_columns()
        _ = self.metric_spec
        check(self.model, trusted=self.environment.packages)
        self._check_serialization()
        return self

    def _check_serialization(self) -> None:
        by_spark = trains_on_spark(self.model)
        if by_spark != (self.serialization == "spark"):
            where = "trains on Spark" if by_spark else "does not train on Spark"
            message = f"the model {where}, and its files are to be {self.serialization}"
            fix = "write spark" if by_spark else "write skops or cloudpickle"
            raise ConfigError("CFG031", message, path="serialization", fix=fix)

    def _check_columns(self) -> None:
        columns = self.contract.columns
        for field, names in (("target", [self.target]), ("key", self.key), ("features", self.features)):
            if unknown := [name for name in names if name not in columns]:
                fix = nearest(unknown[0], columns)
                raise ConfigError("CFG034", f"the contract has no column {unknown[0]!r}", path=field, fix=fix)
            if twice := [name for name in names if names.count(name) > 1]:
                raise ConfigError("CFG034", f"{twice[0]!r} stands twice", path=field, fix="name it once")
        if self.target in self.features:
            fix = f"remove {self.target!r}"
            raise DataError("DAT044", "the target is also a feature", path="features", fix=fix)
        self.monitor.check_inputs(self.features)

    @property
    def metric_spec(self) -> Metric:
        """The metric with its direction, checked against the task."""
        return get_metric(self.metric, direction=self.gate.direction, task=self.task)

    @property
    def meaning(self) -> dict[str, Any]:
        """What this config says, as JSON values without defaults: equal for files that mean the same.

        ``25`` means ``25.0``, but not among the parameters of a model: one feature is not all of them.
        """
        said = self.model_dump(exclude_defaults=True)
        return {name: _json(value, exact=name == "model") for name, value in said.items()}

    @property
    def digest(self) -> str:
        """sha256 (64 hex) of the meaning of this config."""
        text = json.dumps(self.meaning, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def path(self) -> Path | None:
        """Where it was loaded from or written to."""
        return self._path

    @property
    def references(self) -> list[str]:
        """Every importable name the config refers to."""
        metric = [self.metric] if ":" in self.metric else []
        return [*self.source.references, *references(self.model), *metric]

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Load a config by path, or by its name under ``models/``.

        Raises:
            ConfigError: Anything that is not exactly a config, with the path of the field.
            SecurityError: Tags, secrets, or a model class that may not be imported.
        """
        file = find(path)
        values = document.read(file)
        try:
            config = cls.from_values(values)
        except MlkitError as exc:
            exc.place = document.place(file, exc.path)
            raise
        config._path = file  # noqa: SLF001 - its own
        return config

    def dump(self) -> dict[str, Any]:
        """Plain values in the order of the file."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        plain = {name: _plain(value) for name, value in values.items()}
        return {name: value for name, value in plain.items() if value or name not in _LEFT_OUT}

    def to_yaml(self) -> str:
        """The file as text: the same bytes for the same config."""
        return document.write(self.dump(), header=_HEADER.format(name=self.name))

    def to_dict(self) -> dict[str, Any]:
        """Plain values and the digest."""
        return {**self.dump(), "digest": self.digest}

    def write(self, path: Path | str | None = None) -> Self:
        """Write the file whole or not at all, by default to ``models/<name>.yaml``."""
        file = Path(path) if path else Path(FOLDER) / f"{self.name}.yaml"
        document.save(file, self.to_yaml())
        self._path = file
        return self

    def __repr__(self) -> str:
        """What was frozen and what to do next."""
        return (
            f"FrozenConfig {self.name}  {self.digest[:12]}  {self.path or 'not written yet'}\n"
            f"  model   {steps_text(self.model)}, seed {self.seed}\n"
            f"  data    {self.source}, {self.split.test:g} of the rows are test rows\n"
            f"  gate    {self.metric} {self.gate}\n"
            f"  next    project.handoff(config), or: mlkit deploy {self.name}"
        )


def find(path: Path | str) -> Path:
    """The file of a config given by path or by name under ``models/``."""
    text = str(path)
    if text.endswith((".yaml", ".yml")) or Path(text).is_file():
        return Path(text)
    named = Path(FOLDER) / f"{text}.yaml"
    if not named.is_file():
        known = [file.stem for file in Path(FOLDER).glob("*.yaml")]
        near = likely(text, known)
        meant = f"did you mean {near!r}? " if near else ""
        fix = f"{meant}known under {FOLDER}/: {', '.join(sorted(known)) or 'none yet'}; or give a file's path"
        raise ConfigError("CFG001", f"no config {text!r}: {named} is not there", path=text, fix=fix)
    return named


def read_provenance(config: FrozenConfig) -> dict[str, Any]:
    """Where a config came from, as it stands beside it; empty where nothing does.

    Raises:
        ConfigError: The file is not what a freeze writes (CFG004).
    """
    path = provenance_path(config.path) if config.path else None
    if path is None or not path.is_file():
        return {}
    fix = "restore it from git, or remove it"
    try:
        origin = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as exc:
        raise ConfigError("CFG004", "not valid JSON", path=str(path), fix=fix) from exc
    if not isinstance(origin, dict) or not isinstance(origin.get("config_digest"), str):
        raise ConfigError("CFG004", "not the provenance of a config", path=str(path), fix=fix)
    return origin


def provenance_path(config: Path) -> Path:
    """Where a config's origin stands: beside it."""
    return config.with_suffix(".provenance.json")


def _plain(value: Any) -> Any:  # noqa: ANN401 - any field, any YAML value
    if isinstance(value, Spec):
        return value.dump()
    return list(value) if isinstance(value, tuple) else value


def _json(value: Any, *, exact: bool) -> Any:  # noqa: ANN401 - any field, any JSON value
    """JSON has no nan: it and the infinities become what no other value can be."""
    if isinstance(value, dict):
        return {key: _json(inner, exact=exact) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_json(inner, exact=exact) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": repr(value)}
    if isinstance(value, float) and not exact and value.is_integer() and abs(value) < _EXACT_BELOW:
        return int(value)
    return value
