"""Estimators that train on Spark as text that a reviewer can read and edit, and back.

Whatever has the parameters of `pyspark.ml` counts: Spark's own estimators and pipelines, and those of
others (xgboost.spark, SynapseML). They are told by their methods, so that nothing of Spark is imported
here. Building one needs a session; a description can be checked without::

    {class: pyspark.ml.Pipeline, params: {stages: [{class: pyspark.ml.feature.VectorAssembler, params: ...}]}}
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlkit.code import load_object
from mlkit.errors import ConfigError, StudyError
from mlkit.model.parameters import encode, text_of, unknown
from mlkit.model.references import SPARK, is_spark_model, name_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_SEED_NAMES = ("seed", "random_state")


def trains_on_spark(values: Mapping[str, Any]) -> bool:
    """Whether a description, whose names have been judged, is that of an estimator that trains on Spark."""
    module, _, name = str(values.get("class", "")).rpartition(".")
    if module.startswith(("sklearn.", SPARK)) or not module:
        return module.startswith(SPARK)
    found = load_object(f"{module}:{name}")
    return isinstance(found, type) and is_spark_model(found)


def describe_spark(estimator: Any, path: str) -> dict[str, Any]:  # noqa: ANN401 - of a library that may not be there
    """``{class, params}`` of an estimator; what was not set, or to its default, is left out.

    Args:
        estimator: An unfitted estimator, transformer or pipeline.
        path: Where it stands, for the error message.

    Raises:
        ConfigError: A parameter cannot be written down, or names a column after an object (CFG009).
    """
    described = _described(estimator, path)
    uids = [part.uid for _, part in _parts(estimator, path)]
    for where, text in _texts(described, path):
        if any(uid in text for uid in uids):
            message = "the name of this column was drawn at random, and is another one when it is built again"
            raise ConfigError("CFG009", message, path=where, fix="give outputCol a name of your own")
    return described


def known_parameters(kind: type) -> set[str] | None:
    """Names of the parameters of a class; None if only its instances know them."""
    if not kind.__module__.startswith(SPARK):
        return None
    return {name for name in dir(kind) if type(getattr(kind, name, None)).__name__ == "Param"}


def check_parameters(names: Mapping[str, Any], kind: type, *, path: str) -> None:
    """Refuse parameters that a class does not have.

    Raises:
        ConfigError: An unknown parameter, with the nearest known one (CFG011).
    """
    known = known_parameters(kind)
    for name in names:
        if known is not None and name not in known:
            what = f"parameter of {kind.__name__}:"
            raise unknown("CFG011", what, name, path=f"{path}.{name}", known=known)


def construct_spark(kind: Callable[[], Any], params: Mapping[str, Any], *, path: str) -> object:
    """An estimator of a class with some parameters.

    Raises:
        ConfigError: It has no such parameter (CFG011), or refuses the value (CFG009).
        StudyError: There is no session of Spark (RUN023).
    """
    name = getattr(kind, "__name__", "")
    try:
        built = kind()
    except (AssertionError, AttributeError, RuntimeError) as exc:  # how Spark says it, by version
        message = f"{name} needs an open session of Spark"
        fix = "take a target that has Spark; in a script, open the project's stores first"
        raise StudyError("RUN023", message, path=path, fix=fix) from exc
    for key, value in params.items():
        if not built.hasParam(key):
            known = [param.name for param in built.params]
            raise unknown("CFG011", f"parameter of {name}:", key, path=f"{path}.{key}", known=known)
        try:
            built.set(built.getParam(key), value)
        except (TypeError, ValueError) as exc:
            message = f"{name} refuses this value: a {type(value).__name__}"
            raise ConfigError("CFG009", message, path=f"{path}.{key}", fix="correct it") from exc
    return built


def seeded_spark(estimator: Any, path: str, derived: Callable[[str], int]) -> Any:  # noqa: ANN401 - as above
    """A copy whose open seeds, those of its parts included, are fixed numbers.

    By itself Spark takes the hash of the class's name, which differs from one Python process to the next.

    Args:
        estimator: An unfitted estimator.
        path: Where it stands.
        derived: Gives the seed for the path of a parameter.
    """
    copied = estimator.copy({})
    for where, part in _parts(copied, path):
        for name in _SEED_NAMES:
            if part.hasParam(name) and not part.isSet(part.getParam(name)):
                part.set(part.getParam(name), derived(f"{where}.{name}"))
    return copied


def _described(estimator: Any, path: str) -> dict[str, Any]:  # noqa: ANN401 - as above
    module, _, name = name_of(type(estimator), path=path).partition(":")
    fresh = type(estimator)()  # to clear a parameter of a copy has no effect with Spark Connect
    params = {}
    for param in sorted(estimator.params, key=lambda param: str(param.name)):
        if estimator.isSet(param):
            where = f"{path}.params.{param.name}"
            encoded = _encoded(estimator.getOrDefault(param), where)
            if not _is_default(fresh, param.name, encoded, where):
                params[str(param.name)] = encoded
    return {"class": f"{module}.{name}", "params": params}


def _is_default(fresh: Any, name: str, encoded: object, path: str) -> bool:  # noqa: ANN401 - as above
    if not (fresh.hasParam(name) and fresh.hasDefault(name)):
        return False
    return text_of(_encoded(fresh.getOrDefault(name), path)) == text_of(encoded)


def _encoded(value: Any, path: str) -> Any:  # noqa: ANN401 - any parameter, any YAML value
    if isinstance(value, list | tuple):
        return [_encoded(each, f"{path}[{index}]") for index, each in enumerate(value)]
    if is_spark_model(type(value)) and not isinstance(value, type):
        return _described(value, path)
    if type(value).__name__ == "DenseVector":  # its parameter takes a list too
        return value.toArray().tolist()
    return encode(value, path)


def _parts(value: Any, path: str) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - as above
    """Every estimator inside a parameter, and where it stands."""
    if isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _parts(item, f"{path}[{index}]")
    elif is_spark_model(type(value)):
        yield path, value
        for param in value.params:
            if value.isSet(param):
                yield from _parts(value.getOrDefault(param), f"{path}.{param.name}")


def _texts(value: object, path: str) -> Iterator[tuple[str, str]]:
    """Every text in a description, and where it stands."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from _texts(each, f"{path}.{key}")
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from _texts(each, f"{path}[{index}]")
