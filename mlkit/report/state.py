"""What serves, since when, and how it came there: read off the ledger once, said in several sections."""

from __future__ import annotations

import dataclasses
import itertools
from typing import TYPE_CHECKING

from mlkit.production.rollback import replaced_by

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterator, Sequence

    from mlkit.production.decisions import Decision
    from mlkit.production.ledger import Entry
    from mlkit.production.marks import MarkList
    from mlkit.report.context import Context


@dataclasses.dataclass(frozen=True)
class Term:
    """The time in which a version served without a break.

    Attributes:
        version: The version.
        since: When it began.
        until: When another took its place; None if it serves still.
        entries: What the ledger says of that time: how it came, then new code and rules.
    """

    version: int
    since: dt.datetime
    until: dt.datetime | None
    entries: tuple[Entry, ...]

    @property
    def first(self) -> Entry:
        """How it came."""
        return self.entries[0]


def terms(entries: Sequence[Entry]) -> list[Term]:
    """Who served when, oldest first; a clock that went back counts from the entry before."""
    began = list(itertools.accumulate((entry.at for entry in entries), max))
    found: list[Term] = []
    for at, entry in zip(began, entries, strict=True):
        if found and found[-1].first.model_id == entry.model_id and found[-1].version == entry.to_version:
            found[-1] = dataclasses.replace(found[-1], entries=(*found[-1].entries, entry))
            continue
        if found:
            found[-1] = dataclasses.replace(found[-1], until=at)
        found.append(Term(entry.to_version, at, None, (entry,)))
    return found


def serving_term(context: Context) -> Term | None:
    """The time in which what serves now has served."""
    found = terms(context.entries)
    return found[-1] if found else None


def way_back(entries: Sequence[Entry], marks: MarkList) -> Entry | None:
    """Where a rollback goes that is not told where to: the last version before that is not marked bad."""
    number = entries[-1].to_version if entries else 0
    for _ in entries:
        before = replaced_by(number, entries)
        if before is None or marks.of(before) is None:
            return before
        number = before.to_version
    return None


def judged_as(context: Context, entry: Entry) -> Decision | None:
    """The decision that let the model of an entry serve; None if its record is gone."""
    found = [
        decision
        for decision in context.decisions
        if decision.outcome == "promote" and decision.record["candidate"]["model_id"] == entry.model_id
    ]
    return found[-1] if found else None


def version_of(context: Context, decision: Decision) -> int | None:
    """Number of the version that a judged model got; None of one that never served."""
    model_id = decision.record["candidate"]["model_id"]
    return next((entry.to_version for entry in context.entries if entry.model_id == model_id), None)


def next_steps(context: Context) -> Iterator[str]:
    """What to type next in a project in which nothing serves."""
    name = context.project
    if context.frozen is not None:
        yield f"mlkit plan {name}"
        yield f"mlkit deploy {name} --reason 'the first one'"
    elif any(run.status == "FINISHED" for run in context.study_runs):
        yield "config = project.freeze(study.best, gate=Gate(threshold=...))"
        yield f"mlkit deploy {name}"
    else:
        yield "snapshot = project.snapshot(dataframe)"
        yield "study = project.study(search, snapshot, trials=20)"
