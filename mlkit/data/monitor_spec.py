"""What of a model is watched once it serves, and when a change of it is called drift."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from pydantic import field_validator, model_validator

from mlkit.errors import ConfigError
from mlkit.nearest import nearest
from mlkit.spec import Spec

_DAYS_A_YEAR = 365
_MOST_DAYS = 366
_MOST_ALPHA = 0.05
_LEAST_ROWS = 30


class Monitor(Spec):
    """What is watched, and how sure an alarm has to be.

    Attributes:
        inputs: Features whose values are logged with each prediction and watched; the prediction always is.
        window_days: Length of a window in days, a year at most.
        alarms_per_year: False alarms a year that are put up with, over all columns of a model together.
        alpha: Chance of a false alarm in one window instead; by default it follows from `alarms_per_year`.
        min_effect: Smallest change that matters, as a share of rows (KS of numbers, TV of categories).
        min_rows: Fewer rows are never judged.
        min_coverage: Smallest share of answers that must stand in the log.

    Raises:
        ConfigError: A number that no test works with (CFG018), or an input named twice (CFG050).
    """

    inputs: tuple[str, ...] = ()
    window_days: int = 7
    alarms_per_year: float = 1.0
    alpha: float | None = None
    min_effect: float = 0.1
    min_rows: int = 100
    min_coverage: float = 0.95

    if TYPE_CHECKING:  # what is taken is wider than what is kept

        def __init__(
            self,
            *,
            inputs: list[str] | tuple[str, ...] = (),
            window_days: int = 7,
            alarms_per_year: float = 1.0,
            alpha: float | None = None,
            min_effect: float = 0.1,
            min_rows: int = 100,
            min_coverage: float = 0.95,
        ) -> None:
            """`inputs` may be a list."""

    @field_validator("inputs", mode="before")
    @classmethod
    def _as_names(cls, value: Any) -> Any:  # noqa: ANN401 - any YAML value, checked afterwards
        return tuple(value) if isinstance(value, list) else value

    @model_validator(mode="after")
    def _can_be_tested(self) -> Self:
        ranges = (
            ("alpha", self.alpha is None or 0 < self.alpha < 1, "a level between 0 and 1, such as 0.01"),
            ("alarms_per_year", self.alarms_per_year > 0, "more than 0"),
            ("window_days", 1 <= self.window_days <= _MOST_DAYS, f"1 to {_MOST_DAYS} days"),
            ("min_effect", 0 <= self.min_effect < 1, "a share from 0 to below 1"),
            ("min_rows", self.min_rows >= _LEAST_ROWS, f"{_LEAST_ROWS} rows or more"),
            ("min_coverage", 0 <= self.min_coverage <= 1, "a share from 0 to 1"),
        )
        for field, fits, expected in ranges:
            if not fits:
                message = f"expected {expected}, found {getattr(self, field)}"
                raise ConfigError("CFG018", message, path=field, fix="leave it out for the default")
        if twice := [name for name in self.inputs if self.inputs.count(name) > 1]:
            raise ConfigError("CFG050", f"{twice[0]!r} stands twice", path="inputs", fix="name it once")
        return self

    @property
    def window_alpha(self) -> float:
        """Chance of a false alarm in one window, over all columns of a model together."""
        if self.alpha is not None:
            return self.alpha
        return min(_MOST_ALPHA, self.alarms_per_year * self.window_days / _DAYS_A_YEAR)

    def check_inputs(self, features: tuple[str, ...]) -> None:
        """Refuse inputs that the model does not have.

        Raises:
            ConfigError: CFG050.
        """
        if unknown := [name for name in self.inputs if name not in features]:
            message = f"the model has no feature {unknown[0]!r}"
            raise ConfigError("CFG050", message, path="monitor.inputs", fix=nearest(unknown[0], features))
