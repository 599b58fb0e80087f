"""What every part of a frozen config has in common: strict, frozen, and clear about mistakes.

A spec lives beside the function that reads it; this room only holds the base class. Specs are
built in Python (``Split(test=0.2)``) and loaded from YAML through the same door, so a wrong value
gets the same `ConfigError` with the path of the field either way.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from mlkit.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic_core import ErrorDetails


class Spec(BaseModel):
    """An immutable, strictly typed part of a frozen config."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    def __init__(self, **values: Any) -> None:  # noqa: ANN401 - pydantic checks each value
        """Check the values; a mistake is a `ConfigError` naming the field."""
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
            ConfigError: Unknown key, missing key, wrong type or refused value.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as exc:
            raise _translated(exc, cls, path) from exc

    def dump(self) -> dict[str, Any]:
        """Plain values for YAML; fields that hold their default are left out."""
        return self.model_dump(mode="json", exclude_defaults=True)

    def replace(self, **changes: Any) -> Self:  # noqa: ANN401 - pydantic checks each value
        """A checked copy with some fields changed."""
        return type(self)(**{**dict(self), **changes})


def _translated(exc: ValidationError, spec: type[BaseModel], path: str) -> ConfigError:
    """The first mistake of a pydantic report, in the words of this project."""
    error = exc.errors(include_url=False, include_context=True)[0]
    where = ".".join(part for part in (path, *map(str, error["loc"])) if part)
    cause = error.get("ctx", {}).get("error")
    if isinstance(cause, ConfigError):  # of a spec inside this one, which knows only its own fields
        inner = ".".join(part for part in (where, cause.path) if part)
        return ConfigError(cause.code, cause.message, path=inner, fix=cause.fix)
    if error["type"] == "extra_forbidden":
        return _unknown_key(str(error["loc"][-1]), where, _known_keys(spec, error["loc"][:-1]))
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


def _known_keys(spec: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
    """Field names of the (possibly nested) spec in which a key was not known."""
    fields: Mapping[str, Any] = spec.model_fields
    for part in loc:
        nested = fields[part].annotation if isinstance(part, str) and part in fields else None
        if isinstance(nested, type) and issubclass(nested, BaseModel):
            fields = nested.model_fields
    return [field.alias or name for name, field in fields.items()]
