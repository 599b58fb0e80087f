"""Figures: what the user kept by `project.figure`, in the order of the calls, each in a tree of its own."""

from __future__ import annotations

import base64
import datetime as dt
import gzip
import importlib.resources
import importlib.util
import json
from typing import TYPE_CHECKING, Any

from mlkit.page.document import shadow
from mlkit.page.html import Html, escaped, figure, json_script, table, tag
from mlkit.page.parts import Part, joined, paragraph, plain
from mlkit.page.words import counted, moment
from mlkit.report.section import Finding, Section
from mlkit.research.figures import figures_folder, read_figures

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlkit.report.context import Context
    from mlkit.research.figures import Figure

ANCHOR, TITLE = "figures", "Figures"

_STYLE = (
    "<style>:host{display:block;overflow-x:auto;color-scheme:light;background:#fff;color:#1b1f24}"
    "svg,img{max-width:100%;height:auto}table{border-collapse:collapse;font:14px system-ui,sans-serif}"
    "td,th{padding:.2rem .6rem}</style>"
)
_LIBRARY = "mlkit-plotly"
_DRAWN_BY = (
    "This figure is drawn by JavaScript, which is off here. What it holds is listed below; a figure of "
    "matplotlib or altair is kept as lines and needs none."
)


def figures_section(context: Context) -> Section | None:
    """The user's figures; None if nothing was ever kept."""
    figures, damaged = read_figures(figures_folder(context.stores.workspace, context.project))
    if not figures and not damaged:
        return None
    old = _outdated(figures)
    parts = [_figure_part(place, each, old=each.name in old) for place, each in enumerate(figures)]
    if damaged:
        parts.append(paragraph(f"{counted(damaged, 'file')} among the figures cannot be read."))
    body = joined(parts)
    library = _library() if any(each.drawing.kind == "plotly" for each in figures) else Html("")
    return Section(
        anchor=ANCHOR,
        title=TITLE,
        summary=_summary(figures, old),
        values={"figures": [each.to_dict() for each in figures], "damaged": damaged},
        body=Html(body.html + library),
        markdown=body.markdown,
        findings=tuple(_findings(figures, old, damaged)),
    )


def _summary(figures: Sequence[Figure], old: set[str]) -> str:
    said = counted(len(figures), "figure")
    return f"{said}, {len(old)} of an earlier run" if old else said


def _outdated(figures: Sequence[Figure]) -> set[str]:
    """Figures of a script that its last run has not drawn again."""
    last = {each.script: each.run for each in figures}
    return {each.name for each in figures if each.run != last[each.script]}


def _figure_part(place: int, each: Figure, *, old: bool) -> Part:
    drawn = dt.datetime.fromtimestamp(each.at / 1e9, dt.UTC)
    source = f"{each.source}, {moment(drawn)}" if each.source else moment(drawn)
    age = f"The last run of {each.script} did not draw it again." if old else ""
    if each.drawing.kind == "none":
        caption = each.caption or "It has no data yet."
        html = Html(tag("h3", each.name) + tag("p", caption) + tag("p", source, class_="faint"))
        return Part(html, f"**{plain(each.name)}**: {plain(caption)} ({plain(source)})")
    said = " ".join(text for text in (each.caption, each.drawing.note, age) if text)
    caption_html = Html(escaped(f"{said} ") + tag("span", source, class_="faint"))
    shown, numbers = _shown(f"figure-{place}", each)
    html = Html(tag("h3", each.name) + figure(shown, caption=caption_html, table=numbers))
    return Part(html, f"**{plain(each.name)}** ({each.drawing.kind}, {plain(source)}) {plain(said)}".rstrip())


def _shown(anchor: str, each: Figure) -> tuple[Html, Html | None]:
    """What a page shows, and its numbers as a table where it would else be lost without JavaScript."""
    kind, content = each.drawing.kind, each.drawing.content
    if kind == "plotly":
        return _plotly(anchor, each)
    if kind == "table":
        values = json.loads(content)
        return table(values["columns"], values["rows"], sortable=True, label=each.name), None
    if kind == "png":
        content = f'<img alt="{escaped(each.name)}" src="data:image/png;base64,{content}">'
    inside = shadow(f"{_STYLE}{content}")
    if kind == "html":
        return inside, None
    return tag("div", inside, role="img", aria_label=each.name), None


def _plotly(anchor: str, each: Figure) -> tuple[Html, Html]:
    values = json.loads(each.drawing.content)
    place = tag("div", class_="plotly-place", data_figure=f"{anchor}-data", aria_label=each.name)
    without = tag("noscript", tag("p", _DRAWN_BY))
    traces = [
        [trace.get("name") or f"trace {number}", trace.get("type", "scatter"), _size(trace)]
        for number, trace in enumerate(values.get("data", ()))
    ]
    held = table(["trace", "kind", "values"], traces, label=f"traces of {each.name}")
    return Html(place + without + json_script(f"{anchor}-data", values)), held


def _size(trace: dict[str, Any]) -> int | None:
    """How many values a trace has; its arrays may be lists, or bytes in base64."""
    for name in ("y", "x", "z", "values", "labels", "lat", "r"):
        found = trace.get(name)
        if isinstance(found, list):
            return len(found)
        if isinstance(found, dict) and "bdata" in found:
            width = int("".join(filter(str.isdigit, found["dtype"])) or 8)
            bytes_each = width if width <= 8 else width // 8  # noqa: PLR2004 - f8 counts bytes, float64 bits
            return len(base64.b64decode(found["bdata"])) // bytes_each
    return None


def _library() -> Html:
    """One copy of plotly's script for all figures, compressed; unpacked when the first of them is seen."""
    if importlib.util.find_spec("plotly") is None:
        return tag("p", "These figures need plotly to be drawn: pip install plotly.")
    script = importlib.resources.files("plotly").joinpath("package_data", "plotly.min.js").read_bytes()
    packed = base64.b64encode(gzip.compress(script, compresslevel=9, mtime=0)).decode()
    drawer = importlib.resources.files("mlkit.report").joinpath("figures.js").read_text(encoding="utf-8")
    style = importlib.resources.files("mlkit.report").joinpath("figures.css").read_text(encoding="utf-8")
    return Html(
        f"<style>{style}</style>"
        f'<script type="text/plain" id="{_LIBRARY}">{packed}</script>'
        f"<script>{drawer}</script>"
    )


def _findings(figures: Sequence[Figure], old: set[str], damaged: int) -> Iterator[Finding]:
    if old:
        sentence = f"{counted(len(old), 'figure')} of {len(figures)} not drawn by the last run of the script"
        yield Finding("RPT088", "look", sentence, len(old), ANCHOR, "project.figures().remove('name')")
    if damaged:
        sentence = f"{counted(damaged, 'figure')} cannot be read"
        yield Finding("RPT089", "not run", sentence, damaged, ANCHOR)
