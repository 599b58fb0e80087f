"""When a model is trained again: the policy of a frozen config, and what it says of what was seen.

`judge` is pure: the same observations and the same policy give the same answer. By default nothing is
retrained by itself. What is retrained passes the gate like any other deployment.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, model_validator

from mlkit.errors import ConfigError
from mlkit.spec import Spec

if TYPE_CHECKING:
    from collections.abc import Sequence

Policy = Literal["alert", "schedule", "drift", "hybrid"]

_SCHEDULED, _DRIVEN = ("schedule", "hybrid"), ("drift", "hybrid")


class Retrain(Spec):
    """When the same config is deployed again on new data.

    Attributes:
        policy: ``alert`` (it only says so), ``schedule``, ``drift``, or ``hybrid``: either of the two.
        every_days: A model this old is due, by the policies with a schedule.
        windows: So many of the last `of` windows must have drifted, the last one among them.
        of: How many windows are looked at.
        cooldown_days: No retrain this soon after another one, or after a promotion.
        min_new_rows: No retrain with fewer rows more than the champion was made of.

    Raises:
        ConfigError: More windows must have drifted than are looked at (CFG009).
    """

    policy: Policy = "alert"
    every_days: int = Field(default=30, ge=1, le=3660)
    windows: int = Field(default=2, ge=1, le=100)
    of: int = Field(default=3, ge=1, le=100)
    cooldown_days: int = Field(default=7, ge=0, le=3660)
    min_new_rows: int = Field(default=1, ge=0)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.windows > self.of:
            message = f"{self.windows} of the last {self.of} windows cannot have drifted"
            raise ConfigError("CFG009", message, path="windows", fix=f"at most {self.of}, or raise `of`")
        return self

    @property
    def by_schedule(self) -> bool:
        """Whether age alone is a reason."""
        return self.policy in _SCHEDULED

    @property
    def by_drift(self) -> bool:
        """Whether drift alone is a reason."""
        return self.policy in _DRIVEN


@dataclasses.dataclass(frozen=True)
class Wish:
    """What a policy says.

    Attributes:
        wanted: Whether to retrain, if nothing else speaks against it.
        reasons: One sentence for each thing that was looked at.
    """

    wanted: bool
    reasons: tuple[str, ...]


def judge(retrain: Retrain, *, age_days: float, verdicts: Sequence[str]) -> Wish:
    """What the policy says of what was seen.

    Args:
        retrain: The policy.
        age_days: How long ago the champion was made or last retrained.
        verdicts: Verdicts of the champion's windows, oldest first.
    """
    old = age_days >= retrain.every_days
    drifted = has_drifted(retrain, verdicts)
    reasons = []
    if retrain.by_schedule:
        due = "due" if old else "not due"
        reasons.append(f"schedule: {due}, {age_days:.1f} of {retrain.every_days} days have passed")
    if retrain.by_drift or retrain.policy == "alert":
        reasons.append(f"drift: {drift_sentence(retrain, verdicts)}")
    if retrain.policy == "alert":
        reasons.append("policy alert: nothing is retrained by itself")
    return Wish((retrain.by_schedule and old) or (retrain.by_drift and drifted), tuple(reasons))


def has_drifted(retrain: Retrain, verdicts: Sequence[str]) -> bool:
    """Whether so many of the last windows drifted, the last one among them.

    Args:
        retrain: Says how many of how many.
        verdicts: Verdicts of windows, oldest first.
    """
    last = list(verdicts[-retrain.of :])
    return bool(last) and last[-1] == "DRIFT" and last.count("DRIFT") >= retrain.windows


def drift_sentence(retrain: Retrain, verdicts: Sequence[str]) -> str:
    """How many of the last windows drifted, against how many are needed."""
    last = list(verdicts[-retrain.of :])
    if not last:
        return "no window was checked yet"
    asked = f"{retrain.windows} of {retrain.of} with the last one are asked for"
    return f"{last.count('DRIFT')} of the last {len(last)} windows, the last one {last[-1]}; {asked}"
