"""mlkit: from a dataframe to a reviewed, reproducible champion, without a notebook.

A model is a pure function of a frozen config and the content of its data. The public names are
loaded on first use, so ``import mlkit`` costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlkit.data.contract import Column, Contract
    from mlkit.data.features import FeatureTable
    from mlkit.data.monitor_spec import Monitor
    from mlkit.data.snapshot import Snapshot
    from mlkit.data.source import Source
    from mlkit.data.split import Split
    from mlkit.digest.fingerprint import fingerprint
    from mlkit.errors import MlkitError
    from mlkit.frozen import FrozenConfig
    from mlkit.model.gate import Gate
    from mlkit.model.retraining import Retrain
    from mlkit.production.plan import Plan
    from mlkit.production.registry import ModelVersion
    from mlkit.production.report import RunReport
    from mlkit.project import ModelProject
    from mlkit.research.handoff import Handoff
    from mlkit.research.study.trials import Study, Trial
    from mlkit.workspace import Workspace, open_workspace
else:
    _HOMES = {
        "Column": "mlkit.data.column",
        "Contract": "mlkit.data.contract",
        "FeatureTable": "mlkit.data.features",
        "FrozenConfig": "mlkit.frozen",
        "Gate": "mlkit.model.gate",
        "Handoff": "mlkit.research.handoff",
        "MlkitError": "mlkit.errors",
        "ModelProject": "mlkit.project",
        "ModelVersion": "mlkit.production.registry",
        "Monitor": "mlkit.data.monitor_spec",
        "Plan": "mlkit.production.plan",
        "Retrain": "mlkit.model.retraining",
        "RunReport": "mlkit.production.report",
        "Snapshot": "mlkit.data.snapshot",
        "Source": "mlkit.data.source",
        "Split": "mlkit.data.split",
        "Study": "mlkit.research.study.trials",
        "Trial": "mlkit.research.study.trials",
        "Workspace": "mlkit.workspace",
        "fingerprint": "mlkit.digest.fingerprint",
        "open_workspace": "mlkit.workspace",
    }

    def __getattr__(name: str) -> object:
        """Load a public name on first use."""
        if name not in _HOMES:
            message = f"module 'mlkit' has no attribute {name!r}"
            raise AttributeError(message)
        import importlib  # noqa: PLC0415 - the front door

        value = getattr(importlib.import_module(_HOMES[name]), name)
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        """The public names."""
        return list(__all__)


__all__ = [
    "Column",
    "Contract",
    "FeatureTable",
    "FrozenConfig",
    "Gate",
    "Handoff",
    "MlkitError",
    "ModelProject",
    "ModelVersion",
    "Monitor",
    "Plan",
    "Retrain",
    "RunReport",
    "Snapshot",
    "Source",
    "Split",
    "Study",
    "Trial",
    "Workspace",
    "fingerprint",
    "open_workspace",
]
