"""What is known about an error code: what it means, what is said where it is raised, and what helps."""

from __future__ import annotations

import dataclasses
from typing import Any

from mlkit import errors
from mlkit.codes import CODES
from mlkit.codes.places import Place, read_places

_SHOWN = 4
"""Sentences on a terminal; the page has them all."""


@dataclasses.dataclass(frozen=True)
class Family:
    """Codes with the same first three letters.

    Attributes:
        title: What they are about.
        error: The error that carries them; Python's own error that it also is stands behind it.
    """

    title: str
    error: type[errors.MlkitError]

    @property
    def exit_code(self) -> int:
        """What a command ends with."""
        return self.error.exit_code

    @property
    def builtin(self) -> str:
        """The error of Python that `except` may name instead."""
        return self.error.__bases__[-1].__name__


FAMILIES = {
    "CFG": Family("Configs", errors.ConfigError),
    "NAM": Family("Names", errors.NamingError),
    "CLI": Family("Calls and commands", errors.UsageError),
    "DAT": Family("Data", errors.DataError),
    "STO": Family("Stores", errors.StoreError),
    "INT": Family("Integrity", errors.IntegrityError),
    "SEC": Family("Security", errors.SecurityError),
    "NET": Family("Serving", errors.ServingError),
    "GAT": Family("Gate", errors.GateRejectedError),
    "RUN": Family("Code of yours", errors.StudyError),
}


@dataclasses.dataclass(frozen=True)
class CodePage:
    """An error code.

    Attributes:
        code: Such as ``DAT060``.
        meaning: What it means, in a sentence or two.
        places: Where it is raised, and what is said there.
    """

    code: str
    meaning: str
    places: tuple[Place, ...]

    @property
    def family(self) -> Family:
        """The codes that it is one of."""
        return FAMILIES[self.code[:3]]

    @property
    def page(self) -> str:
        """Where it stands in the documentation."""
        return f"reference/errors/{self.code}"

    @property
    def sentences(self) -> dict[str, tuple[str, ...]]:
        """What may be said, each with what to type or change next."""
        said: dict[str, tuple[str, ...]] = {}
        for place in self.places:
            for message in place.messages:
                said[message] = tuple(dict.fromkeys((*said.get(message, ()), *place.fixes)))
        return said

    @property
    def fixes(self) -> tuple[str, ...]:
        """Everything that is advised, in the order of the code."""
        return tuple(dict.fromkeys(fix for place in self.places for fix in place.fixes))

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "code": self.code,
            "meaning": self.meaning,
            "family": self.family.title,
            "error": self.family.error.__name__,
            "exit_code": self.family.exit_code,
            "places": [place.to_dict() for place in self.places],
            "page": self.page,
        }

    def __repr__(self) -> str:
        """What it means, what is said, what helps, where the page is."""
        said = list(self.sentences.items())
        lines = [f"{self.code}  {self.meaning}"]
        for message, fixes in said[:_SHOWN]:
            lines += [f"  says    {message}", *(f"    fix   {fix}" for fix in fixes)]
        if len(said) > _SHOWN:
            lines.append(f"          and {len(said) - _SHOWN} more on its page")
        if not said:
            lines += [f"  fix     {fix}" for fix in self.fixes]
        modules = list(dict.fromkeys(place.module for place in self.places))
        more = f" and {len(modules) - _SHOWN} more" if len(modules) > _SHOWN else ""
        lines.append(f"  from    {', '.join(modules[:_SHOWN])}{more}")
        name, builtin = self.family.error.__name__, self.family.builtin
        lines.append(f"  error   {name} ({builtin}), exit code {self.family.exit_code}")
        lines.append(f"  page    {self.page} of the documentation")
        return "\n".join(lines)


def explain_code(code: str) -> CodePage:
    """What is known about a code.

    Raises:
        KeyError: There is no such code.
    """
    return CodePage(code, CODES[code], tuple(read_places(code)))


def explain_codes() -> list[CodePage]:
    """What is known about every code, in the order of the catalogue."""
    places: dict[str, list[Place]] = {code: [] for code in CODES}
    for place in read_places():
        places.setdefault(place.code, []).append(place)
    return [CodePage(code, meaning, tuple(places[code])) for code, meaning in CODES.items()]
