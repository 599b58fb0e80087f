"""What an editor shows answers: texts and types of everything public, and nothing else to choose from."""

from __future__ import annotations

import dataclasses
import inspect
import re
import sys
import typing

import pytest
from pydantic import BaseModel

import mlkit
from mlkit.data.monitor_spec import Monitor
from mlkit.data.split import Split
from mlkit.model.gate import Gate
from mlkit.project import ModelProject

# Types that cannot be told: any dataframe, any estimator, any value of YAML.
FREE = {
    ("ModelProject", "study"): {"search", "sampler", "pruner"},
    ("ModelProject", "step"): {"function"},
}


def results() -> set[type]:
    """What the methods of a project give back; names that only type checkers load are looked for."""
    homes = {name: home for home in _rooms() for name in vars(home)}
    found = set()
    for method in methods(ModelProject).values():
        for name in re.findall(r"[A-Z]\w+", str(inspect.signature(method).return_annotation)):
            thing = getattr(homes.get(name), name, None)
            if inspect.isclass(thing) and thing.__module__.startswith("mlkit."):
                found.add(thing)
    return found


def _rooms() -> list[object]:
    return [module for name, module in list(sys.modules.items()) if name.startswith("mlkit.")]


def methods(kind: type) -> dict[str, typing.Any]:
    """Public methods and properties that a class of ours has of its own or from another of ours."""
    found = {}
    for base in reversed(kind.__mro__):
        if base.__module__.startswith("mlkit."):
            found.update({name: value for name, value in vars(base).items() if not name.startswith("_")})
    unwrapped = {
        name: getattr(value, "fget", None) or getattr(value, "__func__", value)
        for name, value in found.items()
    }
    functions = {name: getattr(value, "func", value) for name, value in unwrapped.items()}
    return {name: value for name, value in functions.items() if inspect.isfunction(value)}


def fields(kind: type) -> list[str]:
    """Public fields of a dataclass or spec."""
    if issubclass(kind, BaseModel):
        return list(kind.model_fields)
    if not dataclasses.is_dataclass(kind):
        return []
    return [field.name for field in dataclasses.fields(kind) if not field.name.startswith("_")]


PUBLIC = sorted(
    {getattr(mlkit, name) for name in mlkit.__all__ if inspect.isclass(getattr(mlkit, name))} | results(),
    key=lambda kind: kind.__name__,
)


def test_the_results_of_a_project_are_all_looked_at() -> None:
    """The list of what is public is found in the signatures, and is no short one."""
    names = {kind.__name__ for kind in PUBLIC}
    assert {"Comparison", "TestLook", "Certificate", "Difference", "Explanation", "History", "Parts"} <= names
    assert len(names) > 30


@pytest.mark.parametrize("kind", PUBLIC, ids=lambda kind: kind.__name__)
def test_hovering_over_a_class_tells_every_field(kind) -> None:
    """A sentence, and a line for each field, so that no source has to be opened."""
    text = inspect.getdoc(kind) or ""
    assert re.match(r"[A-Z`].+", text)
    assert text != inspect.getdoc(BaseModel)
    missing = [
        name for name in fields(kind) if not re.search(rf"(?m)^    {name}: |`{name}`|:\s+{name}\b", text)
    ]
    assert missing == []


@pytest.mark.parametrize("kind", PUBLIC, ids=lambda kind: kind.__name__)
def test_hovering_over_a_method_answers(kind) -> None:
    """What it does in a sentence, the type of each argument and of the result."""
    for name, method in methods(kind).items():
        signature = inspect.signature(method)
        kinds = [each.annotation for each in list(signature.parameters.values())[1:]]
        assert inspect.Signature.empty not in (*kinds, signature.return_annotation), name
        assert re.match(r"\S.{9,}", inspect.getdoc(method) or ""), name


@pytest.mark.parametrize("name", methods(ModelProject))
def test_every_argument_of_a_verb_is_told(name) -> None:
    """The text names each argument, and none has the type `Any` where a better one is known."""
    method = methods(ModelProject)[name]
    parameters = list(inspect.signature(method).parameters.values())[1:]
    text = inspect.getdoc(method) or ""
    assert [each.name for each in parameters if not re.search(rf"(?m)^    {each.name}: ", text)] == []
    loose = {each.name for each in parameters if re.search(r"\bAny\b", str(each.annotation))}
    assert loose <= FREE.get(("ModelProject", name), set())
    assert not any(each.kind == each.VAR_KEYWORD for each in parameters)


def test_completion_offers_what_is_ours() -> None:
    """Fields and verbs of mlkit, none of pydantic's, and nothing of a project but its verbs."""
    for spec in (Gate(threshold=1), Split(), Monitor()):
        offered = {name for name in dir(spec) if not name.startswith("_")}
        assert {"dump", "replace", *type(spec).model_fields} <= offered
        assert not offered & {"json", "copy", "dict", "parse_obj", "model_dump", "model_fields", "construct"}
        assert all(hasattr(spec, name) for name in offered)
    project = ModelProject("flights", target="delay", metric="rmse")
    offered = {name for name in dir(project) if not name.startswith("_")}
    assert offered == set(methods(ModelProject))
