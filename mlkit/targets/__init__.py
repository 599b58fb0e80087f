"""Targets: named sets of stores, and the file ``mlkit.toml`` that describes them.

`local` needs no file. Any other target is a table ``[targets.NAME]`` of ``mlkit.toml``, which is looked for
in the working directory and above it up to the repository's root, or named by ``MLKIT_CONFIG``. The file is
read strictly and holds no secret: credentials come from the profile or environment that databricks-sdk,
MLflow and Spark read by themselves.
"""

from mlkit.targets.alert import LOOPBACK, Alert, check_address
from mlkit.targets.bundle import BundleTarget
from mlkit.targets.file import CONFIG, FILE, LOCAL, find_config, read_targets
from mlkit.targets.spark import ServingTarget, SparkTarget
from mlkit.targets.target import DATABRICKS, UNITY, Target

__all__ = [
    "CONFIG",
    "DATABRICKS",
    "FILE",
    "LOCAL",
    "LOOPBACK",
    "UNITY",
    "Alert",
    "BundleTarget",
    "ServingTarget",
    "SparkTarget",
    "Target",
    "check_address",
    "find_config",
    "read_targets",
]
