"""A checked window as one page: verdict, history, what moved. Read without a script; asks nobody."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from mlkit.page.document import PageSection, document
from mlkit.page.html import Html, Status, badge, figure, join, listed, number, table, tag, tiles
from mlkit.page.plots import Line, Point, histogram_pair, scatter_plot

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    Values = Mapping[str, Any]

_DRAWN = 60  # columns; of more, the others are in the table only
_HISTORY = 60  # windows
_FEW = 20  # columns, whose numbers are not folded
_QUIET = frozenset({"OK", "INSUFFICIENT_DATA", "NO_DATA"})
_STATUS: dict[str, Status] = {
    "OK": "fine",
    "WARN": "look",
    "INSUFFICIENT_DATA": "quiet",
    "DRIFT": "act",
    "NO_DATA": "act",
    "ERROR": "act",
}


def draw(report: Values, history: Sequence[Values] = ()) -> str:
    """The page as HTML text.

    Args:
        report: What `MonitorReport.to_dict` gives.
        history: Windows of the same model, oldest first: `since`, `until`, `verdict`, `effect` (None where
            there is none).
    """
    title = f"{report['verdict']}: {report['project']}, {_day(report['since'])} to {_day(report['until'])}"
    sections = [*_history(history), *_columns(report["columns"]), _basis(report)]
    return document(title, masthead=_masthead(report), sections=sections)


def _masthead(report: Values) -> Html:
    model = f"v{report['version']} ({report['model_id']})" if report["version"] else "no model"
    coverage = f"{report['coverage']['share']:.1%}" if report["coverage"] else "not told"
    shown = {
        "rows of the window": report["rows"],
        f"of {len(report['columns'])} columns moved": _moved_count(report["columns"]),
        "of served rows logged": coverage,
    }
    span = f"{_day(report['since'])} to {_day(report['until'])} UTC, {model}"
    return join(
        [
            tag("h1", _badge(report["verdict"]), " ", report["project"]),
            tag("p", span, class_="faint"),
            listed(report["reasons"]),
            tiles(shown.items()),
        ]
    )


def _moved_count(checks: Sequence[Values]) -> int:
    return sum(check["verdict"] not in _QUIET for check in checks)


def _history(history: Sequence[Values]) -> Iterator[PageSection]:
    """One sign for each window: as high as its predictions moved, and shaped by its verdict."""
    windows = history[-_HISTORY:]
    if not windows:
        return
    points = [_point(window) for window in windows]
    line = Line("", [point.x for point in points], [window["effect"] for window in windows])
    highest = max(point.y for point in points)
    drawn = scatter_plot(
        points, title="windows so far", y_label="share of predictions that moved", lines=[line]
    )
    caption = f"How far the predictions of each window moved (largest {number(highest)})."
    numbers = table(["since", "until", "verdict", "effect"], [_window(window) for window in windows])
    said = (
        f"{len(windows)} windows, {sum(window['verdict'] not in _QUIET for window in windows)} of them moved"
    )
    yield PageSection("history", "History", said, figure(drawn, caption=caption, table=numbers))


def _window(window: Values) -> list[object]:
    return [_day(window["since"]), _day(window["until"]), window["verdict"], window["effect"]]


def _point(window: Values) -> Point:
    effect, verdict = window["effect"], window["verdict"]
    said = f"{_day(window['since'])} to {_day(window['until'])}: {verdict}, effect {number(effect)}"
    at = dt.datetime.fromisoformat(window["since"])
    return Point(at, effect or 0.0, said, group=_words(verdict), status=_STATUS[verdict])


def _columns(checks: Sequence[Values]) -> Iterator[PageSection]:
    if not checks:
        return
    drawn = tag("div", *(tag("section", *_column(check)) for check in checks[:_DRAWN]))
    said = f"{_moved_count(checks)} of {len(checks)} moved; share of rows by bin"
    yield PageSection("columns", "Columns, what moved first", said, drawn)
    yield PageSection("numbers", "All columns as numbers", "", _table(checks), is_open=len(checks) <= _FEW)


def _column(check: Values) -> Iterator[Html]:
    """Verdict, why, both histograms, and the bins that moved."""
    moved = check["found"].get("moved", ()) if check["verdict"] not in _QUIET else ()
    yield tag("h3", _badge(check["verdict"]), " ", check["column"])
    yield tag("p", check["reason"])
    yield histogram_pair(
        check["bins"],
        check["reference"],
        check["observed"],
        title=f"{check['column']} by bin",
        marked={cell["label"] for cell in moved},
    )
    if moved:
        yield table(["moved", "reference", "window", "change"], [_cells(cell) for cell in moved])


def _cells(cell: Values) -> list[object]:
    old, new = cell["reference"], cell["window"]
    return [cell["label"], f"{old:.2%}", f"{new:.2%}", f"{new - old:+.2%}"]


def _table(checks: Sequence[Values]) -> Html:
    rows = [
        [
            check["column"],
            _badge(check["verdict"]),
            sum(check["observed"]),
            check["p_value"],
            *(check["found"].get(name) for name in _NUMBERS),
        ]
        for check in checks
    ]
    return table(["column", "verdict", "rows", "p", *_NUMBERS.values()], rows, sortable=True)


_NUMBERS = {
    "effect": "effect",
    "ks": "KS",
    "psi": "PSI",
    "js": "JS",
    "tv": "TV",
    "w1": "W1",
    "visible": "least seen",
}


def _basis(report: Values) -> PageSection:
    """What the verdict rests on, and what was left out."""
    ignored, checked = report["ignored"], report["self_check"]
    left = [f"{ignored[name]:,} rows {text}" for name, text in _LEFT.items() if ignored[name]]
    left += [f"{rows:,} rows of another model, {model_id}" for model_id, rows in ignored["others"].items()]
    said = [*left, *filter(None, (report["power"], report["assumption"]))]
    if checked:
        alarms = f"{checked['alarms']} of {checked['windows']} windows without drift alarmed"
        said.append(f"self-check: {alarms}")
    place = ["Recorded in ", tag("code", report["table"]), f", check {report['check_id']}."]
    body = join([listed(said), tag("p", *place, class_="faint")])
    return PageSection("basis", "What this rests on", "", body)


_LEFT = {
    "traffic": "were not of production and not counted",
    "repeated": "were repeated requests and not counted",
    "late": "reached the log after the window had ended",
    "future": "of the log have an event time to come and were not counted",
}


def _badge(verdict: str) -> Html:
    return badge(_words(verdict), status=_STATUS[verdict])


def _words(verdict: str) -> str:
    return verdict.replace("_", " ")


def _day(text: str) -> str:
    return text.replace("T00:00:00+00:00", "").replace("+00:00", "")
