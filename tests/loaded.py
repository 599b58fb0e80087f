"""Whoever imports this has loaded what a first deployment loads: the process that children are forked from.

A child that had to load it itself would take seconds longer.
"""

import importlib
import sys
import tempfile
from pathlib import Path

import pandas as pd
from sklearn.linear_model import LinearRegression

from mlkit.tracking.models import save_model

sys.dont_write_bytecode = True  # as in tests/conftest.py

for name in (
    "alembic.command",
    "mlflow.pyfunc",
    "mlflow.store.model_registry.sqlalchemy_workspace_store",
    "mlflow.store.tracking.sqlalchemy_workspace_store",
    "mlkit.engines.local",
    "pandera.pandas",
    "tests.production.scenes",
    "tests.production.service.spools",
    "tests.research.study.scenes",
):
    importlib.import_module(name)

# Before it saves the first model of a process, MLflow looks at every file of every distribution.
with tempfile.TemporaryDirectory() as folder:
    rows = pd.DataFrame({"x": [1.0, 2.0]})
    model = LinearRegression().fit(rows, [1.0, 2.0])
    save_model(
        Path(folder) / "model", model, serialization="cloudpickle", example=rows, output="f", requirements=[]
    )
