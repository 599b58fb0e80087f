"""The holder: what serves is replaced as a whole, by what was checked, or not at all."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
import sys
import threading
import time

import numpy as np
import pyarrow as pa
import pytest

from mlkit import open_workspace
from mlkit.failpoints import VARIABLE, InjectedFaultError
from mlkit.production.rollback import roll_back
from mlkit.production.runner import deploy
from mlkit.production.service import rehearse
from mlkit.production.service.holder import Holder
from mlkit.production.service.modules import ModelCode
from tests.conftest import PREPARE, make_flights
from tests.production.scenes import MODEL_FILE, RIDGE, STUMP, Stores, frozen, publish
from tests.tracking.backends import backend, mlflow_server

OWN = '''\
"""A model of the user's own that imports while it predicts, itself too: it must find the same class."""

import time

from sklearn.base import BaseEstimator, RegressorMixin


class Own(RegressorMixin, BaseEstimator):
    def __init__(self, wait=0.0):
        self.wait = wait

    def fit(self, frame, target):
        return self

    def predict(self, frame):
        time.sleep(self.wait)
        from my_numbers import FACTOR
        from my_model import Own

        return frame["hour"].to_numpy() * FACTOR + (0 if isinstance(self, Own) else 1000)
'''
ROWS = pa.table(
    {
        "hour": [7, 12, 20],
        "distance": [200.0, 900.0, 2500.0],
        "is_ua": [True, False, True],
        "per_mile": [25.0, 69.2, 119.0],
    }
)


@contextlib.contextmanager
def in_folder(folder, store):
    """A working directory with published flights and a module of the user's own; gives its stores."""
    home = folder / ".mlkit"
    home.mkdir()
    shutil.copy(store, home / "mlflow.db")
    (folder / "my_prepare.py").write_text(PREPARE)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MLKIT_HOME", str(home))
        patch.setenv("MLKIT_TARGET", "local")
        patch.syspath_prepend(str(folder))
        workspace = open_workspace(home=home)
        publish(workspace.engine, make_flights())
        yield Stores(workspace, "flight_delay")
    for name in ("my_prepare", "my_model", "my_numbers"):
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def plain(tmp_path_factory, empty_store):
    """Two versions: a tree (1), and a linear model (2), which serves at first."""
    with in_folder(tmp_path_factory.mktemp("plain"), empty_store) as stores:
        for model in (STUMP, RIDGE):
            deploy(frozen(model=model), stores)
        yield stores


@pytest.fixture(scope="module")
def owned(tmp_path_factory, empty_store):
    """Two versions that brought two versions of one module; the second serves at first."""
    with in_folder(tmp_path_factory.mktemp("owned"), empty_store) as stores:
        folder = stores.workspace.home.parent
        (folder / "my_model.py").write_text(OWN)
        for factor in (3.0, 2.0):
            (folder / "my_numbers.py").write_text(f"FACTOR = {factor}\n")
            for name in ("my_model", "my_numbers"):
                sys.modules.pop(name, None)
            model = {"class": "my_model.Own", "params": {"wait": factor / 100}}
            deploy(
                frozen(
                    model=model,
                    serialization="cloudpickle",
                    gate={"threshold": 2000},
                ),
                stores,
            )
        assert stores.ledger.head().to_version == 2
        yield stores
        with ModelCode(stores.registry.folder(stores.ledger.head().model_id)).loading():
            pass  # none of their code stays in place


@pytest.fixture
def hold(tmp_path):
    """A function that makes holders with a shelf of their own; they are closed at the end."""
    with contextlib.ExitStack() as stack:

        def make(stores, *, folder=None, started=True, **options):
            options = {"poll_seconds": 3600, "start_seconds": 60, **options}
            holder = Holder(
                Stores(stores.workspace, stores.project), folder=folder or tmp_path / "shelf", **options
            )
            stack.callback(holder.close)
            if started:
                holder.start()
            return holder

        yield make


@pytest.fixture
def to(plain):
    """A function that makes a version the champion."""

    def move(version, stores=plain):
        if stores.ledger.head().to_version != version:
            roll_back(stores, to=version, reason="a test")
        return stores.ledger.head()

    return move


def copies(folder) -> list[str]:
    """Names of the copies on a shelf."""
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


@contextlib.contextmanager
def away(path):
    """A store that cannot be reached."""
    hidden = path.with_name(f"{path.name}-hidden")
    path.rename(hidden)
    try:
        yield
    finally:
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
        hidden.rename(path)


def test_it_serves_the_head_and_follows_it(plain, to, hold, tmp_path):
    """Each version answers what it answers; facts and state say which it is."""
    head = to(2)
    holder = hold(plain)
    assert holder.state["ready"]
    assert holder.current.facts()["version"] == 2
    assert holder.state["seq"] == holder.state["head_seq"] == head.seq
    assert (holder.state["stale"], holder.state["degraded"], holder.state["following"]) == (
        False,
        False,
        True,
    )
    linear = holder.current.scorer.predict(ROWS)
    head = to(1)
    told = holder.refresh()
    assert (told.changed, told.version, told.seq, told.error) == (True, 1, head.seq, None)
    assert holder.current.scorer.predict(ROWS) != linear
    assert holder.refresh().changed is False


def test_linear_models_are_not_batched_and_trees_are(plain, to, hold):
    """As the stored rows answer alone and together; both say so."""
    for version, batchable in ((1, True), (2, False)):
        to(version)
        served = hold(plain, folder=None).current
        assert served.facts()["batchable"] is served.batchable
        assert served.batchable is batchable
    rows = rehearse.example_rows(served.scorer)
    assert rows.column_names == list(served.scorer.features)
    assert rows.num_rows == 20


def test_what_answers_another_in_a_batch_is_not_batched(plain, to, hold, tmp_path):
    """Even if it is one bit."""

    class Leaning:
        def predict(self, frame):
            return np.nextafter(frame["hour"].to_numpy(float), len(frame))

    to(1)
    scorer = hold(plain).current.scorer
    assert rehearse.rehearse(scorer)
    older = shutil.copytree(scorer.folder, tmp_path / "older")  # one that was stored without its answers
    (older / rehearse.ANSWERS_FILE).unlink()
    assert not rehearse.rehearse(dataclasses.replace(scorer, estimator=Leaning(), folder=older))


def test_the_same_model_by_another_entry_is_not_loaded_again(plain, to, hold):
    """Its number of the ledger moves, the estimator stays."""
    to(2)
    holder = hold(plain)
    before = holder.current
    to(1)
    head = to(2)
    told = holder.refresh()
    assert (told.changed, told.seq) == (True, head.seq)
    assert holder.current.scorer.estimator is before.scorer.estimator
    assert holder.current.since == before.since


def test_a_push_of_what_serves_asks_nothing(plain, to, hold):
    """An older number likewise; a newer one is looked for."""
    seq = to(2).seq
    holder = hold(plain)
    with away(
        plain.workspace.home / "lake" if (plain.workspace.home / "lake").exists() else plain.workspace.home
    ):
        assert holder.refresh(wanted_seq=seq).error is None
        assert holder.refresh(wanted_seq=seq + 1).error
    assert holder.refresh().error is None


def test_the_one_before_stays_on_disk_and_older_ones_go(plain, to, hold, tmp_path):
    """So a rollback needs no store of models."""
    to(2)
    holder = hold(plain)
    for name in ("0" * 32, "1" * 32):
        (tmp_path / "shelf" / name).mkdir()
    to(1)
    holder.refresh()
    assert len(copies(tmp_path / "shelf")) == 2
    to(2)
    with away(plain.workspace.home / "mlflow.db"):
        assert holder.refresh().version == 2


def test_a_copy_that_another_process_uses_stays(plain, to, hold, tmp_path):
    """Each holds a lock on what it serves."""
    to(2)
    first = hold(plain)
    name = first.current.copy.folder.name
    to(1)
    second = hold(plain)
    second._shelf.tidy()
    assert name in copies(tmp_path / "shelf")
    first.refresh()
    second._shelf.tidy()
    assert name not in copies(tmp_path / "shelf")


def test_without_stores_the_last_model_starts_from_disk(plain, to, hold):
    """It says that it may be stale, and goes on to the head when they are back."""
    to(2)
    hold(plain).close()
    to(1)
    with away(plain.workspace.home):
        holder = hold(plain, poll_seconds=0.05)
        assert (holder.state["ready"], holder.current.scorer.version) == (True, 2)
        assert holder.state["stale"]
        assert holder.state["degraded"]
        assert holder.current.scorer.predict(ROWS).num_rows == 3
    deadline = time.monotonic() + 30
    while holder.current.scorer.version != 1:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert holder.refresh().error is None
    assert (holder.state["stale"], holder.state["degraded"]) == (False, False)


@pytest.mark.slow
def test_a_registry_that_is_away_is_not_needed_for_what_is_on_disk(tmp_path, empty_store, hold, monkeypatch):
    """MLflow's own server dies: a start finds the model here, and an empty shelf says why it stays so."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    (tmp_path / "server").mkdir()
    (tmp_path / "local").mkdir()
    places = tmp_path / "server", tmp_path / "local"
    with contextlib.ExitStack() as server, in_folder(places[1], empty_store) as local:
        address = server.enter_context(backend("sqlite", places[0], empty_store))
        url = server.enter_context(mlflow_server(address, places[0]))
        (places[1] / "mlkit.toml").write_text(f'[targets.team]\ntracking_uri = "{url}"\n')
        team = Stores(open_workspace("team", home=local.workspace.home), "flight_delay")
        publish(team.engine, make_flights())
        deploy(frozen(model=STUMP), team)
        assert hold(team).state["ready"]
        server.close()
        again = hold(team)
        assert (again.current.scorer.version, again.state["degraded"]) == (1, False)
        empty = hold(team, folder=tmp_path / "empty")
        assert (empty.state["ready"], empty.state["error"]["code"]) == (False, "STO031")


def test_with_nothing_at_all_it_is_not_ready_and_keeps_trying(home, hold):
    """No crash; the reason is shown."""
    holder = hold(Stores(open_workspace(home=home), "flight_delay"), poll_seconds=0.05)
    assert not holder.state["ready"]
    assert holder.refresh().error.startswith("[CLI050]")
    assert holder.state["error"]["code"] == "CLI050"
    failures = holder.state["failures"]
    deadline = time.monotonic() + 20
    while holder.state["failures"] < failures + 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_changed_file_in_the_store_is_not_served(plain, to, hold, tmp_path):
    """The old model stays, the state says why; when the file is whole again it is taken."""
    to(2)
    holder = hold(plain)
    head = to(1)
    path = plain.registry.folder(head.model_id) / MODEL_FILE
    content = path.read_bytes()
    path.write_bytes(content + b"x")
    try:
        told = holder.refresh()
    finally:
        path.write_bytes(content)
    assert (told.changed, told.version) == (False, 2)
    assert told.error.startswith("[INT022]")
    assert holder.state["degraded"]
    assert holder.current.scorer.predict(ROWS).num_rows == 3
    assert holder.refresh().version == 1


def test_a_changed_copy_on_disk_is_made_anew(plain, to, hold, tmp_path):
    """It is compared with its manifest before each use."""
    to(2)
    holder = hold(plain)
    name = holder.current.copy.folder.name
    holder.close()
    holder.current = None
    (tmp_path / "shelf" / name / MODEL_FILE).write_bytes(b"cut")
    assert hold(plain).current.copy.folder.name == name


def test_a_model_that_answers_its_example_otherwise_is_not_served(plain, to, hold, monkeypatch):
    """As with libraries of other versions."""
    to(2)
    holder = hold(plain)
    answers = holder.current.scorer.predict(rehearse.example_rows(holder.current.scorer)).to_pydict()
    stored = {"prediction": [value * 1.001 for value in answers["prediction"]]}
    monkeypatch.setattr(
        rehearse,
        "_json",
        lambda path: stored if path.name == rehearse.ANSWERS_FILE else json.loads(path.read_text()),
    )
    to(1)
    assert holder.refresh().error.startswith("[INT042]")
    assert holder.current.scorer.version == 2


def test_a_full_disk_keeps_what_serves(plain, to, hold, tmp_path):
    """The shelf is in the way of itself here."""
    to(2)
    holder = hold(plain)
    shutil.rmtree(tmp_path / "shelf")
    (tmp_path / "shelf").write_text("")
    to(1)
    told = holder.refresh()
    assert told.error.startswith("[STO073]")
    assert told.version == 2


@pytest.mark.parametrize("point", ["holder.copied", "holder.remembered"])
def test_stopped_on_the_way_it_starts_again_from_a_whole_copy(plain, to, hold, monkeypatch, point):
    """Nothing half is ever on the shelf."""
    to(2)
    holder = hold(plain, started=False)
    monkeypatch.setenv(VARIABLE, f"{point}:raise")
    with pytest.raises(InjectedFaultError):
        holder.refresh()
    assert not holder.state["ready"]
    monkeypatch.delenv(VARIABLE)
    assert holder.refresh().version == 2


def test_under_load_every_answer_is_of_one_version(plain, to, hold):
    """Whoever reads the reference once has version and answer of the same model, through every swap."""
    expected = {}
    holder = hold(plain)
    for version in (1, 2):
        to(version)
        holder.refresh()
        expected[version] = holder.current.scorer.predict(ROWS)
    wrong, counts, stop = [], [0], threading.Event()

    def ask():
        while not stop.is_set():
            served = holder.current
            counts[0] += 1
            if served.scorer.predict(ROWS) != expected[served.scorer.version]:
                wrong.append(served.scorer.version)
            stop.wait(0.002)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for version in (1, 2, 1, 2):
        to(version)
        assert holder.refresh().version == version
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert counts[0] > 20


def test_each_version_predicts_by_its_own_code(owned, hold):
    """While both are asked at once, also where they import while they predict; the tree is a third."""
    holder = hold(owned)
    second = holder.current
    roll_back(owned, to=1, reason="a test")
    holder.refresh()
    first = holder.current
    (owned.workspace.home.parent / "my_numbers.py").write_text("FACTOR = 99.0\n")
    answers = {1: set(), 2: set()}

    def ask(served):
        for _ in range(6):
            answers[served.scorer.version].update(
                served.scorer.predict(ROWS).column("prediction").to_pylist()
            )

    threads = [threading.Thread(target=ask, args=(served,)) for served in (first, second) * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {1: {21.0, 36.0, 60.0}, 2: {14.0, 24.0, 40.0}}


def test_a_version_is_loaded_while_another_one_predicts(owned, hold):
    """Loading waits for predictions that run, and those that come meanwhile wait for it; none fails."""
    roll_back(owned, to=1, reason="a test")
    holder = hold(owned)
    found, stop = set(), threading.Event()

    def ask():
        while not stop.is_set():
            served = holder.current
            found.add((served.scorer.version, served.scorer.predict(ROWS).column("prediction")[0].as_py()))

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    roll_back(owned, to=2, reason="a test")
    assert holder.refresh().version == 2
    deadline = time.monotonic() + 20
    while (2, 14.0) not in found:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    stop.set()
    for thread in threads:
        thread.join()
    assert found == {(1, 21.0), (2, 14.0)}
