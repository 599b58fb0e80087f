"""The recipe of a version: everything that decides its model, and how to follow it once more.

It is read from the model's own folder (the config it was frozen in, the user's code that travelled with
it) and from its published tables. Source, working tree and feature tables may have moved on; none is read.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, NamedTuple

from mlkit import document
from mlkit.data.contract import Contract
from mlkit.data.frame import to_frame, to_target
from mlkit.data.snapshot import read_rows, scan_rows
from mlkit.digest.fingerprint import lanes
from mlkit.frozen import Environment
from mlkit.model.predictions import predict
from mlkit.model.spark_training import (
    Answers,
    FrameRows,
    as_frame_rows,
    check_frame_source,
    fit_frame,
    predict_frame,
)
from mlkit.model.training import as_rows, deterministic, fit
from mlkit.production.candidate import CONFIG_FILE
from mlkit.tracking.models import CODE, load_model, save_model
from mlkit.workspace import table_name

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import pandas as pd

    from mlkit.engines.base import Engine

_EXAMPLE_ROWS = 20
_SPARK = "spark"


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What decides a model.

    Attributes:
        folder: The model's files, verified.
        config: Its frozen config, as plain values.
        contract: What its rows keep.
        environment: What it was frozen with.
        tables: Names of its `train` and `test` tables.
        rows: Number of train rows.
    """

    folder: Path
    config: Mapping[str, Any]
    contract: Contract
    environment: Environment
    tables: Mapping[str, str]
    rows: int

    @property
    def key(self) -> list[str]:
        """Columns that identify a row; may be none."""
        return list(self.config.get("key", ()))

    @property
    def target(self) -> str:
        """The label column."""
        return str(self.config["target"])

    @property
    def by_spark(self) -> bool:
        """Whether the estimator trains on Spark."""
        return self.config.get("serialization") == _SPARK


class _Fitted(NamedTuple):
    """A fitted estimator, a few rows as it sees them, and the numpy kind of its answers."""

    estimator: object
    example: pd.DataFrame
    output: str


def read_recipe(folder: Path, record: Mapping[str, Any]) -> Recipe:
    """The recipe of a model.

    Only what is needed of the config is read: what it says of source, metric and gate may name code that
    is no longer there.

    Args:
        folder: The model's files.
        record: Of its judgement.
    """
    values = document.read(folder / CONFIG_FILE)
    return Recipe(
        folder=folder,
        config=values,
        contract=Contract.from_values(values["contract"], path="contract"),
        environment=Environment.from_values(values["environment"], path="environment"),
        tables={part: record[part]["table"] for part in ("train", "test")},
        rows=record["train"]["rows"],
    )


def code_files(folder: Path) -> dict[str, Path]:
    """The user's files that travelled with a model, by path below the import root."""
    root = folder / CODE
    files = (path for path in sorted(root.rglob("*")) if path.is_file())
    return {path.relative_to(root).as_posix(): path for path in files if "__pycache__" not in path.parts}


def follow(recipe: Recipe, engine: Engine, folder: Path) -> Answers:
    """Fit the estimator anew, and let it answer the test rows; hold `carried_code` around it.

    It answers as it is read back from files, for so had the one that was judged.

    Args:
        recipe: The recipe.
        engine: Where its tables are.
        folder: Where to write the files; must not exist.

    Raises:
        StudyError: The estimator does not fit or predict here.
        ConfigError: It cannot be built here.
    """
    fitted = _fit_in_spark(recipe, engine) if recipe.by_spark else _fit_here(recipe, engine)
    digest = save_model(
        folder,
        fitted.estimator,
        serialization=recipe.config.get("serialization", "skops"),
        example=fitted.example,
        output=fitted.output,
        requirements=recipe.environment.requirements,
        code=code_files(recipe.folder),
    )
    return _answers(recipe, engine, load_model(folder, manifest_digest=digest))


def _fit_here(recipe: Recipe, engine: Engine) -> _Fitted:
    config, contract = recipe.config, recipe.contract
    table = read_rows(engine, table_name(recipe.tables["train"]), contract)
    rows = as_rows(table, contract, features=config["features"], target=recipe.target)
    seed: int = config["seed"]
    with deterministic(seed):
        estimator = fit(config["model"], rows, seed=seed, trusted=recipe.environment.packages)
    example = rows.frame.head(_EXAMPLE_ROWS)
    predictions = predict(estimator, example, task=config["task"])
    return _Fitted(estimator, example, predictions.values.dtype.kind)  # noqa: PD011 - an array already


def _fit_in_spark(recipe: Recipe, engine: Engine) -> _Fitted:
    config = recipe.config
    check_frame_source(None, engine)
    rows = _frame_rows(recipe, engine, "train")
    model = fit_frame(config["model"], rows, seed=config["seed"], trusted=recipe.environment.packages)
    return _Fitted(model, rows.example(recipe.contract, _EXAMPLE_ROWS), rows.answers(config["task"]))


def _frame_rows(recipe: Recipe, engine: Engine, part: str) -> FrameRows:
    frame = scan_rows(engine, table_name(recipe.tables[part]), recipe.contract)
    return as_frame_rows(
        frame,
        recipe.contract,
        features=recipe.config["features"],
        target=recipe.target,
        rows=recipe.rows,
        most=engine.fetch_bytes,
    )


def _answers(recipe: Recipe, engine: Engine, estimator: object) -> Answers:
    config, contract, columns = recipe.config, recipe.contract, [*recipe.key, recipe.target]
    if recipe.by_spark:
        rows = _frame_rows(recipe, engine, "test")
        return predict_frame(estimator, rows, task=config["task"], columns=columns)
    test = read_rows(engine, table_name(recipe.tables["test"]), contract)
    labels = to_target(test, contract, recipe.target)
    frame = to_frame(test, contract, config["features"])
    predictions = predict(estimator, frame, task=config["task"])
    return Answers(lanes(test), labels, predictions, test.select(columns))
