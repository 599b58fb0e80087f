"""The champion on the candidate's test rows: which of them it may be judged on, and what it says.

It is judged as it serves: by its own files, its own code and the dtypes of its own contract.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from mlkit import document
from mlkit.boundary import user_code
from mlkit.data.contract import Contract
from mlkit.data.frame import to_frame
from mlkit.data.parts_sql import FrameParts
from mlkit.data.snapshot import read_rows, scan_rows
from mlkit.digest.fingerprint import lanes
from mlkit.digest.spark_frame import LANES, fields_of, is_spark, names_of, translated
from mlkit.digest.sql import quoted
from mlkit.engines.sizes import fetch
from mlkit.errors import DataError
from mlkit.model.predictions import predict
from mlkit.model.spark_training import (
    FrameRows,
    as_frame_rows,
    check_frame_source,
    lanes_sql,
    predict_frame,
)
from mlkit.production.candidate import CONFIG_FILE
from mlkit.production.outputs import read_output
from mlkit.tracking.models import carried_code

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlkit.engines.base import Frame
    from mlkit.model.predictions import Predictions
    from mlkit.production.build import Build
    from mlkit.production.ledger import Entry
    from mlkit.production.stores import Stores


def unseen_rows(head: Entry, build: Build, stores: Stores, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which test rows the champion was not trained on.

    Rows are told apart by key if both models have the same one, else by their whole content. Where even
    the columns differ no row can be found again; what the champion has learnt then speaks for it.

    Args:
        head: The champion.
        build: Holds the test rows.
        stores: Where the champion's train table is.
        rows: (2, n) lanes of the test rows, in canonical order.

    Returns:
        (test rows,) bool.

    Raises:
        IntegrityError: The champion's train table is gone or damaged.
    """
    key = sorted(build.config.key)
    columns = key if key and sorted(head.evidence["key"]) == key else None
    trained = read_output(stores, head.evidence["train"]["table"])
    if isinstance(build.parts, FrameParts):
        return _unseen_in_spark(stores.engine.scan(build.table("test")), trained, columns, rows)
    test, known = build.parts.test, _rows_here(trained, stores, columns)
    if columns is None and set(known.column_names) != set(test.column_names):
        return np.ones(test.num_rows, dtype=np.bool_)
    return ~_found_in(lanes(test, columns=columns), lanes(known, columns=columns))


def _rows_here(rows: Frame, stores: Stores, columns: list[str] | None) -> pa.Table:
    """These columns of rows, brought here if they are in Spark and not too many."""
    if is_spark(rows):
        chosen = rows.select(*map(quoted, columns)) if columns else rows
        return fetch(chosen, most=stores.engine.fetch_bytes, what="the champion's train rows")
    table: pa.Table = rows.read_all()
    return table


def _unseen_in_spark(
    test: Frame, trained: Frame, columns: list[str] | None, rows: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """The same where the rows are; only the lanes of those that were seen come here."""
    if columns is None and set(names_of(trained)) != set(names_of(test)):
        return np.ones(rows.shape[1], dtype=np.bool_)
    told, known = ("mlkit_told0", "mlkit_told1"), fields_of(trained, columns)
    seen = trained.selectExpr(*lanes_sql(known, told)).distinct()
    marked = test.selectExpr(*lanes_sql(fields_of(test)), *lanes_sql(fields_of(test, columns), told))
    with translated("look for test rows that the champion has seen"):
        found: pa.Table = marked.join(seen, list(told), "left_semi").selectExpr(*LANES).toArrow()
    return ~_found_in(rows, np.stack([found.column(name).to_numpy() for name in LANES]))


def champion_predictions(
    head: Entry, build: Build, stores: Stores, *, rows: NDArray[np.bool_]
) -> Predictions:
    """What the champion predicts for some of the test rows.

    Args:
        head: The champion.
        build: Holds the test rows.
        stores: Where the champion's files are.
        rows: (test rows,) bool, for which of them.

    Raises:
        IntegrityError: The champion's files are not what was recorded.
        DataError: The rows lack a feature of the champion, or hold another type or an unknown category.
        StudyError: The champion raised.
    """
    folder = stores.registry.folder(head.model_id)
    # Only these two: the rest of an old config may name code that is no longer there.
    config = document.read(folder / CONFIG_FILE)
    contract = Contract.from_values(config["contract"], path="contract")
    features: list[str] = config["features"]
    if missing := [name for name in features if name not in build.columns]:
        message = f"champion v{head.to_version} needs this feature, and the rows no longer have it"
        fix = "keep it in prepare until a version that does not need it serves"
        raise DataError("DAT045", message, path=missing[0], fix=fix)
    by_spark = config.get("serialization") == "spark"
    given = _test_frame(build, stores, contract, features) if by_spark else _test_rows(build, stores)
    with carried_code(folder):
        with user_code(f"champion v{head.to_version}", action="load"):
            model = stores.registry.load(head.model_id, manifest_digest=head.manifest_digest)
        if isinstance(given, FrameRows):
            return predict_frame(model, given, task=build.config.task).predictions.only(rows)
        frame = to_frame(given.filter(pa.array(rows)), contract, features)
        return predict(model, frame, task=build.config.task)


def _test_frame(build: Build, stores: Stores, contract: Contract, features: list[str]) -> FrameRows:
    """The published test rows, for a champion that answers in Spark."""
    check_frame_source(None, stores.engine)
    frame = scan_rows(stores.engine, build.table("test"), build.config.contract)
    return as_frame_rows(
        frame,
        contract,
        features=features,
        target=build.config.target,
        rows=build.rows[1],
        most=stores.engine.fetch_bytes,
    )


def _test_rows(build: Build, stores: Stores) -> pa.Table:
    """The test rows in this process, for a champion that answers here; refused if they are too many."""
    if isinstance(build.parts, FrameParts):
        return read_rows(stores.engine, build.table("test"), build.config.contract)
    return build.parts.test


def _found_in(rows: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(n,) bool, which columns of (2, n) lanes stand among those of (2, m)."""
    names = ["lane0", "lane1"]
    numbered = pa.table([*rows, np.arange(rows.shape[1])], names=[*names, "position"])
    joined = numbered.join(pa.table(list(others), names=names), names, join_type="left semi")
    found = np.zeros(rows.shape[1], dtype=np.bool_)
    found[joined.column("position").to_numpy()] = True
    return found
