"""Files of models from remote stores: one folder a process, gone when the process ends."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import url2pathname

import mlflow.artifacts

from mlkit.tracking.owner import is_running

if TYPE_CHECKING:
    from mlkit.workspace import Workspace

_PREFIX = "mlkit-models-"


def local_path(location: str) -> Path | None:
    """The folder of a location that lies on this machine; None for any other."""
    parts = urlsplit(location)
    return Path(url2pathname(parts.path)) if parts.scheme in ("", "file") else None


def fetch_once(location: str, name: str, workspace: Workspace) -> Path:
    """The copy of a folder that never changes; whole or not there, also if threads or errors come between.

    Args:
        location: Address of the folder.
        name: What tells it from all others, whatever store they are in.
        workspace: Whose store it is.
    """
    place = _copies() / name
    if not place.exists():
        draft = download(location, tempfile.mkdtemp(dir=_copies()), workspace)
        try:
            draft.rename(place)
        except OSError:
            if not place.exists():  # else another thread was faster
                raise
    return place


def download(location: str, place: str, workspace: Workspace) -> Path:
    """Fetch a folder now."""
    uris = {"tracking_uri": workspace.tracking_uri, "registry_uri": workspace.registry_uri}
    return Path(mlflow.artifacts.download_artifacts(artifact_uri=location, dst_path=place, **uris))


def left_copies() -> list[Path]:
    """Folders of copies in the temporary directory whose process has ended: it was killed."""
    found = Path(tempfile.gettempdir()).glob(f"{_PREFIX}*-*")
    numbered = [(folder, folder.name.removeprefix(_PREFIX).partition("-")[0]) for folder in found]
    return sorted(folder for folder, number in numbered if number.isdigit() and not is_running(int(number)))


def remove_copies(folder: Path) -> None:
    """Remove one of these."""
    if folder in left_copies():
        shutil.rmtree(folder, ignore_errors=True)


@functools.cache
def _copies() -> Path:
    folder = tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)
