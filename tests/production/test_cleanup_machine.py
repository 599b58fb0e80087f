"""Whatever happens to a production, in any order: cleanup takes nothing that a simple model keeps."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import uuid

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from mlkit.errors import StoreError
from mlkit.failpoints import VARIABLE, InjectedFaultError
from mlkit.production.cleanup.reach import window
from mlkit.production.cleanup.retention import Retention
from mlkit.production.cleanup.sweep import clean_up
from mlkit.production.ledger import Entry
from mlkit.production.marks import MarkList
from mlkit.production.pins import pin, unpin
from tests.production.quick import DAY, Quick, tables_of

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
MOVES = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 4)), min_size=1, max_size=12)
CONTENT = st.tuples(st.integers(1, 3), st.integers(1, 2), st.integers(1, 9))
RETENTIONS = st.builds(
    Retention,
    keep_days=st.sampled_from([0, 0, 60]),
    keep_versions=st.sampled_from([1, 1, 3]),
    grace_days=st.sampled_from([0, 14]),
    models=st.booleans(),
)


def served(entries, now):
    """Each version with the last day on which it served, as a simple reader of the ledger finds it."""
    last = {}
    for entry, until in zip(entries, [*[after.at for after in entries[1:]], now], strict=True):
        last[entry.to_version] = until
    return last


def must_stay(entries, retention, now):
    """Versions that no cleanup may take: written down anew, from the words of the guide."""
    if not entries:
        return set()
    champion = entries[-1].to_version
    first = next(entry for entry in entries if entry.to_version == champion)
    order = []
    for entry in reversed(entries):
        if entry.to_version not in order:
            order.append(entry.to_version)
    recent = {version for version, until in served(entries, now).items() if now - until <= retention.window}
    return {champion, *order[: retention.keep_versions], *recent, first.from_version} - {None}


def ledger_of(moves):
    """A ledger: days that pass, and the version that serves then; new ones get the next number."""
    entries, newest, at = [], 0, START
    for days, wanted in moves:
        at += days * DAY
        version = wanted if 0 < wanted <= newest else newest + 1
        newest = max(newest, version)
        before = entries[-1].to_version if entries else None
        if version == before:
            continue
        entries.append(
            Entry(len(entries) + 1, at, "promotion", "x", "", before, version, *[f"m{version}"] * 5)
        )
    return entries


@settings(max_examples=300, deadline=None)
@given(moves=MOVES, retention=RETENTIONS, later=st.integers(0, 90))
def test_the_window_holds_what_the_guide_promises(moves, retention, later):
    """Neither less nor more, for any history of promotions and rollbacks."""
    entries = ledger_of(moves)
    now = (entries[-1].at if entries else START) + later * DAY
    found = {entry.to_version for entry, _ in window(entries, MarkList("p", ()), retention, now)}
    assert found == must_stay(entries, retention, now)


class Production(RuleBasedStateMachine):
    """Deployments, rollbacks, pins and cleanups on real stores, beside a simple model of them."""

    workspace = None
    folder = None

    @initialize(past=st.lists(st.tuples(st.integers(5, 60), CONTENT, st.booleans()), min_size=4, max_size=4))
    def begin(self, past):
        """A project of its own among the same stores, with a past, for there a cleanup finds something."""
        self.quick = Quick(self.workspace, f"p{uuid.uuid4().hex[:12]}", self.folder)
        self.entries, self.pinned, self.born = [], set(), {}
        for days, content, pinned in past:
            self.deploy(days, content, pinned)

    @rule(days=st.integers(5, 60), content=CONTENT, pinned=st.booleans())
    def deploy(self, days, content, pinned):
        """A new version, perhaps pinned at once; its tables may be those of an earlier one."""
        self.quick.now += days * DAY
        entry = self.quick.promote(*content)
        self.entries.append(entry)
        self.born.update(dict.fromkeys(tables_of(entry), self.quick.now))
        if pinned:
            self.pin_or_unpin(-1)

    @rule(days=st.integers(5, 60), content=CONTENT)
    def refuse(self, days, content):
        """A candidate that is kept out."""
        self.quick.now += days * DAY
        tables = self.quick.tables(*content)
        self.quick.judge(tables, "keep")
        self.born.update({stored["table"]: self.quick.now for stored in tables.values()})

    @rule(days=st.integers(0, 40), choice=st.integers(0, 99))
    def roll_back(self, days, choice):
        """To any version that is still whole."""
        self.quick.now += days * DAY
        there, models = self.quick.there(), self.quick.models()  # its tables may stay for another version
        whole = [entry for entry in self.entries if tables_of(entry) <= there and entry.model_id in models]
        if whole and whole[choice % len(whole)].to_version != self.entries[-1].to_version:
            self.entries.append(self.quick.serve_again(whole[choice % len(whole)]))

    def pin_or_unpin(self, choice):
        """Any version that is still whole."""
        whole = [entry for entry in self.entries if tables_of(entry) <= self.quick.there()]
        if not whole:
            return
        number = whole[choice % len(whole)].to_version
        if number in self.pinned:
            unpin(self.quick.stores, number)
            self.pinned.remove(number)
        else:
            with contextlib.suppress(StoreError):  # a stopped cleanup names it; the pin is what it sees
                pin(self.quick.stores, number, reason="a test")
            self.pinned.add(number)

    @rule(
        days=st.integers(10, 60),
        choice=st.integers(0, 99),
        retention=RETENTIONS,
        stopped=st.sampled_from(["", "", "cleanup.begun", "cleanup.checked", "cleanup.removed"]),
    )
    def clean(self, days, choice, retention, stopped):
        """After a pin was set or taken back; perhaps stopped. What had to stay is there, and nothing old."""
        self.pin_or_unpin(choice)
        self.quick.now += days * DAY
        now = self.quick.now
        versions = must_stay(self.entries, retention, now) | self.pinned
        kept = {table for entry in self.entries if entry.to_version in versions for table in tables_of(entry)}
        young = {table for table, at in self.born.items() if now - at < retention.grace}
        before, models = self.quick.there(), self.quick.models()
        if stopped:
            os.environ[VARIABLE] = f"{stopped}:raise"
        try:
            with contextlib.suppress(InjectedFaultError):
                clean_up(self.quick.stores, retention, now=now)
        finally:
            os.environ.pop(VARIABLE, None)
        after = self.quick.there()
        mine = {table for table in before if f".{self.quick.stores.project}__" in table}
        assert (kept | young) & before <= after
        if not stopped:
            assert mine & after == (kept | young) & mine
        for entry in self.entries:
            if entry.to_version in versions and entry.model_id in models:
                self.quick.stores.registry.verify(entry.model_id, manifest_digest=entry.manifest_digest)

    @invariant()
    def the_champion_is_whole(self):
        """At every moment."""
        if getattr(self, "entries", None):
            champion = self.entries[-1]
            assert tables_of(champion) <= self.quick.there()
            assert self.quick.stores.registry.folder(champion.model_id).is_dir()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_cleanup_takes_nothing_that_has_to_stay(workspace, tmp_path):
    """A state machine over deployments, rollbacks, pins, and cleanups that may be stopped."""
    Production.workspace, Production.folder = workspace, tmp_path / "model"
    run_state_machine_as_test(
        Production,
        settings=settings(
            max_examples=5,
            stateful_step_count=8,
            deadline=None,
            phases=[Phase.generate],  # a shorter story would be nice, and take an hour
            suppress_health_check=list(HealthCheck),
        ),
    )
