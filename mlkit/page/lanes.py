"""Plots of many things side by side: what lasted how long, and rows through several axes."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from mlkit.page.axes import SIGNS, across, clipped, event, mark, percent, pixels, plot, room_for, sheet, word
from mlkit.page.html import Html, Status, is_number, join, number, tag
from mlkit.page.scales import Place, Scale, is_finite, names_scale, scale_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from mlkit.page.axes import Rule

    Value = float | str | None

_LANE = 28  # pixels of a row
_LETTERS = 18  # of its name
_TALL = {"fine": 18, "look": 18, "quiet": 10, "act": 18}  # pixels of a span: states differ without colour too
_HEIGHT = 220  # pixels of an axis
_BELOW = 24  # pixels under it, where what has no value goes through
_APART = 92  # pixels between two axes at least
_FEW = 2  # ends of an axis


@dataclasses.dataclass(frozen=True)
class Span:
    """Something that lasted, or happened.

    Attributes:
        lane: The row it stands in.
        start: When it began.
        end: When it ended; None if it happened at one time.
        label: What is said of it.
        status: Its colour and sign.
        key: What it stands for in a `selection`; None if nothing.
    """

    lane: str
    start: Place
    end: Place | None = None
    label: str = ""
    status: Status = "quiet"
    key: object = None


def timeline_plot(
    spans: Sequence[Span],
    *,
    title: str,
    rules: Sequence[Rule] = (),
    names: Mapping[Status, str] | None = None,
    x_label: str = "",
) -> Html:
    """What lasted how long: one row for each lane, in the order they appear.

    Args:
        spans: What lasted, or happened.
        title: What a screen reader says.
        rules: Upright lines.
        names: What each status means here, for the legend.
        x_label: What the x axis is, if not time.
    """
    lanes = list(dict.fromkeys(span.lane for span in spans))
    x = scale_of(
        [at for span in spans for at in (span.start, span.end)] + [rule.at for rule in rules], tight=True
    )
    height = _LANE * max(len(lanes), 1)
    rows = [each for place, lane in enumerate(lanes) for each in _lane(lane, place)]
    shapes = [
        *rows,
        *(_span(span, lanes.index(span.lane), x) for span in spans),
        *(event(rule, x.at(rule.at), height=height) for rule in rules),
        across(x, label=x_label, height=height),
    ]
    return plot(
        shapes,
        title=title,
        described="; ".join(_said(span, x) for span in spans[:_LETTERS]),
        height=height,
        room=(22 if rules else 8, 14, 44 if x_label else 28, room_for(lanes, most=_LETTERS)),
        kind="lanes",
        names=[(f"box {status}", name) for status, name in (names or {}).items()],
    )


def _lane(name: str, place: int) -> Iterator[Html]:
    middle = _LANE * (place + 0.5)
    yield mark("line", x1="0", x2="100%", y1=pixels(middle), y2=pixels(middle), class_="grid")
    yield word(clipped(name, _LETTERS), x=-8, y=middle + 4, text_anchor="end", class_="row-name")


def _said(span: Span, x: Scale) -> str:
    """A span in words."""
    until = f" to {x.told(span.end)}" if span.end is not None else ""
    return f"{span.label or span.lane}: {x.told(span.start)}{until}"


def _span(span: Span, lane: int, x: Scale) -> Html:
    """A box with its label inside, as far as it fits; a diamond for what has no length."""
    start, middle = x.at(span.start), _LANE * (lane + 0.5)
    if span.end is None:
        drawn = mark("svg", inner=SIGNS[span.status], x=percent(start), y=pixels(middle), class_="point")
    else:
        tall = _TALL[span.status]
        place = {"x": percent(start), "y": pixels(middle - tall / 2)}
        size = {"width": percent(max(x.at(span.end) - start, 0.0)), "height": pixels(tall)}
        drawn = join([mark("rect", rx="2", **place, **size), *_inside(span, {**place, **size}, tall)])
    return mark("g", said=_said(span, x), inner=drawn, class_=f"span {span.status}", data_key=span.key)


def _inside(span: Span, place: Mapping[str, str], tall: int) -> Iterator[Html]:
    if span.label and tall > 12:  # noqa: PLR2004 - as high as a text
        yield mark("svg", inner=word(clipped(span.label, 40), x=6, y=tall / 2 + 4), class_="inside", **place)


def parallel_plot(
    columns: Mapping[str, Sequence[Value]],
    *,
    title: str,
    keys: Sequence[object] = (),
    log: Collection[str] = (),
    highest_is_best: bool | None = None,
) -> Html:
    """One line for each row through one axis for each column; the last column colours it.

    Args:
        columns: Values of each axis, numbers or names; what has None goes through below the axis.
        title: What a screen reader says.
        keys: What each row stands for in a `selection`; there an axis can be brushed.
        log: Columns on a logarithmic axis.
        highest_is_best: Which end of the last column stands out; None if neither.
    """
    scales = [_axis_scale(values, log=name in log) for name, values in columns.items()]
    heights = [
        [_height(scale, value) for value in values]
        for scale, values in zip(scales, columns.values(), strict=True)
    ]
    steps = max(len(scales) - 1, 1)
    places = [100 * place / steps for place in range(len(scales))]
    rows = list(zip(*heights, strict=True))
    shares = _ranked(heights[-1] if heights else [], highest_is_best)
    order = sorted(range(len(rows)), key=lambda row: shares[row])
    labels = [_row_said(columns, row) for row in range(len(rows))]
    lines = [
        _row_line(rows[row], places, shares[row], labels[row], keys[row] if keys else None) for row in order
    ]
    axes = [_axis(name, scale, place) for (name, scale, place) in zip(columns, scales, places, strict=True)]
    if any(None in column for column in heights):
        axes.append(word("none", x=-8, y=_HEIGHT + _BELOW / 2 + 4, text_anchor="end", class_="tick"))
    return plot(
        [sheet(lines, height=_HEIGHT), *axes],
        title=title,
        described=f"{len(rows):,} lines through {len(scales)} axes",
        height=_HEIGHT,
        room=(34, 66, _BELOW + 14, 54),
        least=_APART * steps,
        kind="parallel",
    )


def _axis_scale(values: Sequence[Value], *, log: bool) -> Scale:
    if any(isinstance(value, str) for value in values):
        return names_scale([str(value) for value in values if value is not None])
    found = [float(value) for value in values if is_number(value)]
    return scale_of(found, log=log, tight=True)


def _height(scale: Scale, value: Value) -> float | None:
    """Percent from the top of an axis; None where there is no value."""
    if value is None:
        return None
    if scale.names:
        return 100 - scale.at(float(scale.names.index(str(value))))
    place = float(value)
    return None if not is_finite(place) or (scale.is_log and place <= 0) else 100 - scale.at(place)


def _ranked(heights: Sequence[float | None], highest_is_best: bool | None) -> list[float]:  # noqa: FBT001
    """How much each row stands out, 0 to 1, by its rank in the last column."""
    known = sorted({height for height in heights if height is not None}, reverse=highest_is_best is not False)
    if highest_is_best is None or len(known) < _FEW:
        return [0.0 if height is None else 0.6 for height in heights]
    return [0.0 if height is None else known.index(height) / (len(known) - 1) for height in heights]


def _row_said(columns: Mapping[str, Sequence[Value]], row: int) -> str:
    told = ((name, values[row]) for name, values in columns.items())
    return ", ".join(f"{name} {_value(value)}" for name, value in told)


def _value(value: Value) -> str:
    return value if isinstance(value, str) else number(value)


def _row_line(
    heights: Sequence[float | None], places: Sequence[float], share: float, said: str, key: object
) -> Html:
    below = 100 * (1 + _BELOW / 2 / _HEIGHT)
    points = [
        f"{x * 10:.4g},{(below if y is None else y) * 10:.4g}" for x, y in zip(places, heights, strict=True)
    ]
    style = f"--p:{100 * share:.0f}%"
    return mark("polyline", said=said, points=" ".join(points), class_="row", style=style, data_key=key)


def _axis(name: str, scale: Scale, place: float) -> Html:
    x = percent(place)
    texts = [
        word(clipped(text, 10), x=x, y=_HEIGHT * (1 - scale.at(value) / 100) + 4, dx="6", class_="tick halo")
        for value, text in scale.marks
    ]
    line = tag("line", x1=x, x2=x, y1="0", y2=_HEIGHT, class_="axis")
    handle = tag("rect", x=x, y="-10", width="28", height=_HEIGHT + 20, class_="brush")
    named = mark(
        "text", said=name, inner=clipped(name, 14), x=x, y=-16, text_anchor="middle", class_="row-name"
    )
    return tag("g", line, *texts, named, handle, class_="axis-group")
