"""Watching on Spark: the same log gives the same integers, verdicts and scores as on one machine."""

from __future__ import annotations

import datetime as dt

import pyarrow as pa
import pytest

from mlkit import open_workspace
from mlkit.engines.base import MONITORING, TableName
from mlkit.model.retraining import Retrain
from mlkit.production.monitor import monitor
from mlkit.production.performance import measure
from mlkit.production.retrain import retrain
from mlkit.production.stores import Stores
from tests.production import scenes
from tests.production.watching import JUNE, WEEK, answer, asked, log, set_up

pytest.importorskip("pyspark")
pytestmark = [pytest.mark.newest_only, pytest.mark.slow, pytest.mark.timeout(300)]


def story(stores, flights, moved):
    """Deploy, log a quiet and a moved week with whatever else lies in a log, check both, score, decide."""
    config = set_up(stores, retrain=Retrain(policy="drift", windows=1, of=1))
    quiet = answer(stores, flights, source="serve", request_id="r", batch="a")
    log(stores, quiet)
    log(stores, quiet, batch="again")
    log(stores, answer(stores, asked(40, seed=7), traffic="health", batch="h"))
    nulls = answer(stores, moved, since=JUNE + WEEK, batch="b")
    place = nulls.schema.get_field_index("input_hour")
    hours = pa.array([None if number % 3 else float("nan") for number in range(len(moved))], pa.float64())
    log(stores, nulls.set_column(place, "input_hour", hours))
    log(stores, answer(stores, asked(5, seed=8), since=JUNE + 9 * WEEK, batch="f"))
    now = JUNE + 3 * WEEK
    reports = [
        monitor(stores, since=JUNE + number * WEEK, until=JUNE + (number + 1) * WEEK, now=now)
        for number in range(3)
    ]
    assert not monitor(stores, since=JUNE, until=JUNE + WEEK, now=now + dt.timedelta(days=1)).recorded
    scored = measure(stores, flights[["flight_id", "delay"]], since=JUNE, until=JUNE + WEEK)
    decided = retrain(config, stores, dry_run=True)
    return reports, scored, decided


def told(reports):
    """All that may not depend on the engine."""
    return [
        (
            report.verdict, report.reasons, report.alarms, report.rows, report.ignored.repeated,
            report.ignored.traffic, report.ignored.future, report.ignored.late, report.should_retrain,
            [(check.column, check.verdict, check.reference, check.observed, check.found)
             for check in report.columns],
        )
        for report in reports
    ]  # fmt: skip


def test_spark_finds_the_same_integers(stores, home, tmp_path, sail):
    """Counts, p values, verdicts, what is left out, the late score and the decision to retrain."""
    (tmp_path / "mlkit.toml").write_text(f'[targets.sail.spark]\nremote = "{sail}"\n')
    there = Stores(open_workspace("sail", home=home), scenes.NAME)
    flights, moved = asked(800), asked(700, seed=2, shift=900.0)
    here_reports, here_scored, here_decided = story(stores, flights, moved)
    reports, scored, decided = story(there, flights, moved)
    assert told(reports) == told(here_reports)
    assert [report.verdict for report in reports] == ["OK", "DRIFT", "NO_DATA"]
    assert (reports[0].rows, reports[0].ignored.repeated, reports[0].ignored.future) == (800, 800, 5)
    assert [(window.value, window.labelled, window.rows) for window in scored.windows] == [
        (window.value, window.labelled, window.rows) for window in here_scored.windows
    ]
    assert (decided.decision, decided.reasons) == (here_decided.decision, here_decided.reasons)
    rows = there.engine.read(TableName(MONITORING, f"{scenes.NAME}__drift")).read_all().to_pylist()
    assert {row["window"]["start"] for row in rows} == {JUNE, JUNE + WEEK, JUNE + 2 * WEEK}
    assert all(row["ks_test"] is None or 0 <= row["ks_test"]["statistic"] <= 1 for row in rows)
