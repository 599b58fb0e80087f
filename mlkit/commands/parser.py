"""The parser of the command line, made of its commands; what it refuses, it refuses with the nearest word."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any, NoReturn

from mlkit.commands import answering, auditing, deploying, exploring, packaging, upkeep, watching
from mlkit.commands.command import add_shared_options
from mlkit.errors import UsageError
from mlkit.nearest import nearest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlkit.commands.command import Command

GROUPS: Mapping[str, Sequence[Command]] = {
    "explore": exploring.COMMANDS,
    "deploy": deploying.COMMANDS,
    "answer": answering.COMMANDS,
    "watch over it": watching.COMMANDS,
    "look back": auditing.COMMANDS,
    "hand over": packaging.COMMANDS,
    "keep in order": upkeep.COMMANDS,
}
"""Every command, in the groups of ``mlkit --help``."""

COMMANDS: Mapping[str, Command] = {
    command.name: command for commands in GROUPS.values() for command in commands
}
"""Every command by its name."""

SUMMARY = "From a dataframe to a reviewed, reproducible champion."

_EXAMPLES = (
    "mlkit demo                                   the whole life cycle on real data, in a minute",
    "mlkit plan flight_delay                      what would a deployment do, and why",
    'mlkit deploy flight_delay --reason "june"    build, train, evaluate, gate, register, promote',
)

_ENDINGS = """\
exit codes:
  0 done   2 usage or config   3 rejected by the gate   4 serving not converged   10 data
  20 store   21 lost the race   30 integrity   70 a bug   (plan --exit-code: 5 primary, 6 secondary,
  9 blocked; monitor --exit-code: 7 drift, 8 could not tell)

mlkit COMMAND --help shows examples and options of a command, mlkit help CODE an error's page.
page: start/first-champion in the documentation
"""


class Parser(argparse.ArgumentParser):
    """A parser whose mistakes are errors of this project, and whose help begins with examples."""

    _words: Sequence[str] = ()

    @property
    def actions(self) -> Sequence[argparse.Action]:
        """What it takes: first what has no name, then options."""
        return self._actions

    def format_help(self) -> str:
        """What it is for, examples, usage, options, page."""
        formatter = self._get_formatter()
        formatter.add_text(self.description)
        formatter.add_usage(self.usage, self._actions, self._mutually_exclusive_groups)
        for group in self._action_groups:
            formatter.start_section(group.title)
            formatter.add_text(group.description)
            formatter.add_arguments(group._group_actions)  # noqa: SLF001 - as argparse does it
            formatter.end_section()
        formatter.add_text(self.epilog)
        return formatter.format_help()

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:  # noqa: ANN401 - argparse's
        """As argparse does; the words are kept, to tell the nearest option of one that is unknown."""
        self._words = list(args or ())
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """Raise instead of leaving the process."""
        self.refuse_unknown(self._words)
        raise UsageError("CLI001", message, fix=f"{self.prog} --help")

    def refuse_unknown(self, words: Sequence[str]) -> None:
        """Refuse options that this command does not have.

        Raises:
            UsageError: One of the words is such an option (CLI001).
        """
        for word in words:
            option = word.partition("=")[0]
            if option.startswith("--") and option != "--" and option not in self._option_string_actions:
                known = [name for name in self._option_string_actions if name.startswith("--")]
                message = f"{self.prog} has no option {option}"
                raise UsageError("CLI001", message, path=option, fix=nearest(option, known))

    def _check_value(self, action: argparse.Action, value: Any) -> None:  # noqa: ANN401 - argparse's
        if action.choices is not None and value not in action.choices:
            known = [str(choice) for choice in action.choices]
            what = "command" if isinstance(action, argparse._SubParsersAction) else action.dest  # noqa: SLF001 - it has no public name
            fix = nearest(str(value), known)
            raise UsageError("CLI001", f"no {what} {value!r}", path=str(value), fix=fix)


def parse(words: Sequence[str]) -> argparse.Namespace:
    """Read the words of a command.

    Raises:
        UsageError: They make no command (CLI001).
    """
    verb = next((word for word in words if not word.startswith("-")), "")
    parser = make_parser(only=verb if verb in COMMANDS else None)
    options: argparse.Namespace
    options, unknown = parser.parse_known_args(words)
    if unknown:
        asked = subparsers(parser).get(options.verb, parser)
        asked.refuse_unknown(unknown)
        message = f"{asked.prog} takes no {unknown[0]!r}"
        raise UsageError("CLI001", message, path=unknown[0], fix=f"{asked.prog} --help")
    return options


def make_parser(*, only: str | None = None) -> Parser:
    """The parser.

    Args:
        only: The command that is wanted, if it is known: others then have no options.
    """
    raw = argparse.RawDescriptionHelpFormatter
    parser = Parser(prog="mlkit", formatter_class=raw, allow_abbrev=False, usage="mlkit COMMAND ...")
    parser.description = f"{SUMMARY}\n\n{_examples(_EXAMPLES)}\n\n{_listing()}"
    parser.epilog = _ENDINGS
    parser.add_argument("--version", action="store_true", help="show the version")
    verbs = parser.add_subparsers(dest="verb", metavar="COMMAND", prog="mlkit", help=argparse.SUPPRESS)
    for command in COMMANDS.values():
        made = verbs.add_parser(command.name, formatter_class=raw, allow_abbrev=False)
        if only in (None, command.name):
            made.description = f"{_sentence(command.summary)}\n\n{_examples(command.examples)}"
            made.epilog = f"page: {command.page} in the documentation"
            add_shared_options(made, command.takes)
            command.fill(made)
    return parser


def subparsers(parser: Parser) -> Mapping[str, Parser]:
    """The parsers of the commands, by their names."""
    kind = argparse._SubParsersAction  # noqa: SLF001 - it has no public name
    return next(action.choices for action in parser.actions if isinstance(action, kind))


def _listing() -> str:
    width = max(map(len, COMMANDS)) + 2
    parts = []
    for title, commands in GROUPS.items():
        lines = "".join(f"\n  {command.name:<{width}}{command.summary}" for command in commands)
        parts.append(f"{title}:{lines}")
    return "\n\n".join(parts)


def _examples(lines: Sequence[str]) -> str:
    return "\n".join(["examples:", *(f"  {line}" for line in lines)])


def _sentence(text: str) -> str:
    first = text[0].upper() + text[1:]
    return first if first.endswith("?") else f"{first}."
