"""A project that is watched: deployed on many flights, and months of answers in its log."""

from __future__ import annotations

import datetime as dt

import pyarrow as pa

from mlkit.data.monitor_spec import Monitor
from mlkit.production.monitor_report import ColumnCheck, MonitorReport
from mlkit.production.prediction_log import PredictionLog, log_rows
from mlkit.production.runner import deploy
from mlkit.production.scorer import open_scorer
from mlkit.production.windows import Span
from tests.conftest import make_flights
from tests.production import scenes

JUNE = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
WEEK = dt.timedelta(days=7)
SPAN = Span(JUNE, JUNE + WEEK)
INPUTS = ("hour", "distance", "is_ua")


def report(verdict="OK", **said):
    """What a check says of one week."""
    return MonitorReport("flights", SPAN, verdict, said.pop("reasons", ("because",)), **said)


def check(column="prediction", verdict="OK", **said):
    """What it found of a column."""
    return ColumnCheck(column, "number", verdict, "a reason", **said)


def watched(**changes):
    """The config of the flights, three of whose features are watched."""
    return scenes.frozen(**{"monitor": Monitor(inputs=INPUTS), **changes})


def set_up(stores, *, rows=6000, **changes):
    """Publish flights and deploy the watched config; gives it."""
    scenes.publish(stores.engine, make_flights(rows))
    config = watched(**changes)
    assert deploy(config, stores).outcome == "promoted"
    return config


def asked(rows=1000, *, seed=1, shift=0.0, first=100_000):
    """Flights that nobody has seen, with their labels; `shift` lengthens them."""
    flights = make_flights(rows, seed=seed)
    flights["flight_id"] += first + seed * 10_000
    flights["distance"] += shift
    flights["delay"] = 2.0 * flights["hour"] - flights["distance"] / 200
    flights["per_mile"] = flights["distance"] / (flights["hour"] + 1)
    return flights


def answer(stores, flights, *, since=JUNE, width=WEEK, version=None, **said):
    """Let a version answer, spread evenly over a week; gives the rows of the log."""
    scorer = open_scorer(stores, version=version)
    rows = pa.Table.from_pandas(flights.drop(columns="delay"), preserve_index=False)
    step = width / len(flights)
    times = pa.array([since + place * step for place in range(len(flights))], pa.timestamp("us", "UTC"))
    batch = said.setdefault("batch", f"{since:%m%d}-{len(flights)}-{flights['flight_id'].iloc[0]}")
    logged = {"request_id": batch, "source": "score", **said}
    return log_rows(scorer, rows, scorer.predict(rows), event_time=times, **logged)


def log(stores, rows, *, batch=None):
    """Add rows to the log."""
    assert PredictionLog(stores.engine, stores.project).add(rows, batch=batch or rows["batch"][0].as_py())


def serve(stores, flights=None, **said):
    """Let the champion answer, and log it."""
    rows = answer(stores, asked() if flights is None else flights, **said)
    log(stores, rows)
    return rows
