"""Needs attention: every finding, the worst first, and what could not be looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlkit.page.html import Html, badge, code, escaped, tag
from mlkit.page.parts import Part, folded, grid, joined, paragraph, plain
from mlkit.page.words import counted
from mlkit.report.findings import FINDINGS
from mlkit.report.section import SEVERITIES, Finding, Section

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlkit.page.html import Status

ANCHOR, TITLE = "attention", "Needs attention"
_STATUS: dict[str, Status] = {"act": "act", "look": "look", "fine": "fine", "not run": "quiet"}


def attention_section(findings: Sequence[Finding]) -> Section:
    """What the other sections found, in the order of how much it asks of somebody."""
    ordered = in_order(findings)
    urgent = [found for found in ordered if found.severity in ("act", "look")]
    untold = [found for found in ordered if found.severity == "not run"]
    fine = [found for found in ordered if found.severity == "fine"]
    ran = len(ordered) - len(untold)
    quiet = f"Nothing needs you: {counted(ran, 'check')} ran, {len(untold)} could not."
    whole = joined(
        [
            *([_list(urgent)] if urgent else [paragraph(quiet)]),
            *([folded(f"Not run: {len(untold)}, and why", _list(untold))] if untold else []),
            *([folded(f"Fine: {len(fine)}", _list(fine))] if fine else []),
            folded("What the codes mean", _meanings(ordered)),
        ]
    )
    return Section(
        anchor=ANCHOR,
        title=TITLE,
        summary=counts(findings),
        values={"findings": [found.to_dict() for found in ordered]},
        body=whole.html,
        markdown=whole.markdown,
        is_open=True,
    )


def in_order(findings: Sequence[Finding]) -> list[Finding]:
    """The worst first; of the same severity in the order of their codes."""
    return sorted(findings, key=lambda found: (SEVERITIES.index(found.severity), found.code))


def counts(findings: Sequence[Finding]) -> str:
    """How many of each: ``1 to act on, 2 to look at; 14 fine, 3 not run``."""
    number = {name: sum(found.severity == name for found in findings) for name in SEVERITIES}
    if not number["act"] and not number["look"]:
        return f"nothing needs you; {number['fine']} fine, {number['not run']} not run"
    asked = f"{number['act']} to act on, {number['look']} to look at"
    return f"{asked}; {number['fine']} fine, {number['not run']} not run"


def _list(findings: Sequence[Finding]) -> Part:
    items = [_item(found) for found in findings]
    html = tag("ul", Html("".join(tag("li", item) for item in items)), class_="findings")
    return Part(html, "\n".join(_lines(findings)))


def _item(found: Finding) -> Html:
    place = tag("a", "evidence", href=f"#{found.anchor}") if found.anchor else ""
    way_out = code(found.command) if found.command and found.severity != "fine" else ""
    mark = badge(found.severity, status=_STATUS[found.severity])
    said = tag(
        "p",
        mark,
        " ",
        tag("code", found.code, title=FINDINGS.get(found.code)),
        " ",
        found.sentence,
        " ",
        place,
    )
    return Html(f"{said}{escaped(way_out)}")


def _lines(findings: Sequence[Finding]) -> Iterator[str]:
    for found in findings:
        way_out = f" → `{found.command}`" if found.command and found.severity != "fine" else ""
        yield f"- **{found.severity}** `{found.code}` {plain(found.sentence)}{way_out}"


def _meanings(findings: Sequence[Finding]) -> Part:
    codes = sorted({found.code for found in findings})
    return grid(["code", "meaning"], [[name, FINDINGS.get(name)] for name in codes], label="codes")
