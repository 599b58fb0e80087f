"""Where answers go beside the prediction log: a file, or a table."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from mlkit.engines.base import EVENT_TIME
from mlkit.errors import DataError, StoreError, UsageError
from mlkit.failpoints import failpoint
from mlkit.production.score_rows import FILES
from mlkit.workspace import table_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlkit.engines.base import Engine, TableName

STAMPS = ("version", "model_id", EVENT_TIME, "request_id", "row_id")
"""Columns of the log that every answer carries."""


class Writer(Protocol):
    """Takes answers piece by piece."""

    def write(self, rows: pa.Table) -> None:
        """Take some."""


def answer_rows(rows: pa.Table, key: Sequence[str], predictions: pa.Table, logged: pa.Table) -> pa.Table:
    """Answers as a caller gets them: key, prediction, probabilities, and who answered what and when.

    Args:
        rows: (n,) rows that were asked about.
        key: Key columns, as far as the rows have them.
        predictions: (n,) what the model said.
        logged: (n,) the same rows in the prediction log.
    """
    known = [name for name in key if name in rows.column_names]
    if clash := [name for name in known if name in (*predictions.column_names, *STAMPS)]:
        message, fix = "an answer has a column of this name already", "rename the key column in prepare"
        raise DataError("DAT083", message, path=clash[0], fix=fix)
    parts = (rows.select(known), predictions, logged.select(STAMPS))
    columns = {name: part.column(name) for part in parts for name in part.column_names}
    return pa.table(columns)


def check_output(to: str | None, source: object, *, in_spark: bool) -> TableName | Path | None:
    """Where the answers are to go, refused before any work is done.

    Raises:
        UsageError: CLI051, a file that is there, or is of no known kind, or of which Spark could make none.
    """
    if to is None:
        return None
    if not to.endswith(FILES):
        return table_name(to)
    path = Path(to)
    if in_spark:
        message, fix = "Spark writes answers to a table", "name a table, such as monitoring.answers"
        raise UsageError("CLI051", message, path=to, fix=fix)
    if path.exists() or to == str(source):
        message, fix = "the file for the answers exists", "remove it, or name another one"
        raise UsageError("CLI051", message, path=to, fix=fix)
    if not path.parent.is_dir():
        message, fix = "the folder for the answers is not there", f"mkdir -p {path.parent}"
        raise UsageError("CLI051", message, path=to, fix=fix)
    return path


@contextlib.contextmanager
def writing(to: TableName | Path | None, engine: Engine, *, run_id: str) -> Iterator[Writer | None]:
    """A writer for the answers; they appear whole, and only if all goes well.

    Raises:
        StoreError: The file cannot be written (STO064).
    """
    if to is None:
        yield None
        return
    folder = to.parent if isinstance(to, Path) else None
    with tempfile.TemporaryDirectory(prefix=".mlkit-score-", dir=folder) as place:
        staged = Path(place) / (f"answers{to.suffix}" if isinstance(to, Path) else "answers.parquet")
        with _FileWriter(staged) as writer:
            yield writer
        failpoint("score.written")
        if isinstance(to, Path):
            with _door(to):
                staged.replace(to)
            return
        with pq.ParquetFile(staged) as file:
            stream = pa.RecordBatchReader.from_batches(file.schema_arrow, file.iter_batches())
            engine.log(to, stream, batch=run_id)


class _FileWriter(contextlib.AbstractContextManager["_FileWriter"]):
    """A parquet or csv file; it is opened when the first rows tell its columns."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: pq.ParquetWriter | pyarrow.csv.CSVWriter | None = None

    def write(self, rows: pa.Table) -> None:
        with _door(self._path):
            if self._file is None:
                kind = pyarrow.csv.CSVWriter if self._path.suffix == ".csv" else pq.ParquetWriter
                self._file = kind(self._path, rows.schema)
            self._file.write_table(rows)

    def __exit__(self, *_error: object) -> None:
        with _door(self._path):
            if self._file is not None:
                self._file.close()


@contextlib.contextmanager
def _door(path: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError) as exc:
        fix = "see that there is space, and that the folder may be written to"
        raise StoreError("STO064", "the answers cannot be written", path=path.name, fix=fix) from exc
