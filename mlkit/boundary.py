"""The boundary of the user's code: whatever it raises there becomes an error that says whose it is."""

from __future__ import annotations

import contextlib
import re
import warnings
from typing import TYPE_CHECKING

from mlkit.errors import ConfigError, MlkitError, StudyError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType


# A quote inside a word is an apostrophe, of the message ("can't") or of the value ('O'Neil').
_QUOTED = re.compile(r"(?<!\w)(['\"]).*?\1(?!\w)")
# What these quote is a name in the code, which helps; what others quote may be a value of the data.
_NAMES = (AttributeError, ImportError, KeyError, NameError)


class user_code:  # noqa: N801 - reads as a statement: with user_code("flight_delay:prepare")
    """Context in which the user's own function or estimator runs.

    Errors of this project pass; anything else an `Exception` is re-raised as a `StudyError` from it, so
    that a command ends with one clear sentence and ``--debug`` still shows the whole traceback.

    Args:
        name: What runs, as the user knows it, e.g. ``flight_delay:prepare``.
        action: What it does: ``call``, ``fit``, ``predict``.
    """

    def __init__(self, name: str, *, action: str = "call") -> None:
        """Remember what runs."""
        self._name, self._action = name, action

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Translate what was raised."""
        if error is None or isinstance(error, MlkitError) or not isinstance(error, Exception):
            return
        message = f"{self._action} raised {type(error).__name__}: {_without_values(error)}"
        fix = "run it alone on a few rows; --debug shows where it failed"
        raise StudyError("RUN010", message, path=self._name, fix=fix) from error


def _without_values(error: Exception) -> str:
    """The first line of an exception, with what it quotes left out where that may be data."""
    lines = str(error).strip().splitlines() or ["no message"]
    return lines[0] if isinstance(error, _NAMES) else _QUOTED.sub("'..'", lines[0])


def expect_a(kind: str, value: object, *, path: str, fix: str) -> None:
    """Refuse an argument that is not of a class; its name is enough, so that nothing is imported to say no.

    Raises:
        ConfigError: CFG009.
    """
    if all(base.__name__ != kind for base in type(value).__mro__):
        raise ConfigError("CFG009", f"expected a {kind}, found a {type(value).__name__}", path=path, fix=fix)


def expect_config(config: object, *, project: str | None = None) -> None:
    """Refuse what is no frozen config, or one of another project.

    Raises:
        ConfigError: CFG009.
        UsageError: CLI031.
    """
    fix = "freeze a trial, or give FrozenConfig.load('models/<name>.yaml')"
    expect_a("FrozenConfig", config, path="config", fix=fix)
    name = getattr(config, "name", "")
    if project is not None and name != project:
        message = f"this config is of {name}, the project is {project}"
        raise UsageError("CLI031", message, path="config", fix=f"ModelProject({name!r}, ...)")


@contextlib.contextmanager
def quiet_pandera() -> Iterator[None]:
    """Context in which pandera is imported, perhaps by the user's module.

    It imports pyspark unasked where that is installed, which then warns of pandas 3. Anything else is heard.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas", FutureWarning)
        yield
