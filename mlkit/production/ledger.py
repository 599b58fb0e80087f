"""The promotion ledger: which version serves, since when, why, and by whom.

An append-only table in the monitoring schema. Its last entry is the champion; the registry alias is
only a shadow of it. An entry is appended by compare-and-set on the table's version, so of two runners
that judged against the same champion exactly one moves it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import getpass
import json
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa

from mlkit.engines.base import MONITORING, TableName
from mlkit.errors import IntegrityError, RaceLostError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlkit.engines.base import Engine

Kind = Literal["promotion", "rollback", "code"]

SCHEMA = pa.schema(
    [
        pa.field("seq", pa.int64(), nullable=False),
        pa.field("at", pa.timestamp("us", tz="UTC"), nullable=False),
        *(
            pa.field(name, pa.string(), nullable=False)
            for name in (
                *("kind", "actor", "reason", "model_id", "run_id"),
                *("manifest_digest", "run_key", "model_key", "evidence"),
            )
        ),
        pa.field("from_version", pa.int64(), nullable=True),
        pa.field("to_version", pa.int64(), nullable=False),
    ]
)


@dataclasses.dataclass(frozen=True)
class Entry:
    """One row of the ledger.

    Attributes:
        seq: From 1, without gaps.
        at: When, UTC.
        kind: ``promotion``, ``rollback``, or ``code`` (new code, same model).
        actor: Who ran the command.
        reason: Why.
        from_version: Version that served before; None at first.
        to_version: Version that serves from now on.
        model_id: Its model, by MLflow's id: a version number is only a label.
        run_id: The production run that made it.
        manifest_digest: sha256 of the manifest of its files.
        run_key: What it was made of: config, code, data and environment.
        model_key: The part of that which decides the model.
        evidence: Table names, fingerprints and digests.
    """

    seq: int
    at: dt.datetime
    kind: Kind
    actor: str
    reason: str
    from_version: int | None
    to_version: int
    model_id: str
    run_id: str
    manifest_digest: str
    run_key: str
    model_key: str
    evidence: dict[str, Any] = dataclasses.field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {**dataclasses.asdict(self), "at": self.at.isoformat()}

    def __repr__(self) -> str:
        """One line of history."""
        moved = f"v{self.from_version} -> v{self.to_version}" if self.from_version else f"v{self.to_version}"
        when = f"{self.at:%Y-%m-%d %H:%M:%S}"
        return f"{self.seq:>3}  {when}  {self.kind:<9}  {moved:<10}  {self.actor}  {self.reason}"


class Ledger:
    """The promotions of one project."""

    def __init__(self, engine: Engine, project: str) -> None:
        """Nothing is read or made yet."""
        self._engine = engine
        self._table = TableName(MONITORING, f"{project}__ledger")

    def entries(self) -> list[Entry]:
        """All entries, oldest first."""
        return self._read()[0]

    def head(self) -> Entry | None:
        """The entry that names the champion; None before the first promotion."""
        entries = self.entries()
        return entries[-1] if entries else None

    def append(self, entry: Entry, *, expected_seq: int) -> Entry:
        """Append an entry if the head still is the one the caller decided on.

        Args:
            entry: What to append; its `seq` must be ``expected_seq + 1``.
            expected_seq: `seq` of the head that was seen; 0 for an empty ledger.

        Raises:
            RaceLostError: Another entry came first; it stands.
        """
        empty = pa.RecordBatchReader.from_batches(SCHEMA, [])
        self._engine.create(self._table, empty, append_only=True)
        entries, version = self._read()
        seen = entries[-1].seq if entries else 0
        if seen != expected_seq:
            raise _lost(entries[-1] if entries else None)
        try:
            self._engine.append(self._table, _batch(entry).to_reader(), expected_version=version)
        except RaceLostError as exc:
            raise _lost(self.head()) from exc
        return entry

    def _read(self) -> tuple[list[Entry], int]:
        info = self._engine.describe(self._table)
        if info is None:
            return [], 0
        rows = (
            self._engine.read(self._table, version=info.version, columns=SCHEMA.names).read_all().to_pylist()
        )
        with reading(self._table):
            entries = [Entry(**{**row, "evidence": json.loads(row["evidence"])}) for row in rows]
        return sorted(entries, key=lambda entry: entry.seq), info.version


@contextlib.contextmanager
def reading(table: TableName) -> Iterator[None]:
    """Tell a row of an own table that does not read from a mistake of ours.

    Raises:
        IntegrityError: INT060.
    """
    try:
        yield
    except (ValueError, TypeError, KeyError) as exc:
        message = "a record of this table does not read as what was written"
        raise IntegrityError("INT060", message, path=str(table), fix="restore it from a backup") from exc


def actor() -> str:
    """Who runs this, for the record."""
    try:
        return getpass.getuser()
    except (ImportError, KeyError, OSError):  # a container whose user has no name
        return "unknown"


def now() -> dt.datetime:
    """The time of an entry; it orders nothing (the sequence does)."""
    return dt.datetime.now(dt.UTC)


def _batch(entry: Entry) -> pa.Table:
    values = {name: getattr(entry, name) for name in SCHEMA.names}
    values["evidence"] = json.dumps(entry.evidence, sort_keys=True, default=str)
    return pa.Table.from_pylist([values], schema=SCHEMA)


def _lost(winner: Entry | None) -> RaceLostError:
    what = f"v{winner.to_version} was promoted meanwhile by {winner.actor}" if winner else "the ledger moved"
    fix = "deploy again to be judged against it"
    return RaceLostError("STO021", f"{what}; this run left the champion as it is", path="champion", fix=fix)
