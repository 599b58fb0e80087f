"""Commands for the day of a data scientist: try, run again at a save, look up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlkit.commands.command import QUICK, Command

if TYPE_CHECKING:
    import argparse


def _demo(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dir", default="mlkit-demo", help="folder to work in; made anew")
    parser.add_argument("--yes", action="store_true", help="do not ask whether files of yours there may go")


def _watch(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("script", help="a Python file")
    parser.add_argument("--args", default="", help='its own arguments, as one text: --args "--rows 100"')
    parser.add_argument("--once", action="store_true", help="run it a single time, as in CI")
    parser.add_argument("--lazy", action="store_true", help="steps that take long are stale, not run")
    parser.add_argument("--folder", action="append", default=[], help="look at this folder too")
    parser.add_argument("--open", action="store_true", help="open the page of the project in a browser")
    parser.add_argument("--no-page", action="store_true", help="only run it; serve no page")


def _fingerprint(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", help="the file")


def _completion(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=["bash", "zsh", "fish"], help="bash, zsh or fish")


def _help(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("code", nargs="?", help="a code, e.g. DAT060, or a command; without it, all codes")
    parser.add_argument(
        "--schema", action="store_true", help="JSON Schema of what a command prints with --json"
    )


COMMANDS = (
    Command(
        "demo",
        "the whole life cycle on real data, in a minute",
        (
            "mlkit demo                in the folder mlkit-demo",
            "mlkit demo --dir first    in another one",
        ),
        "start/first-champion",
        _demo,
    ),
    Command(
        "watch",
        "run a script again at every save",
        (
            "mlkit watch explore.py --open              until Ctrl-C, with the page of its project",
            "mlkit watch explore.py --lazy              long steps are stale, not run",
            'mlkit watch explore.py --args "--rows 100"  with arguments of its own',
        ),
        "guides/steps",
        _watch,
    ),
    Command(
        "fingerprint",
        "fingerprint of a parquet or csv file",
        (
            "mlkit fingerprint flights.parquet   d1:... of its rows, whatever their order",
            "mlkit fingerprint flights.csv       the same, if they are the same",
        ),
        "concepts/one-rule",
        _fingerprint,
    ),
    Command(
        "completion",
        "a script by which your shell completes commands",
        (
            'eval "$(mlkit completion bash)"        in ~/.bashrc',
            'eval "$(mlkit completion zsh)"         in ~/.zshrc, after compinit',
            "mlkit completion fish | source         in config.fish",
        ),
        "start/install",
        _completion,
        home=QUICK,
    ),
    Command(
        "help",
        "what an error code means, or how a command is used",
        (
            "mlkit help DAT060          an error, with what helps",
            "mlkit help deploy          a command, with examples",
            "mlkit help --schema plan   what its --json prints, as JSON Schema",
        ),
        "reference/errors",
        _help,
        home=QUICK,
    ),
)
