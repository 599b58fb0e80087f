"""How results are written and read: frames as Arrow, arrays as npy, plain values as JSON, pickle last.

A form is taken only if what is read back has the very key of what was written, so a hit gives what the
function gave: dtypes, index and order included. Tuples, lists and dicts of such values are taken apart.
"""

from __future__ import annotations

import dataclasses
import io
import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pyarrow as pa

from mlkit.research.steps.tokens import NotKeyedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Digest = Callable[[object], bytes]

_PLAIN = (type(None), bool, int, float, str)


class NotStoredError(TypeError):
    """A value that no form can hold; the message says what it is, for a sentence."""


class FileChangedError(ValueError):
    """A file that a result leads to is not what it was; the message names it."""


@dataclasses.dataclass(frozen=True)
class Form:
    """One way to write a value.

    Attributes:
        suffix: Of its file.
        takes: Whether a value may be written so.
        write: Bytes of a value.
        read: Value of the bytes.
        last: Whether it is the last resort.
    """

    suffix: str
    takes: Callable[[Any], bool]
    write: Callable[[Any], bytes | memoryview]
    read: Callable[[memoryview], Any]
    last: bool = False


class Packed:
    """A value taken apart into files, each verified by reading it back.

    Args:
        digest: Gives the content key of a value.
    """

    def __init__(self, digest: Digest) -> None:
        """No files yet."""
        self.files: dict[str, bytes | memoryview] = {}
        self._digest = digest

    def pack(self, value: Any) -> tuple[Any, Any]:  # noqa: ANN401 - the user's result
        """Write a value.

        Returns:
            Its outline (plain values, which name the files), and the value as it is read back.

        Raises:
            NotStoredError: No form holds it exactly.
        """
        if _is_plain(value):
            return {"plain": value}, value
        kind = type(value)
        if isinstance(value, Path):
            return {"path": [str(value), self._path_digest(value)]}, value
        if kind in (tuple, list):
            pairs = [self.pack(item) for item in value]
            return {kind.__name__: [outline for outline, _ in pairs]}, kind(item for _, item in pairs)
        if kind is dict and all(type(key) is str for key in value):
            inside = {key: self.pack(item) for key, item in value.items()}
            outline = [[key, item[0]] for key, item in inside.items()]
            return {"dict": outline}, {key: item[1] for key, item in inside.items()}
        return self._pack_whole(value)

    def _is_stable(self, back: object) -> bool:
        """Whether an object stays as it was read, though its first pickle left out what it only remembers."""
        again = _read_pickle(memoryview(_write_pickle(back)))
        return self._digest(again) == self._digest(back)

    def _path_digest(self, path: Path) -> str:
        try:
            return self._digest(path).hex()
        except NotKeyedError as exc:
            raise NotStoredError(str(exc)) from exc

    def _pack_whole(self, value: object) -> tuple[Any, object]:
        try:
            wanted = self._digest(value)
        except NotKeyedError as exc:
            raise NotStoredError(str(exc)) from exc
        why = ""
        for form in _FORMS:
            if not form.takes(value):
                continue
            with _Trial() as trial:
                data = form.write(value)
                back = form.read(memoryview(data))
                if self._digest(back) == wanted or (form.last and self._is_stable(back)):
                    name = f"{len(self.files)}.{form.suffix}"
                    self.files[name] = data
                    return {"file": name}, back
            why = trial.why or "something else is read back"
        name = f"{type(value).__module__}.{type(value).__qualname__}"
        message = f"an object of {name}: {why}"
        raise NotStoredError(message)


def unpack(outline: Mapping[str, Any], files: Mapping[str, memoryview], *, digest: Digest) -> object:
    """The value of an outline and its files.

    Raises:
        NotStoredError: They do not fit together, or the code of a class is gone.
        FileChangedError: A path of the value leads to something else by now.
    """
    (kind, inside), *_ = outline.items()
    if kind == "plain":
        return inside
    if kind == "path":
        path = Path(inside[0])
        if digest(path).hex() != inside[1]:
            message = f"the file `{path.name}` of its result changed"
            raise FileChangedError(message)
        return path
    if kind == "file":
        form = next(form for form in _FORMS if inside.endswith(f".{form.suffix}"))
        with _Trial() as trial:
            return form.read(files[inside])
        raise NotStoredError(trial.why)
    if kind == "dict":
        return {key: unpack(item, files, digest=digest) for key, item in inside}
    items = [unpack(item, files, digest=digest) for item in inside]
    return tuple(items) if kind == "tuple" else items


class _Trial:
    """Context in which a form may fail, with whatever a library or a class of the user's raises."""

    why = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if isinstance(error, Exception):
            self.why = f"{type(error).__name__} when it is written or read"
            return True
        return False


def _is_plain(value: object) -> bool:
    return type(value) in _PLAIN and not (isinstance(value, str) and not value.isprintable() and _odd(value))


def _odd(text: str) -> bool:
    """Whether a text holds half a surrogate pair, which no file does."""
    return any("\ud800" <= character <= "\udfff" for character in text)


def _is_of(library: str, name: str) -> Callable[[Any], bool]:
    def check(value: object) -> bool:
        kind = type(value)
        return kind.__qualname__ == name and kind.__module__.partition(".")[0] == library

    return check


def _write_arrow(table: Any) -> memoryview:  # noqa: ANN401 - pyarrow has no types
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with pa.ipc.new_file(sink, table.schema, options=options) as writer:
        writer.write_table(table)
    return memoryview(sink.getvalue())


def _read_arrow(data: memoryview) -> Any:  # noqa: ANN401 - pyarrow has no types
    return pa.ipc.open_file(pa.py_buffer(data)).read_all()


def _write_pandas(frame: Any) -> memoryview:  # noqa: ANN401 - checked by its form
    return _write_arrow(pa.Table.from_pandas(frame))


def _read_pandas(data: memoryview) -> Any:  # noqa: ANN401 - as above
    # A copy of its own: what Arrow hands over without one is read-only.
    return _read_arrow(data).to_pandas().copy()


def _write_polars(frame: Any) -> bytes:  # noqa: ANN401 - checked by its form
    sink = io.BytesIO()
    frame.write_ipc(sink, compression="lz4")
    return sink.getvalue()


def _read_polars(data: memoryview) -> Any:  # noqa: ANN401 - as above
    import polars as pl  # noqa: PLC0415 - the user's library, not ours

    return pl.read_ipc(io.BytesIO(data))


def _write_numpy(array: Any) -> memoryview:  # noqa: ANN401 - checked by its form
    sink = io.BytesIO()
    np.lib.format.write_array(sink, array, allow_pickle=False)
    return sink.getbuffer()


def _read_numpy(data: memoryview) -> Any:  # noqa: ANN401 - as above
    return np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)


def _write_pickle(value: object) -> bytes:
    return pickle.dumps(value, protocol=5)


def _read_pickle(data: memoryview) -> object:
    return pickle.loads(data)  # noqa: S301 - from a folder that only its owner can write to


_FORMS = (
    Form("npy", _is_of("numpy", "ndarray"), _write_numpy, _read_numpy),
    Form("pandas.arrow", _is_of("pandas", "DataFrame"), _write_pandas, _read_pandas),
    Form("polars.arrow", _is_of("polars", "DataFrame"), _write_polars, _read_polars),
    Form("arrow", _is_of("pyarrow", "Table"), _write_arrow, _read_arrow),
    Form("pickle", lambda _: True, _write_pickle, _read_pickle, last=True),
)
