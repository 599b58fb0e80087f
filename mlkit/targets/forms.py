"""What the texts of a target look like, and the errors of those that do not."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Annotated

from pydantic import BeforeValidator

from mlkit.errors import ConfigError, NamingError

if TYPE_CHECKING:
    from collections.abc import Iterable

VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
"""Name of an environment variable."""


def _listed(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


Texts = Annotated[tuple[str, ...], BeforeValidator(_listed)]
"""Texts that are written as a list."""


def check_form(
    value: str | None, form: re.Pattern[str], path: str, expected: str, *, code: str = "CFG009"
) -> None:
    """Refuse a text of another form; a field that is not set has none.

    Raises:
        ConfigError: It has another form.
        NamingError: The same, if `code` is of that family.
    """
    if value is not None and not form.fullmatch(value):
        kind = NamingError if code.startswith("NAM") else ConfigError
        raise kind(code, f"expected {expected}", path=path, fix="correct the value")


def unknown_key(key: str, known: Iterable[str], *, path: str) -> ConfigError:
    """The error of a key that nobody knows, with the nearest one or all that are known."""
    near = difflib.get_close_matches(key, known, n=1)
    fix = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known)}"
    return ConfigError("CFG006", f"unknown key {key!r}", path=path, fix=fix)
