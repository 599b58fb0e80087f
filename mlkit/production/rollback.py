"""Rollback: the ledger's head moves to an earlier version, verified first, with a reason.

Versions that were marked bad are passed over. The version that is left may be marked too: before the
ledger moves, so that the word stands even where the move does not come about.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from mlkit.errors import UsageError
from mlkit.failpoints import failpoint
from mlkit.production.ledger import Entry, actor, now
from mlkit.production.marks import mark_version, read_marks
from mlkit.production.outputs import check_outputs_stay, verify_outputs
from mlkit.production.pins import Pins
from mlkit.production.promotion import move_champion
from mlkit.production.repeat import already, entry_report
from mlkit.production.report import Clock, RollbackReport
from mlkit.production.serving.choice import choose_refresher

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlkit.production.attempt import Attempt
    from mlkit.production.marks import MarkList
    from mlkit.production.refresh import Refresher
    from mlkit.production.report import Outcome, RunReport
    from mlkit.production.stores import Stores


@dataclasses.dataclass(frozen=True)
class _Course:
    """Where a rollback goes: `done` if this run of a job has been there before, `named` if it was told."""

    head: Entry
    target: Entry
    done: Entry | None
    passed_over: tuple[str, ...] = ()
    named: bool = False

    @property
    def moves(self) -> bool:
        return self.done is None and self.target.to_version != self.head.to_version

    def left(self, reason: str) -> int | None:
        """The version that is fled from, also if an earlier execution of this command has left it."""
        if self.moves:
            return self.head.to_version
        entry = self.done or self.head
        repeated = entry.kind == "rollback" and entry.reason == reason
        return entry.from_version if self.done or repeated else None


def roll_back(
    stores: Stores,
    *,
    to: int | None = None,
    reason: str,
    mark_bad: bool = False,
    refresher: Refresher | None = None,
    attempt: Attempt | None = None,
) -> RunReport:
    """Make an earlier version the champion again.

    Repeated with the same reason, or by the same run of a job, it finishes what was stopped and goes no
    further back.

    Args:
        stores: Where the project lives.
        to: Version; by default the last one before the champion that is not marked bad.
        reason: Why; kept in the ledger.
        mark_bad: Mark the version that is left, so that it does not serve again.
        refresher: What tells serving; by default what the target has.
        attempt: The execution of a job that asks for it.

    Raises:
        UsageError: No reason, no such version, nothing to go back to, or only what is marked bad.
        IntegrityError: The version's files or tables are not what was recorded.
        RaceLostError: Another run moved the champion meanwhile.
        ServingError: The champion moved, but serving does not answer with it; repeating goes on there.
    """
    if not reason.strip():
        raise UsageError("CLI025", "a rollback needs a reason", path="reason", fix="--reason '...'")
    clock = Clock()
    with clock.step("plan") as said:
        course = _course(stores, to, reason, attempt)
        said.append(f"v{course.head.to_version} -> v{course.target.to_version}")
        notes = [*course.passed_over, *(_marked(stores, course, reason) if mark_bad else ())]
        said.extend(notes)
    with clock.step("promote") as said:
        entry, champion = _moved(stores, course, reason, attempt)
        said.append(f"v{champion.to_version} serves by ledger entry {champion.seq}")
    with clock.step("refresh") as said:
        said.append((refresher or choose_refresher(stores)).refresh(stores.project, champion).message)
    report = _report(stores, course, entry, reason, clock)
    return RollbackReport(**{**vars(report), "notes": tuple(notes), "previous": entry.from_version})


def _course(stores: Stores, to: int | None, reason: str, attempt: Attempt | None) -> _Course:
    entries = stores.ledger.entries()
    if not entries:
        raise UsageError("CLI006", "nothing was ever promoted", path=stores.project, fix="mlkit deploy first")
    head = entries[-1]
    if done := _done_before(entries, to, attempt):
        return _Course(head, done, done)
    marks = read_marks(stores)
    if to is None:
        return _back(entries, reason, attempt, marks)
    return _Course(head, _named(entries, to, marks), None, named=True)


def _marked(stores: Stores, course: _Course, reason: str) -> list[str]:
    """Mark the version that is left; the sentence that says so."""
    left = course.left(reason)
    if left is None:
        message = f"v{course.head.to_version} serves already, so no version is left that could be marked"
        fix = f"mlkit mark {stores.project} VERSION --reason ... marks any"
        raise UsageError("CLI073", message, path="mark-bad", fix=fix)
    sentence = mark_version(stores, left, reason=reason).sentence
    failpoint("rollback.marked")
    return [sentence]


def _moved(stores: Stores, course: _Course, reason: str, attempt: Attempt | None) -> tuple[Entry, Entry]:
    """The entry of this rollback, and the one that serves."""
    if not course.moves:
        return course.done or course.head, stores.show_head(course.head)
    target = course.target
    if course.named:  # the version before is always left by cleanup, any other one is held first
        Pins(stores.engine, stores.project).hold(f"v{target.to_version}", reason="a rollback to it")
    verify_outputs(stores, target.model_id, manifest_digest=target.manifest_digest, evidence=target.evidence)
    check_outputs_stay(stores, target)
    entry = _entry(target, course.head, reason)
    return entry, move_champion(stores, entry, attempt=attempt)


def _report(stores: Stores, course: _Course, entry: Entry, reason: str, clock: Clock) -> RunReport:
    if course.done:
        return entry_report(
            "promoted", stores, course.done, seconds=clock.seconds, reasons=already(course.done)
        )
    outcome: Outcome = "promoted" if course.moves else "unchanged"
    reasons = [reason if course.moves else "it serves already"]
    return entry_report(outcome, stores, entry, seconds=clock.seconds, reasons=reasons)


def _done_before(entries: Sequence[Entry], to: int | None, attempt: Attempt | None) -> Entry | None:
    """The rollback that this run of a job has made already, unless it is asked for another version now."""
    done = attempt.made(entries, "rollback") if attempt else None
    return done if done and to in (None, done.to_version) else None


def _named(entries: Sequence[Entry], to: int, marks: MarkList) -> Entry:
    """The last entry of the version that was asked for."""
    if isinstance(to, bool) or not isinstance(to, int) or to < 1:
        raise UsageError("CLI004", f"a version is a whole number from 1, found {to!r}", path="to")
    if to == entries[-1].to_version:
        return entries[-1]
    found = [entry for entry in entries if entry.to_version == to]
    if not found:
        served = ", ".join(f"v{number}" for number in sorted({entry.to_version for entry in entries}))
        raise UsageError("CLI005", f"v{to} never served", path="to", fix=f"one of {served}")
    if mark := marks.of(found[-1]):
        fix = f"another version; or first mlkit mark {marks.project} {mark.version} --unmark --reason ..."
        raise UsageError("CLI070", mark.sentence, path="to", fix=fix)
    return found[-1]


def _back(entries: Sequence[Entry], reason: str, attempt: Attempt | None, marks: MarkList) -> _Course:
    """To the version that the champion replaced: never a later one, which was rolled back itself.

    If that one is marked bad, to the one which that one replaced, and so on.
    """
    head = entries[-1]
    outside = attempt is None or not attempt.job_run  # a job run is known by its number
    repeated = head.kind == "rollback" and (head.reason, head.actor) == (reason, actor())
    if outside and repeated and marks.of(head) is None:
        return _Course(head, head, None)  # this very command, repeated after it was stopped
    number = head.to_version
    passed_over: list[str] = []
    while True:
        before = replaced_by(number, entries)
        if before is None:
            raise _nothing_left(head, passed_over)
        mark = marks.of(before)
        if mark is None:
            return _Course(head, before, None, tuple(passed_over))
        passed_over.append(mark.sentence)
        number = before.to_version


def replaced_by(number: int, entries: Sequence[Entry]) -> Entry | None:
    """The last entry of the version that served when this one came first."""
    first = next(entry for entry in entries if entry.to_version == number)
    before = [entry for entry in entries if entry.to_version == first.from_version]
    return before[-1] if before else None


def _nothing_left(head: Entry, passed_over: Sequence[str]) -> UsageError:
    fix = "name a version that served: --to N; mlkit history lists them"
    if passed_over:
        return UsageError("CLI070", f"nothing is left: {'; '.join(passed_over)}", path="to", fix=fix)
    return UsageError("CLI006", f"v{head.to_version} replaced no other version", path="to", fix=fix)


def _entry(target: Entry, head: Entry, reason: str) -> Entry:
    return dataclasses.replace(
        target,
        seq=head.seq + 1,
        at=now(),
        kind="rollback",
        actor=actor(),
        reason=reason,
        from_version=head.to_version,
    )
