"""What commands print as JSON, held to the schemas that they publish."""

from __future__ import annotations

import functools
import importlib.util
import json
from typing import Any

from mlkit.commands.schemas import read_schema

CAN_CHECK = importlib.util.find_spec("jsonschema") is not None
"""The environment of a Databricks runtime has no validator."""


def complaint(command: str, values: Any) -> str:
    """What is wrong with the output of a command; empty if nothing is."""
    from jsonschema.exceptions import best_match  # noqa: PLC0415 - a tenth of a second that few tests need

    printed = json.loads(json.dumps(values, default=str))
    error = best_match(_validator(command).iter_errors(printed))
    return f"mlkit {command} --json: {error.json_path}: {error.message}" if error else ""


def held(give: Any, complaints: list[str]) -> Any:
    """What prints a result, and complains of one that its schema does not allow, printed as JSON or not."""

    def give_and_check(result: Any, options: Any) -> None:
        give(result, options)
        complaints.append(complaint(options.verb, result.to_dict()))

    return give_and_check


def held_error(say: Any, complaints: list[str]) -> Any:
    """What prints an error, and complains as well; every command may end with any."""

    def say_and_check(ending: Any, values: dict[str, Any], text: str) -> None:
        say(ending, values, text)
        complaints.append(complaint("help", {"error": values}))

    return say_and_check


@functools.cache
def _validator(command: str) -> Any:
    from jsonschema import Draft202012Validator  # noqa: PLC0415 - as above

    return Draft202012Validator(read_schema(command))
