"""The columns of the rows: exact counts of each, and what skrub makes of a sample."""

from __future__ import annotations

import datetime as dt
import importlib.util
import inspect
import re
import warnings
from typing import TYPE_CHECKING, Any

from mlkit.page.html import Html
from mlkit.page.parts import Part, folded, grid, heading, paragraph

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import pyarrow as pa

    from mlkit.report.profile import Profile
    from mlkit.report.sample import Sample

MOST_COLUMNS = 40
"""Columns of the table on the page; of more, the worst."""

MOST_REPORTED = 30
"""Columns of the table report; of more it would draw no distributions."""

_SAMPLE_TABLE = re.compile(r'<table[^>]*data-manager="SampleTable".*?</table>', re.DOTALL)
_TABLE_ROWS = re.compile(r"<tbody.*?</tbody>", re.DOTALL)


def column_parts(profiles: Sequence[Profile], contract: Mapping[str, Any] | None) -> Iterator[Part]:
    """Exact counts of every column; of more than fit, the worst."""
    ordered = sorted(profiles, key=lambda each: each.badness) if len(profiles) > MOST_COLUMNS else profiles
    yield heading("Columns, counted over all rows")
    declared = (contract or {}).get("columns", {})
    shown = ordered[:MOST_COLUMNS]
    rows = [
        [
            each.name,
            declared.get(each.name, {}).get("dtype", each.kind),
            f"{each.missing_share:.2%}" if each.missing else "none",
            "more than 1,000" if each.distinct is None else each.distinct,
            shown_end(each.low),
            shown_end(each.high),
            each.mean,
            _checks(declared.get(each.name, {})),
        ]
        for each in shown
    ]
    headers = ["column", "type", "missing", "different values", "smallest", "largest", "mean", "contract"]
    yield grid(headers, rows, label="columns", sortable=True)
    if len(ordered) > len(shown):
        yield paragraph(
            f"The worst {len(shown)} of {len(ordered)} columns: constant ones first, then those with most "
            "missing values. All are in the JSON."
        )


def shown_end(value: object) -> object:
    """A smallest or largest value as a cell: numbers as they are, times and others as text."""
    if isinstance(value, dt.datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    return value if isinstance(value, int | float) else None if value is None else str(value)


def _checks(column: Mapping[str, Any]) -> str:
    said = [] if column.get("nullable", False) or not column else ["never missing"]
    said += ["unique"] if column.get("unique") else []
    said += [
        f"{name.replace('_', ' ')} {_argument(value)}" for name, value in (column.get("checks") or {}).items()
    ]
    return ", ".join(said)


def _argument(value: object) -> str:
    if isinstance(value, dict):
        return " to ".join(str(part) for part in value.values() if not isinstance(part, bool))
    if isinstance(value, list | tuple):
        return f"one of {len(value)}"
    return str(value)


def looked_into(
    read: Callable[[Sequence[str]], Sample], profiles: Sequence[Profile], *, what: str, rows_shown: int
) -> Iterator[Part]:
    """The table report of a sample, where skrub is installed.

    Args:
        read: Gives a sample of some columns.
        profiles: All columns.
        what: What the rows are called, such as ``train rows``.
        rows_shown: How many real rows may be shown.
    """
    yield heading("Looked into")
    if importlib.util.find_spec("skrub") is None:
        yield paragraph("Distributions and associations need skrub: `pip install 'mlkit-sdk[report]'`.")
        return
    names = [each.name for each in profiles]
    if len(names) > MOST_REPORTED:
        names = [each.name for each in sorted(profiles, key=lambda each: each.badness)][:MOST_REPORTED]
    sample = read(names)
    most = f", the worst {len(names)} of {len(profiles)} columns" if len(profiles) > len(names) else ""
    said = f"{sample.said.replace('rows', what, 1)}{most}"
    snippet = table_report(sample.rows, rows_shown=rows_shown)
    hint = "It needs JavaScript; what is counted above does not."
    if not rows_shown:
        hint += " It shows no row of the data: `mlkit report --rows-shown 10` would."
    yield folded(f"Table report of {said}", paragraph(hint, kind="faint"), Part(snippet, ""), is_open=True)


def table_report(rows: pa.Table, *, rows_shown: int = 0) -> Html:
    """The report that skrub makes of a table, in a tree of its own.

    Args:
        rows: What it is of.
        rows_shown: How many real rows it shows.
    """
    from skrub import TableReport  # noqa: PLC0415 - takes seconds, and need not be installed

    taken = inspect.signature(TableReport).parameters
    first = {"open_tab": "stats"} if "open_tab" in taken and not rows_shown else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # infinities, and what its libraries say of their own future
        snippet = TableReport(rows.to_pandas(), n_rows=rows_shown, verbose=0, **first).html_snippet()
    # It always shows one row at least.
    return Html(snippet if rows_shown else _SAMPLE_TABLE.sub(_without_rows, snippet))


def _without_rows(table: re.Match[str]) -> str:
    return _TABLE_ROWS.sub("", table[0])
