"""Commands that look at what was answered, and say whether it still is right."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlkit.commands.command import PROJECT, Command

if TYPE_CHECKING:
    import argparse


def _window(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--since", metavar="TIME", help="first event time, e.g. 2026-06-01 (UTC)")
    parser.add_argument("--until", metavar="TIME", help="end of the window, itself left out")
    parser.add_argument("--every", metavar="DURATION", help="check window by window: 7d, 6h")
    parser.add_argument("--now", metavar="TIME", help="as if it were this time")
    parser.add_argument("--exit-code", action="store_true", help="exit 7 for drift, 8 if it could not tell")


def _monitor(parser: argparse.ArgumentParser) -> None:
    _window(parser)
    parser.add_argument("--version", type=int, help="whose answers; by default of what served last")
    parser.add_argument("--html", metavar="PATH", help="where the page goes; by default among the stores")
    parser.add_argument("--alert-command", default="", metavar="COMMAND", help="started on an alarm")
    parser.add_argument("--alert-url", metavar="URL", help="called on an alarm")
    parser.add_argument("--self-check", type=int, default=0, metavar="N", help="N windows without drift")


def _performance(parser: argparse.ArgumentParser) -> None:
    _window(parser)
    parser.add_argument("--labels", required=True, help="a table, or a .csv or .parquet file")
    parser.add_argument("--label", metavar="COLUMN", help="column of the label; by default the target")
    parser.add_argument("--request-id", metavar="COLUMN", help="labels are of requests; by default of keys")


COMMANDS = (
    Command(
        "monitor",
        "has what is served drifted?",
        (
            "mlkit monitor flight_delay                                 the last full window",
            "mlkit monitor flight_delay --since 2026-06-01 --every 7d   week by week",
            "mlkit monitor flight_delay --exit-code                     7: drift, 8: could not tell",
        ),
        "guides/monitoring",
        _monitor,
        PROJECT,
    ),
    Command(
        "performance",
        "score by late labels",
        (
            "mlkit performance flight_delay --labels features.arrivals   labels that have come since",
            "mlkit performance flight_delay --labels june.csv --every 7d   week by week",
        ),
        "guides/monitoring",
        _performance,
        PROJECT,
    ),
)
