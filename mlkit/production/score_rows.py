"""The rows to be scored, wherever they are: a table, a file, a dataframe, or the config's own source.

They stream where they can. What cannot be streamed is what a function of the user's makes of them: that
takes all rows at once.
"""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from mlkit.boundary import user_code
from mlkit.code import load_function
from mlkit.data.source import Source, open_data, open_source, prepare_rows
from mlkit.data.stream import no_rows
from mlkit.digest.fingerprint import fingerprint
from mlkit.digest.spark_frame import is_spark, names_of
from mlkit.digest.sql import quoted
from mlkit.errors import DataError, UsageError
from mlkit.workspace import table_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from mlkit.engines.base import Engine, Frame
    from mlkit.production.scorer import Scorer

FILES = (".parquet", ".csv")
READ_ROWS = 2**15


@dataclasses.dataclass(frozen=True)
class Given:
    """Rows to be scored, not read yet, with the columns that are needed of them.

    Attributes:
        rows: An Arrow stream, or a Spark dataframe.
        columns: Their columns.
        origin: What a user calls them.
        total: How many there are, where that is known.
        identity: What tells them from other rows; empty for a stream, which nobody can look at twice.
    """

    rows: pa.RecordBatchReader | Frame
    columns: tuple[str, ...]
    origin: str
    total: int | None
    identity: str


def open_given(
    data: object, scorer: Scorer, engine: Engine, *, prepare: bool | None = None, further: Sequence[str] = ()
) -> Given:
    """Look at the rows to be scored.

    Args:
        data: Any dataframe, an Arrow stream, the path of a file, the name of a table, or None for the
            source of the version's own config.
        scorer: Who will answer.
        engine: Where tables live.
        prepare: Whether the config's `prepare` makes features of them; by default of the config's own
            source only.
        further: Columns that are needed beside features and key.

    Raises:
        UsageError: No such file (CLI052), or no `prepare` in the config (CLI053).
        DataError: A feature is missing (DAT045).
        StoreError: No such table (STO010).
        StudyError: The user's `prepare` failed.
    """
    source = Source.from_values(dict(scorer.config["source"]), path="source")
    data = str(data) if isinstance(data, Path) else data
    if data is None and source.table is not None:
        data, prepare = source.table, source.prepare is not None
    if prepare is None:
        own = data is None or (isinstance(data, str) and data == source.table)
        prepare = own and source.prepare is not None
    if prepare and source.prepare is None:
        message, fix = "the config has no prepare", "leave --prepare out: the rows are taken as they are"
        raise UsageError("CLI053", message, path="prepare", fix=fix)
    wanted = _Wanted(scorer, further)
    if data is None:
        return wanted.table(open_source(source, engine).rows, str(source))
    if prepare:
        return wanted.table(_prepared(data, source, engine), f"{_name(data)} -> {source.prepare}")
    return _as_they_are(data, engine, wanted)


def _as_they_are(data: object, engine: Engine, wanted: _Wanted) -> Given:
    if isinstance(data, str):
        return _file(Path(data), wanted) if data.endswith(FILES) else _table(data, engine, wanted)
    if isinstance(data, pa.RecordBatchReader):
        columns = wanted.of(data.schema.names)
        schema = pa.schema([data.schema.field(name) for name in columns])
        rows = pa.RecordBatchReader.from_batches(schema, (batch.select(list(columns)) for batch in data))
        return Given(rows, columns, "the stream", None, "")
    return wanted.table(open_data(data, engine), "the dataframe")


@dataclasses.dataclass(frozen=True)
class _Wanted:
    """The columns that are needed of rows: all features, and what else is there."""

    scorer: Scorer
    further: Sequence[str]

    def of(self, columns: Iterable[str]) -> tuple[str, ...]:
        """Which of these columns; the further ones must be among them."""
        known = list(columns)
        try:
            self.scorer.check_features(known)
        except DataError as exc:
            if not self.scorer.config["source"].get("prepare"):
                raise
            fix = f"{exc.fix}; if these rows are raw, let the config prepare them: --prepare"
            raise DataError(exc.code, exc.message, path=exc.path, fix=fix) from exc
        if missing := [name for name in self.further if name not in known]:
            message = "the rows have no such column"
            raise DataError("DAT082", message, path=missing[0], fix=f"there are: {', '.join(known[:20])}")
        found = (*self.scorer.key, *self.scorer.features, *self.further)
        return tuple(dict.fromkeys(name for name in found if name in known))

    def table(self, rows: pa.Table | Frame, origin: str) -> Given:
        """Rows in memory or in Spark."""
        if is_spark(rows):
            columns = self.of(names_of(rows))
            frame = rows.selectExpr(*map(quoted, columns))
            return Given(frame, columns, origin, None, fingerprint(frame))
        chosen = rows.select(self.of(rows.column_names))
        if not chosen.num_rows:
            raise no_rows(origin)
        return Given(
            chosen.to_reader(),
            tuple(chosen.column_names),
            origin,
            chosen.num_rows,
            fingerprint(chosen),
        )


def _prepared(data: object, source: Source, engine: Engine) -> pa.Table | Frame:
    """What the config's `prepare` makes of all rows."""
    reference = str(source.prepare)
    if isinstance(data, str) and not data.endswith(FILES):
        return open_source(Source(table=data, prepare=reference, frame=source.frame), engine).rows
    with user_code(reference, action="import"):
        function = load_function(reference)
    read = _open_file(Path(data), {})[0].read_all() if isinstance(data, str) else data
    rows = open_data(read, engine)
    return prepare_rows(rows, function, name=reference, frame=source.frame, engine=engine)


def _table(text: str, engine: Engine, wanted: _Wanted) -> Given:
    name = table_name(text)
    info = engine.describe(name)
    if info is None:
        engine.scan(name)  # says which tables there are
        raise no_rows(text)
    if not info.rows:
        raise no_rows(text)
    columns = wanted.of(info.schema.names)
    rows = engine.scan(name, version=info.version, columns=list(columns))
    return Given(rows, columns, text, info.rows, f"{name}@{info.version}")


def _file(path: Path, wanted: _Wanted) -> Given:
    contract = wanted.scorer.contract.columns
    types = {name: column.arrow_type for name, column in contract.items()}
    stream, total = _open_file(path, types)
    columns = wanted.of(stream.schema.names)
    rows = _selected(path, stream, columns)
    if total == 0:
        raise no_rows(str(path))
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Given(rows, columns, str(path), total, digest)


def _open_file(path: Path, types: dict[str, pa.DataType]) -> tuple[Any, int | None]:
    """A stream of the rows of a file, not read yet, and how many there are if the file says.

    A csv file has no types; those columns that are known get theirs, the others what they look like.
    """
    if not path.is_file():
        message, fix = "there is no such file", "give its path from the working directory, or a table"
        raise UsageError("CLI052", message, path=str(path), fix=fix)
    try:
        if path.suffix == ".csv":
            options = pyarrow.csv.ConvertOptions(column_types=types, strings_can_be_null=True)
            return pyarrow.csv.open_csv(path, convert_options=options), None
        file = pq.ParquetFile(path, pre_buffer=False)
    except (pa.ArrowException, OSError) as exc:
        raise _unreadable(path) from exc
    return _ParquetStream(file), file.metadata.num_rows


class _ParquetStream:
    """A parquet file as a stream of the columns that are asked for."""

    def __init__(self, file: pq.ParquetFile) -> None:
        self._file = file
        self.schema: pa.Schema = file.schema_arrow

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        return iter(self._file.iter_batches(batch_size=READ_ROWS, columns=list(columns)))

    def read_all(self) -> pa.Table:
        return self._file.read()


def _selected(path: Path, stream: Any, columns: Sequence[str]) -> pa.RecordBatchReader:  # noqa: ANN401 - csv or parquet
    schema = pa.schema([stream.schema.field(name) for name in columns]).remove_metadata()

    def batches() -> Iterator[pa.RecordBatch]:
        found = stream.batches(columns) if isinstance(stream, _ParquetStream) else stream
        try:
            for batch in found:
                yield batch.select(list(columns))
        except (pa.ArrowException, OSError) as exc:  # its text quotes rows
            raise _unreadable(path) from exc

    return pa.RecordBatchReader.from_batches(schema, batches())


def _unreadable(path: Path) -> DataError:
    message = f"the file cannot be read as {path.suffix.removeprefix('.')}"
    fix = "is it whole, and does each column hold what the contract says? parquet states its types"
    return DataError("DAT057", message, path=str(path), fix=fix)


def _name(data: object) -> str:
    return data if isinstance(data, str) else "the dataframe"
