"""What a worker is told, and where a service keeps its files."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

from mlkit.production.service.limits import Settings
from mlkit.production.stores import Stores
from mlkit.workspace import open_workspace

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Self


@dataclasses.dataclass(frozen=True)
class Assignment:
    """What one worker is told; plain values.

    Attributes:
        target: Name of the stores.
        home: Their folder on this machine.
        config: The file of targets; empty without one.
        project: What is served.
        trial: Id of a study's run to serve instead of the champion; empty without.
        board: Folder in which the workers of this service see each other.
        listener: File number of the socket that listens.
        settings: Bounds.
    """

    target: str
    home: str
    config: str
    project: str
    trial: str
    board: str
    listener: int
    settings: Settings

    @classmethod
    def of(cls, stores: Stores, settings: Settings, *, trial: str, board: Path, listener: int) -> Self:
        """What to tell a worker that shall serve from these stores."""
        space = stores.workspace
        config = str(space.config or "")
        return cls(
            space.target, str(space.home), config, stores.project, trial, str(board), listener, settings
        )

    @classmethod
    def from_text(cls, text: str) -> Self:
        """What `to_text` wrote."""
        values = json.loads(text)
        return cls(**{**values, "settings": Settings(**values["settings"])})

    def to_text(self) -> str:
        """On one line."""
        return json.dumps(dataclasses.asdict(self))

    def stores(self) -> Stores:
        """The stores that it names."""
        return Stores(open_workspace(self.target, home=self.home, config=self.config or None), self.project)


def serving_folder(stores: Stores) -> Path:
    """Where a service keeps copies of models, and what it has answered and is not logged yet."""
    folder: Path = stores.workspace.folder / "serving" / stores.project
    return folder
