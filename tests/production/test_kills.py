"""Kill -9 at every failpoint: whoever runs it again ends where nothing had happened."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

import mlkit
from mlkit import Gate, open_workspace
from mlkit.failpoints import VARIABLE, InjectedFaultError
from mlkit.production.runner import deploy
from tests.conftest import PREPARE, make_flights
from tests.production.scenes import STUMP, Children, frozen, publish, state

CONFIGS = {
    "ridge": {},
    "stump": {"model": STUMP},
    "lenient": {"gate": Gate(threshold=30)},
    "strict": {"gate": Gate(threshold=0.1)},
}
STORIES = {
    "first": [("deploy", "ridge")],
    "better": [("deploy", "stump"), ("deploy", "ridge")],
    "kept": [("deploy", "ridge"), ("deploy", "stump")],
    "rejected": [("deploy", "strict")],
    "code": [("deploy", "ridge"), ("deploy", "lenient")],
    "rollback": [("deploy", "stump"), ("deploy", "ridge"), ("rollback", "too eager")],
}
# Points by story. A plus comes after: the first process dies at the one, the second at the other. The
# decisions are the first table to be made and to grow, so that is how the ledger's turn comes.
POINTS = {
    "first": (
        *("store.migrated", "publish.staged", "publish.verified", "publish.renamed", "snapshot.published"),
        *("train.fitted", "train.model_created", "train.model_uploaded", "train.stored"),
        *("evaluate.published", "create.staged", "create.renamed", "append.written", "gate.recorded"),
        *("gate.recorded+create.staged", "gate.recorded+create.renamed", "gate.recorded+append.written"),
        *("register.done", "promote.ledger", "promote.alias", "refresh.done"),
    ),
    "better": ("evaluate.published", "gate.recorded+append.written", "promote.ledger", "promote.alias"),
    "kept": ("train.stored", "append.written", "gate.recorded"),
    "rejected": ("gate.recorded",),
    "code": ("append.written", "promote.ledger", "promote.alias", "refresh.done"),
    "rollback": ("append.written", "promote.ledger", "promote.alias"),
}
CASES = [(story, point) for story, points in POINTS.items() for point in points]
# Of services, features, studies, and of the sentence that explains failpoints.
ELSEWHERE = {
    *("log.written", "log.committed", "trim.committed", "trim.marked", "drop.renamed"),
    *("score.logged", "score.written"),
    *("segment.made", "spool.written", "spool.synced", "spool.rotated", "flush.logged", "flush.counted"),
    *("holder.copied", "holder.remembered"),
    *("rollback.marked", "reproduce.predicted"),
    "monitor.surveyed",
    "monitor.recorded",
    "retrain.decided",
    "retrain.deployed",
    "merge.written",
    "steps.staged",
    "cleanup.begun",
    "cleanup.checked",
    "cleanup.removed",
    "study.batch_told",
    "study.trial_started",
    "study.trial_written",
    "step.name",
}


class Stage:
    """One folder in which every case is played, so that the addresses in its stores stay true."""

    def __init__(self, folder, empty_store):
        self._folder, self._scenery = folder / "stage", folder / "scenery"
        self._folder.mkdir()
        (self._folder / "my_prepare.py").write_text(PREPARE)
        for name, changes in CONFIGS.items():
            frozen(**changes).write(self._folder / f"{name}.yaml")
        home = self._folder / ".mlkit"
        publish(open_workspace(home=home).engine, make_flights())
        shutil.copy(empty_store, home / "mlflow.db")
        self.children = Children(self._folder)
        self._ends = {}
        shutil.copytree(home, self._scenery)

    def play(self, task, *, fail=None):
        """Let a child do one task."""
        verb, argument = task
        argument = str(self._folder / f"{argument}.yaml") if verb == "deploy" else argument
        return self.children.run(verb, argument, fail=fail)

    def before(self, story):
        """Set the stage for the last act of a story."""
        acts = STORIES[story][:-1]
        kept = self._scenery.with_name(f"before-{'-'.join(argument for _, argument in acts)}")
        if not kept.exists():
            self._restore(self._scenery)
            for act in acts:
                assert self.play(act)[0] == 0
            shutil.copytree(self._folder / ".mlkit", kept)
        self._restore(kept)

    def undisturbed(self, story):
        """What a story leaves if nothing stops it."""
        if story not in self._ends:
            self.before(story)
            self._ends[story] = self.play(STORIES[story][-1])[1]["state"]
        return self._ends[story]

    def forget_database(self):
        """Make the tracking store's first use a part of what follows."""
        (self._folder / ".mlkit" / "mlflow.db").unlink()

    def _restore(self, kept):
        shutil.rmtree(self._folder / ".mlkit")
        shutil.copytree(kept, self._folder / ".mlkit")


@pytest.fixture(scope="module")
def stage(tmp_path_factory, empty_store, fork_server):
    """The stage."""
    return Stage(tmp_path_factory.mktemp("kills"), empty_store)


@pytest.mark.slow
@pytest.mark.parametrize(("story", "point"), CASES)
def test_repeated_after_a_kill_it_ends_as_if_undisturbed(stage, story, point):
    """Ledger, alias, versions, tables, decisions, runs and their files are all the same."""
    expected = stage.undisturbed(story)
    stage.before(story)
    if point == "store.migrated":
        stage.forget_database()
    for each in point.split("+"):
        code, answer = stage.play(STORIES[story][-1], fail=f"{each}:kill")
        assert (code, answer) == (-9, None)
    code, answer = stage.play(STORIES[story][-1])
    assert code == 0
    assert answer["state"] == expected


def test_every_failpoint_on_the_way_is_a_case():
    """A failpoint that is added later must be given its case here."""
    sources = Path(mlkit.__file__).parent.rglob("*.py")
    named = {name for path in sources for name in re.findall(r'failpoint\("([a-z_.]+)"\)', path.read_text())}
    handed_on = {"publish.renamed", "create.renamed"}  # as an argument, in the engine
    covered = {each for _, point in CASES for each in point.split("+")}
    assert (named | handed_on) - ELSEWHERE == covered


@pytest.mark.parametrize(
    "point", ["publish.verified", "train.model_uploaded", "append.written", "gate.recorded", "promote.ledger"]
)
def test_an_error_marks_the_run_failed_and_is_healed_by_the_next(stores, monkeypatch, point):
    """The error passes on as it is; its traceback stands with the run; the next run takes that run over."""
    monkeypatch.setenv(VARIABLE, f"{point}:raise")
    with pytest.raises(InjectedFaultError):
        deploy(frozen(), stores)
    monkeypatch.delenv(VARIABLE)
    (run,) = stores.tracking.runs(stores.experiment, tags={"mlkit_kind": "deploy"})
    assert run.status == "FAILED"
    assert "error.txt" in [item.path for item in stores.tracking.client.list_artifacts(run.run_id)]
    deploy(frozen(), stores)
    after = state(stores)
    assert [entry[1:4] for entry in after["ledger"]] == [["promotion", None, 1]]
    assert (after["alias"], len(after["versions"]), len(after["decisions"])) == (1, 1, 1)
    assert [run[1:] for run in after["runs"]] == [["FINISHED", "promoted"]]
    assert after["artifacts"] == [["config.yaml", "decision.json", "report.json"]]
