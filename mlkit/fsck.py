"""The check of everything: each table, model and record is read again and compared with what is known of it.

A published table is digested and held to its name, a model's files to their manifest, and the ledger to
the decisions, tables and versions that it names. Nothing is repaired: what is damaged is named.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import re
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from mlkit.console import progress
from mlkit.digest.fingerprint import fingerprint
from mlkit.engines.base import FEATURES, MONITORING, TRAINING, TableName
from mlkit.errors import EXIT_DONE, EXIT_INTEGRITY, DataError, IntegrityError, StoreError
from mlkit.page.words import counted
from mlkit.production import decisions, ledger, records
from mlkit.production.cleanup.plan import projects_of
from mlkit.production.decisions import Decision
from mlkit.production.ledger import Entry
from mlkit.production.outputs import TABLES
from mlkit.production.registry import MANIFEST_TAG, MODEL_ID, RUN_KEY
from mlkit.production.removals import Removals
from mlkit.production.stores import Stores
from mlkit.tracking.database import look_at_database
from mlkit.tracking.runs import Tracking
from mlkit.tracking.upkeep import TrackingUpkeep
from mlkit.workspace import table_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from mlkit.engines.base import Engine
    from mlkit.workspace import Workspace

_PUBLISHED = re.compile(r".*__([0-9a-f]{32})")
_Check = tuple[str, "Callable[[], Iterator[Damage]]"]


@dataclasses.dataclass(frozen=True)
class Damage:
    """Something that is not what was recorded.

    Attributes:
        what: Table, file, version or entry.
        code: Code of the error.
        message: What is wrong with it.
    """

    what: str
    code: str
    message: str


@dataclasses.dataclass(frozen=True)
class FsckReport:
    """What was read, and what is damaged.

    Attributes:
        projects: Whose.
        checked: Number of tables, models and records that were read.
        damages: What is damaged.
        seconds: How long it took.
    """

    projects: tuple[str, ...]
    checked: int
    damages: tuple[Damage, ...]
    seconds: float

    @property
    def sound(self) -> bool:
        """Whether nothing is damaged."""
        return not self.damages

    @property
    def exit_code(self) -> int:
        """30 if anything is damaged."""
        return EXIT_INTEGRITY if self.damages else EXIT_DONE

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {**dataclasses.asdict(self), "sound": self.sound}

    def __repr__(self) -> str:
        """The sum, then each damage with its code."""
        names = ", ".join(self.projects) or "no project"
        said = "all sound" if not self.damages else f"{len(self.damages)} damaged"
        read = counted(self.checked, "table, model or record", plural="tables, models and records")
        lines = [f"{names}  {read} read in {self.seconds:.1f} s: {said}"]
        lines += [f"  {damage.code}  {damage.what}: {damage.message}" for damage in self.damages]
        if self.damages:
            lines.append("  next    restore them from a backup; mlkit help CODE says more")
        return "\n".join(lines)


def check_stores(workspace: Workspace, project: str | None = None) -> FsckReport:
    """Read everything of a project, or of a store with its features, and compare it with what is known.

    Rows stream, or never leave Spark.

    Args:
        workspace: Which stores.
        project: Whose; None for all that is there.

    Raises:
        StoreError: A store is away, so that nothing can be said.
    """
    began = time.monotonic()
    names = [project] if project else projects_of(workspace.engine)
    checks = [check for name in names for check in _of_project(Stores(workspace, name))]
    checks += [] if project else _features(workspace.engine)
    checks.append(("the database of the tracking store", partial(_database, workspace)))
    damages: list[Damage] = []
    with progress("fsck", len(checks)) as advance:
        for what, check in checks:
            damages += _noted(workspace, what, check)
            advance(note=what)
    return FsckReport(tuple(names), len(checks), tuple(damages), time.monotonic() - began)


def _noted(workspace: Workspace, what: str, check: Callable[[], Iterator[Damage]]) -> list[Damage]:
    """What a check finds; an error is a damage if the stores answer otherwise."""
    found: list[Damage] = []
    try:
        found.extend(check())
    except (IntegrityError, StoreError, DataError) as exc:
        if isinstance(exc, StoreError):
            workspace.engine.tables(MONITORING)
            TrackingUpkeep(Tracking(workspace)).check(workspace.model_name("fsck"))
        inside = f"{exc.path}: " if exc.path and exc.path not in what else ""
        found.append(Damage(what, exc.code, f"{inside}{exc.message}"))
    return found


def _of_project(stores: Stores) -> Iterator[_Check]:
    project, engine = stores.project, stores.engine
    own = {f"{project}__ledger": _ledger, f"{project}__decisions": _decisions}
    yield f"{project} in MLflow", partial(_shadows, stores)
    for name, check in own.items():
        yield f"{MONITORING}.{name}", partial(check, stores)
    for table in engine.tables(TRAINING, prefix=f"{project}__"):
        yield str(table), partial(_published, engine, table)
    for table in engine.tables(MONITORING, prefix=f"{project}__"):
        if table.name not in own:
            yield str(table), partial(_kept, engine, table)
    yield from _models(stores)


def _features(engine: Engine) -> list[_Check]:
    return [(str(table), partial(_read_through, engine, table)) for table in engine.tables(FEATURES)]


def _published(engine: Engine, table: TableName) -> Iterator[Damage]:
    """Digest the rows again and hold them to the name of the table."""
    named = _PUBLISHED.fullmatch(table.name)
    if named is None:
        yield from _read_through(engine, table)
        return
    found = fingerprint(engine.scan(table))
    if found != f"d1:{named[1]}":
        yield Damage(str(table), "INT064", f"it holds rows with the fingerprint {found}")


def _read_through(engine: Engine, table: TableName) -> Iterator[Damage]:
    """Read every row of a table that grows: whether they read is all that can be known of them."""
    info = engine.describe(table)
    is_log = info is not None and info.properties.get("kind") == "log"
    fingerprint(engine.scan_log(table) if is_log else engine.scan(table))
    yield from ()


def _kept(engine: Engine, table: TableName) -> Iterator[Damage]:
    """Records: numbered without gaps, each one readable; any other table is read through."""
    info = engine.describe(table)
    if info is None or info.schema.names != records.SCHEMA.names:
        yield from _read_through(engine, table)
        return
    rows = _rows(engine, table)
    yield from _numbered(str(table), [row["seq"] for row in rows])
    for row in rows:
        found: list[str] = []
        with _parsing(found):
            json.loads(row["record"])
        yield from (Damage(f"{table} {row['seq']}", "INT060", text) for text in found)


def _decisions(stores: Stores) -> Iterator[Damage]:
    """Each decision still has the id that its content gives."""
    table = TableName(MONITORING, f"{stores.project}__decisions")
    for row in _rows(stores.engine, table):
        found: list[str] = []
        with _parsing(found):
            known = Decision(
                row["run_key"], row["champion_model_id"], row["outcome"], json.loads(row["record"]), row["at"]
            )
            if known.decision_id != row["decision_id"]:
                found.append("it does not say what it said when it was recorded")
        yield from (Damage(f"{table} {row['decision_id']}", "INT063", text) for text in found)


def _ledger(stores: Stores) -> Iterator[Damage]:
    """The chain of entries, and what each of them stands on."""
    table = TableName(MONITORING, f"{stores.project}__ledger")
    entries: list[Entry] = []
    for row in _rows(stores.engine, table):
        found: list[str] = []
        with _parsing(found):
            entries.append(Entry(**{**row, "evidence": json.loads(row["evidence"])}))
        yield from (Damage(f"{table} {row['seq']}", "INT060", text) for text in found)
    entries.sort(key=lambda entry: entry.seq)
    yield from _numbered(str(table), [entry.seq for entry in entries])
    known = _Known(stores, entries)
    before: Entry | None = None
    for entry in entries:
        if entry.from_version != (before.to_version if before else None):
            yield Damage(f"{table} {entry.seq}", "INT061", "it does not follow on the entry before it")
        before = entry
        yield from _entry(known, f"{table} {entry.seq}", entry)


class _Known:
    """What the entries of a ledger are held to, each read once for all of them."""

    def __init__(self, stores: Stores, entries: Sequence[Entry]) -> None:
        self.stores, self.entries = stores, entries

    @functools.cached_property
    def decisions(self) -> list[Decision]:
        return self.stores.decisions.all()

    @functools.cached_property
    def removed(self) -> set[str]:
        return Removals(self.stores.engine, self.stores.project).names


def _entry(known: _Known, what: str, entry: Entry) -> Iterator[Damage]:
    """The decision, the tables and the version of an entry, unless cleanup has removed them."""
    stores = known.stores
    judged: dict[str, Any] = {}
    try:
        judged = stores.decisions.behind(entry, known.entries, known=known.decisions).record
    except IntegrityError as exc:
        yield Damage(what, exc.code, exc.message)
    for part in TABLES:
        stored = entry.evidence.get(part, {})
        if judged and judged[part] != stored:
            yield Damage(what, "INT062", f"its {part} table is not the one that was judged")
        name = stored.get("table", "")
        info = stores.engine.describe(table_name(name)) if name else None
        if info is None and name not in known.removed:
            yield Damage(name or what, "INT065", f"the {part} table of v{entry.to_version} is gone")
        elif info is not None and info.rows != stored["rows"]:
            yield Damage(name, "INT065", f"it has {info.rows:,} rows, {stored['rows']:,} were recorded")
    yield from _version(known, what, entry)


def _version(known: _Known, what: str, entry: Entry) -> Iterator[Damage]:
    version = known.stores.registry.version(entry.to_version)
    if version is None:
        if str(entry.to_version) not in known.removed:
            yield Damage(what, "INT062", f"the registry has no v{entry.to_version}")
        return
    said = {MODEL_ID: entry.model_id, MANIFEST_TAG: entry.manifest_digest}
    if entry.kind == "promotion":  # later entries may carry the key of other rules
        said[RUN_KEY] = entry.run_key
    differing = [name for name, value in said.items() if version.tags.get(name) != value]
    if differing:
        message = f"v{version.version} of the registry says otherwise in {', '.join(differing)}"
        yield Damage(what, "INT062", message)


def _shadows(stores: Stores) -> Iterator[Damage]:
    """What MLflow still shows of entries and decisions that are no longer there."""
    champion = stores.registry.champion()
    if champion and champion.version not in {entry.to_version for entry in stores.ledger.entries()}:
        message = f"the alias points at v{champion.version}, which it does not know: entries were lost"
        yield Damage(f"{MONITORING}.{stores.project}__ledger", "INT061", message)
    experiment = TrackingUpkeep(stores.tracking).find_experiment(stores.project)
    judged = {decision.run_key for decision in stores.decisions.all()}
    for run in stores.tracking.runs(experiment, tags={"mlkit_kind": "deploy"}) if experiment else ():
        if "mlkit_outcome" in run.tags and run.tags.get(RUN_KEY) not in judged:
            message = f"the decision about the run {run.run_id} is gone"
            yield Damage(f"{MONITORING}.{stores.project}__decisions", "INT067", message)


def _models(stores: Stores) -> Iterator[_Check]:
    """The files of every model that was finished, and those of versions."""
    upkeep = TrackingUpkeep(stores.tracking)
    experiment = upkeep.find_experiment(stores.project)
    if experiment is None:
        return
    known = {
        model.model_id: model.tags.get(MANIFEST_TAG, "") for model in upkeep.models(experiment) if model.ready
    }
    versions = {version.model_id: version.manifest_digest for version in stores.registry.versions()}
    for model_id, digest in {**known, **versions}.items():
        yield model_id, partial(_model, stores, model_id, digest)


def _model(stores: Stores, model_id: str, digest: str) -> Iterator[Damage]:
    try:
        for fault in stores.registry.faults(model_id, manifest_digest=digest):
            yield Damage(f"{model_id}/{fault.path}", fault.code, fault.message)
    except IntegrityError as exc:
        if Removals(stores.engine, stores.project).of(model_id) is None:
            yield Damage(f"{model_id}/{exc.path}", exc.code, exc.message)


def _database(workspace: Workspace) -> Iterator[Damage]:
    found = look_at_database(workspace.tracking_uri, thorough=True)
    for fault in found.faults if found else ():
        yield Damage(str(found.path) if found else "", "INT066", fault)


def _numbered(what: str, numbers: Sequence[int]) -> Iterator[Damage]:
    if sorted(numbers) != list(range(1, len(numbers) + 1)):
        yield Damage(what, "INT061", "its entries are not numbered from 1 without gaps")


def _rows(engine: Engine, table: TableName) -> list[dict[str, Any]]:
    """The rows of a small table; none if there is no such table."""
    if table not in engine.tables(table.schema, prefix=table.name):
        return []
    schemas = {"ledger": ledger.SCHEMA, "decisions": decisions.SCHEMA}
    schema = schemas.get(table.name.rpartition("__")[2], records.SCHEMA)
    found: list[dict[str, Any]] = []
    texts: list[str] = []
    with _parsing(texts):
        found = engine.read(table, columns=schema.names).read_all().to_pylist()
    if texts:
        raise IntegrityError("INT060", texts[0], path=str(table), fix="restore it from a backup")
    return found


@contextlib.contextmanager
def _parsing(found: list[str]) -> Iterator[None]:
    """Note that a text does not read."""
    try:
        yield
    except (ValueError, KeyError, TypeError):
        found.append("it does not read as what was written")
