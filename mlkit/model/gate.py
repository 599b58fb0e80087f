"""The gate: may this candidate serve, and why.

`judge` is pure: the same scores and the same gate give the same verdict, so a decision record can be
judged again years later. It fails closed. A number that is missing or not finite never passes, and a
champion that could not be scored is never taken for an absent one.
"""

from __future__ import annotations

import dataclasses
import math
import sys
from fractions import Fraction
from typing import Annotated, Any, Literal, TypeGuard

from pydantic import BeforeValidator

from mlkit.errors import ConfigError
from mlkit.spec import Spec

Direction = Literal["minimize", "maximize"]
Outcome = Literal["promote", "keep", "reject"]

_LARGEST = Fraction(sys.float_info.max)
_SHORT, _WHOLE = 6, 15  # significant digits of a number in a reason, and of one that is written in full


def _finite(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(
            "CFG013",
            "expected a finite number, found nan or inf, which no score could be judged by",
            fix="give a number, or leave the key out",
        )
    return value


def _not_negative(value: object) -> object:
    if isinstance(value, int | float) and value < 0:
        raise ConfigError(
            "CFG013",
            "expected a number >= 0, found a negative one, which would promote a worse candidate",
            fix="give 0 for 'any improvement', or more; the sign is the same for every metric",
        )
    return value


class Gate(Spec):
    """What a candidate must reach before it serves.

    Attributes:
        threshold: Score that the candidate must reach itself (inclusive), in units of the metric.
        min_improvement: By how much it must be better than the champion, in units of the metric. A
            tie keeps the champion, also at 0.
        direction: What "better" means; taken from a known metric, required for one's own.

    Raises:
        ConfigError: A number is not finite, or `min_improvement` is negative (CFG013).
    """

    threshold: Annotated[float | None, BeforeValidator(_finite)] = None
    min_improvement: Annotated[float, BeforeValidator(_not_negative), BeforeValidator(_finite)] = 0.0
    direction: Direction | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scores:
    """What the gate looks at; both scores are of the same rows.

    Attributes:
        candidate: Score of the model being judged, None when it could not be scored.
        champion: Score of the version that serves, None when there is none or it could not be scored.
        rows: Number of test rows scored.
        excluded: Number of test rows left out, because the champion was trained on them.
        has_champion: Whether a version serves now.
        champion_error: Why the champion could not be scored; empty when it could.
    """

    candidate: float | None
    champion: float | None = None
    rows: int
    excluded: int = 0
    has_champion: bool
    champion_error: str = ""

    @property
    def first_deployment(self) -> bool:
        """True only when nothing at all speaks of a champion."""
        return not self.has_champion and self.champion is None and not self.champion_error


@dataclasses.dataclass(frozen=True)
class Verdict:
    """The outcome of the gate, with its reasons.

    Attributes:
        passed: Whether the candidate may serve.
        outcome: "promote"; "keep" when the champion stays; "reject" when there is none to stay.
        reasons: One readable sentence per rule, those that held included.
    """

    passed: bool
    outcome: Outcome
    reasons: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The verdict as the decision record and ``--json`` carry it."""
        return {"passed": self.passed, "outcome": self.outcome, "reasons": list(self.reasons)}


@dataclasses.dataclass(frozen=True)
class _Finding:
    """What one rule found."""

    holds: bool
    reason: str


def judge(scores: Scores, gate: Gate, *, direction: Direction) -> Verdict:
    """Decide whether the candidate may serve.

    Args:
        scores: Scores of candidate and champion on the same rows.
        gate: What must be reached.
        direction: Which scores are better, from the metric.

    Raises:
        ConfigError: `direction` is unknown or contradicts the gate's own (CFG013).
    """
    _check_direction(gate, direction)
    findings = [*_row_findings(scores), _threshold_finding(scores, gate, direction)]
    findings.append(_champion_finding(scores, gate, direction))
    passed = all(finding.holds for finding in findings)
    stays: Outcome = "reject" if scores.first_deployment else "keep"
    return Verdict(passed, "promote" if passed else stays, tuple(finding.reason for finding in findings))


def _check_direction(gate: Gate, direction: Direction) -> None:
    if direction not in ("minimize", "maximize") or gate.direction not in (None, direction):
        raise ConfigError(
            "CFG013",
            f"the metric's direction is {direction!r}, the gate's is {gate.direction!r}",
            path="gate.direction",
            fix="leave the gate's direction out for a known metric; else give 'minimize' or 'maximize'",
        )


def _row_findings(scores: Scores) -> list[_Finding]:
    findings = []
    if scores.excluded:
        left_out = f"{scores.excluded:,} rows left out, because the champion was trained on them"
        findings.append(_Finding(holds=True, reason=left_out))
    if scores.rows <= 0:
        findings.append(_Finding(holds=False, reason="no rows were left to score on"))
    return findings


def _threshold_finding(scores: Scores, gate: Gate, direction: Direction) -> _Finding:
    if not _is_finite(scores.candidate):
        reason = f"the candidate has no usable score: {_unusable(scores.candidate)}"
        return _Finding(holds=False, reason=reason)
    candidate = float(scores.candidate)
    if gate.threshold is None:
        return _Finding(holds=True, reason=f"candidate {_texts(candidate)[0]}, no threshold set")
    sign = "<=" if direction == "minimize" else ">="
    reached = candidate <= gate.threshold if direction == "minimize" else candidate >= gate.threshold
    left, right = _texts(candidate, gate.threshold)
    return _Finding(reached, f"candidate {left} {'' if reached else 'is not '}{sign} threshold {right}")


def _champion_finding(scores: Scores, gate: Gate, direction: Direction) -> _Finding:
    if scores.first_deployment:
        return _Finding(holds=True, reason=f"no champion to compare with, scored on {scores.rows:,} rows")
    if scores.champion_error or not _is_finite(scores.champion):
        cause = scores.champion_error or _unusable(scores.champion)
        return _Finding(holds=False, reason=f"the champion could not be scored: {cause}")
    if not _is_finite(scores.candidate):
        return _Finding(holds=False, reason=f"not compared with the champion's {_texts(scores.champion)[0]}")
    gained = _improvement(scores.candidate, scores.champion, direction)
    compared = _compared(gained, scores.champion, gate.min_improvement)
    enough = gained > 0 and gained >= _exact(gate.min_improvement)
    return _Finding(enough, f"{compared} on {scores.rows:,} same rows")


def _compared(gained: Fraction, champion: float, min_improvement: float) -> str:
    amount, least = _texts(float(min(abs(gained), _LARGEST)), min_improvement)
    needed = f"(needed >= {least})" if min_improvement else "(needed > 0)"
    other = f"the champion's {_texts(champion)[0]}"
    if gained == 0:
        return f"equal to {other}, a tie keeps the champion {needed}"
    return f"{'better' if gained > 0 else 'worse'} than {other} by {amount} {needed}"


def _improvement(candidate: float, champion: float, direction: Direction) -> Fraction:
    gained = _exact(candidate) - _exact(champion)
    return -gained if direction == "minimize" else gained


def _exact(number: float) -> Fraction:
    """The decimal number that a reader sees, so that 0.9 is better than 0.8 by exactly 0.1."""
    return Fraction(repr(float(number)))


def _is_finite(score: float | None) -> TypeGuard[float]:
    return score is not None and math.isfinite(score)


def _unusable(score: float | None) -> str:
    return "it is missing" if score is None else f"it is {float(score)}, not a finite number"


def _texts(*numbers: float) -> list[str]:
    """Short texts of finite numbers, different wherever the numbers are."""
    largest = max(abs(number) for number in numbers)
    shortest = max(_SHORT, len(str(int(largest)))) if largest < 10**_WHOLE else _SHORT
    for digits in range(shortest, sys.float_info.dig + 3):
        texts = [f"{float(number):,.{digits}g}" for number in numbers]
        if len(set(texts)) == len(set(numbers)):
            return texts
    return [repr(float(number)) for number in numbers]
