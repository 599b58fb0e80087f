"""Verbs that open no store, so that they answer at once: a shell or a commit waits for them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from mlkit.codes import CODES
from mlkit.codes.page import explain_code
from mlkit.commands.answer import Answer, CommandHelp, CommandSchema, Meaning, Script
from mlkit.commands.completion import completion
from mlkit.commands.parser import COMMANDS, make_parser, subparsers
from mlkit.commands.schemas import read_schema
from mlkit.errors import EXIT_DONE, UsageError
from mlkit.nearest import likely, nearest
from mlkit.report.findings import FINDINGS

if TYPE_CHECKING:
    import argparse

    from mlkit.codes.page import CodePage
    from mlkit.scaffold.check import CheckReport

    Help = CodePage | Answer[dict[str, str]] | Answer[CommandHelp] | Answer[CommandSchema] | Answer[Meaning]


def completion_verb(options: argparse.Namespace) -> tuple[Answer[Script], int]:
    """The script of a shell."""
    summaries = {name: command.summary for name, command in COMMANDS.items()}
    script = completion(options.shell, subparsers(make_parser()), summaries)
    return Answer(script, Script(shell=options.shell, script=script)), EXIT_DONE


def check_verb(options: argparse.Namespace) -> tuple[CheckReport, int]:  # noqa: ARG001 - as all verbs
    """Whether what is committed is sound."""
    from mlkit.scaffold.check import check_repository  # noqa: PLC0415 - it loads what reads a config

    report = check_repository()
    return report, report.exit_code


def help_verb(options: argparse.Namespace) -> tuple[Help, int]:
    """What an error code means, how a command is used, or what it prints as JSON; by default all codes."""
    if options.schema:
        return _schema(options.code), EXIT_DONE
    if options.code is None:
        lines = [f"{code}  {meaning}" for code, meaning in sorted(CODES.items())]
        return Answer("\n".join(lines), dict(CODES)), EXIT_DONE
    if options.code in COMMANDS:
        text = subparsers(make_parser(only=options.code))[options.code].format_help()
        return Answer(text.rstrip("\n"), CommandHelp(command=options.code, help=text)), EXIT_DONE
    code = options.code.upper()
    if code in FINDINGS:
        meaning = FINDINGS[code]
        text = f"{code}  {meaning}\n  page    guides/report in the documentation"
        return Answer(text, Meaning(code=code, meaning=meaning)), EXIT_DONE
    if code not in CODES:
        meant = likely(options.code, COMMANDS) or likely(code, CODES)
        fix = f"did you mean {meant!r}? mlkit help shows all codes" if meant else "mlkit help shows all codes"
        raise UsageError("CLI033", "no such code or command", path=options.code, fix=fix)
    return explain_code(code), EXIT_DONE


def _schema(command: str | None) -> Answer[CommandSchema]:
    if command is None or command not in COMMANDS:
        fix = nearest(command, COMMANDS) if command else "mlkit help --schema plan"
        raise UsageError("CLI001", "a schema is that of a command", path=command or "code", fix=fix)
    schema = read_schema(command)
    return Answer(json.dumps(schema, indent=2), CommandSchema(command=command, schema=schema))
