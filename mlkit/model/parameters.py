"""Parameters of an estimator as plain YAML values.

Plain values stand for themselves; everything else is a mapping with one of the `MARKERS`::

    {class: sklearn.linear_model.Ridge, params: {alpha: 0.5}}   estimator, kernel, splitter
    {ref: "numpy:log1p"}                                        function, ufunc or numpy type
    {tuple: [1, 2]}   {slice: [0, 5, null]}                     tuple, slice
    {array: [1.0, 2.0], dtype: float64}                         small numpy array
    {mapping: [[0, 1.0], [1, 5.0]]}                             dict whose keys are not all text

`{class: ...}` has a third key, ``output: pandas``, after `set_output`, because a clone keeps that too.
The way back is `mlkit.model.construction`.
"""

from __future__ import annotations

import difflib
import inspect
import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from sklearn.frozen import FrozenEstimator

from mlkit.errors import ConfigError
from mlkit.model.references import is_function, is_model, name_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

MARKERS = ("class", "ref", "tuple", "slice", "array", "mapping")
SCALARS = (type(None), bool, int, float, str)
DTYPE = re.compile(r"bool|u?int(8|16|32|64)|float(16|32|64)|object|[<>]([iuf][248]|U[1-9][0-9]{0,3})")
MAX_ARRAY_VALUES = 1000

_RANDOM = (np.random.RandomState, np.random.Generator, np.random.BitGenerator, np.random.SeedSequence)


class Signature(NamedTuple):
    """What a class can be built with.

    Attributes:
        defaults: Default by name; `inspect.Parameter.empty` for a required argument.
        takes_any: Whether other names are taken too (``**kwargs``).
    """

    defaults: dict[str, Any]
    takes_any: bool


def text_of(values: object) -> str:
    """Text that is equal exactly if plain values are: 1 is not 1.0 is not True, and nan is nan."""
    return json.dumps(values, sort_keys=True)


def item_path(path: str, items: Sequence[object], index: int) -> str:
    """Where an item of a tuple stands; the second of ``(name, step, ...)`` is the step itself."""
    return path if index == 1 and isinstance(items[0], str) else f"{path}[{index}]"


def leaves(items: Iterable[object]) -> Iterator[object]:
    """The values in nested lists, in order."""
    for item in items:
        if type(item) is list:
            yield from leaves(item)
        else:
            yield item


def unknown(code: str, what: str, name: object, *, path: str, known: Iterable[str]) -> ConfigError:
    """The error for a name that is not known, with the nearest one that is."""
    names = sorted(known)
    near = difflib.get_close_matches(str(name), names, n=1)
    fix = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(names) or 'none'}"
    return ConfigError(code, f"unknown {what} {name!r}", path=path, fix=fix)


def signature_of(kind: type) -> Signature:
    """What the ``__init__`` of a class takes."""
    initialise = inspect.getattr_static(kind, "__init__")
    if initialise is object.__init__:
        return Signature({}, takes_any=False)
    try:
        parameters = list(inspect.signature(initialise).parameters.values())[1:]
    except (TypeError, ValueError):  # a compiled class that does not tell
        return Signature({}, takes_any=True)
    several = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    defaults = {each.name: each.default for each in parameters if each.kind not in several}
    return Signature(defaults, takes_any=any(each.kind is several[1] for each in parameters))


def check_names(names: Iterable[str], kind: type, *, path: str) -> None:
    """Refuse names that a class does not take.

    Raises:
        ConfigError: An unknown parameter, with the nearest known one (CFG011).
    """
    signature = signature_of(kind)
    for name in () if signature.takes_any else names:
        if name not in signature.defaults:
            what, place = f"parameter of {kind.__name__}:", f"{path}.{name}"
            raise unknown("CFG011", what, name, path=place, known=signature.defaults)


def arguments_of(model: Any, *, path: str) -> dict[str, Any]:  # noqa: ANN401 - any model
    """The arguments that would build `model` again, by name.

    Raises:
        ConfigError: It does not keep each of its arguments (CFG009).
    """
    try:
        if hasattr(model, "get_params"):
            return dict(model.get_params(deep=False))
        return {name: _kept(model, name) for name in signature_of(type(model)).defaults}
    except (AttributeError, RuntimeError, TypeError) as exc:
        message = f"{type(model).__name__} does not keep the arguments of its __init__: {exc}"
        fix = "store each argument under its own name, as scikit-learn's clone needs it"
        raise ConfigError("CFG009", message, path=path, fix=fix) from exc


def _kept(model: Any, name: str) -> object:  # noqa: ANN401 - any splitter
    # scikit-learn's repeated splitters hand some arguments on and keep them in `cvargs`.
    handed_on = getattr(model, "cvargs", {})
    kept: object = handed_on[name] if name in handed_on else getattr(model, name)
    return kept


def encode(value: Any, path: str) -> Any:  # noqa: ANN401 - any parameter, any YAML value
    """Plain YAML values for a parameter that stands at `path`.

    Raises:
        ConfigError: It cannot be written down (CFG009) or not imported elsewhere (CFG025).
    """
    if isinstance(value, np.bool_ | np.number | np.str_) and not isinstance(value, np.timedelta64):
        value = value.item()
    if type(value) in SCALARS:
        return value
    if encoder := _ENCODERS.get(type(value)):
        return encoder(value, path)
    if is_function(value):
        return {"ref": name_of(value, path=path)}
    if not isinstance(value, type) and is_model(type(value)):
        return encode_model(value, path)
    raise _unwritable(value, path)


def _unwritable(value: object, path: str) -> ConfigError:
    found = f"an object of type {type(value).__name__}"
    fix = "give numbers, text, lists, dicts, arrays, functions of a module, or estimators"
    if isinstance(value, _RANDOM):
        found, fix = "a random generator, whose state no file keeps", "give an int as the seed"
    if isinstance(value, type):
        found, fix = f"the class {value.__name__}", "give an instance of it, or a function"
    message = f"expected a value that can be written down, found {found}"
    return ConfigError("CFG009", message, path=path, fix=fix)


def _encode_list(values: list[Any], path: str) -> list[Any]:
    return [encode(value, f"{path}[{index}]") for index, value in enumerate(values)]


def _encode_tuple(values: tuple[Any, ...], path: str) -> dict[str, Any]:
    return {"tuple": [encode(value, item_path(path, values, index)) for index, value in enumerate(values)]}


def _encode_slice(value: slice, path: str) -> dict[str, Any]:
    return {"slice": _encode_list([value.start, value.stop, value.step], path)}


def _encode_dict(values: dict[Any, Any], path: str) -> dict[str, Any]:
    pairs = [[encode(key, path), encode(value, f"{path}.{key}")] for key, value in values.items()]
    if all(isinstance(key, str) and key not in MARKERS for key, _ in pairs):
        return dict(pairs)
    # Equal dicts are written alike, whatever order they were filled in; small numbers count upwards.
    return {"mapping": sorted(pairs, key=lambda pair: (len(text_of(pair[0])), text_of(pair[0])))}


def _encode_array(array: np.ndarray[Any, Any], path: str) -> dict[str, Any]:
    if array.size > MAX_ARRAY_VALUES:
        message = f"expected an array of at most {MAX_ARRAY_VALUES} values, found {array.size}"
        raise ConfigError("CFG009", message, path=path, fix="compute it in a class of your own")
    dtype = array.dtype.name if array.dtype.isnative and array.dtype.kind != "U" else array.dtype.str
    # An array of objects gives numpy scalars as they are, where every other gives Python's.
    items = encode(array.tolist(), path) if array.dtype.kind == "O" else array.tolist()
    if not (DTYPE.fullmatch(dtype) and array.ndim and _is_whole(items, array.shape)):
        message = f"an array of dtype {array.dtype} and shape {array.shape} cannot be written down"
        raise ConfigError("CFG009", message, path=path, fix="give a list of plain values")
    return {"array": items, "dtype": dtype}


def _is_whole(items: Any, shape: tuple[int, ...]) -> bool:  # noqa: ANN401 - nested lists of any value
    """Whether nested lists hold scalars only and give the same shape again."""
    depths: list[int] = []
    level = items
    while type(level) is list:
        depths.append(len(level))
        level = level[0] if level else None
    return tuple(depths) == shape and all(type(leaf) in SCALARS for leaf in leaves(items))


def encode_model(model: Any, path: str) -> dict[str, Any]:  # noqa: ANN401 - any model
    """``{class, params}`` of an estimator, kernel or splitter; what is at its default is left out.

    Raises:
        ConfigError: A parameter cannot be written down (CFG009) or not imported elsewhere (CFG025).
    """
    module, _, name = name_of(type(model), path=path).partition(":")
    _refuse_what_only_a_clone_keeps(model, path)
    described = {"class": f"{module}.{name}", "params": _encode_params(model, f"{path}.params")}
    output = getattr(model, "_sklearn_output_config", {}).get("transform")
    return described if output is None else {**described, "output": output}


def _refuse_what_only_a_clone_keeps(model: object, path: str) -> None:
    if isinstance(model, FrozenEstimator):
        fix = "give the estimator that is inside, to be fitted with the rest"
        raise ConfigError("CFG009", "FrozenEstimator stands for fitted state", path=path, fix=fix)
    if "_metadata_request" in getattr(model, "__dict__", {}):
        fix = "leave out set_fit_request and its like"
        raise ConfigError("CFG009", "metadata requests cannot be written down", path=path, fix=fix)


def _encode_params(model: Any, path: str) -> dict[str, Any]:  # noqa: ANN401 - any model
    arguments = arguments_of(model, path=path)
    check_names(arguments, type(model), path=path)
    defaults = _defaults_of(type(model))
    params = {}
    for name in sorted(arguments):
        where, value = f"{path}.{name}", arguments[name]
        if name in defaults and value is defaults[name]:
            continue
        encoded = encode(value, where)
        if name not in defaults or not _is_written_as(defaults[name], encoded, where):
            params[name] = encoded
    return params


def _defaults_of(kind: type) -> dict[str, Any]:
    """Defaults by name; for a class that takes any name, what an instance built without any holds."""
    known = signature_of(kind)
    if not known.takes_any:
        return {name: each for name, each in known.defaults.items() if each is not inspect.Parameter.empty}
    try:
        return arguments_of(kind(), path=kind.__name__)
    except (TypeError, ValueError):  # it cannot be built without any
        return {}


def _is_written_as(default: object, encoded: object, path: str) -> bool:
    # Compared as written, so that describing what was built from a description gives the same text.
    try:
        return text_of(encode(default, path)) == text_of(encoded)
    except ConfigError:
        return False


_ENCODERS: dict[type, Callable[[Any, str], Any]] = {
    list: _encode_list,
    tuple: _encode_tuple,
    slice: _encode_slice,
    dict: _encode_dict,
    np.ndarray: _encode_array,
}
