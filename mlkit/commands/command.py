"""A command: its name, what it is for, how it is used, and the options that several commands share."""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable


def no_options(parser: argparse.ArgumentParser) -> None:
    """A command without options of its own."""


@dataclasses.dataclass(frozen=True)
class Command:
    """One verb of the command line, with the function ``<name>_verb`` that does it in its home.

    Attributes:
        name: The verb.
        summary: What it does, in a few words.
        examples: Two or three lines that may be typed as they are, each with its meaning behind two spaces.
        page: Where the documentation tells more, e.g. ``guides/scoring``.
        fill: Adds its own options to a parser.
        takes: What it is given first: a config, a config or nothing, a project (the name or path of its
            config), a project or nothing, or nothing that several commands share.
    """

    name: str
    summary: str
    examples: tuple[str, ...]
    page: str
    fill: Callable[[argparse.ArgumentParser], None] = no_options
    takes: str = ""
    home: str = "mlkit.verbs"


QUICK = "mlkit.quick_verbs"
"""Home of the verbs that load little."""
CONFIG, ANY_CONFIG, PROJECT, ANY_PROJECT = "config", "any config", "project", "any project"

_FIRST = {
    CONFIG: "a config: its path, or its name under models/",
    ANY_CONFIG: "a config: its path, or its name under models/; by default all of them",
    PROJECT: "the project, or the path of its config",
    ANY_PROJECT: "the project, or the path of its config; by default all",
}


def add_shared_options(parser: argparse.ArgumentParser, takes: str) -> None:
    """What a command is given first, and the options that all have."""
    if takes:
        count = {"nargs": "?"} if takes in (ANY_CONFIG, ANY_PROJECT) else {}
        parser.add_argument("name", help=_FIRST[takes], **count)  # type: ignore[arg-type]  # of typeshed's nargs
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    target = os.environ.get("MLKIT_TARGET")
    parser.add_argument("--target", default=target, help="set of stores; by default MLKIT_TARGET, or local")
