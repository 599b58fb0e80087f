"""What one look at a serving endpoint shows, and the config that an endpoint shall have."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, NamedTuple

from databricks.sdk.service.serving import (
    EndpointStateConfigUpdate,
    EndpointStateReady,
    Route,
    ServedEntityInput,
    TrafficConfig,
)

from mlkit.production.serving.client import in_short

if TYPE_CHECKING:
    from databricks.sdk.service.serving import (
        EndpointCoreConfigOutput,
        EndpointPendingConfig,
        ServedEntityOutput,
        ServingEndpointDetailed,
    )

    from mlkit.targets import ServingTarget

_FAILED = (EndpointStateConfigUpdate.UPDATE_FAILED, EndpointStateConfigUpdate.UPDATE_CANCELED)


class Served(NamedTuple):
    """A version of a model; the catalog sees no difference between upper and lower case."""

    model: str
    version: str

    @classmethod
    def of(cls, entity: ServedEntityOutput) -> Served:
        """What an entity of an endpoint is."""
        return cls((entity.entity_name or "").lower(), entity.entity_version or "")


@dataclasses.dataclass(frozen=True)
class Sight:
    """What one look showed.

    Attributes:
        state: Of the last update: ``NOT_UPDATING``, ``IN_PROGRESS``, ``UPDATE_FAILED``, ``UPDATE_CANCELED``.
        ready: Whether it answers.
        served: What gets its traffic.
        pending: What the last update is or was to.
        mark: Differs from one update to the next.
        reason: What the platform says about the pending versions.
        current: The served entities in full.
    """

    state: EndpointStateConfigUpdate | None
    ready: bool
    served: frozenset[Served]
    pending: frozenset[Served]
    mark: tuple[object, ...]
    reason: str
    current: tuple[ServedEntityOutput, ...]

    @property
    def idle(self) -> bool:
        """Whether an update would be taken."""
        return self.state is not EndpointStateConfigUpdate.IN_PROGRESS

    def failed_since(self, mark: tuple[object, ...], wanted: Served) -> bool:
        """Whether an update to a version came to nothing after the look with that mark."""
        failed = self.state in _FAILED
        return failed and self.mark != mark and self.pending in ({wanted}, frozenset())

    def __str__(self) -> str:
        """For a message."""
        serves = ", ".join(sorted(f"v{one.version}" for one in self.served)) or "nothing"
        state = self.state.value if self.state else "of unknown state"
        return f"{state} and {'ready' if self.ready else 'not ready'}, serves {serves}"


ABSENT = Sight(None, ready=False, served=frozenset(), pending=frozenset(), mark=(), reason="", current=())
"""What a look at an endpoint shows that is not there."""


def look(endpoint: ServingEndpointDetailed) -> Sight:
    """Read what the API says about an endpoint."""
    state, pending = endpoint.state, endpoint.pending_config
    config = endpoint.config
    return Sight(
        state=state.config_update if state else None,
        ready=bool(state and state.ready is EndpointStateReady.READY),
        served=frozenset(map(Served.of, _with_traffic(config))),
        pending=frozenset(map(Served.of, (pending.served_entities if pending else None) or ())),
        mark=(
            state and state.config_update,
            config and config.config_version,
            pending and (pending.config_version, pending.start_time),
        ),
        reason=_reason(pending or config),
        current=tuple(config.served_entities or ()) if config else (),
    )


def entity_of(
    served: Served, serving: ServingTarget, current: tuple[ServedEntityOutput, ...]
) -> ServedEntityInput:
    """The entity that serves a version; what a hand has set on the one before it is kept.

    Args:
        served: The version.
        serving: Size and sleep, as the target has them.
        current: The entities that serve now.
    """
    before = next((entity for entity in current if Served.of(entity).model == served.model), None)
    return ServedEntityInput(
        name=f"{served.model.rpartition('.')[2]}-{served.version}",
        entity_name=served.model,
        entity_version=served.version,
        workload_size=serving.workload_size,
        scale_to_zero_enabled=serving.scale_to_zero,
        workload_type=before.workload_type if before else None,
        environment_vars=before.environment_vars if before else None,
        instance_profile_arn=before.instance_profile_arn if before else None,
    )


def all_traffic_to(entity: ServedEntityInput) -> TrafficConfig:
    """Routes that send everything to one entity."""
    return TrafficConfig(routes=[Route(served_model_name=entity.name, traffic_percentage=100)])


def _with_traffic(config: EndpointCoreConfigOutput | None) -> list[ServedEntityOutput]:
    entities = (config.served_entities if config else None) or []
    routes = (config.traffic_config.routes if config and config.traffic_config else None) or []
    named = {
        route.served_entity_name or route.served_model_name for route in routes if route.traffic_percentage
    }
    return [entity for entity in entities if not routes or entity.name in named]


def _reason(config: EndpointCoreConfigOutput | EndpointPendingConfig | None) -> str:
    states = [entity.state for entity in (config.served_entities if config else None) or () if entity.state]
    said = [state.deployment_state_message for state in states if state.deployment_state_message]
    return in_short("; ".join(said))
