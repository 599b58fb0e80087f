"""The attempt: one execution of a task of a job, as the job itself describes it.

A job run executes a task again when it is retried or repaired, and such a repeat has to converge: what
the job run has done once is not done a second time. So the attempt is noted with every move of the
champion. It stands beside the evidence and in the tags of the run; no key or digest knows of it.
"""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, Any, Self

from mlkit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlkit.production.ledger import Entry, Kind

JOB_OPTIONS = ("attempt", "started-at", "git-commit", "git-origin", "bundle")
"""What a job says of itself."""
EVIDENCE = "attempt"
_FORM = re.compile(r"(w[0-9]+-j[0-9]+-r[0-9]+)-p[0-9]+-e[0-9]+")
_LOGIN = re.compile(r"(?<=://)[^/@]*@")


@dataclasses.dataclass(frozen=True)
class Attempt:
    """What a job says of one execution of its task.

    Attributes:
        attempt: ``w<workspace>-j<job>-r<job run>-p<repair>-e<execution>``; empty outside a job.
        started_at: When the job run started, as the job wrote it.
        git_commit: Commit that the job was deployed from.
        git_origin: Address of its repository, without a login.
        bundle: Bundle and target, ``name/target``.
    """

    attempt: str = ""
    started_at: str = ""
    git_commit: str = ""
    git_origin: str = ""
    bundle: str = ""

    def __post_init__(self) -> None:
        """Check the form; an address never keeps a login."""
        if self.attempt and not _FORM.fullmatch(self.attempt):
            fix = "mlkit bundle writes the jobs with what they have to say"
            message = f"expected w1-j2-r3-p0-e1 with numbers of the job, found {self.attempt!r}"
            raise UsageError("CLI035", message, path="attempt", fix=fix)
        object.__setattr__(self, "git_origin", _LOGIN.sub("", self.git_origin))

    @classmethod
    def from_options(cls, options: Mapping[str, str]) -> Self | None:
        """What the options of a task say; None if they say nothing.

        Raises:
            UsageError: The attempt has another form (CLI035).
        """
        found = {name.replace("-", "_"): options[name] for name in JOB_OPTIONS if options.get(name)}
        return cls(**found) if found else None

    @property
    def job_run(self) -> str:
        """What all attempts of one job run share; empty outside a job."""
        found = _FORM.fullmatch(self.attempt)
        return found[1] if found else ""

    @property
    def tags(self) -> dict[str, str]:
        """Tags of the production run."""
        return {f"mlkit_{name}": value for name, value in self.to_dict().items()}

    def to_dict(self) -> dict[str, str]:
        """Plain values: what the job said, and the job run."""
        said = {**dataclasses.asdict(self), "job_run": self.job_run}
        return {name: value for name, value in said.items() if value}

    def made(self, entries: Sequence[Entry], *kinds: Kind) -> Entry | None:
        """The last ledger entry of these kinds that an attempt of the same job run has made, if any."""
        own = [
            entry
            for entry in entries
            if self.job_run and entry.kind in kinds and job_run_of(entry) == self.job_run
        ]
        return own[-1] if own else None


def stamped(entry: Entry, attempt: Attempt | None) -> Entry:
    """An entry with the attempt that makes it, and with none that it inherited from an earlier entry."""
    evidence: dict[str, Any] = {name: value for name, value in entry.evidence.items() if name != EVIDENCE}
    if attempt is not None:
        evidence[EVIDENCE] = attempt.to_dict()
    return dataclasses.replace(entry, evidence=evidence)


def job_run_of(entry: Entry) -> str:
    """The job run that made an entry; empty if none did."""
    return str(entry.evidence.get(EVIDENCE, {}).get("job_run", ""))
