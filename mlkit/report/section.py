"""What a report is made of: sections, and findings with a stable code.

A section says the same three times: as values for programs, as HTML for a page, as Markdown for a pull
request. A finding is one sentence with a number, the place of its evidence and what to type about it.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlkit.page.html import Html

Severity = Literal["act", "look", "fine", "not run"]

SEVERITIES: tuple[Severity, ...] = ("act", "look", "not run", "fine")
"""In the order in which they are shown."""


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        code: Stable code such as ``RPT020``; `mlkit help CODE` explains it.
        severity: ``act`` (somebody has to), ``look`` (worth knowing), ``fine``, or ``not run``: it could
            not be looked at, and the sentence says why.
        sentence: What was found, with its numbers; no data values.
        value: The number that decided, if there is one.
        anchor: Of the section that shows the evidence, without ``#``.
        command: What to type about it; empty if nothing.
    """

    code: str
    severity: Severity
    sentence: str
    value: float | int | str | None = None
    anchor: str = ""
    command: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return dataclasses.asdict(self)

    def __repr__(self) -> str:
        """One line, and a second one if there is something to do."""
        way_out = f"\n           -> {self.command}" if self.command and self.severity != "fine" else ""
        return f"{self.severity:<8} {self.code}  {self.sentence}{way_out}"


@dataclasses.dataclass(frozen=True)
class Section:
    """One section of a report.

    Attributes:
        anchor: Its place on the page, without ``#``: ``serving``, ``deployments``, ...
        title: A few words.
        summary: One short sentence, seen while the section is folded.
        values: The same as JSON values, without numbers that are not finite.
        body: The same as HTML, without a heading.
        markdown: The same as Markdown, without a heading; it may name the call that gives more.
        is_open: Whether it starts unfolded.
        findings: What was looked at while it was made; they are shown at the top of the report.
    """

    anchor: str
    title: str
    summary: str
    values: Mapping[str, Any]
    body: Html
    markdown: str
    is_open: bool = False
    findings: tuple[Finding, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values, without the two texts."""
        return {
            "anchor": self.anchor,
            "title": self.title,
            "summary": self.summary,
            "values": dict(self.values),
        }
