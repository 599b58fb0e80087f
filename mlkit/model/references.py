"""Names of classes and functions: what a config may name, how a name is found, and the way back.

A name is ``package.module:Name``, by the shortest public module that holds the very object, so that
a private module of a library can move without an old config noticing. A config is text that anyone
may propose, so its names are judged before anything is imported, and what was found is judged again.
"""

from __future__ import annotations

import inspect
import sys
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np
from sklearn.compose import make_column_selector

from mlkit.code import is_user_module, load_object, reference_of
from mlkit.errors import ConfigError, SecurityError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

MODEL_LIBRARIES = frozenset(
    {
        *("catboost", "category_encoders", "feature_engine", "imblearn", "lightgbm", "skrub", "sklearn"),
        *("pyspark", "synapse", "xgboost"),
    }
)
SPARK = "pyspark.ml"
# It runs text as SQL, which can call any Java.
_REFUSED_OF_SPARK = frozenset({"SQLTransformer"})
FUNCTION_MODULES = frozenset(
    {
        "imblearn.metrics",
        "numpy",
        "numpy.fft",
        "numpy.linalg",
        "scipy.fft",
        "scipy.linalg",
        "scipy.signal",
        "scipy.spatial.distance",
        "scipy.special",
        "scipy.stats",
        "sklearn.feature_extraction.text",
        "sklearn.feature_selection",
        "sklearn.metrics",
        "sklearn.metrics.cluster",
        "sklearn.metrics.pairwise",
        "sklearn.preprocessing",
    }
)
_LIBRARIES = MODEL_LIBRARIES | {module.partition(".")[0] for module in FUNCTION_MODULES}

# These read or write files, unpickle, or change numpy for the whole process.
_REFUSED_OF_NUMPY = frozenset(
    {
        *("fromfile", "fromregex", "genfromtxt", "load", "loadtxt"),
        *("save", "savetxt", "savez", "savez_compressed"),
        *("set_printoptions", "setbufsize", "seterr", "seterrcall"),
    }
)
# Python's own types, as they are written for a dtype.
_PLAIN_TYPES: dict[str, object] = {
    f"builtins:{kind.__name__}": kind for kind in (bool, int, float, str, object)
}
_UFUNC_MODULES = ("numpy", "scipy.special")


def is_spark_model(kind: type) -> bool:
    """Whether a class has the parameters of `pyspark.ml`, whoever wrote it."""
    return all(callable(getattr(kind, name, None)) for name in ("extractParamMap", "hasParam", "copy"))


def is_model(kind: type) -> bool:
    """Whether a class is an estimator, transformer, kernel (`get_params`) or splitter (`split`)."""
    if issubclass(kind, str | bytes | bytearray):  # their `split` is another one
        return False
    methods = (getattr(kind, name, None) for name in ("get_params", "split", "extractParamMap"))
    return kind is make_column_selector or any(map(callable, methods))


def is_function(value: object) -> TypeGuard[Any]:
    """Whether a value is a function, a ufunc or a type that stands for a dtype."""
    if isinstance(value, type):
        return issubclass(value, np.generic) or value in _PLAIN_TYPES.values()
    return isinstance(value, np.ufunc) or inspect.isroutine(value)


def name_of(value: Any, *, path: str) -> str:  # noqa: ANN401 - any class or function
    """``package.module:Name`` of a class or function, by its shortest public module.

    Args:
        value: A class or function that other processes can import.
        path: Where it stands in the config, for the error message.

    Raises:
        ConfigError: It has no such name (CFG025), or `build` would refuse it wherever it ran (CFG009).
    """
    reference = _public_name(value, path)
    module = reference.partition(":")[0]
    is_class = isinstance(value, type) and is_model(value)
    if not _permitted(reference, is_class=is_class, trusted={module.partition(".")[0]}):
        message = f"{reference!r} is not among the names that a config may hold"
        raise ConfigError("CFG009", message, path=path, fix="write a function or class of your own around it")
    return reference


def vet(reference: str, *, is_class: bool, path: str, trusted: Collection[str]) -> None:
    """Judge a name by its text alone; nothing is imported.

    Raises:
        SecurityError: Neither a known modelling library, nor trusted, nor the user's code (SEC004).
    """
    if not _permitted(reference, is_class=is_class, trusted=trusted):
        message = f"{reference!r} is not among the names that a config may import"
        fix = "use a modelling library or a module of your own, or pin its distribution in the environment"
        raise SecurityError("SEC004", message, path=path, fix=fix)


def import_model(reference: str, *, path: str, trusted: Collection[str]) -> type:
    """The class of an estimator, transformer, kernel or splitter.

    Raises:
        ConfigError: No such module (CFG023) or class (CFG024).
        SecurityError: The name may not be imported, or it names something else (SEC004).
    """
    found = _imported(reference, is_class=True, path=path, trusted=trusted)
    if not (isinstance(found, type) and is_model(found)):
        raise _something_else(reference, "an estimator, transformer, kernel or splitter class", path)
    vet(_public_name(found, path), is_class=True, path=path, trusted=trusted)
    return found


def import_function(reference: str, *, path: str, trusted: Collection[str]) -> object:
    """A function, a ufunc or a type that stands for a dtype.

    Raises:
        ConfigError: No such module (CFG023) or function (CFG024), or it has no name of its own (CFG025).
        SecurityError: The name may not be imported, or it names something else (SEC004).
    """
    found = _imported(reference, is_class=False, path=path, trusted=trusted)
    if not is_function(found):
        raise _something_else(reference, "a function, a ufunc or a numpy type", path)
    vet(_public_name(found, path), is_class=False, path=path, trusted=trusted)
    return found


def _imported(reference: str, *, is_class: bool, path: str, trusted: Collection[str]) -> object:
    vet(reference, is_class=is_class, path=path, trusted=trusted)
    try:
        return load_object(reference)
    except ConfigError as exc:
        raise _placed(exc, path) from exc


def _something_else(reference: str, expected: str, path: str) -> SecurityError:
    fix = "name one, or write a class or function of your own around it"
    return SecurityError("SEC004", f"expected {expected}; {reference!r} is none", path=path, fix=fix)


def _permitted(reference: str, *, is_class: bool, trusted: Collection[str]) -> bool:
    module, _, name = reference.partition(":")
    parts = module.split(".")
    # A dot in the name would reach into what a module happens to import: `sklearn.base:os.system`.
    if not all(part.isidentifier() and not part.startswith("__") for part in (*parts, name)):
        return False
    if parts[0] in sys.stdlib_module_names:
        return not is_class and reference in _PLAIN_TYPES
    if parts[0] not in _LIBRARIES:
        # A pin vouches for the estimators of a distribution, not for every function in it.
        return is_user_module(module) or (is_class and parts[0] in trusted)
    if is_class and parts[0] == "pyspark":
        return f"{module}.".startswith(f"{SPARK}.") and name not in _REFUSED_OF_SPARK
    if is_class:
        return parts[0] in MODEL_LIBRARIES
    return module in FUNCTION_MODULES and not (parts[0] == "numpy" and name in _REFUSED_OF_NUMPY)


def _public_name(value: Any, path: str) -> str:  # noqa: ANN401 - any class or function
    module, name = _own_name(value, path)
    for candidate in _public_first(module):
        if getattr(sys.modules.get(candidate), name, None) is value:
            return f"{candidate}:{name}"
    fix = "define it at the top of a module and import it from there"
    raise ConfigError("CFG025", f"{name!r} cannot be imported under its own name", path=path, fix=fix)


def _own_name(value: Any, path: str) -> tuple[str, str]:  # noqa: ANN401 - any class or function
    if isinstance(value, np.ufunc):  # older ones do not know their module
        name = value.__name__
        homes = (home for home in _UFUNC_MODULES if getattr(sys.modules.get(home), name, None) is value)
        return next(homes, _UFUNC_MODULES[0]), name
    try:
        module, _, name = reference_of(value).partition(":")
    except ConfigError as exc:
        raise _placed(exc, path) from exc
    return module, name


def _public_first(module: str) -> Iterator[str]:
    """Enclosing packages that are public, shortest first, then the module itself."""
    parts = module.split(".")
    for length, part in enumerate(parts, start=1):
        if part.startswith("_"):
            break
        yield ".".join(parts[:length])
    yield module


def _placed(error: ConfigError, path: str) -> ConfigError:
    return ConfigError(error.code, error.message, path=path, fix=error.fix)
