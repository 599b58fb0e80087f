"""The options of a packaged runner: a verb, then ``--name=value`` parts, read strictly."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlkit.errors import UsageError
from mlkit.production.attempt import JOB_OPTIONS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_ALWAYS = ("config", "target")
# Unity Catalog calls a deployment job with these two, spelled so.
_MODEL = ("model_name", "model_version")
WATCHING = ("monitor", "retrain")
"""The verbs that look at what was answered."""
OPTIONS = {
    "deploy": (*_ALWAYS, "reason", "rehearse", "cv", *_MODEL, *JOB_OPTIONS),
    "plan": _ALWAYS,
    "cleanup": (*_ALWAYS, "apply", "keep-days", *JOB_OPTIONS),
    "reproduce": (*_ALWAYS, "version", *JOB_OPTIONS),
    "rollback": (*_ALWAYS, "to", "reason", "mark-bad", *_MODEL, *JOB_OPTIONS),
    "score": (*_ALWAYS, "as-of", "data", "event-time", "to", *JOB_OPTIONS),
    "monitor": (*_ALWAYS, "since", "until", "auto-retrain", *JOB_OPTIONS),
    "retrain": (*_ALWAYS, "dry-run", "force", *JOB_OPTIONS),
}
"""What each verb takes."""


def parse(arguments: Sequence[str], known: Mapping[str, Sequence[str]]) -> tuple[str, dict[str, str]]:
    """The verb and its options.

    Args:
        arguments: A verb, then ``--name=value`` parts.
        known: Names of the options of each verb.

    Raises:
        UsageError: An unknown verb or option (CLI001), one text instead of a list (CLI011), or a
            reference that the job left unfilled (CLI026).
    """
    if isinstance(arguments, str) or (len(arguments) == 1 and " " in arguments[0].strip()):
        message = "the parameters came as one text; a job gives them as a list"
        raise UsageError("CLI011", message, path="parameters", fix='parameters: ["deploy", "--config=NAME"]')
    for argument in arguments:
        if "{{" in argument:
            message = "a job reference was not filled in"
            raise UsageError("CLI026", message, path=argument, fix="correct its name")
    verb, *rest = arguments or [""]
    if verb not in known:
        raise UsageError("CLI001", f"expected one of {', '.join(known)}, found {verb!r}", path="verb")
    options: dict[str, str] = {}
    for argument in rest:
        name, value = _option(argument, known[verb])
        if name in options:
            raise UsageError("CLI001", f"--{name} stands twice", path=name, fix="give it once")
        options[name] = value
    return verb, options


def whole_number(name: str, text: str) -> int:
    """A number from 1 that an option gives.

    Raises:
        UsageError: It is none (CLI004).
    """
    if not text.isascii() or not text.isdigit() or not int(text):
        message = f"expected a whole number from 1, found {text!r}"
        raise UsageError("CLI004", message, path=name, fix=f"--{name}=2")
    return int(text)


def switch(name: str, text: str) -> bool:
    """A yes or no that an option gives; empty is no.

    Raises:
        UsageError: It is neither (CLI069).
    """
    if text not in ("", "true", "false"):
        raise UsageError("CLI069", f"expected true or false, found {text!r}", path=name, fix=f"--{name}=true")
    return text == "true"


def _option(argument: str, known: Sequence[str]) -> tuple[str, str]:
    name, equals, value = argument.removeprefix("--").partition("=")
    if not argument.startswith("--") or not equals or name not in known:
        fix = f"known: {', '.join(f'--{option}=' for option in known)}"
        raise UsageError("CLI001", f"expected --name=value, found {argument!r}", path=name, fix=fix)
    return name, value
