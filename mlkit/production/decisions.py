"""Decision records: what every gate saw and said, kept for ever, whatever the outcome.

An append-only table in the monitoring schema with one row per judgement. A judgement is identified by
the candidate, the champion and what was found about them, so a run that is repeated adds nothing, and
one that finds something else (a champion that can be read again) is not bound by what was said before.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from mlkit.engines.base import MONITORING, TableName
from mlkit.errors import IntegrityError, RaceLostError, StoreError
from mlkit.production.ledger import reading

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence

    from mlkit.engines.base import Engine
    from mlkit.production.ledger import Entry

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
EVIDENCE = (
    *("train", "test", "predictions", "key", "config_digest", "code"),
    *("ingredients", "rules", "source", "source_version", "origin"),
)
"""Parts of a record that say what the model was made of; the ledger carries them on."""
_TRIES = 20


@dataclasses.dataclass(frozen=True)
class Decision:
    """One judgement of the gate.

    Attributes:
        run_key: The candidate.
        champion_model_id: What it was compared with; empty at first.
        outcome: ``promote``, ``keep`` or ``reject``.
        record: Inputs, numbers, rule, verdict and reasons; a score that is not finite is None.
        at: When, UTC.
    """

    run_key: str
    champion_model_id: str
    outcome: str
    record: dict[str, Any]
    at: dt.datetime

    @property
    def decision_id(self) -> str:
        """32 hex digits: the same candidate against the same champion, with the same finding."""
        found = [self.record["candidate"], self.record["scores"], self.outcome]
        text = _text([self.run_key, self.champion_model_id, *found])
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    @property
    def evidence(self) -> dict[str, Any]:
        """What the candidate was made of."""
        return {name: self.record[name] for name in EVIDENCE}

    @property
    def lasts(self) -> bool:
        """False of a refusal for a reason that may go away: no score of the champion, or a mark."""
        return not self.record["scores"]["champion_error"] and "marked" not in self.record


class Decisions:
    """The decision records of one project."""

    def __init__(self, engine: Engine, project: str) -> None:
        """Nothing is read or made yet."""
        self._engine = engine
        self._table = TableName(MONITORING, f"{project}__decisions")

    def all(self) -> list[Decision]:
        """Every decision, oldest first."""
        return self._read()[0]

    def find(self, run_key: str) -> list[Decision]:
        """Every decision about a candidate, oldest first."""
        return [decision for decision in self._read()[0] if decision.run_key == run_key]

    def settled(self, run_key: str, entries: Sequence[Entry]) -> Decision | None:
        """The decision about a candidate after which there is nothing to do, if there is one.

        It was promoted at some time, or kept out by the very champion that serves, or by none.
        """
        if own := [entry for entry in entries if entry.run_key == run_key]:
            return self.behind(own[-1], entries)
        champion = entries[-1].model_id if entries else ""
        refused = [
            decision
            for decision in self.find(run_key)
            if decision.outcome != "promote" and decision.champion_model_id == champion and decision.lasts
        ]
        return refused[-1] if refused else None

    def behind(
        self, entry: Entry, entries: Sequence[Entry], *, known: Sequence[Decision] | None = None
    ) -> Decision:
        """The decision that let the model of an entry serve.

        Args:
            entry: Any entry of the ledger.
            entries: All of them; the first of this model tells which run was judged.
            known: All decisions, where they were read already.

        Raises:
            IntegrityError: It is gone.
        """
        first = next(each for each in entries if each.model_id == entry.model_id)
        found = self.all() if known is None else known
        for decision in (each for each in found if each.run_key == first.run_key):
            if (decision.outcome, decision.record["candidate"]["model_id"]) == ("promote", entry.model_id):
                return decision
        message = f"the decision that promoted v{entry.to_version} is gone"
        fix = "restore this table from a backup"
        raise IntegrityError("INT032", message, path=str(self._table), fix=fix)

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
        message, path = "other runs kept writing decisions", str(self._table)
        raise StoreError("STO028", message, path=path, fix="deploy again")

    def _read(self) -> tuple[list[Decision], int]:
        info = self._engine.describe(self._table)
        if info is None:
            return [], 0
        stream = self._engine.read(self._table, version=info.version, columns=SCHEMA.names)
        with reading(self._table):
            found = [_decision(row) for row in stream.read_all().to_pylist()]
        return sorted(found, key=lambda decision: decision.at), info.version


def plain(value: Any) -> Any:  # noqa: ANN401 - any values
    """Values as JSON holds them: nan and the infinities, which it does not, are missing."""
    if isinstance(value, dict):
        return {name: plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _decision(row: dict[str, Any]) -> Decision:
    record = json.loads(row["record"])
    return Decision(row["run_key"], row["champion_model_id"], row["outcome"], record, row["at"])


def _text(value: Any) -> str:  # noqa: ANN401 - any values
    return json.dumps(plain(value), sort_keys=True, default=str)


def _batch(decision: Decision) -> pa.Table:
    row = {
        "decision_id": decision.decision_id,
        "at": decision.at,
        "run_key": decision.run_key,
        "champion_model_id": decision.champion_model_id,
        "outcome": decision.outcome,
        "record": _text(decision.record),
    }
    return pa.Table.from_pylist([row], schema=SCHEMA)
