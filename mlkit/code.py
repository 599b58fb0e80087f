"""The user's own code: how it is named, found, carried elsewhere and identified.

A frozen config names code as ``package.module:Name`` and never pickles it. So the same name must
give the same code in a notebook, in a worker process and in the wheel on a cluster. This room turns
names into objects and back, lists the files that such a name needs, and reduces them to a digest.

Code is the user's if its source file lies neither in the standard library nor among installed
packages, or if it came with a wheel that mlkit built (its metadata has the group `WHEEL_GROUP`).
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import difflib
import functools
import hashlib
import importlib
import importlib.machinery
import importlib.metadata
import importlib.util
import inspect
import os
import platform
import re
import subprocess
import sys
import sysconfig
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from mlkit.boundary import quiet_pandera
from mlkit.errors import ConfigError, SecurityError, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

DISTRIBUTION = "mlkit-sdk"
"""What mlkit is installed as."""
WHEEL_GROUP = "mlkit.configs"
MAX_DATA_BYTES = 1024 * 1024
GIT_TIMEOUT_SECONDS = 30

# Formats that hold values only: neither programs, nor keys and certificates, travel by accident.
_SETTINGS = frozenset({".cfg", ".ini", ".json", ".jsonl", ".sql", ".toml", ".txt", ".typed", ".yaml", ".yml"})
DATA_SUFFIXES = _SETTINGS | {".arrow", ".csv", ".feather", ".gz", ".npy", ".npz", ".parquet", ".tsv", ".xml"}

# A cluster has its own Spark on the import path, outside of any folder of installed packages.
_NEVER_THE_USERS = frozenset({"mlkit", "__main__", "pyspark", "py4j", "dbruntime"})
_INSTALLED = frozenset({"site-packages", "dist-packages"})
_GIT_LOOKS_AT_BYTES = 8000


def load_object(reference: str) -> object:
    """The object that ``package.module:Qualified.name`` names; imports the module.

    Args:
        reference: Module and name, separated by one colon.

    Raises:
        ConfigError: Malformed (CFG022), module missing or stopped at an import (CFG023), or no such
            name in it (CFG024).
    """
    module_name, qualified_name = _parts(reference)
    found: object = _imported(module_name, reference)
    for name in qualified_name.split("."):
        found = _member(found, name, reference)
    return found


def load_function(reference: str) -> object:
    """The object that a config names as code to call: anything but the standard library's.

    Raises:
        SecurityError: The reference names the standard library (SEC004).
        ConfigError: As `load_object`.
    """
    module_name, name = _parts(reference)
    # A dot in the name would reach into what a module happens to import: `my_module:os.system`.
    if _is_library(module_name) or "." in name:
        raise _not_yours(reference)
    found = load_object(reference)
    if _is_library(getattr(found, "__module__", None) or ""):
        raise _not_yours(reference)
    return found


def _is_library(module_name: str) -> bool:
    return module_name.partition(".")[0] in sys.stdlib_module_names


def _not_yours(reference: str) -> SecurityError:
    return SecurityError(
        "SEC004",
        "expected a function of your own module, found one of the standard library or a nested name",
        path=reference,
        fix="write a function of your own around it, where a reviewer sees it",
    )


def _parts(reference: str) -> tuple[str, str]:
    module_name, _, qualified_name = reference.partition(":")
    if not all(name.isidentifier() for name in (*module_name.split("."), *qualified_name.split("."))):
        raise ConfigError(
            "CFG022",
            f"expected 'package.module:Name', found {reference!r}",
            fix="write the module, a colon and the name in it, e.g. flight_delay:prepare",
        )
    return module_name, qualified_name


def _imported(module_name: str, reference: str) -> object:
    try:
        with quiet_pandera():
            return importlib.import_module(module_name)
    except (ImportError, SyntaxError) as exc:
        missing = exc.name if isinstance(exc, ModuleNotFoundError) else None
        if missing and f"{module_name}.".startswith(f"{missing}."):
            raise _not_found(missing, reference) from exc
        raise ConfigError(
            "CFG023",
            f"module {module_name!r}, which {reference!r} needs, was found but does not import: {exc}",
            fix=f"install {missing!r}" if missing else "correct that line",
        ) from exc


def _not_found(module_name: str, reference: str) -> ConfigError:
    return ConfigError(
        "CFG023",
        f"no module {module_name!r}, which {reference!r} needs",
        fix="run from the folder that holds it, or put it under src/",
    )


def _member(owner: object, name: str, reference: str) -> object:
    try:
        found: object = getattr(owner, name)
    except AttributeError as exc:
        near = difflib.get_close_matches(name, dir(owner), n=1)
        fix = f"did you mean {near[0]!r}?" if near else "check the spelling, or define it there"
        where = getattr(owner, "__name__", type(owner).__name__)
        raise ConfigError("CFG024", f"{where!r} has no {name!r}, which {reference!r} needs", fix=fix) from exc
    return found


def reference_of(obj: object) -> str:
    """The name ``package.module:Qualified.name`` under which another process can import `obj`.

    Raises:
        ConfigError: It has no such name (CFG025): a lambda, a nested function, something of the
            notebook or script itself, a partial, a bound method, or an object hidden by another.
    """
    name = getattr(obj, "__qualname__", None) or getattr(obj, "__name__", None)
    # Ufuncs of older numpy have no module of their own; their type's module holds them by name.
    module_name = getattr(obj, "__module__", None) or type(obj).__module__
    if obstacle := _obstacle(obj, name, module_name):
        raise _unreferable(f"{name or type(obj).__name__} is {obstacle}")
    reference = f"{module_name}:{name}"
    try:
        found = load_object(reference)
    except ConfigError as exc:
        raise _unreferable(f"{reference!r} does not import: {exc.message}") from exc
    if found is not obj:
        raise _unreferable(f"{reference!r} imports another object than the one given")
    return reference


def _obstacle(obj: object, name: str | None, module_name: str) -> str:
    """What keeps an object from being imported by name; empty if nothing is seen."""
    if isinstance(obj, functools.partial | functools.partialmethod):
        return "a partial"
    if inspect.ismethod(obj):
        return "a method bound to an object"
    if not isinstance(name, str):
        return "an object without a name of its own"
    if "<lambda>" in name:
        return "a lambda"
    if "<locals>" in name:
        return "defined inside a function"
    return "defined in the notebook or script that runs" if module_name == "__main__" else ""


def _unreferable(cause: str) -> ConfigError:
    return ConfigError(
        "CFG025",
        f"expected a function or class that another process can import; {cause}",
        fix="define it at the top of a module, e.g. flight_delay.py, and import it from there",
    )


def is_user_module(name: str) -> bool:
    """Whether a module is the user's own code, told by its top-level package alone.

    A folder without ``__init__.py`` is not: any folder in the working directory would pass for one.
    """
    return _user_source(name.partition(".")[0]) is not None


def _user_source(top: str) -> Path | None:
    """Source file of a top-level module or package of the user; None if it is not theirs."""
    spec = None if top in _NEVER_THE_USERS else _spec(top)
    if spec is None or not spec.has_location or spec.origin is None:
        return None
    source = Path(spec.origin).absolute()
    if source.suffix != ".py" or not source.is_file():
        return None
    root = source.parent.parent if spec.submodule_search_locations else source.parent
    return source if _is_user_root(root, top) else None


def _spec(top: str) -> importlib.machinery.ModuleSpec | None:
    if top in sys.stdlib_module_names:
        # The standard one is often loaded already; only the path tells of a file that hides it.
        return importlib.machinery.PathFinder.find_spec(top)
    try:
        return importlib.util.find_spec(top)
    except ValueError:  # a module made by hand, which has no spec
        return None


def _is_user_root(root: Path, top: str) -> bool:
    """Whether a folder on the import path holds `top` as the user's code."""
    packages = list(root.glob("*.dist-info"))
    # Few packages are of mlkit's making: the long lists of files of the others are not read.
    ours = [folder for folder in packages if f"[{WHEEL_GROUP}]" in _text(folder / "entry_points.txt")]
    if any(_records(folder, top) for folder in ours):
        return True
    standard = Path(sysconfig.get_path("stdlib")).resolve()
    if _INSTALLED.intersection(root.parts) or root.resolve().is_relative_to(standard):
        return False
    return not any(_records(folder, top) for folder in packages)


def _records(dist_info: Path, top: str) -> bool:
    lines = _text(dist_info / "RECORD").splitlines()
    return any(line.startswith((f"{top}/", f"{top}.py,")) for line in lines)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def user_files(references: Iterable[str]) -> dict[str, Path]:
    """Every file of the user that the references need in order to be imported elsewhere.

    A package travels whole: its ``.py`` files and its data files (`DATA_SUFFIXES`, up to
    `MAX_DATA_BYTES` each) without hidden ones; a top-level module travels alone. Imports are
    followed, those inside functions too; modules that are imported by a computed name are not seen.

    Args:
        references: ``package.module:Name``; those of installed packages add nothing.

    Returns:
        Posix path relative to the import root -> file, in path order.

    Raises:
        ConfigError: A module is missing or unreadable (CFG023), is what runs itself (CFG025), is called
            like a standard one (CFG026), or lies in a folder without ``__init__.py`` (CFG028).
    """
    waiting = [_referenced_top(reference) for reference in references]
    found: dict[str, dict[str, Path]] = {}
    while waiting:
        top = waiting.pop()
        if top not in found:
            found[top] = _files_of(top)
            waiting.extend(_imported_tops(found[top]))
    return dict(sorted(item for files in found.values() for item in files.items()))


def _referenced_top(reference: str) -> str:
    top = _parts(reference)[0].partition(".")[0]
    if top == "__main__":
        raise _unreferable(f"{reference!r} is defined in the notebook or script that runs")
    if top not in sys.builtin_module_names and _spec(top) is None:
        raise _not_found(top, reference)
    return top


def _files_of(top: str) -> dict[str, Path]:
    """Files of one top-level name; none if it is not the user's."""
    source = _user_source(top)
    if source is None:
        _refuse_bare_folder(top)
        return {}
    if top in sys.stdlib_module_names:
        raise ConfigError(
            "CFG026",
            f"your own {top!r} is called like a module of the standard library",
            path=top,
            fix="rename it: elsewhere, the standard one would be imported in its place",
        )
    if source.name != "__init__.py":
        return {source.name: source}
    inside = ((path.relative_to(source.parent.parent), path) for path in source.parent.rglob("*"))
    return {name.as_posix(): path for name, path in inside if _travels(name, path)}


def _refuse_bare_folder(top: str) -> None:
    spec = None if top in sys.stdlib_module_names else _spec(top)
    if spec is None or spec.origin is not None:
        return
    for folder in map(Path, spec.submodule_search_locations or ()):
        if _is_user_root(folder.absolute().parent, top) and any(folder.rglob("*.py")):
            raise ConfigError(
                "CFG028",
                f"expected a package, found a folder {top!r} without __init__.py, which cannot travel",
                path=top,
                fix=f"add an empty file {top}/__init__.py",
            )


def _travels(name: Path, path: Path) -> bool:
    if any(part.startswith(".") or part == "__pycache__" for part in name.parts) or not path.is_file():
        return False
    suffix = path.suffix.lower()
    return suffix == ".py" or (suffix in DATA_SUFFIXES and path.stat().st_size <= MAX_DATA_BYTES)


def third_party(files: Mapping[str, Path]) -> list[str]:
    """Top-level modules that the files import, installed or not, neither the user's nor standard."""
    own = {name.partition("/")[0].removesuffix(".py") for name in files}
    others = _imported_tops(files) - own - sys.stdlib_module_names
    return sorted(top for top in others if not is_user_module(top))


def _imported_tops(files: Mapping[str, Path]) -> set[str]:
    sources = ((name, path) for name, path in files.items() if name.endswith(".py"))
    return {imported.partition(".")[0] for name, path in sources for imported in _imports(name, path)}


def _imports(name: str, path: Path) -> Iterator[str]:
    """Absolute imports of a file; relative ones stay inside a package that travels whole."""
    for node in ast.walk(_tree(name, path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def _tree(name: str, path: Path) -> ast.Module:
    try:
        with warnings.catch_warnings(action="ignore"):  # they are shown when the code runs
            return ast.parse(path.read_bytes(), filename=name)
    except (SyntaxError, ValueError) as exc:  # ValueError: NUL bytes, before Python 3.12
        raise ConfigError("CFG023", f"expected Python: {exc}", path=name, fix="correct that line") from exc


def code_digest(files: Mapping[str, Path]) -> str:
    """64 hex digits over every path and its bytes; CRLF in text counts as LF, for checkouts on Windows."""
    return content_digest({name: _canonical(path.read_bytes()) for name, path in files.items()})


def content_digest(contents: Mapping[str, bytes]) -> str:
    """64 hex digits over paths and bytes, each preceded by its length; independent of order."""
    digest = hashlib.sha256(b"mlkit files 1\n")
    for name in sorted(contents):
        for part in (name.encode(), contents[name]):
            digest.update(len(part).to_bytes(8, "big"))
            digest.update(part)
    return digest.hexdigest()


def _canonical(content: bytes) -> bytes:
    # Git decides in this way which files are text, and so which ones a checkout may rewrite.
    is_text = b"\0" not in content[:_GIT_LOOKS_AT_BYTES]
    return content.replace(b"\r\n", b"\n") if is_text else content


def pinned(modules: Iterable[str]) -> list[str]:
    """``name==version`` of the installed distributions that provide top-level modules, sorted.

    A module without a distribution is left out; one with several (a namespace) names them all.
    """
    providers = importlib.metadata.packages_distributions()
    found = {provider for module in modules for provider in providers.get(module, ())}
    names = {_normalised(provider) for provider in found}
    return sorted(f"{name}=={importlib.metadata.version(name)}" for name in names)


def installed_version(distribution: str) -> str:
    """Version of a distribution, ``absent`` if it is not installed; of ``python``, the minor version."""
    if distribution == "python":
        return ".".join(platform.python_version_tuple()[:2])
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "absent"


def modules_of(distributions: Iterable[str]) -> list[str]:
    """Top-level modules that installed distributions provide, sorted."""
    found: set[str] = set()
    for name in distributions:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found.update(_modules_in(importlib.metadata.distribution(name)))
    return sorted(found)


def _modules_in(distribution: importlib.metadata.Distribution) -> set[str]:
    """What a distribution says that it provides; what does not say is known by its files."""
    if declared := (distribution.read_text("top_level.txt") or "").split():
        return set(declared)
    files = distribution.files or []
    named = {file.parts[0] if len(file.parts) > 1 else inspect.getmodulename(file) for file in files}
    return {name for name in named if name and name.isidentifier()} - {"__pycache__"}


def _normalised(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()


@dataclasses.dataclass(frozen=True)
class GitState:
    """What git says about a folder.

    Attributes:
        commit: Hash of the commit that is checked out; None without git, repository or commit.
        dirty: Changed tracked files and untracked ``.py`` files, relative to the repository's root.
    """

    commit: str | None
    dirty: tuple[str, ...]


def git_state(folder: Path, *, exclude: Sequence[str] = ("models",)) -> GitState:
    """The commit that a folder stands at and what differs from it, in the whole repository.

    Args:
        folder: Any folder of the repository.
        exclude: Folders, relative to `folder`, whose changes do not count; ``.mlkit`` never counts.

    Raises:
        StoreError: Git did not answer in `GIT_TIMEOUT_SECONDS` (STO040).
    """
    left_out = (":(exclude,top,glob)**/.mlkit/**", *(f":(exclude,literal){name}" for name in exclude))
    entries = _git_status(folder, ":/", *left_out).split("\0")
    commit = next((entry.split()[2] for entry in entries if entry.startswith("# branch.oid ")), None)
    dirty = sorted(path for path in map(_dirty_path, entries) if path)
    return GitState(None if commit == "(initial)" else commit, tuple(dirty))


def _git_status(folder: Path, *pathspecs: str) -> str:
    # A file system monitor is a program that the repository names; a status must not run one.
    git = ("git", "-C", os.fspath(folder), "-c", "core.fsmonitor=false")
    status = ("status", "--porcelain=v2", "--branch", "-z", "--no-renames", "--untracked-files=all")
    env = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": ""}
    command = [*git, *status, "--", *pathspecs]
    limit = GIT_TIMEOUT_SECONDS
    try:
        answer = subprocess.run(  # noqa: S603 - a list of arguments, no shell
            command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=limit, env=env
        )
    except OSError:  # no git on this machine, or no such folder
        return ""
    except subprocess.TimeoutExpired as exc:
        raise StoreError("STO040", f"git gave no answer in {limit} seconds", fix="run git status") from exc
    return os.fsdecode(answer.stdout) if answer.returncode == 0 else ""


def _dirty_path(entry: str) -> str:
    """Path of one entry of ``git status --porcelain=v2``; empty if it does not count."""
    kind, _, rest = entry.partition(" ")
    if kind == "?":
        return rest if rest.endswith(".py") else ""
    fields_before_path = {"1": 7, "u": 9}.get(kind)
    return rest.split(" ", fields_before_path)[-1] if fields_before_path else ""
