"""The holder: the one model that a process answers with, replaced as a whole or not at all.

It follows the head of the ledger. A new head is copied, compared with its manifest, loaded and asked to
answer its stored example before one reference is replaced; whoever answers a request reads that once.
Whatever fails on the way leaves the model that serves where it is, is shown, and is tried again later. When
the stores are away at the start, the last model that served here does so again.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import secrets
import threading
from typing import TYPE_CHECKING, Any

from mlkit.console import say
from mlkit.errors import MlkitError, StudyError, UsageError
from mlkit.production.scorer import read_scorer
from mlkit.production.service.modules import ModelCode
from mlkit.production.service.rehearse import rehearse
from mlkit.production.service.shelf import Chosen, Shelf

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mlkit.production.scorer import Scorer
    from mlkit.production.service.shelf import Copy
    from mlkit.production.stores import Stores

POLL_SECONDS = 30.0
START_SECONDS = 20.0
_MOST_PATIENT = 8  # times the poll, after failures
_FIRST_SECONDS = 1.0  # while there is no model at all


@dataclasses.dataclass(frozen=True, eq=False)
class Served:
    """A model that answers.

    Attributes:
        scorer: It.
        batchable: Whether it answered its stored rows bit by bit the same alone and together.
        since: Since when this process answers with it.
        trial: Id of the run where it is a trial's, which is not for production.
        copy: Holds its files on disk.
    """

    scorer: Scorer
    batchable: bool
    since: dt.datetime
    trial: str | None = None
    copy: Copy | None = dataclasses.field(default=None, repr=False)

    def facts(self) -> dict[str, Any]:
        """What it is, as plain values."""
        return {
            "version": self.scorer.version,
            "model_id": self.scorer.model_id,
            "seq": self.scorer.seq,
            "manifest_digest": self.scorer.manifest_digest,
            "task": self.scorer.task,
            "batchable": self.batchable,
            "since": self.since.isoformat(),
            "production": self.trial is None,
            **({"trial": self.trial} if self.trial else {}),
        }


@dataclasses.dataclass(frozen=True)
class RefreshResult:
    """What a look at the ledger led to.

    Attributes:
        changed: Whether another entry serves now.
        version: What serves; None if nothing does.
        seq: Its ledger entry.
        error: Why the head does not serve, if so; the code comes first.
    """

    changed: bool
    version: int | None
    seq: int | None
    error: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return dataclasses.asdict(self)


class Holder:
    """Holds the champion of a project.

    Attributes:
        current: What serves; None if nothing does. Read it once for a request.
    """

    def __init__(
        self,
        stores: Stores,
        *,
        folder: Path,
        poll_seconds: float = POLL_SECONDS,
        start_seconds: float = START_SECONDS,
        clock: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
    ) -> None:
        """Nothing is loaded yet.

        Args:
            stores: Where the project lives.
            folder: Where copies of its models are kept; shared by the processes of this machine.
            poll_seconds: How often the ledger is looked at.
            start_seconds: How long a start waits for the stores before it takes what is on disk.
            clock: The time, for people.

        Raises:
            StoreError: The folder cannot be made (STO073).
        """
        self.current: Served | None = None
        self._stores, self._shelf = stores, Shelf(folder)
        self._poll_seconds, self._start_seconds, self._clock = poll_seconds, start_seconds, clock
        self._one = threading.Lock()  # one refresh at a time
        self._swap = threading.Lock()
        self._looked, self._stop = threading.Event(), threading.Event()
        self._confirmed_at: dt.datetime | None = None
        self._head_seq: int | None = None
        self._error: MlkitError | None = None
        self._failures = 0
        self._thread = threading.Thread(target=self._follow, name="mlkit-holder", daemon=True)

    @property
    def state(self) -> dict[str, Any]:
        """What serves, since when, and what hinders it from being the newest; plain values."""
        current, error = self.current, self._error
        return {
            "project": self._stores.project,
            "ready": current is not None,
            "stale": current is not None and self._confirmed_at is None,
            "degraded": error is not None,
            "error": error and {"code": error.code, "message": error.message},
            "failures": self._failures,
            "following": self._thread.is_alive(),
            "head_seq": self._head_seq,
            "confirmed_at": self._confirmed_at and self._confirmed_at.isoformat(),
            **(current.facts() if current else {}),
        }

    def start(self) -> None:
        """Begin to follow the ledger; gives back when a model serves, or none can be had for now."""
        self._thread.start()
        self._looked.wait(self._start_seconds)
        if self.current is None and (last := self._shelf.last()):
            try:
                self._put(self._load(last), only_if_empty=True)
            except MlkitError as exc:
                say(f"the last model on disk does not serve: {exc}")

    def refresh(self, *, wanted_seq: int | None = None) -> RefreshResult:
        """Bring what serves to the head of the ledger, now.

        Args:
            wanted_seq: If this entry or a later one serves already nothing is asked.

        Returns:
            What serves now; never raises what hinders it.
        """
        with self._one:
            before = self.current
            if not (wanted_seq and before and before.scorer.seq >= wanted_seq and self._confirmed_at):
                self._look()
            now, error = self.current, self._error
        told = f"[{error.code}] {error.message}" if error else None
        if now is None:
            return RefreshResult(changed=False, version=None, seq=None, error=told)
        changed = before is None or now.scorer.seq != before.scorer.seq
        return RefreshResult(changed, now.scorer.version, now.scorer.seq, told)

    def close(self) -> None:
        """Follow no more; what serves stays in place."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(timeout=self._start_seconds)

    def _follow(self) -> None:
        while True:
            self.refresh()
            self._looked.set()
            if self._stop.wait(self._pause()):
                return

    def _pause(self) -> float:
        """Seconds until the next look: spread, longer after failures, short while there is nothing."""
        jitter = 0.8 + secrets.randbelow(400) / 1000
        longer = min(2.0**self._failures, _MOST_PATIENT)
        if self.current is None:
            return min(_FIRST_SECONDS * longer, self._poll_seconds) * jitter
        return self._poll_seconds * longer * jitter

    def _look(self) -> None:
        try:
            head = self._stores.ledger.head()
            if head is None:
                fix = f"mlkit deploy {self._stores.project}"
                raise UsageError("CLI050", "nothing serves yet", path=self._stores.project, fix=fix)
            self._head_seq = head.seq
            self._bring(Chosen.of(head))
        except MlkitError as exc:
            self._failures += 1
            if self._error is None or self._error.code != exc.code:
                say(f"what serves does not follow the ledger: {exc}")
            self._error = exc
        else:
            self._error, self._failures = None, 0
            self._confirmed_at = self._clock()

    def _bring(self, head: Chosen) -> None:
        """Let a head serve, unless it does."""
        current = self.current
        if current is not None and _chosen_of(current.scorer) == head:
            return
        if current is not None and _is_same_model(current.scorer, head):  # by another entry
            scorer = dataclasses.replace(current.scorer, seq=head.seq, version=head.version)
            self._shelf.remember(head)
            self._put(dataclasses.replace(current, scorer=scorer))
            return
        served = self._load(head)
        self._shelf.remember(head)
        previous = self._put(served)
        self._shelf.tidy(head, *([_chosen_of(previous.scorer)] if previous else []))

    def _load(self, chosen: Chosen) -> Served:
        registry = self._stores.registry
        copy = self._shelf.take(chosen, lambda place: registry.copy(chosen.model_id, place))
        return _opened(copy, chosen, since=self._clock())

    def _put(self, served: Served, *, only_if_empty: bool = False) -> Served | None:
        """Replace the one reference; gives what it was."""
        with self._swap:
            previous = self.current
            if not (only_if_empty and previous):
                self.current = served
        return previous


def _opened(copy: Copy, chosen: Chosen, *, since: dt.datetime) -> Served:
    """Load a copy and let it answer its example.

    Raises:
        MlkitError: It is not what was recorded, or does not load or answer.
    """
    code = ModelCode(copy.folder)
    try:
        with code.loading():
            scorer = read_scorer(copy.folder, **dataclasses.asdict(chosen), kept=code.kept)
        scorer = dataclasses.replace(scorer, code=code.running)
        return Served(scorer, rehearse(scorer), since, copy=copy)
    except SystemExit as exc:
        message, fix = "the model's code left the process while it was loaded", "remove sys.exit() from it"
        raise StudyError("RUN018", message, path=f"v{chosen.version}", fix=fix) from exc


def _is_same_model(scorer: Scorer, chosen: Chosen) -> bool:
    return (scorer.model_id, scorer.manifest_digest) == (chosen.model_id, chosen.manifest_digest)


def _chosen_of(scorer: Scorer) -> Chosen:
    return Chosen(scorer.version, scorer.model_id, scorer.seq, scorer.manifest_digest)
