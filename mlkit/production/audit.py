"""What served when: the ledger as a line of time.

The order of entries is their sequence, never their clocks: machines disagree, and a clock may go back. An
entry whose clock says it came before the one it replaced therefore counts from the time of that one.
"""

from __future__ import annotations

import bisect
import dataclasses
import datetime as dt
import itertools
from typing import TYPE_CHECKING, Any

from mlkit.errors import UsageError
from mlkit.production.ledger import now
from mlkit.production.outputs import TABLES
from mlkit.production.registry import MANIFEST_TAG, MODEL_ID, MODEL_KEY, RUN_KEY, ModelVersion

if TYPE_CHECKING:
    from mlkit.production.ledger import Entry
    from mlkit.production.stores import Stores

_EXAMPLE = "2026-06-01T12:00:00+02:00, or ...Z for UTC"


@dataclasses.dataclass(frozen=True)
class Term:
    """The time in which a version served without a break.

    Attributes:
        version: The version.
        asked: The time that was asked about.
        since: When it began to serve.
        until: When another version took its place; None if it serves still.
        entries: What the ledger says of that time: the promotion or rollback, then new code and rules.
    """

    version: ModelVersion
    asked: dt.datetime
    since: dt.datetime
    until: dt.datetime | None
    entries: tuple[Entry, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "version": self.version.to_dict(),
            "asked": self.asked.isoformat(),
            "since": self.since.isoformat(),
            "until": self.until.isoformat() if self.until else None,
            "entries": [entry.to_dict() for entry in self.entries],
        }

    def __repr__(self) -> str:
        """What served, from when until when, and by whose word."""
        name, number = self.version.name, self.version.version
        until = f"until {_text(self.until)}" if self.until else "and serves still"
        lines = [
            f"at {_text(self.asked)} {name} v{number} served  {self.version.model_id}",
            f"  since   {_text(self.since)}, {until}",
            *(f"  ledger {entry!r}" for entry in self.entries),
            f"  next    mlkit explain {name} {number}",
        ]
        return "\n".join(lines)


def champion_at(stores: Stores, time: dt.datetime | str) -> ModelVersion | None:
    """The version that served at a time; None if nothing did yet.

    Args:
        stores: Of which project.
        time: With a time zone; a text in ISO 8601.

    Raises:
        UsageError: No time zone, no time, or one to come (CLI072).
    """
    term = term_at(stores, time)
    return term.version if term else None


def term_at(stores: Stores, time: dt.datetime | str) -> Term | None:
    """As `champion_at`, with the time in which that version served."""
    asked = instant(time)
    entries = stores.ledger.entries()
    began = list(itertools.accumulate((entry.at for entry in entries), max))
    if asked > max([now(), *began[-1:]]):
        message = f"{_text(asked)} is still to come"
        raise UsageError("CLI072", message, path="time", fix="mlkit champion says what serves now")
    last = bisect.bisect_right(began, asked) - 1
    if last < 0:
        return None
    served = entries[last].model_id, entries[last].to_version
    first, end = last, last + 1
    while first and (entries[first - 1].model_id, entries[first - 1].to_version) == served:
        first -= 1
    while end < len(entries) and (entries[end].model_id, entries[end].to_version) == served:
        end += 1
    return Term(
        version=_version(stores, entries[last]),
        asked=asked,
        since=began[first],
        until=began[end] if end < len(entries) else None,
        entries=tuple(entries[first:end]),
    )


def instant(time: dt.datetime | str) -> dt.datetime:
    """A time in UTC, read strictly: without a time zone, nobody could say which one is meant.

    Raises:
        UsageError: It is no time, or has no time zone (CLI072).
    """
    if isinstance(time, str):
        try:
            time = dt.datetime.fromisoformat(time.strip())
        except ValueError as exc:
            message = f"expected a time in ISO 8601, found {time!r}"
            raise UsageError("CLI072", message, path="time", fix=_EXAMPLE) from exc
    if not isinstance(time, dt.datetime) or time.utcoffset() is None:
        message = f"expected a time with its time zone, found {time!s}"
        raise UsageError("CLI072", message, path="time", fix=_EXAMPLE)
    try:
        return time.astimezone(dt.UTC)
    except OverflowError as exc:  # at either end of the calendar
        message = f"expected a time that there is in UTC too, found {time!s}"
        raise UsageError("CLI072", message, path="time", fix=_EXAMPLE) from exc


def _version(stores: Stores, entry: Entry) -> ModelVersion:
    """The version as the registry has it; if it has lost it, as the ledger remembers it."""
    found = stores.registry.version(entry.to_version)
    if found is not None and found.model_id == entry.model_id:
        return found
    tags = {
        RUN_KEY: entry.run_key,
        MODEL_KEY: entry.model_key,
        MODEL_ID: entry.model_id,
        MANIFEST_TAG: entry.manifest_digest,
        **{f"mlkit_{part}_table": entry.evidence[part]["table"] for part in TABLES},
    }
    return ModelVersion(stores.registry.full_name, entry.to_version, entry.model_id, entry.run_id, tags)


def _text(time: dt.datetime) -> str:
    return f"{time.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S} UTC"
