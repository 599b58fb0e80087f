"""What a deployment would do, and why: a new model, new code only, or nothing."""

from __future__ import annotations

import dataclasses
import json
import re
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlkit.production.build import Build
    from mlkit.production.decisions import Decision
    from mlkit.production.ledger import Entry

Kind = Literal["primary", "secondary", "nothing"]

EXIT_PRIMARY = 5
EXIT_SECONDARY = 6
_SHORT = 14
_DIGEST = re.compile(r"(d1:)?[0-9a-f]{32,}")


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a deployment would do.

    Attributes:
        kind: ``primary`` (a new model is needed), ``secondary`` (code or rules only; the model stays)
            or ``nothing``.
        reasons: One sentence for each difference that counts.
        model: The project.
        run_key: Key of the run that would be made.
        champion: Version that serves now; None before the first promotion.
        train_rows: Rows it would train on.
        test_rows: Rows it would be judged on.
        settled: The earlier decision that makes this ``nothing``, if there is one.
    """

    kind: Kind
    reasons: tuple[str, ...]
    model: str
    run_key: str
    champion: int | None
    train_rows: int
    test_rows: int
    settled: Decision | None = dataclasses.field(default=None, repr=False, compare=False)

    @property
    def exit_code(self) -> int:
        """What `mlkit plan --exit-code` exits with."""
        return {"primary": EXIT_PRIMARY, "secondary": EXIT_SECONDARY, "nothing": 0}[self.kind]

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        names = ("kind", "reasons", "model", "run_key", "champion", "train_rows", "test_rows")
        return {name: getattr(self, name) for name in names}

    def __repr__(self) -> str:
        """Kind and reasons first, then what it would write."""
        meaning = {
            "primary": "a new model is needed",
            "secondary": "code or rules only; the model stays",
            "nothing": "up to date",
        }[self.kind]
        lines = [f"{self.model}  {self.kind}: {meaning}", *(f"  ~ {reason}" for reason in self.reasons)]
        if self.kind == "primary":
            serves = f"v{self.champion}" if self.champion else "nothing"
            lines.append(
                f"  would train on {self.train_rows:,} rows, judge on {self.test_rows:,}; {serves} serves now"
            )
        if self.kind != "nothing":
            lines.append(f"  next    mlkit deploy {self.model}")
        return "\n".join(lines)


def make_plan(build: Build, head: Entry | None, settled: Decision | None) -> Plan:
    """Compare a build with the champion.

    Args:
        build: Rows and digests of the config.
        head: The ledger's head; None before the first promotion.
        settled: An earlier decision about this very run that still stands.
    """
    kind, reasons = _kind(build, head, settled)
    return Plan(
        kind=kind,
        reasons=tuple(reasons),
        model=build.config.name,
        run_key=build.run_key,
        champion=head.to_version if head else None,
        train_rows=build.rows[0],
        test_rows=build.rows[1],
        settled=settled,
    )


def _kind(build: Build, head: Entry | None, settled: Decision | None) -> tuple[Kind, list[str]]:
    if head is not None and head.run_key == build.run_key:
        return "nothing", [f"v{head.to_version} already is this config, code and data"]
    if head is not None and head.model_key == build.model_key:
        changed = list(_changes(head.evidence["rules"], build.rules))
        return "secondary", changed
    if settled is not None:
        return "nothing", [_settled_reason(settled, head)]
    if head is None:
        return "primary", ["nothing serves yet"]
    return "primary", list(_changes(head.evidence["ingredients"], build.ingredients))


def _settled_reason(settled: Decision, head: Entry | None) -> str:
    serves = f"v{head.to_version} serves" if head else "nothing serves"
    said = {
        "promote": "it was promoted before",
        "keep": "it was judged before and the champion kept",
        "reject": "it was judged before and rejected",
    }[settled.outcome]
    return f"this config, code and data are known: {said} ({settled.at:%Y-%m-%d %H:%M}); {serves}"


def _changes(before: object, after: object, path: str = "") -> Iterator[str]:
    """One sentence for each leaf that differs."""
    old, new = _children(before), _children(after)
    if old is None or new is None or (isinstance(before, list) and len(old) != len(new)):
        if _text(before) != _text(after):
            yield f"{_label(path)}: {_short(before)} -> {_short(after)}"
        return
    for name in dict.fromkeys([*old, *new]):
        yield from _changes(old.get(name), new.get(name), f"{path}{name}" if path else name.removeprefix("."))


def _children(value: object) -> dict[str, Any] | None:
    """What is inside a value, by the way to it; None of a leaf."""
    if isinstance(value, dict):
        return {f".{name}": value[name] for name in sorted(value)}
    if isinstance(value, list):
        return {f"[{index}]": item for index, item in enumerate(value)}
    return None


def _label(path: str) -> str:
    kind, _, rest = path.partition(".")
    if kind == "data":
        return f"{rest} rows"
    return rest if kind in ("config", "environment") and rest else path.replace("_", " ")


def _short(value: object) -> str:
    text = value if isinstance(value, str) else "unset" if value is None else _text(value)
    return f"{text[:_SHORT]}.." if _DIGEST.fullmatch(text) else text


def _text(value: object) -> str:
    """Equal exactly if the values are: 1 is not 1.0, nor True."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False)
