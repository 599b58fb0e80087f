"""Fitted models of Spark as files: written by Spark where it can write, and brought here to be kept.

Only Spark itself can write a model and read it, and what it can reach may be another machine's disk. So a
model is saved into a folder of Spark's own, whose files are then fetched for the store of models. It is
loaded from whichever place Spark can read and holds exactly those files: the store's folder, where they
share a disk, else the folder it was saved into.
"""

from __future__ import annotations

import os
import uuid
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from mlkit.engines.spark.faults import door
from mlkit.errors import IntegrityError, StoreError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyspark.sql import DataFrame, SparkSession

FOLDER = "MLFLOW_DFS_TMP"
"""MLflow's own variable for the folder of Spark's that takes models; on Databricks one of a volume."""

MODELS = "mlkit_models"
_WAREHOUSE = "spark.sql.warehouse.dir"


def save_model(model: Any) -> tuple[str, dict[str, bytes]]:  # noqa: ANN401 - a model of Spark, or of others
    """Write a fitted model into a folder of Spark's own.

    Args:
        model: Any fitted model of Spark; one that is no pipeline becomes one.

    Returns:
        Where it is, and its files by path.

    Raises:
        StoreError: Spark cannot write there.
    """
    from pyspark.ml import PipelineModel  # noqa: PLC0415 - only where a model trains on Spark

    whole = model if isinstance(model, PipelineModel) else PipelineModel([model])
    session = _session()
    with door("model"):
        place = f"{_base(session)}/{MODELS}/{uuid.uuid4().hex}"
        whole.write().save(place)
        found = _files(session, place, "content").collect()
    return place, {_inside(path, place): bytes(content) for path, content in found}


def make_active(frame: DataFrame) -> None:
    """Make the session of a frame the one in which models are read and written from now on.

    With Spark Connect these look for an active session, and that is the first that this thread has opened:
    another target's perhaps, or one that has ended. There is no public way to say which.
    """
    active = getattr(type(frame.sparkSession), "_active_session", None)
    if active is not None:
        active.session = frame.sparkSession


def with_array(frame: DataFrame, column: str, name: str) -> DataFrame:
    """A frame with the values of a column of vectors as an array of doubles under another name."""
    from pyspark.ml.functions import vector_to_array  # noqa: PLC0415 - only where a model trains on Spark

    return frame.withColumn(name, vector_to_array(frame[column]))


def load_model(files: Mapping[str, str], *places: str) -> Any:  # noqa: ANN401 - a model of Spark
    """Read a model from the first place that holds exactly some files.

    Args:
        files: sha256 (64 hex) of each file by path.
        places: Folders in which Spark may find them.

    Raises:
        IntegrityError: None of them does (INT027).
        StoreError: Spark failed.
    """
    from pyspark.ml import PipelineModel  # noqa: PLC0415 - as above

    session = _session()
    for place in places:
        if _holds(session, place, files):
            with door("model"):
                return PipelineModel.load(place)
    message = "Spark finds the files of this model nowhere, or changed"
    fix = "restore them from the store of models, or make another version the champion: mlkit rollback"
    raise IntegrityError("INT027", message, path=places[-1], fix=fix)


def _holds(session: SparkSession, place: str, files: Mapping[str, str]) -> bool:
    """Whether a folder holds these files and no others; what cannot be read holds nothing."""
    try:
        with door("model"):
            found = _files(session, place, "sha2(content, 256)").collect()
    except StoreError:
        return False
    return {_inside(path, place): str(digest) for path, digest in found} == dict(files)


def _files(session: SparkSession, place: str, what: str) -> DataFrame:
    reader = session.read.format("binaryFile").option("recursiveFileLookup", "true")
    return reader.load(place).selectExpr("path", what)


def _inside(path: str, place: str) -> str:
    """Path of a file below the folder, of which Spark tells the whole address."""
    name, folder = unquote(urlsplit(path).path), unquote(urlsplit(place).path).rstrip("/")
    return name[name.index(f"{folder}/") + len(folder) + 1 :]


def _base(session: SparkSession) -> str:
    given = os.environ.get(FOLDER) or session.conf.get(_WAREHOUSE)
    return str(given).rstrip("/")


def _session() -> SparkSession:
    from pyspark.sql import SparkSession  # noqa: PLC0415 - as above

    session = SparkSession.getActiveSession()
    if session is None:
        message = "no session of Spark is open, which alone can read its models"
        raise StoreError("STO057", message, path="model", fix="take a target that has Spark")
    return session
