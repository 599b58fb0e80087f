"""The tree of errors.

Every error of mlkit is an `MlkitError` and also the builtin it resembles, so that
`except ValueError` does what a stranger expects::

    MlkitError
      x ConfigError        (ValueError)      CFG  a frozen config or a target file is wrong
      x NamingError        (ValueError)      NAM  a name that some store would refuse or confuse
      x UsageError         (ValueError)      CLI  a call or command that makes no sense here
      x DataError          (ValueError)      DAT  rows or columns are not what was promised
        - ContractError                           rows break the contract of their table
        - UnsupportedTypeError (TypeError)        a type that has no digest
        - DataOverflowError    (OverflowError)    a value outside what a digest can hold
      x StoreError         (OSError)         STO  a store is full, away or unreadable
        - OutcomeUnknownError                     a write was sent, its outcome was not seen
        - RaceLostError                           somebody else moved the pointer first
      x IntegrityError     (RuntimeError)    INT  stored bytes are not what was recorded
      x SecurityError      (PermissionError) SEC  refused, because it could run foreign code
      x ServingError       (RuntimeError)    NET  serving did not converge
      x GateRejectedError  (RuntimeError)    GAT  the gate refused a first deployment
      x StudyError         (RuntimeError)    RUN  user code failed while it was searched, fitted or packaged

A message says what was expected and what was found, never a data value; `path` names the
field or column; `fix` is what to type next. The family decides the exit code of a command.
"""

from __future__ import annotations

from typing import Any

EXIT_DONE = 0
EXIT_USAGE = 2
EXIT_REJECTED = 3
EXIT_SERVING = 4
EXIT_DATA = 10
EXIT_STORE = 20
EXIT_RACE = 21
EXIT_INTEGRITY = 30
EXIT_BUG = 70


class MlkitError(Exception):
    """Base of everything that mlkit raises on purpose.

    Args:
        code: Stable code such as ``DAT010``; `mlkit help CODE` explains it.
        message: One sentence: what was expected and what was found.
        path: Field or column that is meant, e.g. ``model.params.max_depth``.
        fix: What to type or change next.

    Attributes:
        exit_code: What a command ends with.
        place: File and line that `path` stands at, where somebody knows it: ``models/flight_delay.yaml:14``.
    """

    exit_code = EXIT_BUG
    place = ""

    def __init__(self, code: str, message: str, *, path: str = "", fix: str = "") -> None:
        """Keep the four parts; the text of the exception shows them all."""
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.path = path
        self.fix = fix

    @property
    def sentence(self) -> str:
        """The field or column, and the message."""
        return f"{self.path}: {self.message}" if self.path else self.message

    def __str__(self) -> str:
        """Code, place, cause and way out, on one to two lines."""
        way_out = f"\n  fix: {self.fix}" if self.fix else ""
        return f"[{self.code}] {self.sentence}{way_out}"

    def __reduce__(self) -> tuple[Any, ...]:
        """Survive the trip from a worker process (keyword arguments included)."""
        return _rebuild, (type(self), self.code, self.message, self.path, self.fix), {"place": self.place}

    def to_dict(self) -> dict[str, Any]:
        """The error as ``--json`` prints it."""
        return {
            "code": self.code,
            "message": self.message,
            "path": self.path,
            "place": self.place,
            "fix": self.fix,
            "exit_code": self.exit_code,
        }


def _rebuild(kind: type[MlkitError], code: str, message: str, path: str, fix: str) -> MlkitError:
    return kind(code, message, path=path, fix=fix)


class ConfigError(MlkitError, ValueError):
    """A frozen config, a spec or a target file is wrong."""

    exit_code = EXIT_USAGE


class NamingError(MlkitError, ValueError):
    """A name that some store would refuse or confuse with another."""

    exit_code = EXIT_USAGE


class UsageError(MlkitError, ValueError):
    """A call or command that makes no sense here."""

    exit_code = EXIT_USAGE


class DataError(MlkitError, ValueError):
    """Rows or columns are not what was promised."""

    exit_code = EXIT_DATA


class ContractError(DataError):
    """Rows break the contract of their table; the message lists column, check, count and keys."""


class UnsupportedTypeError(DataError, TypeError):
    """A column type that has no digest; cast it or leave it out."""


class DataOverflowError(DataError, OverflowError):
    """A value outside what a digest can hold."""


class StoreError(MlkitError, OSError):
    """A store is full, away or unreadable; trying again later may help."""

    exit_code = EXIT_STORE

    # OSError keeps its own idea of the text; the tree's wins.
    __str__ = MlkitError.__str__


class OutcomeUnknownError(StoreError):
    """A write was sent and its outcome was not seen: read again, never clean up."""


class RaceLostError(StoreError):
    """Somebody else moved the pointer first; their move stands."""

    exit_code = EXIT_RACE


class IntegrityError(MlkitError, RuntimeError):
    """Stored bytes are not what was recorded about them."""

    exit_code = EXIT_INTEGRITY


class SecurityError(MlkitError, PermissionError):
    """Refused, because it could run code that nobody reviewed."""

    exit_code = EXIT_INTEGRITY

    __str__ = MlkitError.__str__


class ServingError(MlkitError, RuntimeError):
    """The champion moved, but serving does not answer with it yet."""

    exit_code = EXIT_SERVING


class GateRejectedError(MlkitError, RuntimeError):
    """The gate refused a first deployment: nothing serves yet."""

    exit_code = EXIT_REJECTED


class StudyError(MlkitError, RuntimeError):
    """The user's own code failed while it was searched, fitted or packaged."""

    exit_code = EXIT_DATA
