"""Answers of a model of Spark's own: a step of the query, between the rows and the log."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from mlkit.boundary import user_code
from mlkit.data.column import Column, dtype_of
from mlkit.data.contract import Contract
from mlkit.data.contract_sql import cast_frame
from mlkit.digest.spark_frame import fields_of, names_of, translated
from mlkit.digest.sql import quoted
from mlkit.engines.base import EVENT_TIME
from mlkit.engines.spark.ml import make_active, with_array
from mlkit.model.predictions import Predictions
from mlkit.model.spark_training import PREDICTION, PROBABILITY, lanes_sql
from mlkit.production.prediction_log import INPUT, PRODUCTION, input_type
from mlkit.production.prediction_log import STAMPS as LOGGED
from mlkit.production.score_output import STAMPS
from mlkit.production.windows import micros

if TYPE_CHECKING:
    from mlkit.engines.base import Frame
    from mlkit.model.predictions import Class
    from mlkit.production.answers import Stamp
    from mlkit.production.scorer import Scorer

_KEPT, _EVENT, _ARRAY = "mlkit_kept_", "mlkit_event_time", "mlkit_probabilities"
_LABELS: dict[str, tuple[str, type[Class]]] = {"bool": ("BOOLEAN", bool), "integer": ("BIGINT", int)}


def answered_sql(scorer: Scorer, frame: Frame, stamp: Stamp, *, logged: bool) -> Frame:
    """The answers of a model of Spark to the rows of a frame; not evaluated.

    Args:
        scorer: Whose estimator is one of Spark.
        frame: Rows with all features.
        stamp: What every answer carries.
        logged: As rows of the prediction log; else as a caller gets them.

    Raises:
        DataError: A feature is missing or of another type.
        StudyError: The model cannot take the rows (RUN010).
    """
    make_active(frame)
    scorer.check_features(names_of(frame))
    rows = _cast(scorer, frame, stamp)
    known = names_of(rows)
    key = [name for name in scorer.key if name in known]
    ids = key if key == list(scorer.key) and key else list(scorer.features)
    told = ("mlkit_told0", "mlkit_told1")
    kept = [f"{quoted(name)} AS {quoted(_KEPT + name)}" for name in dict.fromkeys((*key, *scorer.inputs))]
    given = rows.selectExpr(
        *map(quoted, scorer.features), *kept, *lanes_sql(fields_of(rows, ids), told), _event(stamp)
    )
    with user_code(type(scorer.estimator).__name__, action="predict"):
        found = scorer.estimator.transform(given)
        if PROBABILITY in names_of(found):
            found = with_array(found, PROBABILITY, _ARRAY)
    stamps = _stamps(scorer, stamp, told)
    with translated("answer rows"):
        if logged:
            return found.selectExpr(
                *stamps.values(), *_predicted(scorer, found, as_text=True), *_inputs(scorer)
            )
        keys = [f"{quoted(_KEPT + name)} AS {quoted(name)}" for name in key]
        return found.selectExpr(
            *keys, *_predicted(scorer, found, as_text=False), *(stamps[n] for n in STAMPS)
        )


def _cast(scorer: Scorer, frame: Frame, stamp: Stamp) -> Frame:
    """The columns that are needed, in the types of the contract."""
    known = set(names_of(frame))
    contract = scorer.contract.columns
    columns = {name: contract[name] for name in (*scorer.key, *scorer.features) if name in known}
    moment = stamp.event_time
    if isinstance(moment, str) and moment not in columns:
        with translated("read the columns of a frame"):
            kind = frame.selectExpr(quoted(moment)).limit(0).toArrow().schema.field(0).type
        columns[moment] = Column(dtype=dtype_of(kind, moment), nullable=True)
    return cast_frame(frame.selectExpr(*map(quoted, columns)), Contract(columns=columns))


def _event(stamp: Stamp) -> str:
    if isinstance(stamp.event_time, str):
        return f"CAST({quoted(stamp.event_time)} AS TIMESTAMP) AS {_EVENT}"
    return f"timestamp_micros({micros(stamp.event_time)}L) AS {_EVENT}"


def _stamps(scorer: Scorer, stamp: Stamp, told: tuple[str, str]) -> dict[str, str]:
    """The columns of the log beside prediction and inputs, as SQL."""
    digits = ", ".join(f"lpad(lower(hex({name})), 16, '0')" for name in told)
    texts = {
        "request_id": stamp.run_id,
        "model_id": scorer.model_id,
        "source": "score",
        "traffic": PRODUCTION,
        "batch": stamp.run_id,
    }
    values = {
        **{name: f"'{text}'" for name, text in texts.items()},
        "row_id": f"concat({digits})",
        EVENT_TIME: _EVENT,
        "logged_at": "current_timestamp()",
        "version": f"CAST({scorer.version} AS BIGINT)",
        "seq": f"CAST({scorer.seq} AS BIGINT)",
    }
    return {name: f"{values[name]} AS {name}" for name in LOGGED.names}


def _predicted(scorer: Scorer, found: Frame, *, as_text: bool) -> list[str]:
    """Prediction and probabilities, under the names and in the types that they have everywhere."""
    if scorer.task == "regression":
        return [f"CAST({PREDICTION} AS DOUBLE) AS {PREDICTION}"]
    kind = scorer.contract.columns[scorer.target].kind
    label, make = _LABELS.get(kind, ("DOUBLE", float))
    value = f"CAST({PREDICTION} AS {label})"
    if as_text:
        value = f"initcap(CAST({value} AS STRING))" if kind == "bool" else f"CAST({value} AS STRING)"
    return [f"{value} AS {PREDICTION}", *_probabilities(found, make)]


def _probabilities(found: Frame, make: type[Class]) -> list[str]:
    """Columns of the probabilities; how many there are is asked of one row."""
    if _ARRAY not in names_of(found):
        return []
    with translated("count classes"):
        ((count,),) = found.selectExpr(f"size({_ARRAY})").limit(1).collect()
    classes = tuple(make(number) for number in range(int(count)))
    names = Predictions(np.empty(0), np.empty((0, len(classes))), classes).probability_columns()
    return [f"{_ARRAY}[{place}] AS {quoted(name)}" for place, name in enumerate(names)]


def _inputs(scorer: Scorer) -> list[str]:
    """The logged features."""
    columns = scorer.contract.columns
    return [
        f"{_number(quoted(_KEPT + name), columns[name])} AS {quoted(INPUT + name)}" for name in scorer.inputs
    ]


def _number(value: str, column: Column) -> str:
    return f"CAST({value} AS DOUBLE)" if pa.types.is_floating(input_type(column)) else value
