"""Records that are only ever added to: what was decided about a project, by whom and when.

Each kind is a small table of its own in the monitoring schema. A record has an id and stands once,
however often the run that makes it is repeated.
"""

from __future__ import annotations

import dataclasses
import json
import uuid
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from mlkit.engines.base import MONITORING, TableName
from mlkit.errors import RaceLostError, StoreError
from mlkit.production.decisions import plain
from mlkit.production.ledger import actor, now, reading

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping

    from mlkit.engines.base import Engine

SCHEMA = pa.schema(
    [
        pa.field("seq", pa.int64(), nullable=False),
        pa.field("at", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("record_id", pa.string(), nullable=False),
        pa.field("actor", pa.string(), nullable=False),
        pa.field("record", pa.string(), nullable=False),
    ]
)
_TRIES = 20


@dataclasses.dataclass(frozen=True)
class Record:
    """One record.

    Attributes:
        seq: From 1, without gaps.
        at: When, UTC.
        record_id: What it is told apart by.
        actor: Who ran the command.
        record: Plain values; a number that is not finite is None.
    """

    seq: int
    at: dt.datetime
    record_id: str
    actor: str
    record: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {**dataclasses.asdict(self), "at": self.at.isoformat()}


class Records:
    """The records of one kind of one project."""

    def __init__(self, engine: Engine, project: str, kind: str) -> None:
        """Nothing is read or made yet; `kind` is the last part of the table's name."""
        self._engine = engine
        self._table = TableName(MONITORING, f"{project}__{kind}")

    def all(self) -> list[Record]:
        """Every record, oldest first."""
        return self._read()[0]

    def add(self, record: Mapping[str, Any], *, record_id: str | None = None) -> Record:
        """Add a record unless one with its id is there; gives the one that stands.

        Raises:
            StoreError: Other writers kept coming first (STO028).
        """
        wanted = record_id or uuid.uuid4().hex
        self._engine.create(self._table, pa.RecordBatchReader.from_batches(SCHEMA, []), append_only=True)
        for _ in range(_TRIES):
            records, version = self._read()
            for known in records:
                if known.record_id == wanted:
                    return known
            made = Record(len(records) + 1, now(), wanted, actor(), plain(dict(record)))
            try:
                self._engine.append(self._table, _row(made).to_reader(), expected_version=version)
            except RaceLostError:  # another record came first: look again
                continue
            return made
        message, path = "other runs kept writing records", str(self._table)
        raise StoreError("STO028", message, path=path, fix="run it again")

    def _read(self) -> tuple[list[Record], int]:
        info = self._engine.describe(self._table)
        if info is None:
            return [], 0
        stream = self._engine.read(self._table, version=info.version, columns=SCHEMA.names)
        rows = stream.read_all().to_pylist()
        with reading(self._table):
            found = [Record(**{**row, "record": json.loads(row["record"])}) for row in rows]
        return sorted(found, key=lambda record: record.seq), info.version


def _row(record: Record) -> pa.Table:
    values = {**dataclasses.asdict(record), "record": json.dumps(record.record, sort_keys=True, default=str)}
    return pa.Table.from_pylist([values], schema=SCHEMA)
