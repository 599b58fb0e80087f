"""Snapshots: prepared rows under a contract, published once and for ever under their content.

A snapshot is named by its fingerprint, so taking it twice gives the same table, whichever library or
engine the rows came from; that the rows were there before is said (`reused`).
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from mlkit.data.contract import Contract
from mlkit.data.contract_sql import cast_frame, check_frame
from mlkit.data.source import ordered
from mlkit.data.stream import check_stream, no_rows
from mlkit.digest.spark_frame import is_spark
from mlkit.engines.base import TRAINING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from mlkit.data.source import Source
    from mlkit.engines.base import Engine, Frame, TableName


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """An immutable dataset named by its content.

    Attributes:
        fingerprint: ``d1:`` + 32 hex of the prepared rows.
        rows: Row count.
        table: Where it stands.
        reused: True if the same content had been snapshotted before.
        contract: Columns, dtypes and checks that the rows keep.
        source: Where the rows came from; None if that has no name to freeze.
        engine: Where the table lives.
        unnamed: Why there is no source.
    """

    fingerprint: str
    rows: int
    table: TableName
    reused: bool
    contract: Contract
    source: Source | None
    engine: Engine = dataclasses.field(repr=False, compare=False)
    unnamed: str = ""

    def to_arrow(self) -> pa.Table:
        """All rows in canonical order, in the contract's types."""
        return read_rows(self.engine, self.table, self.contract)

    def to_pandas(self) -> pd.DataFrame:
        """All rows as a pandas frame, test rows included: look, but do not tune on it."""
        frame: pd.DataFrame = self.to_arrow().to_pandas()
        return frame

    def to_dict(self) -> dict[str, Any]:
        """The snapshot as plain values."""
        return {
            "fingerprint": self.fingerprint,
            "rows": self.rows,
            "columns": list(self.contract.columns),
            "table": str(self.table),
            "reused": self.reused,
            "source": str(self.source) if self.source else None,
        }

    def __repr__(self) -> str:
        """What it holds and what to do next."""
        seen = "already known, nothing written" if self.reused else "new"
        origin = str(self.source) if self.source else f"none to freeze: {self.unnamed}"
        size = f"{self.rows:,} rows x {len(self.contract.columns)} columns"
        return (
            f"Snapshot {self.fingerprint}  {size}  ({seen})\n"
            f"  table   {self.table}\n"
            f"  source  {origin}\n"
            f"  next    project.study(search, snapshot, trials=20)"
        )

    def _repr_html_(self) -> str:
        return f"<pre>{self!r}</pre>"


def publish_rows(
    engine: Engine,
    rows: pa.Table | pa.RecordBatchReader | Frame,
    contract: Contract,
    *,
    prefix: str,
    key: Sequence[str] = (),
    source: Source | None = None,
) -> Snapshot:
    """Check prepared rows against the contract and publish them.

    Args:
        engine: Where to.
        rows: Prepared rows; those of a reader are never in memory all at once, those of a Spark dataframe
            are checked and stored where they are.
        contract: What they must keep.
        prefix: First part of the table's name, e.g. ``flight_delay__train``.
        key: Columns that identify a row; checked for uniqueness and nulls.
        source: Where the rows came from.

    Raises:
        ContractError: The rows break the contract; nothing was written.
        DataError: There are no rows.
    """
    if is_spark(rows):
        checked = check_frame(rows, contract, key=key, origin=str(source or prefix))
    elif isinstance(rows, pa.Table):
        if not rows.num_rows:
            raise no_rows(str(source or prefix))
        checked = contract.check(rows, key=key).to_reader()
    else:
        checked = check_stream(rows, contract, key=key, origin=str(source or prefix))
    properties = {"contract": contract.text(), "key": ",".join(key)}
    published = engine.publish(TRAINING, prefix, checked, properties=properties)
    return Snapshot(
        fingerprint=published.fingerprint,
        rows=published.rows,
        table=published.name,
        reused=not published.created,
        contract=contract,
        source=source,
        engine=engine,
    )


def read_rows(engine: Engine, table: TableName, contract: Contract) -> pa.Table:
    """Rows of a published table in canonical order, in the contract's types."""
    return ordered(contract.cast(engine.read(table).read_all()))


def scan_rows(engine: Engine, table: TableName, contract: Contract) -> Frame:
    """Rows of a published table as a Spark dataframe in the contract's types, on a target that has Spark.

    Raises:
        DataError: Other columns than expected, or of other types.
        StoreError: No such table.
    """
    return cast_frame(engine.scan(table), contract)


def contract_of(engine: Engine, table: TableName) -> Contract | None:
    """The contract that stands with a table, if any."""
    info = engine.describe(table)
    text = info.properties.get("contract") if info else None
    return Contract.from_text(text) if text else None
