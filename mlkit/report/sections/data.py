"""Data: what the rows are known by, that they keep their contract, how they are parted, what is in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa

from mlkit.engines.base import TRAINING, TableName
from mlkit.errors import MlkitError
from mlkit.page.parts import Part, facts, joined, paragraph, plotted
from mlkit.page.plots import histogram_pair
from mlkit.page.words import counted
from mlkit.report.curves import histogram
from mlkit.report.profile import Duplicates, Profile, find_duplicates, is_number, profile_tables
from mlkit.report.sample import smallest_rows
from mlkit.report.section import Finding, Section
from mlkit.report.sections.data_columns import column_parts, looked_into, shown_end
from mlkit.workspace import table_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mlkit.report.context import Context
    from mlkit.report.section import Severity

ANCHOR, TITLE = "data", "Data"

SAMPLE_ROWS = 20_000
"""Rows that the table report is made of: those with the smallest digests."""

_CLASSES = 20  # bars of a label
_MANY_MISSING = 0.5
_MANY_STRADDLE = 0.01


class Rows(NamedTuple):
    """The tables of the rows that the report speaks of.

    Attributes:
        train: Train rows, or all of them where they are not parted yet.
        test: Test rows; None where they are not parted yet.
        fingerprints: By part: ``train`` and ``test``, or ``snapshot``.
        rows: Their numbers, likewise.
        what: Whose they are, in words.
    """

    train: TableName
    test: TableName | None
    fingerprints: Mapping[str, str]
    rows: Mapping[str, int]
    what: str

    @property
    def tables(self) -> list[TableName]:
        """Those there are."""
        return [self.train, *([self.test] if self.test else [])]


def data_section(context: Context) -> Section | None:
    """The rows behind what serves, else behind the config or the newest study; None if there are none."""
    rows = _rows(context)
    if rows is None:
        return None
    try:
        profiles = profile_tables(context.engine, rows.tables)
        key = list((context.config or context.problem or {}).get("key") or ())
        duplicates = find_duplicates(context.engine, rows.train, rows.test, without=key)
    except MlkitError as exc:
        return _unreadable(rows, exc)
    contract = (context.config or {}).get("contract")
    whole = joined(
        [
            facts(_said(rows, contract, duplicates)),
            *_labels(context, rows),
            *column_parts(profiles, contract),
            *looked_into(
                lambda names: smallest_rows(
                    context.engine, rows.train, most=SAMPLE_ROWS, by=key, columns=names
                ),
                profiles,
                what="train rows" if rows.test else "rows",
                rows_shown=context.rows_shown,
            ),
        ]
    )
    return Section(
        anchor=ANCHOR,
        title=TITLE,
        summary=f"{_total(rows):,} rows, {counted(len(profiles), 'column')}, {rows.what}",
        values=_values(rows, profiles, duplicates, contract),
        body=whole.html,
        markdown=whole.markdown,
        findings=tuple(_findings(context, profiles, duplicates)),
    )


def _rows(context: Context) -> Rows | None:
    decision = context.explanation.decision if context.explanation else None
    if decision is not None:
        train, test = decision.record["train"], decision.record["test"]
        return Rows(
            table_name(train["table"]),
            table_name(test["table"]),
            {"train": train["fingerprint"], "test": test["fingerprint"]},
            {"train": train["rows"], "test": test["rows"]},
            f"those of v{context.champion.version}" if context.champion else "those of what serves",
        )
    return _of_snapshot(context)


def _of_snapshot(context: Context) -> Rows | None:
    """The snapshot that the config was found on, else that of the newest study."""
    setting, what = dict(context.origin), "those of the frozen config"
    if "snapshot" not in setting:
        studies = (context.document(run.run_id, "study.json") for run in context.study_runs[::-1])
        setting = next((study["setting"] for study in studies if study), {})
        what = "those of the newest study"
    if "snapshot" not in setting:
        return None
    fingerprint = setting["snapshot"]
    table = TableName(TRAINING, f"{context.project}__snapshot__{fingerprint.rpartition(':')[2]}")
    info = context.engine.describe(table)
    if info is None:
        return None
    return Rows(table, None, {"snapshot": fingerprint}, {"snapshot": info.rows}, what)


def _unreadable(rows: Rows, error: MlkitError) -> Section:
    """What is recorded, and why the rows themselves are not shown."""
    sentence = f"The rows cannot be read: {error.message} [{error.code}]."
    whole = joined([facts(_said(rows, None, None)), paragraph(sentence)])
    finding = Finding("RPT080", "not run", f"the rows were not looked at: {error.message}", None, ANCHOR)
    return Section(
        anchor=ANCHOR,
        title=TITLE,
        summary="the rows cannot be read",
        values={"fingerprints": dict(rows.fingerprints), "rows": dict(rows.rows), "error": error.code},
        body=whole.html,
        markdown=whole.markdown,
        findings=(finding,),
    )


def _total(rows: Rows) -> int:
    return sum(rows.rows.values())


def _said(rows: Rows, contract: Mapping[str, Any] | None, duplicates: Duplicates | None) -> dict[str, object]:
    parts = {
        f"{part} rows": f"{number:,} ({number / max(_total(rows), 1):.1%})  `{rows.fingerprints[part]}`"
        for part, number in rows.rows.items()
    }
    tables = ", ".join(f"`{table}`" for table in rows.tables)
    return {**parts, "tables": tables, "contract": _kept(contract), "duplicates": _repeated(duplicates)}


def _kept(contract: Mapping[str, Any] | None) -> str | None:
    """The result of the contract: rows that break it are never published."""
    if contract is None:
        return None
    columns = contract["columns"].values()
    checks = sum(len(column.get("checks") or {}) for column in columns)
    strict = sum(not column.get("nullable", False) for column in columns)
    more = f", {counted(checks, 'check')}" if checks else ""
    return (
        f"holds for every row: {counted(len(columns), 'column')}, {strict} of them never missing{more}; "
        "rows that break it are never published"
    )


def _repeated(duplicates: Duplicates | None) -> str:
    if duplicates is None:
        return "not looked for"
    said = f"{counted(duplicates.repeated, 'row')} equal an earlier one but for the key"
    if duplicates.repeated == 1:
        said = said.replace("equal an", "equals an")
    if duplicates.straddling is None:
        return said
    return (
        f"{said}; {duplicates.straddling:,} of {counted(duplicates.test_rows, 'test row')} equal a train row"
    )


def _labels(context: Context, rows: Rows) -> Iterator[Part]:
    """The label in train and test rows, of a sample."""
    config = context.config or {}
    target = config.get("target") or context.problem.get("target")
    if target is None or rows.test is None:
        return
    key = list(config.get("key") or ())
    samples = [
        smallest_rows(context.engine, table, most=SAMPLE_ROWS, by=key, columns=[target])
        for table in rows.tables
    ]
    train, test = (sample.rows.column(0) for sample in samples)
    labels, counts = _bars(train, test, config.get("task", ""))
    yield plotted(
        histogram_pair(labels, *counts, title=f"{target} by part", names=("train", "test")),
        caption=f"`{target}` among train ({samples[0].said}) and test rows ({samples[1].said}), as shares.",
        headers=[target, "train", "test"],
        rows=[list(row) for row in zip(labels, *counts, strict=True)],
    )


def _bars(
    train: pa.ChunkedArray, test: pa.ChunkedArray, task: str
) -> tuple[Sequence[str], Sequence[Sequence[int]]]:
    if is_number(train.type) and task == "regression":
        sets = [_numbers(part) for part in (train, test)]
        found = histogram(*sets)
        return found.labels, found.counts
    texts = [[str(value) for value in part.to_pylist()] for part in (train, test)]
    names, rows = np.unique(texts[0], return_counts=True)
    labels = [str(name) for name in names[np.argsort(-rows, kind="stable")][:_CLASSES]]
    return labels, [[part.count(label) for label in labels] for part in texts]


def _numbers(column: pa.ChunkedArray) -> np.ndarray[Any, Any]:
    values = np.asarray(column.cast(pa.float64(), safe=False).to_numpy(), dtype=np.float64)
    return values[np.isfinite(values)]


def _findings(
    context: Context, profiles: Sequence[Profile], duplicates: Duplicates | None
) -> Iterator[Finding]:
    if duplicates is None:
        sentence = "duplicates were not looked for: too many rows, or no column but the key"
        yield Finding("RPT080", "not run", sentence, None, ANCHOR)
    elif duplicates.straddling is not None:
        share = duplicates.straddling / max(duplicates.test_rows, 1)
        severity: Severity = "look" if share > _MANY_STRADDLE else "fine"
        sentence = f"{share:.2%} of the test rows equal a train row but for the key"
        yield Finding("RPT080", severity, sentence, round(share, 6), ANCHOR)
    features = set((context.config or {}).get("features") or [each.name for each in profiles])
    constant = [each.name for each in profiles if each.is_constant and each.name in features]
    if constant:
        sentence = f"{counted(len(constant), 'feature')} with one value only: {_some(constant)}"
        yield Finding("RPT081", "look", sentence, len(constant), ANCHOR)
    missing = [each.name for each in profiles if each.missing_share > _MANY_MISSING and each.name in features]
    if missing:
        sentence = (
            f"{counted(len(missing), 'feature')} missing in more than half of the rows: {_some(missing)}"
        )
        yield Finding("RPT082", "look", sentence, len(missing), ANCHOR)


def _some(names: Sequence[str]) -> str:
    few = 3
    return ", ".join(names[:few]) + (f" and {len(names) - few} more" if len(names) > few else "")


def _values(
    rows: Rows,
    profiles: Sequence[Profile],
    duplicates: Duplicates | None,
    contract: Mapping[str, Any] | None,
) -> dict[str, Any]:
    return {
        "fingerprints": dict(rows.fingerprints),
        "rows": dict(rows.rows),
        "tables": [str(table) for table in rows.tables],
        "contract_holds": None if contract is None else True,
        "duplicates": None if duplicates is None else duplicates.__dict__,
        "columns": [
            {
                "name": each.name,
                "type": each.kind,
                "rows": each.rows,
                "missing": each.missing,
                "distinct": each.distinct,
                "low": shown_end(each.low),
                "high": shown_end(each.high),
                "mean": each.mean,
            }
            for each in profiles
        ],
    }
