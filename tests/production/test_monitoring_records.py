"""What watching keeps and reads in tables: records, checks, counts, labels, and rules of the ledger."""

from __future__ import annotations

import datetime as dt
import json
import re
from types import SimpleNamespace

import pandas as pd
import pyarrow as pa
import pytest

from mlkit.data.drift import make_bins
from mlkit.data.monitor_spec import Monitor
from mlkit.engines.base import FEATURES, MONITORING, TableName
from mlkit.errors import ConfigError, DataError, NamingError, UsageError
from mlkit.model.retraining import Retrain
from mlkit.production.drift_records import SCHEMA, WHOLE, DriftRecords, check_rows, read_windows
from mlkit.production.labels import read_labels
from mlkit.production.ledger import Entry
from mlkit.production.options import OPTIONS
from mlkit.production.performance import measure, read_performance
from mlkit.production.prediction_log import STAMPS, PredictionLog
from mlkit.production.records import Record, Records
from mlkit.production.retrain import hand_over, is_cooling, unfinished
from mlkit.production.rules import monitor_of, retrain_of, rules_of, width_of
from mlkit.production.serving_counts import ServedCounts, Slot, add_counts, served_counts, slots_of
from mlkit.production.stores import Stores
from mlkit.production.watch_task import watch
from mlkit.production.window_check import WindowCheck
from mlkit.production.window_counts import Counted, Kind, Survey, count_window, survey
from mlkit.production.windows import Span
from tests.production.watching import JUNE, WEEK

SPAN = Span(JUNE, JUNE + WEEK)
HOUR = dt.timedelta(hours=1)
NOW = JUNE + 10 * WEEK


@pytest.fixture
def stores(workspace):
    """Stores of a project that never deployed anything."""
    return Stores(workspace, "flights")


@pytest.fixture
def records(workspace):
    """Records of a kind of their own."""
    return Records(workspace.engine, "flights", "notes")


def entry(version=1, *, at=JUNE, **rules):
    """A row of the ledger whose config has these rules."""
    evidence = {"rules": {"config": {"metric": "rmse", **rules}}}
    model_id = f"m-{version}"
    return Entry(version, at, "promotion", "me", "", None, version, model_id, "r", "d", "k", "k", evidence)


def answers(number, *, at=JUNE + HOUR, model_id="m-1", traffic="production"):
    """Rows of the prediction log, all at one instant."""
    said = {
        **dict.fromkeys(("request_id", "row_id", "batch"), "x"), "event_time": at, "logged_at": at,
        "version": 1, "model_id": model_id, "seq": 1,
        "source": "score", "traffic": traffic, "prediction": 1.0,
    }  # fmt: skip
    return pa.Table.from_pylist([said] * number, schema=STAMPS.append(pa.field("prediction", pa.float64())))


# Records.


def test_records_stand_in_their_order_and_as_they_were_given(records):
    """Nothing before the first; numbers without gaps; what JSON has no word for is missing."""
    assert records.all() == []
    first = records.add({"a": [1, (2, 3)], "größe": "ß", "bad": float("inf"), "deep": {"x": float("nan")}})
    second = records.add({})
    assert first.record == {"a": [1, [2, 3]], "größe": "ß", "bad": None, "deep": {"x": None}}
    assert records.all() == [first, second]
    assert (first.seq, second.seq) == (1, 2)
    assert first.record_id != second.record_id
    assert first.at.utcoffset() == dt.timedelta(0)


def test_a_record_stands_once_per_id(records, workspace):
    """The one that stands is given, whatever the repeat says, and whoever asks."""
    first = records.add({"said": 1}, record_id="one")
    again = Records(workspace.engine, "flights", "notes").add({"said": 2}, record_id="one")
    assert again == first
    assert len(records.all()) == 1


def test_kinds_and_projects_do_not_meet(records, workspace):
    """The same id in another table is another record."""
    records.add({}, record_id="one")
    for project, kind in (("flights", "others"), ("trains", "notes")):
        other = Records(workspace.engine, project, kind)
        assert other.all() == []
        assert other.add({"own": True}, record_id="one").record == {"own": True}
    assert [record.record for record in records.all()] == [{}]
    assert workspace.engine.describe(TableName(MONITORING, "flights__notes")) is not None


def test_a_record_as_plain_values():
    """The instant is text."""
    said = Record(1, JUNE, "id", "me", {"a": 1}).to_dict()
    assert said["at"] == "2026-06-01T00:00:00+00:00"
    assert json.loads(json.dumps(said)) == said


# The drift table.


def checked(check_id="a", *, week=0, verdict="OK", model_id="m-1", columns=()):
    """Rows of a check, and its span."""
    span = Span(JUNE + week * WEEK, JUNE + (week + 1) * WEEK)
    said = {"check_id": check_id, "model_id": model_id, "version": 1, "verdict": verdict, "rows": 5}
    return check_rows({**said, "columns": columns, "why": {"at": JUNE}}, span, at=JUNE)


def test_rows_of_a_check_fit_the_table():
    """Each has only columns of the table; the last is the window's; what is no JSON is text."""
    column = {"column": "input_a", "kind": "category", "verdict": "OK", "p_value": None, "found": {}}
    rows = checked(columns=[column, {**column, "column": "b", "found": {"rows": [10, 4], "missing": [0, 1]}}])
    assert [row["column_name"] for row in rows] == ["input_a", "b", WHOLE]
    assert all(set(row) <= set(SCHEMA.names) for row in rows)
    assert {row["granularity"] for row in rows} == {"7d"}
    assert "count_delta" not in rows[0]
    assert (rows[1]["count_delta"], rows[1]["percent_null_delta"], rows[1]["rows"]) == (-6.0, 100, 4)
    assert rows[1]["chi_squared_test"] == {"statistic": None, "pvalue": None}
    assert json.loads(rows[2]["record"])["why"] == {"at": str(JUNE)}
    assert pa.Table.from_pylist([{**row, "seq": 1} for row in rows], schema=SCHEMA).num_rows == 3


def test_two_writers_number_their_checks_without_gaps(workspace):
    """Each reads what the other wrote; the same check is refused to both."""
    left, right = (DriftRecords(workspace.engine, "flights") for _ in range(2))
    assert left.all() == []
    assert [left.add(checked("a")), right.add(checked("b", week=1)), right.add(checked("a"))] == [
        True,
        True,
        False,
    ]
    assert left.add(checked("c", week=2))
    assert [(window.check_id, window.seq) for window in right.all()] == [("a", 1), ("b", 2), ("c", 3)]


def test_a_window_as_plain_values(workspace, stores):
    """Ends and verdicts by column, without the report."""
    column = {"column": "input_a", "kind": "number", "verdict": "WARN", "p_value": 0.1, "found": {}}
    DriftRecords(workspace.engine, "flights").add(checked(columns=[column], verdict="WARN"))
    (window,) = read_windows(stores)
    said = json.loads(json.dumps(window.to_dict()))
    assert (said["columns"], said["since"]) == ({"input_a": "WARN"}, "2026-06-01T00:00:00+00:00")
    assert (said["seq"], said["check_id"], "record" in said) == (1, "a", False)


# Counts of what was served.


def slot(hour, *, model_id="m-1", version=1):
    """An hour of the first of June."""
    return Slot((JUNE + hour * HOUR).isoformat(), model_id, version)


def test_rows_are_counted_by_the_hour_they_belong_to():
    """The first instant is in it, the last microsecond too; further columns of a table do not matter."""
    last = answers(2, at=JUNE + 2 * HOUR - dt.timedelta(microseconds=1))
    other = answers(1, at=JUNE + HOUR, model_id="m-2").append_column("input_a", pa.array([1.0]))
    found = slots_of([answers(3, at=JUNE + HOUR), last, other, answers(0)])
    assert found == {slot(1): 5, slot(1, model_id="m-2"): 1}
    assert slots_of([]) == slots_of([answers(0)]) == {}


def test_the_counts_of_a_segment_are_added_once(workspace):
    """What was dropped was served too; a segment without rows is one; no service is no counts."""
    engine = workspace.engine
    assert served_counts(engine, "flights") is None
    said = {"logged": {slot(0): 5, slot(1): 1}, "dropped": {slot(1): 2, slot(2, model_id="m-2"): 4}}
    assert add_counts(engine, "flights", segment="s1", **said)
    assert not add_counts(engine, "flights", segment="s1", **said)
    assert add_counts(engine, "flights", segment="s2", logged={}, dropped={})
    assert served_counts(engine, "flights") == ServedCounts(served=12, logged=6, dropped=6)
    assert served_counts(engine, "trains") is None


@pytest.mark.parametrize(
    ("since", "until", "model_id", "counts"),
    [
        (0, 1, None, (1, 1, 0)),
        (1.5, None, None, (110, 110, 0)),
        (None, 1.5, None, (11, 11, 0)),
        (None, 2, "m-1", (11, 11, 0)),
        (None, None, "m-2", (100, 100, 0)),
        (3, 9, None, (0, 0, 0)),
        (None, None, "m-3", (0, 0, 0)),
    ],
)
def test_an_hour_counts_whole_if_the_window_touches_it(workspace, since, until, model_id, counts):
    """Its end is left out; a model that was never asked has counts of 0."""
    logged = {slot(0): 1, slot(1): 10, slot(2, model_id="m-2"): 100}
    add_counts(workspace.engine, "flights", segment="s", logged=logged, dropped={})
    ends = {
        name: JUNE + hour * HOUR for name, hour in (("since", since), ("until", until)) if hour is not None
    }
    assert served_counts(workspace.engine, "flights", model_id=model_id, **ends) == counts
    in_kathmandu = dt.timezone(dt.timedelta(hours=5, minutes=45))
    ends = {name: end.astimezone(in_kathmandu) for name, end in ends.items()}
    assert served_counts(workspace.engine, "flights", model_id=model_id, **ends) == counts


# Surveys and counts of a window.


@pytest.mark.parametrize(
    ("rows", "models", "mixed", "other", "served"),
    [
        ({}, {}, [], 0, False),
        ({("m-1", "production", "score"): 5}, {"m-1": 5}, [], 0, False),
        (
            {("m-1", "production", "score"): 5, ("m-1", "production", "serve"): 2},
            {"m-1": 7}, ["source"], 0, True,
        ),
        ({("m-1", "health", "serve"): 5}, {}, [], 5, False),
        ({("m-2", "production", "serve"): 5}, {"m-2": 5}, [], 0, False),
        (
            {("m-1", "production", "score"): 1, ("m-2", "shadow", "score"): 2, ("m-2", "test", "score"): 4},
            {"m-1": 1}, ["model_id", "traffic"], 6, False,
        ),
    ],
)  # fmt: skip
def test_what_a_survey_says(rows, models, mixed, other, served):
    """Only production counts; a column that is the same everywhere need not be read again."""
    seen = Survey({Kind(*kind): number for kind, number in rows.items()}, ())
    assert (seen.models, seen.mixed, seen.other_traffic) == (models, mixed, other)
    assert seen.served("m-1") is served


def test_a_log_that_went_away_between_survey_and_count(workspace):
    """Trimmed or removed: nothing is left to count, and nothing fails."""
    log = PredictionLog(workspace.engine, "flights")
    log.add(answers(30), batch="a")
    seen = survey(log, SPAN)
    asked = {"model_id": "m-1", "bins": {"prediction": make_bins(pa.array([0.0, 1.0, 2.0]))}, "seen": seen}
    assert count_window(log, SPAN, **asked).rows == 30
    assert workspace.engine.trim_log(log.name, before=SPAN.until) == 30
    trimmed = count_window(log, SPAN, **asked)
    assert (trimmed.rows, trimmed.counts["prediction"].total) == (0, 0)
    workspace.engine.drop(log.name)
    assert count_window(log, SPAN, **asked) == Counted(0, {})


# Checks that have nothing to compare.


def silent(stores, entries, **said):
    """The report of the first week of June."""
    return WindowCheck(stores, entries, said.pop("span", SPAN), said.pop("now", NOW)).run()


def test_silence_names_the_version_and_what_came_instead(stores):
    """Rows of others and of health checks are no answers of the champion; the future is counted apart."""
    log = PredictionLog(stores.engine, "flights")
    log.add(answers(3, model_id="m-0"), batch="a")
    log.add(answers(4, traffic="health"), batch="b")
    log.add(answers(5, at=NOW), batch="c")
    found = silent(stores, [entry()])
    assert found.verdict == "NO_DATA"
    assert found.reasons == found.alarms == ("v1 logged no production rows in this window",)
    assert (found.ignored.others, found.ignored.traffic, found.ignored.future) == ({"m-0": 3}, 4, 5)
    assert (found.model_id, found.version, found.columns, found.rows) == ("m-1", 1, (), 0)
    assert found.table == "monitoring.flights__drift"
    assert re.fullmatch("[0-9a-f]{32}", found.check_id)
    assert silent(stores, [entry()]).check_id == found.check_id


@pytest.mark.parametrize(
    ("now", "reason"),
    [
        (NOW, "nothing was ever logged"),
        (JUNE + HOUR, "nothing was ever logged"),
        (JUNE, "this window has not begun yet"),
        (JUNE - WEEK, "this window has not begun yet"),
    ],
)
def test_why_there_is_nothing(stores, now, reason):
    """Not begun is not silent; half a window that passed is."""
    assert silent(stores, [entry()], now=now).reasons == (reason,)


@pytest.mark.parametrize(
    ("times", "version"),
    [
        ((0, 3), 2),
        ((0, 6.9), 2),
        ((0, 7), 1),
        ((-30, -20), 2),
        ((8, 9), 2),
    ],
)
def test_the_version_that_served_when_the_window_ended_is_asked(stores, times, version):
    """One that came with its end did not serve in it; before the first, the newest stands in."""
    entries = [entry(place + 1, at=JUNE + dt.timedelta(days=day)) for place, day in enumerate(times)]
    assert silent(stores, entries).version == version


def test_a_service_that_answered_without_logging_is_told_with_the_silence(stores):
    """Its counts say that there was something to log; another model's do not."""
    add_counts(
        stores.engine, "flights", segment="s", logged={}, dropped={slot(1): 9, slot(1, model_id="m-2"): 5}
    )
    found = silent(stores, [entry()]).coverage
    assert (found.served, found.logged, found.dropped, found.share) == (9, 0, 9, 0.0)
    assert silent(stores, [entry()], span=Span(JUNE + WEEK, JUNE + 2 * WEEK)).coverage is None


@pytest.mark.parametrize(
    ("policy", "auto", "before", "now", "asks"),
    [
        ("drift", False, ["DRIFT"], "DRIFT", True),
        ("hybrid", False, ["DRIFT", "OK"], "DRIFT", True),
        ("alert", False, ["DRIFT"], "DRIFT", False),
        ("schedule", False, ["DRIFT"], "DRIFT", False),
        ("alert", True, ["DRIFT"], "DRIFT", True),
        ("drift", False, ["DRIFT", "DRIFT"], "OK", False),
        ("drift", False, [], "DRIFT", False),
        ("drift", False, ["DRIFT", "OK", "OK"], "DRIFT", False),
    ],
)
def test_whether_drift_asks_for_a_retrain(stores, policy, auto, before, now, asks):
    """By the policy or for one run; another model or a retrain just made speaks against it."""
    known = DriftRecords(stores.engine, "flights")
    for week, verdict in enumerate(before):
        known.add(checked(str(week), week=week, verdict=verdict))
    known.add(checked("later", week=len(before) + 1, verdict="DRIFT"))
    span = Span(JUNE + len(before) * WEEK, JUNE + (len(before) + 1) * WEEK)
    check = WindowCheck(stores, [entry(retrain={"policy": policy})], span, NOW)
    report = SimpleNamespace(model_id="m-1", verdict=now)
    assert check.asks_for_retrain(report, auto=auto) is asks
    assert not check.asks_for_retrain(SimpleNamespace(model_id="m-0", verdict=now), auto=auto)
    hand_over(stores, reasons=["drift"], version=1, now=NOW)
    assert not check.asks_for_retrain(report, auto=auto)


# Rules, retrains and tasks.


def test_rules_come_from_the_ledger():
    """What is not there is the default; a rule that makes no sense is named by its field."""
    bare = entry()
    assert (monitor_of(bare), retrain_of(bare), width_of(bare)) == (Monitor(), Retrain(), WEEK)
    said = entry(monitor={"inputs": ["hour"], "window_days": 1}, retrain={"policy": "drift", "windows": 1})
    assert monitor_of(said) == Monitor(inputs=("hour",), window_days=1)
    assert retrain_of(said) == Retrain(policy="drift", windows=1)
    assert width_of(said) == dt.timedelta(days=1)
    assert rules_of(said)["metric"] == "rmse"
    with pytest.raises(ConfigError) as caught:
        retrain_of(entry(retrain={"windows": 0}))
    assert caught.value.path == "retrain.windows"


def test_cooldown_counts_from_the_last_retrain_that_did_not_fail(stores):
    """To the second; none is needed before the first, nor where the policy has none."""
    rule, kept = Retrain(cooldown_days=7), Records(stores.engine, "flights", "retrains")
    assert not is_cooling(stores, rule, now=JUNE)
    hand_over(stores, reasons=["drift"], version=3, now=JUNE)
    assert is_cooling(stores, rule, now=JUNE + WEEK - dt.timedelta(seconds=1))
    assert not is_cooling(stores, rule, now=JUNE + WEEK)
    assert not is_cooling(stores, Retrain(cooldown_days=0), now=JUNE)
    later = {"kind": "decision", "decision": "retrain", "moment": (JUNE + WEEK).isoformat()}
    failed = kept.add(later)
    assert is_cooling(stores, rule, now=JUNE + WEEK + HOUR)
    kept.add({"kind": "outcome", "decision_id": failed.record_id, "outcome": "failed"})
    assert not is_cooling(stores, rule, now=JUNE + WEEK + HOUR)


def decided(seq, **said):
    """A record of a decision; the number is its id too."""
    return Record(seq, JUNE, str(seq), "me", {"kind": "decision", "decision": "retrain", **said})


def ended(seq, decision):
    """A record of what became of one."""
    return Record(
        seq, JUNE, str(seq), "me", {"kind": "outcome", "decision_id": str(decision), "outcome": "rejected"}
    )


@pytest.mark.parametrize(
    ("records", "seq"),
    [
        ([], None),
        ([decided(1)], 1),
        ([decided(1), ended(2, 1)], None),
        ([decided(1, decision="skip")], None),
        ([decided(1), decided(2, decision="skip")], None),
        ([decided(1), ended(2, 1), decided(3)], 3),
        ([decided(1), decided(2), ended(3, 1)], 2),
        ([decided(1, handed_over=True)], None),
        ([decided(1), decided(2, handed_over=True)], None),
    ],
)
def test_which_retrain_nobody_finished(records, seq):
    """Only the newest decision can be it, if no outcome names it and no job took it over."""
    found = unfinished(records)
    assert (found.seq if found else None) == seq


@pytest.mark.parametrize(
    ("verb", "options", "code", "path"),
    [
        ("monitor", {}, "CLI063", "flights"),
        ("retrain", {}, "CLI065", "flights"),
        ("retrain", {"dry-run": "true", "force": "false"}, "CLI065", "flights"),
        ("monitor", {"since": "", "until": "", "auto-retrain": ""}, "CLI063", "flights"),
        ("monitor", {"since": "yesterday"}, "CLI062", "since"),
        ("monitor", {"since": "2026-06-01", "until": "x"}, "CLI062", "until"),
        ("monitor", {"auto-retrain": "yes"}, "CLI069", "auto-retrain"),
        ("retrain", {"dry-run": "1"}, "CLI069", "dry-run"),
        ("retrain", {"force": "True"}, "CLI069", "force"),
    ],
)
def test_a_task_that_cannot_begin(stores, verb, options, code, path):
    """A parameter that a job left empty is not given; any other text is read strictly."""
    with pytest.raises(UsageError) as caught:
        watch(verb, options, None, stores)
    assert (caught.value.code, caught.value.path) == (code, path)
    assert set(options) <= set(OPTIONS[verb])
    assert Records(stores.engine, "flights", "retrains").all() == []


# Labels.


class Asked:
    """What labels are read for: a project with one key, whose ids are texts of it."""

    key, target = ("flight_id",), "delay"

    def row_ids(self, rows):
        """Of the key only."""
        return pa.array([f"row {value}" for value in rows.column("flight_id").to_pylist()])


def read(workspace, rows, **said):
    """Ids and labels, sorted."""
    found = read_labels(workspace.engine, rows, Asked(), **{"label": "delay", **said})
    assert len(found) == found.rows.num_rows
    return found.by, sorted(zip(found.ids.to_pylist(), found.rows.column("delay").to_pylist(), strict=True))


def test_labels_belong_to_rows_or_requests(workspace):
    """Under the target's name whatever the column is called; missing ones are none, equal ones are one."""
    frame = pd.DataFrame({"flight_id": [1, 2, 2, 3], "late": [1.5, 2.5, 2.5, None], "more": "x"})
    assert read(workspace, frame, label="late") == ("row_id", [("row 1", 1.5), ("row 2", 2.5)])
    by, found = read(workspace, pa.table({"id": [7, 8], "delay": [1.0, float("nan")]}), request_id="id")
    assert (by, found) == ("request_id", [("7", 1.0)])
    assert read(workspace, frame.head(0), label="late") == ("row_id", [])


def test_a_target_may_have_any_name(workspace):
    """That of the column of ids too."""
    asked = Asked()
    asked.target = "id"
    found = read_labels(workspace.engine, pa.table({"flight_id": [7], "id": [1.5]}), asked, label="id")
    assert (found.ids.to_pylist(), found.rows.to_pydict()) == (["row 7"], {"id": [1.5]})


def test_labels_of_text_and_in_a_table(workspace):
    """Categories stay what they are; a table is named with or without its schema."""
    rows = pa.table({"flight_id": [1, 2], "delay": ["später", ""]})
    workspace.engine.create(TableName(FEATURES, "truth"), rows.to_reader())
    expected = ("row_id", [("row 1", "später"), ("row 2", "")])
    for named in (rows, "truth", "features.truth"):
        assert read(workspace, named) == expected


@pytest.mark.parametrize(
    ("rows", "said", "kind", "code"),
    [
        ({"flight_id": [1]}, {}, DataError, "DAT045"),
        ({"delay": [1.0]}, {}, DataError, "DAT045"),
        ({"flight_id": [1], "delay": [1.0]}, {"request_id": "id"}, DataError, "DAT045"),
        ({"flight_id": [1, 1], "delay": [1.0, 2.0]}, {}, UsageError, "CLI067"),
        ("gone.csv", {}, UsageError, "CLI068"),
        ("folder.parquet", {}, UsageError, "CLI068"),
        ("torn.parquet", {}, UsageError, "CLI068"),
        ("truth.json", {}, NamingError, "NAM007"),
    ],
)
def test_labels_that_are_none(workspace, tmp_path, monkeypatch, rows, said, kind, code):
    """No such column, two labels for one row, no file, a folder, half a file, another kind of file."""
    (tmp_path / "folder.parquet").mkdir()
    (tmp_path / "torn.parquet").write_bytes(b"PAR1 sesame")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(kind) as caught:
        read(workspace, pa.table(rows) if isinstance(rows, dict) else rows, **said)
    assert caught.value.code == code
    assert "sesame" not in str(caught.value)


def test_nothing_is_measured_before_anything_serves(stores):
    """Nor was anything ever; what is on record comes back in its order, with its instant."""
    with pytest.raises(UsageError, match="CLI050"):
        measure(stores, pd.DataFrame({"flight_id": [1], "delay": [1.0]}))
    assert list(read_performance(stores)) == []
    kept = Records(stores.engine, "flights", "performance")
    first, second = kept.add({"value": 1.0}), kept.add({"value": None})
    assert list(read_performance(stores)) == [
        {"value": 1.0, "at": first.at.isoformat()}, {"value": None, "at": second.at.isoformat()},
    ]  # fmt: skip
