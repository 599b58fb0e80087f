"""The file of targets: found, read strictly, and refused if a secret stands in it."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlkit import document
from mlkit.errors import ConfigError, NamingError, SecurityError
from mlkit.targets.forms import unknown_key
from mlkit.targets.target import Target

LOCAL = "local"
CONFIG = "MLKIT_CONFIG"
FILE = "mlkit.toml"

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_TOML_PLACE = re.compile(r" ?\(at (line (\d+), column \d+|end of document)\)")

# Of a variable, or of a setting of Spark: those of Azure and S3 are parted by dots.
_SECRET_KEY = re.compile(
    r"(^|[_.-])(token|passwd|pwd|secret|pat|api[_-]?key|private[_-]?key|credentials?)([_.-]|$)"
    r"|(access|account)[_.-]?key([_.-]|$)|passphrase|password|_pass$|\.sas\.",
    re.IGNORECASE,
)
_SECRET_URI = re.compile(r"://[^\s/?#\"']*@|[;?&][\w-]*(token|password|secret|key)=", re.IGNORECASE)
_REFERENCE = re.compile(r"\{\{secrets/[^\s{}]+\}\}")  # Databricks fills it in on the cluster


def read_targets(path: Path | str | None = None) -> dict[str, Target]:
    """Read all targets; `local` is always among them.

    Args:
        path: The file; by default the one that ``MLKIT_CONFIG`` names, or the nearest ``mlkit.toml``.

    Raises:
        ConfigError: The file cannot be read (CFG001) or is no TOML (CFG040), an unknown key (CFG006), a
            wrong value (CFG009), an address that is none (CFG015), schemas that are one (CFG016), not
            UTF-8 (CFG020), stores that do not work together (CFG041) or fields that exclude or need
            each other (CFG042).
        NamingError: A name that the stores refuse (NAM002).
        SecurityError: A secret stands in the file (SEC003), or in an address (SEC005).
    """
    file = Path(path).expanduser() if path is not None else find_config()
    targets = {LOCAL: Target()}
    if file is None:
        return targets
    values = _parsed(file)
    for name, described in values.items():
        targets[name] = _target(name, described, path=f"{file}: targets.{name}")
    return targets


def find_config() -> Path | None:
    """The file of targets: what ``MLKIT_CONFIG`` names, or the nearest at or above the working directory."""
    if named := os.environ.get(CONFIG):
        return Path(named).expanduser()
    for folder in (here := Path.cwd(), *here.parents):
        if (folder / FILE).is_file():
            return folder / FILE
        if (folder / ".git").exists():  # a file above the repository is somebody else's
            return None
    return None


def _target(name: str, described: object, *, path: str) -> Target:
    if not _NAME.fullmatch(name):
        message = f"a target is named by a lowercase letter, then a to z, 0 to 9, _ or -; found {name!r}"
        raise NamingError("NAM002", message, path=path, fix="e.g. [targets.prod]")
    target = Target.from_values(described, path=path)
    known = {"alert", "fetch_gb"} | ({"serving"} if target.serving and target.serving.replicas else set())
    if name == LOCAL and (more := sorted(set(target.dump()) - known)):
        message = f"{LOCAL!r} is the folder of local stores and takes no {more[0]}"
        raise ConfigError("CFG042", message, path=f"{path}.{more[0]}", fix="describe another target")
    return target


def _parsed(file: Path) -> dict[str, Any]:
    """The tables of targets by name, free of secrets; each mistake is shown with its place."""
    try:
        text = document.decoded(file.read_bytes(), str(file))
    except OSError as exc:
        message = f"cannot read the file: {exc.strerror}"
        raise ConfigError("CFG001", message, path=str(file), fix=f"check {CONFIG} and the path") from exc
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        found = _TOML_PLACE.search(str(exc))
        where = f"{file}:{found[2] or len(text.splitlines()) or 1}" if found else str(file)
        message = f"not valid TOML: {_TOML_PLACE.sub('', str(exc))}"
        raise ConfigError("CFG040", message, path=where, fix="correct the line") from exc
    _refuse_secrets(values, f"{file}: ")
    if secret := document.SECRET.search(text):  # in a comment
        place = f"{file}:{text.count(chr(10), 0, secret.start()) + 1}"
        raise SecurityError(
            "SEC003", "the line looks like a secret", path=place, fix="revoke it and remove it"
        )
    for key in values:
        if key != "targets":
            raise unknown_key(key, ["targets"], path=f"{file}: {key}")
    targets = values.get("targets", {})
    if not isinstance(targets, dict):
        raise ConfigError("CFG009", "expected tables", path=f"{file}: targets", fix="e.g. [targets.prod]")
    return targets


def _refuse_secrets(value: object, path: str) -> None:
    """Look at every key and text of the file, known or not, before anything else is said about them."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            where = f"{path}{key}" if path.endswith(" ") else f"{path}.{key}"
            if _SECRET_KEY.search(key) and isinstance(inner, str) and not _REFERENCE.fullmatch(inner):
                fix = "take it out; name a profile, or set the variable that the client itself reads"
                raise SecurityError("SEC003", "a key of this name holds a secret", path=where, fix=fix)
            _refuse_secrets(inner, where)
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            _refuse_secrets(inner, f"{path}.{place}")
    elif isinstance(value, str):
        if _SECRET_URI.search(value):
            fix = "take it out and revoke it; clients read it from their environment"
            raise SecurityError("SEC005", "the address holds a user or a secret", path=path, fix=fix)
        if document.SECRET.search(value):
            fix = "revoke it and take it out; name a profile instead"
            raise SecurityError("SEC003", "the value looks like a secret", path=path, fix=fix)
