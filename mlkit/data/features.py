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
from mlkit.data.snapshot import contract_of
from mlkit.data.source import read_dataframe
from mlkit.digest.fingerprint import fingerprint, lanes
from mlkit.errors import DataError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from mlkit.engines.base import Engine, TableInfo, TableName


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
    """Insert or replace rows by key under the table's contract.

    Args:
        engine: Where tables live.
        table: A table of the features schema.
        data: Any dataframe.
        contract: A contract, pandera schema or model; by default the one that stands with the table.
        key: Columns that identify a row.

    Raises:
        ContractError: The batch breaks the contract; the old rows stay.
        UsageError: The table stands under another contract or key, or there is none yet.
        RaceLostError: Somebody else published meanwhile; nothing was written.
    """
    rows = read_dataframe(data)
    known = contract_of(engine, table)
    agreed = _agreed(table, rows, known, contract)
    checked = agreed.check(rows, key=key)
    if not checked.num_rows:
        raise DataError("DAT002", "the batch has no rows", path=str(table), fix="is the filter too narrow?")
    properties = {"contract": agreed.text(), "key": ",".join(key)}
    if known is None and engine.create(
        table, checked.to_reader(), properties=properties, constraints=agreed.sql_constraints()
    ):
        return _described(engine, table, agreed, key, changed=True)
    info = _existing(engine, table)
    _check_key(info, key)
    changed = not _contains(engine, info, checked)
    if changed:
        engine.merge(table, checked.to_reader(), key=key, expected_version=info.version)
    return _described(engine, table, agreed, key, changed=changed)


def _agreed(table: TableName, rows: pa.Table, known: Contract | None, contract: object) -> Contract:
    if contract is None:
        if known is None:
            say(f"no contract was given for {table}: dtypes are taken from this batch, nothing else is checked")
        return known or Contract.infer(rows)
    given = Contract.of(contract)
    if known is not None and given != known:
        names = [n for n in {**known.columns, **given.columns} if known.columns.get(n) != given.columns.get(n)]
        message = "the table stands under another contract"
        raise UsageError("CLI027", message, path=f"{table}.{names[0]}", fix="leave contract out, or publish a new table")
    return given


def _existing(engine: Engine, table: TableName) -> TableInfo:
    info = engine.describe(table)
    if info is None:
        raise DataError("DAT050", "the table was removed while it was written", path=str(table), fix="publish again")
    return info


def _check_key(info: TableInfo, key: Sequence[str]) -> None:
    known = info.properties.get("key", "")
    if known != ",".join(key):
        message = f"the table's key is {known or 'not recorded'}, found {', '.join(key)}"
        raise UsageError("CLI028", message, path=str(info.name), fix="pass the key of the table")


def _contains(engine: Engine, info: TableInfo, rows: pa.Table) -> bool:
    """Whether every row of a batch is in the table already."""
    there = lanes(engine.read(info.name, version=info.version).read_all())
    return bool(np.isin(_whole(lanes(rows)), _whole(there)).all())


def _whole(both: Any) -> Any:  # noqa: ANN401 - (2, n) int64 to (n,) pairs
    return np.ascontiguousarray(both.T).view([("a", np.int64), ("b", np.int64)]).reshape(-1)


def _described(
    engine: Engine, table: TableName, contract: Contract, key: Sequence[str], *, changed: bool
) -> FeatureTable:
    info = _existing(engine, table)
    found = fingerprint(engine.read(table, version=info.version))
    return FeatureTable(table, info.version, info.rows, found, tuple(key), contract, changed)
