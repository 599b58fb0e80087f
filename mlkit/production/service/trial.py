"""A trial's model behind the same service, to be tried before anything is deployed; not for production."""

from __future__ import annotations

import atexit
import datetime as dt
import json
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlkit.boundary import user_code
from mlkit.data.snapshot import contract_of
from mlkit.engines.base import TRAINING, TableName
from mlkit.errors import IntegrityError, StudyError, UsageError
from mlkit.production.registry import MANIFEST_TAG
from mlkit.production.scorer import Scorer
from mlkit.production.service.holder import RefreshResult, Served
from mlkit.production.service.modules import ModelCode
from mlkit.production.service.rehearse import rehearse
from mlkit.tracking.models import load_model
from mlkit.tracking.runs import PARENT_TAG
from mlkit.tracking.store import translated

if TYPE_CHECKING:
    from mlkit.production.stores import Stores
    from mlkit.tracking.runs import RunRecord

BEST_RUN_TAG = "mlkit_best_run"
_MODEL, _STUDY = "model", "study.json"


class TrialHolder:
    """Holds the model of a trial, for good; the surface of `Holder`.

    Attributes:
        current: It.
    """

    def __init__(self, served: Served, project: str) -> None:
        """There is nothing to follow."""
        self.current: Served | None = served
        self._project = project

    @property
    def state(self) -> dict[str, Any]:
        """What serves; plain values."""
        facts = self.current.facts() if self.current else {}
        told = {
            "project": self._project,
            "ready": True,
            "stale": False,
            "degraded": False,
            "error": None,
            "failures": 0,
        }
        return {**told, "head_seq": None, "confirmed_at": None, **facts}

    def start(self) -> None:
        """Nothing to begin."""

    def refresh(self, *, wanted_seq: int | None = None) -> RefreshResult:  # noqa: ARG002 - as the champion's
        """Nothing to follow."""
        return RefreshResult(changed=False, version=0, seq=0)

    def close(self) -> None:
        """Nothing to end."""


def trial_holder(stores: Stores, run_id: str) -> TrialHolder:
    """The model that a study kept, ready to answer.

    Args:
        stores: Where the project lives.
        run_id: Run of a study, or of the trial of it whose model was kept: the best one.

    Raises:
        UsageError: The run keeps no model (CLI002).
        IntegrityError: Its files are not what was recorded, or its rows' contract is gone (INT043).
        StudyError: It cannot be loaded or does not answer.
    """
    run = stores.tracking.run(run_id)
    if best := run.tags.get(BEST_RUN_TAG):
        run = stores.tracking.run(best)
    if MANIFEST_TAG not in run.tags or PARENT_TAG not in run.tags:
        message = "the run keeps no model; of a study that is done the best trial does"
        raise UsageError(
            "CLI002", message, path=run_id, fix="take the run id of the study, or of its best trial"
        )
    scorer = _scorer(stores, run)
    if scorer.in_spark:
        message, fix = "this model answers only in Spark", "score a table or a frame of Spark with it"
        raise StudyError("RUN025", message, path=run.run_id, fix=fix)
    served = Served(scorer, rehearse(scorer), dt.datetime.now(dt.UTC), trial=run.run_id)
    return TrialHolder(served, stores.project)


def _scorer(stores: Stores, run: RunRecord) -> Scorer:
    """What the study knew of its model, in the form in which a champion is known."""
    place = tempfile.mkdtemp(prefix="mlkit-trial-")
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    with translated("fetch a model"):
        client = stores.tracking.client
        folder = Path(client.download_artifacts(run.run_id, _MODEL, place))
        study = Path(client.download_artifacts(run.tags[PARENT_TAG], _STUDY, place))
        setting = json.loads(study.read_text(encoding="utf-8"))["setting"]
    contract = contract_of(stores.engine, _snapshot_of(setting))
    if contract is None:
        message, fix = "the snapshot that the study worked on is gone", "take it again: project.snapshot"
        raise IntegrityError("INT043", message, path=str(_snapshot_of(setting)), fix=fix)
    code, digest = ModelCode(folder), run.tags[MANIFEST_TAG]
    with code.loading(), user_code(run.run_id, action="load"):
        estimator = load_model(folder, manifest_digest=digest, kept=code.kept)
    return Scorer(
        version=0,
        model_id=f"trial-{run.run_id}",
        seq=0,
        manifest_digest=digest,
        task=setting["task"],
        contract=contract,
        features=tuple(setting["features"]),
        key=tuple(setting["key"]),
        target=setting["target"],
        inputs=(),
        folder=folder,
        estimator=estimator,
        code=code.running,
        config={"name": setting["project"], "serialization": run.tags.get("mlkit_serialization", "")},
    )


def _snapshot_of(setting: dict[str, Any]) -> TableName:
    digest = setting["snapshot"].removeprefix("d1:")
    return TableName(TRAINING, f"{setting['project']}__snapshot__{digest}")
