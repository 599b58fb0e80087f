"""Markup that cannot be mixed up with text, and the parts that every page has."""

from __future__ import annotations

import dataclasses
import datetime as dt
import html
import json
import math
import numbers
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, TypeGuard, cast

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

Status = Literal["act", "look", "fine", "quiet"]
"""How much something asks of a reader; each has a sign and a colour of its own."""

_VOID = frozenset({"area", "br", "col", "hr", "img", "input", "link", "meta", "wbr"})
_SIGNS: dict[Status, str] = {"act": "✕", "look": "!", "fine": "✓", "quiet": "\N{EN DASH}"}
_NOTHING = "\N{EN DASH}"
_TAG = re.compile(r"<[^>]*>")
_NUMERIC = re.compile(r"[-+]?[0-9][0-9,]*(\.[0-9]+)?%?")
_MOST_LINES = 60  # of code; more stand in two columns on paper
_LONG = 40  # letters of a cell that may take more than one line
_HUGE, _TINY = 1e12, 1e-4  # numbers beyond are shown as powers of ten


class Html(str):
    """Markup. What is no `Html` is text, and is escaped before it stands in a page."""

    __slots__ = ()


def escaped(text: object) -> Html:
    """Any value as text of a page; markup stays as it is.

    Args:
        text: A value, as `str` shows it, or markup.
    """
    return text if isinstance(text, Html) else Html(html.escape(str(text), quote=True))


def join(parts: Iterable[object], *, between: object = "") -> Html:
    """Parts one after the other; what is no markup is escaped."""
    return Html(escaped(between).join(map(escaped, parts)))


def tag(name: str, /, *children: object, **attributes: object) -> Html:
    """One element.

    Args:
        name: What it is, such as ``p``.
        children: What stands in it; what is no markup is escaped.
        attributes: A trailing underscore is dropped (``class_``), one inside becomes a hyphen
            (``aria_label``); True gives the name alone, None and False nothing.
    """
    said = "".join(_attribute(key, value) for key, value in attributes.items())
    return Html(f"<{name}{said}>" if name in _VOID else f"<{name}{said}>{join(children)}</{name}>")


def _attribute(key: str, value: object) -> str:
    name = key.rstrip("_").replace("_", "-")
    if value is None or value is False:
        return ""
    return f" {name}" if value is True else f' {name}="{escaped(str(value))}"'


def number(value: float | None, *, digits: int = 4) -> str:
    """A number for people: thousands apart, `digits` that matter, a dash where there is none.

    Args:
        value: Any real number; None, nan and what else is not finite get a dash.
        digits: How many digits matter.
    """
    if value is None or not math.isfinite(value):
        return _NOTHING
    if isinstance(value, numbers.Integral):
        return f"{int(value):,}"
    return _decimal(float(value), _decimals([float(value)], digits))


def numbers_alike(values: Sequence[float | None], *, digits: int = 4) -> list[str]:
    """Numbers of one kind for people: all with the same digits behind the point.

    Args:
        values: Real numbers; what is none or not finite gets a dash.
        digits: How many digits of the largest matter.
    """
    finite = [value for value in values if _is_finite(value)]
    whole = all(isinstance(value, numbers.Integral) for value in finite)
    decimals = 0 if whole else _decimals(finite, digits)
    return [_decimal(float(value), decimals) if _is_finite(value) else _NOTHING for value in values]


def _decimals(values: Sequence[float], digits: int = 4) -> int | None:
    """Digits behind the point that all of a column are shown with; None if no such number does."""
    sizes = [abs(value) for value in values if value]
    highest = max(sizes, default=1.0)
    if highest >= _HUGE or highest < _TINY:
        return None
    needed = max(0, digits - 1 - math.floor(math.log10(highest)))
    rounded = [round(value, needed) for value in values]
    return next(
        (some for some in range(needed) if all(round(value, some) == value for value in rounded)), needed
    )


def _decimal(value: float, decimals: int | None) -> str:
    """A number with so many digits behind the point, or as a power of ten."""
    too_small = decimals is not None and value and abs(value) < 0.5 * 10.0**-decimals
    if decimals is None or too_small:
        return f"{value:.4g}" if decimals is None else f"{value:.2g}"
    return f"{value:,.{decimals}f}"


def badge(text: object, *, status: Status) -> Html:
    """A short word with a sign and a colour."""
    return tag(
        "span", tag("span", _SIGNS[status], class_="sign", aria_hidden="true"), text, class_=f"badge {status}"
    )


def tiles(items: Iterable[tuple[object, object]]) -> Html:
    """Some figures side by side.

    Args:
        items: Of each what it is, and its value: a number, a text or markup.
    """
    shown = [tag("div", tag("dt", name), tag("dd", _value(value))) for name, value in items]
    return tag("dl", *shown, class_="tiles")


def facts(items: Mapping[str, object]) -> Html:
    """Names and what they stand for, one below the other."""
    shown = [tag("div", tag("dt", name), tag("dd", _value(value))) for name, value in items.items()]
    return tag("dl", *shown, class_="facts")


def listed(items: Iterable[object]) -> Html:
    """A list with a dot for each item; nothing at all where there is none."""
    shown = [tag("li", item) for item in items]
    return tag("ul", *shown) if shown else Html()


def code(text: str) -> Html:
    """A command or some lines of code, with a button that copies it (where there is a script)."""
    kind = "code lengthy" if text.count("\n") > _MOST_LINES else "code"
    return tag("pre", tag("code", text), class_=kind, tabindex="0")


def details(summary: object, *body: object, is_open: bool = False) -> Html:
    """What only some want to see, behind one line."""
    return tag("details", tag("summary", summary), *body, open=is_open)


def table(
    headers: Sequence[object],
    rows: Iterable[Sequence[object]],
    *,
    sortable: bool = False,
    keys: Sequence[object] | None = None,
    label: str = "",
) -> Html:
    """Rows and columns; a wide one scrolls by itself.

    Args:
        headers: What each column is.
        rows: Cells: markup as it is; numbers at the right with one precision a column; times; texts, at the
            right where all of a column are like ``+1.5%``; a dash for None.
        sortable: Whether a click on a header sorts (with a script; without, rows stay as given).
        keys: What each row stands for, such as a trial's number: inside `selection` it can be ticked.
        label: What a screen reader calls the table.
    """
    cells = [list(row) for row in rows]
    columns = [_column([row[place] for row in cells]) for place in range(len(headers))]
    head = [
        tag("th", name, scope="col", class_=column.kind) if name else tag("td")
        for name, column in zip(headers, columns, strict=True)
    ]
    body = [
        tag("tr", *_row(row, columns, sortable=sortable), data_key=None if keys is None else keys[place])
        for place, row in enumerate(cells)
    ]
    grid = tag(
        "table", tag("thead", tag("tr", *head)), tag("tbody", *body), class_="sortable" if sortable else None
    )
    named = label or ", ".join(str(name) for name in headers if not isinstance(name, Html))
    return tag("div", grid, class_="wide", tabindex="0", role="region", aria_label=named)


@dataclasses.dataclass(frozen=True)
class _Column:
    """How the cells of a column are shown: at the right, and with so many digits behind the point."""

    is_number: bool
    decimals: int | None

    @property
    def kind(self) -> str | None:
        """Its class."""
        return "n" if self.is_number else None


def _column(values: Sequence[object]) -> _Column:
    found = [value for value in values if value is not None]
    real = [value for value in found if is_number(value)]
    whole = all(isinstance(value, numbers.Integral) for value in real)
    alike = bool(found) and all(_rank(value) is not None or is_number(value) for value in found)
    return _Column(alike, 0 if whole else _decimals([value for value in real if math.isfinite(value)]))


def _rank(value: object) -> float | None:
    """The number that a cell is or, such as ``+1.5%``, looks like."""
    if isinstance(value, str):
        return float(value.rstrip("%").replace(",", "")) if _NUMERIC.fullmatch(value) else None
    return float(value) if _is_finite(value) else None


def _row(values: Sequence[object], columns: Sequence[_Column], *, sortable: bool) -> Iterator[Html]:
    for place, (value, column) in enumerate(zip(values, columns, strict=True)):
        name, scope = ("td", None) if place else ("th", "row")
        is_plain = column.is_number and _is_finite(value)
        shown = _decimal(float(cast("float", value)), column.decimals) if is_plain else _value(value)
        rank = value.isoformat() if isinstance(value, dt.date) else _rank(value)
        kind = column.kind or ("long" if _letters(value) > _LONG else None)
        yield tag(name, shown, scope=scope, class_=kind, data_value=rank if sortable else None)


def _letters(value: object) -> int:
    """How many letters of a text are seen."""
    return len(_TAG.sub("", value)) if isinstance(value, str) else 0


def _value(value: object) -> object:
    """A value of a cell or a tile, for people."""
    if value is None:
        return tag("span", _NOTHING, class_="faint")
    if isinstance(value, dt.datetime):
        return moment(value)
    return number(value) if is_number(value) else value


def moment(at: dt.datetime) -> str:
    """A time to the minute, in UTC; a time without a zone is taken for that."""
    told = at.astimezone(dt.UTC) if at.tzinfo else at
    return f"{told:%Y-%m-%d %H:%M}"


def is_number(value: object) -> TypeGuard[float]:
    """Whether it is a real number, of Python or numpy; true and false are none."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _is_finite(value: object) -> TypeGuard[float]:
    return is_number(value) and math.isfinite(value)


def figure(plot: Html, *, caption: object, table: Html | None = None) -> Html:
    """A plot with what it shows in words, and its numbers behind one line.

    Args:
        plot: What `mlkit.page.plots` draws.
        caption: One sentence.
        table: The numbers.
    """
    numbers_of_it = tag("details", tag("summary", "Numbers"), table, class_="numbers") if table else Html()
    return tag("figure", plot, tag("figcaption", caption), numbers_of_it)


def selection(*parts: object, code: str, noun: str = "trial") -> Html:
    """Tables and plots that share what is selected in any of them.

    Rows of `table(keys=)`, points of `scatter_plot`, spans of `timeline_plot` and lines of `parallel_plot`
    with one key are the same thing. Without a script nothing can be selected, and everything can be read.

    Args:
        parts: Markup.
        code: Python that gets the same selection; ``{keys}`` stands for the selected keys, comma between.
        noun: What one of them is called.
    """
    return tag("div", *parts, class_="selection", data_code=code, data_noun=noun)


def json_script(name: str, values: object) -> Html:
    """Plain values as JSON that a script of the page, or a reader of the file, finds by `name`.

    Args:
        name: The element's id.
        values: What `json` knows; numbers that are not finite become null, what it does not know its text.
    """
    text = json.dumps(_plain(values), ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=str)
    return tag("script", Html(text.replace("<", "\\u003c")), type="application/json", id=name)


def _plain(values: object) -> object:
    """Without what JSON has no word for."""
    if isinstance(values, Mapping):
        return {str(name): _plain(value) for name, value in values.items()}
    if isinstance(values, (list, tuple)):
        return [_plain(value) for value in values]
    return None if isinstance(values, float) and not math.isfinite(values) else values
