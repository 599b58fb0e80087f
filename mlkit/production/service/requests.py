"""Requests as MLflow's clients send them, read strictly: what is ambiguous is refused, never guessed.

A body is one JSON object with one of ``dataframe_split``, ``dataframe_records``, ``inputs`` and
``instances``; besides, ``params`` and ``client_request_id``. Refused are a key that stands twice, ``NaN``
and ``Infinity`` (no JSON: a missing value is ``null``), and values nested deeper than 64.
"""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any, NoReturn

from mlkit.production.service.answers import RefusedError

try:
    import orjson
except ImportError:  # pragma: no cover - the extra `serve` brings it
    orjson = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

MOST_NESTED = 64
SHAPES = ("dataframe_split", "dataframe_records", "inputs", "instances")
_BESIDES = ("params", "client_request_id")
_SHAPES_SHOWN = ", ".join(SHAPES[:3])
_EXAMPLE = '{"dataframe_split": {"columns": ["a", "b"], "data": [[1, 2]]}}'


@dataclasses.dataclass(frozen=True)
class Asked:
    """What a body asks for.

    Attributes:
        columns: Values of each column by its name, all of the same length, as JSON gave them.
        rows: How many rows.
        with_probabilities: Whether the answer shall hold the probability of each class.
        client_request_id: As the client calls the request; empty if it does not.
    """

    columns: Mapping[str, Sequence[Any]]
    rows: int
    with_probabilities: bool = False
    client_request_id: str = ""


def read_body(body: bytes, *, max_rows: int) -> Asked:
    """Read a body.

    Raises:
        RefusedError: It is not JSON (NET025 to NET028), none of the shapes (NET029), has no rows (NET031) or
            too many (NET024), rows of different columns (NET030, NET032), or a parameter that is not
            known (NET046).
    """
    values = read_json(body)
    try:
        return _asked(values, max_rows)
    except RefusedError as exc:
        # Only what is refused can nest that deep: so only there it is looked for.
        if _is_deeper(values, MOST_NESTED):
            raise _too_deep() from exc
        raise


def read_json(body: bytes) -> Any:  # noqa: ANN401 - any JSON value
    """The values of a JSON text in UTF-8.

    Raises:
        RefusedError: It is none (NET025), or has a key twice (NET026), NaN (NET027) or too deep (NET028).
    """
    if orjson is not None:
        try:
            values = orjson.loads(body)
        except orjson.JSONDecodeError:
            pass  # the reader below says what is wrong
        else:
            if body.count(b":") == _keys(values):  # as many keys as were written: none stands twice
                return values
    return _read_strictly(body)


def _read_strictly(body: bytes) -> Any:  # noqa: ANN401 - any JSON value
    try:
        return json.loads(body.decode("utf-8"), object_pairs_hook=_object, parse_constant=_no_constant)
    except RecursionError as exc:
        raise _too_deep() from exc
    except ValueError as exc:  # their text quotes the body
        message = "expected a body of JSON in UTF-8"
        raise RefusedError("NET025", message, path="body", fix=f"e.g. {_EXAMPLE}") from exc


def _keys(values: Any) -> int:  # noqa: ANN401 - any JSON value
    """Number of keys, down to where rows of a request are; less where an object is deeper still."""
    if not isinstance(values, dict):
        return -1
    found = len(values)
    for value in values.values():
        if isinstance(value, dict):
            found += len(value)
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            found += sum(len(row) for row in value if isinstance(row, dict))
    return found


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        message = "a key stands twice, and a reader could not know which one counts"
        raise RefusedError("NET026", message, path="body", fix="send each key once")
    return found


def _no_constant(_: str) -> NoReturn:
    message = "NaN and Infinity are not JSON"
    raise RefusedError("NET027", message, path="body", fix="send null for a missing value")


def _too_deep() -> RefusedError:
    message = f"values are nested deeper than {MOST_NESTED}"
    return RefusedError("NET028", message, path="body", fix="send rows of plain values")


def _is_deeper(value: Any, most: int) -> bool:  # noqa: ANN401 - any JSON value
    level = [value]
    for _ in range(most):
        inner = [item.values() if isinstance(item, dict) else item for item in level]
        level = [item for items in inner if not isinstance(items, str | int | float | None) for item in items]
        level = [item for item in level if isinstance(item, dict | list)]
        if not level:
            return False
    return True


def _asked(values: Any, max_rows: int) -> Asked:  # noqa: ANN401 - any JSON value
    if not isinstance(values, dict):
        raise _no_shape("body")
    shapes = [key for key in SHAPES if key in values]
    if len(shapes) != 1:
        raise _no_shape("body")
    if unknown := sorted(values.keys() - {*shapes, *_BESIDES}):
        message = f"expected {_SHAPES_SHOWN}, and besides {' and '.join(_BESIDES)}; found another key"
        raise RefusedError("NET029", message, path=shown(unknown[0]), fix="leave it out")
    columns, rows = _READERS[shapes[0]](values[shapes[0]], max_rows)
    wants = _wants_probabilities(values.get("params"))
    request_id = values.get("client_request_id", "")
    return Asked(columns, rows, wants, request_id if isinstance(request_id, str) else "")


def _split(value: Any, max_rows: int) -> tuple[dict[str, Sequence[Any]], int]:  # noqa: ANN401 - any JSON value
    if not isinstance(value, dict) or not {"columns", "data"} <= value.keys() <= {"columns", "data", "index"}:
        raise _no_shape("dataframe_split")
    names, data = value["columns"], value["data"]
    if not _are(names, str) or not _are(data, list):
        raise _no_shape("dataframe_split")
    _check_rows(len(data), max_rows)
    if len(set(names)) < len(names):
        raise RefusedError("NET026", "a column stands twice", path="columns", fix="send each column once")
    if set(map(len, data)) != {len(names)}:
        message = "a row has another number of values than there are columns"
        raise RefusedError(
            "NET029", message, path="dataframe_split.data", fix="send one value for each column"
        )
    return dict(zip(names, zip(*data, strict=True), strict=True)), len(data)


def _records(value: Any, max_rows: int) -> tuple[dict[str, Sequence[Any]], int]:  # noqa: ANN401 - any JSON value
    if not _are(value, dict):
        raise _no_shape("dataframe_records")
    _check_rows(len(value), max_rows)
    names = value[0].keys()
    for row in value:
        if row.keys() != names:
            missing = sorted(names - row.keys()) or sorted(row.keys() - names)
            message = "a row has other columns than the first"
            raise RefusedError("NET030", message, path=shown(missing[0]), fix="send null for a missing value")
    return {name: [row[name] for row in value] for name in names}, len(value)


def _inputs(value: Any, max_rows: int) -> tuple[dict[str, Sequence[Any]], int]:  # noqa: ANN401 - any JSON value
    if _are(value, dict):
        return _records(value, max_rows)
    if not isinstance(value, dict):
        raise _no_shape("inputs")
    columns = list(value.values())
    if not columns or not _are(columns, list) or len(set(map(len, columns))) != 1:
        raise _no_shape("inputs")
    _check_rows(len(columns[0]), max_rows)
    return value, len(columns[0])


_READERS: dict[str, Callable[[Any, int], tuple[Mapping[str, Sequence[Any]], int]]] = {
    "dataframe_split": _split,
    "dataframe_records": _records,
    "inputs": _inputs,
    "instances": _inputs,
}


def _are(values: Any, kind: type) -> bool:  # noqa: ANN401 - any JSON value
    """Whether this is a list of values of one kind."""
    return isinstance(values, list) and set(map(type, values)) <= {kind}


def _check_rows(rows: int, max_rows: int) -> None:
    if rows == 0:
        raise RefusedError("NET031", "expected rows, found none", path="body", fix="send at least one row")
    if rows > max_rows:
        message = f"expected at most {max_rows:,} rows, found {rows:,}"
        raise RefusedError(
            "NET024", message, path="body", fix="send them in several requests, or use mlkit score"
        )


def _wants_probabilities(params: Any) -> bool:  # noqa: ANN401 - any JSON value
    if params is None:
        return False
    known = isinstance(params, dict) and params.keys() <= {"proba"}
    if not known or not isinstance(params.get("proba", False), bool):
        message = "expected no parameter but proba, which is true or false"
        raise RefusedError("NET046", message, path="params", fix='"params": {"proba": true}')
    return bool(params.get("proba", False))


def _no_shape(path: str) -> RefusedError:
    message = f"expected exactly one of {_SHAPES_SHOWN}, in the form that MLflow gives it"
    return RefusedError("NET029", message, path=path, fix=f"e.g. {_EXAMPLE}")


def shown(name: str) -> str:
    """A name of the client's that goes into a message: the first 80 characters that print."""
    return "".join(filter(str.isprintable, name))[:80]
