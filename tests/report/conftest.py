"""A project that has lived: studied, handed off, deployed twice, watched, rolled back."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import sys

import numpy as np
import pyarrow as pa
import pytest
from sklearn.linear_model import Ridge
from sklearn.tree import DecisionTreeRegressor

from mlkit import Gate, ModelProject, Monitor, Retrain, Split, open_workspace
from mlkit.production.stores import Stores
from mlkit.report.report import SECTIONS, make_report
from tests.conftest import PREPARE, make_flights
from tests.production import watching

NAME = "flight_delay"
INPUTS = ("hour", "distance", "is_ua")
SECRET = "dapi" + "0123456789abcdef01234567"


def search(trial):
    """Two kinds of model; the second trial fails."""
    if trial.number == 1:
        raise ValueError("this one cannot be made")
    if trial.suggest_categorical("kind", ["ridge", "tree"]) == "tree":
        return DecisionTreeRegressor(max_depth=trial.suggest_int("max_depth", 2, 8), random_state=0)
    return Ridge(alpha=trial.suggest_float("alpha", 1e-3, 10.0, log=True))


def live(project):
    """Two weeks of answers, of longer flights in the second; labels of the first have come."""
    stores = Stores(project.workspace, NAME)
    for week, shift in enumerate((0.0, 900.0)):
        flights = watching.asked(1000, seed=week + 1, shift=shift)
        since = watching.JUNE + week * watching.WEEK
        watching.serve(stores, flights, since=since)
        until = since + watching.WEEK
        project.monitor(since=since, until=until, now=None if week else until)
        if week == 0:
            labels = pa.table({"flight_id": flights["flight_id"], "delay": np.array(flights["delay"])})
            project.performance(labels, since=since, until=until, every=watching.WEEK, now=until)


@pytest.fixture(scope="package")
def lived(tmp_path_factory, empty_store):
    """The project in a folder of its own; it is only looked at."""
    folder = tmp_path_factory.mktemp("lived")
    with pytest.MonkeyPatch.context() as patch:
        enter(folder, empty_store, patch)
        project = ModelProject(
            NAME, target="delay", key="flight_id", metric="rmse", split=Split(test=0.25, seed=7)
        )
        project.publish_features("features.flights", make_flights(600))
        snapshot = project.snapshot("features.flights", prepare="my_prepare:prepare")
        study = project.study(search, snapshot, trials=6, cv=3, name="first look")
        project.evaluate(study.best)
        config = project.freeze(
            study.best,
            gate=Gate(threshold=25),
            monitor=Monitor(inputs=INPUTS),
            retrain=Retrain(policy="drift", windows=1, of=1),
            reason=f"with {SECRET}",
        )
        project.handoff(config)
        project.deploy(config, reason="the first one")
        live(project)
        project.publish_features("features.flights", make_flights(900, seed=4).tail(300))
        project.deploy(config, reason=f"password={SECRET}")
        yield project


@pytest.fixture(scope="package")
def report(lived):
    """Its report, made in its folder."""
    return make_report(Stores(lived.workspace, NAME))


_SLOW = {"Chosen trial", "Studies", "Data"}


@pytest.fixture
def copied(lived, tmp_path, monkeypatch):
    """The stores of a copy of the project, which may be changed; runs and models stay where they were.

    Its reports leave out what takes long to draw and says nothing about production.
    """
    quick = {title: make for title, make in SECTIONS.items() if title not in _SLOW}
    monkeypatch.setattr("mlkit.report.report.SECTIONS", quick)
    shutil.copytree(lived.workspace.home.parent, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    monkeypatch.setenv("MLKIT_HOME", str(tmp_path / "copy" / ".mlkit"))
    return Stores(open_workspace(), NAME)


def enter(folder, empty_store, patch):
    """Work in a folder that has a ready store and a module of a user's own."""
    (folder / ".mlkit").mkdir()
    shutil.copy(empty_store, folder / ".mlkit" / "mlflow.db")
    (folder / "my_prepare.py").write_text(PREPARE)
    patch.chdir(folder)
    patch.setenv("MLKIT_HOME", str(folder / ".mlkit"))
    patch.setenv("MLKIT_TARGET", "local")
    patch.syspath_prepend(str(folder))
    patch.delitem(sys.modules, "my_prepare", raising=False)
    os.environ.pop("MLKIT_STEPS", None)


def later(**passed):
    """Some time from now."""
    return dt.datetime.now(dt.UTC) + dt.timedelta(**passed)
