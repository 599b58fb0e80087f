"""Freezing: a chosen trial becomes a config that a reviewer can read, and nothing is left in memory."""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mlkit import document
from mlkit.code import code_digest, git_state, third_party, user_files
from mlkit.data.contract_sql import cast_frame
from mlkit.data.monitor_spec import Monitor
from mlkit.data.parts import cut_rows
from mlkit.data.source import Source, open_source
from mlkit.digest.fingerprint import fingerprint
from mlkit.digest.spark_frame import is_spark
from mlkit.errors import ConfigError, DataError, UsageError
from mlkit.frozen import Environment, FrozenConfig, provenance_path
from mlkit.model.estimator import packages_of, references
from mlkit.model.retraining import Retrain
from mlkit.model.spark_estimator import trains_on_spark
from mlkit.model.training import as_rows, deterministic, fit
from mlkit.page.words import counted
from mlkit.research.pins import pins_of
from mlkit.research.study.trials import BEST_TAG, SERIALIZATION_TAG, looks
from mlkit.tracking.models import Serialization, choose_serialization

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mlkit.data.snapshot import Snapshot
    from mlkit.engines.base import Engine
    from mlkit.model.evaluation import Metric
    from mlkit.model.gate import Gate
    from mlkit.research.study.trials import StudySetting, Trial
    from mlkit.tracking.runs import RunRecord


class Rules(NamedTuple):
    """What becomes of the models of a config.

    Attributes:
        gate: When one may serve.
        monitor: What is watched once it serves; all features, unless it names its inputs.
        retrain: When it is trained again; by default never by itself.
    """

    gate: Gate
    monitor: Monitor | None = None
    retrain: Retrain | None = None


def freeze_trial(
    trial: Trial,
    *,
    rules: Rules,
    source: Source | str | None,
    path: Path | str | None,
    reason: str | None,
    study_run: RunRecord,
    engine: Engine,
) -> FrozenConfig:
    """Describe a trial as a config and write it, its origin beside it.

    Args:
        trial: A complete trial.
        rules: What becomes of its models.
        source: Where rows come from; by default the source of the trial's snapshot.
        path: Where to write; by default ``models/<name>.yaml``.
        reason: Why a tree with uncommitted changes is frozen all the same.
        study_run: Parent run of the trial, which counts the looks at its test rows.
        engine: Where the source is read from, if it has to be checked.

    Raises:
        UsageError: The trial is not complete, nothing names its rows, or the tree is dirty without a reason.
        DataError: The source does not hold the rows of the trial's snapshot.
        ConfigError: Something in the trial cannot be named, or the gate contradicts the study.
    """
    setting = trial.setting
    if setting is None or trial.state != "complete":
        message = f"trial {trial.number} is {trial.state}"
        raise UsageError("CLI022", message, path="trial", fix="freeze study.best")
    where = _declared(setting.snapshot, source, engine)
    metric = [setting.metric.name] if ":" in setting.metric.name else []
    files = user_files([*where.references, *references(trial.model), *metric])
    commit = _clean_commit(reason)
    config = FrozenConfig(
        name=setting.project,
        task=setting.task,
        target=setting.target,
        key=setting.key,
        features=setting.features,
        metric=setting.metric.name,
        seed=setting.seed,
        model=dict(trial.model),
        serialization=_serialization(trial, setting, study_run),
        source=where,
        split=setting.split,
        gate=_directed(rules.gate, setting.metric),
        monitor=_watched(rules.monitor or Monitor(), setting.features),
        retrain=rules.retrain or Retrain(),
        contract=setting.snapshot.contract,
        environment=environment_of(trial.model, third_party(files)),
    )
    config.write(path)
    origin = {
        **_origin(trial, setting),
        **commit,
        "test_looks": looks(study_run),
        "code_digest": code_digest(files),
        "config_digest": config.digest,
        "reason": reason,
    }
    text = json.dumps(origin, indent=2, sort_keys=True, ensure_ascii=False, default=str)
    document.save(provenance_path(Path(str(config.path))), f"{text}\n")
    return config


def environment_of(model: Mapping[str, Any], imported: Iterable[str]) -> Environment:
    """Pins of all that can change the model: its own libraries, the user's, and the ground they share."""
    python = ".".join(platform.python_version_tuple()[:2])
    return Environment(python=python, requirements=tuple(pins_of([*packages_of(model), *imported])))


def _directed(gate: Gate, metric: Metric) -> Gate:
    """The gate with the direction that the study had; a known metric carries its own."""
    if gate.direction not in (None, metric.direction):
        message = f"the study was to {metric.direction} {metric.name}, the gate is to {gate.direction} it"
        raise ConfigError("CFG013", message, path="gate.direction", fix="leave the direction out")
    return gate.replace(direction=metric.direction) if ":" in metric.name else gate


def _watched(monitor: Monitor, features: tuple[str, ...]) -> Monitor:
    """The monitor with its inputs written out, so that a reviewer sees which values will be logged."""
    return monitor if "inputs" in monitor.model_fields_set else monitor.replace(inputs=features)


def _serialization(trial: Trial, setting: StudySetting, study_run: RunRecord) -> Serialization:
    """The safest format that can hold the fitted model; the study knows it of its best trial."""
    if trains_on_spark(trial.model):
        return "spark"
    known = study_run.tags.get(SERIALIZATION_TAG)
    if known in ("skops", "cloudpickle") and study_run.tags.get(BEST_TAG) == str(trial.number):
        return "skops" if known == "skops" else "cloudpickle"
    contract = setting.snapshot.contract
    parts = cut_rows(setting.snapshot.to_arrow(), setting.split, key=setting.key, target=setting.target)
    rows = as_rows(parts.train, contract, features=setting.features, target=setting.target)
    with deterministic(setting.seed):
        fitted = fit(trial.model, rows, seed=setting.seed, trusted=packages_of(trial.model))
    return choose_serialization(fitted)


def _declared(snapshot: Snapshot, source: Source | str | None, engine: Engine) -> Source:
    """The source to freeze; one that is named only now must hold the very rows of the snapshot."""
    if source is None:
        if snapshot.source is None:
            fix = f"pass source='features.<table>' once they are published, or source={str(snapshot.table)!r}"
            raise UsageError("CLI023", snapshot.unnamed, path="source", fix=fix)
        return snapshot.source
    declared = Source(table=source) if isinstance(source, str) else source
    if declared != snapshot.source and not _is_snapshot(declared, snapshot):
        rows = open_source(declared, engine).rows
        contract = snapshot.contract
        found = fingerprint(cast_frame(rows, contract) if is_spark(rows) else contract.cast(rows))
        if found != snapshot.fingerprint:
            message = f"the source holds {found}, the trial was found on {snapshot.fingerprint}"
            fix = f"snapshot the source itself: project.snapshot({declared.table!r}), and study that"
            raise DataError("DAT050", message, path=str(declared), fix=fix)
    return declared


def _is_snapshot(source: Source, snapshot: Snapshot) -> bool:
    return source.table == str(snapshot.table) and source.prepare is None


def _clean_commit(reason: str | None) -> dict[str, Any]:
    """The commit the config is made from; a dirty tree needs a reason, which is kept."""
    state = git_state(Path.cwd())
    if state.dirty and not reason:
        others = len(state.dirty) - 1
        have = f"and {counted(others, 'other file')} have" if others else "has"
        message = f"{state.dirty[0]} {have} uncommitted changes"
        fix = "commit them, or pass reason='...', which is kept beside the config"
        raise UsageError("CLI024", message, path="git", fix=fix)
    return {"commit": state.commit, "dirty": list(state.dirty)}


def _origin(trial: Trial, setting: StudySetting) -> dict[str, Any]:
    return {
        **setting.to_dict(),
        "trial": trial.number,
        "params": dict(trial.params),
        "score": trial.score,
        "scores": list(trial.scores),
        "predictions": trial.predictions,
        "run_id": trial.run_id,
        "study_run_id": trial.study_run_id,
    }
