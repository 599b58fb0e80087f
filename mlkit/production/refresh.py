"""The seam to what serves: told of a new champion, then asked until it answers with it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from mlkit.production.ledger import Entry


@dataclasses.dataclass(frozen=True)
class Refreshed:
    """What serving answered: the version, and a sentence for people."""

    version: int | None
    message: str


class Refresher(Protocol):
    """Brings serving to the champion. Called after the ledger moved; repeating it does no harm."""

    def refresh(self, model: str, champion: Entry) -> Refreshed:
        """Tell serving of the champion and wait until it answers with it.

        Raises:
            ServingError: It did not converge; the champion stays what it is.
        """
        ...


class NoRefresher:
    """Nothing serves beside the registry: whoever reads the alias reads the champion."""

    def refresh(self, model: str, champion: Entry) -> Refreshed:
        """Nothing to tell."""
        shown = f"models:/{model}@champion is v{champion.to_version}"
        return Refreshed(champion.to_version, f"no server to tell; {shown}")


if TYPE_CHECKING:
    _: Refresher = NoRefresher()
