"""From the JSON values of a request to the frame that the model sees, by a plan made once for a model.

What `mlkit.data.frame.to_frame` makes of a table in half a millisecond is made here of lists of Python
values in a tenth of it, equal bit for bit. Values are checked before they join those of other requests,
so that no bad row can spoil its neighbours.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from mlkit.data.frame import to_frame
from mlkit.production.service.answers import RefusedError
from mlkit.production.service.requests import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mlkit.data.column import Column
    from mlkit.data.contract import Contract

Values = list[Any]
_NUMBER = frozenset({int, float})
_EXACT_BELOW = 2**53  # where every whole float64 is one int


@dataclasses.dataclass(frozen=True)
class _Field:
    """One column of a request.

    Attributes:
        name: Its name.
        column: What the contract says of it.
        check: From JSON values to values that the column holds; missing ones are None.
        series: From checked values to what the frame holds; None if `to_frame` shall do it.
    """

    name: str
    column: Column
    check: Callable[[Sequence[Any], set[type]], Values]
    series: Callable[[Values], Any] | None


class Plan:
    """How requests become frames for one model.

    Attributes:
        features: Columns of the frame, in order.
        key: Columns that a request may hold beside them, which tell rows apart.
    """

    def __init__(self, contract: Contract, features: Sequence[str], key: Sequence[str] = ()) -> None:
        """Look at every column once."""
        self.features = tuple(features)
        self.key = tuple(name for name in key if name not in features)
        self._contract = contract
        self._fields = {name: _field(name, contract.columns[name]) for name in (*self.features, *self.key)}
        self._labels = pd.Index(list(features), dtype=object)

    def check(self, columns: Mapping[str, Sequence[Any]]) -> dict[str, Values]:
        """The values of a request as the columns hold them, features first.

        Args:
            columns: JSON values by column. The key may be left out as a whole.

        Raises:
            RefusedError: A column is missing (NET030) or not known (NET032), or a value is of another type
                (NET033), beyond its range (NET034), missing (NET047) or of no category (NET048).
        """
        wanted = self.features if columns.keys().isdisjoint(self.key) else (*self.features, *self.key)
        if missing := [name for name in wanted if name not in columns]:
            fix = f"columns: {', '.join(wanted)}"[:2000]
            raise RefusedError("NET030", "expected this column, found none", path=missing[0], fix=fix)
        if extra := [name for name in columns if name not in self._fields]:
            message = "the model has no such column"
            raise RefusedError("NET032", message, path=shown(extra[0]), fix="leave it out")
        return {name: _checked(self._fields[name], columns[name]) for name in wanted}

    def frame(self, columns: Mapping[str, Values]) -> pd.DataFrame:
        """The (n, features) frame of checked values."""
        rows = len(columns[self.features[0]])
        series = {name: self._series(self._fields[name], columns[name]) for name in self.features}
        frame = pd.DataFrame(series, index=pd.RangeIndex(rows))
        frame.columns = self._labels  # not those of the dict: pandas 2 and 3 infer different dtypes
        return frame

    def table(self, columns: Mapping[str, Values]) -> pa.Table:
        """Checked values as a table in the types of the contract."""
        return pa.table({name: self._array(self._fields[name], values) for name, values in columns.items()})

    def example(self) -> dict[str, Any]:
        """One made-up row in the shape ``dataframe_split``, such as the columns allow."""
        row = [_example(self._fields[name].column) for name in self.features]
        return {"columns": list(self.features), "data": [row]}

    def _series(self, field: _Field, values: Values) -> Any:  # noqa: ANN401 - array or series
        if field.series is not None:
            return field.series(values)
        table = pa.table({field.name: self._array(field, values)})
        return to_frame(table, self._contract, [field.name])[field.name]

    @staticmethod
    def _array(field: _Field, values: Values) -> pa.Array:
        return pa.array(values, type=field.column.arrow_type)


def _example(column: Column) -> Any:  # noqa: ANN401 - any JSON value
    if column.categories:
        return column.categories[0]
    known = {
        "integer": 1,
        "bool": True,
        "string": "text",
        "date": "2024-01-31",
        "timestamp": "2024-01-31T12:00:00",
        "timestamp_utc": "2024-01-31T12:00:00Z",
    }
    return known.get(column.kind, 1.5)


def _checked(field: _Field, values: Sequence[Any]) -> Values:
    kinds = set(map(type, values))
    if type(None) in kinds:
        if not field.column.nullable:
            message = "the model allows no missing value here, found null"
            raise RefusedError("NET047", message, path=field.name, fix="fill it in")
        kinds.discard(type(None))
    try:
        return field.check(values, kinds)
    except RefusedError as exc:
        raise RefusedError(exc.code, exc.message, path=field.name, fix=exc.fix) from None


def _field(name: str, column: Column) -> _Field:
    kind = column.kind
    if column.categories:
        return _Field(name, column, _category_check(column), _category_series(column))
    if kind == "integer":
        series = _floats if column.nullable else _integers
        return _Field(name, column, _integer_check(column), series)
    if kind == "float":
        return _Field(name, column, _check_float, _singles if column.dtype == "float32" else _floats)
    if kind == "bool":
        return _Field(name, column, _check_bool, _floats if column.nullable else _bools)
    if kind == "string":
        return _Field(name, column, _check_text, _texts)
    return _Field(name, column, _other_check(column), None)


def _expect(kinds: set[type], allowed: set[type] | frozenset[type], what: str) -> None:
    if not kinds <= allowed:
        found = ", ".join(sorted(_JSON_NAMES.get(kind, "another type") for kind in kinds - allowed))
        raise RefusedError("NET033", f"expected {what}, found {found}", fix=f"send {what}")


_JSON_NAMES = {
    bool: "true or false",
    int: "a number",
    float: "a number with a fraction",
    str: "a text",
    list: "a list",
    dict: "an object",
}


def _beyond(what: str) -> RefusedError:
    return RefusedError(
        "NET034", f"a number is beyond what {what} holds", fix=f"send numbers that {what} holds"
    )


def _check_float(values: Sequence[Any], kinds: set[type]) -> Values:
    _expect(kinds, _NUMBER, "a number")
    try:
        floats = [None if value is None else float(value) for value in values]
    except OverflowError as exc:
        raise _beyond("a float64") from exc
    if math.inf in floats or -math.inf in floats:  # 1e999 is JSON
        raise _beyond("a float64")
    return floats


def _integer_check(column: Column) -> Callable[[Sequence[Any], set[type]], Values]:
    bits = int(column.dtype.removeprefix("int"))
    least, most = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1

    def check(values: Sequence[Any], kinds: set[type]) -> Values:
        _expect(kinds, _NUMBER, "a whole number")
        whole = [_whole(value) for value in values] if float in kinds else list(values)
        known: list[int] = [value for value in whole if value is not None]
        if known and not (least <= min(known) and max(known) <= most):
            raise _beyond(f"an {column.dtype}")
        return whole

    return check


def _whole(value: float | None) -> int | None:
    if isinstance(value, float):
        if not value.is_integer():
            raise RefusedError(
                "NET033", "expected a whole number, found a fraction", fix="send a whole number"
            )
        if abs(value) >= _EXACT_BELOW:
            raise _beyond("an int64")
        return int(value)
    return value


def _check_bool(values: Sequence[Any], kinds: set[type]) -> Values:
    _expect(kinds, {bool}, "true or false")
    return list(values)


def _check_text(values: Sequence[Any], kinds: set[type]) -> Values:
    _expect(kinds, {str}, "a text")
    try:
        for value in values:
            if value is not None and not value.isascii():
                value.encode()
    except UnicodeEncodeError as exc:
        message = "a text holds half of a surrogate pair, which is no character"
        raise RefusedError("NET033", message, fix="send valid text") from exc
    return list(values)


def _category_check(column: Column) -> Callable[[Sequence[Any], set[type]], Values]:
    known = {*column.categories, None}
    kind, what = (int, "a whole number") if isinstance(column.categories[0], int) else (str, "a text")

    def check(values: Sequence[Any], kinds: set[type]) -> Values:
        _expect(kinds, {kind}, what)
        if not known.issuperset(values):
            message = f"a value is none of the {len(column.categories)} categories that the model knows"
            raise RefusedError("NET048", message, fix="map it to one of them, or train with it")
        return list(values)

    return check


def _other_check(column: Column) -> Callable[[Sequence[Any], set[type]], Values]:
    readers: dict[str, tuple[str, Callable[[Any], Any]]] = {
        "date": ("a day such as 2024-01-31", _day),
        "timestamp": ("a time such as 2024-01-31T12:00:00, with no zone", _naive),
        "timestamp_utc": ("a time with its zone, such as 2024-01-31T12:00:00Z", _aware),
        "decimal": ("a number", lambda value: _decimal(value, column)),
    }
    what, read = readers.get(column.kind, ("another model: this one learns from bytes", _refuse))

    def check(values: Sequence[Any], kinds: set[type]) -> Values:
        _expect(kinds, {str, int, float} if column.kind == "decimal" else {str}, what)
        try:
            return [None if value is None else read(value) for value in values]
        except (ValueError, ArithmeticError) as exc:  # what they say quotes the value
            raise RefusedError("NET033", f"expected {what}, found another text", fix=f"send {what}") from exc

    return check


def _day(text: str) -> dt.date:
    moment = _naive(text)
    if moment.time() != dt.time():
        raise ValueError
    return moment.date()


def _naive(text: str) -> dt.datetime:
    moment = dt.datetime.fromisoformat(text)
    if moment.tzinfo is not None:
        raise ValueError
    return moment


def _aware(text: str) -> dt.datetime:
    moment = dt.datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError
    return moment.astimezone(dt.UTC)


def _decimal(value: float | str, column: Column) -> decimal.Decimal:
    """A number of a decimal column; a JSON number stands for the shortest text that it is written as."""
    found = decimal.Decimal(str(value))
    precision, scale = column.arrow_type.precision, column.arrow_type.scale
    if not found.is_finite():
        raise ValueError
    with decimal.localcontext(prec=precision):
        exact = found.quantize(decimal.Decimal(1).scaleb(-scale))
    if exact != found:
        raise ValueError
    return exact


def _refuse(_: object) -> None:
    raise ValueError


def _floats(values: Values) -> np.ndarray[Any, np.dtype[np.float64]]:
    """(n,) floats, missing as NaN; adding 0.0 makes -0.0, which equals 0.0, the same bits too."""
    return np.array(values, dtype=np.float64) + 0.0


def _singles(values: Values) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array(values, dtype=np.float32).astype(np.float64) + 0.0


def _integers(values: Values) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.array(values, dtype=np.int64)


def _bools(values: Values) -> np.ndarray[Any, np.dtype[np.bool_]]:
    return np.array(values, dtype=np.bool_)


def _texts(values: Values) -> pd.Series[Any]:
    objects = np.array(values, dtype=object)
    if None in values:
        objects[[value is None for value in values]] = np.nan
    return pd.Series(objects, dtype=object)


def _category_series(column: Column) -> Callable[[Values], Any]:
    text = column.value_dtype == "string"
    labels = pd.Index(list(column.categories), dtype=object if text else np.int64)
    dtype = pd.CategoricalDtype(labels)
    codes = {value: code for code, value in enumerate(column.categories)} | {None: -1}

    def series(values: Values) -> pd.Categorical[Any]:
        return pd.Categorical.from_codes([codes[value] for value in values], dtype=dtype)

    return series
