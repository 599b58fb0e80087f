"""A pure-Python wheel, written by hand: without network or build backend, the same bytes everywhere.

A wheel is a zip archive with a few small files of metadata. What could differ between two machines
is fixed here: the order of entries, their times and permissions. Nothing is compressed, since two
builds of zlib need not agree.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import re
import zipfile
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from mlkit.code import content_digest
from mlkit.document import replace_file
from mlkit.errors import ConfigError, SecurityError, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the oldest time that a zip archive can hold
_UNIX = 3
_READABLE_FILE = 0o100644 << 16  # Unix permissions stand in the upper half
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_GROUP = re.compile(r"\w+(\.\w+)*", re.ASCII)
_ENTRY = re.compile(r"[\w.-]+", re.ASCII)
_OBJECT = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*(:[^\W\d]\w*(\.[^\W\d]\w*)*)?")
_NO_ENTRY_POINTS: Mapping[str, Mapping[str, str]] = {}
_WHEEL = "Wheel-Version: 1.0\nGenerator: mlkit\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def write_wheel(
    folder: Path,
    *,
    name: str,
    version: str,
    files: Mapping[str, bytes],
    requires: Sequence[str] = (),
    entry_points: Mapping[str, Mapping[str, str]] = _NO_ENTRY_POINTS,
    requires_python: str = "",
    summary: str = "",
) -> Path:
    """Write ``<name>-<version>-py3-none-any.whl``; the same arguments give the same bytes.

    The archive appears under its name complete and durable, or not at all.

    Args:
        folder: Where the wheel goes; made if it does not exist.
        name: Distribution name; the file name carries its normalised form.
        version: PEP 440 version; a local label such as ``1.0+d0123ab`` is kept.
        files: Posix path inside the wheel -> content.
        requires: PEP 508 requirements, in the order in which they are to be listed.
        entry_points: Group -> name -> ``module:attribute``.
        requires_python: PEP 440 specifiers such as ``>=3.11``; empty for any.
        summary: One line of description.

    Returns:
        The file that was written.

    Raises:
        ConfigError: A name, version, requirement or entry point is malformed (CFG009).
        SecurityError: A path leads out of the wheel, or to where files act by themselves (SEC006).
        StoreError: The folder cannot be written (STO041).
    """
    version = _version(version)
    stem = f"{_distribution(name)}-{version}"
    info = f"{stem}.dist-info"
    _check_paths(files)
    entries = dict(files)
    entries[f"{info}/METADATA"] = _metadata(name, version, requires, requires_python, summary)
    entries[f"{info}/WHEEL"] = _WHEEL.encode()
    if entry_points:
        entries[f"{info}/entry_points.txt"] = _entry_points(entry_points)
    entries[f"{info}/RECORD"] = _record(entries, f"{info}/RECORD")
    return _publish(folder / f"{stem}-py3-none-any.whl", _archive(entries))


def content_version(files: Mapping[str, bytes]) -> str:
    """A version that names the content: ``1.0+d`` and 12 hex digits of the digest of all files."""
    return f"1.0+d{content_digest(files)[:12]}"


def _distribution(name: str) -> str:
    """The form of a distribution name that file names use, after checking it."""
    if not _NAME.fullmatch(name):
        raise _malformed("name", name, "letters, digits, '.', '_' and '-', e.g. flight-delay")
    return re.sub(r"[-_.]+", "_", name).lower()


def _version(version: str) -> str:
    try:
        return str(Version(version))
    except InvalidVersion as exc:
        raise _malformed("version", version, "a PEP 440 version, e.g. 1.0+d0123ab") from exc


def _malformed(path: str, found: str, expected: str) -> ConfigError:
    return ConfigError("CFG009", f"expected {expected}; found {found!r}", path=path, fix="correct the value")


def _check_paths(paths: Iterable[str]) -> None:
    for path in paths:
        parts = path.split("/")
        # Installers put .data folders anywhere, and Python runs the others at every start.
        top = parts[0].lower().removesuffix(".py")
        special = top.endswith((".dist-info", ".data", ".pth")) or top in {"sitecustomize", "usercustomize"}
        outside = not all(part.strip(". ") for part in parts) or "\\" in path or ":" in path
        if special or outside or not path.isprintable():
            raise SecurityError(
                "SEC006",
                f"expected a plain relative path inside the wheel, found {path!r}",
                path="files",
                fix="use names below the import root, with '/' between them",
            )


def _metadata(name: str, version: str, requires: Sequence[str], requires_python: str, summary: str) -> bytes:
    _check_requirements(requires, requires_python)
    fields = [("Metadata-Version", "2.1"), ("Name", name), ("Version", version), ("Summary", summary)]
    fields += [("Requires-Python", requires_python), *(("Requires-Dist", each) for each in requires)]
    for field, value in fields:
        if value and not value.isprintable():
            raise _malformed(field, value, "one line of text")
    return "".join(f"{field}: {value}\n" for field, value in fields if value).encode()


def _check_requirements(requires: Sequence[str], requires_python: str) -> None:
    try:
        SpecifierSet(requires_python)
    except InvalidSpecifier as exc:
        raise _malformed("requires_python", requires_python, "specifiers such as '>=3.11'") from exc
    for requirement in requires:
        try:
            Requirement(requirement)
        except InvalidRequirement as exc:
            raise _malformed("requires", requirement, "a requirement such as 'numpy==2.1.0'") from exc


def _entry_points(entry_points: Mapping[str, Mapping[str, str]]) -> bytes:
    return "\n".join(_section(group, entry_points[group]) for group in sorted(entry_points)).encode()


def _section(group: str, entries: Mapping[str, str]) -> str:
    if not _GROUP.fullmatch(group):
        raise _malformed("entry_points", group, "a group such as 'console_scripts'")
    for name, target in entries.items():
        if not _ENTRY.fullmatch(name) or not _OBJECT.fullmatch(target):
            raise _malformed(f"entry_points.{group}", f"{name} = {target}", "name = module:attribute")
    return f"[{group}]\n" + "".join(f"{name} = {entries[name]}\n" for name in sorted(entries))


def _record(entries: Mapping[str, bytes], own_path: str) -> bytes:
    """The list of all files with their digests; its own line has none."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for path in sorted(entries):
        digest = base64.urlsafe_b64encode(hashlib.sha256(entries[path]).digest()).decode().rstrip("=")
        writer.writerow((path, f"sha256={digest}", len(entries[path])))
    writer.writerow((own_path, "", ""))
    return text.getvalue().encode()


def _archive(entries: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(entries):
            header = zipfile.ZipInfo(path, _EPOCH)
            header.create_system = _UNIX
            header.external_attr = _READABLE_FILE
            archive.writestr(header, entries[path])
    return buffer.getvalue()


def _publish(path: Path, content: bytes) -> Path:
    try:
        replace_file(path, content)
    except OSError as exc:
        cause = exc.strerror or type(exc).__name__
        raise StoreError(
            "STO041",
            f"cannot write {path.name}: {cause}",
            path=str(path.parent),
            fix="make room or choose another folder",
        ) from exc
    return path
