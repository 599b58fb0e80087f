"""When there is no plan: what a deployment would fail with, in the form of a plan."""

from __future__ import annotations

import dataclasses
import html
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from mlkit.errors import MlkitError
from mlkit.production.plan import counted_line, destination
from mlkit.production.runner import plan_deployment

if TYPE_CHECKING:
    from mlkit.frozen import FrozenConfig
    from mlkit.production.plan import Plan
    from mlkit.production.stores import Stores

EXIT_BLOCKED = 9


@dataclasses.dataclass(frozen=True)
class Blocked:
    """There is no plan, because a deployment would fail as things are.

    Attributes:
        model: The project.
        error: What it would fail with: broken contract, missing source, a store that is away.
        target: Name of the stores.
        kind: ``blocked``, which a plan never is.
    """

    model: str
    error: MlkitError
    target: str = ""

    kind: ClassVar[Literal["blocked"]] = "blocked"

    @property
    def exit_code(self) -> int:
        """What `mlkit plan --exit-code` exits with; without that flag it is the code of the error."""
        return EXIT_BLOCKED

    @property
    def headline(self) -> str:
        """Its first line: ``flight_delay -> prod    blocked: delay: 3 nulls, none allowed (DAT060)``."""
        first, *more = self.error.sentence.splitlines()
        said = f"{first.removesuffix(':')} ({self.error.code})"
        return "\n".join([f"{destination(self.model, self.target)}    blocked: {said}", *more])

    @property
    def summary(self) -> str:
        """The counted line, in the form that a plan has."""
        return counted_line(self.kind)

    def text(self, *, everything: bool = False) -> str:  # noqa: ARG002 - as a plan takes it
        """Reason and code, place, way out and page, a line each."""
        place = [f"  at {self.error.place}"] if self.error.place else []
        way_out = [f"  fix: {self.error.fix}"] if self.error.fix else []
        return "\n".join([self.headline, *place, *way_out, f"  page: mlkit help {self.error.code}"])

    def to_dict(self) -> dict[str, Any]:
        """Plain values; `kind`, `reasons`, `model`, `target` and `summary` as of a plan."""
        return {
            "kind": self.kind,
            "reasons": [self.error.message],
            "model": self.model,
            "target": self.target,
            "error": self.error.to_dict(),
            "summary": self.summary,
        }

    def __repr__(self) -> str:
        """What keeps it, and what helps."""
        return self.text()

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(repr(self))}</pre>"


def try_plan(config: FrozenConfig, stores: Stores) -> Plan | Blocked:
    """What a deployment would do now, or what keeps it from doing anything. Writes as `plan_deployment` does.

    Args:
        config: What would be deployed.
        stores: Where to.
    """
    try:
        return plan_deployment(config, stores)
    except MlkitError as exc:
        return Blocked(config.name, exc, stores.workspace.target)
