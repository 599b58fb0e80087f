"""Live: how far what is asked and answered has moved, and how well it did, window by window."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from mlkit.page.html import badge
from mlkit.page.parts import (
    Part,
    bullets,
    command,
    facts,
    folded,
    grid,
    heading,
    joined,
    paragraph,
    plotted,
)
from mlkit.page.plots import Line, Rule, histogram_pair, line_plot, spark_line
from mlkit.page.words import counted, day, lasting
from mlkit.production.monitor_report import SEVERITY
from mlkit.production.rules import monitor_of, retrain_of, width_of
from mlkit.report.section import Finding, Section

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mlkit.page.html import Status
    from mlkit.production.drift_records import Window
    from mlkit.report.context import Context
    from mlkit.report.section import Severity

ANCHOR, TITLE = "drift", "Live"
OUTPUT = "prediction"
_BESIDE = 3  # columns drawn beside the predictions
_DRAWN = 6  # columns whose bins are drawn
_LATE = 2  # windows without a check, before that is worth a look
_QUIET = frozenset({"OK", "INSUFFICIENT_DATA"})
_STATUS: dict[str, Status] = {
    "OK": "fine",
    "WARN": "look",
    "DRIFT": "act",
    "INSUFFICIENT_DATA": "quiet",
    "NO_DATA": "look",
    "ERROR": "act",
}
_SEVERITY: dict[str, Severity] = {
    "OK": "fine",
    "WARN": "look",
    "DRIFT": "act",
    "INSUFFICIENT_DATA": "look",
    "NO_DATA": "look",
    "ERROR": "act",
}


def drift_section(context: Context) -> Section | None:
    """The checked windows and what labels said; None while nothing serves."""
    if context.head is None:
        return None
    windows = context.windows
    newest = windows[-1] if windows else None
    parts = [
        *_moved(context, windows),
        *_scored(context),
        *(_columns(windows) if newest else ()),
        *_basis(context, newest),
    ]
    whole = joined(parts)
    quiet = newest is not None and newest.verdict in _QUIET and not _is_below(context)
    return Section(
        anchor=ANCHOR,
        title=TITLE,
        summary=_summary(context, newest),
        values={
            "windows": [_window(window) for window in windows],
            "performance": list(context.performance),
            "alarms_per_year": monitor_of(context.head).alarms_per_year,
            "window_alpha": monitor_of(context.head).window_alpha,
        },
        body=whole.html,
        markdown=whole.markdown,
        is_open=newest is not None and not quiet,
        findings=tuple(_findings(context, newest)),
    )


def state_of(context: Context) -> str:
    """The newest check in a few words, for the head of the report."""
    if not context.windows:
        return "drift was never checked"
    newest = context.windows[-1]
    if newest.verdict == "OK":
        return "drift quiet"
    if newest.verdict == "DRIFT":
        return f"drift in the window to {day(newest.span.until)}"
    return f"the newest check says {newest.verdict.replace('_', ' ').lower()}"


def _window(window: Window) -> dict[str, Any]:
    found = {name: column["found"].get("effect") for name, column in window.columns.items()}
    return {**window.to_dict(), "rows": window.record.get("rows"), "effects": found}


def _summary(context: Context, newest: Window | None) -> str:
    checked = (
        f"{newest.verdict.replace('_', ' ')} in the newest of {counted(len(context.windows), 'window')}"
        if newest
        else "no window was checked yet"
    )
    live = _live(context)
    scored = f"live score {live[-1]['value']:.4g}" if live else "no labels yet"
    return f"{checked}; {scored}"


def _moved(context: Context, windows: Sequence[Window]) -> Iterator[Part]:
    yield heading("How far it moved")
    if not windows:
        yield paragraph("No window of the prediction log was checked yet, so nothing can be drawn. Next:")
        yield command(f"mlkit monitor {context.project}")
        return
    names = _worst(windows)[: 1 + _BESIDE]
    places = [window.span.until for window in windows]
    lines = [
        Line(
            _short(name),
            places,
            [_effect(window, name) for window in windows],
            dots=True,
            dashed=name != OUTPUT,
        )
        for name in names
    ]
    least = monitor_of(context.entries[-1]).min_effect
    rules = [Rule(least, "matters from here"), *_answering(context, windows)]
    rows = [
        [
            f"{day(window.span.since)} to {day(window.span.until)}",
            f"v{window.version}" if window.version else None,
            window.verdict,
            window.record.get("rows"),
            *(_effect(window, name) for name in names),
        ]
        for window in reversed(windows)
    ]
    yield plotted(
        line_plot(lines, title="share of rows that moved, by window", y_label="share of rows", rules=rules),
        caption="Share of rows that moved since training, by window: the answers, and what moved most. "
        "Upright lines: where another version began.",
        headers=["window", "answered by", "verdict", "rows", *map(_short, names)],
        rows=rows,
    )


def _answering(context: Context, windows: Sequence[Window]) -> Iterator[Rule]:
    """Where another version began to answer, and promotions among the windows."""
    known: set[int | None] = {windows[0].version}
    for window in windows:
        if window.version not in known:
            known.add(window.version)
            yield Rule(window.span.since, f"v{window.version}", upright=True)
    first, last = windows[0].span.since, windows[-1].span.until
    for entry in context.entries:
        if first <= entry.at <= last and entry.to_version not in known:
            yield Rule(entry.at, f"v{entry.to_version}", upright=True)


def _scored(context: Context) -> Iterator[Part]:
    yield heading("How well it did")
    found = [each for each in context.performance if each["value"] is not None]
    if not found:
        waiting = sum(each["rows"] for each in context.performance)
        why = f" for the {waiting:,} answers that were looked at" if waiting else ""
        yield paragraph(f"No labels have arrived yet{why}. When they do:")
        yield command(f"mlkit performance {context.project} --labels TABLE")
        return
    places = [dt.datetime.fromisoformat(each["until"]) for each in found]
    metric = context.decisions[-1].record["metric"] if context.decisions else "score"
    lines = [
        Line(f"live {metric}", places, [each["value"] for each in found], dots=True),
        Line("when judged", places, [each["test_score"] for each in found], dashed=True, stepped=True),
    ]
    limit = found[-1]["threshold"]
    rules = [] if limit is None else [Rule(limit, "threshold", status="act")]
    rows = [
        [
            f"{each['since'][:10]} to {each['until'][:10]}",
            f"v{each['version']}",
            each["value"],
            each["test_score"],
            f"{each['labelled']:,} of {each['rows']:,}",
            each["state"],
        ]
        for each in reversed(found)
    ]
    yield plotted(
        line_plot(lines, title=f"{metric} on labels that came later", y_label=metric, rules=rules),
        caption=f"{metric} on labels that came later, beside the score on the test rows when it was judged.",
        headers=["window", "version", metric, "when judged", "labelled", "state"],
        rows=rows,
    )


def _columns(windows: Sequence[Window]) -> Iterator[Part]:
    newest = windows[-1]
    if not newest.columns:
        return
    yield heading(f"Columns of the newest window, to {day(newest.span.until)}")
    rows = []
    for name in sorted(_worst([newest]), key=lambda name: -SEVERITY.index(newest.columns[name]["verdict"])):
        found = newest.columns[name]
        course = [_effect(window, name) for window in windows]
        said = [f"{value:.3g}" for value in course if value is not None]
        small = Part(spark_line(course, title=f"{_short(name)}: {', '.join(said)}"), f"{len(said)} windows")
        mark = Part(badge(found["verdict"], status=_STATUS[found["verdict"]]), found["verdict"])
        rows.append(
            [_short(name), mark, found["found"].get("effect"), found["p_value"], small, found["reason"]]
        )
    headers = ["column", "verdict", "share that moved", "p", "so far", "why"]
    yield grid(headers, rows, label="columns of the newest window", sortable=True)
    loud = [name for name in _worst([newest]) if newest.columns[name]["verdict"] not in _QUIET]
    drawn = [_bins(name, newest.columns[name]) for name in loud[:_DRAWN]]
    if drawn:
        yield folded(f"Bins of {counted(len(drawn), 'column')} that moved", *drawn, is_open=True)


def _bins(name: str, found: Mapping[str, Any]) -> Part:
    seen = [
        each
        for each in zip(found["bins"], found["reference"], found["observed"], strict=True)
        if any(each[1:])
    ]
    labels, reference, observed = (list(each) for each in zip(*seen, strict=True))
    moved = {cell["label"] for cell in found["found"].get("moved", ())}
    return plotted(
        histogram_pair(labels, reference, observed, title=f"{_short(name)} by bin", marked=moved),
        caption=f"`{_short(name)}`: {found['reason']}",
        headers=["bin", "reference", "this window"],
        rows=seen,
    )


def _basis(context: Context, newest: Window | None) -> Iterator[Part]:
    """Under which rule an alarm is given, and how late labels are."""
    head = context.entries[-1]
    monitor, width = monitor_of(head), lasting(width_of(head))
    chance = f"{monitor.window_alpha:.2g} of windows of {width} without any change"
    least = f"{monitor.min_effect:.0%} of rows and more"
    yield heading("What this rests on")
    yield facts(
        {
            "false alarms": f"{chance}, all columns together",
            "what matters": f"{least}; fewer than {monitor.min_rows} rows are not judged",
            "retraining": f"policy `{retrain_of(head).policy}`",
            "labels": _delay(context),
        }
    )
    if newest is None:
        return
    said = [newest.record.get("power", ""), newest.record.get("assumption", "")]
    coverage = newest.record.get("coverage")
    if coverage:
        said.append(f"{coverage['share']:.1%} of {coverage['served']:,} served rows stand in the log")
    yield bullets(filter(None, said))


def _delay(context: Context) -> str:
    """How much of what was answered has its label by now."""
    rows = sum(each["rows"] for each in context.performance)
    if not rows:
        return "none have arrived yet"
    labelled = sum(each["labelled"] for each in context.performance)
    return f"{labelled:,} of {rows:,} answers have theirs ({labelled / rows:.0%})"


def _findings(context: Context, newest: Window | None) -> Iterator[Finding]:
    name = context.project
    check = f"mlkit monitor {name}"
    if newest is None:
        said = "no window of the prediction log was checked yet, so drift is not known"
        yield Finding("RPT020", "not run", said, None, ANCHOR, check)
    else:
        yield _newest(context, newest)
        yield _checked(context, newest)
        if newest.record.get("should_retrain"):
            again = f"mlkit retrain {name} --dry-run"
            yield Finding("RPT023", "act", "the policy of the config asks for a retrain", None, ANCHOR, again)
    yield _live_finding(context)


def _newest(context: Context, newest: Window) -> Finding:
    loud = [_short(name) for name in _worst([newest]) if newest.columns[name]["verdict"] not in _QUIET]
    effect = max((_effect(newest, name) or 0.0 for name in newest.columns), default=0.0)
    what = f"; moved: {', '.join(loud[:_BESIDE])}" if loud else ""
    said = f"the window to {day(newest.span.until)} is {newest.verdict.replace('_', ' ')}{what}"
    again = f"mlkit retrain {context.project} --dry-run"
    severity = _SEVERITY[newest.verdict]
    return Finding("RPT020", severity, said, effect, ANCHOR, again if newest.verdict == "DRIFT" else "")


def _checked(context: Context, newest: Window) -> Finding:
    """Whether somebody still looks; of checks that were made as of an earlier time, that cannot be told."""
    check = f"mlkit monitor {context.project}"
    if not context.entries[0].at <= newest.at <= context.now:
        said = f"the newest check is as of {day(newest.at)}, so whether somebody still looks cannot be told"
        return Finding("RPT022", "not run", said, None, ANCHOR, check)
    waited, width = context.now - newest.at, width_of(context.entries[-1])
    late = waited > _LATE * width
    said = f"the prediction log was checked last {lasting(waited)} ago; a window is {lasting(width)}"
    days = round(waited / dt.timedelta(days=1), 1)
    return Finding("RPT022", "look" if late else "fine", said, days, ANCHOR, check)


def _live_finding(context: Context) -> Finding:
    live, name = _live(context), context.project
    if not live:
        said = "no labels have arrived yet, so the live score is not known"
        return Finding("RPT021", "not run", said, None, ANCHOR, f"mlkit performance {name} --labels TABLE")
    last = live[-1]
    below = last["state"] == "BELOW"
    again = f"mlkit retrain {name} --dry-run" if below else ""
    said = f"in the window to {last['until'][:10]}, v{last['version']}: {last['reason']}"
    return Finding("RPT021", "act" if below else "fine", said, last["value"], ANCHOR, again)


def _live(context: Context) -> list[Mapping[str, Any]]:
    return [each for each in context.performance if each["value"] is not None]


def _is_below(context: Context) -> bool:
    live = _live(context)
    return bool(live) and live[-1]["state"] == "BELOW"


def _effect(window: Window, name: str) -> float | None:
    found = window.columns.get(name)
    return None if found is None else found["found"].get("effect")


def _worst(windows: Sequence[Window]) -> list[str]:
    """Columns, the answers first, then what moved most in any of these windows."""
    highest: dict[str, float] = {}
    for window in windows:
        for name in window.columns:
            highest[name] = max(highest.get(name, 0.0), _effect(window, name) or 0.0)
    return sorted(highest, key=lambda name: (name != OUTPUT, -highest[name], name))


def _short(name: str) -> str:
    return name.removeprefix("input_")
