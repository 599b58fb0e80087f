"""Commands that bring a config into production, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlkit.commands.command import ANY_CONFIG, CONFIG, PROJECT, Command

if TYPE_CHECKING:
    import argparse


def _plan(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--all", action="store_true", help="show also the inputs that are unchanged")
    parser.add_argument(
        "-q", "--quiet", action="count", default=0, help="only the counted line; -qq: nothing"
    )
    parser.add_argument("--exit-code", action="store_true", help="exit 5: primary, 6: secondary, 9: blocked")
    parser.add_argument("--out", metavar="FILE", help="save the plan there; by default among the stores")
    parser.add_argument("--format", choices=["text", "md"], default="text", help="md: for a pull request")


def _deploy(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--changed", action="store_true", help="every model whose plan is not: nothing to do")
    parser.add_argument("--reason", default="", help="why, for the ledger")
    parser.add_argument("--dry-run", action="store_true", help="only plan")
    parser.add_argument("--format", choices=["text", "md"], default="text", help="with --changed: md for CI")
    parser.add_argument("--plan", metavar="ID", help="do what a saved plan (its id or file) says, or refuse")


def _rollback(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--to", type=int, help="version; by default the last good one before")
    parser.add_argument("--reason", required=True, help="why, for the ledger")
    parser.add_argument("--mark-bad", action="store_true", help="mark the version that is left")


def _retrain(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dry-run", action="store_true", help="only say what would be done")
    parser.add_argument("--force", action="store_true", help="ask neither policy nor cooldown")
    parser.add_argument("--now", metavar="TIME", help="as if it were this time")


COMMANDS = (
    Command(
        "plan",
        "what a deployment would do, and why",
        (
            "mlkit plan flight_delay                 on the local stores",
            "mlkit plan --target prod                every model, on those of a target",
            "mlkit plan flight_delay --exit-code     5: new model, 6: new code, 9: blocked, 0: nothing to do",
        ),
        "start/first-champion",
        _plan,
        ANY_CONFIG,
    ),
    Command(
        "deploy",
        "bring a frozen config into production",
        (
            'mlkit deploy flight_delay --reason "june"   train, evaluate, gate, register, promote',
            "mlkit deploy flight_delay --plan 4f2c91aa   only if all is as it was when that was planned",
            "mlkit deploy --changed --target prod        every model that has something to do",
        ),
        "start/first-champion",
        _deploy,
        ANY_CONFIG,
    ),
    Command(
        "rollback",
        "an earlier version serves again",
        (
            'mlkit rollback flight_delay --reason "odd answers"      the last good version before',
            'mlkit rollback flight_delay --to 7 --reason "as said"   that version',
            'mlkit rollback flight_delay --reason "bad" --mark-bad   and never again the one that is left',
        ),
        "guides/audit",
        _rollback,
        PROJECT,
    ),
    Command(
        "retrain",
        "same config, new data, same gate",
        (
            "mlkit retrain flight_delay --dry-run   what its policy says, and why",
            "mlkit retrain flight_delay             do so",
            "mlkit retrain flight_delay --force     whatever policy and cooldown say",
        ),
        "guides/monitoring",
        _retrain,
        CONFIG,
    ),
)
