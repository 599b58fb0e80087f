"""Building: from a frozen config to checked rows, cut in train and test, and the keys that name a run."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from mlkit import document
from mlkit.code import code_digest, installed_version, user_files
from mlkit.data.contract_sql import check_frame
from mlkit.data.parts import Parts, cut_rows
from mlkit.data.parts_sql import FrameParts, cut_frame
from mlkit.data.source import open_source, ordered, read_checked
from mlkit.engines.base import TRAINING, TableName
from mlkit.engines.spark.ml import make_active
from mlkit.errors import ContractError
from mlkit.frozen import GROUND
from mlkit.model.estimator import references
from mlkit.model.spark_training import FrameRows, as_frame_rows, check_frame_source
from mlkit.model.training import as_rows

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from mlkit.engines.base import Engine, Frame
    from mlkit.frozen import FrozenConfig
    from mlkit.model.training import Rows

MODEL_FIELDS = ("task", "target", "features", "seed", "model", "serialization", "contract")
"""Fields of a config that decide the model once its rows are known; the rest decides what happens to it."""


@dataclasses.dataclass(frozen=True)
class Build:
    """Rows of a config and the digests of everything that a model follows from.

    Attributes:
        config: The frozen config.
        parts: Its rows, cut and in canonical order; or in Spark, where the model trains there.
        source_version: Version of the source table that was read; None where there is none.
        code: Digest of the user's code that the config refers to.
        model_code: Digest of that part of it which the model itself consists of.
        environment: Python's minor version, and the installed version of everything below the model.
        fetch_bytes: Most bytes of rows in Spark that may come to this process.
    """

    config: FrozenConfig
    parts: Parts | FrameParts
    source_version: int | None
    code: str
    model_code: str
    environment: Mapping[str, str]
    fetch_bytes: int | None

    @cached_property
    def fingerprints(self) -> tuple[str, str]:
        """Fingerprints of train and test."""
        return self.parts.fingerprints

    @property
    def rows(self) -> tuple[int, int]:
        """Number of train and of test rows."""
        parts = self.parts
        return parts.rows if isinstance(parts, FrameParts) else (parts.train.num_rows, parts.test.num_rows)

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the rows."""
        return tuple(self.config.contract.columns)

    def table(self, part: Literal["train", "test"]) -> TableName:
        """Where the rows of a part are published."""
        fingerprint = self.fingerprints[part == "test"]
        return TableName(TRAINING, f"{self.config.name}__{part}__{fingerprint.removeprefix('d1:')}")

    def train_rows(self) -> Rows | FrameRows:
        """The train rows as the estimator sees them."""
        if isinstance(self.parts, FrameParts):
            return self.frame_rows(self.parts.train)
        config = self.config
        return as_rows(self.parts.train, config.contract, features=config.features, target=config.target)

    def frame_rows(self, frame: Frame) -> FrameRows:
        """Rows in Spark, of this build or of its published tables, as the estimator sees them."""
        config = self.config
        return as_frame_rows(
            frame,
            config.contract,
            features=config.features,
            target=config.target,
            rows=self.rows[0],
            most=self.fetch_bytes,
        )

    @cached_property
    def ingredients(self) -> dict[str, Any]:
        """What the model follows from, as plain values; the plan compares them one by one."""
        said = self.config.meaning
        train, test = self.fingerprints
        return {
            "config": {name: said[name] for name in MODEL_FIELDS if name in said},
            "data": {"train": train, "test": test},
            "model_code": self.model_code,
            "environment": dict(self.environment),
        }

    @cached_property
    def rules(self) -> dict[str, Any]:
        """What decides what happens to a model, but not the model."""
        said = self.config.meaning
        return {"config": {name: said[name] for name in said.keys() - set(MODEL_FIELDS)}, "code": self.code}

    @cached_property
    def model_key(self) -> str:
        """sha256 (64 hex) of what decides the model."""
        return _sha256(self.ingredients)

    @cached_property
    def run_key(self) -> str:
        """sha256 (64 hex) of everything: also the gate, the metric, and code that only prepares rows."""
        return _sha256({"model": self.model_key, "config": self.config.digest, "code": self.code})


def build(config: FrozenConfig, engine: Engine) -> Build:
    """Read, prepare, check and cut the rows of a config. Writes nothing.

    Raises:
        ContractError: The rows break the contract.
        StudyError: The user's `prepare` failed.
        StoreError: The source is not there.
    """
    try:
        parts, version = (_cut_in_spark if config.serialization == "spark" else _cut_here)(config, engine)
    except ContractError as exc:
        exc.place = document.place(config.path, f"contract.columns.{exc.path}") if config.path else ""
        raise
    return Build(
        config=config,
        parts=parts,
        source_version=version,
        code=code_digest(user_files(config.references)),
        model_code=code_digest(model_code(config)),
        environment=installed_environment(config),
        fetch_bytes=engine.fetch_bytes,
    )


def _cut_here(config: FrozenConfig, engine: Engine) -> tuple[Parts, int | None]:
    pinned = read_checked(config.source, engine, config.contract, key=config.key)
    rows = ordered(pinned.rows)
    return cut_rows(rows, config.split, key=config.key, target=config.target), pinned.version


def _cut_in_spark(config: FrozenConfig, engine: Engine) -> tuple[FrameParts, int | None]:
    """No row comes here."""
    check_frame_source(config.source, engine)
    opened = open_source(config.source, engine)
    rows = check_frame(opened.rows, config.contract, key=config.key, origin=str(config.source))
    make_active(rows)  # a stored model may be read before anything else is done in Spark
    return cut_frame(rows, config.split, key=config.key, target=config.target), opened.version


def installed_environment(config: FrozenConfig) -> dict[str, str]:
    """Versions that are installed here of what a model follows from (`absent` where one is not)."""
    return {name: installed_version(name) for name in sorted({*config.environment.pins, *GROUND})}


def model_code(config: FrozenConfig) -> dict[str, Path]:
    """Files of the user's code that a model needs to be loaded elsewhere, by path below the import root."""
    return user_files(references(config.model))


def _sha256(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
