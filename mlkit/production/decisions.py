"""Decision records: what every gate saw and said, kept for ever, whatever the outcome.

An append-only table in the monitoring schema with one row per judgement; a judgement is identified by
the candidate's run key and the champion it was compared with, so a repeated run adds nothing.
"""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from mlkit.engines.base import MONITORING, TableName
from mlkit.errors import RaceLostError, StoreError

if TYPE_CHECKING:
    from mlkit.engines.base import Engine

SCHEMA = pa.schema(
    [
        pa.field("decision_id", pa.string(), nullable=False),
        pa.field("at", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("run_key", pa.string(), nullable=False),
        pa.field("champion_model_id", pa.string(), nullable=False),
        pa.field("outcome", pa.string(), nullable=False),
        pa.field("record", pa.string(), nullable=False),
    ]
)
_TRIES = 20


@dataclasses.dataclass(frozen=True)
class Decision:
    """One judgement of the gate.

    Attributes:
        run_key: The candidate.
        champion_model_id: What it was compared with; empty at first.
        outcome: ``promote``, ``keep`` or ``reject``.
        record: Inputs, numbers, rule, verdict and reasons.
        at: When, UTC.
    """

    run_key: str
    champion_model_id: str
    outcome: str
    record: dict[str, Any]
    at: datetime.datetime

    @property
    def decision_id(self) -> str:
        """32 hex digits: the same candidate against the same champion is the same decision."""
        return hashlib.sha256(f"{self.run_key} {self.champion_model_id}".encode()).hexdigest()[:32]


class Decisions:
    """The decision records of one project."""

    def __init__(self, engine: Engine, project: str) -> None:
        """Nothing is read or made yet."""
        self._engine = engine
        self._table = TableName(MONITORING, f"{project}__decisions")

    def find(self, run_key: str) -> list[Decision]:
        """Every decision about a candidate, oldest first."""
        return [decision for decision in self._read()[0] if decision.run_key == run_key]

    def record(self, decision: Decision) -> Decision:
        """Append a decision unless it is there; gives the one that stands.

        Raises:
            StoreError: Other writers kept coming first.
        """
        empty = pa.RecordBatchReader.from_batches(SCHEMA, [])
        self._engine.create(self._table, empty, append_only=True)
        for _ in range(_TRIES):
            decisions, version = self._read()
            for known in decisions:
                if known.decision_id == decision.decision_id:
                    return known
            try:
                self._engine.append(self._table, _batch(decision).to_reader(), expected_version=version)
            except RaceLostError:  # another candidate was recorded meanwhile: look again
                continue
            return decision
        raise StoreError("STO028", "other runs kept writing decisions", path=str(self._table), fix="deploy again")

    def _read(self) -> tuple[list[Decision], int]:
        info = self._engine.describe(self._table)
        if info is None:
            return [], 0
        rows = self._engine.read(self._table, version=info.version).read_all().to_pylist()
        found = [
            Decision(row["run_key"], row["champion_model_id"], row["outcome"], json.loads(row["record"]), row["at"])
            for row in rows
        ]
        return sorted(found, key=lambda decision: decision.at), info.version


def _batch(decision: Decision) -> pa.Table:
    row = {
        "decision_id": decision.decision_id,
        "at": decision.at,
        "run_key": decision.run_key,
        "champion_model_id": decision.champion_model_id,
        "outcome": decision.outcome,
        "record": json.dumps(decision.record, sort_keys=True, default=str),
    }
    return pa.Table.from_pylist([row], schema=SCHEMA)
