"""Model folders of estimators that train on Spark, in the layout that MLflow itself gives them.

MLflow's own writer needs a JVM in this process, which Spark Connect does not have; so the folder is made
here. Beside the files stands where Spark had saved them, for a Spark that cannot see this folder.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlflow.models import Model

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlflow.models import ModelSignature

DATA = "sparkml"
PLACE = "mlkit_spark.json"
_REQUIREMENTS, _ENVIRONMENT = "requirements.txt", "python_env.yaml"
_DISTRIBUTIONS = ("pyspark", "databricks-connect", "pyspark-client")


def write_spark_model(
    folder: Path,
    model: object,
    *,
    signature: ModelSignature,
    requirements: Sequence[str],
    code: Sequence[str],
    code_folder: str,
) -> None:
    """Write a model folder; its manifest is for the caller to add.

    Args:
        folder: Where to write; must not exist.
        model: A fitted model of Spark.
        signature: What goes in and comes out.
        requirements: Pinned requirements.
        code: Files and folders that the model imports.
        code_folder: Where they go.

    Raises:
        StoreError: Spark cannot save it.
    """
    from mlkit.engines.spark import ml  # noqa: PLC0415 - only where a model trains on Spark

    place, files = ml.save_model(model)
    for name, content in files.items():
        file = folder / DATA / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    told = json.dumps({"place": place, "files": digests}, indent=1, sort_keys=True)
    (folder / PLACE).write_text(told, encoding="utf-8")
    for path in map(Path, code):
        copy = shutil.copytree if path.is_dir() else shutil.copyfile
        (folder / code_folder).mkdir(exist_ok=True)
        copy(path, folder / code_folder / path.name)
    _describe(folder, signature, requirements, code_folder if code else None)


def is_spark_folder(folder: Path) -> bool:
    """Whether a model folder holds a model of Spark."""
    return (folder / PLACE).is_file()


def read_spark_model(folder: Path) -> Any:  # noqa: ANN401 - a model of Spark
    """The model of a folder whose manifest was verified.

    Raises:
        IntegrityError: Spark can see neither this folder nor, unchanged, where it had saved the model.
        StoreError: Spark failed, or there is no session.
    """
    from mlkit.engines.spark import ml  # noqa: PLC0415 - as above

    told: Mapping[str, Any] = json.loads((folder / PLACE).read_text(encoding="utf-8"))
    return ml.load_model(told["files"], (folder / DATA).absolute().as_uri(), told["place"])


def _describe(folder: Path, signature: ModelSignature, requirements: Sequence[str], code: str | None) -> None:
    """What MLflow reads to serve the model: flavours, signature and environment."""
    import mlflow.pyfunc  # noqa: PLC0415 - it warns of its own code when it is loaded

    (folder / _REQUIREMENTS).write_text("\n".join([*requirements, ""]), encoding="utf-8")
    environment = f"python: {platform.python_version()}\ndependencies:\n- -r {_REQUIREMENTS}\n"
    (folder / _ENVIRONMENT).write_text(environment, encoding="utf-8")
    described = Model(signature=signature)
    mlflow.pyfunc.add_to_model(
        described, loader_module="mlflow.spark", data=DATA, env={"virtualenv": _ENVIRONMENT}, code=code
    )
    described.add_flavor(
        "spark",
        pyspark_version=_version(),
        model_data=DATA,
        code=code,
        model_class="pyspark.ml.pipeline.PipelineModel",
    )
    described.save(str(folder / "MLmodel"))


def _version() -> str:
    """Version of the client of Spark that is installed, whoever distributes it."""
    installed = {each.name: each.version for each in importlib.metadata.distributions()}
    return next((installed[name] for name in _DISTRIBUTIONS if name in installed), "")
