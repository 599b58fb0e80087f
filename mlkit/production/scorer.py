"""A version as it answers: its estimator, and what it needs to know to make answers of rows.

All of it comes from the model's own folder, after every file was compared with the manifest. Nothing of
the working tree decides what an old version answers.
"""

from __future__ import annotations

import binascii
import dataclasses
import functools
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pyarrow as pa

from mlkit import document
from mlkit.boundary import user_code
from mlkit.data.cast import cast_column
from mlkit.data.contract import Contract
from mlkit.data.frame import to_frame
from mlkit.digest.fingerprint import lanes
from mlkit.errors import DataError, StudyError, UsageError
from mlkit.model.predictions import predict
from mlkit.nearest import likely
from mlkit.production.candidate import CONFIG_FILE
from mlkit.tracking.models import carried_code, load_model

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path
    from types import ModuleType

    import pandas as pd
    from numpy.typing import NDArray

    from mlkit.model.evaluation import Task
    from mlkit.production.ledger import Entry
    from mlkit.production.stores import Stores

PREDICTION = "prediction"
SPARK = "spark"


@dataclasses.dataclass(frozen=True, eq=False)
class Scorer:
    """One version of a project, ready to answer.

    Attributes:
        version: Its number in the registry.
        model_id: MLflow's id of the model.
        seq: The ledger entry by which it serves; 0 if it never served.
        manifest_digest: sha256 of the manifest of its files.
        task: ``regression``, ``binary`` or ``multiclass``.
        contract: What the rows it was trained on kept.
        features: Columns the estimator sees, in this order.
        key: Columns that identify a row; may be none.
        target: The label column, which rows to be answered need not have.
        inputs: Features whose values are logged.
        folder: Its files.
        estimator: The fitted estimator.
        code: What stands around the estimator while it predicts: the code that it brought along.
        config: Its frozen config as plain values; what it names may no longer exist.
    """

    version: int
    model_id: str
    seq: int
    manifest_digest: str
    task: Task
    contract: Contract
    features: tuple[str, ...]
    key: tuple[str, ...]
    target: str
    inputs: tuple[str, ...]
    folder: Path
    estimator: Any = dataclasses.field(repr=False)
    code: Callable[[], AbstractContextManager[None]] = dataclasses.field(repr=False)
    config: Mapping[str, Any] = dataclasses.field(repr=False)

    def __repr__(self) -> str:
        """Which version of what."""
        name = self.config.get("name")
        return f"Scorer {name} v{self.version}  {self.model_id}  {len(self.features)} features"

    @property
    def in_spark(self) -> bool:
        """Whether the estimator is one of Spark, which answers only there."""
        return self.config.get("serialization") == SPARK

    def frame(self, rows: pa.Table) -> pd.DataFrame:
        """Rows as the estimator sees them, in the types of the contract; further columns are ignored.

        Args:
            rows: (n,) rows with all features.

        Raises:
            DataError: A feature is missing (DAT045), of another type (DAT046, DAT054), or holds an unknown
                category (DAT047).
            ContractError: A value is missing where the contract allows none.
        """
        self.check_features(rows.column_names)
        return to_frame(rows, self.contract, self.features)

    def predict(self, rows: pa.Table) -> pa.Table:
        """What the model says of each row, in their order.

        Args:
            rows: (n,) rows with all features.

        Returns:
            (n,) `prediction` (float64, or a class) and, where the model gives them, `probability_*`.

        Raises:
            DataError: As for `frame`.
            StudyError: The estimator raised (RUN010), or answers only in Spark (RUN025).
        """
        if self.in_spark:
            message, fix = "this model answers only in Spark", "score a table or a frame of Spark with it"
            raise StudyError("RUN025", message, path=f"v{self.version}", fix=fix)
        frame = self.frame(rows)
        with self.code():
            return predict(self.estimator, frame, task=self.task).to_table()

    def row_ids(self, rows: pa.Table) -> pa.Array:
        """What tells rows apart: 32 hex digits each, of their key, or of all features.

        The features stand in where the project has no key, or the rows came without it. Equal values give
        equal ids wherever they come from: they are taken in the types of the contract.
        """
        known = set(rows.column_names)
        names = self.key if self.key and known.issuperset(self.key) else self.features
        columns = {
            name: cast_column(rows.column(name), self.contract.columns[name], path=name) for name in names
        }
        return hex_of(lanes(pa.table(columns)))

    def check_features(self, columns: list[str]) -> None:
        """Refuse rows without a feature.

        Raises:
            DataError: DAT045, with the first one that is missing.
        """
        if missing := [name for name in self.features if name not in columns]:
            message = f"v{self.version} needs {len(missing)} more of its {len(self.features)} features"
            near = likely(missing[0], columns) if len(missing) == 1 else ""
            fix = f"did you mean {near!r}?" if near else f"missing: {', '.join(missing[:20])}"
            raise DataError("DAT045", message, path=missing[0], fix=fix)


def open_scorer(stores: Stores, entry: Entry | None = None, *, version: int | None = None) -> Scorer:
    """The version that serves, or another one, with every file of it checked.

    Args:
        stores: Where ledger, registry and models are.
        entry: A ledger entry; by default the newest.
        version: Or a version by its number, whether it ever served or not.

    Raises:
        UsageError: Nothing serves yet (CLI050), or there is no such version (CLI005).
        IntegrityError: The files are not what was recorded.
    """
    if version is not None:
        return _open_version(stores, version)
    head = entry or stores.ledger.head()
    if head is None:
        fix = f"mlkit deploy {stores.project}, or name a version"
        raise UsageError("CLI050", "nothing serves yet", path=stores.project, fix=fix)
    return read_scorer(
        stores.registry.folder(head.model_id),
        version=head.to_version,
        model_id=head.model_id,
        seq=head.seq,
        manifest_digest=head.manifest_digest,
    )


def read_scorer(
    folder: Path,
    *,
    version: int,
    model_id: str,
    seq: int,
    manifest_digest: str,
    kept: dict[str, ModuleType] | None = None,
) -> Scorer:
    """A version from a folder with its files, without any store.

    Args:
        folder: Its files.
        version: Its number.
        model_id: MLflow's id of the model.
        seq: The ledger entry by which it serves.
        manifest_digest: sha256 of the manifest that was recorded.
        kept: Takes the modules that the model brought along (`mlkit.tracking.models.carried_code`); by
            default a place of the scorer's own.

    Raises:
        IntegrityError: The files are not what was recorded.
        StudyError: The estimator cannot be loaded (RUN010).
    """
    kept = {} if kept is None else kept
    code = functools.partial(carried_code, folder, kept)
    with code(), user_code(f"v{version}", action="load"):
        estimator = load_model(folder, manifest_digest=manifest_digest, kept=kept)
    config = document.read(folder / CONFIG_FILE)
    # Only these: the rest of an old config may name code that is no longer there.
    return Scorer(
        version=version,
        model_id=model_id,
        seq=seq,
        manifest_digest=manifest_digest,
        task=cast("Task", config["task"]),
        contract=Contract.from_values(config["contract"], path="contract"),
        features=tuple(config["features"]),
        key=tuple(config.get("key", ())),
        target=str(config["target"]),
        inputs=tuple((config.get("monitor") or {}).get("inputs", ())),
        folder=folder,
        estimator=estimator,
        code=code,
        config=config,
    )


def hex_of(found: NDArray[np.int64]) -> pa.Array:
    """Lanes as text.

    Args:
        found: (2, n) int64.

    Returns:
        (n,) 32 lowercase hex digits, lane 0 first, most significant digit first.
    """
    digits = binascii.hexlify(found.T.astype(">i8").tobytes())
    count = found.shape[1]
    ends = np.arange(0, 32 * count + 1, 32, dtype=np.int32)
    return pa.StringArray.from_buffers(count, pa.py_buffer(ends), pa.py_buffer(digits))


def _open_version(stores: Stores, number: int) -> Scorer:
    found = stores.registry.existing(number)
    served = [entry.seq for entry in stores.ledger.entries() if entry.model_id == found.model_id]
    return read_scorer(
        stores.registry.folder(found.model_id),
        version=number,
        model_id=found.model_id,
        seq=served[-1] if served else 0,
        manifest_digest=found.manifest_digest,
    )
