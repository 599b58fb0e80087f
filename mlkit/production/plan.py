"""What a deployment would do, and why: a new model, new code only, or nothing."""

from __future__ import annotations

import dataclasses
import hashlib
import html
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mlkit import document
from mlkit.frozen import FOLDER
from mlkit.production.changes import find_changes, inputs_of, touched_by

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlkit.frozen import FrozenConfig
    from mlkit.production.build import Build
    from mlkit.production.changes import Change
    from mlkit.production.decisions import Decision
    from mlkit.production.ledger import Entry

Kind = Literal["primary", "secondary", "nothing"]

EXIT_PRIMARY = 5
EXIT_SECONDARY = 6
_ID_DIGITS = 8
_FIELD, _EXCHANGE, _PLACE = 44, 60, 60  # widths up to which columns grow


@dataclasses.dataclass(frozen=True)
class Outlook:
    """What a deployment would find and leave behind, as far as that is known before it.

    Attributes:
        creates: What it would store: ``train 439 rows``, ``test_predictions``, ``model version``.
        reuses: What it would find stored already.
        tables: Number of tables among `creates`.
        moves: The pointer that could move and under which condition; empty if none.
        needs: What it needs, and how that stands.
    """

    creates: tuple[str, ...] = ()
    reuses: tuple[str, ...] = ()
    tables: int = 0
    moves: str = ""
    needs: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return dataclasses.asdict(self)


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
        target: Name of the stores.
        config: How a command names the config: the project, or the path of another file than its own.
        changes: Every input that differs from the champion's, those that make a new model first.
        unchanged: The inputs that do not, each in a few words.
        pins: Digests of config, code, data, environment and champion, by which a saved plan goes stale.
        outlook: What it would find, store and move.
        saved: Where the plan was saved; empty of one that was not.
        settled: The earlier decision that makes this ``nothing``, if there is one.
    """

    kind: Kind
    reasons: tuple[str, ...]
    model: str
    run_key: str
    champion: int | None
    train_rows: int
    test_rows: int
    target: str = ""
    config: str = ""
    changes: tuple[Change, ...] = ()
    unchanged: Mapping[str, str] = dataclasses.field(default_factory=dict)
    pins: Mapping[str, str] = dataclasses.field(default_factory=dict)
    outlook: Outlook = dataclasses.field(default_factory=Outlook)
    saved: str = ""
    settled: Decision | None = dataclasses.field(default=None, repr=False, compare=False)

    @property
    def exit_code(self) -> int:
        """What `mlkit plan --exit-code` exits with: 5 for primary, 6 for secondary, 0 for nothing."""
        return {"primary": EXIT_PRIMARY, "secondary": EXIT_SECONDARY, "nothing": 0}[self.kind]

    @property
    def plan_id(self) -> str:
        """8 hex digits of all that the plan was made of: equal for plans that mean the same."""
        text = json.dumps([self.target, self.model, dict(self.pins)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:_ID_DIGITS]

    @property
    def headline(self) -> str:
        """Its first line: ``flight_delay -> prod    primary: a new model is needed``."""
        to = destination(self.model, self.target)
        if self.kind == "nothing":
            return f"{to}    nothing: {self.reasons[0]}"
        if self.kind == "secondary":
            return f"{to}    secondary: code or rules only; model v{self.champion} stays"
        first = "nothing serves yet, so " if self.champion is None else ""
        return f"{to}    primary: {first}a new model is needed"

    @property
    def summary(self) -> str:
        """One counted line, whose form stays as it is for scripts that read it."""
        return counted_line(self.kind, tables=self.outlook.tables, models=int(self.kind == "primary"))

    def text(self, *, everything: bool = False) -> str:
        """The plan for people.

        Args:
            everything: Also the inputs that are unchanged, which else are only counted.
        """
        if self.kind == "nothing" and not everything:
            return self.headline
        lines = [self.headline, *_table(self.changes), *self._other_reasons()]
        if everything:
            lines += [
                f"    {name:<{_width(self.unchanged)}}  {said}" for name, said in self.unchanged.items()
            ]
        elif self.changes and self.unchanged:
            lines.append(f"    {_count(len(self.unchanged), 'more input')} unchanged (--all)")
        lines += self._outlook()
        lines.append(f"{self.summary}{f'  Saved as plan {self.saved}.' if self.saved else ''}")
        return "\n".join([*lines, *self._next()])

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        same = (
            "kind",
            "reasons",
            "model",
            "run_key",
            "champion",
            "train_rows",
            "test_rows",
            "target",
            "saved",
        )
        return {
            **{name: getattr(self, name) for name in same},
            "plan_id": self.plan_id,
            "changes": [change.to_dict() for change in self.changes],
            "unchanged": dict(self.unchanged),
            "pins": dict(self.pins),
            "outlook": self.outlook.to_dict(),
            "summary": self.summary,
        }

    def __repr__(self) -> str:
        """Kind and reason first, then what changed, what it would store and move, and a counted line."""
        return self.text()

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(repr(self))}</pre>"

    def _other_reasons(self) -> list[str]:
        """Reasons that no changed input stands for."""
        told = {change.sentence for change in self.changes} | {"nothing serves yet"}
        return [f"  ! {reason}" for reason in self.reasons if reason not in told and self.kind != "nothing"]

    def _outlook(self) -> list[str]:
        seen = self.outlook
        reused = f"   ({', '.join(seen.reuses)} stored already)" if seen.reuses else ""
        lines = (
            [f"would create   {'   '.join(f'+ {what}' for what in seen.creates)}{reused}"]
            if seen.creates
            else []
        )
        lines += [f"could move     > {seen.moves}"] if seen.moves else []
        return [*lines, *([f"needs          {'   '.join(seen.needs)}"] if seen.needs else [])]

    def _next(self) -> list[str]:
        if self.kind == "nothing":
            return []
        where = f" --target {self.target}" if self.target not in ("", "local") else ""
        command = f"Next: mlkit deploy {self.config or self.model}{where}"
        if not self.saved:
            return [command]
        return [
            f"{command} --plan {self.saved}     (refused if config, code, data or champion change before)"
        ]


def make_plan(build: Build, head: Entry | None, settled: Decision | None, *, target: str = "") -> Plan:
    """Compare a build with the champion.

    Args:
        build: Rows and digests of the config.
        head: The ledger's head; None before the first promotion.
        settled: An earlier decision about this very run that still stands.
        target: Name of the stores.
    """
    changes = find_changes(build, head) if head else []
    kind, reasons = _kind(build, head, settled, changes)
    inputs = inputs_of(build)
    for change in changes:
        inputs.pop(touched_by(change, build), None)
    return Plan(
        kind=kind,
        reasons=tuple(reasons),
        model=build.config.name,
        run_key=build.run_key,
        champion=head.to_version if head else None,
        train_rows=build.rows[0],
        test_rows=build.rows[1],
        target=target,
        config=_named(build.config),
        changes=tuple(changes),
        unchanged=inputs if head else {},
        pins=_pins(build, head),
        settled=settled,
    )


def destination(model: str, target: str) -> str:
    """``flight_delay -> prod``, with which a plan begins."""
    return f"{model} -> {target}" if target else model


def counted_line(kind: str, *, tables: int = 0, models: int = 0) -> str:
    """The line with which a plan ends; a new model is one version and may move one alias."""
    created = f"{_count(tables, 'table')} and {_count(models, 'version')} to create, 0 to drop"
    return f"Plan: {kind}; {created}, {_count(models, 'alias', 'aliases')} may move."


def _kind(
    build: Build, head: Entry | None, settled: Decision | None, changes: list[Change]
) -> tuple[Kind, list[str]]:
    if head is not None and head.run_key == build.run_key:
        return "nothing", [f"v{head.to_version} already is this config, code and data"]
    if head is not None and head.model_key == build.model_key:
        return "secondary", [change.sentence for change in changes]
    if settled is not None:
        return "nothing", [_settled_reason(settled, head)]
    if head is None:
        return "primary", ["nothing serves yet"]
    return "primary", [change.sentence for change in changes if change.effect == "new model"]


def _settled_reason(settled: Decision, head: Entry | None) -> str:
    serves = f"v{head.to_version} serves" if head else "nothing serves"
    said = {
        "promote": "it was promoted before",
        "keep": "it was judged before and the champion kept",
        "reject": "it was judged before and rejected",
    }[settled.outcome]
    return f"this config, code and data are known: {said} ({settled.at:%Y-%m-%d %H:%M}); {serves}"


def _named(config: FrozenConfig) -> str:
    own = Path(FOLDER) / f"{config.name}.yaml"
    if config.path is None or config.path.absolute() == own.absolute():
        return config.name
    return document.near(config.path)


def _pins(build: Build, head: Entry | None) -> dict[str, str]:
    environment = json.dumps(dict(build.environment), sort_keys=True)
    return {
        "config": build.config.digest,
        "code": build.code,
        "data": " ".join(build.fingerprints),
        "environment": hashlib.sha256(environment.encode()).hexdigest(),
        "champion": f"v{head.to_version} by ledger entry {head.seq}" if head else "none",
    }


def _table(changes: tuple[Change, ...]) -> list[str]:
    """A line for each changed input, in columns."""
    cells = [(change.field, change.exchange, change.place or change.note) for change in changes]
    widths = [
        min(max((len(row[index]) for row in cells), default=0), most)
        for index, most in enumerate((_FIELD, _EXCHANGE, _PLACE))
    ]
    lines = []
    for change, row in zip(changes, cells, strict=True):
        text = "   ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
        lines.append(f"  ~ {text}   {change.effect}")
    return lines


def _width(names: Mapping[str, str]) -> int:
    return max(map(len, names), default=0)


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or f'{one}s'}"
