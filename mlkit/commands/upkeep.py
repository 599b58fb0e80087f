"""Commands that keep the stores tidy and sound."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlkit.commands.command import ANY_PROJECT, PROJECT, Command

if TYPE_CHECKING:
    import argparse

_DAYS = (
    ("--keep-days", 90, "what served in so many days stays"),
    ("--keep-versions", 5, "so many that served last stay"),
    ("--grace-days", 14, "nothing younger goes"),
)


def _cleanup(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--apply", action="store_true", help="remove it, after asking")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    for option, default, text in _DAYS:
        words = f"{text}; by default {default}"
        parser.add_argument(option, type=int, default=default, metavar="N", help=words)
    parser.add_argument("--models", action="store_true", help="model files that nothing reaches too")
    parser.add_argument("--versions", action="store_true", help="and their versions in the registry")
    parser.add_argument("--runs", action="store_true", help="old MLflow runs too")
    parser.add_argument("--log-days", type=int, metavar="N", help="predictions logged longer ago too")


def _pin(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", nargs="?", help="a version (v3) or a table; without it, what is pinned")
    parser.add_argument("--reason", default="", help="why")


def _unpin(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", help="a version (v3) or a table")


def _doctor(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--fix", action="store_true", help="mend what is safe to mend")


def _cache(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--clear", nargs="?", const="", metavar="NAME", help="remove the results of a step; without NAME, all"
    )
    parser.add_argument("--yes", action="store_true", help="do not ask")


COMMANDS = (
    Command(
        "doctor",
        "is everything as it should be?",
        (
            "mlkit doctor                 everything here, with what to do about it",
            "mlkit doctor flight_delay    one project",
            "mlkit doctor --fix           mend what is safe to mend",
        ),
        "guides/cleanup",
        _doctor,
        ANY_PROJECT,
    ),
    Command(
        "fsck",
        "read everything again and compare with the records",
        (
            "mlkit fsck                 all that is stored",
            "mlkit fsck flight_delay    one project",
        ),
        "guides/cleanup",
        takes=ANY_PROJECT,
    ),
    Command(
        "cleanup",
        "what nothing reaches any more",
        (
            "mlkit cleanup                      what would go, and why the rest stays",
            "mlkit cleanup --apply              remove it, after asking",
            "mlkit cleanup --models --versions  models and their versions too",
        ),
        "guides/cleanup",
        _cleanup,
        ANY_PROJECT,
    ),
    Command(
        "pin",
        "keep a version or table from cleanup",
        (
            "mlkit pin flight_delay                              what is pinned",
            'mlkit pin flight_delay v7 --reason "in the paper"   keep a version with its tables',
        ),
        "guides/cleanup",
        _pin,
        PROJECT,
    ),
    Command(
        "unpin",
        "keep it no longer",
        (
            "mlkit unpin flight_delay v7       a version",
            "mlkit pin flight_delay            what is pinned",
        ),
        "guides/cleanup",
        _unpin,
        PROJECT,
    ),
    Command(
        "cache",
        "stored results of steps, and what they saved",
        (
            "mlkit cache                    each step: results, hits, size, time saved",
            "mlkit cache --clear features   forget one; it is computed again",
        ),
        "guides/steps",
        _cache,
    ),
)
