"""What a report looks at: the records of one project, each read once and only if somebody asks.

Looking makes nothing: a project that has no experiment yet does not get one.
"""

from __future__ import annotations

import dataclasses
import json
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from mlkit import document
from mlkit.errors import MlkitError
from mlkit.frozen import FrozenConfig, find, read_provenance
from mlkit.production.candidate import CONFIG_FILE
from mlkit.production.drift_records import read_windows
from mlkit.production.evidence import explain_version
from mlkit.production.ledger import now
from mlkit.production.marks import MarkList, read_marks
from mlkit.production.performance import read_performance
from mlkit.production.pins import read_pins
from mlkit.report.interval import interval_of_candidate, read_judged
from mlkit.tracking.artifacts import read_text
from mlkit.tracking.upkeep import TrackingUpkeep

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Mapping

    from mlkit.engines.base import Engine
    from mlkit.model.interval import Judged, Unknown
    from mlkit.production.decisions import Decision
    from mlkit.production.drift_records import Window
    from mlkit.production.evidence import Explanation
    from mlkit.production.ledger import Entry
    from mlkit.production.pins import PinList
    from mlkit.production.registry import ModelVersion
    from mlkit.production.stores import Stores
    from mlkit.tracking.runs import RunRecord

Found = TypeVar("Found")
_KIND = "mlkit_kind"  # the tag that says what a run is: study, trial or deploy


@dataclasses.dataclass(frozen=True)
class Context:
    """The records of one project.

    Attributes:
        stores: Where they are.
        now: When the report is made, UTC.
        problem: What is known of the problem without a config: `target`, `metric`, `key`, ...; may be empty.
        rows_shown: How many real rows the report may show.
    """

    stores: Stores
    now: dt.datetime
    problem: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    rows_shown: int = 0

    @property
    def project(self) -> str:
        """Its name."""
        return self.stores.project

    @property
    def engine(self) -> Engine:
        """Where its tables are."""
        return self.stores.engine

    @cached_property
    def entries(self) -> tuple[Entry, ...]:
        """The ledger, oldest first; its last entry names what serves."""
        return tuple(self.stores.ledger.entries())

    @property
    def head(self) -> Entry | None:
        """The ledger's entry of what serves; None before the first promotion."""
        return self.entries[-1] if self.entries else None

    @cached_property
    def decisions(self) -> tuple[Decision, ...]:
        """What the gate saw and said, oldest first."""
        return tuple(self.stores.decisions.all())

    @cached_property
    def judged(self) -> Callable[[Decision], Judged | Unknown]:
        """Reads the test predictions that a decision was made on; those of each are read once."""
        return _once(lambda decision: read_judged(self.engine, decision.record))

    @cached_property
    def interval(self) -> Callable[[Decision], Mapping[str, Any] | Unknown]:
        """How sure the score of a decision's candidate is; it is drawn once."""
        return _once(lambda decision: interval_of_candidate(decision.record, lambda: self.judged(decision)))

    @cached_property
    def champion(self) -> ModelVersion | None:
        """The version that serves; None before the first promotion, or if the registry has lost it."""
        return self.stores.registry.version(self.head.to_version) if self.head else None

    @cached_property
    def explanation(self) -> Explanation | None:
        """Everything that is recorded of the version that serves."""
        return explain_version(self.stores, self.champion.version) if self.champion else None

    @cached_property
    def frozen(self) -> FrozenConfig | None:
        """The config under ``models/`` of the working directory; None if there is none that loads."""
        try:
            found = FrozenConfig.load(find(self.project))
        except MlkitError:  # the finding about configs says why
            return None
        return found if found.name == self.project else None

    @cached_property
    def champion_config(self) -> Mapping[str, Any] | None:
        """The config that the champion was trained by, as the plain values of its file."""
        text = self.explanation.files.config if self.explanation else ""
        return document.parse(text.encode(), origin=CONFIG_FILE) if text else None

    @cached_property
    def config(self) -> Mapping[str, Any] | None:
        """The champion's config, else the one that was frozen last, as the plain values of its file."""
        if self.champion_config is not None:
            return self.champion_config
        return self.frozen.dump() if self.frozen else None

    @cached_property
    def origin(self) -> Mapping[str, Any]:
        """Where the config came from: `study_run_id`, `trial`, `train`, `test`, `scores`, `commit`, ..."""
        if self.explanation and self.explanation.decision:
            return dict(self.explanation.decision.record["origin"])
        try:
            return read_provenance(self.frozen) if self.frozen else {}
        except MlkitError:  # a report is made of what can be read
            return {}

    @cached_property
    def windows(self) -> tuple[Window, ...]:
        """The newest check of each window of the prediction log, in the order of their event times."""
        return tuple(read_windows(self.stores))

    @cached_property
    def performance(self) -> tuple[Mapping[str, Any], ...]:
        """What late labels said, one record a window and model (`mlkit.production.performance.Measured`)."""
        return tuple(read_performance(self.stores))

    @cached_property
    def marks(self) -> MarkList:
        """Versions that are marked bad."""
        return read_marks(self.stores)

    @cached_property
    def pins(self) -> PinList:
        """What people keep from cleanup."""
        return read_pins(self.stores)

    @cached_property
    def experiment(self) -> str | None:
        """Id of the project's experiment; None if nothing was run yet."""
        return TrackingUpkeep(self.stores.tracking).find_experiment(self.project)

    @cached_property
    def study_runs(self) -> tuple[RunRecord, ...]:
        """Parent runs of the studies, oldest first; `document(run.run_id, 'study.json')` is the whole."""
        return self.runs_of("study")

    @cached_property
    def deploy_runs(self) -> tuple[RunRecord, ...]:
        """Runs of deployments, oldest first."""
        return self.runs_of("deploy")

    @cached_property
    def open_runs(self) -> tuple[RunRecord, ...]:
        """Runs that say they are running."""
        return tuple(self.stores.tracking.running(self.experiment)) if self.experiment else ()

    def runs_of(self, kind: str) -> tuple[RunRecord, ...]:
        """Runs of one kind (``study`` or ``deploy``), oldest first; not kept."""
        if self.experiment is None:
            return ()
        return tuple(self.stores.tracking.runs(self.experiment, tags={_KIND: kind}))

    def trial_runs(self, study_run_id: str) -> tuple[RunRecord, ...]:
        """Child runs of a study, oldest first; not kept."""
        if self.experiment is None:
            return ()
        return tuple(self.stores.tracking.children(self.experiment, study_run_id))

    def document(self, run_id: str, path: str) -> Any:  # noqa: ANN401 - any JSON value
        """A JSON artifact of a run, such as ``study.json``; None if it is not there or does not read."""
        text = self.text(run_id, path)
        try:
            return None if text is None else json.loads(text)
        except ValueError:
            return None

    def text(self, run_id: str, path: str) -> str | None:
        """A text artifact of a run; None if it is not there."""
        return read_text(self.stores.tracking, run_id, path)


def _once(find: Callable[[Decision], Found]) -> Callable[[Decision], Found]:
    """The same, asked once for each decision."""
    known: dict[str, Found] = {}

    def found(decision: Decision) -> Found:
        if decision.decision_id not in known:
            known[decision.decision_id] = find(decision)
        return known[decision.decision_id]

    return found


def open_context(
    stores: Stores,
    *,
    problem: Mapping[str, Any] | None = None,
    at: dt.datetime | None = None,
    rows_shown: int = 0,
) -> Context:
    """The records of a project, nothing of which is read yet.

    Args:
        stores: Of which project.
        problem: What `ModelProject` knows of it: `target`, `metric`, `key`, `task`.
        at: When the report is made; by default now.
        rows_shown: How many real rows the report may show; a report is made to be passed on, so none.
    """
    return Context(stores, at or now(), dict(problem or {}), rows_shown)
