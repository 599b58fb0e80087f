"""The stores of one project in one workspace, opened together."""

from __future__ import annotations

import dataclasses
from functools import cached_property
from typing import TYPE_CHECKING

from mlkit.console import say
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
        """The ledger's head, after pointing the alias at it if a killed run or a hand left it elsewhere."""
        head = self.ledger.head()
        if head is not None and self.registry.alias() != head.to_version:
            self.registry.point_alias(head.to_version)
            say(f"the alias was not at v{head.to_version}, which the ledger names; it is now")
        return head
