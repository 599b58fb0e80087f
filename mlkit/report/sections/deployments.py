"""Deployments: who served when, and what the gate saw and said, the last time first."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Any

from mlkit.model.interval import Unknown
from mlkit.page.html import Html, badge, number
from mlkit.page.parts import (
    Part,
    bullets,
    command,
    facts,
    folded,
    grid,
    heading,
    joined,
    listing,
    paragraph,
    plotted,
)
from mlkit.page.plots import Bar, Span, interval_plot, timeline_plot
from mlkit.page.words import counted, gain, improvement, lasting, moment
from mlkit.report.interval import recorded
from mlkit.report.section import Finding, Section
from mlkit.report.state import next_steps, terms, version_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mlkit.page.html import Status
    from mlkit.production.decisions import Decision
    from mlkit.report.context import Context

ANCHOR, TITLE = "deployments", "Deployments"
_OUTCOMES: dict[str, tuple[str, Status]] = {
    "promote": ("promoted", "fine"),
    "keep": ("kept the champion", "quiet"),
    "reject": ("rejected", "act"),
}
_KINDS: dict[str, Status] = {"promotion": "fine", "rollback": "look", "code": "quiet"}


def deployments_section(context: Context) -> Section:
    """The ledger and the verdicts of the gate."""
    if not context.decisions:
        return _nothing(context)
    last = context.decisions[-1]
    verdict = _verdict(context, last)
    history = [entry.to_dict() for entry in context.entries]
    judgements = [_judgement(context, decision) for decision in context.decisions]
    whole = joined(
        [
            heading("Who served when"),
            *_ledger(context),
            heading("The last verdict"),
            *_verdict_parts(verdict),
            _record(context, last),
            folded(f"All {len(judgements)} judgements", _earlier(judgements)),
            command(f"mlkit history {context.project}"),
        ]
    )
    return Section(
        anchor=ANCHOR,
        title=TITLE,
        summary=_summary(context, verdict),
        values={"last": {**verdict, "record": last.record}, "judgements": judgements, "ledger": history},
        body=whole.html,
        markdown=whole.markdown,
        is_open=True,
        findings=tuple(_findings(context, verdict, last)),
    )


def _record(context: Context, decision: Decision) -> Part:
    """The record on the page; in Markdown the command that shows it."""
    shown = folded("Decision record", listing(json.dumps(decision.record, indent=2), language="json"))
    number_of = version_of(context, decision)
    place = (
        f"mlkit explain {context.project} {number_of} --json" if number_of else "mlkit report --format json"
    )
    return Part(shown.html, f"The whole decision record: `{place}`")


def _nothing(context: Context) -> Section:
    first = next(next_steps(context))
    whole = joined(
        [paragraph("Nothing was deployed yet: each verdict of the gate will stand here."), command(first)]
    )
    return Section(ANCHOR, TITLE, "nothing was deployed yet", {"last": None}, whole.html, whole.markdown)


def _summary(context: Context, verdict: Mapping[str, Any]) -> str:
    moves = len(context.entries)
    return f"the last verdict {verdict['said']}; {moves} {'entry' if moves == 1 else 'entries'} in the ledger"


def _judgement(context: Context, decision: Decision) -> dict[str, Any]:
    record, scores = decision.record, decision.record["scores"]
    return {
        "at": decision.at.isoformat(),
        "outcome": decision.outcome,
        "said": _OUTCOMES[decision.outcome][0],
        "version": version_of(context, decision),
        "metric": record["metric"],
        "candidate": scores["candidate"],
        "champion": scores["champion"],
        "improvement": improvement(scores["candidate"], scores["champion"], record["direction"]),
        "rows": scores["rows"],
        "excluded": scores.get("excluded", 0),
        "reasons": record["verdict"]["reasons"],
    }


def _verdict(context: Context, decision: Decision) -> dict[str, Any]:
    """The last judgement with how sure its scores are."""
    record = decision.record
    own = context.interval(decision)
    champion, between = recorded(record, "champion"), recorded(record, "improvement")
    head = record["champion"]
    return {
        **_judgement(context, decision),
        "champion_version": head["to_version"] if head else None,
        "champion_error": record["scores"]["champion_error"],
        "direction": record["direction"],
        "gate": record["gate"],
        "candidate_interval": None if isinstance(own, Unknown) else own,
        "champion_interval": None if isinstance(champion, Unknown) else champion,
        "interval": None if isinstance(between, Unknown) else between,
        "no_interval": between.reason if isinstance(between, Unknown) else "",
        "run_key": decision.run_key,
        "decision_id": decision.decision_id,
    }


def _ledger(context: Context) -> Iterator[Part]:
    found = terms(context.entries)
    if not found:
        yield paragraph("Nothing was promoted yet.")
        return
    spans = [
        Span(
            lane=f"v{term.version}",
            start=term.since,
            end=term.until or context.now,
            label=f"v{term.version} {term.first.kind} by {term.first.actor}: {term.first.reason}",
            status=_KINDS[term.first.kind],
        )
        for term in found
    ]
    rows = [
        [
            entry.seq,
            moment(entry.at),
            entry.kind,
            f"v{entry.from_version} to v{entry.to_version}" if entry.from_version else f"v{entry.to_version}",
            entry.actor,
            entry.reason,
        ]
        for entry in reversed(context.entries)
    ]
    yield plotted(
        timeline_plot(spans, title="who served when"),
        caption=f"v{found[-1].version} serves; {counted(len(found), 'time')} a version began to serve.",
        headers=["entry", "when", "kind", "version", "by", "why"],
        rows=rows,
    )


def _verdict_parts(verdict: Mapping[str, Any]) -> Iterator[Part]:
    said, status = _OUTCOMES[verdict["outcome"]]
    version = f" as v{verdict['version']}" if verdict["version"] and verdict["outcome"] == "promote" else ""
    judged = moment(dt.datetime.fromisoformat(verdict["at"]))
    yield Part(
        Html(f"<p>{badge(said, status=status)} {version} {judged}</p>"), f"**{said}**{version}, {judged}"
    )
    yield bullets(verdict["reasons"])
    yield from _same_rows(verdict)
    gate = verdict["gate"]
    limit = gate["threshold"]
    sides = "at most" if verdict["direction"] == "minimize" else "at least"
    yield facts(
        {
            "rule": f"{verdict['metric']} {sides} {number(limit)}" if limit is not None else "no threshold",
            "and": f"better than the champion by more than {number(gate['min_improvement'])}; a tie keeps it",
            "rows": f"{verdict['rows']:,} test rows, the same for both",
            "left out": _excluded(verdict),
            "difference": gain(verdict["improvement"]) if verdict["improvement"] is not None else None,
            "how sure": _how_sure(verdict),
        }
    )


def _same_rows(verdict: Mapping[str, Any]) -> Iterator[Part]:
    number_of = verdict["champion_version"]
    note = f"n = {verdict['rows']:,}"
    names = {"candidate": "candidate", "champion": f"champion v{number_of}"}
    bars = []
    for who in ("candidate", "champion") if number_of else ("candidate",):
        sure = verdict[f"{who}_interval"] or {}
        bars.append(Bar(names[who], verdict[who], sure.get("low"), sure.get("high"), note))
    better = "lower" if verdict["direction"] == "minimize" else "higher"
    of = f"{verdict['metric']} on the same {verdict['rows']:,} test rows; {better} is better."
    yield plotted(
        interval_plot(bars, title="both scores on the same rows", x_label=verdict["metric"]),
        caption=f"{of}{_drawn(verdict)}",
        headers=["model", verdict["metric"], "low", "high"],
        rows=[[bar.label, bar.value, bar.low, bar.high] for bar in bars],
    )


def _drawn(verdict: Mapping[str, Any]) -> str:
    own = verdict["candidate_interval"]
    return f" Whiskers: {own['level']:.0%} of {own['draws']} seeded draws of the rows." if own else ""


def _excluded(verdict: Mapping[str, Any]) -> str:
    if not verdict["champion_version"]:
        return ""
    rows = verdict["excluded"]
    return (
        f"{rows:,} rows that the champion was trained on"
        if rows
        else "none: the champion was trained on none"
    )


def _how_sure(verdict: Mapping[str, Any]) -> str:
    interval = verdict["interval"]
    if interval is None:
        return f"not said: {verdict['no_interval']}"
    ends = f"{number(interval['low'])} to {number(interval['high'])}"
    how = f"{interval['level']:.0%} of {interval['draws']} seeded draws; above 0 is better"
    return f"{ends} ({how})"


def _earlier(judgements: list[dict[str, Any]]) -> Part:
    rows = [
        [
            moment(dt.datetime.fromisoformat(each["at"])),
            each["said"],
            f"v{each['version']}" if each["version"] else None,
            each["candidate"],
            each["champion"],
            each["improvement"],
            each["rows"],
            each["excluded"],
        ]
        for each in reversed(judgements)
    ]
    headers = ["when", "outcome", "version", "candidate", "champion", "better by", "rows", "left out"]
    return grid(headers, rows, label="judgements", sortable=True)


def _findings(context: Context, verdict: Mapping[str, Any], decision: Decision) -> Iterator[Finding]:
    name = context.project
    ago = lasting(context.now - decision.at)
    rejected = verdict["outcome"] == "reject"
    said = f"the last verdict, {ago} ago, {verdict['said']}"
    if rejected:
        said += f": {'; '.join(verdict['reasons'])}"
    yield Finding(
        "RPT010", "act" if rejected else "fine", said, verdict["candidate"], ANCHOR, f"mlkit plan {name}"
    )
    if verdict["champion_error"]:
        said = f"the champion could not be scored: {verdict['champion_error']}"
        yield Finding("RPT015", "act", said, None, ANCHOR, f"mlkit doctor {name}")
    if verdict["champion_version"]:
        yield _overlap(verdict)
        yield _chance(verdict)


def _overlap(verdict: Mapping[str, Any]) -> Finding:
    rows, of = verdict["excluded"], verdict["excluded"] + verdict["rows"]
    said = f"{rows:,} of {of:,} test rows were left out last time: the champion had learnt from them"
    if not rows:
        said = "the last comparison left no test row out: the champion had learnt from none"
    return Finding("RPT012", "look" if rows else "fine", said, rows, ANCHOR)


def _chance(verdict: Mapping[str, Any]) -> Finding:
    interval = verdict["interval"]
    if interval is None:
        said = f"how sure the last difference is cannot be said: {verdict['no_interval']}"
        return Finding("RPT011", "not run", said, None, ANCHOR)
    low, high = interval["low"], interval["high"]
    rows = f"the {interval['rows']:,} test rows"
    if low <= 0 <= high:
        said = f"the last difference may be chance: on {rows}, from {gain(low)} to {gain(high)}"
        return Finding("RPT011", "look", said, interval["value"], ANCHOR)
    ends = f"{number(min(abs(low), abs(high)))} to {number(max(abs(low), abs(high)))}"
    better = "better" if low > 0 else "worse"
    said = f"the last difference is more than chance: on {rows}, the candidate is {ends} {better}"
    return Finding("RPT011", "fine", said, interval["value"], ANCHOR)
