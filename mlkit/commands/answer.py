"""What a command gives: read by people as its `repr`, by programs as `to_dict()`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Generic, Protocol, TypedDict, TypeVar


class Printable(Protocol):
    """A result: read by people as its `repr`, by programs as `to_dict()`."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        ...


Given_co = TypeVar("Given_co", bound="Printable | Mapping[str, object]", covariant=True)


@dataclasses.dataclass(frozen=True)
class Answer(Generic[Given_co]):
    """A text, with what programs get in its place: plain values, or a result of which it is another view."""

    text: str
    values: Given_co

    def to_dict(self) -> dict[str, Any]:
        """The values."""
        return dict(self.values) if isinstance(self.values, Mapping) else self.values.to_dict()

    def __repr__(self) -> str:
        """The text."""
        return self.text


class Bundled(TypedDict):
    """The jobs that were written.

    Attributes:
        path: Their file.
        projects: The models that have jobs.
        targets: The targets that they can be deployed to.
    """

    path: str
    projects: list[str]
    targets: list[str]


class Cleared(TypedDict):
    """What was removed from the stored results of steps.

    Attributes:
        freed_bytes: How much room that made.
        removed: Number of results.
    """

    freed_bytes: int
    removed: int


class CommandHelp(TypedDict):
    """How a command is used.

    Attributes:
        command: Its name.
        help: Examples, options and page.
    """

    command: str
    help: str


class CommandSchema(TypedDict):
    """What a command prints with ``--json``.

    Attributes:
        command: Its name.
        schema: JSON Schema of that.
    """

    command: str
    schema: dict[str, Any]


class ConfigText(TypedDict):
    """The frozen config of a version.

    Attributes:
        config: The text of the file.
    """

    config: str


class Fingerprinted(TypedDict):
    """The rows of a file.

    Attributes:
        file: Its path.
        fingerprint: ``d1:`` + 32 hex of its rows.
    """

    file: str
    fingerprint: str


class Meaning(TypedDict):
    """A finding of the report.

    Attributes:
        code: Such as ``RPT020``.
        meaning: What was looked at.
    """

    code: str
    meaning: str


class NoVersion(TypedDict):
    """Nothing serves, or served at that time.

    Attributes:
        version: None.
    """

    version: None


class Script(TypedDict):
    """The completion of a shell.

    Attributes:
        shell: ``bash``, ``zsh`` or ``fish``.
        script: What the shell is to run.
    """

    shell: str
    script: str
