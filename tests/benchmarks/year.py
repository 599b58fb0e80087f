"""A year of flights, month by month: which months alarm and why, and which retrains are kept.

Run by hand: ``python tests/benchmarks/year.py [folder]``. The first two months make the champion. Each
further month is answered by whoever serves, watched, scored by its late labels, published, and then given to
`retrain` with the policy ``drift``. At the end: a look back (diff, reproduce), a rollback and a cleanup.
"""

from __future__ import annotations

import calendar
import datetime as dt
import importlib
import importlib.resources
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from mlkit import Gate, ModelProject, Retrain, Split, open_workspace
from mlkit.demo.story import _flights

FIRST_MONTHS = 2
TRIALS = 12
COLUMNS = "month     rows  verdict              rmse  retrain        what drifted, and how far"


def span_of(month: int) -> tuple[dt.datetime, dt.datetime]:
    """Begin and end of a month of 2013."""
    since = dt.datetime(2013, month, 1, tzinfo=dt.UTC)
    return since, since + dt.timedelta(days=calendar.monthrange(2013, month)[1])


def begin(project: ModelProject, first: Any, user: Any) -> Any:
    """The first champion, and its config."""
    project.publish_features("features.flights", first, contract=user.Flights)
    snapshot = project.snapshot("features.flights", prepare=user.prepare)
    study = project.study(user.search, snapshot, trials=TRIALS, cv=3, workers=2)
    config = project.freeze(
        study.best,
        gate=Gate(threshold=30),
        retrain=Retrain(policy="drift", windows=1, of=1, cooldown_days=0),
        reason="a year of flights",
    )
    project.deploy(config)
    return config


def live(project: ModelProject, config: Any, rows: Any, month: int) -> str:
    """One month: answered, watched, scored by its labels, published, perhaps retrained; gives its line."""
    since, until = span_of(month)
    scored = project.score(rows, prepare=True, event_time=since + (until - since) / 2, as_of=since)
    report = project.monitor(since=since, until=until, now=until)
    moved = [f"{each.column} {each.effect:.2f}" for each in report.columns if each.verdict == "DRIFT"]
    late = project.performance(
        rows[["flight_id", "arr_delay"]], since=since, until=until, every=until - since, now=until
    )
    told = ", ".join(f"{window.value:.2f}" for window in late.windows)
    project.publish_features("features.flights", rows)
    again = project.retrain(config)
    moved_most = ", ".join(moved)[:60]
    return f"{month:>5} {scored.rows:>8,}  {report.verdict:<18} {told:>6}  {again.outcome:<13}  {moved_most}"


def main() -> None:
    """The whole year."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp()).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    source = (
        importlib.resources.files("mlkit.demo").joinpath("flight_delay.py.txt").read_text(encoding="utf-8")
    )
    Path("flight_delay.py").write_text(source, encoding="utf-8")
    sys.path.insert(0, str(folder))
    user = importlib.import_module("flight_delay")
    project = ModelProject(
        "flight_delay",
        target="arr_delay",
        key="flight_id",
        metric="rmse",
        split=Split(test=0.2, seed=7),
        workspace=open_workspace("local", home=folder / ".mlkit"),
    )
    flights = _flights()
    months = flights["day"].dt.month
    started = time.perf_counter()
    config = begin(project, flights[months <= FIRST_MONTHS], user)
    print(COLUMNS)
    for month in range(FIRST_MONTHS + 1, 13):
        print(live(project, config, flights[months == month], month), flush=True)
    print(f"\n{time.perf_counter() - started:.0f} s for the year\n")
    versions = sorted({entry.to_version for entry in project.history()})
    if len(versions) > 1:
        print(project.diff(versions[0], versions[-1]))
        print(project.rollback(reason="the year is over"))
    print(project.reproduce(versions[0]))
    print(project.cleanup())


if __name__ == "__main__":
    main()
