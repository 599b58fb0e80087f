"""The rules of a cleanup: how much of the past stays, and which kinds of things may go."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import Any

from mlkit.errors import UsageError

_MOST_DAYS = 36500


@dataclasses.dataclass(frozen=True)
class Retention:
    """What a cleanup keeps.

    Attributes:
        keep_days: Whatever served in so many days stays.
        keep_versions: So do the versions that served last, so many of them, the champion among them.
        grace_days: Nothing younger goes; no run takes that long.
        runs: Old MLflow runs go too.
        models: Files of models that nothing reaches go too.
        versions: So do their versions in the registry, with the models.
        log_days: The prediction log loses rows older than so many days; None leaves it alone.
    """

    keep_days: int = 90
    keep_versions: int = 5
    grace_days: int = 14
    runs: bool = False
    models: bool = False
    versions: bool = False
    log_days: int | None = None

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            UsageError: One is out of its range (CLI084).
        """
        for name, least in (("keep_days", 0), ("keep_versions", 1), ("grace_days", 0), ("log_days", 1)):
            value = getattr(self, name)
            whole = isinstance(value, int) and not isinstance(value, bool)
            if value is not None and not (whole and least <= value <= _MOST_DAYS):
                option = name.replace("_", "-")
                message = f"expected a whole number from {least} to {_MOST_DAYS}, found {value!r}"
                raise UsageError("CLI084", message, path=option, fix=f"--{option}={max(least, 30)}")
        if self.versions and not self.models:
            message = "versions go with the files of their models, not without them"
            raise UsageError("CLI084", message, path="versions", fix="--models --versions")

    @property
    def grace(self) -> dt.timedelta:
        """The grace period."""
        return dt.timedelta(days=self.grace_days)

    @property
    def window(self) -> dt.timedelta:
        """How long what has served stays."""
        return dt.timedelta(days=self.keep_days)

    @property
    def options(self) -> str:
        """As options of the command, those that differ from the defaults; each ends with a space."""
        given = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        other = {name: value for name, value in given.items() if value != getattr(Retention, name)}
        return "".join(
            f"--{name.replace('_', '-')} {'' if value is True else f'{value} '}"
            for name, value in other.items()
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return dataclasses.asdict(self)
