"""The drift table: one row a column and window, under names that other tools know, and only ever added to."""

from __future__ import annotations

import datetime as dt
import json

import pyarrow as pa
import pytest

from mlkit.engines.base import MONITORING, TableName
from mlkit.errors import IntegrityError
from mlkit.production.drift_records import SCHEMA, WHOLE, DriftRecords, check_rows, read_windows
from mlkit.production.stores import Stores
from mlkit.production.windows import Span
from tests.production.watching import JUNE, WEEK

FOUND = {
    "p_value": 0.5, "ks": 0.1, "psi": 0.2, "js": 0.3, "tv": 0.4, "l_infinity": 0.5, "chi2": 6.0, "w1": 0.7,
    "missing": [0.1, 0.35], "outside": [0.0, 0.0], "rows": [100, 80], "visible": 0.1, "effect": 0.1,
}  # fmt: skip


def report(check_id="a", *, verdict="OK", model_id="m-1", columns=None, **said):
    """A report as plain values."""
    checks = columns if columns is not None else [column("prediction")]
    return {
        "check_id": check_id, "verdict": verdict, "model_id": model_id, "version": 1, "rows": 80,
        "columns": checks, "reasons": ["because"], "recorded": True, "seconds": 1.0, "sent": {}, **said,
    }  # fmt: skip


def column(name, *, kind="number", found=FOUND, verdict="OK"):
    """What a report says of a column."""
    return {"column": name, "kind": kind, "verdict": verdict, "p_value": 0.9, "found": found}


@pytest.fixture
def records(workspace):
    """The empty drift table of a project."""
    return DriftRecords(workspace.engine, "flights")


def add(records, said, *, week=0, at=JUNE):
    """Record a report of a week."""
    span = Span(JUNE + week * WEEK, JUNE + (week + 1) * WEEK)
    return records.add(check_rows(said, span, at=at))


def stored(workspace):
    """The table as any tool reads it."""
    table = workspace.engine.read(TableName(MONITORING, "flights__drift")).read_all()
    return {row["column_name"]: row for row in table.to_pylist()}


def test_the_names_of_databricks_hold_its_numbers(workspace, records):
    """A number has KS, a category chi-squared, both with the p value of our own test; shares are points."""
    columns = [column("prediction"), column("input_city", kind="category"), column("gone", found={})]
    assert add(records, report(columns=columns))
    rows = stored(workspace)
    assert set(rows) == {"prediction", "input_city", "gone", WHOLE}
    number, category, gone = rows["prediction"], rows["input_city"], rows["gone"]
    assert number["ks_test"] == {"statistic": 0.1, "pvalue": 0.5}
    assert category["chi_squared_test"] == {"statistic": 6.0, "pvalue": 0.5}
    assert number["chi_squared_test"] is category["ks_test"] is gone["ks_test"] is None
    assert number["percent_null_delta"] == pytest.approx(25.0)
    assert (number["count_delta"], number["rows"], number["reference_rows"]) == (-20.0, 80, 100)
    same = (
        "population_stability_index",
        "js_distance",
        "tv_distance",
        "l_infinity_distance",
        "wasserstein_distance",
    )
    assert [number[name] for name in same] == [0.2, 0.3, 0.4, 0.5, 0.7]
    assert (number["data_type"], category["data_type"]) == ("double", "string")
    assert all(row["window"]["end"] - row["window"]["start"] == WEEK for row in rows.values())
    assert {row["slice_key"] for row in rows.values()} == {None}
    assert list(rows[WHOLE]) == SCHEMA.names


def test_the_whole_report_stands_in_one_row_without_what_changes_by_itself(workspace, records):
    """Columns have rows of their own; how long it took and who was told is of that one time."""
    add(records, report())
    whole = json.loads(stored(workspace)[WHOLE]["record"])
    assert whole["reasons"] == ["because"]
    assert not {"columns", "seconds", "recorded", "sent"} & set(whole)
    assert json.loads(stored(workspace)["prediction"]["record"])["found"]["ks"] == 0.1


def test_a_finding_stands_once_and_the_newest_of_a_window_counts(workspace, records):
    """Rows that came late change a window's finding; both stay on record, in their order."""
    assert add(records, report("a"))
    assert not add(records, report("a"))
    assert add(records, report("b", verdict="DRIFT"), at=JUNE + WEEK)
    assert [(window.check_id, window.seq) for window in records.all()] == [("a", 1), ("b", 2)]
    (window,) = read_windows(Stores(workspace, "flights"))
    assert (window.verdict, window.at) == ("DRIFT", JUNE + WEEK)
    assert window.columns["prediction"]["verdict"] == "OK"
    assert json.dumps(window.to_dict())


def test_windows_come_in_the_order_of_their_event_times(workspace, records):
    """Whenever they were checked; of one model where one is named."""
    for check, week, model in (("c", 2, "m-1"), ("a", 0, "m-1"), ("d", 1, "m-2"), ("b", 1, "m-1")):
        add(records, report(check, model_id=model), week=week)
    stores = Stores(workspace, "flights")
    assert [window.check_id for window in read_windows(stores, model_id="m-1")] == ["a", "b", "c"]
    assert len(read_windows(stores)) == 4
    assert read_windows(stores, model_id="m-3") == []


def test_a_check_that_failed_has_a_row_without_columns(workspace, records):
    """No model may be known by then."""
    add(records, report("e", verdict="ERROR", model_id="", version=None, columns=[], rows=0))
    (window,) = read_windows(Stores(workspace, "flights"))
    assert (window.verdict, window.model_id, window.version, window.columns) == ("ERROR", "", None, {})


def test_the_table_only_grows(workspace, records):
    """No check is changed afterwards."""
    add(records, report())
    table = TableName(MONITORING, "flights__drift")
    rows = workspace.engine.read(table).read_all()
    version = workspace.engine.describe(table).version
    with pytest.raises(IntegrityError):
        workspace.engine.merge(
            table, rows.to_reader(), key=["check_id", "column_name"], expected_version=version
        )
    assert records.all()[0].at == dt.datetime(2026, 6, 1, tzinfo=dt.UTC)


def test_a_row_that_does_not_read_is_damage_and_no_mistake_of_ours(workspace, records):
    """As in all tables of records."""
    add(records, report())
    table = TableName(MONITORING, "flights__drift")
    rows = workspace.engine.read(table).read_all().to_pylist()
    torn = pa.Table.from_pylist([{**row, "record": "{"} for row in rows], schema=SCHEMA)
    version = workspace.engine.describe(table).version
    workspace.engine.append(table, torn.to_reader(), expected_version=version)
    with pytest.raises(IntegrityError, match="INT060") as caught:
        records.all()
    assert caught.value.path == str(table)
