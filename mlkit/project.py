"""`ModelProject`: the verbs of a project, from looking at data to moving the champion.

Every method is one delegating call; what it hands down are parts, never the project itself.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar, cast, overload

from mlkit.code import git_state
from mlkit.data.features import FeatureTable, publish_features
from mlkit.data.split import Split
from mlkit.errors import UsageError
from mlkit.production.cleanup.command import run_cleanup
from mlkit.production.cleanup.retention import Retention
from mlkit.production.difference import Difference, diff
from mlkit.production.evidence import Explanation, History, explain_version, read_champion, read_history
from mlkit.production.marks import Mark, mark_version
from mlkit.production.monitor import monitor
from mlkit.production.performance import measure
from mlkit.production.pins import pin
from mlkit.production.reproduce import reproduce
from mlkit.production.retrain import retrain
from mlkit.production.rollback import roll_back
from mlkit.production.runner import deploy, plan_deployment
from mlkit.production.scoring import score
from mlkit.production.stores import Stores
from mlkit.production.task import OPTIONS, read_origin
from mlkit.research.comparison import Comparison, TestLook, compare_studies, look_at_test, try_splits
from mlkit.research.exploration import Problem, gather, look_at_split, take_snapshot
from mlkit.research.freeze import Rules, environment_of, freeze_trial
from mlkit.research.handoff import Handoff, hand_off
from mlkit.research.steps.listing import StepList
from mlkit.research.steps.replay import refuse_in_step
from mlkit.research.steps.step import Step, step_maker
from mlkit.research.study.record import run_study
from mlkit.research.study.search import (
    Searcher,
    asks_for_spark,
    check_numbers,
    default_pruner,
    default_sampler,
)
from mlkit.watch import refuse_when_watched
from mlkit.workspace import Workspace, open_workspace, project_name, table_name

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Sequence

    from mlkit.data.monitor_spec import Monitor
    from mlkit.data.parts import Parts
    from mlkit.data.snapshot import Snapshot
    from mlkit.data.source import FrameKind, Source
    from mlkit.frozen import FrozenConfig
    from mlkit.model.evaluation import Task
    from mlkit.model.gate import Gate
    from mlkit.model.retraining import Retrain
    from mlkit.production.certificate import Certificate
    from mlkit.production.cleanup.plan import CleanupPlan
    from mlkit.production.cleanup.sweep import CleanupReport
    from mlkit.production.monitor_report import MonitorReport
    from mlkit.production.performance import PerformanceReport
    from mlkit.production.pins import PinList
    from mlkit.production.plan import Plan
    from mlkit.production.registry import ModelVersion
    from mlkit.production.report import RunReport
    from mlkit.production.retrain import RetrainReport
    from mlkit.production.score_report import ScoreReport
    from mlkit.research.study.trials import Study, Trial

P = ParamSpec("P")
R = TypeVar("R")


class ModelProject:
    """One ML problem: an experiment, a registered model, and a family of tables.

    Args:
        name: Lowercase letters, digits and underscores; names everything the project makes.
        target: Label column of prepared rows.
        metric: What models are judged by: a known name, or ``module:function`` of your own.
        key: Column or columns that identify a row. Give one: an old row then never changes side.
        split: Which rows are test rows.
        task: ``regression``, ``binary`` or ``multiclass``; by default inferred from the target, aloud.
        features: Columns the estimator sees; by default all but target, key and dates.
        direction: ``minimize`` or ``maximize``; only for a metric of your own.
        workspace: Where everything is kept: a workspace, the name of a target, or by default `local`.

    Raises:
        NamingError: The name would be refused or confused by some store.

    Example:
        >>> project = ModelProject("flight_delay", target="arr_delay", key="flight_id", metric="rmse")
    """

    def __init__(  # noqa: PLR0913 - the surface that users rely on, all by keyword
        self,
        name: str,
        *,
        target: str,
        metric: str,
        key: str | Sequence[str] | None = None,
        split: Split | None = None,
        task: Task | None = None,
        features: Sequence[str] | None = None,
        direction: str | None = None,
        workspace: Workspace | str | None = None,
    ) -> None:
        """Check the name; no store is opened yet."""
        self._problem = Problem(
            name=project_name(name),
            target=target,
            metric=metric,
            direction=direction,
            key=_names(key),
            split=split or Split(),
            task=task,
            features=tuple(features) if features is not None else None,
        )
        self._workspace = workspace if isinstance(workspace, Workspace) else open_workspace(workspace)

    @property
    def name(self) -> str:
        """The project's name."""
        return self._problem.name

    @property
    def workspace(self) -> Workspace:
        """Where everything is kept."""
        return self._workspace

    def __mlkit_key__(self) -> tuple[object, ...]:
        """What a step depends on that names its project."""
        return (self._problem, self._workspace.target, str(self._workspace.home))

    @property
    def _stores(self) -> Stores:
        refuse_in_step("a store of the project")
        return self._opened

    @cached_property
    def _opened(self) -> Stores:
        return Stores(self._workspace, self.name)

    def _changing(self, verb: str) -> Stores:
        refuse_when_watched(verb, self._workspace.target)
        return self._stores

    def publish_features(
        self, table: str, data: object, *, contract: object = None, key: str | Sequence[str] | None = None
    ) -> FeatureTable:
        """Publish rows to a feature table: new keys are added, known keys replaced, all or nothing.

        Args:
            table: ``features.<name>``, or just the name.
            data: Any dataframe, Arrow table or stream.
            contract: pandera schema or model, `Contract`, or dict; by default the table's own.
            key: Columns that identify a row; by default the project's.

        Raises:
            ContractError: Rows break the contract; nothing was written.
        """
        names = _names(key) or self._problem.key
        if not names:
            raise UsageError("CLI030", "a feature table needs a key", path="key", fix="key='flight_id'")
        return publish_features(self._stores.engine, table_name(table), data, contract=contract, key=names)

    def snapshot(
        self,
        data_or_table: object,
        *,
        prepare: object = None,
        contract: object = None,
        frame: FrameKind | None = None,
    ) -> Snapshot:
        """Take an immutable snapshot of prepared rows; the same rows are stored once.

        Args:
            data_or_table: Any dataframe (one of Spark stays in Spark), the name of a table, or a `Source`.
            prepare: Function from dataframe to dataframe, or its name ``module:function``.
            contract: What prepared rows keep; by default dtypes are taken from the rows.
            frame: What `prepare` takes: ``pandas`` (the default), ``spark``, or ``any``: that of the target.

        Raises:
            DataError: Columns or values that no store can hold exactly, or no target.
        """
        return take_snapshot(
            self._problem,
            data_or_table,
            prepare=prepare,
            contract=contract,
            engine=self._stores.engine,
            frame=frame,
        )

    def split(self, snapshot: Snapshot, *, split: Split | None = None) -> Parts:
        """The rows of a snapshot by part, under the project's split or another one."""
        return look_at_split(self._problem, snapshot, split)

    def try_splits(
        self, estimator: object, snapshot: Snapshot, *, splits: Sequence[Split], cv: int = 5, seed: int = 0
    ) -> Comparison:
        """Cross-validate one estimator under several splits: mean and spread of the metric for each."""
        check_numbers(trials=1, cv=cv, workers=1)
        return try_splits(self._problem, estimator, snapshot, splits, cv=cv, seed=seed)

    @overload
    def step(self, function: Callable[P, R]) -> Step[P, R]: ...

    @overload
    def step(
        self,
        function: None = None,
        *,
        name: str | None = None,
        depends: Sequence[object] = (),
        version: str = "",
        enabled: bool = True,
    ) -> Callable[[Callable[P, R]], Step[P, R]]: ...

    def step(
        self,
        function: Callable[..., Any] | None = None,
        *,
        name: str | None = None,
        depends: Sequence[object] = (),
        version: str = "",
        enabled: bool = True,
    ) -> Any:
        """Memoise a function: it runs once for the same code on the same content of its arguments.

        Args:
            function: A plain function; ``@project.step`` above it, or ``@project.step(version="2")``.
            name: What people call it; by default the name of the function.
            depends: Functions, modules, paths or values that it depends on in ways that cannot be seen.
            version: Text to change when something has changed that cannot be seen.
            enabled: False to run the function at each call; so does ``MLKIT_STEPS=off`` for all steps.

        Raises:
            StudyError: It is no plain function (RUN080).
        """
        folder = self._workspace.home / "steps"
        make = step_maker(folder, name=name, depends=depends, version=version, enabled=enabled)
        return make if function is None else make(function)

    def steps(self) -> StepList:
        """The stored results of steps; `clear()` removes them."""
        return StepList(self._workspace.home / "steps")

    def study(  # noqa: PLR0913 - the surface that users rely on, all by keyword
        self,
        search: Callable[..., Any],
        snapshot: Snapshot,
        *,
        trials: int,
        cv: int = 5,
        workers: int | Literal["spark"] = 1,
        seed: int = 0,
        name: str | None = None,
        resume: bool = True,
        sampler: Callable[[int], Any] | None = None,
        pruner: Any = None,  # noqa: ANN401 - an Optuna pruner
    ) -> Study:
        """Search for a good estimator; every trial is tracked, and the course follows from the seed.

        Args:
            search: Function from an Optuna trial to any unfitted scikit-learn-compatible estimator; or, on a
                target that has Spark, to one that trains there (`pyspark.ml` and its like).
            snapshot: Rows to learn from; its test rows stay sealed.
            trials: How many there shall be in all; those of an earlier, stopped run count.
            cv: Number of folds.
            workers: Folds evaluated at a time, or ``spark`` for all executors of the target's Spark; the
                trials do not depend on it.
            seed: Of sampler, folds and estimators; it is frozen with the config.
            name: What people call the study.
            resume: Continue a study of the same identity instead of starting anew.
            sampler: Function from a seed to an Optuna sampler; by default TPE.
            pruner: Optuna pruner; by default the median of complete trials.

        Raises:
            StudyError: `search`, or every estimator of a batch, failed.
        """
        check_numbers(trials=trials, cv=cv, workers=workers)
        drawn = sampler or default_sampler
        in_spark = snapshot.engine.fetch_bytes is not None and asks_for_spark(search, drawn)
        material = gather(self._problem, snapshot, cv=cv, seed=seed, in_spark=in_spark)
        state = git_state(Path.cwd())
        searcher = Searcher(
            search=search,
            setting=material.setting,
            rows=material.rows,
            folds=material.folds,
            sampler=drawn,
            pruner=pruner or default_pruner(),
        )
        return run_study(
            searcher,
            trials=trials,
            workers=workers,
            tracking=self._stores.tracking,
            name=name,
            resume=resume,
            tags={"mlkit_commit": state.commit or "", "mlkit_dirty": str(bool(state.dirty)).lower()},
            requirements=environment_of({}, ()).requirements,
        )

    def compare(self, *studies: Study) -> Comparison:
        """Best trials of several studies side by side; refused if their train rows differ."""
        return compare_studies(studies)

    def evaluate(self, trial: Trial) -> TestLook:
        """Score a trial on the sealed test rows. Each look is counted and reported at the gate."""
        return look_at_test(trial, self._stores.tracking)

    def freeze(
        self,
        trial: Trial,
        *,
        gate: Gate,
        monitor: Monitor | None = None,
        retrain: Retrain | None = None,
        source: Source | str | None = None,
        path: Path | str | None = None,
        reason: str | None = None,
    ) -> FrozenConfig:
        """Write a trial as a config that a reviewer can read: ``models/<name>.yaml``.

        Args:
            trial: A complete trial, e.g. ``study.best``.
            gate: When a model of this config may serve.
            monitor: What is watched once it serves, and which values are logged: by default all features.
            retrain: When it is trained again; by default never by itself.
            source: Where rows come from, if the snapshot was taken from a dataframe in memory.
            path: Where to write.
            reason: Why a tree with uncommitted changes is frozen all the same.

        Raises:
            UsageError: No source, a dirty tree without a reason, or an incomplete trial.
        """
        return freeze_trial(
            trial,
            rules=Rules(gate, monitor, retrain),
            source=source,
            path=path,
            reason=reason,
            study_run=self._stores.tracking.run(trial.study_run_id),
            engine=self._stores.engine,
        )

    def handoff(
        self,
        config: FrozenConfig,
        *,
        to: Path | str | None = None,
        rehearse: bool = True,
        isolated: bool = False,
    ) -> Handoff:
        """Package a config with the code it names, and prove that the package repeats the trial.

        For a target on Databricks it also writes ``databricks.yml``, the jobs that run the package.

        Args:
            config: A frozen config.
            to: Folder of the wheel; by default ``dist``.
            rehearse: Run the package and compare rows, scores and predictions with the trial's.
            isolated: Rehearse in a fresh environment made from the pinned requirements.

        Raises:
            IntegrityError: The package gave something else; the message says what.
        """
        return hand_off(
            config,
            workspace=self._workspace,
            to=to,
            rehearse=rehearse,
            fresh_environment=isolated,
            verbs=OPTIONS,
        )

    def plan(self, config: FrozenConfig) -> Plan:
        """What a deployment would do now, and why."""
        return plan_deployment(config, self._own(config))

    def deploy(self, config: FrozenConfig, *, reason: str = "") -> RunReport:
        """Build, train, evaluate, gate, register, promote; repeated, it changes nothing."""
        return deploy(config, self._own(config, "deploy"), origin=read_origin(config), reason=reason)

    def score(self, data: object = None, **options: Any) -> ScoreReport:  # noqa: ANN401 - those of `score`
        """Answer rows with the version that serves, each logged once (`mlkit.production.scoring.score`)."""
        return score(self._changing("score"), data, **options)

    def monitor(self, **options: Any) -> MonitorReport:  # noqa: ANN401 - those of `monitor`
        """Check a window of the prediction log (`since`, `until`, ...), by default the last full one."""
        return monitor(self._stores, **options)

    def performance(self, labels: object, **options: Any) -> PerformanceReport:  # noqa: ANN401 - those of `measure`
        """Score what was answered by labels that have come since (`label`, `request_id`, `since`, ...)."""
        return measure(self._stores, labels, **options)

    def retrain(self, config: FrozenConfig, *, dry_run: bool = False, force: bool = False) -> RetrainReport:
        """Deploy the same config on new data, if its policy says so and nothing speaks against it."""
        origin = read_origin(config)
        return retrain(config, self._own(config, "retrain"), dry_run=dry_run, force=force, origin=origin)

    def cleanup(self, *, apply: bool = False, **rules: Any) -> CleanupPlan | CleanupReport:  # noqa: ANN401 - of `Retention`
        """What nothing reaches any more (`keep_days`, `models`, ...), and with `apply` remove it for good."""
        made = run_cleanup(self._workspace, self.name, Retention(**rules), apply=apply, yes=True)
        return cast("CleanupPlan | CleanupReport", made)

    def pin(self, what: int | str, *, reason: str) -> PinList:
        """Keep a version, or a table, whatever its age; gives what is pinned."""
        return pin(self._stores, what, reason=reason)

    def champion(self, *, at: dt.datetime | str | None = None) -> ModelVersion | None:
        """The version that serves, or that served at a time (with its time zone); None if nothing did."""
        return read_champion(self._stores, at=at)

    def history(self) -> History:
        """Every promotion: who, when, from, to, why."""
        return read_history(self._stores)

    def rollback(self, to: int | None = None, *, reason: str, mark_bad: bool = False) -> RunReport:
        """Make an earlier version the champion again; by default the last one before that is not marked bad.

        With `mark_bad` the version that is left is marked, so that it does not serve again.
        """
        return roll_back(self._changing("rollback"), to=to, reason=reason, mark_bad=mark_bad)

    def mark(self, version: int, *, reason: str, bad: bool = True) -> Mark:
        """Mark a version bad, so that it does not serve again; `bad=False` takes that back."""
        return mark_version(self._stores, version, reason=reason, bad=bad)

    def explain(self, version: int | None = None, *, at: dt.datetime | str | None = None) -> Explanation:
        """Everything recorded about a version, or about the one that served at a time."""
        return explain_version(self._stores, version, at=at)

    def diff(self, before: int, after: int) -> Difference:
        """What tells one version from another: config, rows, columns, environment, code, scores."""
        return diff(self._stores, before, after)

    def reproduce(
        self, version: int | None = None, *, tolerance: float = 0.0, to: Path | str | None = None
    ) -> Certificate:
        """Make a version again from what is recorded, here, and compare what it predicts bit by bit."""
        return reproduce(self._stores, version, tolerance=tolerance, to=to)

    def to_dict(self) -> dict[str, Any]:
        """The project as plain values."""
        problem = self._problem
        return {
            "name": problem.name,
            "target": problem.target,
            "metric": problem.metric,
            "key": list(problem.key),
            "split": problem.split.dump(),
            "task": problem.task,
            "target_store": self._workspace.target,
        }

    def __repr__(self) -> str:
        """What it is about and what to do next."""
        problem = self._problem
        key = ", ".join(problem.key) or "none (rows are split by their whole content)"
        return (
            f"ModelProject {problem.name}  predicts {problem.target}, judged by {problem.metric}\n"
            f"  key     {key}; {problem.split.test:g} of the rows are test rows\n"
            f"  stores  {self._workspace.target} at {self._workspace.home}\n"
            f"  next    project.snapshot(dataframe or 'features.<table>')"
        )

    def _repr_html_(self) -> str:
        return f"<pre>{self!r}</pre>"

    def _own(self, config: FrozenConfig, verb: str | None = None) -> Stores:
        if config.name != self.name:
            message = f"this config is of {config.name}, the project is {self.name}"
            raise UsageError("CLI031", message, path="config", fix=f"ModelProject({config.name!r}, ...)")
        return self._changing(verb) if verb else self._stores


def _names(value: str | Sequence[str] | None) -> tuple[str, ...]:
    return () if value is None else (value,) if isinstance(value, str) else tuple(value)
