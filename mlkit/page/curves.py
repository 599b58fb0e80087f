"""Plots along an axis: lines, points, and a line as small as a word."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections import Counter
from typing import TYPE_CHECKING

from mlkit.page.axes import (
    HEIGHT,
    SIGNS,
    Rule,
    across,
    down,
    event,
    mark,
    path,
    percent,
    pixels,
    plot,
    room_for,
    sheet,
    upward,
    word,
)
from mlkit.page.html import Html, join, number, tag
from mlkit.page.scales import as_number, is_finite, scale_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from mlkit.page.html import Status
    from mlkit.page.scales import Place, Scale

_MOST_POINTS = 1000
_MOST_VALUES = 1000
_MOST_HOVERED = 120  # values of a line that say what they are
_PARTS = 250  # of a line with more values: each is drawn by its lowest and highest
_CELLS = (48, 24)  # across and down, of a cloud with more points
_CLOSE = 14  # percent: names of events that are nearer stand one above the other
_KINDS = 6  # colours, dashes and shapes there are


@dataclasses.dataclass(frozen=True)
class Line:
    """Values along an axis.

    Attributes:
        name: What the legend calls it.
        x: Places, rising: numbers or times.
        y: Values; None leaves a gap.
        low: Lower ends of a band around it; empty for none.
        high: Upper ends.
        dashed: Whether it is drawn in dashes.
        stepped: Whether a value holds until the next.
        dots: Whether each value is marked.
    """

    name: str
    x: Sequence[Place]
    y: Sequence[float | None]
    low: Sequence[float | None] = ()
    high: Sequence[float | None] = ()
    dashed: bool = False
    stepped: bool = False
    dots: bool = False


@dataclasses.dataclass(frozen=True)
class Point:
    """One of a cloud.

    Attributes:
        x: Where it stands.
        y: Its height.
        label: What is said of it.
        key: What it stands for in a `selection`; None if nothing.
        group: What the legend calls its kind.
        status: Its sign and colour; None for those of its kind.
    """

    x: Place
    y: float
    label: str = ""
    key: object = None
    group: str = ""
    status: Status | None = None


def line_plot(
    lines: Sequence[Line], *, title: str, x_label: str = "", y_label: str = "", rules: Sequence[Rule] = ()
) -> Html:
    """Values along a number or a time; of more than 1,000 the lowest and highest of each of 250 parts.

    Args:
        lines: Up to six; each has a colour and a dash of its own.
        title: What a screen reader says.
        x_label: What the x axis is.
        y_label: What the y axis is.
        rules: Thresholds and events.
    """
    x, y = _scales([], lines, rules)
    shapes = [*_rules(rules, x, y), sheet(_bands(lines, x, y)), sheet(_strokes(lines, x, y))]
    dots = [shape for place, line in enumerate(lines) for shape in _dots(line, place, x, y)]
    named = [(f"line s{place % _KINDS + 1}", line.name) for place, line in enumerate(lines)]
    return _framed([*shapes, *dots], x, y, title, (x_label, y_label), _told(lines), rules, named)


def scatter_plot(
    points: Sequence[Point],
    *,
    title: str,
    x_label: str = "",
    y_label: str = "",
    lines: Sequence[Line] = (),
    rules: Sequence[Rule] = (),
    diagonal: bool = False,
) -> Html:
    """Points; more than 1,000 are counted in cells, so that none is left out.

    Args:
        points: Where each stands.
        title: What a screen reader says.
        x_label: What the x axis is.
        y_label: What the y axis is.
        lines: Drawn over them, such as the best value so far.
        rules: Thresholds and events.
        diagonal: Whether x = y is drawn, both axes alike.
    """
    found = [point for point in points if is_finite(point.x) and is_finite(point.y)]
    x, y = _scales(found, lines, rules, alike=diagonal)
    groups = list(dict.fromkeys(point.group for point in found))
    many = len(found) > _MOST_POINTS
    cloud, said = _cells(found, x, y) if many else (_marks(found, groups, x, y), f"{len(found):,} points")
    slanted = [path([(0, 100), (100, 0)], class_="rule quiet")] if diagonal else []
    drawn = [*_rules(rules, x, y), sheet(slanted), *cloud, sheet(_strokes(lines, x, y, first=len(groups)))]
    named = [] if many else list(_kinds(found, groups))
    solid = " solid" if len(lines) == 1 else ""
    named += [
        (f"line s{(place + len(groups)) % _KINDS + 1}{solid}", line.name) for place, line in enumerate(lines)
    ]
    made = _framed(drawn, x, y, title, (x_label, y_label), said, rules, named)
    return join([made, tag("p", said, class_="plot-note")]) if many else made


def spark_line(values: Sequence[float | None], *, title: str) -> Html:
    """A line as small as a word.

    Args:
        values: Numbers, the oldest first; None leaves a gap.
        title: What a screen reader says, and a pointer that rests on it.
    """
    y = scale_of(values, tight=True)
    steps = max(len(values) - 1, 1)
    places = [
        (100 * place / steps, 90 - 0.8 * y.at(value)) if value is not None and is_finite(value) else None
        for place, value in enumerate(values)
    ]
    line = sheet([path(places, class_="stroke s1")], height=20)
    last = next((place for place in reversed(places) if place), None)
    end = mark("circle", cx=percent(last[0]), cy=pixels(last[1] / 5), r="2", class_="fill s1") if last else ""
    return tag("svg", tag("title", title), line, end, role="img", class_="spark", aria_label=title)


def _scales(
    points: Sequence[Point], lines: Sequence[Line], rules: Sequence[Rule], *, alike: bool = False
) -> tuple[Scale, Scale]:
    xs: list[Place | None] = [point.x for point in points]
    ys: list[Place | None] = [point.y for point in points]
    for line in lines:
        xs += line.x
        ys += [*line.y, *line.low, *line.high]
    for rule in rules:
        (xs if rule.upright else ys).append(rule.at)
    both = scale_of([*xs, *ys]) if alike else None
    return both or scale_of(xs, tight=not points), both or scale_of(ys)


def _framed(
    shapes: Sequence[object],
    x: Scale,
    y: Scale,
    title: str,
    labels: tuple[str, str],
    said: str,
    rules: Sequence[Rule],
    named: Sequence[tuple[str, str]],
) -> Html:
    """Shapes between their axes."""
    x_label, y_label = labels
    upright = [rule for rule in rules if rule.upright]
    axes = [upward(y, label=y_label), across(x, label=x_label)]
    left = room_for(text for _, text in y.marks)
    return plot(
        [*axes, *shapes],
        title=title,
        described=said,
        room=(26 + 16 * (bool(upright) + bool(upright and y_label)), 14, 44 if x_label else 26, left),
        names=named if len(named) > 1 else (),
    )


def _told(lines: Sequence[Line]) -> str:
    """Each line in words."""
    parts = []
    for line in lines:
        values = [value for value in line.y if value is not None and is_finite(value)]
        range_ = (
            f"{number(min(values))} to {number(max(values))}, last {number(values[-1])}" if values else "none"
        )
        parts.append(f"{line.name}: {len(values):,} values, {range_}" if values else f"{line.name}: no value")
    return "; ".join(parts)


def _strokes(lines: Sequence[Line], x: Scale, y: Scale, *, first: int = 0) -> Iterator[Html]:
    for place, line in enumerate(lines):
        dash = " dashed" if line.dashed else " solid" if len(lines) == 1 else ""
        kind = f"stroke s{(place + first) % _KINDS + 1}{dash}"
        yield path(_stepped(line, x, y) if line.stepped else _places(line.x, line.y, x, y), class_=kind)


def _places(
    xs: Sequence[Place], ys: Sequence[float | None], x: Scale, y: Scale
) -> Iterator[tuple[float, float] | None]:
    """Places of values; of too many the lowest and highest of each part."""
    for at, value in _thinned(xs, ys):
        yield None if value is None or not is_finite(value) else (x.at(at), 100 - y.at(value))


def _thinned(xs: Sequence[Place], ys: Sequence[float | None]) -> Iterable[tuple[Place, float | None]]:
    pairs = list(zip(xs, ys, strict=True))
    if len(pairs) <= _MOST_VALUES:
        return pairs
    size = math.ceil(len(pairs) / _PARTS)
    parts = [pairs[start : start + size] for start in range(0, len(pairs), size)]
    return [each for part in parts for each in _ends(part)]


def _ends(part: Sequence[tuple[Place, float | None]]) -> list[tuple[Place, float | None]]:
    """The lowest and highest of a part, in their order; a gap where it has none."""
    values = [pair for pair in part if is_finite(pair[1])]
    if not values:
        return [part[0]]
    ends = (min(values, key=lambda pair: pair[1] or 0.0), max(values, key=lambda pair: pair[1] or 0.0))
    return sorted(ends, key=lambda pair: as_number(pair[0]))


def _stepped(line: Line, x: Scale, y: Scale) -> Iterator[tuple[float, float] | None]:
    """Each value holds until the next."""
    before = None
    for place in _places(line.x, line.y, x, y):
        if before and place:
            yield place[0], before[1]
        yield place
        before = place


def _bands(lines: Sequence[Line], x: Scale, y: Scale) -> Iterator[Html]:
    """Around each line that has one; a value without a band leaves a gap in it."""
    for place, line in enumerate(lines):
        ends = zip(
            _places(line.x[: len(line.low)], line.low, x, y),
            _places(line.x[: len(line.high)], line.high, x, y),
            strict=True,
        )
        for is_whole, piece in itertools.groupby(ends, key=all):
            low, high = zip(*piece, strict=True)
            if is_whole:
                yield path([*high, *reversed(low), high[0]], class_=f"band s{place % _KINDS + 1}")


def _dots(line: Line, place: int, x: Scale, y: Scale) -> Iterator[Html]:
    """What each value is, when a pointer rests on it; seen where the line asks for dots, or has no length."""
    if len(line.x) > _MOST_HOVERED:
        return
    for before, (at, value), after in _neighbours(line):
        if value is not None and is_finite(value):
            said = f"{line.name}, {x.told(at)}: {number(value)}"
            where = {"cx": percent(x.at(at)), "cy": pixels(down(y, value))}
            if line.dots or not (is_finite(before) or is_finite(after)):
                yield mark("circle", r="3", class_=f"fill s{place % _KINDS + 1}", **where)
            yield mark("circle", said=said, r="8", class_="touch", **where)


def _neighbours(line: Line) -> Iterator[tuple[float | None, tuple[Place, float | None], float | None]]:
    """Each value with the one before and the one after."""
    values = [None, *line.y, None]
    return zip(values, zip(line.x, line.y, strict=True), values[2:], strict=False)


def _marks(points: Sequence[Point], groups: Sequence[str], x: Scale, y: Scale) -> Iterator[Html]:
    for point in points:
        place = groups.index(point.group) % _KINDS
        said = point.label or f"{x.told(point.x)}, {number(point.y)}"
        where = {"x": percent(x.at(point.x)), "y": pixels(down(y, point.y))}
        shape = SIGNS[point.status] if point.status else Html(_SHAPES[place])
        kind = f"point {point.status or f's{place + 1}'}"
        yield mark("svg", said=said, inner=shape, class_=kind, data_key=point.key, **where)


_SHAPES = (
    '<circle r="4"/>',
    '<rect x="-3.5" y="-3.5" width="7" height="7"/>',
    '<path d="M0-5 5 4H-5z"/>',
    '<path d="M0-5 5 0 0 5-5 0z"/>',
    '<path d="M-5-4H5L0 5z"/>',
    '<path class="open" d="M-4-4 4 4M4-4-4 4"/>',
)
"""One for each colour, around its point."""


def _kinds(points: Sequence[Point], groups: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Sign and name of each group."""
    statuses = {point.group: point.status for point in points}
    for place, name in enumerate(groups):
        yield f"dot {statuses[name] or f's{place % _KINDS + 1}'}", name


def _cells(points: Sequence[Point], x: Scale, y: Scale) -> tuple[Iterator[Html], str]:
    """Rows of a cloud by cell, the fuller the darker."""
    wide, high = _CELLS
    counted = Counter(
        (min(int(x.at(p.x) / 100 * wide), wide - 1), min(int(y.at(p.y) / 100 * high), high - 1))
        for p in points
    )
    fullest = max(counted.values())
    drawn = (
        mark(
            "rect",
            said=f"{rows:,} points",
            x=percent(100 * column / wide),
            y=pixels(HEIGHT * (high - row - 1) / high),
            width=percent(100 / wide),
            height=pixels(HEIGHT / high),
            class_="cell s1",
            fill_opacity=f"{0.12 + 0.88 * math.log1p(rows) / math.log1p(fullest):.2f}",
        )
        for (column, row), rows in sorted(counted.items())
    )
    return drawn, f"{len(points):,} points, counted in cells; the fullest holds {fullest:,}"


def _rules(rules: Sequence[Rule], x: Scale, y: Scale) -> Iterator[Html]:
    """Thresholds, and events with their labels above."""
    for rule in rules:
        if not rule.upright:
            yield _threshold(rule, y)
    before, level = -math.inf, 0
    for rule in sorted((rule for rule in rules if rule.upright), key=lambda rule: as_number(rule.at)):
        place = x.at(rule.at)
        level = 1 - level if place - before < _CLOSE else 0
        before = place
        yield event(rule, place, level=level)


def _threshold(rule: Rule, y: Scale) -> Html:
    height = down(y, rule.at)
    line = mark("line", x1="0", x2="100%", y1=pixels(height), y2=pixels(height), class_=f"rule {rule.status}")
    below = 14 if height < 14 else -5  # noqa: PLR2004 - the height of a text
    named = word(rule.label, x="100%", y=height + below, text_anchor="end", class_=f"rule-name {rule.status}")
    return join([line, named])
