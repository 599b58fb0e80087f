"""Scoring where the rows are: in Spark, by its executors, and no row comes to this process.

A model that answers in Python travels to the executors as its files, which each of them checks and loads
once; it makes the very rows of the log there. A model of Spark's own answers as a step of the query.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import functools
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mlkit.data.stream import no_rows
from mlkit.digest.spark_frame import is_spark, translated
from mlkit.engines.base import TableName
from mlkit.engines.spark.executors import map_on_executors
from mlkit.errors import StudyError
from mlkit.production.answers import Answer, Stamp, answer, answers
from mlkit.production.prediction_log import PredictionLog
from mlkit.production.score_output import answer_rows
from mlkit.production.score_report import QUANTILES, Scored, named, shares
from mlkit.production.score_sql import answered_sql
from mlkit.production.scorer import PREDICTION, read_scorer
from mlkit.tracking.models import CODE

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from mlkit.engines.base import Engine, Frame
    from mlkit.production.score_rows import Given
    from mlkit.production.scorer import Scorer
    from mlkit.production.stores import Stores

Part = Literal["logged", "answers"]

_opened: dict[str, tuple[Scorer, object]] = {}  # on an executor: what its process has loaded, and its folder


@dataclasses.dataclass(frozen=True)
class Shipped:
    """A version on its way to the executors.

    Attributes:
        files: Its files by path.
        version: Its number.
        model_id: MLflow's id of the model.
        seq: The ledger entry by which it serves.
        manifest_digest: sha256 of the manifest of its files.
    """

    files: dict[str, bytes]
    version: int
    model_id: str
    seq: int
    manifest_digest: str

    @classmethod
    def of(cls, scorer: Scorer) -> Shipped:
        """The version that a scorer has opened here."""
        paths = [
            path for path in scorer.folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts
        ]
        files = {path.relative_to(scorer.folder).as_posix(): path.read_bytes() for path in paths}
        return cls(files, scorer.version, scorer.model_id, scorer.seq, scorer.manifest_digest)

    def open(self) -> Scorer:
        """The version, loaded once in each process; its files are checked first."""
        known = _opened.get(self.manifest_digest)
        if known is None:
            place = tempfile.TemporaryDirectory(prefix="mlkit-model-")
            folder = Path(place.name)
            for name, content in self.files.items():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(content)
            scorer = read_scorer(
                folder,
                version=self.version,
                model_id=self.model_id,
                seq=self.seq,
                manifest_digest=self.manifest_digest,
            )
            if not (folder / CODE).is_dir():  # a worker of Spark ends without a chance to tidy up
                place.cleanup()
            _opened.clear()
            known = _opened[self.manifest_digest] = scorer, place
        return known[0]


def score_in_spark(
    scorer: Scorer, given: Given, stamp: Stamp, stores: Stores, *, to: TableName | Path | None, log: bool
) -> Scored:
    """Answer the rows of a Spark dataframe, and log the answers once.

    Raises:
        StudyError: The model answers only in Spark, and the rows are not there (RUN025).
        DataError: There are no rows (DAT002), or as for `Scorer.predict`.
        StoreError: Spark failed.
    """
    if not is_spark(given.rows):
        message = "this model answers only in Spark, and the rows are not there"
        fix = "score a table of a target that has Spark, or a dataframe of Spark"
        raise StudyError("RUN025", message, path=given.origin, fix=fix)
    with translated("look for rows"):
        if not given.rows.limit(1).count():
            raise no_rows(given.origin)
    engine, added, kept = stores.engine, False, None
    if log:
        predictions = PredictionLog(engine, stores.project)
        added = predictions.add(answered(scorer, given.rows, stamp, "logged"), batch=stamp.run_id)
        kept = predictions.name
    if isinstance(to, TableName):
        engine.log(to, answered(scorer, given.rows, stamp, "answers"), batch=stamp.run_id)
        kept = kept or to
    stored = _stored(kept, engine, stamp) if kept else answered(scorer, given.rows, stamp, "logged")
    rows, summary = _summed(stored, scorer)
    return Scored(rows, summary, added)


def answered(scorer: Scorer, frame: Frame, stamp: Stamp, part: Part) -> Frame:
    """The answers to the rows of a frame, as rows of the log or as a caller gets them; not evaluated."""
    if scorer.in_spark:
        return answered_sql(scorer, frame, stamp, logged=part == "logged")
    with translated("read the columns of a frame"):
        empty = frame.limit(0).toArrow()
    schema = _part(answer(scorer, empty, stamp=stamp), scorer, part).schema
    function = functools.partial(answer_on_executor, shipped=Shipped.of(scorer), stamp=stamp, part=part)
    return map_on_executors(frame, function, schema)


def answer_on_executor(
    batches: Iterator[pa.RecordBatch], *, shipped: Shipped, stamp: Stamp, part: Part
) -> Iterator[pa.RecordBatch]:
    """Answer the rows of one partition; it runs on an executor."""
    scorer = shipped.open()
    for each in answers(scorer, batches, stamp):
        yield from _part(each, scorer, part).combine_chunks().to_batches()


def _part(found: Answer, scorer: Scorer, part: Part) -> pa.Table:
    if part == "logged":
        return found.logged
    return answer_rows(found.rows, scorer.key, found.predictions, found.logged)


def _stored(table: TableName, engine: Engine, stamp: Stamp) -> Frame:
    """The answers of a run as they were stored; no model is asked again."""
    since, until = None, None
    if isinstance(stamp.event_time, dt.datetime):
        since, until = stamp.event_time, stamp.event_time + dt.timedelta(microseconds=1)
    columns = ["request_id", PREDICTION]
    rows: Frame = engine.scan_log(table, since=since, until=until, columns=columns)
    return rows.where(f"request_id = '{stamp.run_id}'")


def _summed(frame: Frame, scorer: Scorer) -> tuple[int, dict[str, float]]:
    """How many answers there are, and what they are like."""
    with translated("sum up answers"):
        if scorer.task != "regression":
            counts = frame.groupBy(PREDICTION).count().collect()
            return sum(row[1] for row in counts), shares({str(row[0]): int(row[1]) for row in counts})
        quantiles = [f"percentile_approx({PREDICTION}, {at}D)" for at in QUANTILES]
        ((rows, mean, *found),) = frame.selectExpr("count(1)", f"avg({PREDICTION})", *quantiles).collect()
    return int(rows), {"mean": float(mean), **named([float(value) for value in found])} if rows else {}
