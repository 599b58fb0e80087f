"""The verbs of the command line: each is one call into a room; gives a result and an exit code."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow.csv
import pyarrow.parquet

from mlkit.codes import CODES
from mlkit.demo.story import run_demo
from mlkit.digest.fingerprint import fingerprint
from mlkit.errors import EXIT_DONE, ConfigError, DataError, UsageError
from mlkit.frozen import FrozenConfig
from mlkit.production.evidence import explain_version, read_champion, read_history
from mlkit.production.rollback import roll_back
from mlkit.production.runner import deploy, plan_deployment
from mlkit.production.serving.choice import start_job
from mlkit.production.stores import Stores
from mlkit.production.task import OPTIONS, read_origin
from mlkit.research.bundle import (
    bundle_targets,
    bundled_configs,
    check_bundle,
    make_bundle,
    name_in,
    write_bundle,
)
from mlkit.research.handoff import hand_off
from mlkit.targets import read_targets
from mlkit.workspace import open_workspace, project_name

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable


class Printable(Protocol):
    """A result: read by people as its `repr`, by programs as `to_dict()`."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        ...


@dataclasses.dataclass(frozen=True)
class Answer:
    """A result that is a text with some values."""

    text: str
    values: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """The values."""
        return self.values

    def __repr__(self) -> str:
        """The text."""
        return self.text


def plan_verb(options: argparse.Namespace) -> tuple[Printable, int]:
    """What a deployment would do."""
    config, stores = _opened(options)
    plan = plan_deployment(config, stores)
    return plan, plan.exit_code if options.exit_code else EXIT_DONE


def deploy_verb(options: argparse.Namespace) -> tuple[Printable, int]:
    """Deploy, or with ``--dry-run`` only plan."""
    config, stores = _opened(options)
    if options.dry_run:
        return plan_deployment(config, stores), EXIT_DONE
    report = deploy(config, stores, origin=read_origin(config), reason=options.reason)
    return report, report.exit_code


def rollback_verb(options: argparse.Namespace) -> tuple[Printable, int]:
    """Move the champion to an earlier version."""
    report = roll_back(_stores(options), to=options.to, reason=options.reason)
    return report, report.exit_code


def trigger_verb(options: argparse.Namespace) -> tuple[Printable, int]:
    """Start a job of the bundle."""
    stores, job = _stores(options), options.job
    parameters = dict(map(_setting, options.set))
    name = f"{stores.project}-{options.action}"
    run = start_job(stores.workspace, name, job=job, parameters=parameters, wait=not options.no_wait)
    return run, EXIT_DONE


def history_verb(options: argparse.Namespace) -> tuple[Printable, int]:
    """The ledger."""
    return read_history(_stores(options)), EXIT_DONE


def champion_verb(options: argparse.Namespace) -> tuple[Printable, int]:
    """The version that serves."""
    champion = read_champion(_stores(options))
    if champion is None:
        return Answer("nothing serves yet", {"version": None}), EXIT_DONE
    return champion, EXIT_DONE


def explain_verb(options: argparse.Namespace) -> tuple[Printable, int]:
    """What a version was made of."""
    return explain_version(_stores(options), options.version), EXIT_DONE


def handoff_verb(options: argparse.Namespace) -> tuple[Printable, int]:
    """Package and rehearse."""
    config, stores = _opened(options)
    made = hand_off(
        config,
        workspace=stores.workspace,
        to=options.to,
        rehearse=not options.no_rehearse,
        fresh_environment=options.isolated,
        verbs=OPTIONS,
    )
    return made, EXIT_DONE


def bundle_verb(options: argparse.Namespace) -> tuple[Printable, int]:
    """Write, or with ``--check`` only compare, the jobs for Databricks."""
    targets = read_targets(open_workspace(options.target).config)
    path, configs = Path(options.to), bundled_configs()
    name = name_in(path)
    text = make_bundle(configs, targets, verbs=OPTIONS, wheels=options.wheels, name=name)
    if options.check and not check_bundle(text, path):
        message = "the bundle is not what configs and targets say by now"
        raise ConfigError("CFG043", message, path=str(path), fix="mlkit bundle")
    write_bundle(text, path, force=options.force)
    projects, known = [config.name for config in configs], list(bundle_targets(targets))
    said = f"{path}  runs {', '.join(projects)} on {', '.join(known)}"
    values = {"path": str(path), "projects": projects, "targets": known}
    return Answer(f"{said}\n  next    databricks bundle deploy --target {known[0]}", values), EXIT_DONE


def fingerprint_verb(options: argparse.Namespace) -> tuple[Printable, int]:
    """Fingerprint of the rows of a file."""
    path = Path(options.file)
    readers: dict[str, Callable[[str], Any]] = {".csv": pyarrow.csv.open_csv, ".parquet": _parquet}
    if path.suffix not in readers or not path.is_file():
        message = "expected a .csv or .parquet file" if path.is_file() else "there is no such file"
        raise UsageError("CLI032", message, path=str(path), fix=f"known: {', '.join(readers)}")
    try:
        found = fingerprint(readers[path.suffix](str(path)))
    except (pyarrow.ArrowException, OSError):  # their text quotes rows
        message = f"the file cannot be read as {path.suffix.removeprefix('.')}"
        fix = "is it whole, and is each column of one type from its first rows on? parquet states its types"
        raise DataError("DAT057", message, path=str(path), fix=fix) from None
    return Answer(found, {"file": str(path), "fingerprint": found}), EXIT_DONE


def demo_verb(options: argparse.Namespace) -> tuple[Printable, int]:
    """Tell the whole story on real data."""
    return run_demo(Path(options.dir), target=options.target), EXIT_DONE


def help_verb(options: argparse.Namespace) -> tuple[Printable, int]:
    """What an error code means; without one, all of them."""
    if options.code is None:
        lines = [f"{code}  {meaning}" for code, meaning in sorted(CODES.items())]
        return Answer("\n".join(lines), dict(CODES)), EXIT_DONE
    code = options.code.upper()
    if code not in CODES:
        raise UsageError("CLI033", "no such code", path=code, fix="mlkit help shows all codes")
    return Answer(f"{code}\n  {CODES[code]}", {"code": code, "meaning": CODES[code]}), EXIT_DONE


def _opened(options: argparse.Namespace) -> tuple[FrozenConfig, Stores]:
    config = FrozenConfig.load(options.name)
    return config, Stores(open_workspace(options.target), config.name)


def _stores(options: argparse.Namespace) -> Stores:
    """Stores of a project named by itself or by the path of its config."""
    name = options.name
    if name.endswith((".yaml", ".yml")):
        name = FrozenConfig.load(name).name
    return Stores(open_workspace(options.target), project_name(name))


def _setting(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise UsageError(
            "CLI001", f"expected NAME=VALUE, found {text!r}", path="--set", fix="--set reason=june"
        )
    return name, value


def _parquet(path: str) -> Any:  # noqa: ANN401 - a stream of batches
    file = pyarrow.parquet.ParquetFile(path)
    return pyarrow.RecordBatchReader.from_batches(file.schema_arrow, file.iter_batches())
