"""Where rows come from, and the function that turns them into features and target.

A source is a table of the workspace or an importable function that returns a dataframe; `prepare` is
an importable function from dataframe to dataframe. With pandas it sees its rows in canonical order
under an unnamed index, so that even ``cumsum`` gives the same result on every engine and day. With Spark
rows have no order, and they come to this process only when they are prepared, if at all.
"""

from __future__ import annotations

import contextlib
import dataclasses
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import model_validator

from mlkit.boundary import user_code
from mlkit.code import load_function
from mlkit.data.contract_sql import check_frame
from mlkit.data.frame import admit
from mlkit.data.stream import repeatable
from mlkit.digest.fingerprint import canonical_order, lanes
from mlkit.digest.spark_frame import is_spark, names_of, translated
from mlkit.digest.sql import quoted
from mlkit.digest.stream import open_stream
from mlkit.engines.sizes import fetch
from mlkit.errors import ConfigError, DataError, StoreError
from mlkit.nearest import likely
from mlkit.spec import Spec
from mlkit.workspace import table_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from mlkit.data.contract import Contract
    from mlkit.engines.base import Engine, Frame, TableInfo

FrameKind: TypeAlias = Literal["pandas", "spark", "any"]

MAX_TEXT_BYTES = 1 << 30
_WIDE = {pa.string(): pa.large_string(), pa.binary(): pa.large_binary()}


class Source(Spec):
    """Where the rows of a project come from.

    Attributes:
        table: A table of the workspace, e.g. ``features.flights``.
        load: Or an importable function ``module:function`` that returns a dataframe.
        prepare: Importable function ``module:function`` from dataframe to dataframe.
        frame: What `prepare` takes: a ``pandas`` frame; a ``spark`` frame, on targets that have Spark; or
            ``any``, that of the target, for a function written once for both (with Narwhals).

    Raises:
        ConfigError: Both a table and a load function, or neither (CFG032).
        NamingError: The table has no name that every store takes.

    Example:
        >>> Source(table="features.flights", prepare="flight_delay:prepare")
    """

    table: str | None = None
    load: str | None = None
    prepare: str | None = None
    frame: FrameKind = "pandas"

    @model_validator(mode="after")
    def _one_origin(self) -> Source:
        if (self.table is None) == (self.load is None):
            raise ConfigError("CFG032", "give a table or a load function, and not both", path="table")
        if self.table is not None:
            table_name(self.table)
        return self

    @property
    def references(self) -> list[str]:
        """The importable functions that are named here."""
        return [reference for reference in (self.load, self.prepare) if reference]

    def __str__(self) -> str:
        """``features.flights -> flight_delay:prepare``."""
        return " -> ".join(part for part in (self.table or self.load, self.prepare) if part)


@dataclasses.dataclass(frozen=True)
class Pinned:
    """Rows of a source, and the version they were read at (None where the source has no versions)."""

    rows: pa.Table
    version: int | None


@dataclasses.dataclass(frozen=True)
class Opened:
    """The same with rows where they are: a table in this process, or a Spark dataframe."""

    rows: pa.Table | Frame
    version: int | None


def open_source(source: Source, engine: Engine) -> Opened:
    """Prepared rows of a source, in Spark if the target has Spark and nothing asks for them here.

    Args:
        source: Where rows come from.
        engine: Where tables live.

    Returns:
        The rows, in no particular order; a Spark dataframe is not evaluated.

    Raises:
        ConfigError: A function that is named is not there, or takes a Spark frame and there is none (CFG029).
        DataError: The rows hold what no store could, or are more than may come here (DAT070).
        StudyError: The user's function failed.
        StoreError: No such table (STO010).
    """
    version = None
    if source.table is not None:
        info = _described(source.table, engine)
        rows, version = engine.scan(info.name, version=info.version), info.version
        rows = rows if is_spark(rows) else rows.read_all()
    else:
        load = str(source.load)
        rows = open_data(_call(_imported(load), (), load), engine)
    if source.prepare is not None:
        function = _imported(source.prepare)
        rows = prepare_rows(rows, function, name=source.prepare, frame=source.frame, engine=engine)
    return Opened(rows, version)


def read_source(source: Source, engine: Engine) -> Pinned:
    """Read and prepare all rows of a source.

    Args:
        source: Where rows come from.
        engine: Where tables live.

    Returns:
        The rows in memory, in no particular order.

    Raises:
        ConfigError: A function that is named is not there.
        DataError: The rows hold what no store could, or are more than may come here (DAT070).
        StudyError: The user's function failed.
        StoreError: No such table (STO010).
    """
    opened = open_source(source, engine)
    return Pinned(read_dataframe(opened.rows, most=engine.fetch_bytes, what=str(source)), opened.version)


def read_checked(source: Source, engine: Engine, contract: Contract, *, key: Sequence[str] = ()) -> Pinned:
    """Read and prepare all rows of a source, and check them where they are before they come here.

    Args:
        source: Where rows come from.
        engine: Where tables live.
        contract: What prepared rows keep.
        key: Columns that identify a row.

    Returns:
        The rows in memory in the types of the contract, in no particular order.

    Raises:
        ContractError: The rows break the contract.
        MlkitError: As for `read_source`.
    """
    opened = open_source(source, engine)
    if not is_spark(opened.rows):
        return Pinned(contract.check(opened.rows, key=key), opened.version)
    checked = check_frame(opened.rows, contract, key=key, origin=str(source))
    rows = read_dataframe(checked, most=engine.fetch_bytes, what=str(source))
    return Pinned(contract.cast(rows), opened.version)


@contextlib.contextmanager
def open_rows(
    data: object, engine: Engine
) -> Iterator[Callable[[], pa.Table | pa.RecordBatchReader | Frame]]:
    """Rows to go through as often as needed, which are not in memory unless they were or a function runs.

    Args:
        data: A `Source`, any dataframe (a Spark dataframe stays in Spark), or an Arrow stream.
        engine: Where tables live.

    Yields:
        A function that gives the rows anew, all of one version: a table, a reader for rows that may be
        larger than memory (a table of the store without `prepare`, or a stream), or a Spark dataframe.

    Raises:
        MlkitError: As for `read_source` and `read_dataframe`.
    """
    if isinstance(data, pa.RecordBatchReader):
        with repeatable(_admitted(data)) as read:
            yield read
    elif isinstance(data, Source) and data.table is not None and data.prepare is None:
        info = _described(data.table, engine)
        yield lambda: engine.scan(info.name, version=info.version)
    else:
        rows = open_source(data, engine).rows if isinstance(data, Source) else open_data(data, engine)
        yield lambda: rows


def read_dataframe(data: object, *, most: int | None = None, what: str = "rows") -> pa.Table:
    """All rows of any dataframe in the types that a table holds; categories stay dictionary-encoded.

    Args:
        data: A pandas, Polars or Spark dataframe, an Arrow table or stream, or anything that gives one.
        most: Bytes of a Spark dataframe that may come here; None for as many as there are.
        what: Whose rows these are, for an error.

    Raises:
        DataError: A name, type or value that no table holds exactly, or more rows than may come (DAT070).
    """
    if is_spark(data):
        data = fetch(data, most=most, what=what)
    return _admitted(open_stream(data)).read_all().unify_dictionaries()


def _admitted(reader: pa.RecordBatchReader) -> pa.RecordBatchReader:
    """Rows in the types that a table holds, but for categories: that they are some goes into the contract."""
    coded = [pa.types.is_dictionary(field.type) for field in reader.schema]
    plain = admit(reader)
    if not any(coded):
        return plain
    fields = [
        field.with_type(pa.dictionary(pa.int32(), field.type)) if code else field
        for field, code in zip(plain.schema, coded, strict=True)
    ]
    schema = pa.schema(fields)
    encoded = (
        pa.RecordBatch.from_arrays(
            [
                column.dictionary_encode() if code else column
                for column, code in zip(batch.columns, coded, strict=True)
            ],
            schema=schema,
        )
        for batch in plain
    )
    return pa.RecordBatchReader.from_batches(schema, encoded)


def open_data(data: object, engine: Engine) -> pa.Table | Frame:
    """Rows as the engine takes them: those of a Spark dataframe stay where they are if it is one of Spark.

    Args:
        data: Any dataframe, or an Arrow table or stream.
        engine: Where tables live.

    Raises:
        DataError: A name, type or value that no table holds exactly.
    """
    return data if is_spark(data) and engine.fetch_bytes is not None else read_dataframe(data)


def prepare_rows(
    rows: pa.Table | Frame, prepare: object, *, name: str, engine: Engine, frame: FrameKind = "pandas"
) -> pa.Table | Frame:
    """Apply the user's `prepare`: with pandas to rows in canonical order, with Spark to rows in none.

    Args:
        rows: The rows of the source, here or in Spark.
        prepare: Function from the frame it takes to any dataframe.
        name: How errors name the function.
        engine: Where tables live; it says how many rows may come here.
        frame: What `prepare` takes.

    Returns:
        What `prepare` made of the rows, in the types that a table holds, or a Spark dataframe.

    Raises:
        ConfigError: `prepare` is no function (CFG033), or there is no Spark frame for it (CFG029).
        StudyError: It failed (RUN010).
        DataError: It returned no dataframe (DAT021), or one that no table holds; or the rows are more than
            may come here (DAT070).
    """
    in_spark = is_spark(rows)
    if frame == "spark" and not in_spark:
        message = "the function takes a Spark frame, and on this target the rows are not in Spark"
        fix = "take a target that has Spark, or write it once for both, as in the guide, with frame: any"
        raise ConfigError("CFG029", message, path=name, fix=fix)
    if in_spark and frame != "pandas":
        with translated("choose columns"):
            given = rows.selectExpr(*(quoted(column) for column in _name_order(names_of(rows))))
    else:
        here = read_dataframe(rows, most=engine.fetch_bytes, what=name) if in_spark else rows
        given = ordered(here).to_pandas()
    return open_data(_call(prepare, (given,), name), engine)


def ordered(rows: pa.Table) -> pa.Table:
    """Columns by name and rows by digest: the one order of this content (`digest.md` section 7)."""
    order = canonical_order(lanes(rows))
    return pa.table({name: _taken(rows.column(name), order) for name in _name_order(rows.column_names)})


def _name_order(names: Sequence[str]) -> list[str]:
    return sorted(names, key=str.encode)


def _taken(column: pa.ChunkedArray, order: NDArray[np.int64]) -> pa.ChunkedArray:
    """Values by position; Arrow alone puts them in one chunk, which holds no more than 2 GiB of text."""
    wide = _WIDE.get(column.type)
    if wide is None or column.nbytes <= MAX_TEXT_BYTES:
        return column.take(pa.array(order))
    whole = column.cast(wide).combine_chunks()
    ends = np.cumsum(pc.binary_length(whole).fill_null(0).to_numpy()[order])
    blocks = np.split(order, np.flatnonzero(np.diff(ends // MAX_TEXT_BYTES)) + 1)
    return pa.chunked_array([whole.take(pa.array(block)).cast(column.type) for block in blocks])


def _described(table: str, engine: Engine) -> TableInfo:
    name = table_name(table)
    info = engine.describe(name)
    if info is None:
        there = [str(other) for other in engine.tables(name.schema)]
        meant = likely(str(name), there)
        said = f"did you mean {meant!r}? Or " if meant else ""
        known = ", ".join(there) or "none yet"
        fix = f"{said}publish it with project.publish_features({table!r}, ...); tables there: {known}"
        raise StoreError("STO010", "there is no such table", path=table, fix=fix)
    return info


def _imported(reference: str) -> object:
    with user_code(reference, action="import"):
        return load_function(reference)


def _call(function: object, arguments: tuple[Any, ...], name: str) -> object:
    if not callable(function):
        message = f"expected a function, found {type(function).__name__}"
        raise ConfigError("CFG033", message, path=name, fix="name a function as module:function")
    called: Callable[..., object] = function
    with user_code(name):
        result = called(*arguments)
    if result is None:
        message = "expected a dataframe, found that the function returns None"
        raise DataError("DAT021", message, path=name, fix="return the dataframe")
    return result
