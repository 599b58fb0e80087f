"""Now serving: the champion, what it was made of link by link, its score, and the way back."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from mlkit.errors import MlkitError
from mlkit.model.estimator import steps_text
from mlkit.model.interval import Judged, Unknown
from mlkit.page.parts import Part, command, facts, grid, joined, paragraph, plotted
from mlkit.page.plots import Bar, Rule, interval_plot
from mlkit.page.words import counted, improvement, lasting, moment, short
from mlkit.production.serving.choice import ask_serving
from mlkit.production.serving_counts import served_counts
from mlkit.report.interval import constant_score
from mlkit.report.section import Finding, Section
from mlkit.report.state import judged_as, next_steps, serving_term, way_back

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mlkit.production.decisions import Decision
    from mlkit.production.serving.replicas import Heard
    from mlkit.report.context import Context
    from mlkit.report.section import Severity
    from mlkit.report.state import Term

ANCHOR, TITLE = "serving", "Now serving"

ASK_SECONDS = 2.0
"""How long a service may take to say what it answers with."""


def serving_section(context: Context) -> Section:
    """The champion; or, where nothing serves yet, what to type next."""
    term = serving_term(context)
    if term is None:
        return _nothing(context)
    decision = judged_as(context, context.entries[-1])
    scores = _scores(context, decision)
    chain = _chain(context, term, decision)
    back = way_back(context.entries, context.marks)
    name, head = context.project, term.entries[-1]
    served = _answers(context, head.model_id)
    asked = ask_serving(context.stores, head, seconds=ASK_SECONDS)
    parts = [
        facts(_said(context, term)),
        *_score_parts(scores),
        paragraph("What it was made of, link by link:"),
        grid(["link", "is", "known by"], [list(link.values()) for link in chain], label="identity"),
        _asked(asked),
        paragraph(served["sentence"]),
        *_undo(name, back.to_version if back else None),
    ]
    whole = joined(parts)
    values = {
        "version": term.version,
        "since": term.since.isoformat(),
        "entry": head.to_dict(),
        "scores": scores,
        "chain": chain,
        "asked": [] if isinstance(asked, str) else [*map(dataclasses.asdict, asked)],
        "not_asked": asked if isinstance(asked, str) else "",
        "served": served,
        "rollback_to": back.to_version if back else None,
    }
    return Section(
        anchor=ANCHOR,
        title=TITLE,
        summary=f"v{term.version} for {lasting(context.now - term.since)}, by {head.actor}",
        values=values,
        body=whole.html,
        markdown=whole.markdown,
        is_open=True,
        findings=(
            *_findings(context, decision, back.to_version if back else None),
            *_in_services(context, asked),
        ),
    )


def _nothing(context: Context) -> Section:
    steps = list(next_steps(context))
    whole = joined([paragraph("No model serves yet. What comes next here:"), *map(command, steps)])
    found = Finding("RPT001", "look", "no model serves yet", None, ANCHOR, steps[0])
    return Section(
        anchor=ANCHOR,
        title=TITLE,
        summary="no model serves yet",
        values={"version": None, "next": steps},
        body=whole.html,
        markdown=whole.markdown,
        is_open=True,
        findings=(found,),
    )


def _said(context: Context, term: Term) -> dict[str, object]:
    first, head, champion = term.first, term.entries[-1], context.champion
    config = context.champion_config or {}
    name = champion.name if champion else context.project
    moved = f" (before: v{first.from_version})" if first.from_version else ""
    came = f"{moment(term.since)}, {lasting(context.now - term.since)} ago, by {first.actor}{moved}"
    return {
        "version": f"**{name} v{term.version}**",
        first.kind: came,
        "why": first.reason or "no reason was given",
        "since then": f"new code and rules {moment(head.at)}" if len(term.entries) > 1 else None,
        "model": f"`{steps_text(config['model'])}`" if "model" in config else None,
        "predicts": f"`{config['target']}`, judged by {config['metric']}" if "target" in config else None,
    }


def _scores(context: Context, decision: Decision | None) -> dict[str, Any]:
    """The score at the gate with its interval and a constant to compare with, and the newest live one."""
    if decision is None:
        return {}
    record = decision.record
    judged, interval = context.judged(decision), context.interval(decision)
    live = [
        found
        for found in context.performance
        if found["model_id"] == record["candidate"]["model_id"] and found["value"] is not None
    ]
    return {
        "metric": record["metric"],
        "direction": record["direction"],
        "score": record["scores"]["candidate"],
        "rows": record["scores"]["rows"],
        "threshold": record["gate"]["threshold"],
        "interval": None if isinstance(interval, Unknown) else interval,
        "no_interval": interval.reason if isinstance(interval, Unknown) else "",
        "constant": constant_score(judged) if isinstance(judged, Judged) else None,
        "live": live[-1] if live else None,
    }


def _score_parts(scores: Mapping[str, Any]) -> Iterator[Part]:
    if not scores:
        yield paragraph("The decision that let it serve is gone, so its score is not known here.")
        return
    interval, live = scores["interval"], scores["live"]
    bars = [
        Bar(
            "on the test rows",
            scores["score"],
            interval and interval["low"],
            interval and interval["high"],
            f"n = {scores['rows']:,}",
        )
    ]
    if live:
        bars.append(Bar("on later labels", live["value"], note=f"n = {live['labelled']:,}"))
    if scores["constant"] is not None:
        bars.append(Bar("a constant instead", scores["constant"], note="no model"))
    limit = scores["threshold"]
    rules = [Rule(limit, "threshold", upright=True)] if limit is not None else []
    better = "lower" if scores["direction"] == "minimize" else "higher"
    title = f"{scores['metric']} of what serves"
    how = (
        f"Interval: {interval['level']:.0%} of {interval['draws']} seeded draws of the "
        f"{interval['rows']:,} test rows."
        if interval
        else f"No interval: {scores['no_interval']}."
    )
    rows = [[bar.label, bar.value, bar.low, bar.high, bar.note] for bar in bars]
    rows += [["threshold of the gate", limit, None, None, ""]] if limit is not None else []
    yield plotted(
        interval_plot(bars, title=title, x_label=scores["metric"], rules=rules),
        caption=f"{title} ({better} is better). {how}",
        headers=["of", scores["metric"], "low", "high", "rows"],
        rows=rows,
    )


def _chain(context: Context, term: Term, decision: Decision | None) -> list[dict[str, str]]:
    """From source > snapshot > split > config > model > version: what each is, and what it is known by."""
    if decision is None:
        return []
    record, head = decision.record, term.entries[-1]
    said = {**record["ingredients"]["config"], **record["rules"]["config"]}
    split = (context.champion_config or said).get("split", {})
    key = ", ".join(record["key"]) or "the whole row"
    shares = ", ".join(f"{name} {value}" for name, value in split.items())
    config = context.champion_config or {}
    links = (
        ("source", record["source"], f"version {record['source_version']}"),
        ("snapshot", f"{record['train']['rows']:,} train rows", record["train"]["fingerprint"]),
        ("test rows", f"{record['test']['rows']:,}, sealed until the gate", record["test"]["fingerprint"]),
        ("split", shares or "as the config says", f"by {key}"),
        ("config", f"{context.project}.yaml", short(record["config_digest"])),
        ("code", _commit(record["origin"]), short(record["code"])),
        ("model", f"stored as {config['serialization']}" if config else "", head.model_id),
        ("version", f"v{head.to_version}", f"manifest {short(head.manifest_digest)}"),
    )
    return [dict(zip(("link", "is", "known_by"), map(str, link), strict=True)) for link in links]


def _commit(origin: Mapping[str, Any]) -> str:
    commit = origin.get("commit")
    if not commit:
        return "no commit"
    return f"commit {commit[:10]}{' and changes' if origin.get('dirty') else ''}"


def _asked(asked: Sequence[Heard] | str) -> Part:
    if isinstance(asked, str):
        return paragraph(f"Services were not asked: {asked}.")
    return grid(["service", "says"], [[each.url, each.words] for each in asked], label="services")


def _in_services(context: Context, asked: Sequence[Heard] | str) -> Iterator[Finding]:
    """Whether what serves is what the ledger says; nothing of a target that names no services."""
    mend = f"mlkit deploy {context.project}"
    if isinstance(asked, str):
        if context.stores.workspace.spec.serving is not None:
            yield Finding("RPT006", "not run", f"services were not asked: {asked}", None, ANCHOR, mend)
        return
    wrong = [each for each in asked if each.code]
    if not wrong:
        said = f"{counted(len(asked), 'service')} asked, each answers with what the ledger names"
        yield Finding("RPT006", "fine", said, len(asked), ANCHOR)
        return
    severity: Severity = "look" if all(each.silent for each in wrong) else "act"
    said = f"{len(wrong)} of {counted(len(asked), 'service')}: {wrong[0].url} {wrong[0].words}"
    yield Finding("RPT006", severity, said, len(wrong), ANCHOR, mend)


def _answers(context: Context, model_id: str) -> dict[str, Any]:
    counts = served_counts(context.engine, context.project, model_id=model_id)
    if counts is None or not counts.served:
        sentence = "No service has told of answers of this model; a job that scores tables is not counted."
        return {"sentence": sentence, "served": None, "logged": None, "dropped": None}
    lost = f", {counts.dropped:,} were lost" if counts.dropped else ""
    sentence = (
        f"Services told of {counts.served:,} answers of this model; {counts.logged:,} are logged{lost}."
    )
    return {"sentence": sentence, **counts._asdict()}


def _undo(name: str, back: int | None) -> Iterator[Part]:
    if back is None:
        yield paragraph("Nothing to go back to: it has replaced no other version that may serve.")
    else:
        yield paragraph(f"To undo, v{back} would serve again:")
        yield command(f"mlkit rollback {name} --to {back} --reason '...'")


def _findings(context: Context, decision: Decision | None, back: int | None) -> Iterator[Finding]:
    name, head = context.project, context.entries[-1]
    if mark := context.marks.of(head):
        undo = f"mlkit rollback {name} --reason '...'"
        yield Finding("RPT002", "act", f"what serves is marked bad: {mark.sentence}", None, ANCHOR, undo)
    yield _in_registry(context)
    if context.explanation is not None:
        damage = context.explanation.files.damage
        said = damage or "the files of what serves are what was recorded"
        yield Finding("RPT004", "act" if damage else "fine", said, None, ANCHOR, f"mlkit fsck {name}")
    way = f"a rollback would go to v{back}" if back else "a rollback has nowhere to go"
    yield Finding("RPT005", "fine", way, back, ANCHOR)
    if decision is not None and decision.record["gate"]["threshold"] is not None:
        yield _margin(decision)


def _in_registry(context: Context) -> Finding:
    head, name = context.entries[-1], context.project
    mend = f"mlkit doctor {name} --fix"
    try:
        context.stores.check_registered(head)
    except MlkitError as exc:
        return Finding("RPT003", "act", exc.message, head.to_version, ANCHOR, mend)
    shown = context.stores.registry.champion()
    if shown is None or shown.version != head.to_version:
        where = f"v{shown.version}" if shown else "no version"
        said = f"the alias is at {where}, the ledger names v{head.to_version}"
        return Finding("RPT003", "act", said, head.to_version, ANCHOR, mend)
    return Finding("RPT003", "fine", "ledger, registry and alias agree", head.to_version, ANCHOR)


def _margin(decision: Decision) -> Finding:
    record = decision.record
    margin = improvement(record["scores"]["candidate"], record["gate"]["threshold"], record["direction"])
    said = f"{record['metric']} was {margin:.4g} on the good side of the threshold, when it was judged"
    return Finding("RPT016", "fine", said, margin, ANCHOR)
