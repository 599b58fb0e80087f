"""The sides of a plot, its marks and its words.

A plot is drawn without knowing how wide it will be: places across are percents, heights are pixels. So its
texts keep their size on every screen and on paper, with no script.
"""

from __future__ import annotations

import dataclasses
import itertools
from typing import TYPE_CHECKING

from mlkit.page.html import Html, join, tag

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mlkit.page.html import Status
    from mlkit.page.scales import Place, Scale

HEIGHT = 200
"""Pixels of a plot without its marks."""
SIGNS: dict[Status, Html] = {
    "fine": Html('<circle r="4.5"/>'),
    "quiet": Html('<circle r="3"/>'),
    "look": Html('<path d="M0-6 6 0 0 6-6 0z"/>'),
    "act": Html('<path class="open" d="M-4.5-4.5 4.5 4.5M4.5-4.5-4.5 4.5"/>'),
}
"""The shape of each status, around its place."""
_LETTER = 6.9  # pixels of a letter, about
_LEFT, _RIGHT = 20, 80  # percent: names of events beyond stay on the sheet


@dataclasses.dataclass(frozen=True)
class Rule:
    """A threshold or an event: a line across the plot.

    Attributes:
        at: Where.
        label: What it is.
        upright: Whether it stands on the x axis; else it lies at a height.
        status: Its colour.
    """

    at: Place
    label: str
    upright: bool = False
    status: Status = "quiet"


def clipped(text: str, letters: int) -> str:
    """A text that has room for so many letters; what is left out is shown to be."""
    return text if len(text) <= letters else f"{text[: max(letters - 1, 1)]}…"


def room_for(texts: Iterable[str], *, most: int = 22) -> int:
    """Pixels that the longest of some texts needs, of at most so many letters."""
    return round(_LETTER * min(most, max(map(len, texts), default=0))) + 10


def mark(name: str, /, *, said: str = "", inner: object = "", **attributes: object) -> Html:
    """A shape with what it says when a pointer rests on it."""
    return tag(name, *([tag("title", said)] if said else []), inner, **attributes)


def word(text: object, *, x: object = 0, y: float = 0, **attributes: object) -> Html:
    """A text in a plot."""
    return tag("text", text, x=x, y=pixels(y), **attributes)


def percent(value: float) -> str:
    """A place across, short."""
    return f"{value:.2f}".rstrip("0").rstrip(".") + "%"


def pixels(value: float) -> str:
    """A height, short."""
    return f"{value:.1f}".rstrip("0").rstrip(".")


def down(scale: Scale, value: Place, height: float = HEIGHT) -> float:
    """Pixels from the top of a plot."""
    return height * (1 - scale.at(value) / 100)


def path(points: Iterable[tuple[float, float] | None], **attributes: object) -> Html:
    """A line through points; None leaves a gap, and a point between two gaps is a dot.

    Args:
        points: Percents across and from the top.
        attributes: Of the element.
    """
    said = []
    for is_gap, piece in itertools.groupby(points, key=lambda point: point is None):
        places = [] if is_gap else [f"{x * 10:.4g} {y * 10:.4g}" for x, y in filter(None, piece)]
        if places:
            said.append(f"M{'L'.join(places)}{'h0' if len(places) == 1 else ''}")
    return tag("path", d="".join(said), **attributes) if said else Html()


def sheet(shapes: Iterable[object], *, height: float = HEIGHT) -> Html:
    """A part of a plot that is stretched with it: places are thousandths of its width and height."""
    drawn = join(shapes)
    box = {"viewBox": "0 0 1000 1000", "preserveAspectRatio": "none"}
    return tag("svg", drawn, width="100%", height=pixels(height), class_="sheet", **box) if drawn else Html()


def across(scale: Scale, *, label: str = "", height: float = HEIGHT) -> Html:
    """Marks below a plot, and what they are; on a narrow screen every second is left out."""
    shown = []
    for place, (value, text) in enumerate(scale.marks):
        x = scale.at(value)
        side = "start" if x < 3 else "end" if x > 97 else "middle"  # noqa: PLR2004 - none leaves the sheet
        kind = "tick odd" if place % 2 else "tick"
        shown.append(word(text, x=percent(x), y=height + 17, text_anchor=side, class_=kind))
    if label:
        shown.append(word(f"{label} →", x="100%", y=height + 34, text_anchor="end", class_="axis-name"))
    return join(shown)


def upward(scale: Scale, *, label: str = "", height: float = HEIGHT) -> Html:
    """Lines across a plot with their marks at the left, and what they are above."""
    shown = []
    for value, text in scale.marks:
        y = down(scale, value, height)
        shown.append(tag("line", x1="0", x2="100%", y1=pixels(y), y2=pixels(y), class_="grid"))
        shown.append(word(text, x="-7", y=y + 4, text_anchor="end", class_="tick"))
    if label:
        shown.append(word(f"↑ {label}", x="-2", y=-12, class_="axis-name"))
    return join(shown)


def legend(names: Sequence[tuple[str, str]]) -> Html:
    """What is what.

    Args:
        names: Class of the sign, and its name; nothing is drawn for none.
    """
    items = [tag("li", tag("i", class_=f"sign {kind}"), name) for kind, name in names if name]
    return tag("ul", *items, class_="legend") if items else Html()


def plot(
    shapes: Iterable[object],
    *,
    title: str,
    room: tuple[int, int, int, int],
    height: float = HEIGHT,
    described: str = "",
    least: int = 0,
    kind: str = "",
    names: Sequence[tuple[str, str]] = (),
) -> Html:
    """A plot as one element: legend, then the drawing.

    Args:
        shapes: What is drawn.
        title: What a screen reader calls it.
        room: Pixels above, at the right, below and at the left, for marks and names.
        height: Pixels between top and axis.
        described: What it shows, in numbers.
        least: Pixels that it is wide at least; it scrolls where there is less room.
        kind: More classes.
        names: The legend.
    """
    top, right, below, left = room
    style = f"margin:{top}px {right}px {below}px {left}px;width:calc(100% - {left + right}px)"
    drawing = tag(
        "svg",
        *([tag("desc", described)] if described else []),
        *shapes,
        role="img",
        aria_label=title,
        height=pixels(height),
        style=f"{style};min-width:{least}px" if least else style,
        xmlns="http://www.w3.org/2000/svg",
    )
    scrolls = {"tabindex": "0", "role": "group", "aria_label": title} if least else {}
    return tag("div", legend(names), drawing, class_=f"plot {kind}".strip(), **scrolls)


def event(rule: Rule, place: float, *, height: float = HEIGHT, level: int = 0) -> Html:
    """An upright line with its name above.

    Args:
        rule: What it is.
        place: Percent across.
        height: Pixels of the plot.
        level: How many names stand below this one.
    """
    x, side = percent(place), "end" if place > _RIGHT else "start" if place < _LEFT else "middle"
    line = mark("line", said=rule.label, x1=x, x2=x, y1=-4 - 12 * level, y2=pixels(height))
    named = word(rule.label, x=x, y=-7 - 12 * level, text_anchor=side, class_="rule-name")
    return tag("g", line, named, class_=f"rule {rule.status}")
