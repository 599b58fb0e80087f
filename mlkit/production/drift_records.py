"""What every check of a window found, in a table that any tool can watch.

One row for each column and window, and one for the window as a whole (``column_name = ':table'``), under
the names that Databricks gives the columns of its own drift metrics where it has such; ours stand behind.
Rows are only ever added. The same finding of the same window stands once.
"""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from mlkit.engines.base import MONITORING, TableName
from mlkit.errors import RaceLostError, StoreError
from mlkit.production.ledger import reading
from mlkit.production.windows import Span, duration_text

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping, Sequence

    from mlkit.engines.base import Engine
    from mlkit.production.stores import Stores

WHOLE = ":table"
"""What Databricks calls the row of a window as a whole."""
_TRIES = 20
_INSTANT = pa.timestamp("us", tz="UTC")
_WINDOW = pa.struct([pa.field("start", _INSTANT), pa.field("end", _INSTANT)])
_TEST = pa.struct([pa.field("statistic", pa.float64()), pa.field("pvalue", pa.float64())])
_TEXT = pa.string()

_THEIRS = {
    "window": _WINDOW,
    "granularity": _TEXT,
    "monitor_version": pa.int64(),
    "slice_key": _TEXT,
    "slice_value": _TEXT,
    "column_name": _TEXT,
    "data_type": _TEXT,
    "window_cmp": _WINDOW,
    "drift_type": _TEXT,
    "count_delta": pa.float64(),
    "percent_null_delta": pa.float64(),
    "js_distance": pa.float64(),
    "ks_test": _TEST,
    "wasserstein_distance": pa.float64(),
    "population_stability_index": pa.float64(),
    "chi_squared_test": _TEST,
    "tv_distance": pa.float64(),
    "l_infinity_distance": pa.float64(),
}
_OURS = {
    "check_id": _TEXT,
    "seq": pa.int64(),
    "at": _INSTANT,
    "model_id": _TEXT,
    "version": pa.int64(),
    "verdict": _TEXT,
    "p_value": pa.float64(),
    "rows": pa.int64(),
    "reference_rows": pa.int64(),
    "record": _TEXT,
}
_ALWAYS = frozenset({"column_name", "drift_type", "check_id", "seq", "at", "model_id", "verdict", "record"})
SCHEMA = pa.schema(
    [pa.field(name, kind, nullable=name not in _ALWAYS) for name, kind in (_THEIRS | _OURS).items()]
)
"""Columns of the table."""


@dataclasses.dataclass(frozen=True)
class Window:
    """A window that was checked.

    Attributes:
        span: Its event times.
        model_id: The model whose answers were looked at; empty if the check ended before that was known.
        version: Number of the model.
        verdict: ``OK``, ``WARN``, ``DRIFT``, ``INSUFFICIENT_DATA``, ``NO_DATA`` or ``ERROR``.
        at: When it was checked.
        check_id: What the finding is told apart by.
        seq: Position of the check in the table, from 1.
        record: The report, as plain values.
        columns: What was found of each column, as plain values, by name.
    """

    span: Span
    model_id: str
    version: int | None
    verdict: str
    at: dt.datetime
    check_id: str
    seq: int
    record: dict[str, Any] = dataclasses.field(repr=False)
    columns: dict[str, dict[str, Any]] = dataclasses.field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, without the report."""
        kept = ("model_id", "version", "verdict", "check_id", "seq")
        said = {name: getattr(self, name) for name in kept}
        verdicts = {name: column["verdict"] for name, column in self.columns.items()}
        return {**self.span.to_dict(), **said, "at": self.at.isoformat(), "columns": verdicts}


class DriftRecords:
    """The checks of one project."""

    def __init__(self, engine: Engine, project: str) -> None:
        """Nothing is read or made yet."""
        self._engine = engine
        self.table = TableName(MONITORING, f"{project}__drift")

    def all(self) -> list[Window]:
        """Every check, oldest first."""
        return self._read()[0]

    def add(self, rows: Sequence[Mapping[str, Any]]) -> bool:
        """Add the rows of one check, unless a check with their id is there; whether they were added.

        Args:
            rows: One for each column and one for the whole, with values by name of `SCHEMA`; what is left
                out is null. `seq` is given here.

        Raises:
            StoreError: Other writers kept coming first (STO028).
        """
        self._engine.create(self.table, pa.RecordBatchReader.from_batches(SCHEMA, []), append_only=True)
        for _ in range(_TRIES):
            windows, version = self._read()
            if any(window.check_id == rows[0]["check_id"] for window in windows):
                return False
            numbered = [{**row, "seq": len(windows) + 1} for row in rows]
            table = pa.Table.from_pylist(numbered, schema=SCHEMA)
            try:
                self._engine.append(self.table, table.to_reader(), expected_version=version)
            except RaceLostError:  # another check came first: look again
                continue
            return True
        message = "other checks kept being written"
        raise StoreError("STO028", message, path=str(self.table), fix="run it again")

    def _read(self) -> tuple[list[Window], int]:
        info = self._engine.describe(self.table)
        if info is None:
            return [], 0
        names = ["window", "column_name", "check_id", "seq", "at", "model_id", "version", "verdict", "record"]
        rows = self._engine.read(self.table, version=info.version, columns=names).read_all().to_pylist()
        with reading(self.table):
            found = _windows(rows)
        return sorted(found, key=lambda window: window.seq), info.version


def read_windows(stores: Stores, *, model_id: str | None = None) -> list[Window]:
    """The newest check of each window, in the order of their event times.

    Args:
        stores: Where the project lives.
        model_id: Only windows of this model.
    """
    newest = {
        (window.model_id, window.span): window
        for window in DriftRecords(stores.engine, stores.project).all()
        if model_id in (None, window.model_id)
    }
    return sorted(newest.values(), key=lambda window: (window.span.until, window.span.since, window.seq))


def check_rows(report: Mapping[str, Any], span: Span, *, at: dt.datetime) -> list[dict[str, Any]]:
    """The rows of one check.

    Args:
        report: What `MonitorReport.to_dict` gives.
        span: The window.
        at: When it was checked.
    """
    same = {
        "window": {"start": span.since, "end": span.until},
        "granularity": duration_text(span.width),
        "monitor_version": 1,
        "drift_type": "BASELINE",
        "at": at,
        **{name: report[name] for name in ("check_id", "model_id", "version")},
    }
    whole = {name: value for name, value in report.items() if name not in _NOT_KEPT}
    rows = [{**same, **_column_row(check)} for check in report["columns"]]
    said = {
        "column_name": WHOLE,
        "verdict": report["verdict"],
        "rows": report["rows"],
        "record": _text(whole),
    }
    return [*rows, {**same, **said}]


def _column_row(check: Mapping[str, Any]) -> dict[str, Any]:
    """One column under Databricks' names, p values of our own test among them."""
    found = check["found"]
    before, now = found.get("rows", (None, None))
    is_number = check["kind"] == "number"
    test = {"statistic": found.get("ks" if is_number else "chi2"), "pvalue": found.get("p_value")}
    return {
        "column_name": check["column"],
        "data_type": "double" if is_number else "string",
        "verdict": check["verdict"],
        "p_value": check["p_value"],
        "rows": now,
        "reference_rows": before,
        "record": _text(check),
        **({"ks_test" if is_number else "chi_squared_test": test} if found else {}),
        **(
            {"count_delta": float(now - before), "percent_null_delta": _points(found["missing"])}
            if found
            else {}
        ),
        **{theirs: found.get(ours) for theirs, ours in _SAME.items()},
    }


_SAME = {
    "js_distance": "js",
    "wasserstein_distance": "w1",
    "population_stability_index": "psi",
    "tv_distance": "tv",
    "l_infinity_distance": "l_infinity",
}
_NOT_KEPT = frozenset({"columns", "recorded", "seconds", "sent"})


def _points(shares: Sequence[float]) -> float:
    """A change in percentage points."""
    return 100 * (shares[1] - shares[0])


def _text(values: Mapping[str, Any]) -> str:
    return json.dumps(values, sort_keys=True, default=str)


def _windows(rows: Sequence[Mapping[str, Any]]) -> list[Window]:
    """The checks that these rows are of."""
    columns: dict[str, dict[str, dict[str, Any]]] = {}
    for row in rows:
        if row["column_name"] != WHOLE:
            columns.setdefault(row["check_id"], {})[row["column_name"]] = json.loads(row["record"])
    return [_window(row, columns.get(row["check_id"], {})) for row in rows if row["column_name"] == WHOLE]


def _window(row: Mapping[str, Any], columns: dict[str, dict[str, Any]]) -> Window:
    return Window(
        span=Span(row["window"]["start"], row["window"]["end"]),
        model_id=row["model_id"],
        version=row["version"],
        verdict=row["verdict"],
        at=row["at"],
        check_id=row["check_id"],
        seq=row["seq"],
        record=json.loads(row["record"]),
        columns=columns,
    )
