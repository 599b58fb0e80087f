"""The page of commands: every command with its examples, options and guide."""

from __future__ import annotations

import argparse

from mlkit.commands.parser import COMMANDS, GROUPS, make_parser, subparsers

from .markdown import table


def all_commands(_: str) -> str:
    """Every command: a list in the groups of ``mlkit --help``, then the help of each."""
    parsers = subparsers(make_parser())
    parts = []
    for title, commands in GROUPS.items():
        rows = [(f"[`{command.name}`](#mlkit-{command.name})", command.summary) for command in commands]
        parts.append(f"**{title.capitalize()}**\n\n{table(['command', 'what it does'], rows)}")
    for name, parser in parsers.items():
        parser.formatter_class = _Wide
        guide = f"[Guide](../{COMMANDS[name].page}.md) · [JSON](json.md#mlkit-{name})\n"
        parts.append(
            f"## `mlkit {name}` {{ #mlkit-{name} }}\n\n{guide}\n```text\n{parser.format_help()}```\n"
        )
    return "\n".join(parts)


class _Wide(argparse.RawDescriptionHelpFormatter):
    """Help of one width, whatever the terminal."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=100)
