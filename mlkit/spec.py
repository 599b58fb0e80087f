"""What every part of a frozen config has in common: strict, frozen, and clear about mistakes.

A spec lives beside the function that reads it; this room only holds the base class. Specs are
built in Python (``Split(test=0.2)``) and loaded from YAML through the same door, so a wrong value
gets the same error with the path of the field either way: a `ConfigError`, or whatever error of
mlkit a field's own rule raises.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from mlkit.errors import ConfigError, MlkitError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails


class Spec(BaseModel):
    """An immutable, strictly typed part of a frozen config."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    def __init__(self, **values: Any) -> None:  # noqa: ANN401 - pydantic checks each value
        """Check the values; a mistake is an error that names the field."""
        try:
            super().__init__(**values)
        except ValidationError as exc:
            raise _translated(exc, type(self), "") from exc

    @classmethod
    def from_values(cls, values: object, *, path: str = "") -> Self:
        """Build the spec from plain YAML values.

        Args:
            values: What the YAML document holds at `path`.
            path: Where it stands in the document, for the error message.

        Raises:
            ConfigError: Unknown key (CFG006), missing key (CFG021), wrong type or value (CFG009).
            MlkitError: Whatever the rule of a field says.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as exc:
            raise _translated(exc, cls, path) from exc

    def __dir__(self) -> list[str]:
        """What completion offers: fields and verbs of its own, none of the forty of pydantic."""
        return [name for name in super().__dir__() if name.startswith("_") or not hasattr(BaseModel, name)]

    def __str__(self) -> str:
        """What `repr` says: there is one text for people."""
        return repr(self)

    def dump(self) -> dict[str, Any]:
        """Plain values for YAML; fields that hold their default are left out."""
        return self.model_dump(mode="json", exclude_defaults=True)

    def replace(self, **changes: Any) -> Self:  # noqa: ANN401 - pydantic checks each value
        """A checked copy with some fields changed."""
        return type(self)(**{**dict(self), **changes})


def _translated(exc: ValidationError, spec: type[BaseModel], path: str) -> MlkitError:
    """The first mistake of a pydantic report, in the words of this project."""
    error = exc.errors(include_url=False, include_context=True)[0]
    where = ".".join(part for part in (path, *map(str, error["loc"])) if part)
    cause = error.get("ctx", {}).get("error")
    if isinstance(cause, MlkitError):  # of a rule, or of a spec inside this one, which knows only its fields
        inner = ".".join(part for part in (where, cause.path) if part)
        return type(cause)(cause.code, cause.message, path=inner, fix=cause.fix)
    if error["type"] == "extra_forbidden":
        return _unknown_key(str(error["loc"][-1]), where, list(spec.model_fields))
    if error["type"] == "missing":
        return ConfigError("CFG021", "this key is required and is not there", path=where, fix="add it")
    return ConfigError("CFG009", _wrong_value(error), path=where, fix="correct the value")


def _wrong_value(error: ErrorDetails) -> str:
    found = type(error["input"]).__name__
    return f"{error['msg'][0].lower()}{error['msg'][1:]}; found a value of type {found}"


def _unknown_key(key: str, where: str, known: list[str]) -> ConfigError:
    near = difflib.get_close_matches(key, known, n=1)
    fix = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known)}"
    return ConfigError("CFG006", f"unknown key {key!r}", path=where, fix=fix)
