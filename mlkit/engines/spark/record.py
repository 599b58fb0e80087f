"""What is kept with a table in a catalog: one property, written by the statement that makes the table.

Spark forgets parts of a schema (a column that is never missing, the width of a text in a struct), and each
server has its own way to quote the text of a property. One property passes them all, in hexadecimal digits:
Spark hides a property in whose text it sees a word such as ``url``, which base64 has in it now and then.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import zlib
from typing import TYPE_CHECKING

import pyarrow as pa

from mlkit.engines import faults

if TYPE_CHECKING:
    from collections.abc import Mapping

PROPERTY = "mlkit.record"


@dataclasses.dataclass(frozen=True)
class Record:
    """What a table was made with.

    Attributes:
        schema: Arrow schema of its columns, nullability included.
        properties: Text properties of the caller.
        constraints: SQL conditions that every row fulfils, by name.
        append_only: Rows are added and never replaced.
        writer: Who made it: a random word, by which a writer recognises its own work.
        at: When, by the clock of the writer; empty where that is not known.
    """

    schema: pa.Schema
    properties: Mapping[str, str]
    constraints: Mapping[str, str] = dataclasses.field(default_factory=dict)
    append_only: bool = False
    writer: str = ""
    at: str = ""

    def text(self) -> str:
        """One word of hexadecimal digits."""
        values = {
            "schema": base64.b64encode(self.schema.serialize().to_pybytes()).decode(),
            "properties": dict(self.properties),
            "constraints": dict(self.constraints),
            "append_only": self.append_only,
            "writer": self.writer,
            "at": self.at,
        }
        return zlib.compress(json.dumps(values, sort_keys=True).encode()).hex()


def parse(text: str, what: str) -> Record:
    """The record that `Record.text` wrote.

    Raises:
        IntegrityError: INT012, it does not read.
    """
    try:
        values = json.loads(zlib.decompress(bytes.fromhex(text)))
        values["schema"] = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(values["schema"])))
        return Record(**values)
    except (ValueError, TypeError, KeyError, zlib.error, pa.ArrowException) as exc:
        raise faults.damaged(what, f"a property {PROPERTY} that does not read") from exc
