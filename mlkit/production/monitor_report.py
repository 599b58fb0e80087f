"""What a check of a window says of itself."""

from __future__ import annotations

import dataclasses
import hashlib
import html
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from mlkit import document
from mlkit.errors import EXIT_BUG, EXIT_DONE, EXIT_SERVING
from mlkit.production.alerts import Sent
from mlkit.production.decisions import plain
from mlkit.production.monitor_page import draw

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlkit.production.windows import Span

Verdict = Literal["OK", "WARN", "DRIFT", "INSUFFICIENT_DATA", "NO_DATA", "ERROR"]

SEVERITY: tuple[Verdict, ...] = ("OK", "INSUFFICIENT_DATA", "WARN", "NO_DATA", "DRIFT", "ERROR")
"""From the mildest to the worst: a window is as bad as its worst column."""
EXIT_DRIFT = 7
EXIT_UNKNOWN = 8
_SHOWN = 12
_CODES = {"DRIFT": EXIT_DRIFT, "INSUFFICIENT_DATA": EXIT_UNKNOWN, "NO_DATA": EXIT_UNKNOWN}


@dataclasses.dataclass(frozen=True)
class ColumnCheck:
    """What was found of one column of the log.

    Attributes:
        column: ``prediction``, ``probability_<class>`` or ``input_<feature>``.
        kind: ``number`` or ``category``.
        verdict: The verdict of this column.
        reason: One sentence: why.
        p_value: How often chance alone moves any column of its family this far; None if it was not asked.
        bins: What each bin holds, in words.
        reference: Reference rows by bin.
        observed: Rows of the window by bin.
        found: What `mlkit.data.drift.Comparison` says, as plain values; empty if nothing was compared.
    """

    column: str
    kind: str
    verdict: Verdict
    reason: str
    p_value: float | None = None
    bins: tuple[str, ...] = ()
    reference: tuple[int, ...] = ()
    observed: tuple[int, ...] = ()
    found: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def effect(self) -> float:
        """How far it moved, as a share of rows; 0 if nothing was compared."""
        return float(self.found.get("effect") or 0.0)

    @property
    def moved(self) -> list[dict[str, Any]]:
        """Bins whose share changed most: `label`, `reference` and `window`."""
        return list(self.found.get("moved", ()))

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        said = dataclasses.asdict(self)
        return dict(plain({**said, **{name: list(said[name]) for name in ("bins", "reference", "observed")}}))

    def __repr__(self) -> str:
        """Verdict, name and reason."""
        return f"{self.verdict:<9} {self.column:<24} {self.reason}"


@dataclasses.dataclass(frozen=True)
class Coverage:
    """How much of what was served stands in the log, as the service counted it.

    Attributes:
        served: Rows that were answered.
        logged: Rows that reached the log.
        dropped: Rows that never will.
    """

    served: int
    logged: int
    dropped: int

    @property
    def share(self) -> float:
        """Logged of served, 1 if nothing was served."""
        return min(1.0, self.logged / self.served) if self.served else 1.0

    def to_dict(self) -> dict[str, Any]:
        """Plain values, the share among them."""
        return {**dataclasses.asdict(self), "share": self.share}


@dataclasses.dataclass(frozen=True)
class Ignored:
    """Rows of the window that were not counted, and rows that are odd.

    Attributes:
        traffic: Not of production: health checks, shadows, tests.
        others: Of other models: rows by model id.
        repeated: The same request and row again, with the same values.
        late: Rows, repeats among them, that reached the log after the window had ended.
        future: Rows of the log, of any window, whose event time has not come yet.
    """

    traffic: int = 0
    others: dict[str, int] = dataclasses.field(default_factory=dict)
    repeated: int = 0
    late: int = 0
    future: int = 0

    def sentences(self) -> Iterator[str]:
        """One for each kind that there is."""
        for number, text in (
            (self.traffic, "not of production"),
            (self.repeated, "repeated requests"),
            (self.late, "logged after the window had ended"),
            (self.future, "with an event time to come (not in this window)"),
        ):
            if number:
                yield f"{number:,} rows {text}"
        for model_id, number in self.others.items():
            yield f"{number:,} rows of another model, {model_id} (not mixed in)"


class SelfCheck(TypedDict):
    """How many windows without drift would have alarmed.

    Attributes:
        windows: Number of windows that were drawn from the reference.
        alarms: Those of them that would have alarmed.
        rows: Rows of each.
        alpha: Share of alarms that is allowed.
    """

    windows: int
    alarms: int
    rows: int
    alpha: float


@dataclasses.dataclass(frozen=True)
class MonitorReport:
    """What was found of one window.

    Attributes:
        project: The project.
        span: Event times that were looked at.
        verdict: As bad as the worst column.
        reasons: One sentence for each thing that decided.
        alarms: What somebody should be told of; empty if nothing.
        model_id: The model whose answers were looked at.
        version: Its number.
        rows: Rows that were counted.
        columns: Each column, the worst first.
        ignored: Rows that were not counted.
        coverage: What the service says of the log; None if no service ever said anything.
        power: The smallest shift of the predictions that this window could have shown.
        assumption: Under what the stated rate of false alarms holds.
        self_check: Windows without drift, and how many would have alarmed; None if it was not asked.
        should_retrain: Whether the policy of the config asks for a retrain by now.
        check_id: What this finding is told apart by.
        recorded: False if the same finding stood in the table already.
        sent: What became of the alarm.
        error: What ended the check, as plain values; None if nothing did.
        table: Where it is recorded.
        seconds: How long it took.
        history: Windows of the same model up to this one, oldest first, for the page.
    """

    project: str
    span: Span
    verdict: Verdict
    reasons: tuple[str, ...]
    alarms: tuple[str, ...] = ()
    model_id: str = ""
    version: int | None = None
    rows: int = 0
    columns: tuple[ColumnCheck, ...] = ()
    ignored: Ignored = dataclasses.field(default_factory=Ignored)
    coverage: Coverage | None = None
    power: str = ""
    assumption: str = ""
    self_check: SelfCheck | None = None
    should_retrain: bool = False
    check_id: str = ""
    recorded: bool = False
    sent: Sent = dataclasses.field(default_factory=Sent)
    error: dict[str, Any] | None = None
    table: str = ""
    seconds: float = 0.0
    history: tuple[dict[str, Any], ...] = dataclasses.field(default=(), repr=False, compare=False)

    def column(self, name: str) -> ColumnCheck:
        """What was found of a column.

        Raises:
            KeyError: It was not looked at.
        """
        return {check.column: check for check in self.columns}[name]

    @property
    def exit_code(self) -> int:
        """What `mlkit monitor` exits with: 0 unless the check, or telling of it, failed; also on drift."""
        if self.error is not None:
            return int(self.error.get("exit_code", EXIT_BUG))
        return EXIT_SERVING if self.sent.error else EXIT_DONE

    @property
    def verdict_code(self) -> int:
        """What `mlkit monitor --exit-code` exits with: 7 for drift, 8 if it could not tell."""
        return self.exit_code or _CODES.get(self.verdict, EXIT_DONE)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as ``--json`` prints them and an alert gets them."""
        said = {
            **{field.name: getattr(self, field.name) for field in dataclasses.fields(self)},
            **self.span.to_dict(),
            "columns": [check.to_dict() for check in self.columns],
            "ignored": dataclasses.asdict(self.ignored),
            "coverage": self.coverage.to_dict() if self.coverage else None,
            "sent": self.sent.to_dict(),
        }
        del said["span"], said["history"]
        return dict(plain(said))

    def to_html(self) -> str:
        """A page that needs nothing but itself."""
        return draw(self.to_dict(), self.history)

    def write_html(self, path: Path | str) -> None:
        """Write the page, whole or not at all."""
        document.save(Path(path), self.to_html())

    def __repr__(self) -> str:
        """Verdict first, then why, what moved, and what was left out."""
        model = f"v{self.version} {self.model_id}" if self.version else "no model"
        lines = [f"{self.verdict}  {self.project}  {self.span}  {model}  {self.rows:,} rows"]
        of_columns = {f"{check.column}: {check.reason}" for check in self.columns[:_SHOWN]}
        lines += [f"  {reason}" for reason in self.reasons if reason not in of_columns]
        lines += [f"  {check!r}" for check in self.columns[:_SHOWN]]
        if len(self.columns) > _SHOWN:
            lines.append(f"  and {len(self.columns) - _SHOWN} more columns: --json, or the page")
        lines += [
            f"    {check.column}: {cell['label']}  {cell['reference']:.1%} -> {cell['window']:.1%}"
            for check in self.columns
            if check.verdict in ("DRIFT", "WARN")
            for cell in check.moved[:3]
        ]
        lines += [f"  aside   {text}" for text in self.ignored.sentences()]
        lines += self._told()
        return "\n".join(lines)

    def _told(self) -> Iterator[str]:
        if self.coverage:
            yield f"  log     {self.coverage.share:.1%} of {self.coverage.served:,} served rows"
        if self.power:
            yield f"  power   {self.power}"
        if self.assumption:
            yield f"  note: {self.assumption}"
        if self.sent.error:
            yield f"  the alarm was not delivered: {self.sent.error.message}"
        elif self.sent.told:
            yield f"  told    {', '.join(self.sent.told)}"
        state = "recorded in" if self.recorded else "stood already in"
        if self.table:
            yield f"  {state} {self.table}"
        if self.verdict == "DRIFT":
            yield f"  next    mlkit retrain {self.project} --dry-run"

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(repr(self))}</pre>"


@dataclasses.dataclass(frozen=True)
class MonitorRun:
    """Several windows, checked one after another.

    Attributes:
        windows: Their reports, oldest first.
    """

    windows: tuple[MonitorReport, ...]

    @property
    def exit_code(self) -> int:
        """The first that is not 0."""
        return next(filter(None, (report.exit_code for report in self.windows)), EXIT_DONE)

    @property
    def verdict_code(self) -> int:
        """That of a failure, else that of the newest window."""
        return self.exit_code or self.windows[-1].verdict_code

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"windows": [report.to_dict() for report in self.windows]}

    def __repr__(self) -> str:
        """One line a window."""
        lines = [
            f"  {report.verdict:<17} {report.span}  v{report.version or '-'}  {report.rows:>9,} rows  "
            f"{report.reasons[0] if report.reasons else ''}"
            for report in self.windows
        ]
        counted = ", ".join(
            f"{number} {verdict}"
            for verdict in reversed(SEVERITY)
            if (number := sum(report.verdict == verdict for report in self.windows))
        )
        return "\n".join([f"{len(self.windows)} windows of {self.windows[-1].project}: {counted}", *lines])

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(repr(self))}</pre>"


def check_id_of(report: MonitorReport) -> str:
    """32 hex digits: the same finding of the same window of the same model."""
    columns = [[check.column, check.verdict, check.reference, check.observed] for check in report.columns]
    coverage = report.coverage.to_dict() if report.coverage else None
    said = [report.model_id, str(report.span), report.verdict, sorted(columns), coverage, report.error]
    return hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode()).hexdigest()[:32]
