"""Watching different models: classifiers, models that came and went, and rules that changed meanwhile."""

from __future__ import annotations

import datetime as dt
import json
import sys

import numpy as np
import pytest

from mlkit import Gate, Source, cli, open_workspace
from mlkit.data.features import publish_features
from mlkit.data.monitor_spec import Monitor
from mlkit.engines.base import TableName
from mlkit.errors import ServingError, UsageError
from mlkit.production.drift_records import read_windows
from mlkit.production.monitor import monitor, monitor_windows
from mlkit.production.rollback import roll_back
from mlkit.production.rules import monitor_of, retrain_of, width_of
from mlkit.production.runner import deploy
from mlkit.production.stores import Stores
from mlkit.production.task import main as run_task
from tests.production import scenes
from tests.production.watching import INPUTS, JUNE, WEEK, answer, asked, log, serve, set_up, watched

CLASSES = ("early", "in time", "late")


def week(stores, number=0, **options):
    """Check one week from the first of June on."""
    return monitor(stores, since=JUNE + number * WEEK, until=JUNE + (number + 1) * WEEK, **options)


def classifier(stores, classes=CLASSES):
    """Deploy a tree that tells how late flights are."""
    flights = asked(6000, seed=4)
    ranks = flights["delay"].rank(method="first", pct=True)
    flights["late"] = [classes[int(rank * len(classes) * 0.999)] for rank in ranks]
    columns = ["flight_id", "hour", "distance", "late"]
    table = TableName("features", "lateness")
    publish_features(stores.engine, table, flights[columns], contract=None, key=["flight_id"])
    dtype = "bool" if isinstance(classes[0], bool) else "string"
    dtypes = {"flight_id": "int64", "hour": "int64", "distance": "float64", "late": dtype}
    config = scenes.frozen(
        task="binary" if len(classes) == 2 else "multiclass",
        target="late",
        features=("hour", "distance"),
        metric="accuracy",
        model={"class": "sklearn.tree.DecisionTreeClassifier", "params": {"max_depth": 5}},
        source=Source(table="features.lateness"),
        gate=Gate(threshold=0.5),
        monitor=Monitor(inputs=("distance",)),
        contract={"columns": {name: {"dtype": dtype} for name, dtype in dtypes.items()}},
    )
    assert deploy(config, stores).outcome == "promoted"


@pytest.mark.parametrize("classes", [CLASSES, (False, True)])
def test_classes_are_counted_by_name(stores, classes):
    """A class that is answered more often moves the prediction; the class is named."""
    classifier(stores, classes)
    columns = ["flight_id", "hour", "distance", "delay"]
    log(stores, answer(stores, asked(1500, seed=5)[columns]))
    log(stores, answer(stores, asked(1500, seed=6, shift=-1200.0)[columns], since=JUNE + WEEK))
    quiet, moved = week(stores), week(stores, 1)
    assert (quiet.verdict, moved.verdict) == ("OK", "DRIFT")
    found = moved.column("prediction")
    assert (found.kind, found.found["w1"]) == ("category", None)
    assert {str(each) for each in classes} <= set(found.bins)
    observed = dict(zip(found.bins, found.observed, strict=True))
    assert sum(observed.values()) == 1500
    said = answer(stores, asked(1500, seed=6, shift=-1200.0)[columns])["prediction"].to_pylist()
    assert {each: observed[each] for each in set(said)} == {each: said.count(each) for each in set(said)}
    outputs = [check.column for check in moved.columns if check.column.startswith("probability_")]
    assert len(outputs) == (1 if len(classes) == 2 else 3)
    assert str(classes[-1]) in moved.to_html()
    assert cli.main(["monitor", scenes.NAME, "--since", "2026-06-08", "--exit-code"]) == 7


def test_after_a_rollback_the_model_that_serves_again_decides(stores):
    """Each window is of one model, and compared with that model's own test rows."""
    set_up(stores, model=scenes.STUMP)
    assert deploy(watched(), stores).outcome == "promoted"
    roll_back(stores, reason="bad")
    rows = serve(stores, asked(900), version=1)
    serve(stores, asked(800, seed=2), version=2, batch="second")
    report = week(stores)
    assert (report.version, report.rows, report.verdict) == (1, 900, "OK")
    assert len(set(rows["prediction"].to_pylist())) == 2  # a stump: its bins are its own
    assert report.column("prediction").found["rows"][1] == 900
    other = week(stores, version=2)
    assert (other.version, other.rows) == (2, 800)
    assert len(read_windows(stores)) == 2


def test_a_window_before_its_model_served_is_of_the_one_that_did(project_of_two):
    """The champion of now has no say about the time before it: it was another one that answered."""
    stores, moment = project_of_two
    early = monitor(stores, since=moment - 2 * WEEK, until=moment - WEEK, now=moment)
    assert early.version == 2  # nobody served then; the newest that answered speaks
    now = monitor(stores, since=moment - WEEK, until=moment + WEEK, now=moment + 2 * WEEK)
    assert (now.version, now.rows) == (2, 300)


@pytest.fixture
def project_of_two(stores):
    """A first version, then a second; both answered, around now."""
    set_up(stores, model=scenes.STUMP)
    assert deploy(watched(), stores).outcome == "promoted"
    moment = stores.ledger.head().at
    serve(stores, asked(200), version=1, since=moment - 2 * WEEK, batch="a")
    serve(stores, asked(250, seed=2), version=2, since=moment - 2 * WEEK, batch="b")
    serve(stores, asked(300, seed=3), version=2, since=moment - WEEK, batch="c")
    return stores, moment


def test_silence_of_the_champion_is_not_covered_by_an_older_model(stores):
    """Where the new version serves and only the old one answers, something is wrong."""
    set_up(stores, model=scenes.STUMP)
    assert deploy(watched(), stores).outcome == "promoted"
    moment = stores.ledger.head().at
    serve(stores, asked(500), version=1, since=moment, batch="a")
    report = monitor(stores, since=moment - WEEK, until=moment + WEEK, now=moment + WEEK)
    assert (report.verdict, report.version) == ("NO_DATA", 2)
    assert list(report.ignored.others.values()) == [500]


def test_rules_may_change_while_the_model_stays(stores):
    """Width, level and policy are those of the newest config; what is logged is the model's."""
    set_up(stores)
    rule = Monitor(inputs=(*INPUTS, "per_mile"), window_days=1, min_rows=50, min_effect=0.9)
    assert deploy(watched(monitor=rule), stores).outcome == "unchanged"
    head = stores.ledger.head()
    assert (monitor_of(head), width_of(head), head.to_version) == (rule, dt.timedelta(days=1), 1)
    assert retrain_of(head).policy == "alert"
    serve(stores, asked(seed=2, shift=900.0), width=dt.timedelta(days=1))
    report = monitor(stores, now=JUNE + dt.timedelta(days=1, hours=2))
    assert (report.span.width, report.rows) == (dt.timedelta(days=1), 1000)
    assert report.verdict == "OK"  # nine rows of ten would have to move
    assert {check.column for check in report.columns} == {"prediction", *(f"input_{name}" for name in INPUTS)}


def test_the_target_says_who_is_told(stores, home, tmp_path):
    """Without an option; a job whose alarm is not delivered is red, and finds its record again."""
    config = set_up(stores)
    config.write(tmp_path / "configs" / f"{scenes.NAME}.yaml")
    serve(stores, asked(seed=2, shift=900.0))
    told = tmp_path / "told.json"
    teller = ["-c", f"import sys; open({str(told)!r}, 'w').write(sys.stdin.read())"]
    file = tmp_path / "mlkit.toml"
    file.write_text(f"[targets.local.alert]\ncommand = {json.dumps([sys.executable, *teller])}\n")
    report = week(Stores(open_workspace(home=home), scenes.NAME))
    assert report.sent.told == ("command",)
    assert json.loads(told.read_text())["check_id"] == report.check_id
    file.write_text('[targets.local.alert]\ncommand = ["/not/there"]\n')
    with pytest.raises(ServingError, match="cannot be started"):
        run_task(["monitor", "--since=2026-06-01"], configs=tmp_path / "configs")
    assert len(read_windows(stores)) == 1


def test_windows_that_cannot_be(stores):
    """They end before they begin, are too many, or are of no version."""
    set_up(stores)
    with pytest.raises(UsageError, match="ends after it begins"):
        monitor(stores, since=JUNE, until=JUNE)
    with pytest.raises(UsageError, match="at most 1,000"):
        monitor_windows(stores, every=dt.timedelta(minutes=1), since=JUNE, until=JUNE + WEEK)
    with pytest.raises(UsageError, match="never served"):
        monitor(stores, version=7)
    assert read_windows(stores) == []


def test_the_same_log_gives_the_same_report_every_time(stores):
    """Shuffles are seeded: p values, effects and the self-check are equal bit by bit."""
    set_up(stores)
    serve(stores, asked(seed=2, shift=100.0))
    first, again = (week(stores, self_check=20).to_dict() for _ in range(2))
    for said in (first, again):
        for name in ("seconds", "recorded"):
            said.pop(name)
    assert first == again
    assert np.isfinite(first["columns"][0]["found"]["psi"])
