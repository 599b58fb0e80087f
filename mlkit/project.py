"""`ModelProject`: the verbs of a project, from looking at data to moving the champion.

Every method is one delegating call; what it hands down are parts, never the project itself.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar, cast, overload

from mlkit.boundary import expect_a, expect_config
from mlkit.code import git_state
from mlkit.console import say
from mlkit.data.features import FeatureTable, publish_features
from mlkit.data.split import Split
from mlkit.errors import UsageError
from mlkit.page.document import size_text
from mlkit.production.cleanup.command import run_cleanup
from mlkit.production.cleanup.retention import Retention
from mlkit.production.difference import Difference, diff
from mlkit.production.evidence import Explanation, History, explain_version, read_champion, read_history
from mlkit.production.marks import Mark, mark_version
from mlkit.production.monitor import monitor
from mlkit.production.options import OPTIONS
from mlkit.production.performance import measure
from mlkit.production.pins import pin
from mlkit.production.reproduce import reproduce
from mlkit.production.retrain import retrain
from mlkit.production.rollback import roll_back
from mlkit.production.runner import deploy, plan_deployment
from mlkit.production.scoring import score
from mlkit.production.stores import Stores
from mlkit.production.task import read_origin
from mlkit.report.report import write_report
from mlkit.research.comparison import Comparison, TestLook, compare_studies, look_at_test, try_splits
from mlkit.research.exploration import Problem, gather, look_at_split, take_snapshot
from mlkit.research.figures import Figure, FigureList, figures_folder, keep_figure
from mlkit.research.freeze import Rules, environment_of, freeze_trial
from mlkit.research.handoff import Handoff, hand_off
from mlkit.research.steps.listing import StepList
from mlkit.research.steps.replay import refuse_in_step
from mlkit.research.steps.step import Step, step_maker
from mlkit.research.study.record import run_study
from mlkit.research.study.search import (
    Searcher,
    asks_for_spark,
    check_study,
    default_pruner,
    default_sampler,
)
from mlkit.watch import refuse_when_watched, report_at_end
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
    from mlkit.report.report import Report
    from mlkit.research.study.trials import Study, Trial
    from mlkit.targets.alert import Alert

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
        ConfigError: The metric is not known (CFG013); your own is looked for by `study`.

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
        report_at_end(lambda path: write_report(self._opened, path, problem=self.to_dict(), log=False))

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
        """The rows of a snapshot by part: which ones a study learns from, and which stay sealed.

        Args:
            snapshot: Of this project.
            split: Another rule, to see what it would do; by default the project's.

        Returns:
            Arrow tables `train`, `test` and `validation`, with their counts and fingerprints.

        Raises:
            DataError: A part stays empty (DAT003), or a column of the rule is not there (DAT045).
        """
        return look_at_split(self._problem, snapshot, split)

    def try_splits(
        self, estimator: object, snapshot: Snapshot, *, splits: Sequence[Split], cv: int = 5, seed: int = 0
    ) -> Comparison:
        """Cross-validate one estimator under several splits: how much does the score depend on the draw?

        Args:
            estimator: Unfitted.
            snapshot: Its rows; the test rows of every split stay sealed.
            splits: The rules, e.g. ``[Split(seed=seed) for seed in range(5)]``.
            cv: Number of folds.
            seed: Of folds and estimator.

        Returns:
            A row for each split: mean and spread of the metric over its folds.
        """
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
        """The stored results of steps, with size, seconds and last use; `clear()` removes them."""
        return StepList(self._workspace.home / "steps")

    def figure(self, fig: object, name: str, *, caption: str = "") -> Figure:
        """Keep a figure for the report; the last one of a name stands. Within a step a hit keeps it again.

        Args:
            fig: Of plotly, matplotlib (an axes or `pyplot` too) or altair; a dataframe; whatever shows itself
                in a notebook (``_repr_svg_``, ``_repr_png_``, ``_repr_html_``). None for one that has no data
                yet: the caption then says why.
            name: What it is called.
            caption: What it says, in a sentence.

        Raises:
            UsageError: It is no figure (CLI106), or too large for a page (CLI108): aggregate before drawing.
        """
        return keep_figure(figures_folder(self._workspace, self.name), fig, name, caption=caption)

    def figures(self) -> FigureList:
        """The figures that are kept for the report; `remove(name)` and `clear()` let them go."""
        return FigureList(figures_folder(self._workspace, self.name))

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
            ConfigError: `search` is no function, such as an estimator itself (CFG009).
            DataError: The snapshot has no such target (DAT040).
            StudyError: `search`, or every estimator of a batch, failed.
        """
        check_study(search, trials=trials, cv=cv, workers=workers)
        expect_a("Snapshot", snapshot, path="snapshot", fix="give project.snapshot(dataframe)")
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
        """Best trials of several studies side by side, best first.

        Args:
            studies: At least one, e.g. ``project.compare(baseline, study)``.

        Raises:
            UsageError: They were made on other train rows, targets or metrics (CLI029), so that their numbers
                mean different things.
        """
        return compare_studies(studies)

    def evaluate(self, trial: Trial) -> TestLook:
        """Score a trial on the sealed test rows; each look is counted, and reported at the gate.

        The gate looks by itself: ask only if you would decide otherwise by the answer.

        Args:
            trial: A complete trial, e.g. ``study.best``; it is fitted on all train rows first.

        Returns:
            The score beside what cross-validation had promised, and the number of looks so far.
        """
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
        expect_a("Trial", trial, path="trial", fix="give study.best")
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
        """What a deployment would do now, and why; nothing is written.

        Args:
            config: A frozen config, also ``FrozenConfig.load("models/<name>.yaml")``.

        Returns:
            `kind` (``primary``: a new model; ``secondary``: code only; ``nothing``), the changes that are the
            reason, and what would be made or moved.

        Raises:
            ContractError: The rows are not what the contract says (DAT060).
        """
        return plan_deployment(config, self._own(config))

    def deploy(self, config: FrozenConfig, *, reason: str = "") -> RunReport:
        """Train what the config says, judge it on test rows, and let it serve if it passes its gate.

        Repeated, it changes nothing; killed, it goes on where it was.

        Args:
            config: A frozen config.
            reason: Why, for the ledger.

        Returns:
            The outcome (``promoted``, ``kept_champion``, ``rejected``, ``unchanged``), with scores, verdict,
            tables and version.

        Raises:
            ContractError: The rows are not what the contract says; nothing was written.
            RaceLostError: Another run promoted first; nothing was changed.
            IntegrityError: Something stored is not what was recorded.
            ServingError: The champion moved, but serving does not answer with it yet; repeat.
        """
        return deploy(config, self._own(config, "deploy"), origin=read_origin(config), reason=reason)

    def score(
        self,
        data: object = None,
        *,
        prepare: bool | None = None,
        version: int | None = None,
        run_id: str | None = None,
        event_time: str | dt.datetime | None = None,
        as_of: dt.datetime | None = None,
        to: str | Path | None = None,
        log: bool = True,
    ) -> ScoreReport:
        """Answer rows with the version that serves, each logged once however often this is repeated.

        Args:
            data: Any dataframe, a parquet or csv file, or the name of a table; by default the config's own.
            prepare: Whether the config's `prepare` makes features of them; by default of its own source only.
            version: Who answers; by default the version that serves.
            run_id: Name of the run in the log; by default it follows from model, rows and day.
            event_time: When that happened which the rows are about: their column of it, or an instant.
            as_of: For which day or instant the run is; by default now. Without a zone it is UTC.
            to: A new parquet or csv file, or a table, that gets the answers too.
            log: Whether answers are logged; without that no monitoring sees them.

        Raises:
            UsageError: Nothing serves yet (CLI050), the file is not there (CLI052), or `to` is (CLI051).
            DataError: A feature is missing (DAT045), of another type (DAT046), or holds an unknown
                category (DAT047).
        """
        return score(
            self._changing("score"),
            data,
            prepare=prepare,
            version=version,
            run_id=run_id,
            event_time=event_time,
            as_of=as_of,
            to=to,
            log=log,
        )

    def monitor(
        self,
        *,
        since: dt.datetime | None = None,
        until: dt.datetime | None = None,
        now: dt.datetime | None = None,
        version: int | None = None,
        alert: Alert | None = None,
        auto_retrain: bool = False,
        self_check: int = 0,
    ) -> MonitorReport:
        """Has it drifted? A window of the prediction log against the test rows of the model that answered.

        Args:
            since: First event time; by default the last full window.
            until: End of the window, itself left out; by default a window's width later.
            now: What time it is, for a window of the past.
            version: Whose answers; by default those of the version that served last in the window.
            alert: Who is told of an alarm; by default whoever the target names.
            auto_retrain: Ask for a retrain on drift also where the policy of the config is another.
            self_check: So many windows without drift are drawn from the test rows, to see how many alarm.

        Raises:
            UsageError: Nothing serves (CLI063), no such version (CLI064), or a window of nothing (CLI060).
        """
        return monitor(
            self._stores,
            since=since,
            until=until,
            now=now,
            version=version,
            alert=alert,
            auto_retrain=auto_retrain,
            self_check=self_check,
        )

    def performance(
        self,
        labels: object,
        *,
        label: str | None = None,
        request_id: str | None = None,
        every: dt.timedelta | None = None,
        since: dt.datetime | None = None,
        until: dt.datetime | None = None,
        now: dt.datetime | None = None,
    ) -> PerformanceReport:
        """Score what was answered by labels that have come since, window by window and model by model.

        Args:
            labels: A table's name, a csv or parquet file, or any dataframe: the key (or a request's id) and
                the label. Rows without a label are left out.
            label: Name of the label's column; by default the target.
            request_id: Column with the request's id, where labels are of requests and not of keys.
            every: Width of a window; by default that of the config.
            since: Beginning of the first; by default the last twelve full windows are looked at.
            until: End of the last.
            now: What time it is, for windows of the past.

        Raises:
            UsageError: Nothing serves (CLI050), the labels have no key (CLI066), or a row has two (CLI067).
        """
        return measure(
            self._stores,
            labels,
            label=label,
            request_id=request_id,
            every=every,
            since=since,
            until=until,
            now=now,
        )

    def retrain(self, config: FrozenConfig, *, dry_run: bool = False, force: bool = False) -> RetrainReport:
        """Deploy the same config on new data, if its policy says so and nothing speaks against it.

        Args:
            config: The config that serves.
            dry_run: Only say what would be done; nothing is recorded.
            force: Retrain whatever the policy says; the gate still decides.

        Raises:
            UsageError: Nothing serves yet (CLI065).
        """
        origin = read_origin(config)
        return retrain(config, self._own(config, "retrain"), dry_run=dry_run, force=force, origin=origin)

    def cleanup(
        self,
        *,
        apply: bool = False,
        keep_days: int = 90,
        keep_versions: int = 5,
        grace_days: int = 14,
        runs: bool = False,
        models: bool = False,
        versions: bool = False,
        log_days: int | None = None,
    ) -> CleanupPlan | CleanupReport:
        """What nothing reaches any more: a plan, and with `apply` the report of what was removed for good.

        Args:
            apply: Remove it, without asking.
            keep_days: Whatever served in so many days stays.
            keep_versions: So do the versions that served last, so many of them.
            grace_days: Nothing younger goes.
            runs: Old MLflow runs go too.
            models: Files of models that nothing reaches go too.
            versions: So do their versions in the registry, with the models.
            log_days: The prediction log loses rows older than so many days; None leaves it alone.

        Raises:
            UsageError: A number is out of its range (CLI084).
        """
        kept = Retention(
            keep_days=keep_days,
            keep_versions=keep_versions,
            grace_days=grace_days,
            runs=runs,
            models=models,
            versions=versions,
            log_days=log_days,
        )
        made = run_cleanup(self._workspace, self.name, kept, apply=apply, yes=True)
        return cast("CleanupPlan | CleanupReport", made)

    def pin(self, what: int | str, *, reason: str) -> PinList:
        """Keep a version, or a table, whatever a cleanup thinks of its age; gives all that is pinned.

        Args:
            what: Number of a version, or name of a table.
            reason: Why; it is kept.

        Raises:
            UsageError: No reason (CLI081), or no such version or table (CLI082).
        """
        return pin(self._stores, what, reason=reason)

    def champion(self, *, at: dt.datetime | str | None = None) -> ModelVersion | None:
        """The version that serves, or that served at a time; None if nothing did.

        Args:
            at: A time with its zone, or a text such as ``2026-06-01T12:00+02:00``.

        Raises:
            UsageError: `at` has no zone, is no time, or is still to come (CLI072).
        """
        return read_champion(self._stores, at=at)

    def report(self, path: Path | str | None = None, *, rows_shown: int = 0, log: bool = True) -> Report:
        """Everything done in the project on one page: written, logged to MLflow, and said where it is.

        Args:
            path: Where it goes; by default among the stores. ``.md`` and ``.json`` give the same as text.
            rows_shown: How many real rows it may show; it is made to be passed on, so by default none.
            log: Whether MLflow gets it too.

        Raises:
            StoreError: The file cannot be written (STO023).
        """
        report = write_report(self._stores, path, problem=self.to_dict(), rows_shown=rows_shown, log=log)
        say(f"report  {report.path}  {size_text(report.bytes)}")
        return report

    def history(self) -> History:
        """Every promotion and rollback, oldest first: who, when, from which version, to which, why."""
        return read_history(self._stores)

    def rollback(self, to: int | None = None, *, reason: str, mark_bad: bool = False) -> RunReport:
        """Make an earlier version the champion again; nothing is trained.

        Args:
            to: Number of the version; by default the last one before that is not marked bad.
            reason: Why; it stands in the ledger.
            mark_bad: Mark the version that is left, so that it does not serve again.

        Raises:
            UsageError: No reason (CLI025), no such version, or nothing to go back to.
            IntegrityError: Files or tables of that version are not what was recorded.
            RaceLostError: Another run moved the champion meanwhile.
        """
        return roll_back(self._changing("rollback"), to=to, reason=reason, mark_bad=mark_bad)

    def mark(self, version: int, *, reason: str, bad: bool = True) -> Mark:
        """Mark a version bad, so that it does not serve again.

        Args:
            version: Its number.
            reason: Why; it is kept with the mark.
            bad: False takes the mark back.

        Raises:
            UsageError: No reason (CLI071), no such version (CLI005), or nothing to take back (CLI074).
        """
        return mark_version(self._stores, version, reason=reason, bad=bad)

    def explain(self, version: int | None = None, *, at: dt.datetime | str | None = None) -> Explanation:
        """Everything recorded about one version: rows, config, code, environment, scores and verdict.

        Args:
            version: Its number; by default the one that serves.
            at: A time, with its zone, instead: the version that served then.

        Raises:
            UsageError: Both are given (CLI076), no such version (CLI005), nothing serves (CLI006), or nothing
                served then (CLI078).
        """
        return explain_version(self._stores, version, at=at)

    def diff(self, before: int, after: int) -> Difference:
        """What tells one version from another: config, rows, columns, environment, code, scores.

        Args:
            before: Number of the older one.
            after: Number of the newer one.

        Raises:
            UsageError: No such version (CLI005), or one without a record (CLI075).
        """
        return diff(self._stores, before, after)

    def reproduce(
        self, version: int | None = None, *, tolerance: float = 0.0, to: Path | str | None = None
    ) -> Certificate:
        """Make a version again from what is recorded, here, and compare what it predicts.

        Args:
            version: Its number; by default the one that serves.
            tolerance: By how much numbers may differ; by default not by a bit.
            to: File that gets the certificate too.

        Returns:
            A certificate, which is also kept among the records of the version.

        Raises:
            UsageError: No such version (CLI005), or nothing serves (CLI006).
            IntegrityError: The predictions are others (INT045), or what is needed is not what was recorded.
        """
        return reproduce(self._stores, version, tolerance=tolerance, to=to)

    def to_dict(self) -> dict[str, Any]:
        """The project as plain values: what it predicts, how it is judged and split, where it is kept."""
        return {**self._problem.to_dict(), "target_store": self._workspace.target}

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
        expect_config(config, project=self.name)
        return self._changing(verb) if verb else self._stores


def _names(value: str | Sequence[str] | None) -> tuple[str, ...]:
    return () if value is None else (value,) if isinstance(value, str) else tuple(value)
