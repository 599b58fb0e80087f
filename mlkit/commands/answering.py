"""Commands that answer rows with the version that serves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlkit.commands.command import PROJECT, Command

if TYPE_CHECKING:
    import argparse


def _score(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "data", nargs="?", help="a table, or a .parquet or .csv file; by default the config's source"
    )
    parser.add_argument("--to", metavar="PLACE", help="a .parquet or .csv file, or a table, for the answers")
    parser.add_argument(
        "--as-of", metavar="TIME", help="the day the run is for, e.g. 2026-06-01; by default now"
    )
    parser.add_argument("--event-time", metavar="COLUMN", help="when that happened which each row is about")
    parser.add_argument("--run-id", help="name of the run in the log, which is logged once")
    parser.add_argument("--version", type=int, help="who answers; by default the version that serves")
    parser.add_argument(
        "--prepare", action="store_true", help="the rows are raw: let the config prepare them"
    )
    parser.add_argument("--no-log", action="store_true", help="leave the prediction log alone")


def _serve(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", help="a config: its path, or its name under models/")
    parser.add_argument("--trial", metavar="RUN_ID", default="", help="a study's run, for research only")
    parser.add_argument("--host", help="address to listen on; by default this machine only")
    parser.add_argument("--port", type=int, help="by default 8000; 0 takes a free one")
    parser.add_argument("--workers", type=int, help="processes that answer; by default 1")
    parser.add_argument(
        "--policy", choices=["durable", "fast"], help="answer when the log is safe, or before"
    )
    parser.add_argument("--max-rows", type=int, help="most rows of one request")
    parser.add_argument("--max-body-mb", type=float, help="most megabytes of one body")
    parser.add_argument("--refresh-seconds", type=float, help="time between two looks at the ledger")


COMMANDS = (
    Command(
        "score",
        "answer many rows at once, and log it",
        (
            "mlkit score flight_delay                                   all rows of the config's source",
            "mlkit score flight_delay june.parquet --to answers.parquet   a file, answered in a file",
            "mlkit score flight_delay features.flights --as-of 2026-06-01   a table, for a day",
        ),
        "guides/scoring",
        _score,
        PROJECT,
    ),
    Command(
        "serve",
        "answer over HTTP with the champion, and log it",
        (
            "mlkit serve flight_delay                     on port 8000 of this machine",
            "mlkit serve flight_delay --workers 4         four processes, one log",
            "mlkit serve --trial 3f0c9a --port 0          a trial, for research only",
        ),
        "guides/serving",
        _serve,
    ),
)
