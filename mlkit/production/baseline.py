"""The baseline of a candidate: what it was trained on and what it says, in bins, to be watched by later.

Made before the model is stored, for it lies in the model's folder under the manifest: the champion and what
it is compared with move together. All features have bins, watched or not, so that what is watched may
change without another model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa

from mlkit.data.drift import INPUT_PREFIX, OUTPUT, SAMPLE_ROWS, Baseline, count_stream, make_bins
from mlkit.data.drift_sql import count_frame
from mlkit.data.frame import to_frame
from mlkit.data.snapshot import scan_rows
from mlkit.digest.spark_frame import LANES, fields_of, translated
from mlkit.digest.sql import quoted
from mlkit.model.predictions import predict
from mlkit.model.spark_training import lanes_sql, predict_frame

if TYPE_CHECKING:
    from mlkit.data.drift import Bins, Counts
    from mlkit.data.parts import Parts
    from mlkit.engines.base import Frame
    from mlkit.model.predictions import Predictions
    from mlkit.production.build import Build
    from mlkit.production.stores import Stores

_UNWATCHED = "binary"


def baseline_here(estimator: object, build: Build) -> Baseline:
    """The baseline of an estimator that was trained in this process.

    Raises:
        StudyError: The estimator cannot predict the test rows.
    """
    config, parts = build.config, cast("Parts", build.parts)
    test = to_frame(parts.test.slice(0, SAMPLE_ROWS), config.contract, config.features)
    said = predict(estimator, test, task=config.task)
    train = _as_logged(parts.train.select(_watched(build)))
    bins = _bins_of_inputs(train.slice(0, SAMPLE_ROWS), build)
    return _with_output(said, bins, count_stream(train.to_batches(), bins))


def baseline_in_spark(estimator: Any, build: Build, stores: Stores) -> Baseline:  # noqa: ANN401 - of Spark
    """The baseline of an estimator that Spark trained; only samples and counts come here.

    Raises:
        StudyError: The estimator cannot predict the test rows.
        StoreError: Spark failed.
    """
    config = build.config
    train, test = (scan_rows(stores.engine, build.table(part), config.contract) for part in ("train", "test"))
    said = predict_frame(estimator, build.frame_rows(_first(test)), task=config.task).predictions
    watched = [f"{quoted(name)} AS {quoted(INPUT_PREFIX + name)}" for name in _watched(build)]
    with translated("read a sample of rows"):
        sample = _first(train).selectExpr(*watched).toArrow() if watched else pa.table({})
    bins = _bins_of_inputs(sample, build)
    return _with_output(said, bins, count_frame(train.selectExpr(*watched), bins) if bins else {})


def _first(frame: Frame) -> Frame:
    """The first rows in canonical order: a few largest of many, which sorts no more than these."""
    lanes = lanes_sql(fields_of(frame))
    return frame.selectExpr("*", *lanes).orderBy(*LANES).limit(SAMPLE_ROWS).drop(*LANES)


def _watched(build: Build) -> list[str]:
    columns = build.config.contract.columns
    return [name for name in build.config.features if columns[name].kind != _UNWATCHED]


def _as_logged(rows: pa.Table) -> pa.Table:
    return rows.rename_columns([INPUT_PREFIX + name for name in rows.column_names])


def _bins_of_inputs(sample: pa.Table, build: Build) -> dict[str, Bins]:
    columns = build.config.contract.columns
    named = {name: columns[name.removeprefix(INPUT_PREFIX)] for name in sample.column_names}
    return {
        name: make_bins(sample.column(name), category=bool(column.categories), path=name)
        for name, column in named.items()
    }


def _with_output(said: Predictions, bins: dict[str, Bins], counts: dict[str, Counts]) -> Baseline:
    table = said.to_table()
    names = [OUTPUT, *table.column_names[1:]]
    if len(said.classes) == 2:  # noqa: PLR2004 - one probability of two says what the other does
        names = [OUTPUT, table.column_names[-1]]
    is_class = dict.fromkeys(names, False) | {OUTPUT: bool(said.classes)}
    output = {name: make_bins(table.column(name), category=is_class[name], path=name) for name in names}
    counted = count_stream(table.select(names).to_batches(), output)
    return Baseline({**output, **bins}, {**counted, **counts})
