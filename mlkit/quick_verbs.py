"""Verbs that open no store and load no library, so that they answer at once: a shell waits for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlkit.codes import CODES
from mlkit.codes.page import explain_code
from mlkit.commands.answer import Answer
from mlkit.commands.completion import completion
from mlkit.commands.parser import COMMANDS, make_parser, subparsers
from mlkit.errors import EXIT_DONE, UsageError
from mlkit.nearest import likely
from mlkit.report.findings import FINDINGS

if TYPE_CHECKING:
    import argparse

    from mlkit.commands.answer import Printable


def completion_verb(options: argparse.Namespace) -> tuple[Printable, int]:
    """The script of a shell."""
    summaries = {name: command.summary for name, command in COMMANDS.items()}
    script = completion(options.shell, subparsers(make_parser()), summaries)
    return Answer(script, {"shell": options.shell, "script": script}), EXIT_DONE


def help_verb(options: argparse.Namespace) -> tuple[Printable, int]:
    """What an error code means, or how a command is used; without either, all codes."""
    if options.code is None:
        lines = [f"{code}  {meaning}" for code, meaning in sorted(CODES.items())]
        return Answer("\n".join(lines), dict(CODES)), EXIT_DONE
    if options.code in COMMANDS:
        text = subparsers(make_parser(only=options.code))[options.code].format_help()
        return Answer(text.rstrip("\n"), {"command": options.code, "help": text}), EXIT_DONE
    code = options.code.upper()
    if code in FINDINGS:
        meaning = FINDINGS[code]
        text = f"{code}  {meaning}\n  page    guides/report in the documentation"
        return Answer(text, {"code": code, "meaning": meaning}), EXIT_DONE
    if code not in CODES:
        meant = likely(options.code, COMMANDS) or likely(code, CODES)
        fix = f"did you mean {meant!r}? mlkit help shows all codes" if meant else "mlkit help shows all codes"
        raise UsageError("CLI033", "no such code or command", path=options.code, fix=fix)
    return explain_code(code), EXIT_DONE
