"""Keeps a serving endpoint at the champion: look, compare, act, look again, until it answers with it.

Nothing is assumed from a request that was sent: only what a look shows counts. So a lost answer, an update
by somebody else and a run that was killed half way all end the same way, and an endpoint that serves the
champion is sent nothing.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, NamedTuple

from databricks.sdk.errors import NotFound, PermissionDenied, Unauthenticated
from databricks.sdk.service.serving import EndpointCoreConfigInput

from mlkit.console import say
from mlkit.errors import ServingError, UsageError
from mlkit.production.refresh import Refreshed
from mlkit.production.serving.client import NO_ANSWER, is_refusal, words_of
from mlkit.production.serving.endpoint import ABSENT, Served, all_traffic_to, entity_of, look
from mlkit.production.serving.pace import Pace

if TYPE_CHECKING:
    from collections.abc import Callable

    from databricks.sdk import WorkspaceClient
    from databricks.sdk.service.serving import ServingEndpointsAPI

    from mlkit.production.ledger import Entry
    from mlkit.production.refresh import Refresher
    from mlkit.production.serving.endpoint import Sight
    from mlkit.targets import ServingTarget

_AGAIN = "deploy again: it goes on from here"


@dataclasses.dataclass(frozen=True)
class DatabricksRefresher:
    """Brings an endpoint of Databricks to the champion.

    Attributes:
        client: Opens the workspace; called when there is a champion to tell of.
        endpoint: Its name; it is created if it is not there.
        model: Full name of the registered model, with catalog and schema where there are any.
        serving: Size of the endpoint, and how long to wait.
        newest: Reads the ledger's head, so that a version is never brought back which was replaced
            meanwhile.
    """

    client: Callable[[], WorkspaceClient]
    endpoint: str
    model: str
    serving: ServingTarget
    newest: Callable[[], Entry | None] = lambda: None

    def refresh(self, model: str, champion: Entry) -> Refreshed:  # noqa: ARG002 - the project's name
        """Bring the endpoint to the champion, or to the one that replaced it meanwhile.

        Raises:
            ServingError: It does not answer with it in time (NET001), its update failed (NET002), or the
                workspace refused (NET003 to NET006) or did not answer (NET007). What served before
                serves on.
        """
        try:
            client = self.client()
        except UsageError as exc:
            raise ServingError("NET006", exc.message, path=self.endpoint, fix=exc.fix) from exc
        pace = Pace(client.config.clock, self.serving.timeout_seconds)
        return _Course(self, client.serving_endpoints, pace).run(champion)

    def newer(self, champion: Entry) -> Entry:
        """The champion, or the one that the ledger names since."""
        head = self.newest()
        return head if head is not None and head.seq > champion.seq else champion


class _Request(NamedTuple):
    """What was sent, and the mark of the update before it."""

    wanted: Served
    mark: tuple[object, ...]


@dataclasses.dataclass
class _Course:
    """One refresh."""

    made: DatabricksRefresher
    api: ServingEndpointsAPI
    pace: Pace
    sent: _Request | None = None
    trouble: str = ""
    told: str = ""

    def run(self, champion: Entry) -> Refreshed:
        """Look and act until the endpoint answers with the champion."""
        while True:
            sight = self._look()
            if sight is not None and sight.idle:
                champion = self.made.newer(champion)
                wanted = Served(self.made.model.lower(), str(champion.to_version))
                if sight.served != {wanted}:
                    self._send(wanted, sight)
                elif sight.ready:
                    message = f"endpoint {self.made.endpoint} answers with v{champion.to_version}"
                    return Refreshed(champion.to_version, message)
            if self.pace.over:
                raise self._late(champion, sight)
            self.pace.wait()

    def _look(self) -> Sight | None:
        """What the endpoint shows; None if there was no answer this time."""
        try:
            sight = look(self.api.get(self.made.endpoint))
        except NotFound:
            return ABSENT
        except NO_ANSWER as exc:
            self._note(exc)
            return None
        if not sight.idle and str(sight) != self.told:
            self.told = str(sight)
            say(f"endpoint {self.made.endpoint}: {sight}")
        return sight

    def _send(self, wanted: Served, sight: Sight) -> None:
        """Ask for a version, unless that was asked before and came to nothing."""
        if self.sent and self.sent.wanted == wanted and sight.failed_since(self.sent.mark, wanted):
            message = f"the update to v{wanted.version} ended as {sight}: {sight.reason or 'no reason given'}"
            fix = "look at its logs on the endpoint's page, then deploy again; or mlkit rollback"
            raise ServingError("NET002", message, path=self.made.endpoint, fix=fix)
        self.sent = _Request(wanted, sight.mark)
        entity = entity_of(wanted, self.made.serving, sight.current)
        traffic = all_traffic_to(entity)
        try:
            if sight is ABSENT:
                config = EndpointCoreConfigInput(
                    name=self.made.endpoint, served_entities=[entity], traffic_config=traffic
                )
                self.api.create(self.made.endpoint, config=config)
            else:
                self.api.update_config(self.made.endpoint, served_entities=[entity], traffic_config=traffic)
        except NO_ANSWER as exc:  # it may have been taken all the same: the next look tells
            self._note(exc)

    def _note(self, error: Exception) -> None:
        """Remember an error that may pass; one that will not ends the refresh."""
        if is_refusal(error):
            raise self._refused(error) from error
        self.trouble = words_of(error)

    def _refused(self, error: Exception) -> ServingError:
        where, said = self.made.endpoint, words_of(error)
        match error:
            case PermissionDenied():
                fix = "grant CAN_MANAGE on the endpoint and EXECUTE on the model, then deploy again"
                return ServingError(
                    "NET003", f"the workspace does not permit it: {said}", path=where, fix=fix
                )
            case NotFound():
                fix = f"does the workspace see {self.made.model}? then deploy again"
                return ServingError("NET004", f"the workspace does not find it: {said}", path=where, fix=fix)
            case Unauthenticated() | ValueError():
                fix = "databricks auth login, or renew the token; then deploy again"
                return ServingError("NET006", f"the credentials do not count: {said}", path=where, fix=fix)
        fix = "correct [targets.NAME.serving], then deploy again"
        return ServingError("NET005", f"the workspace refuses the config: {said}", path=where, fix=fix)

    def _late(self, champion: Entry, sight: Sight | None) -> ServingError:
        seconds, where = f"{self.pace.seconds:.0f} s", self.made.endpoint
        if sight is None:
            message = f"the workspace did not answer for {seconds}: {self.trouble}"
            return ServingError("NET007", message, path=where, fix=_AGAIN)
        trouble = f"; last trouble: {self.trouble}" if self.trouble else ""
        message = f"expected v{champion.to_version} to answer, found after {seconds}: {sight}{trouble}"
        return ServingError("NET001", message, path=where, fix=_AGAIN)


if TYPE_CHECKING:
    _: type[Refresher] = DatabricksRefresher
