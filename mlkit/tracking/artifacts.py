"""Reading back what runs left: small texts, wherever the store keeps them."""

from __future__ import annotations

import tempfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from mlkit.tracking.copies import download, local_path
from mlkit.tracking.store import translated

if TYPE_CHECKING:
    from mlkit.tracking.runs import Tracking


def read_text(tracking: Tracking, run_id: str, path: str) -> str | None:
    """A text artifact of a run; None if it is not there.

    Args:
        tracking: Where the run is.
        run_id: The run.
        path: Place among its artifacts, e.g. ``study.json``.

    Raises:
        StoreError: The store is away.
    """
    with translated(f"read {path} of a run"):
        root = str(tracking.client.get_run(run_id).info.artifact_uri)
        if (folder := local_path(root)) is not None:
            file = folder / path
            return file.read_text(encoding="utf-8") if file.is_file() else None
        parent = PurePosixPath(path).parent.as_posix()
        listed = tracking.client.list_artifacts(run_id, None if parent == "." else parent)
        if path not in {artifact.path for artifact in listed}:
            return None
        with tempfile.TemporaryDirectory(prefix="mlkit-artifact-") as place:
            copy: Path = download(f"{root}/{path}", place, tracking.workspace)
            return copy.read_text(encoding="utf-8")
