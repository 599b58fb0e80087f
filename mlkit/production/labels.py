"""Labels, wherever they come from: each with the id of the row, or of the request, that it belongs to."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from mlkit.digest.stream import open_stream
from mlkit.errors import DataError, UsageError
from mlkit.nearest import likely
from mlkit.workspace import table_name

if TYPE_CHECKING:
    from mlkit.engines.base import Engine
    from mlkit.production.scorer import Scorer

_FILES = {".csv": pyarrow.csv.read_csv, ".parquet": pyarrow.parquet.read_table}


@dataclasses.dataclass(frozen=True)
class Labels:
    """Labels that are known.

    Attributes:
        by: Column of the prediction log that `ids` are of.
        ids: (n,) distinct texts.
        rows: (n,) rows with the label, under the name of the target.
    """

    by: Literal["row_id", "request_id"]
    ids: pa.Array
    rows: pa.Table

    def __len__(self) -> int:
        """Their number."""
        return len(self.ids)


def read_labels(
    engine: Engine, labels: object, scorer: Scorer, *, label: str, request_id: str | None = None
) -> Labels:
    """Read labels and work out what they belong to; missing ones are left out.

    Args:
        engine: Where tables are.
        labels: A table's name, the path of a .csv or .parquet file, or any dataframe.
        scorer: Knows key and target.
        label: Name of the label's column.
        request_id: Column with the id of the request; by default the key tells rows apart.

    Raises:
        UsageError: Labels without a key (CLI066), two for one row (CLI067), or no file that can be read
            (CLI068).
        DataError: A column is missing (DAT045).
    """
    wanted = [request_id] if request_id else list(scorer.key)
    if not wanted:
        message = "this project has no key, so a label of a row cannot be told from others"
        raise UsageError(
            "CLI066", message, path="labels", fix="--request-id COLUMN, if labels are of requests"
        )
    rows = _table(engine, labels)
    if missing := [name for name in (*wanted, label) if name not in rows.column_names]:
        near = likely(missing[0], rows.column_names)
        meant = f"did you mean {near!r}? " if near else ""
        fix = f"{meant}name the label's column with --label, and requests with --request-id"
        raise DataError("DAT045", "the labels have no column of this name", path=missing[0], fix=fix)
    rows = rows.select(list(dict.fromkeys([*wanted, label])))
    rows = rows.filter(pc.invert(pc.is_null(rows.column(label), nan_is_null=True)))
    ids = rows.column(request_id).cast(pa.string()) if request_id else scorer.row_ids(rows)
    return _distinct("request_id" if request_id else "row_id", ids, rows.column(label), scorer.target)


def _distinct(
    by: Literal["row_id", "request_id"], ids: pa.Array | pa.ChunkedArray, values: pa.ChunkedArray, target: str
) -> Labels:
    """Each id once; labels that agree are one."""
    table = pa.table([ids, values], names=["id", "label"]).group_by(["id", "label"]).aggregate([])
    if twice := table.num_rows - len(pc.unique(table.column("id"))):
        message = f"{twice:,} rows have two labels that differ"
        fix = "keep the last one of each row"
        raise UsageError("CLI067", message, path=target, fix=fix)
    rows = table.select(["label"]).rename_columns([target])
    return Labels(by, table.column("id").combine_chunks(), rows)


def _table(engine: Engine, labels: object) -> pa.Table:
    if not isinstance(labels, str | Path):
        return open_stream(labels).read_all()
    path = Path(labels)
    if path.suffix not in _FILES:
        return engine.read(table_name(str(labels))).read_all()
    if not path.is_file():
        raise UsageError("CLI068", "there is no such file", path=str(path), fix="give the path of the labels")
    try:
        return _FILES[path.suffix](str(path))
    except (pa.ArrowException, OSError):  # their text quotes rows
        message = f"the file cannot be read as {path.suffix.removeprefix('.')}"
        raise UsageError("CLI068", message, path=str(path), fix="is it whole?") from None
