"""Whose code something is: the user's, which is read, or a library's, which its version stands for."""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import importlib.util
import sys
import sysconfig
from pathlib import Path

_INSTALLED = frozenset({"site-packages", "dist-packages"})
# A cluster has its Spark outside of any folder of installed packages; an editable mlkit lies anywhere.
_LIBRARIES = frozenset({"mlkit", "pyspark", "py4j", "dbruntime"})
_DISTRIBUTIONS = {"sklearn": "scikit-learn", "mlkit": "mlkit-sdk", "yaml": "pyyaml", "PIL": "pillow"}
_GROUND = ("numpy", "pandas", "scipy", "sklearn")


_known: dict[str, bool] = {}


def is_library(module: str) -> bool:
    """Whether a module (by its name, loaded or not) is of the standard library or installed."""
    top = module.partition(".")[0]
    if top == "__main__":
        return False
    if top in sys.stdlib_module_names or top in _LIBRARIES:
        return True
    if top not in _known:
        places = _places(top)
        if not places:  # made by hand, or not there yet
            return False
        _known[top] = any(map(is_library_file, places))
    return _known[top]


def _places(top: str) -> list[str]:
    places: list[str | None] = []
    if (module := sys.modules.get(top)) is not None:
        places = [getattr(module, "__file__", None), *getattr(module, "__path__", ())]
    else:
        with contextlib.suppress(ImportError, ValueError):
            if (spec := importlib.util.find_spec(top)) is not None:
                places = [spec.origin, *(spec.submodule_search_locations or ())]
    return [str(place) for place in places if place]


@functools.lru_cache(maxsize=4096)
def is_library_file(name: str) -> bool:
    """Whether code of this file is a library's."""
    if name.startswith("<frozen"):
        return True
    path = Path(name)
    if _INSTALLED.intersection(path.parts):
        return True
    return any(path.is_relative_to(folder) for folder in _library_folders())


@functools.cache
def _library_folders() -> tuple[Path, ...]:
    named = (sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"))
    own = Path(__file__).parents[2]
    return (own, *(form for folder in named for form in (Path(folder), Path(folder).resolve())))


def versions_of(tops: set[str]) -> dict[str, str]:
    """Versions by top-level module; where there is any, those of the libraries below most others too."""
    known = {top for top in tops if top not in sys.stdlib_module_names}
    wanted = known.union(_GROUND) if known else set()
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return {"python": python, **{top: _version(top) for top in sorted(wanted)}}


@functools.cache
def _version(top: str) -> str:
    try:
        return importlib.metadata.version(_DISTRIBUTIONS.get(top, top))
    except importlib.metadata.PackageNotFoundError:
        # A distribution of another name; all of them have to be read to find it.
        found = sorted(set(importlib.metadata.packages_distributions().get(top, ())))
        return " ".join(f"{name} {importlib.metadata.version(name)}" for name in found) or "unknown"
