"""Commands that hand a config over: as a wheel, as jobs, as a repository."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlkit.commands.command import CONFIG, QUICK, Command

if TYPE_CHECKING:
    import argparse


def _handoff(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--to", help="folder of the wheel; by default dist")
    parser.add_argument("--isolated", action="store_true", help="rehearse in a fresh environment")
    parser.add_argument("--no-rehearse", action="store_true", help="only build the wheel")


def _bundle(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--to", default="databricks.yml", help="the file; by default databricks.yml")
    parser.add_argument("--wheels", default="dist", help="folder of the wheels beside it; by default dist")
    parser.add_argument("--force", action="store_true", help="replace also what was edited by hand")
    parser.add_argument("--check", action="store_true", help="only say whether it is up to date")


def _trigger(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", help="what it does: deploy, score, drift, cleanup or rollback")
    parser.add_argument("name", help="the project: its name, or the path of its config")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a job parameter")
    parser.add_argument("--job", help="name or number of the job, if it is another than NAME-ACTION")
    parser.add_argument("--no-wait", action="store_true", help="only start it")


def _init(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dir", nargs="?", metavar="DIR", help="the repository; a dot is this folder")
    parser.add_argument("--name", help="of the repository; by default that of the folder")
    parser.add_argument("--store", choices=["local", "databricks"], help="where prod is; by default local")
    parser.add_argument("--ci", choices=["github", "none"], help="whose workflows; by default github")
    parser.add_argument("--defaults", action="store_true", help="ask nothing")
    parser.add_argument("--bare", action="store_true", help="no example, README or files for editors")
    parser.add_argument("--update", action="store_true", help="write the managed files anew, and no other")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be written")
    parser.add_argument("--force", action="store_true", help="with --update: also what was edited by hand")


COMMANDS = (
    Command(
        "init",
        "a central repository that works at once",
        (
            "mlkit init flight-models             a new one, with a model to start from",
            "mlkit init . --bare                  into a repository that is there; touches nothing in it",
            "mlkit init --update --dry-run        after an upgrade: what would be written anew",
        ),
        "tutorials/central-repository",
        _init,
    ),
    Command(
        "check",
        "is what is committed sound? For CI",
        (
            "mlkit check          models load, generated files are current; exits 2 if not",
            "mlkit check --json   for a program",
        ),
        "tutorials/central-repository",
        home=QUICK,
    ),
    Command(
        "handoff",
        "package a config and rehearse it",
        (
            "mlkit handoff flight_delay              a wheel in dist, proved to repeat the trial",
            "mlkit handoff flight_delay --isolated   proved in a fresh environment",
        ),
        "guides/databricks-bundle",
        _handoff,
        CONFIG,
    ),
    Command(
        "bundle",
        "write the jobs for Databricks",
        (
            "mlkit bundle           databricks.yml from the configs under models/",
            "mlkit bundle --check   in CI: is it up to date?",
        ),
        "guides/databricks-bundle",
        _bundle,
    ),
    Command(
        "trigger",
        "start a job of the bundle on Databricks",
        (
            "mlkit trigger deploy flight_delay --target prod                  and wait for its end",
            "mlkit trigger rollback flight_delay --set to=7 --set reason=bad   with parameters",
        ),
        "guides/databricks-bundle",
        _trigger,
    ),
)
