"""Figures of any library as something that a page can show: text, made once, nothing of the library left.

A library is known by the names of its classes, so that none is loaded here that was not loaded before.
"""

from __future__ import annotations

import base64
import dataclasses
import importlib.util
import io
import json
import types
from typing import TYPE_CHECKING, Any, Literal

from mlkit.boundary import user_code
from mlkit.errors import UsageError
from mlkit.research.markup import contained

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Kind = Literal["plotly", "svg", "png", "html", "table", "none"]
"""What a drawing is: JSON of plotly or of a table, markup, base64 of pixels, or nothing yet."""

MOST_BYTES = 5_000_000
"""Of one drawing. Pages larger than a few of these stall browsers."""

MOST_SVG = 1_500_000
"""Of matplotlib's lines; a drawing of more becomes pixels."""

MOST_ROWS, MOST_COLUMNS = 100, 30
"""Of a dataframe that is shown as a table."""

_DOTS_PER_INCH = 144
_LONGEST = 200  # characters of a cell


@dataclasses.dataclass(frozen=True)
class Drawing:
    """A figure as text.

    Attributes:
        kind: What the content is.
        content: JSON, markup or base64.
        note: What was left out or done to it; empty if nothing.
    """

    kind: Kind
    content: str
    note: str = ""


def draw(fig: Any, name: str) -> Drawing:  # noqa: ANN401 - a figure of any library
    """A figure as a drawing.

    Args:
        fig: Of plotly, matplotlib (an axes or `pyplot` too) or altair; a dataframe; whatever has one of
            ``_repr_svg_``, ``_repr_png_``, ``_repr_html_``; None for a figure that has no data yet.
        name: For messages, and as the seed of the ids within an SVG.

    Raises:
        UsageError: It is no figure (CLI106), altair's has nothing to draw it (CLI107), or it is too large for
            a page (CLI108).
        StudyError: It failed to draw itself (RUN010).
    """
    if fig is None:
        return Drawing("none", "")
    with user_code(name, action="draw"):
        drawing = _drawn(fig, name)
    if drawing is None:
        found = f"expected a figure, found {type(fig).__name__}"
        fix = "give a figure of plotly, matplotlib or altair, a dataframe, or an object with _repr_svg_"
        raise UsageError("CLI106", found, path=name, fix=fix)
    if len(drawing.content) > MOST_BYTES:
        message = f"expected at most {MOST_BYTES / 1e6:.0f} MB, found {len(drawing.content) / 1e6:.1f} MB"
        fix = "aggregate before drawing: bins instead of points, fewer rows"
        raise UsageError("CLI108", message, path=name, fix=fix)
    return drawing


def _drawn(fig: Any, name: str) -> Drawing | None:  # noqa: ANN401 - any object
    if isinstance(fig, type):  # the class itself, not one of its objects
        return None
    if _is_of(fig, "plotly") and hasattr(fig, "to_json"):
        return _of_plotly(fig)
    if _is_of(fig, "altair") and hasattr(fig, "to_dict"):
        return _of_altair(fig, name)
    canvas = _matplotlib(fig)
    if canvas is not None:
        return _of_matplotlib(canvas, name)
    table = _table(fig)
    return table if table is not None else _of_reprs(fig)


def _is_of(value: object, library: str) -> bool:
    return any(kind.__module__.partition(".")[0] == library for kind in type(value).__mro__)


def _of_plotly(fig: Any) -> Drawing:  # noqa: ANN401 - a figure
    """Its JSON; the look of the library goes, so that the page's own takes its place, light or dark."""
    values = json.loads(fig.to_json())
    looks = importlib.import_module("plotly.io").templates
    if looks.default == "plotly" and fig.layout.template == looks["plotly"]:
        values["layout"].pop("template", None)
    return Drawing("plotly", json.dumps(values, separators=(",", ":"), ensure_ascii=False))


def _of_altair(chart: Any, name: str) -> Drawing:  # noqa: ANN401 - a chart
    if importlib.util.find_spec("vl_convert") is None:
        message = "altair's charts are drawn by vl-convert, which is not installed"
        raise UsageError("CLI107", message, path=name, fix="pip install vl-convert-python")
    text = io.StringIO()
    chart.save(text, format="svg")
    return Drawing("svg", contained(text.getvalue()))


def _matplotlib(fig: Any) -> Any:  # noqa: ANN401 - any object
    """The figure behind what people have at hand: itself, an axes, a grid of them, `pyplot`."""
    if isinstance(fig, types.ModuleType):
        return fig.gcf() if fig.__name__ == "matplotlib.pyplot" else None
    if hasattr(fig, "savefig") and hasattr(fig, "axes"):
        own = getattr(fig, "figure", None)  # of seaborn's grids
        return own if own is not None and hasattr(own, "savefig") else fig
    if type(fig).__name__ == "ndarray" and fig.size:
        fig = fig.flat[0]
    for name in ("figure", "figure_"):  # of an axes; of a display of scikit-learn
        found = getattr(fig, name, None)
        if found is not None and _is_of(found, "matplotlib") and hasattr(found, "savefig"):
            return found
    return None


def _of_matplotlib(canvas: Any, name: str) -> Drawing:  # noqa: ANN401 - a figure
    import matplotlib as mpl  # noqa: PLC0415 - loaded already, for there is a figure

    drawn = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": name}):
        nothing = {"Date": None, "Creator": None, "Format": None, "Type": None}
        canvas.savefig(drawn, format="svg", bbox_inches="tight", metadata=nothing)
    svg = drawn.getvalue()
    if len(svg) <= MOST_SVG:
        return Drawing("svg", contained(svg))
    pixels = io.BytesIO()
    canvas.savefig(pixels, format="png", bbox_inches="tight", dpi=_DOTS_PER_INCH)
    note = f"Shown as pixels: as lines it would be {len(svg) / 1e6:.1f} MB."
    return Drawing("png", base64.b64encode(pixels.getvalue()).decode(), note)


def _table(value: Any) -> Drawing | None:  # noqa: ANN401 - any object
    """The first rows and columns of a dataframe."""
    if _is_of(value, "pandas") and hasattr(value, "to_frame") and not hasattr(value, "columns"):
        value = value.to_frame()
    if _is_of(value, "pandas") and hasattr(value, "iloc") and hasattr(value, "columns"):
        return _of_pandas(value)
    if not hasattr(value, "__arrow_c_stream__") or hasattr(value, "_repr_svg_"):
        return None
    import pyarrow as pa  # noqa: PLC0415 - slow to load, and only frames need it

    rows = pa.table(value)
    few = rows.slice(0, MOST_ROWS).select(list(range(min(MOST_COLUMNS, rows.num_columns))))
    cells = zip(*(column.to_pylist() for column in few.columns), strict=True)
    return _as_table(few.column_names, list(cells), rows.num_rows, rows.num_columns)


def _of_pandas(frame: Any) -> Drawing:  # noqa: ANN401 - a dataframe
    few = frame.iloc[:MOST_ROWS, :MOST_COLUMNS]
    plain_index = type(frame.index).__name__ == "RangeIndex" and frame.index.name is None
    index = [] if plain_index else list(map(_cell, few.index))
    names = [" ".join(map(str, name)) if isinstance(name, tuple) else str(name) for name in few.columns]
    rows = [list(row) for row in few.itertuples(index=False, name=None)]
    if index:
        names = [str(frame.index.name or ""), *names]
        rows = [[label, *row] for label, row in zip(index, rows, strict=True)]
    return _as_table(names, rows, *frame.shape)


def _as_table(names: Sequence[str], rows: Sequence[Sequence[Any]], height: int, width: int) -> Drawing:
    content = {"columns": list(names), "rows": [[_cell(value) for value in row] for row in rows]}
    left = []
    if height > len(rows):
        left.append(f"the first {len(rows):,} of {height:,} rows")
    if width > MOST_COLUMNS:
        left.append(f"{MOST_COLUMNS} of {width:,} columns")
    note = f"Shown: {', '.join(left)}." if left else ""
    return Drawing("table", json.dumps(content, ensure_ascii=False), note)


def _cell(value: Any) -> float | int | str | None:  # noqa: ANN401 - any value of a frame
    """A value as JSON holds it; what is missing, or no number, is None."""
    if hasattr(value, "item") and not hasattr(value, "__len__"):
        value = value.item()
    if value is None or value != value:  # noqa: PLR0124 - nan and NaT differ from themselves
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        text = str(value)
        return None if text in ("NaT", "<NA>") else text[:_LONGEST]
    return value if abs(value) != float("inf") else str(value)


def _of_reprs(fig: Any) -> Drawing | None:  # noqa: ANN401 - any object
    """What an object shows of itself in a notebook; pixels only if there are no lines."""
    if svg := _shown(fig, "_repr_svg_"):
        return Drawing("svg", contained(_text(svg)))
    if png := _shown(fig, "_repr_png_"):
        return Drawing("png", png if isinstance(png, str) else base64.b64encode(png).decode())
    if html := _shown(fig, "_repr_html_"):
        return Drawing("html", contained(_text(html)))
    return None


def _shown(fig: Any, method: str) -> Any:  # noqa: ANN401 - text or bytes
    found: Callable[[], Any] | None = getattr(fig, method, None)
    shown = found() if callable(found) else None
    return shown[0] if isinstance(shown, tuple) else shown  # some give their size too


def _text(shown: object) -> str:
    return shown.decode() if isinstance(shown, bytes) else str(shown)
