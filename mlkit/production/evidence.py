"""Looking back: what served when, and what a version was made of and judged by."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import TYPE_CHECKING, Any, TypedDict

from mlkit.errors import MlkitError, UsageError
from mlkit.production.attempt import EVIDENCE as ATTEMPT
from mlkit.production.audit import champion_at, term_at
from mlkit.production.candidate import CONFIG_FILE
from mlkit.production.certificate import read_certificates
from mlkit.production.marks import read_marks
from mlkit.production.recipe import code_files
from mlkit.production.registry import MODEL_KEY, RUN_KEY

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterator, Mapping

    from mlkit.production.certificate import Certificate
    from mlkit.production.decisions import Decision
    from mlkit.production.ledger import Entry
    from mlkit.production.marks import Mark
    from mlkit.production.registry import ModelVersion
    from mlkit.production.stores import Stores


@dataclasses.dataclass(frozen=True)
class History:
    """Every promotion of a project; it can be looped over, counted and indexed.

    Attributes:
        project: The project.
        entries: Who moved the champion when, from where, to where and why; oldest first.
        place: The stores that were looked into; told where they hold nothing.
    """

    project: str
    entries: tuple[Entry, ...]
    place: str = ""

    def __iter__(self) -> Iterator[Entry]:
        """The entries."""
        return iter(self.entries)

    def __len__(self) -> int:
        """Their number."""
        return len(self.entries)

    def __getitem__(self, position: int) -> Entry:
        """One entry by position."""
        return self.entries[position]

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"project": self.project, "entries": [entry.to_dict() for entry in self.entries]}

    def __repr__(self) -> str:
        """One line an entry; an empty history says what fills it."""
        if not self.entries:
            looked = f" in the stores of {self.place}" if self.place else ""
            said = f"nothing was promoted yet{looked}"
            return f"History of {self.project}: {said}\n  next    project.deploy(config)"
        lines = "\n".join(f"  {entry!r}" for entry in self.entries)
        serves = f"v{self.entries[-1].to_version} serves"
        amount = "1 entry" if len(self.entries) == 1 else f"{len(self.entries)} entries"
        return f"History of {self.project}: {amount}, {serves}\n{lines}"


@dataclasses.dataclass(frozen=True)
class Files:
    """What a model carries with it, read after every file was compared with the manifest.

    Attributes:
        config: The frozen config as the model was trained by it: the text of the file.
        code: sha256 of each of the user's files that travelled with it, by path.
        damage: Why they cannot be read; empty where they can.
    """

    config: str = ""
    code: Mapping[str, str] = dataclasses.field(default_factory=dict)
    damage: str = ""


class Making(TypedDict):
    """When and by whom a version was made.

    Attributes:
        at: When it was judged; None if there is no record of that.
        by: Who promoted it first; None if nobody has.
        attempt: What the job said that did so; None if no job did.
    """

    at: str | None
    by: str | None
    attempt: dict[str, str] | None


@dataclasses.dataclass(frozen=True)
class Explanation:
    """Everything that is recorded about one version.

    Attributes:
        project: The project.
        version: The version, its tags included.
        serves: Whether it is the champion now.
        decision: What the gate saw and said; None if the record is not there.
        promotions: Ledger entries that moved to it.
        files: Config and code that it carries.
        mark: The mark on it, if it was found bad.
        certificates: What came out when it was made again.
    """

    project: str
    version: ModelVersion
    serves: bool
    decision: Decision | None
    promotions: tuple[Entry, ...]
    files: Files
    mark: Mark | None
    certificates: tuple[Certificate, ...]

    @property
    def environment(self) -> dict[str, str]:
        """Python's minor version, and those of all packages that the model follows from."""
        record = self.decision.record if self.decision else {}
        return dict(record.get("ingredients", {}).get("environment", {}))

    @property
    def made(self) -> Making:
        """When it was judged, and by whom first promoted."""
        first = self.promotions[0] if self.promotions else None
        return {
            "at": self.decision.at.isoformat(timespec="seconds") if self.decision else None,
            "by": first.actor if first else None,
            "attempt": first.evidence.get(ATTEMPT) if first else None,
        }

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "version": self.version.to_dict(),
            "serves": self.serves,
            "made": self.made,
            "decision": self.decision.record if self.decision else None,
            "promotions": [entry.to_dict() for entry in self.promotions],
            "config": self.files.config,
            "code": dict(self.files.code),
            "damage": self.files.damage,
            "mark": self.mark.to_dict() if self.mark else None,
            "certificates": [certificate.to_dict() for certificate in self.certificates],
        }

    def __repr__(self) -> str:
        """Data, code, config, environment, scores, gate, who and when."""
        name, number = self.project, self.version.version
        record = self.decision.record if self.decision else {}
        state = "serves now" if self.serves else "does not serve"
        reasons = record.get("verdict", {}).get("reasons", [])
        lines = [
            f"{self.version.name} v{number}  {state}  {self.version.model_id}",
            *([f"  mark      {self.mark.sentence}"] if self.mark else []),
            *(self._told(record) if record else ["  record    none: no deployment of mlkit has made it"]),
            *([f"  files     {self.files.damage}"] if self.files.damage else []),
            *(f"  gate      {reason}" for reason in reasons),
            *(f"  ledger   {entry!r}" for entry in self.promotions),
            *(f"  again     {certificate.sentence}" for certificate in self.certificates),
            f"  next      mlkit reproduce {name} {number}, mlkit explain {name} {number} --config",
        ]
        return "\n".join(lines)

    def _told(self, record: Mapping[str, Any]) -> list[str]:
        origin, made = record["origin"], self.made
        commit = f"commit {origin.get('commit') or 'none'}{' and changes' if origin.get('dirty') else ''}"
        by = f" by {made['by']}" if made["by"] else ""
        attempt = (made["attempt"] or {}).get("attempt")
        job = f" in {attempt}" if attempt else ""
        return [
            *(f"  {part:<9} {_table(record.get(part))}" for part in ("train", "test", "predictions")),
            f"  source    {record['source']} version {record['source_version']}",
            f"  config    {record['config_digest'][:12]}",
            f"  study     {_study(origin)}",
            f"  code      {record['code'][:12]}  {commit}, {len(self.files.code)} files with the model",
            f"  made      {made['at']}{by}{job}",
            f"  with      {', '.join(f'{name} {version}' for name, version in self.environment.items())}",
            f"  scores    {record['metric']} {_scores(record['scores'])}",
        ]


def _study(origin: Mapping[str, Any]) -> str:
    if "edited_from" in origin:
        return f"none: edited by hand from config {origin['edited_from'][:12]}"
    return f"run {origin.get('study_run_id', 'unknown')}"


def read_history(stores: Stores) -> History:
    """Every promotion of the project."""
    return History(stores.project, tuple(stores.ledger.entries()), stores.workspace.place)


def read_champion(stores: Stores, *, at: dt.datetime | str | None = None) -> ModelVersion | None:
    """The version that serves by the ledger, or that served at a time; None before the first promotion.

    Raises:
        UsageError: The time is none, has no time zone, or is still to come (CLI072).
    """
    if at is not None:
        return champion_at(stores, at)
    head = stores.reconciled_head()
    return None if head is None else stores.registry.version(head.to_version)


def explain_version(
    stores: Stores, number: int | None = None, *, at: dt.datetime | str | None = None
) -> Explanation:
    """What is recorded about a version.

    Args:
        stores: Of which project.
        number: The version, or
        at: a time with its time zone, for the version that served then; without both, the one that serves.

    Raises:
        UsageError: There is no such version (CLI005), nothing serves (CLI006), nothing served at that time
            (CLI078), the time is none (CLI072), or both are given (CLI076).
    """
    if number is not None and at is not None:
        message = "expected a version or a time, and not both"
        raise UsageError("CLI076", message, path="version", fix="mlkit explain NAME 3, or --at TIME")
    version = _version_at(stores, at) if at is not None else stores.registry.existing(asked(stores, number))
    entries = stores.ledger.entries()
    return Explanation(
        project=stores.project,
        version=version,
        serves=bool(entries) and entries[-1].to_version == version.version,
        decision=_decision(stores, version),
        promotions=tuple(entry for entry in entries if entry.to_version == version.version),
        files=_files(stores, version),
        mark=read_marks(stores).of_key(version.tags.get(MODEL_KEY, "")),
        certificates=tuple(read_certificates(stores, version.version)),
    )


def evidence_of(stores: Stores, number: int) -> tuple[ModelVersion, Decision]:
    """A version and the decision it was made by.

    Raises:
        UsageError: There is no such version (CLI005), or no record of how it was made (CLI075).
    """
    version = stores.registry.existing(number)
    decision = _decision(stores, version)
    if decision is None:
        message = f"no deployment of mlkit has made v{number}, so nothing is recorded about it"
        raise UsageError("CLI075", message, path="version", fix="mlkit history shows those that it made")
    return version, decision


def asked(stores: Stores, number: int | None) -> int:
    """A version's number, or without one that of the version that serves.

    Raises:
        UsageError: Nothing serves (CLI006).
    """
    if number is not None:
        return number
    head = stores.ledger.head()
    if head is None:
        raise UsageError("CLI006", "nothing serves yet", path="version", fix="mlkit deploy first")
    return head.to_version


def _version_at(stores: Stores, at: dt.datetime | str) -> ModelVersion:
    term = term_at(stores, at)
    if term is None:
        message, fix = f"nothing served at {at} yet", "mlkit history shows when the first version came"
        raise UsageError("CLI078", message, path="at", fix=fix)
    return term.version


def _decision(stores: Stores, version: ModelVersion) -> Decision | None:
    """The decision that let a version serve; of several about its model, the one that did so."""
    found = [
        decision
        for decision in stores.decisions.find(version.tags.get(RUN_KEY, ""))
        if decision.record["candidate"]["model_id"] == version.model_id
    ]
    found.sort(key=lambda decision: decision.outcome == "promote")
    return found[-1] if found else None


def _files(stores: Stores, version: ModelVersion) -> Files:
    if not version.model_id:
        return Files()
    try:
        stores.registry.verify(version.model_id, manifest_digest=version.manifest_digest)
        folder = stores.registry.folder(version.model_id)
    except MlkitError as exc:  # whatever is wrong with the files, the records can still be read
        return Files(damage=f"{exc.path}: {exc.message} [{exc.code}]")
    config = folder / CONFIG_FILE
    digests = {
        name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in code_files(folder).items()
    }
    return Files(config.read_text(encoding="utf-8") if config.is_file() else "", digests)


def _scores(scores: dict[str, Any]) -> str:
    champion = scores.get("champion")
    against = "no champion" if champion is None else f"champion {champion}"
    judged = f"candidate {scores.get('candidate')}, {against}"
    return f"{judged} on {scores.get('rows', 0):,} rows, {scores.get('excluded', 0):,} excluded"


def _table(stored: dict[str, Any] | None) -> str:
    return f"{stored['rows']:,} rows  {stored['table']}" if stored else "unknown"
