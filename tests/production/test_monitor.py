"""Watching: which windows are quiet, which alarm and why, and that no failure ever reads as quiet."""

from __future__ import annotations

import datetime as dt
import json
import sys
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pytest

from mlkit import cli
from mlkit.data.drift import BINS_FILE
from mlkit.data.monitor_spec import Monitor
from mlkit.engines.base import MONITORING, TableName
from mlkit.errors import StudyError, UsageError
from mlkit.model.retraining import Retrain
from mlkit.production import window_check as room
from mlkit.production.drift_records import DriftRecords, check_rows, read_windows
from mlkit.production.monitor import monitor, monitor_windows
from mlkit.production.outputs import read_output
from mlkit.production.records import Records
from mlkit.production.runner import deploy
from mlkit.production.serving_counts import Slot, add_counts
from mlkit.production.task import main as run_task
from mlkit.production.task import task_values
from mlkit.targets import Alert
from tests.production import scenes
from tests.production.watching import JUNE, WEEK, answer, asked, log, serve, set_up, watched

DRIFT = TableName(MONITORING, f"{scenes.NAME}__drift")


@pytest.fixture
def project(stores):
    """Stores of a deployed project."""
    set_up(stores)
    return stores


def week(stores, number=0, **options):
    """Check one week from the first of June on."""
    return monitor(stores, since=JUNE + number * WEEK, until=JUNE + (number + 1) * WEEK, **options)


def rows_of(stores):
    """The drift table."""
    return stores.engine.read(DRIFT).read_all().to_pylist()


def test_a_quiet_week_then_a_shifted_one(project):
    """The columns that moved are named, the worst first, and the one that did not is OK."""
    serve(project)
    serve(project, asked(seed=2, shift=900.0), since=JUNE + WEEK)
    quiet, moved = week(project), week(project, 1)
    assert (quiet.verdict, quiet.alarms, quiet.exit_code, quiet.verdict_code) == ("OK", (), 0, 0)
    assert {check.column for check in quiet.columns} == {
        "prediction", "input_hour", "input_distance", "input_is_ua",
    }  # fmt: skip
    assert (moved.verdict, moved.exit_code, moved.verdict_code) == ("DRIFT", 0, 7)
    verdicts = {check.column: check.verdict for check in moved.columns}
    assert verdicts["input_distance"] == verdicts["prediction"] == "DRIFT"
    assert verdicts["input_hour"] == verdicts["input_is_ua"] == "OK"
    assert moved.columns[0].column == "input_distance"
    assert moved.column("input_distance").moved[0]["label"].startswith("above")
    assert len(moved.alarms) == 2
    assert not moved.should_retrain  # the policy is to say so, and no more
    assert "four times out of five" in moved.power
    assert "independent" in moved.assumption
    assert "mlkit retrain" in repr(moved)
    assert json.dumps(moved.to_dict())


def test_what_is_recorded_can_be_read_by_any_tool(project):
    """Databricks' names where it has them; a second check of the same data adds nothing."""
    serve(project, asked(seed=2, shift=900.0))
    first = week(project)
    rows = {row["column_name"]: row for row in rows_of(project)}
    again = week(project)
    assert (first.recorded, again.recorded, again.check_id) == (True, False, first.check_id)
    assert len(rows_of(project)) == len(rows) == 5
    one, whole = rows["input_distance"], rows[":table"]
    check = first.column("input_distance")
    assert one["window"] == {"start": JUNE, "end": JUNE + WEEK}
    assert (one["drift_type"], one["granularity"], one["verdict"]) == ("BASELINE", "7d", "DRIFT")
    assert one["ks_test"] == {"statistic": check.found["ks"], "pvalue": check.found["p_value"]}
    assert one["chi_squared_test"] is None
    assert one["population_stability_index"] == check.found["psi"] > 1
    assert one["rows"] - one["reference_rows"] == one["count_delta"]
    assert (whole["verdict"], whole["rows"], whole["model_id"]) == ("DRIFT", 1000, first.model_id)
    (window,) = read_windows(project)
    assert window.to_dict()["columns"] == {
        name: row["verdict"] for name, row in rows.items() if name != ":table"
    }
    assert window.columns["input_distance"]["observed"] == list(check.observed)
    assert window.record["reasons"] == list(first.reasons)


def test_only_new_rows_of_production_of_one_model_count(project):
    """Health checks, other models, repeats and the future are counted apart, and named."""
    flights = asked()
    serve(project, flights, source="serve", batch="a", request_id="r1")
    log(project, answer(project, flights, source="serve", batch="b", request_id="r1"))  # the request again
    log(project, answer(project, flights, batch="c", traffic="health"))
    log(project, answer(project, asked(10), since=JUNE + 3 * WEEK, batch="d"))
    other = answer(project, asked(50), batch="e")
    place = other.schema.get_field_index("model_id")
    log(project, other.set_column(place, "model_id", pa.array(["m-other"] * 50)), batch="e")
    report = week(project, now=JUNE + 2 * WEEK)
    assert report.rows == 1000
    assert (report.ignored.traffic, report.ignored.repeated, report.ignored.future) == (1000, 1000, 10)
    assert report.ignored.others == {"m-other": 50}
    assert report.ignored.late == 2000  # logged today, long after that week
    assert "m-other" in repr(report)
    assert sum(report.column("prediction").observed) == 1000


def test_a_repeat_that_says_something_else_is_no_repeat(project):
    """A client that gives all its requests one id loses no rows; equal ones in one batch count once."""
    flights = asked(300)
    both = [answer(project, rows, source="serve", batch="a", request_id="x") for rows in (flights, flights)]
    moved = answer(project, flights.assign(distance=flights["distance"] + 1), source="serve", request_id="x")
    log(project, pa.concat_tables(both), batch="a")
    log(project, moved, batch="b")
    report = week(project)
    assert (report.rows, report.ignored.repeated) == (600, 300)


def test_silence_is_an_alarm(project):
    """Never logged, not in this week, and a week that has not begun yet."""
    never = week(project)
    assert (never.verdict, never.reasons, never.verdict_code) == ("NO_DATA", ("nothing was ever logged",), 8)
    serve(project)
    empty = week(project, 1)
    assert empty.verdict == "NO_DATA"
    assert empty.alarms == empty.reasons == ("v1 logged no production rows in this window",)
    assert empty.exit_code == 0
    assert "not begun" in week(project, now=JUNE - WEEK).reasons[0]


def test_too_little_is_never_ok(project):
    """Few rows, or a log that lost more than one in twenty, cannot show that nothing moved."""
    serve(project, asked(90))
    assert week(project).verdict == "INSUFFICIENT_DATA"
    serve(project, asked(seed=3), since=JUNE + WEEK, source="serve", request_id="r")
    slot = Slot((JUNE + WEEK).isoformat(), project.ledger.head().model_id, 1)
    add_counts(project.engine, project.project, logged={slot: 1000}, dropped={slot: 100}, segment="s1")
    lossy = week(project, 1)
    assert (lossy.verdict, lossy.verdict_code) == ("INSUFFICIENT_DATA", 8)
    assert lossy.coverage.share == 1000 / 1100
    assert any("90.9%" in alarm and "100 rows dropped" in alarm for alarm in lossy.alarms)


def test_a_column_that_left_the_log_is_an_alarm(project):
    """The schema has changed: what can no longer be seen is not OK."""
    rows = answer(project, asked())
    log(project, rows.drop_columns(["input_hour"]))
    report = week(project)
    assert (report.verdict, report.column("input_hour").verdict) == ("NO_DATA", "NO_DATA")
    assert report.column("prediction").verdict == "OK"
    assert any("schema" in alarm for alarm in report.alarms)


def test_a_check_that_fails_never_reads_ok(project):
    """What mlkit knows becomes a report with verdict ERROR, on record, with the exit code of its cause."""
    serve(project)
    folder = project.registry.folder(project.ledger.head().model_id)
    (folder / BINS_FILE).write_text("{}")
    report = week(project)
    assert (report.verdict, report.error["code"], report.exit_code) == ("ERROR", "INT022", 30)
    assert report.recorded
    assert report.alarms
    (window,) = read_windows(project)
    assert (window.verdict, window.record["error"]["code"]) == ("ERROR", "INT022")
    assert not week(project).recorded


def test_a_bug_is_recorded_and_passes_on(project, monkeypatch, tmp_path):
    """Whatever it is: the table says that the check failed, and whoever is to be told knows."""
    serve(project)
    monkeypatch.setattr(room, "judge_window", lambda *_, **__: 1 / 0)
    told = tmp_path / "told.json"
    teller = f"import sys; open({str(told)!r}, 'w').write(sys.stdin.read())"
    with pytest.raises(ZeroDivisionError):
        week(project, alert=Alert(command=(sys.executable, "-c", teller)))
    assert json.loads(told.read_text())["verdict"] == "ERROR"
    (window,) = read_windows(project)
    assert (window.verdict, window.record["error"]["code"]) == ("ERROR", "BUG001")


@pytest.mark.parametrize("point", ["monitor.surveyed", "monitor.recorded"])
def test_a_check_that_was_killed_is_repeated(project, children, point):
    """A process of its own, killed; the next one finds the same and records it once."""
    serve(project, asked(seed=2, shift=900.0))
    assert children.run("monitor", JUNE.isoformat(), fail=f"{point}:kill") == (-9, None)
    code, told = children.run("monitor", JUNE.isoformat())
    assert (code, told["verdict"], told["recorded"]) == (0, "DRIFT", point == "monitor.surveyed")
    assert len(read_windows(project)) == 1


def test_checks_that_race_record_each_finding_once(project):
    """Several schedulers at once: no row twice, no number twice, none lost."""
    serve(project)
    report = week(project)
    records = DriftRecords(project.engine, project.project)
    rows = [check_rows({**report.to_dict(), "check_id": name}, report.span, at=JUNE) for name in "abca"]
    with ThreadPoolExecutor(4) as pool:
        added = list(pool.map(records.add, rows))
    assert sorted(added) == [False, True, True, True]
    assert {window.check_id for window in records.all()} == {report.check_id, "a", "b", "c"}
    assert [window.seq for window in records.all()] == [1, 2, 3, 4]


def test_two_warnings_running_are_drift(project):
    """Alone each is a warning; a gap between them breaks the chain."""
    for number in (0, 1, 3):
        serve(project, asked(seed=5, shift=80.0), since=JUNE + number * WEEK)
    first = {week(project, number).column("input_distance").p_value for number in (0, 1, 3)}
    (p_value,) = first  # the same counts
    rule = Monitor(inputs=("hour", "distance", "is_ua"), alpha=2 * p_value, min_effect=0.0)
    deploy(watched(monitor=rule), project)
    found = [week(project, number).column("input_distance").verdict for number in (0, 1, 3)]
    assert found == ["WARN", "DRIFT", "WARN"]


def test_several_windows_are_checked_in_their_order(project, monkeypatch):
    """Backfill: half-open windows, none twice, and the exit code of the newest; the model is read once."""
    read: list[str] = []
    monkeypatch.setattr(
        room, "read_output", lambda stores, table: read.append(table) or read_output(stores, table)
    )
    serve(project, asked(2000), width=2 * WEEK)
    serve(project, asked(seed=9, shift=900.0), since=JUNE + 2 * WEEK)
    run = monitor_windows(project, every=WEEK, since=JUNE, until=JUNE + 3 * WEEK + dt.timedelta(hours=1))
    assert [report.verdict for report in run.windows] == ["OK", "OK", "DRIFT"]
    assert [report.rows for report in run.windows] == [1000, 1000, 1000]
    assert (run.exit_code, run.verdict_code) == (0, 7)
    assert [window["verdict"] for window in run.windows[-1].history] == ["OK", "OK", "DRIFT"]
    assert len(run.to_dict()["windows"]) == 3
    assert "2 OK" in repr(run)
    assert len(read) == 1


def test_the_version_that_served_last_decides(stores):
    """A week in which a new champion came is looked at by its answers alone; the other's are named."""
    project = stores
    set_up(stores, model=scenes.STUMP)
    serve(project, batch="a")
    assert deploy(watched(), project).outcome == "promoted"
    serve(project, asked(600, seed=2), batch="b")
    both = week(project)
    assert (both.version, both.rows) == (2, 600)
    assert list(both.ignored.others.values()) == [1000]
    first = week(project, version=1)
    assert (first.version, first.rows) == (1, 1000)
    with pytest.raises(UsageError, match="one of v1, v2"):
        week(project, version=3)


def test_nothing_to_watch(stores):
    """Before the first deployment."""
    with pytest.raises(UsageError) as caught:
        monitor(stores)
    assert caught.value.code == "CLI063"


def test_by_default_the_last_full_window_is_checked(project):
    """Of the width that the config says, on a grid that begins on Mondays."""
    serve(project)
    report = monitor(project, now=JUNE + WEEK + dt.timedelta(days=2))
    assert (report.span.since, report.span.until, report.rows) == (JUNE, JUNE + WEEK, 1000)
    assert monitor(project, since=JUNE).span == monitor(project, until=JUNE + WEEK).span == report.span


def test_windows_without_drift_alarm_as_rarely_as_stated(project):
    """The A/A number: windows drawn from the reference itself."""
    serve(project)
    found = week(project, self_check=200).self_check
    assert (found["windows"], found["alpha"]) == (
        200,
        Monitor().window_alpha / 2,
    )  # half of it is for the inputs
    assert found["alarms"] <= 8  # of Binomial(200, 0.0096) more than that comes once in 5,000 runs
    assert 0 < found["rows"] <= 750


def test_drift_asks_for_a_retrain_where_the_policy_says_so(stores, tmp_path):
    """N of the last M windows with the last one; as task of a job its value is a text."""
    rule = Retrain(policy="drift", windows=2, of=3)
    set_up(stores, retrain=rule)
    for number, shift in enumerate((900.0, 0.0, 900.0)):
        serve(stores, asked(seed=number + 1, shift=shift), since=JUNE + number * WEEK)
    assert [week(stores, number).should_retrain for number in range(3)] == [False, False, True]
    watched(retrain=rule).write(tmp_path / "configs" / f"{scenes.NAME}.yaml")
    words = ["monitor", f"--since={JUNE + 2 * WEEK:%Y-%m-%d}", "--auto-retrain=false", "--attempt="]
    made = run_task(words, configs=tmp_path / "configs")
    assert task_values(made) == {"version": "1", "should_retrain": "true"}
    (handed,) = Records(stores.engine, stores.project, "retrains").all()
    assert handed.record["handed_over"]
    assert not week(stores, 2).should_retrain  # it is on its way


def test_as_a_task_drift_is_green_and_a_failed_check_is_red(project, tmp_path):
    """`auto-retrain` decides for one run; a page of a job shows why a check failed."""
    configs = tmp_path / "configs"
    watched().write(configs / f"{scenes.NAME}.yaml")
    for number in range(2):
        serve(project, asked(seed=number + 1, shift=900.0), since=JUNE + number * WEEK)
        words = ["monitor", f"--since={JUNE + number * WEEK:%Y-%m-%d}"]
        assert not run_task([*words, "--auto-retrain=false"], configs=configs).should_retrain
    assert run_task([*words, "--auto-retrain=true"], configs=configs).should_retrain
    (project.registry.folder(project.ledger.head().model_id) / BINS_FILE).unlink()
    with pytest.raises(StudyError, match="INT022"):
        run_task(words, configs=configs)
    with pytest.raises(UsageError, match="true or false"):
        run_task([*words, "--auto-retrain=yes"], configs=configs)


def test_the_command(project, tmp_path, capsys):
    """JSON on standard output, a page in a file, and the exit codes that are documented."""
    serve(project, asked(seed=2, shift=900.0))
    page = tmp_path / "page.html"
    words = ["monitor", scenes.NAME, "--since", "2026-06-01", "--until", "2026-06-08T00:00:00Z"]
    assert cli.main([*words, "--json", "--html", str(page)]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["verdict"], said["rows"], said["columns"][0]["verdict"]) == ("DRIFT", 1000, "DRIFT")
    assert "input_distance" in page.read_text()
    assert cli.main([*words, "--exit-code"]) == 7
    assert list((project.workspace.folder / "reports").glob("*.html"))
    assert cli.main([*words, "--every", "1d", "--exit-code"]) == 7
    assert "7 windows" in capsys.readouterr().out
    assert cli.main(["monitor", scenes.NAME, "--since", "2026-06-08", "--every", "x"]) == 2


def test_an_alarm_that_is_not_delivered_is_said_and_the_row_stays(project, tmp_path, capsys):
    """Exit code 4; what was found is on record."""
    serve(project, asked(seed=2, shift=900.0))
    report = week(project, alert=Alert(command=(str(tmp_path / "not-there"),)))
    assert (report.verdict, report.exit_code, report.verdict_code) == ("DRIFT", 4, 4)
    assert report.sent.error.code == "NET090"
    assert "not delivered" in repr(report)
    assert len(DriftRecords(project.engine, project.project).all()) == 1
    quiet = week(project, 1, now=JUNE + 2 * WEEK, alert=Alert(command=("true",)))
    assert (quiet.verdict, quiet.sent.told) == ("NO_DATA", ("command",))
