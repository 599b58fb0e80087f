"""Writes the pages of the reference that are lists of the code: error codes and commands.

Run it to write them, or with ``--check`` to fail where they are stale.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mlkit.cli import _parser
from mlkit.codes import CODES

FOLDER = Path(__file__).parent.parent.parent / "docs" / "reference"
FAMILIES = {
    "CFG": "Configs",
    "NAM": "Names",
    "CLI": "Calls and commands",
    "DAT": "Data",
    "STO": "Stores",
    "INT": "Integrity",
    "SEC": "Security",
    "NET": "Serving",
    "GAT": "Gate",
    "RUN": "Code of yours",
    "BUG": "Bugs",
}
_HEADER = "<!-- Written by tests/checks/reference.py; `make docs` checks that it is up to date. -->\n"


def codes_page() -> str:
    """Every error code with its meaning, by family."""
    parts = [_HEADER, "# Error codes\n\n`mlkit help CODE` shows the same on a terminal.\n"]
    for family, title in FAMILIES.items():
        rows = [(code, meaning) for code, meaning in sorted(CODES.items()) if code.startswith(family)]
        if rows:
            table = "".join(f"| `{code}` | {' '.join(meaning.split())} |\n" for code, meaning in rows)
            parts.append(f"\n## {title}\n\n| code | what it means |\n|---|---|\n{table}")
    return "".join(parts)


def commands_page() -> str:
    """Every command with its help."""
    parser = _parser()
    actions = next(action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    parts = [_HEADER, f"# Commands\n\n```text\n{_help(parser)}```\n"]
    for name, command in actions.choices.items():
        parts.append(f"\n## `mlkit {name}`\n\n```text\n{_help(command)}```\n")
    return "".join(parts)


def main(arguments: list[str]) -> int:
    """Write the pages, or check them."""
    stale = []
    for name, text in (("codes.md", codes_page()), ("commands.md", commands_page())):
        path = FOLDER / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            stale.append(name)
            if "--check" not in arguments:
                path.write_text(text, encoding="utf-8")
    if stale and "--check" in arguments:
        sys.stdout.write(f"stale: {', '.join(stale)}; run python tests/checks/reference.py\n")
        return 1
    return 0


def _help(parser: argparse.ArgumentParser) -> str:
    parser.formatter_class = _Wide if parser.epilog is None else _WideRaw
    return parser.format_help()


class _Wide(argparse.HelpFormatter):
    """Help of one width, whatever the terminal."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=100)


class _WideRaw(argparse.RawDescriptionHelpFormatter):
    """The same, with examples as they are."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=100)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
