"""Pins: versions and tables that people want to keep, whatever their age."""

from __future__ import annotations

import dataclasses
import datetime as dt
import re
from typing import TYPE_CHECKING, Any

from mlkit.errors import UsageError
from mlkit.production.outputs import TABLES
from mlkit.production.records import Records
from mlkit.production.removals import Removals
from mlkit.workspace import table_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlkit.engines.base import Engine
    from mlkit.production.records import Record
    from mlkit.production.stores import Stores

KIND = "pins"
"""Last part of the name of their table."""
HOLD = dt.timedelta(days=1)
"""How long something is held for a command that is about to build on it."""
_VERSION = re.compile(r"v?([1-9][0-9]*)")


@dataclasses.dataclass(frozen=True)
class Pin:
    """Something to keep.

    Attributes:
        what: A version, ``v3``, or a table, ``training.<name>``.
        reason: Why.
        actor: Who said so.
        at: When.
        until: When it ends by itself; None of one that people made.
    """

    what: str
    reason: str
    actor: str
    at: dt.datetime
    until: dt.datetime | None = None

    @property
    def version(self) -> int | None:
        """Number of the version; None of a table."""
        found = _VERSION.fullmatch(self.what)
        return int(found[1]) if found else None


@dataclasses.dataclass(frozen=True)
class PinList:
    """What a cleanup leaves alone because somebody said so.

    Attributes:
        project: The project.
        pins: Each with what it keeps, since when, by whom and why.
    """

    project: str
    pins: tuple[Pin, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"project": self.project, "pins": [dataclasses.asdict(pin) for pin in self.pins]}

    def __repr__(self) -> str:
        """One line a pin."""
        if not self.pins:
            return f"{self.project}: nothing is pinned\n  next    mlkit pin {self.project} v3 --reason '...'"
        lines = (f"  {pin.what}  {pin.at:%Y-%m-%d}  {pin.actor}  {pin.reason}" for pin in self.pins)
        return "\n".join([f"{self.project}: cleanup leaves these alone", *lines])


class Pins:
    """The pins of one project."""

    def __init__(self, engine: Engine, project: str) -> None:
        """Nothing is read or made yet."""
        self._engine = engine
        self._records = Records(engine, project, KIND)

    def all(self) -> list[Pin]:
        """What is pinned or held now, in the order of the last word about each."""
        last = {each.record["what"]: each for each in self._records.all()}
        pins = [_pin(each) for each in last.values() if each.record["pinned"]]
        now = self._engine.upkeep.now() if any(pin.until for pin in pins) else None
        return [pin for pin in pins if pin.until is None or (now and pin.until > now)]

    def pin(self, what: str, *, reason: str) -> Pin:
        """Keep something from now on."""
        return _pin(self._records.add({"what": what, "pinned": True, "reason": reason}))

    def unpin(self, what: str, *, reason: str = "") -> None:
        """Keep it no longer."""
        self._records.add({"what": what, "pinned": False, "reason": reason})

    def hold(self, what: str, *, reason: str) -> None:
        """Keep something for a day, unless people have pinned it."""
        if what in {pin.what for pin in self.all() if pin.until is None}:
            return
        until = (self._engine.upkeep.now() + HOLD).isoformat()
        self._records.add({"what": what, "pinned": True, "reason": reason, "until": until})


def read_pins(stores: Stores) -> PinList:
    """What people have pinned."""
    pins = Pins(stores.engine, stores.project).all()
    return PinList(stores.project, tuple(pin for pin in pins if pin.until is None))


def pin(stores: Stores, what: str | int, *, reason: str) -> PinList:
    """Keep a version, with its tables and files, or a table, until it is unpinned.

    Args:
        stores: Of which project.
        what: Number of a version (``3`` or ``v3``), or a table of the project (``training.<name>``).
        reason: Why; it is kept.

    Raises:
        UsageError: No reason (CLI081), or there is no such version or table (CLI082).
        StoreError: A cleanup is about to remove it (STO081).
    """
    if not reason.strip():
        raise UsageError("CLI081", "a pin needs a reason", path="reason", fix="--reason '...'")
    name, tables, models = _meant(stores, what)
    Pins(stores.engine, stores.project).pin(name, reason=reason)
    Removals(stores.engine, stores.project).check_there(tables, models)
    return read_pins(stores)


def unpin(stores: Stores, what: str | int) -> PinList:
    """Keep something no longer.

    Raises:
        UsageError: It is not pinned (CLI085).
    """
    pinned = [pin.what for pin in read_pins(stores).pins]
    name = _name(what)
    if name not in pinned:
        fix = f"pinned: {', '.join(pinned) or 'nothing'}"
        raise UsageError("CLI085", "it is not pinned", path=name, fix=fix)
    Pins(stores.engine, stores.project).unpin(name)
    return read_pins(stores)


def tables_of_version(stores: Stores, number: int) -> tuple[list[str], str]:
    """Names of the tables of a version, and the id of its model.

    Raises:
        UsageError: There is no such version (CLI082).
    """
    served = [entry for entry in stores.ledger.entries() if entry.to_version == number]
    if served:
        return [served[-1].evidence[part]["table"] for part in TABLES], served[-1].model_id
    version = stores.registry.version(number)
    if version is None:
        raise UsageError("CLI082", "there is no such version", path=f"v{number}", fix="mlkit history")
    tables = [version.tags.get(f"mlkit_{part}_table", "") for part in TABLES]
    return [table for table in tables if table], version.model_id


def _meant(stores: Stores, what: str | int) -> tuple[str, Sequence[str], Sequence[str]]:
    """The name of what is to be kept, its tables, and its model."""
    name = _name(what)
    if found := _VERSION.fullmatch(name):
        tables, model = tables_of_version(stores, int(found[1]))
        return name, tables, [model]
    table = table_name(name)
    if not table.name.startswith(f"{stores.project}__") or stores.engine.describe(table) is None:
        message = f"{stores.project} has no such table"
        raise UsageError("CLI082", message, path=name, fix="name a version, or training.<table>")
    return str(table), [str(table)], []


def _name(what: str | int) -> str:
    found = _VERSION.fullmatch(str(what))
    return f"v{found[1]}" if found else str(what)


def _pin(record: Record) -> Pin:
    said = record.record
    until = dt.datetime.fromisoformat(said["until"]) if said.get("until") else None
    return Pin(said["what"], said["reason"], record.actor, record.at, until)
