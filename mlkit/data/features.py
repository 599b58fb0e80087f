"""Feature tables: rows that data engineering publishes under a contract, and others build models on.

A batch is checked whole before anything is written: it enters or it is refused. Rows whose key exists
replace the old ones, others are added, in one commit. The contract stands with the table and is
enforced by the store as well, so no other writer can break it.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from mlkit.console import say
from mlkit.data.contract import Contract
from mlkit.data.contract_sql import check_frame, infer_frame
from mlkit.data.source import open_data, read_dataframe
from mlkit.data.stream import no_rows
from mlkit.digest.fingerprint import Accumulator, lanes
from mlkit.digest.spark_frame import LANES, fields_of, is_spark, state_of, translated
from mlkit.digest.sql import lane
from mlkit.errors import DataError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

    from mlkit.engines.base import Engine, Frame, TableInfo, TableName

_LANE_BYTES = 16


@dataclasses.dataclass(frozen=True)
class FeatureTable:
    """A feature table after a publication.

    Attributes:
        table: Its name.
        version: Its version now.
        rows: Its row count now.
        fingerprint: ``d1:`` + 32 hex of all its rows.
        key: Columns that identify a row.
        contract: What its rows keep.
        changed: False if every row of the batch was there already, and nothing was written.
    """

    table: TableName
    version: int
    rows: int
    fingerprint: str
    key: tuple[str, ...]
    contract: Contract
    changed: bool

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "table": str(self.table),
            "version": self.version,
            "rows": self.rows,
            "fingerprint": self.fingerprint,
            "key": list(self.key),
            "changed": self.changed,
        }

    def __repr__(self) -> str:
        """What it holds and what to do next."""
        state = "changed" if self.changed else "nothing new, nothing written"
        return (
            f"FeatureTable {self.table}  version {self.version}  {self.rows:,} rows  ({state})\n"
            f"  holds   {self.fingerprint}, key {', '.join(self.key)}\n"
            f"  next    project.snapshot({str(self.table)!r}, prepare='module:function')"
        )


def publish_features(
    engine: Engine, table: TableName, data: object, *, contract: object, key: Sequence[str]
) -> FeatureTable:
    """Insert or replace rows by key under the table's contract, in one commit or not at all.

    Args:
        engine: Where tables live.
        table: A table of the features schema; made if it is not there.
        data: Any dataframe; it is held in memory, but for one of Spark on a target that has Spark.
        contract: A contract, pandera schema or model; by default the one that stands with the table, and
            for a new table one inferred from this batch.
        key: Columns that identify a row.

    Returns:
        The table as it is now.

    Raises:
        ContractError: The batch breaks the contract (DAT060) or its key (DAT049); the old rows stay.
        DataError: The batch has no rows (DAT002), other columns, or what no table holds.
        UsageError: The table stands under another contract (CLI027) or key (CLI028).
        RaceLostError: Somebody else published meanwhile (STO021); nothing was written.
    """
    rows = open_data(data, engine)
    info = engine.describe(table)
    if info is None:
        agreed = _first_contract(table, rows, contract)
        if _created(engine, table, _checked(rows, agreed, key, table), agreed, key):
            return _as_it_is(engine, _existing(engine, table), agreed, changed=True)
        info = _existing(engine, table)
    known = _agreed(info, contract, key)
    checked = _checked(rows, known, key, table)
    changed = not _contains(engine, info, checked)
    if changed:
        version = engine.merge(table, _stream(checked), key=key, expected_version=info.version)
        info = dataclasses.replace(info, version=version)
    return _as_it_is(engine, info, known, changed=changed)


def _checked(
    rows: pa.Table | Frame, contract: Contract, key: Sequence[str], table: TableName
) -> pa.Table | Frame:
    """Rows that keep the contract, in its types, where they are."""
    if is_spark(rows):
        return check_frame(rows, contract, key=key, origin=str(table))
    if not rows.num_rows:
        raise no_rows(str(table))
    return contract.check(rows, key=key)


def _stream(rows: pa.Table | Frame) -> Frame:
    return rows if is_spark(rows) else rows.to_reader()


def _first_contract(table: TableName, rows: pa.Table | Frame, contract: object) -> Contract:
    if contract is not None:
        return Contract.of(contract)
    say(f"no contract was given for {table}: dtypes are taken from this batch, nothing else is checked")
    return infer_frame(rows, origin=str(table)) if is_spark(rows) else Contract.infer(rows)


def _created(
    engine: Engine, table: TableName, rows: pa.Table | Frame, contract: Contract, key: Sequence[str]
) -> bool:
    properties = {"contract": contract.text(), "key": ",".join(key)}
    conditions = contract.sql_constraints()
    return engine.create(table, _stream(rows), properties=properties, constraints=conditions)


def _existing(engine: Engine, table: TableName) -> TableInfo:
    info = engine.describe(table)
    if info is None:
        message = "the table was removed while it was written"
        raise DataError("DAT050", message, path=str(table), fix="publish again")
    return info


def _agreed(info: TableInfo, contract: object, key: Sequence[str]) -> Contract:
    """The contract that stands with a table, unless another one or another key was asked for."""
    recorded = _key_of(info)
    if set(recorded) != set(key):
        message = f"the key of the table is {', '.join(recorded) or 'not recorded'}; found {', '.join(key)}"
        raise UsageError("CLI028", message, path=str(info.name), fix="pass the key of the table")
    known = Contract.from_text(info.properties["contract"])
    given = known if contract is None else Contract.of(contract)
    if given != known:
        names = {**known.columns, **given.columns}
        differing = [name for name in names if known.columns.get(name) != given.columns.get(name)]
        message = (
            f"the table stands under another contract; they differ in {', '.join(differing) or 'unique'}"
        )
        raise UsageError(
            "CLI027", message, path=str(info.name), fix="leave contract out, or make a new table"
        )
    return known


def _key_of(info: TableInfo) -> tuple[str, ...]:
    return tuple(name for name in info.properties.get("key", "").split(",") if name)


def _contains(engine: Engine, info: TableInfo, rows: pa.Table | Frame) -> bool:
    """Whether every row of a batch is in the table already; a new row has two new lanes.

    Of a table of Spark that is too large to look at from here it is not known, and so not said.
    """
    there = engine.scan(info.name, version=info.version)
    if is_spark(rows):
        with translated("look for new rows"):
            new = _with_lanes(rows).join(_with_lanes(there), list(LANES), "left_anti")
            return not new.limit(1).count()
    if is_spark(there) and info.rows * _LANE_BYTES > (engine.fetch_bytes or 0):
        return False
    pairs = zip(lanes(rows), _lanes_of(there), strict=True)
    return all(bool(np.isin(mine, theirs).all()) for mine, theirs in pairs)


def _lanes_of(rows: Frame) -> NDArray[np.int64]:
    """Both lanes of rows that are here or in Spark, shape (2, n)."""
    if not is_spark(rows):
        return lanes(rows)
    found = read_dataframe(_with_lanes(rows))
    return np.stack([found.column(name).to_numpy() for name in LANES])


def _with_lanes(rows: Frame) -> Frame:
    """The lanes of rows in Spark, and nothing else."""
    fields = fields_of(rows)
    return rows.selectExpr(*(f"{lane(index, fields)} AS {name}" for index, name in enumerate(LANES)))


def _as_it_is(engine: Engine, info: TableInfo, contract: Contract, *, changed: bool) -> FeatureTable:
    """What one version of the table holds, whoever else writes meanwhile."""
    rows = engine.scan(info.name, version=info.version)
    if is_spark(rows):
        state = state_of(rows)
    else:
        digest = Accumulator(rows.schema)
        for batch in rows:
            digest.update(batch)
        state = digest.state
    return FeatureTable(
        table=info.name,
        version=info.version,
        rows=state.rows,
        fingerprint=state.fingerprint(info.schema.names),
        key=_key_of(info),
        contract=contract,
        changed=changed,
    )
