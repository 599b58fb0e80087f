"""What a result prints as JSON, read from the code that prints it: names, types and meanings.

A ``to_dict`` is followed statement by statement, as codes are found where they are raised; nothing is run.
Types are those of fields, properties and functions; meanings are their docstrings. So a schema says what the
code says. What is written in a way that cannot be followed is an error, which names the place.
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import functools
import sys
import typing
from typing import TYPE_CHECKING, Any, Literal

from .kinds import (
    Form,
    Said,
    Schema,
    Shape,
    class_tree,
    classes_of,
    either,
    fields_of,
    hints_of,
    inner_of,
    member_of,
    schema_of,
    summary_of,
    text_below,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_SAME = {"dict", "json.dumps", "json.loads", "plain", "redacted_values"}
"""Calls that give what they get, as far as JSON shows it."""
_GIVES = {"bool": bool, "len": int, "round": int, "str": str}
_LISTS = {"list", "sorted", "tuple"}
_TIME = {"type": "string", "format": "date-time"}

_Known = dict[str, Said]


def shapes_of(form: Form) -> list[Shape]:
    """Every object that a form may be: one, or as many as its ``to_dict`` has ends."""
    if form.made_by == "to_dict":
        return [_opened(kind) for kind in _ends(form.kind)]
    return [fields_of(form.kind)]


def same_form(form: Form) -> Form:
    """The form that another one only passes on."""
    if form.made_by == "to_dict":
        match _ends(form.kind):
            case [Form() as inner]:
                return inner
    return form


@functools.cache
def _ends(kind: type) -> list[Any]:
    return list(_Reader(kind).ends())


def _opened(kind: Any) -> Shape:
    """The fields of an object, to be changed."""
    match kind:
        case Shape():
            return Shape(dict(kind.fields))
        case Form():
            (shape,) = shapes_of(kind)
            return shape
    if typing.is_typeddict(kind):
        return fields_of(kind)
    raise TypeError(f"{kind}: its fields are not known")


class _Reader:
    """Follows the ``to_dict`` of a class from its first statement to each of its ends."""

    def __init__(self, kind: type) -> None:
        owner = next(owner for owner in kind.__mro__ if "to_dict" in vars(owner))
        functions = [node for node in class_tree(owner).body if isinstance(node, ast.FunctionDef)]
        self._body = next(node.body for node in functions if node.name == "to_dict")
        self._kind, self._module = kind, sys.modules[owner.__module__]
        self._statements: dict[type, Callable[[Any, _Known], Iterator[Any]]] = {
            ast.AnnAssign: self._annotated,
            ast.Assign: self._assigned,
            ast.Delete: self._deleted,
            ast.Expr: self._passed,
            ast.For: self._repeated,
            ast.If: self._perhaps,
            ast.Return: self._returned,
        }
        self._expressions: dict[type, Callable[[Any, _Known], Said]] = {
            ast.Attribute: self._attribute,
            ast.Call: self._call,
            ast.Compare: self._truth,
            ast.Constant: self._constant,
            ast.Dict: self._object,
            ast.DictComp: self._table,
            ast.IfExp: self._choice,
            ast.List: self._listed,
            ast.ListComp: self._list,
            ast.Name: self._name,
            ast.Subscript: self._field,
            ast.Tuple: self._listed,
            ast.UnaryOp: self._truth,
        }

    def ends(self) -> Iterator[Any]:
        """What it may give."""
        return self._run(self._body, {"self": Said(self._kind)})

    def _run(self, statements: Sequence[ast.stmt], known: _Known) -> Iterator[Any]:
        for node in statements:
            if type(node) not in self._statements:
                raise self._unknown(node)
            yield from self._statements[type(node)](node, known)

    def _passed(self, _: ast.Expr, __: _Known) -> Iterator[Any]:
        yield from ()

    def _returned(self, node: ast.Return, known: _Known) -> Iterator[Any]:
        parts = [node.value.body, node.value.orelse] if isinstance(node.value, ast.IfExp) else [node.value]
        yield from (self._value(part, known).kind for part in parts if part)

    def _perhaps(self, node: ast.If, known: _Known) -> Iterator[Any]:
        yield from self._run(node.body, dict(known))

    def _repeated(self, node: ast.For, known: _Known) -> Iterator[Any]:
        """Once for each of some words in the code."""
        for word in self._value(node.iter, known).value:
            known[ast.unparse(node.target)] = Said(Literal[word], value=word)
            yield from self._run(node.body, known)

    def _deleted(self, node: ast.Delete, known: _Known) -> Iterator[Any]:
        for target in node.targets:
            fields, name = self._place(target, known)
            del fields[name]
        yield from ()

    def _annotated(self, node: ast.AnnAssign, known: _Known) -> Iterator[Any]:
        known[ast.unparse(node.target)] = self._value(node.value, known)
        yield from ()

    def _assigned(self, node: ast.Assign, known: _Known) -> Iterator[Any]:
        said = self._value(node.value, known)
        match node.targets:
            case [ast.Name(id=name)]:
                known[name] = said._replace(kind=_opened(said.kind)) if isinstance(said.kind, Form) else said
            case [ast.Tuple(elts=names)]:
                for name, field in zip(names, said.kind._fields, strict=True):
                    known[ast.unparse(name)] = member_of(said.kind, field)
            case [target]:
                fields, name = self._place(target, known)
                fields[name] = self._meant(name, said)
        yield from ()

    def _place(self, target: ast.expr, known: _Known) -> tuple[dict[str, Said], str]:
        """The fields of an object, and the name among them, that ``values[...]`` means."""
        match target:
            case ast.Subscript(value=ast.Name(id=name), slice=place) if isinstance(known[name].kind, Shape):
                return known[name].kind.fields, self._value(place, known).value
        raise self._unknown(target)

    def _meant(self, name: str, said: Said) -> Said:
        """A value as a field: it means what the class says of that name, else what is said of the value."""
        with contextlib.suppress(TypeError):
            return said._replace(meaning=member_of(self._kind, name).meaning or said.meaning)
        return said

    def _value(self, node: ast.expr | None, known: _Known) -> Said:
        if type(node) not in self._expressions:
            raise self._unknown(node)
        return self._expressions[type(node)](node, known)

    def _constant(self, node: ast.Constant, _: _Known) -> Said:
        kind = Literal[node.value] if isinstance(node.value, str) else type(node.value)
        return Said(kind, value=node.value)

    def _name(self, node: ast.Name, known: _Known) -> Said:
        if node.id in known:
            return known[node.id]
        found = getattr(self._module, node.id)
        return Said(type(found), text_below(self._module, node.id), found)

    def _attribute(self, node: ast.Attribute, known: _Known) -> Said:
        owner = self._value(node.value, known)
        return Said(str, owner.meaning) if node.attr == "__name__" else member_of(owner.kind, node.attr)

    def _truth(self, _: ast.expr, __: _Known) -> Said:
        return Said(bool)

    def _choice(self, node: ast.IfExp, known: _Known) -> Said:
        first, second = self._value(node.body, known), self._value(node.orelse, known)
        kinds = [schema_of(first.kind), schema_of(second.kind)]
        return Said(Schema(either(kinds)), first.meaning or second.meaning)

    def _field(self, node: ast.Subscript, known: _Known) -> Said:
        fields, name = self._place(node, known)
        return fields[name]

    def _listed(self, node: ast.List | ast.Tuple, known: _Known) -> Said:
        found = [self._value(part, known) for part in node.elts]
        items = either(schema_of(said.kind) for said in found) if found else {}
        meaning = next((said.meaning for said in found), "")
        return Said(Schema({"type": "array", "items": items}), meaning, [said.value for said in found])

    def _object(self, node: ast.Dict, known: _Known) -> Said:
        made = Shape()
        for key, value in zip(node.keys, node.values, strict=True):
            said = self._value(value, known)
            if key is None:
                made.fields.update(_opened(said.kind).fields)
            else:
                name = self._value(key, known).value
                made.fields[name] = self._meant(name, said)
        return Said(made)

    def _list(self, node: ast.ListComp, known: _Known) -> Said:
        said, inside = self._inside(node.generators[0], known)
        items = schema_of(self._value(node.elt, inside).kind)
        return Said(Schema({"type": "array", "items": items}), said.meaning)

    def _table(self, node: ast.DictComp, known: _Known) -> Said:
        """Fields whose names stand in the code, or any number of values by name."""
        names = self._names(node.generators[0], known)
        if names is not None:
            return Said(Shape({name: member_of(self._kind, name) for name in names}))
        said, inside = self._inside(node.generators[0], known)
        items = schema_of(self._value(node.value, inside).kind)
        return Said(Schema({"type": "object", "additionalProperties": items}), said.meaning)

    def _names(self, loop: ast.comprehension, known: _Known) -> list[str] | None:
        """Names of fields that a loop goes over; None if it goes over something else."""
        if ast.unparse(loop.iter) == "dataclasses.fields(self)":
            tests = [test for test in loop.ifs if isinstance(test, ast.Compare)]
            others = [name for test in tests for name in self._value(test.comparators[0], known).value]
            return [field.name for field in dataclasses.fields(self._kind) if field.name not in others]
        if isinstance(loop.iter, ast.Tuple | ast.Name):
            return self._value(loop.iter, known).value
        return None

    def _inside(self, loop: ast.comprehension, known: _Known) -> tuple[Said, _Known]:
        """What a loop goes over, and what is known inside of it."""
        match loop.iter, loop.target:
            case ast.Call(func=ast.Attribute(value=owner, attr="items")), ast.Tuple(elts=[name, value]):
                said = self._value(owner, known)
                inside = {ast.unparse(name): Said(str), ast.unparse(value): Said(inner_of(said.kind))}
            case values, target:
                said = self._value(values, known)
                inside = {ast.unparse(target): Said(inner_of(said.kind))}
        return said, {**known, **inside}

    def _call(self, node: ast.Call, known: _Known) -> Said:
        match node.func:
            case ast.Attribute(value=ast.Name(id="dataclasses"), attr="asdict"):
                return self._made(node.args[0], "fields", known)
            case ast.Attribute(value=owner, attr="_asdict"):
                return self._made(owner, "fields", known)
            case ast.Attribute(value=owner, attr="to_dict"):
                return self._made(owner, "to_dict", known)
            case ast.Attribute(value=owner, attr="isoformat"):
                return self._value(owner, known)._replace(kind=Schema(_TIME))
        return self._called(ast.unparse(node.func), node.args, known)

    def _called(self, name: str, given: Sequence[ast.expr], known: _Known) -> Said:
        """A function by its name."""
        if function := getattr(self._module, name, None) if name not in _SAME else None:
            return Said(hints_of(function)["return"], summary_of(function))
        if name not in {*_SAME, *_GIVES, *_LISTS}:
            raise TypeError(f"{self._where}: nothing tells what {name} gives")
        said = self._value(given[0], known)
        if name in _LISTS:
            return said._replace(kind=Schema({"type": "array", "items": schema_of(inner_of(said.kind))}))
        return said._replace(kind=_GIVES.get(name, said.kind))

    def _made(self, owner: ast.expr, made_by: str, known: _Known) -> Said:
        """The form of an instance; of one that may be of several classes, any of theirs."""
        said = self._value(owner, known)
        forms = [Form(kind, made_by) for kind in classes_of(said.kind)]
        return said._replace(kind=forms[0] if len(forms) == 1 else Schema(either(map(schema_of, forms))))

    @property
    def _where(self) -> str:
        return f"{self._kind.__module__}.{self._kind.__name__}.to_dict"

    def _unknown(self, node: ast.AST | None) -> TypeError:
        text = ast.unparse(node) if node else "nothing"
        return TypeError(f"{self._where}: cannot follow {text!r}; write it plainer")
