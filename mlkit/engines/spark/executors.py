"""Work done on the executors of Spark: one task of one job for each item, answers in their order.

The function and all it refers to travel inside the job, so that it runs on Spark Connect as on classic
Spark, without files or broadcast variables. What it needs besides must be installed there: this package,
in this version, on a Python of the same minor version.
"""

from __future__ import annotations

import contextlib
import pickle
from typing import TYPE_CHECKING, Any, TypeVar

import cloudpickle
import pyarrow as pa

from mlkit.code import DISTRIBUTION, installed_version
from mlkit.engines.spark.faults import Kind, as_text, kind_of, of_spark, translated
from mlkit.engines.spark.faults import door as translated_door
from mlkit.errors import MlkitError, StudyError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pyspark.sql import DataFrame, SparkSession

    Item = TypeVar("Item")
    Answer = TypeVar("Answer")

MOST_BYTES = 64_000_000
"""Of a packed function. A job is copied many times on its way, and Connect takes 128 MB at most."""

_MEGA = 1_000_000
_ANSWERS = "number bigint, answer binary, fault string"
_CODEC = "zstd"


def run_on_executors(
    session: SparkSession, function: Callable[[Item], Answer], items: Sequence[Item]
) -> list[Answer]:
    """What a function answers to each item, as one job of as many tasks.

    Args:
        session: Any session.
        function: One that can be pickled; what it holds travels to each task.
        items: Its arguments.

    Raises:
        StudyError: What is to travel is too large (RUN021), an executor cannot import this package or has
            another version of it (RUN022), or a process died there (RUN016).
        StoreError: Spark failed.
    """
    version, count = installed_version(DISTRIBUTION), len(items)
    program = _program(_packed(function), [pickle.dumps(item) for item in items], version)
    with _door():
        job = session.range(0, count, 1, count).mapInArrow(program, _ANSWERS)
        answers = job.toArrow().sort_by("number")
    if faults := [fault for fault in answers.column("fault").to_pylist() if fault]:
        fix = f"install {DISTRIBUTION} {version} on the cluster, with the libraries of the models"
        raise StudyError("RUN022", f"an executor has {faults[0]}", path="workers", fix=fix)
    return [pickle.loads(answer) for answer in answers.column("answer").to_pylist()]  # noqa: S301 - our own


def map_on_executors(
    frame: DataFrame,
    function: Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]],
    schema: pa.Schema,
) -> DataFrame:
    """What a function makes of the rows of a frame, where they are; nothing is evaluated yet.

    Args:
        frame: The rows.
        function: One that can be pickled, from batches to batches; it is called once for each partition.
        schema: Columns of what it makes, in the types of a store.

    Raises:
        StudyError: What is to travel is too large (RUN021). While the rows are evaluated: whatever error of
            this project the function raises, as it is, or RUN022 as for `run_on_executors`.
    """
    from pyspark.sql.pandas.types import from_arrow_schema  # noqa: PLC0415 - only with a session

    program = _stream_program(_packed(function), installed_version(DISTRIBUTION))
    kinds = from_arrow_schema(schema, prefer_timestamp_ntz=True)
    with translated_door("rows"):
        return frame.mapInArrow(program, kinds)


def stream(packed: bytes, batches: Iterator[pa.RecordBatch], version: str) -> Iterator[pa.RecordBatch]:
    """What a packed function makes of batches; it runs on an executor.

    Raises:
        RuntimeError: An error of this project, in a text that the driver reads.
    """
    try:
        if lacks := difference(version):
            fix = f"install {DISTRIBUTION} {version} on the cluster, with the libraries of the models"
            raise StudyError("RUN022", f"an executor has {lacks}", path="workers", fix=fix)
        yield from _unpacked(packed)(batches)
    except MlkitError as exc:
        raise RuntimeError(as_text(exc)) from exc


def difference(version: str) -> str:
    """How this package differs from another version of it; empty if it does not."""
    found = installed_version(DISTRIBUTION)
    return "" if found == version else f"{DISTRIBUTION} {found}, expected {version}"


def answer(packed: bytes, item: bytes) -> bytes:
    """What a packed function answers to a pickled item, pickled; it runs on an executor."""
    answered: bytes = cloudpickle.dumps(_unpacked(packed)(pickle.loads(item)))  # noqa: S301 - as above
    return answered


def _unpacked(packed: bytes) -> Callable[..., Any]:
    size = int.from_bytes(packed[:8], "little")
    whole = pa.decompress(packed[8:], decompressed_size=size, codec=_CODEC, asbytes=True)
    function: Callable[..., Any] = pickle.loads(whole)  # noqa: S301 - as above
    return function


def _stream_program(
    packed: bytes, version: str
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """The function that Spark runs, as in `_program`."""

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import importlib  # noqa: PLC0415 - it is to run where this module may not be there

        yield from importlib.import_module("mlkit.engines.spark.executors").stream(packed, batches, version)

    return run


def _program(
    packed: bytes, items: Sequence[bytes], version: str
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """The function that Spark runs; one inside another travels as it is, not as a name to be imported."""

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        # It is to run where this module may not be there.
        import importlib  # noqa: PLC0415

        import pyarrow  # noqa: PLC0415, ICN001

        work: Any = None
        try:
            work = importlib.import_module("mlkit.engines.spark.executors")
            lacks = work.difference(version)
        except ImportError as exc:
            lacks = f"no {exc.name}"
        for batch in batches:
            numbers = batch.column(0).to_pylist()
            answers = [None if lacks else work.answer(packed, items[number]) for number in numbers]
            yield pyarrow.RecordBatch.from_arrays(
                [
                    batch.column(0),
                    pyarrow.array(answers, pyarrow.binary()),
                    pyarrow.array([lacks] * len(numbers), pyarrow.string()),
                ],
                names=["number", "answer", "fault"],
            )

    return run


def _packed(function: Callable[..., Any]) -> bytes:
    """A function as bytes: its size (8, little-endian), then its compressed pickle."""
    whole: bytes = cloudpickle.dumps(function)
    packed: bytes = len(whole).to_bytes(8, "little") + pa.compress(whole, codec=_CODEC, asbytes=True)
    if len(packed) > MOST_BYTES:
        size, most = len(packed) / _MEGA, MOST_BYTES / _MEGA
        message = f"expected at most {most:.0f} MB to travel to the executors, found {size:.0f} MB"
        fix = "give a number of workers (with Dask on several machines), or an estimator that trains on Spark"
        raise StudyError("RUN021", message, path="workers", fix=fix)
    return packed


@contextlib.contextmanager
def _door() -> Iterator[None]:
    try:
        yield
    except of_spark() as exc:
        text = str(exc)
        if "PYTHON_VERSION_MISMATCH" in text:
            message = "the executors run another minor version of Python"
            fix = "use the Python of the cluster here"
            raise StudyError("RUN022", message, path="workers", fix=fix) from exc
        if kind_of(exc) is Kind.OTHER and _has_died(text):
            fix = "is memory short? take smaller executors' tasks, or threads instead"
            raise StudyError("RUN016", "a worker process died", path="workers", fix=fix) from exc
        raise translated(exc, "workers") from exc


def _has_died(text: str) -> bool:
    return "exited unexpectedly" in text or "ExecutorLostFailure" in text
