"""What the doctor finds: one line for each thing that was looked at."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Literal

from mlkit.errors import EXIT_DONE, EXIT_STORE

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlkit.errors import MlkitError

State = Literal["OK", "WARN", "FAIL"]


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        what: The thing.
        state: ``OK``; ``WARN``: works, but look at it; ``FAIL``: something will not work.
        said: What was found.
        mend: The command, or what to do.
        exit_code: Of the command, if this fails.
        mended: Whether it was mended just now.
        cure: Mends it, and says what was done; None where only people can.
    """

    what: str
    state: State
    said: str
    mend: str = ""
    exit_code: int = EXIT_STORE
    mended: bool = False
    cure: Callable[[], str] | None = dataclasses.field(default=None, repr=False, compare=False)

    @classmethod
    def of_error(cls, what: str, error: MlkitError) -> Finding:
        """An error as a finding."""
        return cls(what, "FAIL", f"[{error.code}] {error.sentence}", error.fix, error.exit_code)

    def cured(self) -> Finding:
        """The same after its cure, if it has one."""
        if self.cure is None or self.state == "OK":
            return self
        return dataclasses.replace(self, state="OK", said=self.cure(), mended=True, mend="", cure=None)

    @property
    def fixable(self) -> bool:
        """Whether ``--fix`` mends it."""
        return self.cure is not None

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        names = ("what", "state", "said", "mend", "mended")
        return {**{name: getattr(self, name) for name in names}, "fixable": self.fixable}

    def __repr__(self) -> str:
        """One line, and a second one if there is something to do."""
        way_out = f"\n        -> {self.mend}" if self.mend and self.state != "OK" else ""
        return f"{'mended' if self.mended else self.state:<6}  {self.what}: {self.said}{way_out}"


@dataclasses.dataclass(frozen=True)
class DoctorReport:
    """All findings of one examination.

    Attributes:
        target: Name of the stores.
        findings: Everything that was looked at.
    """

    target: str
    findings: tuple[Finding, ...]

    @property
    def exit_code(self) -> int:
        """0 if nothing fails, else the highest of what fails."""
        return max((found.exit_code for found in self.findings if found.state == "FAIL"), default=EXIT_DONE)

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"target": self.target, "findings": [found.to_dict() for found in self.findings]}

    def __repr__(self) -> str:
        """Each finding, the worst last, then their number by state, and whether ``--fix`` would help."""
        states = [found.state for found in self.findings]
        order: tuple[State, ...] = ("OK", "WARN", "FAIL")
        lines = [f"  {found!r}" for state in order for found in self.findings if found.state == state]
        sums = ", ".join(f"{states.count(state)} {state}" for state in order)
        curable = sum(found.cure is not None and found.state != "OK" for found in self.findings)
        following = f"\n  next    mlkit doctor --fix mends {curable} of these" if curable else ""
        return "\n".join([*lines, f"{self.target}: {sums}"]) + following
