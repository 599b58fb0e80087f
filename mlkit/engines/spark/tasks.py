"""Task values: what a task of a Databricks job tells the tasks behind it.

They steer optional follow-ups only; the truth stands in the ledger. So where no real `dbutils` exists
nothing happens: databricks-sdk brings a stand-in that takes values and drops them silently.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

from mlkit.boundary import user_code
from mlkit.console import say
from mlkit.errors import StudyError

if TYPE_CHECKING:
    from collections.abc import Mapping

RUNTIME = "dbruntime"
"""The package that only processes of Databricks itself have."""


def put_task_values(values: Mapping[str, str]) -> bool:
    """Tell the tasks behind this one; gives whether there was a job to tell.

    Args:
        values: Short texts by name: a condition task compares texts.
    """
    if importlib.util.find_spec(RUNTIME) is None:
        return False
    try:
        with user_code("dbutils.jobs.taskValues", action="set"):
            return _put(values)
    except StudyError as exc:  # what was done stands; a job does not fail for a courtesy
        say(f"no task values: {exc.message}")
        return False


def _put(values: Mapping[str, str]) -> bool:
    from databricks.sdk import runtime  # noqa: PLC0415 - opens a session where none is injected

    if runtime.is_local_implementation or runtime.dbutils is None:
        return False
    for name, value in values.items():
        runtime.dbutils.jobs.taskValues.set(key=name, value=value)
    return True
