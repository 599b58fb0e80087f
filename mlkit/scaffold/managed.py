"""Managed files: what stands there, and whether it is what this version of mlkit would write.

The first line says which version wrote a file and what to edit instead, the second the digest of the rest.
So a file that was edited by hand is known as such. A file is stale only if its text differs: a new version
of mlkit that would write the same text makes nothing stale.
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import re
from typing import TYPE_CHECKING, Any, Literal

from packaging.version import InvalidVersion, Version

from mlkit.code import DISTRIBUTION, installed_version
from mlkit.errors import ConfigError
from mlkit.frozen import FOLDER, FrozenConfig
from mlkit.production.options import OPTIONS
from mlkit.research.bundle import FILE as BUNDLE
from mlkit.research.bundle import bundle_targets, check_bundle, make_bundle, name_in
from mlkit.scaffold.files import TARGETS, File, managed_files
from mlkit.scaffold.render import render_managed
from mlkit.targets import read_targets

if TYPE_CHECKING:
    from pathlib import Path

    from mlkit.targets import Target

State = Literal["current", "stale", "edited", "newer", "absent"]

_FIRST = re.compile(
    r"# managed by mlkit (?P<version>\S+): edit [^\n]+\n"
    r"# sha256 of what follows: (?P<digest>[0-9a-f]{64})\n"
)


@dataclasses.dataclass(frozen=True)
class Managed:
    """A managed file of a repository.

    Attributes:
        file: Which.
        state: ``current``; ``stale``: this version would write another text; ``edited``: by hand, or never
            mlkit's; ``newer``: stale, and written by a newer mlkit than this; ``absent``.
        text: What this version would write, header and all; empty of one that is absent.
        version: Which mlkit wrote what stands there; empty if that is not known.
        added: Lines that an update would add.
        removed: Lines that it would take out.
    """

    file: File
    state: State
    text: str
    version: str = ""
    added: int = 0
    removed: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Plain values, without the text."""
        names = ("state", "version", "added", "removed")
        return {"path": self.file.path, **{name: getattr(self, name) for name in names}}


def look_at_managed(folder: Path) -> tuple[Managed, ...]:
    """Every managed file of a repository, compared with what this version would write.

    Raises:
        ConfigError: ``mlkit.toml`` or a config under ``models/`` does not load.
        SecurityError: A secret stands in one of them.
    """
    return tuple(_looked_at(file, folder) for file in managed_files())


def managed_text(file: File, folder: Path, *, name: str | None = None) -> str:
    """What this version would write; empty where a repository has no use for the file.

    Args:
        file: A managed file.
        folder: The repository.
        name: Of a bundle that is not there yet; by default that of its first project.

    Raises:
        ConfigError: As for `look_at_managed`.
    """
    targets = _targets(folder)
    if file.path == BUNDLE:
        return _bundle(folder, targets, name)
    return _signed(render_managed(file, targets), file)


def _looked_at(file: File, folder: Path) -> Managed:
    path = folder / file.path
    if not path.is_file():
        return Managed(file, "absent", "")
    found = path.read_bytes().decode("utf-8", errors="replace").replace("\r\n", "\n")
    text = managed_text(file, folder)
    if not text:  # targets for Databricks were taken out
        return Managed(file, "absent", "")
    state, version = _bundle_state(path, text) if file.path == BUNDLE else _state(found, text)
    lines = difflib.ndiff(_body(found).splitlines(), _body(text).splitlines())
    changes = [line for line in lines if line[:2] in ("+ ", "- ")]
    added = sum(line.startswith("+") for line in changes)
    return Managed(file, state, text, version, added=added, removed=len(changes) - added)


def _state(found: str, text: str) -> tuple[State, str]:
    first = _FIRST.match(found)
    if _body(found) == _body(text):
        return "current", first["version"] if first else ""
    if first is None or _digest(_body(found)) != first["digest"]:
        return "edited", first["version"] if first else ""
    return ("newer" if _is_newer(first["version"]) else "stale"), first["version"]


def _bundle_state(path: Path, text: str) -> tuple[State, str]:
    try:
        return ("current" if check_bundle(text, path) else "stale"), ""
    except ConfigError:  # that it was edited is all that is refused there
        return "edited", ""


def _bundle(folder: Path, targets: dict[str, Target], name: str | None) -> str:
    configs = [FrozenConfig.load(path) for path in sorted((folder / FOLDER).glob("*.yaml"))]
    if not configs or not bundle_targets(targets):
        return ""
    return make_bundle(configs, targets, verbs=OPTIONS, name=name_in(folder / BUNDLE) or name)


def _targets(folder: Path) -> dict[str, Target]:
    file = folder / TARGETS
    return read_targets(file) if file.is_file() else read_targets()


def _is_newer(version: str) -> bool:
    try:
        return Version(version) > Version(installed_version(DISTRIBUTION))
    except InvalidVersion:
        return False


def _signed(body: str, file: File) -> str:
    version = installed_version(DISTRIBUTION)
    return (
        f"# managed by mlkit {version}: edit {file.edit}, then run: mlkit init --update\n"
        f"# sha256 of what follows: {_digest(body)}\n{body}"
    )


def _body(text: str) -> str:
    first = _FIRST.match(text)
    return text[first.end() :] if first else text


def _digest(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()
