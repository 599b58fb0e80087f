"""The stores of one project in one workspace, opened together."""

from __future__ import annotations

import dataclasses
from functools import cached_property
from typing import TYPE_CHECKING

from mlkit.console import say
from mlkit.errors import IntegrityError
from mlkit.production.decisions import Decisions
from mlkit.production.ledger import Ledger
from mlkit.production.registry import Registry
from mlkit.tracking.runs import Tracking

if TYPE_CHECKING:
    from mlkit.engines.base import Engine
    from mlkit.production.ledger import Entry
    from mlkit.workspace import Workspace


@dataclasses.dataclass(frozen=True)
class Stores:
    """Where a project's runs, tables, versions and records are."""

    workspace: Workspace
    project: str

    @property
    def engine(self) -> Engine:
        """Where its tables live."""
        return self.workspace.engine

    @cached_property
    def tracking(self) -> Tracking:
        """Its runs."""
        return Tracking(self.workspace)

    @cached_property
    def experiment(self) -> str:
        """Id of its experiment, made if it is not there."""
        return self.tracking.experiment(self.project)

    @cached_property
    def registry(self) -> Registry:
        """Its logged models and versions."""
        return Registry(self.tracking, self.project)

    @cached_property
    def ledger(self) -> Ledger:
        """Its promotions."""
        return Ledger(self.engine, self.project)

    @cached_property
    def decisions(self) -> Decisions:
        """Its gate's records."""
        return Decisions(self.engine, self.project)

    def reconciled_head(self) -> Entry | None:
        """The ledger's head, after pointing the alias at it if a killed run or a hand left it elsewhere.

        Raises:
            IntegrityError: The registry does not hold the model that the ledger names.
        """
        head = self.ledger.head()
        shown = self.registry.champion() if head else None
        if head is None or (shown and (shown.version, shown.model_id) == (head.to_version, head.model_id)):
            return head
        say(f"the alias is not at v{head.to_version}, which the ledger names; it is moved there")
        return self.show_head(head)

    def show_head(self, head: Entry) -> Entry:
        """Point the alias at the ledger's head, also if that moves on meanwhile; gives the head.

        Whoever moves the ledger moves the alias too. Without the second look, the slower of two runs
        would leave it at the version that has been replaced.

        Raises:
            IntegrityError: The registry does not hold the model that the ledger names.
        """
        while True:
            self.check_registered(head)
            self.registry.point_alias(head.to_version)
            newest = self.ledger.head()
            if newest is None or newest.seq == head.seq:
                return head
            head = newest

    def check_registered(self, entry: Entry) -> None:
        """Check that the registry holds the model of an entry under its number.

        Raises:
            IntegrityError: It does not.
        """
        found = self.registry.version(entry.to_version)
        if found is None or found.model_id != entry.model_id:
            state = "no such version" if found is None else f"{found.model_id} under that number"
            message = (
                f"the ledger says that v{entry.to_version} is {entry.model_id}; the registry has {state}"
            )
            fix = "restore the registry from its backup, or make another version the champion: mlkit rollback"
            raise IntegrityError("INT030", message, path=self.project, fix=fix)
