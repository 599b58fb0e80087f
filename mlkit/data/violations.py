"""Counting what breaks a contract: column, check, number of rows and the first offending keys.

Only keys are ever shown; they say which rows to look at. No other value reaches a message.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from mlkit.digest.fingerprint import canonical_order, lanes
from mlkit.errors import ContractError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from mlkit.data.column import Column

    Predicate = Callable[[pd.Series[Any]], NDArray[np.bool_]]

CHUNK_ROWS = 1 << 20
SHOWN_KEYS, SHOWN_VIOLATIONS = 3, 20
# Rows among which distinct keys are sought: duplicates of one key stand for one.
_LOOKED_AT = 100
# Kinds whose checks run on numpy values; those of the others run once per distinct value.
_NUMPY_KINDS = frozenset({"bool", "integer", "float", "timestamp", "timestamp_utc"})


@dataclasses.dataclass(frozen=True)
class Violation:
    """One promise that some rows break.

    Attributes:
        column: The column, or the columns of a key.
        check: Name of the pandera check, or ``not_nullable``, ``categories``, ``unique``, ``key_not_null``,
            ``key_unique``.
        count: Number of rows that break it; of duplicates, all of them.
        keys: Up to three different keys of these rows, first rows first (none if the table has no key).
    """

    column: str
    check: str
    count: int
    keys: tuple[Any, ...] = ()

    def __str__(self) -> str:
        """``price: greater_than fails in 3 rows (keys 7, 9, 12)``."""
        keys = f" (keys {', '.join(map(str, self.keys))})" if self.keys else ""
        rows = "row" if self.count == 1 else "rows"
        return f"{self.column}: {self.check} fails in {self.count:,} {rows}{keys}"


def find_violations(
    table: pa.Table,
    columns: Mapping[str, Column],
    *,
    predicates: Mapping[str, Mapping[str, Predicate]],
    unique: Sequence[str] = (),
    key: Sequence[str] = (),
) -> list[Violation]:
    """Everything in which a table breaks its contract.

    Args:
        table: Rows in the types of the contract.
        columns: What each column keeps.
        predicates: Per column and check, a function from values to "keeps it", never given a missing value.
        unique: Columns that are unique together.
        key: Columns that identify a row.
    """
    broken = _broken_columns(table, columns, predicates, key)
    repeated = _duplicates(table, columns, unique, key)
    return [
        Violation(column, check, len(rows), _keys(table, key, rows))
        for column, check, rows in (*broken, *repeated)
        if len(rows)
    ]


def contract_error(found: Sequence[Violation], *, rows: int) -> ContractError:
    """One error for all violations; ``DAT049`` if only the key is to blame, else ``DAT060``."""
    code = "DAT049" if all(violation.check.startswith("key_") for violation in found) else "DAT060"
    lines = [f"\n  {violation}" for violation in found[:SHOWN_VIOLATIONS]]
    if len(found) > SHOWN_VIOLATIONS:
        lines.append(f"\n  and {len(found) - SHOWN_VIOLATIONS} more")
    message = f"{rows:,} rows break the contract in {len(found)} {'way' if len(found) == 1 else 'ways'}:"
    fix = "correct the rows at their origin, or change the contract"
    return ContractError(code, message + "".join(lines), path=found[0].column, fix=fix)


def _keys(table: pa.Table, key: Sequence[str], rows: NDArray[np.intp]) -> tuple[Any, ...]:
    if not key:
        return ()
    shown: dict[Any, None] = {}
    columns = table.select(list(key))
    for row in rows[:_LOOKED_AT]:
        values = tuple(columns.slice(int(row), 1).to_pylist()[0].values())
        shown[values[0] if len(key) == 1 else values] = None
        if len(shown) == SHOWN_KEYS:
            break
    return tuple(shown)


def _broken_columns(
    table: pa.Table,
    columns: Mapping[str, Column],
    predicates: Mapping[str, Mapping[str, Predicate]],
    key: Sequence[str],
) -> Iterator[tuple[str, str, NDArray[np.intp]]]:
    for name, column in columns.items():
        values = table.column(name)
        if values.null_count and (name in key or not column.nullable):
            yield name, "key_not_null" if name in key else "not_nullable", _where(values.is_null())
        if column.categories:
            known = pc.is_in(values, value_set=pa.array(column.categories, column.arrow_type))
            yield name, "categories", _where(pc.and_(pc.invert(known), values.is_valid()))
        failing = _failing_rows(values, column.kind, predicates[name])
        yield from ((name, check, rows) for check, rows in failing.items())


def _duplicates(
    table: pa.Table, columns: Mapping[str, Column], unique: Sequence[str], key: Sequence[str]
) -> Iterator[tuple[str, str, NDArray[np.intp]]]:
    for name, column in columns.items():
        if column.unique and [name] != list(key):
            yield name, "unique", _repeated_rows(table, [name])
    if unique:
        yield ", ".join(unique), "unique", _repeated_rows(table, unique)
    if key:
        yield ", ".join(key), "key_unique", _repeated_rows(table, key)


def _repeated_rows(table: pa.Table, names: Sequence[str]) -> NDArray[np.intp]:
    """Rows whose values in these columns occur more than once, in the order of the table."""
    both = lanes(table, columns=names)  # (2, n)
    if not _repeats(np.sort(both[0])).any():
        return np.empty(0, np.intp)
    order = canonical_order(both)
    again = _repeats(both[:, order])
    repeated = np.zeros(len(order), np.bool_)
    repeated[1:] |= again
    repeated[:-1] |= again
    return np.sort(order[repeated])


def _repeats(ordered: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether each but the first equals the one before it: (n - 1,) from (n,) or (2, n)."""
    equal = ordered[..., 1:] == ordered[..., :-1]
    return np.asarray(equal if equal.ndim == 1 else equal.all(axis=0), dtype=np.bool_)


def _where(mask: pa.ChunkedArray) -> NDArray[np.intp]:
    return np.flatnonzero(mask.to_numpy())


def _failing_rows(
    column: pa.ChunkedArray, kind: str, predicates: Mapping[str, Predicate]
) -> dict[str, NDArray[np.intp]]:
    """Rows that fail, by check; missing values fail none."""
    parts: dict[str, list[NDArray[np.intp]]] = {check: [] for check in predicates}
    for start, chunk in _slices(column) if predicates else ():
        kept = chunk.drop_null()
        if not len(kept):
            continue
        for check, keeps in _evaluated(kept, kind, predicates):
            failing = np.flatnonzero(~keeps)
            if len(failing) and len(kept) < len(chunk):
                failing = np.flatnonzero(chunk.is_valid().to_numpy(zero_copy_only=False))[failing]
            parts[check].append(failing + start)
    return {check: np.concatenate(rows) for check, rows in parts.items() if rows}


def _slices(column: pa.ChunkedArray) -> Iterator[tuple[int, pa.Array]]:
    """Parts of a column that bound the memory of a check, each with the number of its first row."""
    start = 0
    for chunk in column.chunks:
        for offset in range(0, len(chunk), CHUNK_ROWS):
            yield start + offset, chunk.slice(offset, CHUNK_ROWS)
        start += len(chunk)


def _evaluated(
    values: pa.Array, kind: str, predicates: Mapping[str, Predicate]
) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """The verdict of each check on values without a missing one: (n,) bools."""
    if kind in _NUMPY_KINDS:
        series = pd.Series(values.to_numpy(zero_copy_only=False))
        series = series.dt.tz_localize(dt.UTC) if kind == "timestamp_utc" else series
        yield from ((check, keeps(series)) for check, keeps in predicates.items())
        return
    encoded = values.dictionary_encode()
    distinct = pd.Series(encoded.dictionary.to_numpy(zero_copy_only=False).astype(object), dtype=object)
    codes = encoded.indices.to_numpy()
    yield from ((check, keeps(distinct)[codes]) for check, keeps in predicates.items())
