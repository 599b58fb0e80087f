"""The way back from plain YAML values to parameters and estimators (`mlkit.model.parameters`).

Strict, because the values may have been edited by hand: what is not understood is an error with its
path. Names are judged by `mlkit.model.references` before anything is imported.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import numpy as np

from mlkit.errors import ConfigError
from mlkit.model.parameters import (
    DTYPE,
    MARKERS,
    SCALARS,
    check_names,
    item_path,
    leaves,
    signature_of,
    unknown,
)
from mlkit.model.references import import_function, import_model, is_spark_model
from mlkit.model.spark_estimator import check_parameters, construct_spark

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

_KEYS = {"array": ("array", "dtype"), "class": ("class", "params", "output")}
_OUTPUTS = ("default", "pandas", "polars")
_LEAVES: dict[str, tuple[type, ...]] = {
    "b": (bool,),
    "i": (int,),
    "u": (int,),
    "f": (int, float),
    "U": (str,),
    "O": SCALARS,
}


def class_reference(name: str) -> str:
    """``package.module:Name`` of a class path ``package.module.Name``."""
    module, _, last = name.rpartition(".")
    return f"{module}:{last}"


def names_in(values: object, path: str) -> Iterator[tuple[str, str, bool]]:
    """Every name in a description: where it stands, ``package.module:Name``, whether it is a class."""
    inner: list[tuple[object, str]] = []
    match values:
        case {"class": str(name), **rest}:
            yield path, class_reference(name), True
            params = rest.get("params")
            # Not as a value of its own: a parameter may be called like a marker.
            inner = _entries(params, f"{path}.params") if isinstance(params, dict) else []
        case {"ref": str(name)}:
            yield path, name, False
        case {"tuple": list(items)}:
            inner = [(each, item_path(path, items, index)) for index, each in enumerate(items)]
        case dict():
            inner = _entries(values, path)
        case list():
            inner = [(each, f"{path}[{index}]") for index, each in enumerate(values)]
    for each, where in inner:
        yield from names_in(each, where)


def _entries(values: dict[str, Any], path: str) -> list[tuple[object, str]]:
    return [(each, f"{path}.{key}") for key, each in values.items()]


def decode(value: Any, path: str, trusted: Collection[str]) -> Any:  # noqa: ANN401 - any YAML value, any parameter
    """The parameter that plain YAML values at `path` stand for.

    Raises:
        ConfigError: A wrong type (CFG009), key (CFG006), parameter (CFG011, CFG021) or name (CFG022
            to CFG025).
        SecurityError: A name that a config may not import (SEC004).
    """
    if type(value) in SCALARS:
        return value
    if type(value) is list:
        return [decode(each, f"{path}[{index}]", trusted) for index, each in enumerate(value)]
    if type(value) is not dict:
        raise _wrong(path, "a plain YAML value", value)
    marker = next((marker for marker in MARKERS if marker in value), None)
    if marker is None:
        return _decode_dict(value, path, trusted)
    known = _KEYS.get(marker, (marker,))
    for key in value:
        if key not in known:
            raise unknown("CFG006", "key", key, path=f"{path}.{key}", known=known)
    return _DECODERS[marker](value, path, trusted)


def _wrong(path: str, expected: str, found: object) -> ConfigError:
    message = f"expected {expected}, found a value of type {type(found).__name__}"
    return ConfigError("CFG009", message, path=path, fix="correct the value")


def _items(values: dict[str, Any], marker: str, path: str) -> list[Any]:
    items = values[marker]
    if type(items) is not list:
        raise _wrong(path, f"a list under {marker!r}", items)
    return items


def _decode_dict(values: dict[Any, Any], path: str, trusted: Collection[str]) -> dict[str, Any]:
    for key in values:
        if type(key) is not str:
            message = f"expected keys that are text, found one of type {type(key).__name__}"
            raise ConfigError("CFG009", message, path=path, fix="write {mapping: [[key, value], ...]}")
    return {key: decode(value, f"{path}.{key}", trusted) for key, value in values.items()}


def _decode_tuple(values: dict[str, Any], path: str, trusted: Collection[str]) -> tuple[Any, ...]:
    items = _items(values, "tuple", path)
    return tuple(decode(each, item_path(path, items, index), trusted) for index, each in enumerate(items))


def _decode_slice(values: dict[str, Any], path: str, trusted: Collection[str]) -> slice:
    items = _items(values, "slice", path)
    if len(items) != len(("start", "stop", "step")):
        raise _wrong(path, "start, stop and step under 'slice'", items)
    return slice(*decode(items, path, trusted))


def _decode_mapping(values: dict[str, Any], path: str, trusted: Collection[str]) -> dict[Any, Any]:
    pairs = _items(values, "mapping", path)
    if not all(type(pair) is list and len(pair) == len(("key", "value")) for pair in pairs):
        raise _wrong(path, "pairs [key, value] under 'mapping'", pairs)
    decoded = [(decode(key, path, trusted), decode(value, f"{path}.{key}", trusted)) for key, value in pairs]
    try:
        mapping = dict(decoded)
    except TypeError as exc:
        message = "expected keys that are text, numbers or tuples of them"
        raise ConfigError("CFG009", message, path=path, fix="correct the keys") from exc
    if len(mapping) < len(pairs):
        raise ConfigError("CFG005", "a key stands twice in 'mapping'", path=path, fix="remove one")
    return mapping


def _decode_array(values: dict[str, Any], path: str, _: Collection[str]) -> np.ndarray[Any, Any]:
    items, name = _items(values, "array", path), values.get("dtype")
    if type(name) is not str or not DTYPE.fullmatch(name):
        raise _wrong(f"{path}.dtype", "a dtype such as float64, int64, bool, object or <U8", name)
    dtype = np.dtype(name)
    message = f"expected values that an array of dtype {name} can hold"
    misfit = ConfigError("CFG009", message, path=path, fix="correct the values or the dtype")
    if not all(type(leaf) in _LEAVES[dtype.kind] for leaf in leaves(items)):
        raise misfit
    try:
        array = np.array(items, dtype=dtype)
    except (ValueError, OverflowError) as exc:  # ragged, or out of range
        raise misfit from exc
    # Too long a text is cut without a word; ragged rows of objects become an array of lists.
    if (dtype.kind == "U" and array.tolist() != items) or any(type(each) is list for each in array.flat):
        raise misfit
    return array


def _decode_ref(values: dict[str, Any], path: str, trusted: Collection[str]) -> object:
    if type(values["ref"]) is not str:
        raise _wrong(path, "text under 'ref'", values["ref"])
    return import_function(values["ref"], path=path, trusted=trusted)


def _decode_model(values: dict[str, Any], path: str, trusted: Collection[str]) -> object:
    name, params, output = values["class"], values.get("params", {}), values.get("output")
    if type(name) is not str:
        raise _wrong(f"{path}.class", "a class path", name)
    if type(params) is not dict:
        raise _wrong(f"{path}.params", "parameters by name", params)
    kind = import_model(class_reference(name), path=path, trusted=trusted)
    where = f"{path}.params"
    if is_spark_model(kind):
        check_parameters(params, kind, path=where)
        return construct_spark(kind, _decode_dict(params, where, trusted), path=where)
    check_names(params, kind, path=where)
    _check_required(params, kind, where)
    built = _constructed(kind, _decode_dict(params, where, trusted), where)
    return built if output is None else _with_output(built, output, f"{path}.output")


def _check_required(params: dict[str, Any], kind: type, path: str) -> None:
    for name, default in signature_of(kind).defaults.items():
        if default is inspect.Parameter.empty and name not in params:
            message = f"{kind.__name__} requires this parameter, and it is not there"
            raise ConfigError("CFG021", message, path=f"{path}.{name}", fix="add it")


def _constructed(kind: type, params: dict[str, Any], path: str) -> object:
    try:
        built: object = kind(**params)
    except (TypeError, ValueError) as exc:
        message = f"{kind.__name__} refuses these parameters: {exc}"
        raise ConfigError("CFG009", message, path=path, fix="correct them") from exc
    return built


def _with_output(built: Any, output: object, path: str) -> object:  # noqa: ANN401 - any transformer
    if output not in _OUTPUTS or not hasattr(built, "set_output"):
        message = f"expected one of {', '.join(_OUTPUTS)}, on a transformer"
        raise ConfigError("CFG009", message, path=path, fix="correct it, or leave it out")
    built.set_output(transform=output)
    return built


_DECODERS: dict[str, Callable[[dict[str, Any], str, Collection[str]], Any]] = {
    "class": _decode_model,
    "ref": _decode_ref,
    "tuple": _decode_tuple,
    "slice": _decode_slice,
    "array": _decode_array,
    "mapping": _decode_mapping,
}
