"""Certificates: what came out when a version was made again from what is recorded about it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import TYPE_CHECKING, Any, Literal, TypedDict, cast

from mlkit.production.records import Record, Records

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping

    from mlkit.production.stores import Stores

KIND = "certificates"
_FEW = 6  # packages that a line names

Outcome = Literal["identical", "close", "different"]


class Reproduction(TypedDict):
    """What a certificate records.

    Attributes:
        version: The version that was made again.
        model_id: Its model, by MLflow's id.
        run_id: The production run that had made it.
        run_key: What it was made of: config, code, data and environment.
        manifest_digest: sha256 of the manifest of its files.
        config_digest: sha256 of its config.
        code: The `digest` of its code, and the `commit` that came from.
        train: Rows it was trained on: `table`, `fingerprint` and `rows`.
        test: Rows it was judged on, likewise.
        environment: Packages as `recorded` and as they are `here`; `python`, `machine` and `mlkit` here.
        model_file: The estimator's: `name`, sha256 as `recorded` and as `found`, whether they are `equal`.
        tolerance: Largest difference of a number that counts as close.
        outcome: ``identical`` (bit by bit), ``close`` (within the tolerance) or ``different``.
        differences: Number of `rows` that differ, the `largest` difference of a number, and both by column.
        predictions: The recorded table of predictions, and the fingerprint `found` now.
    """

    version: int
    model_id: str
    run_id: str
    run_key: str
    manifest_digest: str
    config_digest: str
    code: dict[str, str | None]
    train: dict[str, Any]
    test: dict[str, Any]
    environment: dict[str, Any]
    model_file: dict[str, Any]
    tolerance: float
    outcome: Outcome
    differences: dict[str, Any]
    predictions: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Certificate:
    """One reproduction of one version.

    Attributes:
        project: The project.
        certificate_id: 32 hex digits.
        at: When, UTC.
        actor: Who ran it.
        record: Digests of everything that went in and came out, differences, and both environments.
    """

    project: str
    certificate_id: str
    at: dt.datetime
    actor: str
    record: Mapping[str, Any]

    @property
    def facts(self) -> Reproduction:
        """The record by its parts."""
        return cast("Reproduction", self.record)

    @property
    def version(self) -> int:
        """The version that was made again."""
        return int(self.record["version"])

    @property
    def outcome(self) -> Outcome:
        """``identical`` (bit by bit), ``close`` (within the tolerance that was given) or ``different``."""
        found: Outcome = self.record["outcome"]
        return found

    @property
    def environment_changes(self) -> dict[str, tuple[str, str]]:
        """Packages of another version than recorded: the recorded one, and the one here."""
        before, here = self.record["environment"]["recorded"], self.record["environment"]["here"]
        return {name: (before[name], here[name]) for name in before if before[name] != here[name]}

    @property
    def digest(self) -> str:
        """sha256 (64 hex) of the record, to compare a file with what is stored."""
        return hashlib.sha256(json.dumps(self.record, sort_keys=True).encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "certificate_id": self.certificate_id,
            "digest": self.digest,
            "project": self.project,
            "at": self.at.isoformat(),
            "actor": self.actor,
            **self.facts,
        }

    def to_json(self) -> str:
        """The certificate as a file."""
        return f"{json.dumps(self.to_dict(), indent=2)}\n"

    @property
    def sentence(self) -> str:
        """The outcome in one line."""
        return f"{self.outcome} on {self.at:%Y-%m-%d} by {self.actor} ({self.certificate_id[:12]})"

    def __repr__(self) -> str:
        """What was equal, and what about the environment was not."""
        record, rows = self.record, self.record["predictions"]["rows"]
        trained, judged = (f"{record[part]['rows']:,}" for part in ("train", "test"))
        own = "the same" if record["model_file"]["equal"] else "other"
        when = f"{self.at:%Y-%m-%d %H:%M} UTC"
        verdict = {
            "identical": f"all {rows:,} predictions are equal, bit by bit",
            "close": f"{differences(record)}; tolerance {record['tolerance']:g}",
            "different": differences(record),
        }[self.outcome]
        lines = [
            f"{self.project} v{self.version} made again: {self.outcome}",
            f"  result    {verdict}",
            f"  rows      trained on {trained}, judged on {judged}; all of them verified",
            f"  with      {_environment(self.environment_changes)}",
            f"  file      the estimator's file has {own} bytes, which proves nothing by itself",
            f"  record    certificate {self.certificate_id[:12]}  {when}  {self.actor}",
            f"  next      mlkit explain {self.project} {self.version}",
        ]
        return "\n".join(lines)


def differences(record: Mapping[str, Any]) -> str:
    """How predictions differ, in words."""
    found = record["differences"]
    if found["columns"] is None:
        return "the predictions have other columns or rows than recorded"
    most = "in class or by any number" if found["largest"] is None else f"by at most {found['largest']:.3g}"
    return f"{found['rows']:,} of {record['predictions']['rows']:,} predictions differ, {most}"


def keep_certificate(stores: Stores, record: Mapping[str, Any]) -> Certificate:
    """Store what came out, whatever it is."""
    return _certificate(stores.project, Records(stores.engine, stores.project, KIND).add(record))


def read_certificates(stores: Stores, version: int | None = None) -> list[Certificate]:
    """Every certificate of a project, or of one version, oldest first."""
    found = Records(stores.engine, stores.project, KIND).all()
    certificates = [_certificate(stores.project, record) for record in found]
    return [made for made in certificates if version in (None, made.version)]


def _certificate(project: str, record: Record) -> Certificate:
    return Certificate(project, record.record_id, record.at, record.actor, record.record)


def _environment(changes: Mapping[str, tuple[str, str]]) -> str:
    if not changes:
        return "the recorded versions of Python and every package"
    named = [f"{name} {here} (recorded {before})" for name, (before, here) in list(changes.items())[:_FEW]]
    more = [f"and {len(changes) - _FEW} more"] if len(changes) > _FEW else []
    return f"another environment: {', '.join([*named, *more])}"
