"""Plots of named values: bars, intervals, two histograms in one, and a shaded table."""

from __future__ import annotations

import dataclasses
import math
import re
from typing import TYPE_CHECKING

from mlkit.page.axes import across, clipped, event, mark, percent, pixels, plot, room_for, upward, word
from mlkit.page.html import Html, number, numbers_alike, tag
from mlkit.page.scales import Scale, is_finite, scale_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from mlkit.page.axes import Rule

_ROW, _TALL_ROW = 26, 36  # pixels of a named value, without a note and with one
_LETTERS = 18  # of a name
_KINDS = 6
_FLOOR = 110  # pixels of a histogram
_COARSE = 0.1  # a share that is told without a digit behind the point
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?(e[-+][0-9]+)?")
_FEW = 6  # labels that all stand on a phone too
_ACROSS, _NARROW = 600, 300  # pixels that it has, about


@dataclasses.dataclass(frozen=True)
class Bar:
    """A value with a name.

    Attributes:
        label: Its name.
        value: How long it is; None says that there is none.
        low: Lower end of what it may be; None for no interval.
        high: Upper end.
        note: What else is said, such as ``n = 1,204``.
        group: What the legend calls its kind.
    """

    label: str
    value: float | None
    low: float | None = None
    high: float | None = None
    note: str = ""
    group: str = ""


def bar_plot(bars: Sequence[Bar], *, title: str, x_label: str = "", rules: Sequence[Rule] = ()) -> Html:
    """Lying bars from zero, one below the other; an interval where one is given.

    Args:
        bars: From top to bottom.
        title: What a screen reader says.
        x_label: What the numbers are.
        rules: Upright lines.
    """
    return _rows(bars, title, x_label, rules, zero=True)


def interval_plot(bars: Sequence[Bar], *, title: str, x_label: str = "", rules: Sequence[Rule] = ()) -> Html:
    """Dots with their intervals, one below the other, not from zero.

    Args:
        bars: From top to bottom.
        title: What a screen reader says.
        x_label: What the numbers are.
        rules: Upright lines.
    """
    return _rows(bars, title, x_label, rules, zero=False)


def _rows(bars: Sequence[Bar], title: str, x_label: str, rules: Sequence[Rule], *, zero: bool) -> Html:
    ends = [each for bar in bars for each in (bar.value, bar.low, bar.high)]
    x = scale_of([*ends, *(rule.at for rule in rules)], zero=zero)
    size = _TALL_ROW if any(bar.note for bar in bars) else _ROW
    height = size * max(len(bars), 1)
    groups = list(dict.fromkeys(bar.group for bar in bars))
    told = numbers_alike([bar.value for bar in bars])
    left = room_for((bar.label for bar in bars), most=_LETTERS)
    colours = {group: f"s{place % _KINDS + 1}" for place, group in enumerate(groups)}
    shapes = [
        *_grid(x, height),
        *(
            tag("g", *_row(bar, text, x, size * (place + 0.5), colour=colours[bar.group], zero=zero))
            for place, (bar, text) in enumerate(zip(bars, told, strict=True))
        ),
        *(event(rule, x.at(rule.at), height=height) for rule in rules),
        across(x, label=x_label, height=height),
    ]
    return plot(
        shapes,
        title=title,
        described="; ".join(map(_said, bars, told)),
        height=height,
        room=(20 if rules else 6, room_for(told) + 4, 44 if x_label else 26, left),
        kind="rows",
        names=[(f"dot s{place % _KINDS + 1}", name) for place, name in enumerate(groups)],
    )


def _said(bar: Bar, told: str) -> str:
    """A value in words."""
    until = f", {number(bar.low)} to {number(bar.high)}" if _has_interval(bar) else ""
    return f"{bar.label}: {told}{until}{f' ({bar.note})' if bar.note else ''}"


def _has_interval(bar: Bar) -> bool:
    return is_finite(bar.low) and is_finite(bar.high)


def _grid(x: Scale, height: float) -> Iterator[Html]:
    for value, _ in x.marks:
        place = percent(x.at(value))
        kind = "axis" if value == 0 else "grid"
        yield mark("line", x1=place, x2=place, y1=0, y2=pixels(height), class_=kind)


def _row(bar: Bar, told: str, x: Scale, middle: float, *, colour: str, zero: bool) -> Iterator[Html]:
    """Name, bar or dot, interval and number."""
    name = middle + (-2 if bar.note else 4)
    yield word(clipped(bar.label, _LETTERS), x=-8, y=name, text_anchor="end", class_="row-name")
    yield word(bar.note, x=-8, y=name + 13, text_anchor="end", class_="note") if bar.note else Html()
    if zero:
        yield from _box(bar, middle, x, colour=colour)
    yield from _interval(bar, middle, x, colour="over" if zero else colour)
    if is_finite(bar.value) and not zero:
        place = percent(x.at(bar.value or 0.0))
        yield mark("circle", cx=place, cy=pixels(middle), r="4.5", class_=f"fill {colour}")
    yield word(told, x="100%", y=middle + 4, dx=room_for([told]) + 4, text_anchor="end", class_="row-value")
    area = {"x": "0", "width": "100%", "y": pixels(middle - _ROW / 2), "height": f"{_ROW}"}
    yield mark("rect", said=_said(bar, told), class_="touch", **area)


def _box(bar: Bar, middle: float, x: Scale, *, colour: str) -> Iterator[Html]:
    if is_finite(bar.value):
        start, end = sorted((x.at(0.0), x.at(bar.value or 0.0)))
        box = {"x": percent(start), "width": percent(end - start), "y": pixels(middle - 8), "height": "16"}
        yield mark("rect", rx="2", class_=f"fill {colour}", **box)


def _interval(bar: Bar, middle: float, x: Scale, *, colour: str) -> Iterator[Html]:
    if not _has_interval(bar):
        return
    start, end = percent(x.at(bar.low or 0.0)), percent(x.at(bar.high or 0.0))
    yield mark("line", x1=start, x2=end, y1=pixels(middle), y2=pixels(middle), class_=f"whisker {colour}")
    for place in (start, end):
        ends = {"y1": pixels(middle - 4), "y2": pixels(middle + 4)}
        yield mark("line", x1=place, x2=place, class_=f"whisker {colour}", **ends)


def histogram_pair(
    labels: Sequence[str],
    reference: Sequence[float],
    observed: Sequence[float],
    *,
    title: str,
    names: tuple[str, str] = ("reference", "this window"),
    marked: Collection[str] = (),
) -> Html:
    """Shares of rows by bin, of two sets of rows; a bin that is empty in both takes no room.

    Args:
        labels: What each bin holds.
        reference: Rows by bin; any unit, shares are drawn.
        observed: Rows by bin of the other.
        title: What a screen reader says.
        names: What the legend calls them.
        marked: Labels of bins with a mark above.

    Returns:
        The plot; nothing where either has no row.
    """
    pairs = zip(labels, _shares(reference), _shares(observed), strict=False)
    cells = [cell for cell in pairs if cell[1] or cell[2]]
    if not cells:
        return Html()
    highest, step = max(max(old, new) for _, old, new in cells), 100 / len(cells)
    y = Scale(0.0, highest, ((0.0, "0%"), (highest, f"{highest:.{0 if highest >= _COARSE else 1}%}")))
    drawn = [
        _pair(cell, step * place, step, highest, names=names, marked=marked)
        for place, cell in enumerate(cells)
    ]
    shapes = [upward(y, height=_FLOOR), *drawn, *_ticks([label for label, _, _ in cells], step)]
    legend = (("box ref", names[0]), ("box win", names[1]), *((("caret", "moved"),) if marked else ()))
    return plot(shapes, title=title, height=_FLOOR, names=legend, room=(18, 14, 24, 44), kind="pair")


def _shares(counts: Sequence[float]) -> list[float]:
    total = sum(counts)
    return [count / total for count in counts] if total else []


def _pair(
    cell: tuple[str, float, float],
    x: float,
    step: float,
    highest: float,
    *,
    names: tuple[str, str],
    marked: Collection[str],
) -> Html:
    """Both bars of a bin: the reference behind, the other before it."""
    label, old, new = cell
    said = f"{label}: {names[0]} {old:.2%}, {names[1]} {new:.2%}"
    parts = [
        _standing("ref", x + 0.06 * step, 0.88 * step, old / highest),
        _standing("win", x + 0.28 * step, 0.44 * step, new / highest),
    ]
    if label in marked:
        top = _FLOOR * (1 - max(old, new) / highest)
        parts.append(word("▾", x=percent(x + step / 2), y=top - 3, text_anchor="middle", class_="caret"))
    return mark("g", said=said, inner=Html("".join(parts)))


def _standing(kind: str, x: float, width: float, share: float) -> Html:
    tall = share * _FLOOR
    box = {"x": percent(x), "width": percent(width), "y": pixels(_FLOOR - tall), "height": pixels(tall)}
    return mark("rect", class_=kind, **box)


def _ticks(labels: Sequence[str], step: float) -> Iterator[Html]:
    """As many labels as there is room for, every second not on a phone."""
    texts = [_short(label) for label in labels]
    few = len(texts) <= _FEW
    longest = min(max(map(len, texts)), _LETTERS // 2)
    every = 1 if few else math.ceil(len(texts) * room_for(["0" * longest]) / _ACROSS)
    room = max(4, int((_NARROW if few else _ACROSS) * step * every / 700))
    for place in range(0, len(texts), every):
        middle = step * (place + 0.5)
        side = "start" if middle < 4 else "end" if middle > 96 else "middle"  # noqa: PLR2004 - on the sheet
        x = 0.0 if side == "start" else 100.0 if side == "end" else middle
        kind = "tick odd" if place // every % 2 and not few else "tick"
        text = clipped(texts[place], room)
        yield word(text, x=percent(x), y=_FLOOR + 16, text_anchor=side, class_=kind)


def _short(label: str) -> str:
    """Of a range its beginning, as a number for people."""
    first, is_range, _ = label.partition(" to ")
    return number(float(first), digits=3) if is_range and _NUMBER.fullmatch(first) else first


def heat_table(
    labels: Sequence[str],
    counts: Sequence[Sequence[float]],
    *,
    title: str,
    rows: str = "actual",
    columns: str = "predicted",
) -> Html:
    """Counts by two sets of classes, such as a confusion matrix: cells are shaded by their share of the row.

    Args:
        labels: The classes.
        counts: One row of counts for each class.
        title: What a screen reader calls it.
        rows: What the rows are.
        columns: What the columns are.
    """
    corner = tag("td", tag("span", f"{rows} ↓  {columns} →"), class_="corner")
    head = tag("tr", corner, *(tag("th", label, scope="col", class_="n") for label in labels))
    body = [
        tag("tr", tag("th", label, scope="row"), *_shaded(row, place))
        for place, (label, row) in enumerate(zip(labels, counts, strict=True))
    ]
    grid = tag("table", tag("thead", head), tag("tbody", *body), class_="heat")
    return tag("div", grid, class_="wide", tabindex="0", role="region", aria_label=title)


def _shaded(row: Sequence[float], place: int) -> Iterator[Html]:
    """Cells of one class; those of the class itself have a frame."""
    total = sum(row)
    for column, count in enumerate(row):
        share = count / total if total else 0.0
        kind = "n same" if column == place else "n"
        small = tag("small", f"{share:.0%}" if total else "")
        yield tag("td", number(count), small, class_=kind, style=f"--p:{55 * share:.0f}%")
