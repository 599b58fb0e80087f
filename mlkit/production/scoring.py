"""Scoring: rows in, answers of the version that serves out, each of them logged once.

Rows stream through in chunks of one size, so that memory stays flat and answers are the same bits as in
training and in every other run. A run has a name, and what was logged under it is not logged again.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import json
import re
import time
import uuid
from typing import TYPE_CHECKING

import pyarrow as pa

from mlkit.console import progress
from mlkit.data.stream import no_rows
from mlkit.digest.spark_frame import is_spark
from mlkit.errors import UsageError
from mlkit.failpoints import failpoint
from mlkit.production.answers import Stamp, answers, threads_of
from mlkit.production.prediction_log import PredictionLog
from mlkit.production.score_output import answer_rows, check_output, writing
from mlkit.production.score_report import Scored, ScoreReport, Summary
from mlkit.production.score_rows import open_given
from mlkit.production.score_spark import score_in_spark
from mlkit.production.scorer import PREDICTION, open_scorer
from mlkit.production.windows import in_utc, read_time

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping
    from pathlib import Path

    from mlkit.console import Advance
    from mlkit.engines.base import TableName
    from mlkit.production.answers import Answer
    from mlkit.production.score_output import Writer
    from mlkit.production.score_rows import Given
    from mlkit.production.scorer import Scorer
    from mlkit.production.stores import Stores


_RUN_ID = re.compile(r"[A-Za-z0-9._:-]{1,200}")


def score(  # noqa: PLR0913 - each is a question that some run has to answer
    stores: Stores,
    data: object = None,
    *,
    prepare: bool | None = None,
    version: int | None = None,
    run_id: str | None = None,
    event_time: str | dt.datetime | None = None,
    as_of: dt.datetime | None = None,
    to: str | Path | None = None,
    log: bool = True,
) -> ScoreReport:
    """Answer rows and log the answers once.

    Args:
        stores: Where the model and the log are.
        data: Any dataframe, an Arrow stream, the path of a parquet or csv file, the name of a table, or
            None for the source of the version's own config. A Spark dataframe stays in Spark.
        prepare: Whether the config's `prepare` makes features of the rows; by default it does so with
            those of the config's own source, and other rows are taken as they are.
        version: Who answers; by default the version that serves.
        run_id: Name of the run in the log. By default it follows from model, rows and `as_of`, so that a
            command that is repeated logs nothing twice.
        event_time: When that happened which the rows are about: a column of theirs, or an instant; by
            default `as_of`.
        as_of: For which day or instant the run is; by default now. Without a zone it is UTC.
        to: A parquet or csv file, or a table, that gets the answers too.
        log: Whether they are logged; without that no monitoring sees them.

    Raises:
        UsageError: Nothing serves yet (CLI050); no such file (CLI052); a place for the answers that is
            taken (CLI051).
        DataError: There are no rows (DAT002); a feature is missing (DAT045), of another type (DAT046), or
            holds an unknown category (DAT047); `event_time` names no column of instants (DAT082).
        IntegrityError: The files of the version are not what was recorded.
        StudyError: The model or `prepare` failed.
    """
    started = time.perf_counter()
    scorer = open_scorer(stores, version=version)
    further = [event_time] if isinstance(event_time, str) else []
    given = open_given(data, scorer, stores.engine, prepare=prepare, further=further)
    in_spark = is_spark(given.rows)
    place = check_output(None if to is None else str(to), data, in_spark=in_spark)
    moment = in_utc(as_of) if as_of else dt.datetime.now(dt.UTC)
    instant = event_time if isinstance(event_time, str) else in_utc(event_time or moment)
    named = _checked(run_id or _run_id(scorer, given, as_of, event_time))
    stamp = Stamp(named, instant)
    if in_spark or scorer.in_spark:
        scored = score_in_spark(scorer, given, stamp, stores, to=place, log=log)
    else:
        scored = _score_here(scorer, given, stamp, stores, to=place, log=log)
    notes = []
    if log and not scored.added:
        notes.append("this run is in the log already; nothing was added")
    if not given.identity and run_id is None:
        notes.append("a stream has no name: repeated, it is logged again; give a run_id")
    return ScoreReport(
        model=stores.project,
        version=scorer.version,
        model_id=scorer.model_id,
        run_id=stamp.run_id,
        source=given.origin,
        rows=scored.rows,
        logged=scored.rows if scored.added else 0,
        output="" if place is None else str(place),
        seconds=round(time.perf_counter() - started, 3),
        summary=scored.summary,
        notes=tuple(notes),
    )


def score_task(stores: Stores, options: Mapping[str, str]) -> ScoreReport:
    """Score as a task of a job says it, in words; one that is repeated logs nothing twice."""
    as_of = options.get("as-of")
    return score(
        stores,
        options.get("data") or None,
        as_of=read_time(as_of, path="as-of") if as_of else None,
        event_time=options.get("event-time") or None,
        to=options.get("to") or None,
    )


def _score_here(
    scorer: Scorer, given: Given, stamp: Stamp, stores: Stores, *, to: TableName | Path | None, log: bool
) -> Scored:
    summary, added = Summary(scorer.task), False
    with (
        writing(to, stores.engine, run_id=stamp.run_id) as writer,
        _progress(given.total) as advance,
        contextlib.ExitStack() as stack,
    ):
        passing = _passing(
            answers(scorer, given.rows, stamp, threads=threads_of(scorer)), scorer, summary, writer, advance
        )
        stack.callback(passing.close)
        first = next(passing, None)
        if first is None:
            raise no_rows(given.origin)
        stream = pa.RecordBatchReader.from_batches(first.schema, _batches(first, passing))
        if log:
            added = PredictionLog(stores.engine, stores.project).add(stream, batch=stamp.run_id)
            failpoint("score.logged")
        if not added and (writer is not None or not log):  # the log does not read what it has
            for _ in stream:
                pass
    is_done = added or to is not None or not log
    return Scored(summary.rows, summary.values(), added) if is_done else Scored(0, {}, added)


def _passing(
    found: Iterator[Answer], scorer: Scorer, summary: Summary, writer: Writer | None, advance: Advance
) -> Generator[pa.Table, None, None]:
    """Rows for the log; on their way they are summed up and written out."""
    for answer in found:
        summary.add(answer.predictions.column(PREDICTION))
        if writer is not None:
            writer.write(answer_rows(answer.rows, scorer.key, answer.predictions, answer.logged))
        advance(answer.rows.num_rows)
        yield answer.logged


def _batches(first: pa.Table, rest: Iterator[pa.Table]) -> Iterator[pa.RecordBatch]:
    yield from first.to_batches()
    for table in rest:
        yield from table.to_batches()


@contextlib.contextmanager
def _progress(total: int | None) -> Iterator[Advance]:
    if total is None:
        yield lambda _units=1, *, note="": None  # noqa: ARG005 - nobody knows how far it is
        return
    with progress("score", total) as advance:
        yield advance


def _run_id(scorer: Scorer, given: Given, as_of: dt.datetime | None, event_time: object) -> str:
    """A name that the same model gets for the same rows and day."""
    if not given.identity:
        return f"score-{uuid.uuid4().hex}"
    said = [scorer.model_id, given.identity, as_of and as_of.isoformat(), event_time and str(event_time)]
    return f"score-{hashlib.sha256(json.dumps(said).encode()).hexdigest()[:32]}"


def _checked(run_id: str) -> str:
    """A name that every store takes as it is."""
    if not _RUN_ID.fullmatch(run_id):
        message = "expected 1 to 200 letters, digits and . _ : -"
        raise UsageError("CLI054", message, path="run_id", fix="for example: nightly-2026-06-01")
    return run_id
