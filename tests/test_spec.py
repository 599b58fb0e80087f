"""Specs: strict and frozen; a mistake is one error with the path of the field, wherever it is made."""

from __future__ import annotations

import pytest
from pydantic import Field, field_validator

from mlkit.errors import ConfigError, MlkitError, NamingError
from mlkit.spec import Spec


class Inner(Spec):
    """A part with a rule of its own."""

    depth: int = Field(default=3, ge=1)
    name: str = "a"

    @field_validator("name")
    @classmethod
    def _plain(cls, value: str) -> str:
        if "/" in value:
            raise NamingError("NAM003", "a name is no path", path="here", fix="take out the slash")
        if value == "odd":
            raise ValueError("it is odd")
        return value


class Outer(Spec):
    """A spec with parts in every position."""

    rate: float = 0.5
    inner: Inner = Inner()
    by_name: dict[str, Inner] = Field(default_factory=dict)
    listed: tuple[Inner, ...] = ()
    needed: str

    @field_validator("listed", mode="before")
    @classmethod
    def _as_tuple(cls, value: object) -> object:
        return tuple(value) if isinstance(value, list) else value


@pytest.mark.parametrize(
    ("values", "code", "path", "fix"),
    [
        ({"needed": "x", "inner": {"depht": 1}}, "CFG006", "inner.depht", "did you mean 'depth'?"),
        (
            {"needed": "x", "by_name": {"k": {"wide": 1}}},
            "CFG006",
            "by_name.k.wide",
            "known here: depth, name",
        ),
        ({"needed": "x", "listed": [{}, {"depth": "1"}]}, "CFG009", "listed.1.depth", "correct the value"),
        ({"needed": "x", "inner": {"depth": 0}}, "CFG009", "inner.depth", "correct the value"),
        ({"needed": "x", "inner": {"depth": True}}, "CFG009", "inner.depth", "correct the value"),
        ({"needed": "x", "inner": {"name": "a/b"}}, "NAM003", "inner.name.here", "take out the slash"),
        ({"needed": "x", "inner": {"name": "odd"}}, "CFG009", "inner.name", "correct the value"),
        ({"needed": "x", "inner": [1]}, "CFG009", "inner", "correct the value"),
        ({"needed": "x", "rate": float("inf")}, "CFG009", "rate", "correct the value"),
        ({"needed": "x", "rate": "0.5"}, "CFG009", "rate", "correct the value"),
        ({"needed": None}, "CFG009", "needed", "correct the value"),
        ({"rate": 1}, "CFG021", "needed", "add it"),
    ],
)
def test_a_mistake_names_its_field(values, code, path, fix) -> None:
    """The same error from Python and from YAML, which adds where the spec stands in the document."""
    with pytest.raises(MlkitError) as in_python:
        Outer(**values)
    with pytest.raises(MlkitError) as in_yaml:
        Outer.from_values(values, path="outer")
    for caught, prefix in ((in_python, ""), (in_yaml, "outer.")):
        assert (caught.value.code, caught.value.path, caught.value.fix) == (code, prefix + path, fix)
    assert in_python.type is in_yaml.type


def test_no_value_reaches_a_message() -> None:
    """A config may hold what is nobody's business: the type is told, not the value."""
    with pytest.raises(ConfigError) as caught:
        Outer(needed="x", rate="hunter2")
    assert "hunter2" not in str(caught.value)
    assert "found a value of type str" in str(caught.value)


@pytest.mark.parametrize("values", [None, [], "text", 3])
def test_a_document_that_holds_no_keys_is_refused(values) -> None:
    """What stands in the place of a spec is a mapping."""
    with pytest.raises(ConfigError) as caught:
        Outer.from_values(values, path="split")
    assert (caught.value.code, caught.value.path) == ("CFG009", "split")


def test_a_spec_is_frozen_and_comes_back_equal() -> None:
    """It cannot be changed, only replaced by a checked copy; defaults are not written."""
    spec = Outer(needed="x", inner=Inner(depth=5), listed=(Inner(),))
    with pytest.raises(ValueError, match="frozen"):
        spec.rate = 1.0
    assert spec.dump() == {"needed": "x", "inner": {"depth": 5}, "listed": [{}]}
    assert Outer.from_values(spec.dump()) == spec
    assert spec.replace(rate=1).rate == 1.0
    assert spec.replace(rate=0.5) == spec
    with pytest.raises(ConfigError, match="CFG006"):
        spec.replace(rat=1)
