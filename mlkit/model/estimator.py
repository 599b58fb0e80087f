"""An unfitted estimator as text that a reviewer can read and edit, and back.

`describe` writes the class and the parameters that are not at their default; `build` gives an equal
estimator for them, importing nothing that a config may not name. How single parameters are written
stands in `mlkit.model.parameters`.
"""

from __future__ import annotations

import copy
import functools
import hashlib
from typing import TYPE_CHECKING, Any

from sklearn.base import clone
from sklearn.model_selection import KFold
from sklearn.preprocessing import TargetEncoder

from mlkit.errors import ConfigError
from mlkit.model.construction import class_reference, decode, names_in
from mlkit.model.parameters import arguments_of, encode_model, signature_of, text_of, unknown
from mlkit.model.references import import_model, is_model, is_spark_model, vet
from mlkit.model.spark_estimator import check_parameters, describe_spark, seeded_spark, trains_on_spark

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

_ROOT = "model"
# In this order: catboost knows the first two for one thing.
_SEED_NAMES = ("random_seed", "random_state", "seed")
_MAX_TEXT = 40
_MAX_ITEMS = 4


def describe(estimator: object) -> dict[str, Any]:
    """The class and the parameters of an estimator as plain YAML values.

    Args:
        estimator: Any scikit-learn-compatible estimator; of a fitted one only the parameters are seen.

    Returns:
        ``{"class": path, "params": {...}}``, without the parameters that are at their default.

    Raises:
        ConfigError: A parameter cannot be written down (CFG009), or is code that another process
            cannot import (CFG025): a lambda, a nested function, something of the notebook itself.
    """
    _require_estimator(estimator)
    try:
        if is_spark_model(type(estimator)):
            return describe_spark(estimator, _ROOT)
        return encode_model(estimator, _ROOT)
    except RecursionError as exc:
        fix = "take the parameter that leads back out"
        raise ConfigError("CFG009", "the parameters contain themselves", path=_ROOT, fix=fix) from exc


def _require_estimator(estimator: object) -> None:
    if isinstance(estimator, type):
        message = f"expected an estimator, found the class {estimator.__name__}"
        raise ConfigError("CFG009", message, path=_ROOT, fix=f"write {estimator.__name__}()")
    if not _is_estimator(estimator):
        message = f"expected an estimator with get_params, found an object of type {type(estimator).__name__}"
        raise ConfigError("CFG009", message, path=_ROOT, fix="give a scikit-learn-compatible estimator")


def _is_estimator(value: object) -> bool:
    return hasattr(value, "get_params") or is_spark_model(type(value))


def check(values: Mapping[str, Any], *, path: str = _ROOT, trusted: Collection[str] = ()) -> None:
    """Refuse a description that `build` would refuse; of one that trains on Spark, what needs no session.

    Raises:
        MlkitError: As for `build`.
    """
    _vet(values, path, trusted)
    if trains_on_spark(values):
        _check_spark(values, path, trusted)
    else:
        build(values, path=path, trusted=trusted)


def _vet(values: object, path: str, trusted: Collection[str]) -> None:
    if not isinstance(values, dict) or "class" not in values:
        message = f"expected {{class: ..., params: ...}}, found a value of type {type(values).__name__}"
        raise ConfigError("CFG009", message, path=path, fix="write the class path under 'class'")
    try:
        for where, reference, is_class in names_in(values, path):
            vet(reference, is_class=is_class, path=where, trusted=trusted)
    except RecursionError as exc:
        raise ConfigError("CFG009", "the values contain themselves", path=path, fix="write them out") from exc


def _check_spark(values: object, path: str, trusted: Collection[str]) -> None:
    inner: Iterable[tuple[object, str]] = ()
    match values:
        case {"class": str(name), **rest}:
            params: Any = rest.pop("params", {})
            for key in rest:
                raise unknown("CFG006", "key", key, path=f"{path}.{key}", known=("class", "params"))
            kind = import_model(class_reference(name), path=path, trusted=trusted)
            check_parameters(params, kind, path=f"{path}.params")
            inner = [(each, f"{path}.params.{key}") for key, each in params.items()]
        case list():
            inner = [(each, f"{path}[{index}]") for index, each in enumerate(values)]
    for each, where in inner:
        _check_spark(each, where, trusted)


def build(values: Mapping[str, Any], *, path: str = _ROOT, trusted: Collection[str] = ()) -> Any:  # noqa: ANN401 - any estimator
    """The unfitted estimator of a description.

    Args:
        values: What `describe` gave, perhaps edited since.
        path: Where it stands in its document, for the error message.
        trusted: Top-level modules that may be imported too (those of pinned distributions).

    Raises:
        ConfigError: A wrong type (CFG009), unknown key (CFG006), unknown (CFG011) or missing parameter
            (CFG021), or a name that leads to nothing (CFG022 to CFG025).
        SecurityError: A name that a config may not import, or that is no estimator or function (SEC004).
    """
    _vet(values, path, trusted)
    built = decode(dict(values), path, trusted)
    if not _is_estimator(built):
        message = f"expected an estimator, found {type(built).__name__}"
        raise ConfigError("CFG009", message, path=f"{path}.class", fix="name an estimator's class")
    return built


def same(left: object, right: object) -> bool:
    """Whether two estimators have the same description, and so give the same model.

    Raises:
        ConfigError: One of them cannot be described.
    """
    return text_of(describe(left)) == text_of(describe(right))


def references(values: object) -> list[str]:
    """Every class and function that a description names, as ``package.module:Name``, sorted."""
    return sorted({reference for _, reference, _ in names_in(values, _ROOT)})


def packages_of(values: object) -> list[str]:
    """Top-level packages that a description names: what its author imported, and so trusts."""
    return sorted({reference.partition(":")[0].partition(".")[0] for reference in references(values)})


def seeded(estimator: Any, seed: int) -> Any:  # noqa: ANN401 - any estimator
    """A copy whose open random states, those of its parts included, are fixed numbers.

    Each is 31 bits of a sha256 over `seed` and the path of the parameter, so that parts differ from
    each other and stay as they are when another part is added behind them. A random state that is
    given stays as it is; so does that of a splitter which does not shuffle.

    Args:
        estimator: Any scikit-learn-compatible estimator; it is not modified.
        seed: Any int.

    Raises:
        ConfigError: It is no estimator, or does not keep its arguments (CFG009).
    """
    _require_estimator(estimator)
    if is_spark_model(type(estimator)):
        return seeded_spark(estimator, _ROOT, functools.partial(_derived, seed))
    # What a clone shares with its original (a FrozenEstimator) is not ours to change.
    shared = {id(part) for _, part in _parts(estimator, _ROOT)}
    copied = _copied(estimator)
    for path, part in list(_parts(copied, _ROOT)):
        if id(part) not in shared:
            _seed_part(part, seed, path)
    return copied


def _copied(estimator: Any) -> Any:  # noqa: ANN401 - any estimator
    try:
        return clone(estimator)
    except (RuntimeError, TypeError):
        # catboost rewrites some of its arguments (class_weights), which scikit-learn declines to clone.
        return copy.deepcopy(estimator)


def _parts(value: Any, path: str) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - any parameter
    """Every estimator and splitter inside a parameter, and where it stands."""
    if isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _parts(item, f"{path}[{index}]")
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _parts(item, f"{path}.{key}")
    elif not isinstance(value, type) and is_model(type(value)):
        yield path, value
        for name, argument in arguments_of(value, path=path).items():
            yield from _parts(argument, f"{path}.{name}")


def _seed_part(part: Any, seed: int, path: str) -> None:  # noqa: ANN401 - any estimator or splitter
    arguments = arguments_of(part, path=path)
    known = arguments.keys() | signature_of(type(part)).defaults.keys()
    names = [name for name in _SEED_NAMES if name in known]
    if isinstance(part, TargetEncoder) and arguments.get("random_state") == "deprecated":
        _seed_folds(part, seed, path)
    elif names and all(arguments.get(name) is None for name in names) and _draws(part):
        _assign(part, names[0], _derived(seed, f"{path}.{names[0]}"))


def _draws(part: object) -> bool:
    # Without shuffling, scikit-learn refuses a random state where it would only order folds.
    orders_folds = hasattr(part, "split") or isinstance(part, TargetEncoder)
    return not (orders_folds and getattr(part, "shuffle", True) is False)


def _seed_folds(encoder: TargetEncoder, seed: int, path: str) -> None:
    # From scikit-learn 1.9 on, a seed reaches its folds only through a splitter.
    if isinstance(encoder.cv, int):
        encoder.cv = KFold(encoder.cv, shuffle=True, random_state=_derived(seed, f"{path}.cv"))


def _assign(part: Any, name: str, value: int) -> None:  # noqa: ANN401 - any estimator or splitter
    if hasattr(part, "set_params"):
        part.set_params(**{name: value})
    else:
        setattr(part, name, value)


def _derived(seed: int, path: str) -> int:
    digest = hashlib.sha256(f"{seed}:{path}".encode()).digest()
    return int.from_bytes(digest[:4], "big") % 2**31


def steps_text(values: object) -> str:
    """A description on one line, such as ``Pipeline(StandardScaler -> Ridge(alpha=0.5))``."""
    match values:
        case {"class": str(name), **rest}:
            text = _model_text(name.rpartition(".")[2], rest.get("params"))
        case {"ref": str(name)}:
            text = name.rpartition(":")[2]
        case {"tuple": list(items)}:
            text = f"({_joined(items)})"
        case {"slice": list(items)}:
            text = f"slice({_joined(items)})"
        case {"array": list(items)}:
            text = f"array([{_joined(items)}])"
        case {"mapping": list(pairs)}:
            text = _entries_text([(steps_text(key), value) for key, value in pairs])
        case dict():
            text = _entries_text(list(values.items()))
        case list():
            text = f"[{_joined(values)}]"
        case _:
            text = repr(values)
            text = text if len(text) <= _MAX_TEXT else f"{text[: _MAX_TEXT - 4]}...{text[-1]}"
    return text


def _joined(items: list[Any]) -> str:
    shown = [steps_text(item) for item in items[:_MAX_ITEMS]]
    return ", ".join([*shown, "..."] if len(items) > _MAX_ITEMS else shown)


def _entries_text(entries: list[tuple[str, Any]]) -> str:
    shown = [f"{key}: {steps_text(value)}" for key, value in entries[:_MAX_ITEMS]]
    return f"{{{', '.join([*shown, '...'] if len(entries) > _MAX_ITEMS else shown)}}}"


def _model_text(name: str, params: object) -> str:
    """Its named parts first, then the other parameters."""
    entries = params if isinstance(params, dict) else {}
    parts = {key: _part_texts(value) for key, value in entries.items()}
    arrow = " -> " if name.endswith("Pipeline") else ", "
    texts = [arrow.join(part_texts) for part_texts in parts.values() if part_texts]
    texts += [f"{key}={steps_text(value)}" for key, value in entries.items() if not parts[key]]
    return f"{name}({', '.join(texts)})" if texts else name


def _part_texts(values: object) -> list[str]:
    """Texts of the parts if this is a list of parts or of ``(name, part, ...)``; empty otherwise."""
    texts = []
    for value in values if isinstance(values, list) else ():
        match value:
            case {"tuple": [str(), part, *_]}:
                texts.append(steps_text(part))
            case {"class": str()}:
                texts.append(steps_text(value))
            case _:
                return []
    return texts
