"""What is installed: Python, our own distribution, what it needs, and what cannot stand beside each other."""

from __future__ import annotations

import platform
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from mlkit.code import DISTRIBUTION
from mlkit.doctor.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

STRANGER = "mlkit"
"""Another project of this name is on the public index; it has nothing to do with ours."""
_EXTRAS = ("spark", "databricks", "serve", "demo")
_OTHER_SPARKS = ("pyspark", "pyspark-client", "pyspark-connect")


def check_environment() -> Iterator[Finding]:
    """Look at what is installed here."""
    yield from check_distribution()
    installed = version_of(DISTRIBUTION)
    if installed:
        wanted = metadata.metadata(DISTRIBUTION)["Requires-Python"] or ""
        yield check_python(wanted, platform.python_version())
        yield from check_requirements(metadata.requires(DISTRIBUTION) or [])
    yield from check_sparks()


def check_distribution() -> Iterator[Finding]:
    """Whether `mlkit` is ours, and not the unrelated project of that name."""
    ours, stranger = version_of(DISTRIBUTION), version_of(STRANGER)
    if stranger:
        message = (
            f"the unrelated distribution {STRANGER!r} {stranger} is installed and fights for the same name"
        )
        mend = f"pip uninstall {STRANGER} && pip install --force-reinstall {DISTRIBUTION}"
        yield Finding("name", "FAIL", message, mend)
    elif not ours:
        here = Path(__file__).parents[1]
        message = f"mlkit runs from {here} without being installed, so versions cannot be compared"
        yield Finding("name", "WARN", message, f"pip install {DISTRIBUTION}")
    else:
        yield Finding("name", "OK", f"{DISTRIBUTION} {ours}")


def check_python(wanted: str, found: str) -> Finding:
    """Whether this Python is one that our distribution supports."""
    if SpecifierSet(wanted).contains(found, prereleases=True):
        return Finding("Python", "OK", found)
    return Finding("Python", "FAIL", f"{found} is here, {wanted} is needed", f"use Python {wanted}")


def check_requirements(texts: list[str]) -> Iterator[Finding]:
    """Whether what is needed is here, in a version that is supported; of extras only what is installed."""
    wrong = 0
    for requirement in map(Requirement, texts):
        extra = next((name for name in _EXTRAS if _applies(requirement, name)), "")
        always = _applies(requirement, "")
        if not always and not extra:
            continue
        found = version_of(requirement.name)
        if found is None and not always:
            continue
        if found is None or not requirement.specifier.contains(found, prereleases=True):
            wrong += 1
            state = f"{found} is installed" if found else "not installed"
            message = f"{state}, {requirement.specifier} is supported"
            mend = f"pip install '{requirement.name}{requirement.specifier}'"
            yield Finding(requirement.name, "WARN" if found else "FAIL", message, mend)
    if not wrong:
        yield Finding("dependencies", "OK", "all in their supported range")


def check_sparks() -> Iterator[Finding]:
    """Whether two distributions bring a `pyspark`: each overwrites files of the other."""
    connect = version_of("databricks-connect")
    others = [name for name in _OTHER_SPARKS if version_of(name)]
    if connect and others:
        message = f"databricks-connect {connect} brings its own pyspark, and {', '.join(others)} is here too"
        gone = " ".join([*others, "databricks-connect"])
        mend = f"pip uninstall {gone} && pip install databricks-connect=={connect}"
        yield Finding("pyspark", "FAIL", message, mend)
    elif len(others) > 1:
        message = f"{' and '.join(others)} overwrite each other"
        yield Finding("pyspark", "WARN", message, f"pip uninstall {' '.join(others)} && pip install pyspark")
    else:
        yield Finding(
            "pyspark", "OK", "brought by one distribution" if connect or others else "not installed"
        )


def version_of(name: str) -> str | None:
    """Version of a distribution that is installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _applies(requirement: Requirement, extra: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})
