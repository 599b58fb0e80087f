"""The course of a study follows from its seed: not from workers, stops, kills, or what lies in memory."""

from __future__ import annotations

import importlib
import random
import threading

import numpy as np
import optuna
import pytest
from sklearn.linear_model import Ridge

from mlkit.errors import ConfigError, StudyError
from tests.research.study.scenes import (
    MODELS,
    counted,
    fits,
    folds_of,
    linear_or_tree,
    make_project,
    study_elsewhere,
    view,
)

PRUNERS = {
    "median": optuna.pruners.MedianPruner(n_startup_trials=2),
    "halving": optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=2),
    "hyperband": optuna.pruners.HyperbandPruner(min_resource=1, max_resource=5, reduction_factor=2),
}


def children(project, study_run):
    """Child runs of a study."""
    tracking = project._stores.tracking
    return tracking.children(tracking.experiment(project.name), study_run)


def test_the_number_of_workers_changes_nothing(project, snapshot) -> None:
    """One, two and four workers find the same trials, scores, states and predictions."""
    alone = project.study(linear_or_tree, snapshot, trials=12, cv=3)
    assert {trial.state for trial in alone.trials} == {"complete", "pruned"}
    assert len({trial.predictions for trial in alone.trials if trial.state == "complete"}) > 3
    for workers in (2, 4):
        again = project.study(linear_or_tree, snapshot, trials=12, cv=3, workers=workers, resume=False)
        assert again.run_id != alone.run_id
        assert view(again) == view(alone)


def test_another_seed_is_another_study(project, snapshot) -> None:
    """Sampler, folds and estimators all follow from the seed."""
    first, second = (project.study(counted_free, snapshot, trials=2, cv=2, seed=seed) for seed in (0, 1))
    assert first.run_id != second.run_id
    assert first.trials[0].params != second.trials[0].params


def counted_free(trial):
    """A ridge whose penalty is searched."""
    return Ridge(trial.suggest_float("alpha", 0.1, 10))


def test_processes_get_models_and_rows_and_nothing_else(project, snapshot, my_models, processes) -> None:
    """With loky, a search that cannot be pickled is fine; metric and estimator are the user's own."""
    project = make_project(metric="my_models:mad", direction="minimize")
    lock = threading.Lock()

    def search(trial):
        with lock:
            return my_models.Drawing(trial.suggest_float("alpha", 0.1, 10))

    alone = project.study(search, snapshot, trials=3, cv=2)
    here = set(fits())
    apart = project.study(search, snapshot, trials=3, cv=2, workers=2, resume=False)
    *elsewhere, refit = fits()
    assert view(apart) == view(alone)
    assert here == {refit}
    assert not here & set(elsewhere)


def test_estimators_may_draw_from_the_generators_of_the_process(project, snapshot, my_models) -> None:
    """Then folds are evaluated one at a time: same results for any workers, and after a resume."""

    def search(trial):
        return my_models.Drawing(trial.suggest_float("alpha", 0.1, 10))

    np.random.seed(5)  # noqa: NPY002 - a user's own seed
    random.seed(5)
    alone = project.study(search, snapshot, trials=10, cv=2)
    assert np.random.random() == np.random.RandomState(5).random()  # noqa: NPY002 - it was put back
    assert random.random() == random.Random(5).random()  # noqa: S311 - as above
    together = project.study(search, snapshot, trials=8, cv=2, workers=4, resume=False)
    assert view(together) == view(alone)[:8]
    resumed = project.study(search, snapshot, trials=10, cv=2, workers=2)
    assert (resumed.run_id, resumed.reused) == (together.run_id, 8)
    assert view(resumed) == view(alone)


def test_a_search_may_draw_from_them_too(project, snapshot) -> None:
    """What it draws follows from the seed and the trial's number, like everything else."""

    def search(trial):
        return Ridge(random.uniform(1, 2) if trial.number else np.random.uniform(1, 2))  # noqa: NPY002, S311

    first = project.study(search, snapshot, trials=3, cv=2)
    assert len({trial.model["params"]["alpha"] for trial in first.trials}) == 3
    project.study(search, snapshot, trials=1, cv=2, resume=False)
    resumed = project.study(search, snapshot, trials=3, cv=2)
    assert (resumed.reused, view(resumed)) == (1, view(first))


def test_a_stopped_study_goes_on_where_it_was(project, snapshot, my_models) -> None:
    """Twelve trials and then twenty are the twenty of one go; only what is missing is evaluated."""
    whole = project.study(counted, snapshot, trials=20, cv=2)
    assert len(fits()) == folds_of(whole.trials) + 1  # the best is refitted
    first = project.study(counted, snapshot, trials=12, cv=2, resume=False)
    fits()
    rest = project.study(counted, snapshot, trials=20, cv=2, workers=2)
    assert rest.run_id == first.run_id
    assert rest.reused == 12
    assert len(fits()) == folds_of(whole.trials[12:]) + 1
    assert view(first) == view(whole)[:12]
    assert view(rest) == view(whole)
    assert [trial.run_id for trial in rest.trials[:12]] == [trial.run_id for trial in first.trials]
    assert [trial.seconds for trial in rest.trials[:12]] == [trial.seconds for trial in first.trials]
    again = project.study(counted, snapshot, trials=20, cv=2)
    assert again.trials == rest.trials
    assert fits() == []


@pytest.mark.parametrize(
    ("point", "backend"),
    [
        ("study.trial_started", "threading"),
        ("study.trial_written", "threading"),
        ("study.trial_written", "loky"),
        ("study.batch_told", "threading"),
    ],
)
def test_a_killed_study_ends_as_if_nothing_had_happened(
    point, backend, project, snapshot, my_models, tmp_path, fork_server
) -> None:
    """Kill -9 at each failpoint, then again: the same leaderboard, and no fold is evaluated twice."""
    fault = f"{point}:kill"
    assert study_elsewhere(tmp_path, fail=fault, backend=backend, trials=10, cv=2, workers=2) == -9
    fits()
    resumed = project.study(counted, snapshot, trials=10, cv=2)
    known = resumed.reused
    assert len(fits()) == folds_of(resumed.trials[known:]) + 1
    assert known >= (point == "study.trial_written")
    assert known < 10
    undisturbed = project.study(counted, snapshot, trials=10, cv=2, resume=False)
    assert view(resumed) == view(undisturbed)
    board, other = (study.leaderboard().drop(columns="seconds") for study in (resumed, undisturbed))
    assert board.equals(other)
    runs = children(project, resumed.run_id)
    assert {run.status for run in runs} <= {"FINISHED", "KILLED"}
    assert [run.status for run in runs].count("FINISHED") == 10
    if point == "study.trial_started":
        assert [run.status for run in runs].count("KILLED") == 1
    assert project._stores.tracking.run(resumed.run_id).status == "FINISHED"


@pytest.mark.parametrize("name", PRUNERS)
def test_pruning_is_decided_by_the_seed_too(name, project, snapshot) -> None:
    """Any workers, a stop in between: the same ends; the pruner that was given is left as it was."""
    arguments = {"cv": 5, "pruner": PRUNERS[name]}
    before = repr(vars(PRUNERS[name]))
    alone = project.study(linear_or_tree, snapshot, trials=16, **arguments)
    assert {trial.state for trial in alone.trials} == {"complete", "pruned"}
    project.study(linear_or_tree, snapshot, trials=11, workers=2, resume=False, **arguments)
    resumed = project.study(linear_or_tree, snapshot, trials=16, workers=2, **arguments)
    assert resumed.reused == 11
    assert view(resumed) == view(alone)
    assert repr(vars(PRUNERS[name])) == before


def test_trials_that_end_badly_are_kept(project, snapshot, my_models) -> None:
    """A search that raises or prunes, a fit that raises, a score that is no number: each with its reason."""

    def search(trial):
        if trial.number == 4:
            raise optuna.TrialPruned
        if trial.number == 5:
            message = "not this time"
            raise LookupError(message)
        return my_models.Broken(alpha=[0.5, 1, 4, 0.25, 0, 0, 0.1][trial.number])

    study = project.study(search, snapshot, trials=7, cv=2)
    assert [(trial.state, trial.error) for trial in study.trials] == [
        ("complete", ""),
        ("failed", "fit raised ValueError: no luck today"),
        ("failed", "fold 0 scored nan"),
        ("complete", ""),
        ("pruned", ""),
        ("failed", "call raised LookupError: not this time"),
        ("complete", ""),
    ]
    assert study.best.number in (0, 3, 6)
    assert study.leaderboard()["state"].tolist() == ["complete"] * 3 + ["failed"] * 2 + ["pruned", "failed"]
    statuses = {run.tags["mlkit_trial"]: run.status for run in children(project, study.run_id)}
    assert [statuses[str(number)] for number in range(7)] == [
        "FAILED" if trial.state == "failed" else "FINISHED" for trial in study.trials
    ]
    resumed = project.study(search, snapshot, trials=7, cv=2)
    assert (resumed.reused, view(resumed)) == (7, view(study))


def test_a_model_without_what_the_metric_needs_fails_alone(home, flights) -> None:
    """One kind of model that has no probabilities does not end the study of the others."""
    from sklearn.naive_bayes import GaussianNB  # noqa: PLC0415 - of this test only
    from sklearn.svm import LinearSVC  # noqa: PLC0415 - as above

    late = flights.dropna().assign(delay=lambda rows: rows["delay"] > 10)
    project = make_project(metric="roc_auc")
    study = project.study(
        lambda trial: LinearSVC() if trial.number else GaussianNB(),
        project.snapshot(late),
        trials=2,
        cv=2,
    )
    assert [trial.state for trial in study.trials] == ["complete", "failed"]
    assert "predict_proba" in study.trials[1].error


def test_a_study_whose_trials_all_fail_is_an_error(project, snapshot, my_models) -> None:
    """It ends after the first batch, says why, and keeps the trials; the parent run is closed."""
    with pytest.raises(StudyError, match="no luck today") as caught:
        project.study(lambda trial: my_models.Broken(alpha=1), snapshot, trials=20, cv=2)
    assert caught.value.code == "RUN013"
    tracking = project._stores.tracking
    [parent] = tracking.runs(tracking.experiment(project.name), tags={"mlkit_kind": "study"})
    assert parent.status == "FAILED"
    assert [run.status for run in children(project, parent.run_id)] == ["FAILED"] * 8


def test_a_late_batch_of_one_failed_trial_is_no_error(project, snapshot, my_models) -> None:
    """Nine trials are a batch of eight and one of one, which may fail."""
    study = project.study(lambda trial: my_models.Broken(alpha=trial.number // 8), snapshot, trials=9, cv=2)
    assert [trial.state for trial in study.trials] == ["complete"] * 8 + ["failed"]


def test_a_study_without_a_complete_trial_has_no_best(project, snapshot) -> None:
    """Everything pruned is told apart from everything failed."""

    def search(trial):
        raise optuna.TrialPruned

    with pytest.raises(StudyError, match="all were pruned") as caught:
        project.study(search, snapshot, trials=2, cv=2)
    assert caught.value.code == "RUN011"


@pytest.mark.parametrize("nothing", [None, Ridge, "ridge"])
def test_a_search_has_to_return_an_estimator(nothing, project, snapshot) -> None:
    """A forgotten return, a class, a text: an error at once, not a study of failed trials."""
    with pytest.raises(ConfigError) as caught:
        project.study(lambda _: nothing, snapshot, trials=2, cv=2)
    assert caught.value.code == "CFG009"


def test_an_interrupted_study_is_closed_and_resumes(project, snapshot, my_models) -> None:
    """Ctrl-C keeps what has ended and marks the run as killed."""
    interrupts = [2]

    def search(trial):
        return my_models.Broken(alpha=interrupts[0] if trial.number == 9 else trial.number / 100)

    with pytest.raises(KeyboardInterrupt):
        project.study(search, snapshot, trials=10, cv=2)
    tracking = project._stores.tracking
    [parent] = tracking.runs(tracking.experiment(project.name), tags={"mlkit_kind": "study"})
    assert parent.status == "KILLED"
    assert [run.status for run in children(project, parent.run_id)] == ["FINISHED"] * 8
    interrupts[0] = 0.09
    resumed = project.study(search, snapshot, trials=10, cv=2)
    assert (resumed.run_id, resumed.reused) == (parent.run_id, 8)
    assert tracking.run(parent.run_id).status == "FINISHED"


def test_another_search_is_another_study(project, snapshot) -> None:
    """The text of the search, the sampler and the pruner count; the same ones are found again."""

    def wide(trial):
        return Ridge(trial.suggest_float("alpha", 0.1, 10))

    def narrow(trial):
        return Ridge(trial.suggest_float("alpha", 1, 10))

    def run(search, **arguments):
        return project.study(search, snapshot, trials=1, cv=2, **arguments).run_id

    first = run(wide)
    assert run(wide) == first
    others = [
        run(narrow),
        run(wide, pruner=optuna.pruners.NopPruner()),
        run(wide, sampler=optuna.samplers.RandomSampler),
        run(wide, resume=False),
    ]
    assert len({first, *others}) == 5


@pytest.mark.parametrize("what", ["parameter", "estimator", "code"])
def test_a_search_that_depends_on_more_than_its_trial_is_not_resumed(
    what, project, snapshot, my_models, tmp_path
) -> None:
    """Other parameters, another estimator under the same ones, or other code in it: refused."""
    outside = {"least": 0.1, "positive": False}

    def search(trial):
        alpha = trial.suggest_float("alpha", outside["least"], 10)
        return my_models.Counted(alpha, positive=outside["positive"])

    project.study(search, snapshot, trials=2, cv=2)
    if what == "parameter":
        outside["least"] = 0.2
    elif what == "estimator":
        outside["positive"] = True
    else:
        (tmp_path / "my_models.py").write_text(MODELS.replace("median(", "mean("))
        importlib.reload(my_models)
    fits()
    with pytest.raises(StudyError, match="trial 0 is not the one that was evaluated") as caught:
        project.study(search, snapshot, trials=3, cv=2)
    assert caught.value.code == "RUN012"
    assert fits() == []
    assert project.study(search, snapshot, trials=3, cv=2, resume=False).reused == 0


def test_optuna_stays_as_loud_as_it_was(project, snapshot, capfd) -> None:
    """Optuna's verbosity belongs to the user; the study itself is quiet."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.INFO)
    project.study(counted_free, snapshot, trials=1, cv=2)
    assert optuna.logging.get_verbosity() == optuna.logging.INFO
    optuna.logging.set_verbosity(before)
    assert "trial" not in capfd.readouterr().err.lower()


def test_test_rows_are_sealed(project, snapshot) -> None:
    """Whatever happens to labels and features of test rows, not a bit of the study changes."""
    first = project.study(linear_or_tree, snapshot, trials=8, cv=3)
    test = project.split(snapshot).test.to_pandas()["flight_id"]
    rows = snapshot.to_pandas()
    among = rows["flight_id"].isin(test)
    assert among.sum() == first.setting.test_rows > 100
    rows.loc[among, "delay"] = 1e6
    rows.loc[among, "hour"] = 99
    changed = project.snapshot(rows)
    assert changed.fingerprint != snapshot.fingerprint
    second = project.study(linear_or_tree, changed, trials=8, cv=3)
    assert second.run_id != first.run_id
    assert second.setting.train == first.setting.train
    assert view(second) == view(first)
