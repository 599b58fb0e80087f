"""Content keys of arrays: numpy's, Arrow's and sparse ones.

Equal values of one type give one key, however they lie in memory: strides, chunks, offsets and what stands
under a null do not count.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from mlkit.research.steps.tokens import Keys, Tokens

BLOCK_ROWS = 1 << 20
"""Rows of Arrow that are copied at a time to be read in one piece."""

_RUNS = {int: pa.int64(), float: pa.float64(), str: pa.large_string()}
_SPARSE = ("data", "indices", "indptr", "row", "col", "coords", "offsets", "rows")


def add_numpy(keys: Keys, out: Tokens, array: Any) -> None:  # noqa: ANN401 - checked by its caller
    """Add an array: dtype, shape, and elements in C order."""
    out.text(repr(array.dtype.descr if array.dtype.names else array.dtype.str))
    out.text(repr(array.shape))
    if array.dtype.hasobject or array.dtype.kind == "T":
        keys.add_all(out, array.ravel(order="C").tolist())
    else:
        out.raw(np.ascontiguousarray(array).reshape(-1).view(np.uint8))


def add_run(out: Tokens, values: Any) -> bool:  # noqa: ANN401 - a list or tuple
    """Add a long list of whole numbers, floats or texts alone; False if it holds anything else."""
    kinds = set(map(type, values))
    kind = kinds.pop() if len(kinds) == 1 else None
    if kind not in _RUNS:
        return False
    try:
        array = pa.array(values, type=_RUNS[kind], from_pandas=False)
    except (OverflowError, UnicodeEncodeError, pa.ArrowException):  # too large, or half a surrogate pair
        return False
    out.text(f"run of {kind.__name__}")
    _add_block(out, array)
    return True


def add_sparse(keys: Keys, out: Tokens, matrix: Any) -> None:  # noqa: ANN401 - checked by its caller
    """Add a sparse array by the arrays that it is made of; what it remembers of itself does not count."""
    if matrix.format == "dok":
        matrix = matrix.tocoo()
    out.text(f"{matrix.format} {matrix.shape} {matrix.dtype.str}")
    for name in _SPARSE:
        if (found := getattr(matrix, name, None)) is not None:
            out.text(name)
            keys.add(out, found)


def add_arrow_table(keys: Keys, out: Tokens, table: Any) -> None:  # noqa: ANN401 - checked by its caller
    """Add a table: its schema with metadata, then column by column."""
    for field, column in zip(table.schema, table.columns, strict=True):
        out.text(f"{field.name}: {field.type}, {field.nullable}")
        keys.add(out, dict(field.metadata or {}))
        add_arrow(keys, out, column)
    keys.add(out, dict(table.schema.metadata or {}))
    out.text(f"{table.num_rows} rows")


def add_arrow(_keys: Keys, out: Tokens, column: Any) -> None:  # noqa: ANN401 - checked by its caller
    """Add an array or a chunked one."""
    chunked = column if isinstance(column, pa.ChunkedArray) else pa.chunked_array([column])
    out.text(f"{chunked.type} {len(chunked)}")
    if pa.types.is_dictionary(chunked.type):
        chunked = chunked.unify_dictionaries()
    for start in range(0, len(chunked), BLOCK_ROWS):
        block = chunked.slice(start, BLOCK_ROWS).combine_chunks()
        # Older pyarrow leaves a chunked array of one chunk.
        _add_block(out, block.chunk(0) if isinstance(block, pa.ChunkedArray) else block)


def _add_block(out: Tokens, array: Any) -> None:  # noqa: ANN401 - pyarrow has no types
    out.text(f"{len(array)} values, {array.null_count} null")
    if array.null_count and not pa.types.is_null(array.type):
        out.raw(np.packbits(array.is_valid().to_numpy(zero_copy_only=False)))
        array = array.drop_null()
    kind = array.type
    if isinstance(kind, pa.BaseExtensionType):
        _add_block(out, array.storage)
    elif pa.types.is_dictionary(kind):
        _add_block(out, array.dictionary)
        _add_block(out, array.indices)
    elif pa.types.is_struct(kind):
        for child in array.flatten():
            _add_block(out, child)
    elif pa.types.is_map(kind):
        _add_block(out, array.cast(pa.list_(pa.struct([("key", kind.key_type), ("item", kind.item_type)]))))
    elif pa.types.is_nested(kind):
        _add_block(out, pc.list_value_length(array))
        _add_block(out, array.flatten())
    else:
        _add_flat(out, array)


def _add_flat(out: Tokens, array: Any) -> None:  # noqa: ANN401 - pyarrow has no types
    """Add an array without nulls whose values lie side by side."""
    if pa.types.is_null(array.type):
        return
    if pa.types.is_boolean(array.type):
        out.raw(np.packbits(array.to_numpy(zero_copy_only=False)))
    elif _is_text(array.type):
        wide = array.cast(pa.large_binary() if "binary" in str(array.type) else pa.large_string())
        _, ends, data = wide.buffers()
        if len(wide):
            offsets = np.frombuffer(ends, np.int64, len(wide) + 1, wide.offset * 8)
            out.raw(np.diff(offsets))
            out.raw(data.slice(int(offsets[0]), int(offsets[-1] - offsets[0])) if data else b"")
    elif len(array):
        width = array.type.bit_width // 8
        out.raw(array.buffers()[1].slice(array.offset * width, len(array) * width))


def _is_text(kind: Any) -> bool:  # noqa: ANN401 - pyarrow has no types
    return str(kind) in {
        *("string", "large_string", "string_view"),
        *("binary", "large_binary", "binary_view"),
    }
