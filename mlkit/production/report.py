"""What a production run says of itself."""

from __future__ import annotations

import dataclasses
import html
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from mlkit.console import duration, say, working
from mlkit.errors import EXIT_DONE, EXIT_REJECTED, GateRejectedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mlkit.engines.base import Published

Outcome = Literal["promoted", "kept_champion", "rejected", "unchanged"]

STEPS = ("plan", "snapshot", "train", "evaluate", "gate", "register", "promote", "refresh")
_REJECTED = "GAT001"


@dataclasses.dataclass(frozen=True)
class StoredTable:
    """A table that a run published.

    Attributes:
        table: Its name.
        fingerprint: ``d1:`` + 32 hex of its rows.
        rows: Row count.
    """

    table: str
    fingerprint: str
    rows: int

    @classmethod
    def of(cls, published: Published) -> StoredTable:
        """The table that an engine published."""
        return cls(str(published.name), published.fingerprint, published.rows)


class Judgement(TypedDict, total=False):
    """What the gate said; nothing of a rollback.

    Attributes:
        passed: Whether the version may serve.
        reasons: One sentence per rule.
    """

    passed: bool
    reasons: list[str]


@dataclasses.dataclass(frozen=True)
class RunReport:
    """The outcome of a deployment or a rollback.

    Attributes:
        outcome: ``promoted``, ``kept_champion``, ``rejected`` or ``unchanged``.
        model: The project.
        version: Version of this run's model; None if it was not registered.
        model_id: This run's model, by MLflow's id.
        run_key: What it was made of.
        config_digest: sha256 of the config.
        train: Rows it was trained on.
        test: Rows it was judged on.
        predictions: The table of its test predictions.
        scores: `candidate` and `champion`, on the same rows.
        verdict: `passed` and `reasons`.
        seconds: Wall time by step.
        previous: Version that served before this run; None if none did.
        run_id: The production run in the tracking store.
        notes: What is worth knowing beside.
    """

    outcome: Outcome
    model: str
    run_key: str
    config_digest: str
    version: int | None = None
    model_id: str = ""
    train: StoredTable | None = None
    test: StoredTable | None = None
    predictions: StoredTable | None = None
    scores: Mapping[str, float | None] = dataclasses.field(default_factory=dict)
    verdict: Judgement = dataclasses.field(default_factory=Judgement)
    seconds: Mapping[str, float] = dataclasses.field(default_factory=dict)
    previous: int | None = None
    run_id: str = ""
    notes: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """What a command that made this report exits with: 3 if the gate rejected the model, else 0."""
        return EXIT_REJECTED if self.outcome == "rejected" else EXIT_DONE

    def raise_if_rejected(self) -> None:
        """Turn a rejection into an error, as a job needs it.

        Raises:
            GateRejectedError: Nothing serves, and this candidate may not.
        """
        if self.outcome == "rejected":
            reasons = "; ".join(self.verdict.get("reasons", ()))
            fix = "find a better model, or better rows; nothing serves yet"
            raise GateRejectedError(_REJECTED, f"rejected: {reasons}", path=self.model, fix=fix)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as ``--json`` prints them."""
        return dataclasses.asdict(self)

    def __repr__(self) -> str:
        """Outcome and version first, then the reasons, and what to look at or undo."""
        reasons = list(self.verdict.get("reasons", ()))
        took = duration(sum(self.seconds.values()))
        lines = [f"{self._headline}  in {took}"]
        lines += [f"  {reason}" for reason in reasons]
        lines += [f"  note: {note}" for note in self.notes]
        if self.outcome == "promoted" and self.previous not in (None, self.version):
            lines.append(f"  undo    mlkit rollback {self.model} --to {self.previous} --reason ...")
        explain = f", mlkit explain {self.model} {self.version}" if self.version else ""
        lines.append(f"  next    mlkit report {self.model} --open, mlkit history {self.model}{explain}")
        return "\n".join(lines)

    @property
    def _headline(self) -> str:
        code = f" [{_REJECTED}]" if self.outcome == "rejected" else ""
        return f"{self.outcome}{code}  {self.model}{self._moved}"

    @property
    def _moved(self) -> str:
        """Which version the outcome is about, and which one it replaced."""
        own = f" v{self.version}" if self.version else ""
        if self.outcome == "promoted" and self.previous not in (None, self.version):
            return f"{own} (was v{self.previous})"
        if self.outcome == "kept_champion" and self.previous:
            return f" v{self.previous} stays"
        return own if self.outcome != "rejected" else f"{own}; nothing serves yet"

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(repr(self))}</pre>"


class RollbackReport(RunReport):
    """The outcome of a rollback: the same values as of a deployment, told in its own words."""

    @property
    def _headline(self) -> str:
        if self.outcome != "promoted":
            return super()._headline
        was = f" (was v{self.previous})" if self.previous not in (None, self.version) else ""
        return f"rolled back to v{self.version}{was}  {self.model}"


class Clock:
    """Times the steps of a run and tells each as it ends; on a terminal also which one it is at."""

    def __init__(self) -> None:
        """No step has run."""
        self.seconds: dict[str, float] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[list[str]]:
        """Time one step; what is appended to the list is said when it ends."""
        started = time.perf_counter()
        said: list[str] = []
        place = f"{STEPS.index(name) + 1}/{len(STEPS)}" if name in STEPS else "   "
        with working(f" {place} {name}"):
            yield said
        self.seconds[name] = round(time.perf_counter() - started, 3)
        say(f" {place} {name:<9} {'   '.join(said):<72}   {duration(self.seconds[name])}")
