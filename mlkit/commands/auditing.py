"""Commands that look back: what served, why, and what it was made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlkit.commands.command import PROJECT, Command

if TYPE_CHECKING:
    import argparse

_AT = "at this time, e.g. 2026-06-01T12:00:00Z"


def _champion(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--at", metavar="TIME", help=f"that served {_AT}")


def _explain(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("version", type=int, nargs="?", help="by default the one that serves")
    parser.add_argument("--at", metavar="TIME", help=f"the version that served {_AT}")
    parser.add_argument("--config", action="store_true", help="only its frozen config, as the file it was")


def _diff(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("before", type=int, help="number of a version")
    parser.add_argument("after", type=int, help="number of another")


def _reproduce(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("version", type=int, nargs="?", help="by default the one that serves")
    parser.add_argument("--tolerance", type=float, default=0.0, help="largest difference; by default 0")
    parser.add_argument("--to", metavar="FILE", help="write the certificate there too")


def _mark(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("version", type=int, nargs="?", help="to mark bad; without it, what is marked")
    parser.add_argument("--reason", default="", help="why")
    parser.add_argument("--unmark", action="store_true", help="take the mark back")


def _report(parser: argparse.ArgumentParser) -> None:
    which = "the project, or the path of its config; by default the only one"
    parser.add_argument("name", nargs="?", help=which)
    parser.add_argument("--format", choices=["html", "md", "json"], default="html", help="by default html")
    parser.add_argument("--out", metavar="FILE", help="where it goes; by default md and json are printed")
    parser.add_argument("--open", action="store_true", help="show the page in the browser")
    parser.add_argument(
        "--rows-shown", type=int, default=0, metavar="N", help="real rows it may show; by default 0"
    )


COMMANDS = (
    Command(
        "report",
        "one page of everything done in a project",
        (
            "mlkit report flight_delay --open                a page, shown in the browser",
            "mlkit report flight_delay --format md           the same as Markdown, for a pull request",
            "mlkit report flight_delay --out report.html     one file that can be sent around",
        ),
        "guides/report",
        _report,
    ),
    Command(
        "history",
        "who promoted what, when and why",
        (
            "mlkit history flight_delay          the ledger, newest last",
            "mlkit history flight_delay --json   for a program",
        ),
        "guides/audit",
        takes=PROJECT,
    ),
    Command(
        "champion",
        "the version that serves",
        (
            "mlkit champion flight_delay                             now",
            "mlkit champion flight_delay --at 2026-06-01T12:00:00Z   that served then",
        ),
        "guides/audit",
        _champion,
        PROJECT,
    ),
    Command(
        "explain",
        "what a version was made of",
        (
            "mlkit explain flight_delay              the version that serves",
            "mlkit explain flight_delay 7            another one",
            "mlkit explain flight_delay 7 --config   its frozen config, as the file it was",
        ),
        "guides/audit",
        _explain,
        PROJECT,
    ),
    Command(
        "diff",
        "what tells one version from another",
        (
            "mlkit diff flight_delay 7 8          config, rows, columns, environment, code, scores",
            "mlkit diff flight_delay 7 8 --json   for a program",
        ),
        "guides/audit",
        _diff,
        PROJECT,
    ),
    Command(
        "reproduce",
        "make a version again and compare",
        (
            "mlkit reproduce flight_delay                    the version that serves, bit by bit",
            "mlkit reproduce flight_delay 7 --to seven.json   another one, with its certificate",
        ),
        "guides/audit",
        _reproduce,
        PROJECT,
    ),
    Command(
        "mark",
        "versions that may not serve again",
        (
            "mlkit mark flight_delay                              what is marked",
            'mlkit mark flight_delay 7 --reason "leaks the label"   mark one bad',
            'mlkit mark flight_delay 7 --unmark --reason "it did not"   take that back',
        ),
        "guides/audit",
        _mark,
        PROJECT,
    ),
)
