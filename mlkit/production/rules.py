"""What the config behind a ledger entry says about watching and retraining.

It is read from the ledger and not from the model's folder: rules may change while the model stays.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from mlkit.data.monitor_spec import Monitor
from mlkit.model.retraining import Retrain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlkit.production.ledger import Entry


def config_of(record: Mapping[str, Any]) -> dict[str, Any]:
    """The whole config of a decision or of a ledger entry's evidence; no field that holds its default."""
    return {**record["ingredients"]["config"], **record["rules"]["config"]}


def rules_of(entry: Entry) -> Mapping[str, Any]:
    """The config but for what decides the model; fields that hold their default are not there."""
    rules: Mapping[str, Any] = entry.evidence["rules"]["config"]
    return rules


def monitor_of(entry: Entry) -> Monitor:
    """What is watched, and how."""
    return Monitor.from_values(rules_of(entry).get("monitor", {}), path="monitor")


def retrain_of(entry: Entry) -> Retrain:
    """When to retrain."""
    return Retrain.from_values(rules_of(entry).get("retrain", {}), path="retrain")


def width_of(entry: Entry) -> dt.timedelta:
    """How long a window is."""
    return dt.timedelta(days=monitor_of(entry).window_days)
