"""The content key of a value: ordered and typed, so that whatever code can tell apart has another key.

It is not the fingerprint of `mlkit.digest`: that one is the same in any row order and dataframe library,
while a step may well depend on both.
"""

from __future__ import annotations

import contextlib
import copyreg
import functools
import inspect
import sys
import types
from typing import TYPE_CHECKING, Any

from mlkit.digest.spark_frame import is_spark
from mlkit.research.steps import arrays, frames
from mlkit.research.steps.files import add_path
from mlkit.research.steps.origin import is_library
from mlkit.research.steps.tokens import NotKeyedError, Tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mlkit.research.steps.tokens import Keys

    Add = Callable[[Keys, Tokens, Any], None]

KEY_METHOD = "__mlkit_key__"
"""A class that has no content to key may say by this method what stands for it: plain values."""

CODE_KINDS = (
    types.FunctionType,
    types.MethodType,
    types.BuiltinFunctionType,
    types.MethodDescriptorType,
    types.WrapperDescriptorType,
    types.MethodWrapperType,
    types.ClassMethodDescriptorType,
    types.GetSetDescriptorType,
    types.MemberDescriptorType,
    types.ModuleType,
    type,
)
# Libraries whose objects are values: what they are pickled as is all that they are.
_VALUE_LIBRARIES = frozenset(
    {
        *("numpy", "pandas", "pyarrow", "polars", "scipy", "sklearn", "lightgbm", "xgboost", "catboost"),
        *("plotly", "optuna", "dateutil", "pytz", "mlkit", "attr", "attrs", "pydantic", "pydantic_core"),
    }
)
_MOST_NESTED = 200
_LONG = 1000  # from here on, a list of numbers or texts alone is read as an array


class Values:
    """Makes content keys of values; equal parts are read once.

    Args:
        refer: Gives the token of a function, class or module.
    """

    def __init__(self, refer: Callable[[object], str]) -> None:
        """Nothing is read yet."""
        self.refer = refer
        # Values are kept with their keys: the identity of one that is gone may come back as another.
        self._done: dict[int, tuple[object, bytes]] = {}
        self._open: list[int] = []
        self._inside = 0  # objects of libraries that are being read

    def digest(self, value: object) -> bytes:
        """The key of a value.

        Raises:
            NotKeyedError: It has none.
        """
        known = self._done.get(id(value))
        if known is not None:
            return known[1]
        out = Tokens()
        if id(value) in self._open:
            out.text(f"cycle {len(self._open) - self._open.index(id(value))}")
            return out.digest()
        with self._opened(value):
            self._add_content(out, value)
        digest = out.digest()
        self._done[id(value)] = (value, digest)
        return digest

    def add(self, out: Tokens, value: object) -> None:
        """Add one value to a sequence: scalars as they are, others by their key."""
        scalar = _SCALARS.get(type(value))
        if scalar is None:
            out.raw(self.digest(value))
        else:
            out.text(scalar(value))

    def add_all(self, out: Tokens, values: Any) -> None:  # noqa: ANN401 - whatever can be iterated
        """Add several values and their number."""
        count = 0
        for value in values:
            self.add(out, value)
            count += 1
        out.text(f"{count} values")

    @contextlib.contextmanager
    def _opened(self, value: object) -> Iterator[None]:
        if len(self._open) > _MOST_NESTED:
            message = f"a value nested more than {_MOST_NESTED} deep"
            raise NotKeyedError(message)
        self._open.append(id(value))
        try:
            yield
        finally:
            self._open.pop()

    def _add_content(self, out: Tokens, value: object) -> None:
        kind: Any = type(value)
        scalar = _SCALARS.get(kind)
        if scalar is not None:
            out.text(scalar(value))
        elif isinstance(value, CODE_KINDS):
            out.text(f"code {self.refer(value)}")
        elif (handler := _handler(kind)) is not None:
            out.text(self.refer(kind))
            handler(self, out, value)
        else:
            self._add_object(out, value)

    def _add_object(self, out: Tokens, value: Any) -> None:  # noqa: ANN401 - whatever it is
        """Add an object by what it says stands for it, or by what it would be pickled as."""
        kind = type(value)
        if hasattr(kind, KEY_METHOD):
            out.text(f"own key of {self.refer(kind)}")
            self.add(out, getattr(value, KEY_METHOD)())
        elif "__wrapped__" in getattr(value, "__dict__", ()):  # e.g. functools.lru_cache
            out.text(f"{self.refer(kind)} around {self.refer(value.__wrapped__)}")
        elif hasattr(kind, "get_tree_stats"):  # neighbours of scikit-learn count their calls
            out.text(self.refer(kind))
            self.add_all(out, map(_as_array, value.get_arrays()))
        else:
            home = str(getattr(value, "__module__", None) or "builtins")
            if is_library(home) and home in sys.modules:
                out.text(self.refer(sys.modules[home]))
            parts = _reduced(value, inside=self._inside > 0)
            # What a library's value is made of is that library's business.
            self._inside += is_library(kind.__module__)
            try:
                self.add_all(out, parts)
            finally:
                self._inside -= is_library(kind.__module__)


def token_of(value: object) -> str:
    """A function or class within a result, by its name: it is pickled by that too."""
    return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', type(value).__name__)}"


def _as_array(view: Any) -> Any:  # noqa: ANN401 - an array or a typed memoryview of Cython
    import numpy as np  # noqa: PLC0415 - not before something has arrays

    return np.asarray(view)


def _reduced(value: object, *, inside: bool) -> list[object]:
    """What an object is pickled as: a name, or a function with arguments, state and items.

    Raises:
        NotKeyedError: It cannot be pickled, or is a kind of object that is more than its pickle.
    """
    kind = type(value)
    name = f"{kind.__module__}.{kind.__qualname__}"
    if is_spark(value):
        message = f"a Spark dataframe ({name})"
        raise NotKeyedError(message)
    if not inside and not _is_value(kind):
        message = f"an object of {name}, which may be more than its content"
        raise NotKeyedError(message)
    reduce = copyreg.dispatch_table.get(kind)
    with _Attempt(f"an object of {name}, which cannot be pickled"):
        found: Any = reduce(value) if reduce else value.__reduce_ex__(4)
        if isinstance(found, str):
            return [name, found]
        function, arguments, state, items, pairs = (*found, None, None, None)[:5]
        return [function, arguments, _without_caches(kind, state), list(items or ()), list(pairs or ())]


def _without_caches(kind: type, state: object) -> object:
    """The state of an object without what it only remembers of itself."""
    if not isinstance(state, dict):
        return state
    kept = {
        name: item
        for name, item in state.items()
        if not isinstance(inspect.getattr_static(kind, str(name), None), functools.cached_property)
    }
    return kept or None  # as of an object that has no state yet


def _is_value(kind: type) -> bool:
    top = kind.__module__.partition(".")[0]
    if not is_library(kind.__module__) or top in sys.stdlib_module_names or top in _VALUE_LIBRARIES:
        return True
    return hasattr(kind, "fit") and hasattr(kind, "get_params")


class _Attempt:
    """Context in which foreign code may raise anything: it then has no content to key."""

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Exception) and not isinstance(error, NotKeyedError):
            raise NotKeyedError(self._what) from error


def _add_sequence(values: Keys, out: Tokens, value: Any) -> None:  # noqa: ANN401 - by its type
    if len(value) < _LONG or not arrays.add_run(out, value):
        values.add_all(out, value)


def _add_mapping(values: Keys, out: Tokens, value: Any) -> None:  # noqa: ANN401 - by its type
    for key, item in value.items():
        values.add(out, key)
        values.add(out, item)


def _add_set(values: Keys, out: Tokens, value: Any) -> None:  # noqa: ANN401 - by its type
    for digest in sorted(values.digest(item) for item in value):
        out.raw(digest)


def _add_buffer(_values: Keys, out: Tokens, value: Any) -> None:  # noqa: ANN401 - by its type
    out.raw(bytes(value))


def _refuse(_values: Keys, _out: Tokens, value: Any) -> None:  # noqa: ANN401 - by its type
    kind = type(value)
    message = f"a plan of rows that are not here ({kind.__module__}.{kind.__qualname__})"
    raise NotKeyedError(message)


_SCALARS: dict[type, Callable[[Any], str]] = {
    type(None): lambda _: "none",
    type(...): lambda _: "ellipsis",
    type(NotImplemented): lambda _: "not implemented",
    bool: lambda value: f"bool {value}",
    int: lambda value: f"int {value:x}",
    float: lambda value: f"float {value.hex()}",
    complex: lambda value: f"complex {value.real.hex()} {value.imag.hex()}",
    str: lambda value: f"str {value}",
}
_EXACT: dict[type, Add] = {
    list: _add_sequence,
    tuple: _add_sequence,
    dict: _add_mapping,
    types.MappingProxyType: _add_mapping,
    set: _add_set,
    frozenset: _add_set,
    bytes: _add_buffer,
    bytearray: _add_buffer,
    memoryview: _add_buffer,
}
# By top-level module and name, so that no library is loaded to look for its types.
_NAMED: dict[tuple[str, str], Add] = {
    ("numpy", "ndarray"): arrays.add_numpy,
    ("numpy", "memmap"): arrays.add_numpy,
    ("pandas", "DataFrame"): frames.add_frame,
    ("pandas", "Series"): frames.add_series,
    ("pandas", "Index"): frames.add_index,
    ("pandas", "ExtensionArray"): frames.add_array,
    ("polars", "DataFrame"): frames.add_polars,
    ("polars", "Series"): frames.add_polars_series,
    ("polars", "LazyFrame"): _refuse,
    ("pyarrow", "Table"): arrays.add_arrow_table,
    ("pyarrow", "RecordBatch"): arrays.add_arrow_table,
    ("pyarrow", "ChunkedArray"): arrays.add_arrow,
    ("pyarrow", "Array"): arrays.add_arrow,
    ("scipy", "_spbase"): arrays.add_sparse,
    ("pathlib", "PurePath"): add_path,
}


# What stands for an object of this project: no rows are read.
_OWN = {
    "Snapshot": ("fingerprint", "table", "contract"),
    "Study": ("run_id", "name", "trials"),
    "Trial": ("run_id", "number", "state", "params", "score"),
    "FrozenConfig": ("digest",),
    "Workspace": ("target", "tracking_uri"),
}


def _add_own(values: Keys, out: Tokens, value: Any) -> None:  # noqa: ANN401 - by its type
    values.add_all(out, [getattr(value, name) for name in _OWN[type(value).__qualname__]])


@functools.lru_cache(maxsize=1024)
def _handler(kind: Any) -> Add | None:  # noqa: ANN401 - a type, which is hashable
    if kind in _EXACT:
        return _EXACT[kind]
    if kind.__module__.startswith("mlkit.") and kind.__qualname__ in _OWN:
        return _add_own
    for base in kind.__mro__:
        name = (base.__module__.partition(".")[0], base.__qualname__)
        # An array of a kind of its own may have more to it than its numbers.
        if name in _NAMED and (base is kind or name[0] != "numpy"):
            return _NAMED[name]
    return None
