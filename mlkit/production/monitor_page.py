"""A checked window as one page: verdict, history, what moved. Inline SVG, no script, no request elsewhere."""

from __future__ import annotations

import html
import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    Values = Mapping[str, Any]

_FEW = 3  # windows, whose dates stand side by side
_DRAWN = 60  # columns; of more, the others are in the table only
_HISTORY = 60  # windows
_FEWEST = 12  # windows that the history has room for at least
_WIDTH, _HEIGHT = 640, 145  # of a chart
_FLOOR, _TALLEST, _TICKS = (
    120,
    96,
    136,
)  # where its bars stand, how tall they get, where the texts below stand
_LABELS = 12  # most texts below the bars
_QUIET = frozenset({"OK", "INSUFFICIENT_DATA", "NO_DATA"})
_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --faint: #5b6570; --line: #d5dae0; --page: #fff;
  --card: #f6f8fa; --ref: #8a939d; --win: #0b6bcb; --ok: #1a7f4b; --warn: #8a5a00; --bad: #b42318 }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ed; --faint: #9aa4af; --line: #3a424b;
  --page: #14171a; --card: #1d2125; --ref: #7d8791; --win: #58a6ff; --ok: #4cc38a; --warn: #e2a93b;
  --bad: #ff8a80 } }
* { box-sizing: border-box }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--page);
  max-width: 62rem; margin: 0 auto; padding: 1.5rem 1rem }
h1 { font-size: 1.5rem; margin: 0 }
h2 { font-size: 1.15rem; margin: 2rem 0 .5rem }
h3 { font-size: 1rem; margin: 0 }
p, ul { margin: .4rem 0 }
code { font-size: .9em }
.faint { color: var(--faint) }
.badge { font-weight: 700; border: 2px solid; border-radius: .4rem; padding: .05rem .5rem }
.badge, td, th { white-space: nowrap }
.OK { color: var(--ok) }
.WARN, .INSUFFICIENT_DATA { color: var(--warn) }
.DRIFT, .ERROR, .NO_DATA { color: var(--bad) }
.tiles { display: flex; flex-wrap: wrap; gap: .6rem; margin: 1rem 0; padding: 0; list-style: none }
.tiles li { background: var(--card); border: 1px solid var(--line); border-radius: .4rem;
  padding: .4rem .8rem }
.tiles b { display: block; font-size: 1.15rem }
section { border-top: 1px solid var(--line); padding: .9rem 0; break-inside: avoid }
.wide { overflow-x: auto }
svg { display: block; width: 100%; height: auto; max-width: 46rem }
svg text { fill: var(--faint); font: 11px system-ui }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
td, th { text-align: right; padding: .15rem .7rem; border-bottom: 1px solid var(--line) }
td:first-child, th:first-child { text-align: left }
.ref { fill: var(--ref); fill-opacity: .45; stroke: var(--ref) }
.win { fill: var(--win) }
.axis { stroke: var(--line) }
.key { display: inline-block; width: .8em; height: .8em; border: 1px solid var(--ref); vertical-align: -1px }
@media print { body { max-width: none; padding: 0 } }
"""


def draw(report: Values, history: Sequence[Values] = ()) -> str:
    """The page as HTML text.

    Args:
        report: What `MonitorReport.to_dict` gives.
        history: Windows of the same model, oldest first: `since`, `until`, `verdict`, `effect` (None where
            there is none).
    """
    title = f"{report['verdict']}: {report['project']}, {_day(report['since'])} to {_day(report['until'])}"
    body = [_masthead(report), _history(history), *_columns(report["columns"]), _basis(report)]
    head = (
        f"<meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>{_escaped(title)}</title><style>{_STYLE}</style>"
    )
    return f"<!doctype html><html lang=en><head>{head}</head><body>{''.join(body)}</body></html>\n"


def _masthead(report: Values) -> str:
    model = f"v{report['version']} ({_escaped(report['model_id'])})" if report["version"] else "no model"
    moved = sum(check["verdict"] not in _QUIET for check in report["columns"])
    coverage = f"{report['coverage']['share']:.1%}" if report["coverage"] else "not told"
    tiles = {
        "rows of the window": f"{report['rows']:,}",
        f"of {len(report['columns'])} columns moved": str(moved),
        "of served rows logged": coverage,
    }
    shown = "".join(f"<li><b>{_escaped(value)}</b>{_escaped(name)}</li>" for name, value in tiles.items())
    return (
        f"<h1>{_badge(report['verdict'])} {_escaped(report['project'])}</h1>"
        f"<p class=faint>{_day(report['since'])} to {_day(report['until'])} UTC, {model}</p>"
        f"{_listed(report['reasons'])}<ul class=tiles>{shown}</ul>"
    )


def _history(history: Sequence[Values]) -> str:
    """One mark for each window: as high as its predictions moved, and lettered with its verdict."""
    windows = history[-_HISTORY:]
    if not windows:
        return ""
    highest = max(window["effect"] or 0.0 for window in windows) or 1.0
    step = _WIDTH / max(len(windows), _FEWEST)
    marks = [_mark(window, step * place, step, highest) for place, window in enumerate(windows)]
    first, last = _day(windows[0]["since"]), _day(windows[-1]["until"])
    ends = _text(0, _TICKS, first)
    if len(windows) > _FEW:
        ends += _text(step * len(windows), _TICKS, last, anchor="end")
    told = ", ".join(f"{letter} {verdict.replace('_', ' ')}" for verdict, letter in _LETTER.items())
    return (
        f"<h2>History</h2><p class=faint>Height: how far the predictions of a window moved "
        f"(largest {_number(highest)}). {told}.</p>{_svg(''.join(marks) + _axis() + ends, 'windows so far')}"
    )


def _mark(window: Values, x: float, step: float, highest: float) -> str:
    effect, verdict = window["effect"] or 0.0, window["verdict"]
    tall = effect / highest * _TALLEST
    said = (
        f"{_day(window['since'])} to {_day(window['until'])}: {verdict}, effect {_number(window['effect'])}"
    )
    return (
        f"<g class={verdict}><title>{_escaped(said)}</title>"
        f"<rect x={x + 1:.1f} y={_FLOOR - tall:.1f} width={max(step - 2, 1):.1f} height={tall + 1:.1f} "
        f"fill=currentColor />"
        f"<text x={x + step / 2:.1f} y={_FLOOR - tall - 4:.1f} text-anchor=middle style='fill:currentColor'>"
        f"{_LETTER[verdict]}</text></g>"
    )


_LETTER = {"OK": "o", "WARN": "w", "DRIFT": "D", "INSUFFICIENT_DATA": "?", "NO_DATA": "0", "ERROR": "E"}


def _columns(checks: Sequence[Values]) -> Iterator[str]:
    if not checks:
        return
    yield (
        "<h2>Columns, what moved first</h2><p class=faint>"
        "<span class=key style='background:var(--ref)'></span> reference "
        "<span class=key style='background:var(--win)'></span> this window; share of rows by bin; "
        "^ marks the bins that moved</p>"
    )
    for check in checks[:_DRAWN]:
        yield (
            f"<section><h3>{_badge(check['verdict'])} {_escaped(check['column'])}</h3>"
            f"<p>{_escaped(check['reason'])}</p>{_bars(check)}{_moved(check)}</section>"
        )
    yield f"<h2>All columns as numbers</h2><div class=wide>{_table(checks)}</div>"


def _bars(check: Values) -> str:
    """Two bars for each bin that holds a row: reference behind, window before it."""
    cells = [
        cell
        for cell in zip(check["bins"], _shares(check["reference"]), _shares(check["observed"]), strict=False)
        if cell[1] or cell[2]
    ]
    if not cells:
        return ""
    highest, step = max(max(old, new) for _, old, new in cells), _WIDTH / len(cells)
    moved = check["found"].get("moved", ()) if check["verdict"] not in _QUIET else ()
    marked = {cell["label"] for cell in moved}
    parts = []
    for place, (label, old, new) in enumerate(cells):
        x, said = step * place, _escaped(f"{label}: reference {old:.2%}, window {new:.2%}")
        bars = _bar("ref", x + 0.06 * step, 0.88 * step, old / highest) + _bar(
            "win", x + 0.28 * step, 0.44 * step, new / highest
        )
        parts.append(f"<g><title>{said}</title>{bars}</g>")
        if label in marked:
            top = _FLOOR - max(old, new) / highest * _TALLEST
            parts.append(_text(x + step / 2, top - 3, "^", anchor="middle"))
    ticks = _ticks([label for label, _, _ in cells], step)
    return _svg("".join(parts) + _axis() + ticks, f"{check['column']} by bin")


def _bar(kind: str, x: float, width: float, share: float) -> str:
    tall = share * _TALLEST
    return f"<rect class={kind} x={x:.1f} y={_FLOOR - tall:.1f} width={width:.1f} height={tall:.1f} />"


def _ticks(labels: Sequence[str], step: float) -> str:
    """As many labels as there is room for; of a range its beginning."""
    every = math.ceil(len(labels) / _LABELS)
    room = max(4, int(step * every / 7))
    shown = []
    for place in range(0, len(labels), every):
        label = labels[place].split(" to ")[0]
        text = label if len(label) <= room else f"{label[: room - 1]}…"
        middle, half = step * (place + 0.5), 3.5 * len(text)
        x = min(max(middle, half), _WIDTH - half)  # none is cut off at the sides
        shown.append(_text(x, _TICKS, text, anchor="middle"))
    return "".join(shown)


def _moved(check: Values) -> str:
    moved = check["found"].get("moved", ()) if check["verdict"] not in _QUIET else ()
    if not moved:
        return ""
    rows = "".join(
        f"<tr><td>{_escaped(cell['label'])}</td><td>{cell['reference']:.2%}</td><td>{cell['window']:.2%}</td>"
        f"<td>{cell['window'] - cell['reference']:+.2%}</td></tr>"
        for cell in moved
    )
    return f"<div class=wide><table><tr><th>moved<th>reference<th>window<th>change</tr>{rows}</table></div>"


def _table(checks: Sequence[Values]) -> str:
    head = "".join(f"<th>{name}" for name in _NUMBERS.values())
    rows = "".join(
        f"<tr><td>{_escaped(check['column'])}</td><td>{check['verdict']}</td><td>{sum(check['observed']):,}</td>"
        f"<td>{_number(check['p_value'])}</td>"
        + "".join(f"<td>{_number(check['found'].get(name))}</td>" for name in _NUMBERS)
        + "</tr>"
        for check in checks
    )
    return f"<table><tr><th>column<th>verdict<th>rows<th>p{head}</tr>{rows}</table>"


_NUMBERS = {
    "effect": "effect",
    "ks": "KS",
    "psi": "PSI",
    "js": "JS",
    "tv": "TV",
    "w1": "W1",
    "visible": "least seen",
}


def _basis(report: Values) -> str:
    """What the verdict rests on, and what was left out."""
    ignored = report["ignored"]
    left = [f"{ignored[name]:,} rows {text}" for name, text in _LEFT.items() if ignored[name]]
    left += [f"{rows:,} rows of another model, {model_id}" for model_id, rows in ignored["others"].items()]
    checked = report["self_check"]
    said = [
        *left,
        *filter(None, (report["power"], report["assumption"])),
        *(
            [f"self-check: {checked['alarms']} of {checked['windows']} windows without drift alarmed"]
            if checked
            else []
        ),
    ]
    place = f"<code>{_escaped(report['table'])}</code>, check {_escaped(report['check_id'])}"
    return f"<h2>What this rests on</h2>{_listed(said)}<p class=faint>Recorded in {place}.</p>"


_LEFT = {
    "traffic": "were not of production and not counted",
    "repeated": "were repeated requests and not counted",
    "late": "reached the log after the window had ended",
    "future": "of the log have an event time to come and were not counted",
}


def _shares(counts: Sequence[int]) -> list[float]:
    total = sum(counts)
    return [count / total for count in counts] if total else []


def _svg(inner: str, label: str) -> str:
    return (
        f"<svg viewBox='0 0 {_WIDTH} {_HEIGHT}' role=img aria-label='{_escaped(label)}' "
        f"xmlns='http://www.w3.org/2000/svg'>{inner}</svg>"
    )


def _axis() -> str:
    return f"<line class=axis x1=0 y1={_FLOOR} x2={_WIDTH} y2={_FLOOR} />"


def _text(x: float, y: float, text: str, *, anchor: str = "start") -> str:
    return f"<text x={x:.1f} y={y:.1f} text-anchor={anchor}>{_escaped(text)}</text>"


def _badge(verdict: str) -> str:
    return f"<span class='badge {verdict}'>{verdict.replace('_', ' ')}</span>"


def _listed(sentences: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{_escaped(sentence)}</li>' for sentence in sentences)}</ul>"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _day(text: str) -> str:
    return text.replace("T00:00:00+00:00", "").replace("+00:00", "")


def _escaped(text: object) -> str:
    return html.escape(str(text), quote=True)
