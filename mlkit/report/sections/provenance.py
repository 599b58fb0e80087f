"""Provenance: where everything in the report is, with which versions it was made, and what its words mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlkit.code import DISTRIBUTION, installed_version
from mlkit.page.parts import Part, bullets, command, facts, folded, grid, heading, joined, paragraph
from mlkit.page.words import counted, lasting, moment, short
from mlkit.production.certificate import read_certificates
from mlkit.production.cleanup.reach import is_alive
from mlkit.production.removals import Removals
from mlkit.report.section import Finding, Section
from mlkit.workspace import table_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mlkit.report.context import Context

ANCHOR, TITLE = "provenance", "Provenance"
_PARTS = {"train": "trained on", "test": "judged on", "predictions": "test predictions"}
_OWN = (DISTRIBUTION, "python")
WORDS = {
    "candidate": "the model that is being judged",
    "champion": "the version that serves",
    "gate": "the rule by which a candidate may serve",
    "verdict": "what the gate said, with its reasons",
    "decision record": "inputs, numbers, rule and outcome of one verdict, kept for ever",
    "ledger": "every move of the champion: who, when, from, to, why",
    "fingerprint": "what rows are known by: equal for the same rows in any order and any store",
    "snapshot": "rows that never change, named by their content",
    "test predictions": "the sealed rows with label and answer; scores and intervals come from them",
    "drift": "what is asked or answered is not spread as it was in training",
    "rehearsal": "the package, run as a job would run it, compared with the trial",
}


def provenance_section(context: Context) -> Section:
    """Tables, runs, versions, commands and words."""
    tables, runs = list(_tables(context)), list(_runs(context))
    versions = _versions(context)
    name, workspace = context.project, context.stores.workspace
    commands = _commands(context)
    whole = joined(
        [
            facts({"stores": f"{workspace.target}", "runs": f"`{workspace.ui_command}`"}),
            *_listed(tables, runs, versions),
            heading("Look closer"),
            command("\n".join(commands)),
            *_kept(context),
            folded("Words", facts(WORDS)),
            paragraph(
                "The whole report as values: `mlkit report --format json`, or the element `mlkit-report`."
            ),
        ]
    )
    values = {
        "target": workspace.target,
        "tables": [dict(zip(("what", "table", "fingerprint", "rows"), row, strict=True)) for row in tables],
        "runs": [dict(zip(("what", "run_id", "state"), row, strict=True)) for row in runs],
        "versions": [dict(zip(("package", "recorded", "here"), row, strict=True)) for row in versions],
        "commands": commands,
        "pins": context.pins.to_dict()["pins"],
        "marks": context.marks.to_dict()["marks"],
    }
    return Section(
        anchor=ANCHOR,
        title=TITLE,
        summary=f"{name} on {workspace.target}: {counted(len(tables), 'table')}, {counted(len(runs), 'run')}",
        values=values,
        body=whole.html,
        markdown=whole.markdown,
        findings=tuple(_findings(context)),
    )


def _listed(tables: list[list[Any]], runs: list[list[Any]], versions: list[list[Any]]) -> Iterator[Part]:
    shown = [
        [what, f"`{name}`", short(known_by) if ":" in known_by else known_by, rows]
        for what, name, known_by, rows in tables
    ]
    yield heading("Tables")
    yield _or_none(shown, ["what", "table", "fingerprint", "rows"], "tables")
    yield heading("Runs")
    named = [[what, f"`{run_id}`", state] for what, run_id, state in runs]
    yield _or_none(named, ["what", "run", "state"], "runs")
    yield heading("Versions")
    yield _or_none(versions, ["package", "recorded", "here"], "versions")


def _or_none(rows: list[list[Any]], headers: list[str], label: str) -> Part:
    return grid(headers, rows, label=label) if rows else paragraph(f"No {label} yet.")


def _record(context: Context) -> Mapping[str, Any]:
    found = context.explanation
    return found.decision.record if found and found.decision else {}


def _tables(context: Context) -> Iterator[list[Any]]:
    record = _record(context)
    if not record:
        return
    version = record["source_version"]
    yield ["source", record["source"], f"version {version}", None]
    for part, said in _PARTS.items():
        stored = record[part]
        yield [said, stored["table"], stored["fingerprint"], stored["rows"]]


def _runs(context: Context) -> Iterator[list[Any]]:
    for run in context.study_runs:
        yield [f"study {run.name}", run.run_id, run.status.lower()]
    for run in context.deploy_runs:
        said = run.tags.get("mlkit_outcome", run.status.lower()).replace("_", " ")
        yield [run.name, run.run_id, said]


def _versions(context: Context) -> list[list[Any]]:
    recorded = context.explanation.environment if context.explanation else {}
    names = [*_OWN, *(name for name in recorded if name not in _OWN)]
    return [[name, recorded.get(name), installed_version(name)] for name in names]


def _commands(context: Context) -> list[str]:
    name = context.project
    if context.head is None:
        return [f"mlkit report {name} --format json"]
    number = context.head.to_version
    before = context.head.from_version
    return [
        f"mlkit explain {name} {number}",
        *([f"mlkit diff {name} {before} {number}"] if before else []),
        f"mlkit reproduce {name} {number}",
        f"mlkit report {name} --format json",
    ]


def _kept(context: Context) -> Iterator[Part]:
    said = [f"{pin.what} is kept by {pin.actor}: {pin.reason}" for pin in context.pins.pins]
    said += [mark.sentence for mark in context.marks]
    if said:
        yield heading("Pins and marks")
        yield bullets(said)


def _findings(context: Context) -> Iterator[Finding]:
    name = context.project
    yield from _age(context)
    dead = [run for run in context.open_runs if not is_alive(run, context.now)]
    said = (
        f"{counted(len(dead), 'run')} of {len(context.open_runs)} that are open have nobody working on them"
    )
    if not context.open_runs:
        said = "no run is open"
    mend = f"mlkit doctor {name} --fix" if dead else ""
    yield Finding("RPT040", "look" if dead else "fine", said, len(dead), ANCHOR, mend)
    for removal in Removals(context.engine, name).open():
        said = f"the cleanup of {moment(removal.at)} by {removal.actor} runs, or was stopped"
        yield Finding("RPT041", "look", said, None, ANCHOR, f"mlkit cleanup {name} --apply")
    pins, marks = len(context.pins.pins), len(context.marks)
    if pins:
        yield Finding("RPT042", "fine", f"{counted(pins, 'thing')} kept from cleanup by people", pins, ANCHOR)
    if marks:
        yield Finding("RPT043", "fine", f"{counted(marks, 'version')} may not serve again", marks, ANCHOR)
    yield from _made_again(context)


def _age(context: Context) -> Iterator[Finding]:
    """How old the rows are, and whether their table has moved on: as far as its own record says."""
    found = context.explanation
    if found is None or found.decision is None:
        return
    record, age = found.decision.record, context.now - found.decision.at
    said = f"what serves was trained {lasting(age)} ago on the rows of then"
    yield Finding("RPT030", "fine", said, round(age.total_seconds() / 86_400, 1), ANCHOR)
    source, version = record["ingredients"]["config"].get("source", {}), record["source_version"]
    table = source.get("table") or (context.champion_config or {}).get("source", {}).get("table")
    again = f"mlkit plan {context.project}"
    info = context.engine.describe(table_name(table)) if table else None
    if info is None or not isinstance(version, int):
        said = "whether the source has moved on cannot be told: it is no table here, or has no version"
        yield Finding("RPT031", "not run", said, None, ANCHOR)
    elif info.version != version:
        said = f"{table} is at version {info.version}, what serves was trained on version {version}"
        yield Finding("RPT031", "look", said, info.version - version, ANCHOR, again)
    else:
        yield Finding("RPT031", "fine", f"{table} is as it was when what serves was trained", 0, ANCHOR)


def _made_again(context: Context) -> Iterator[Finding]:
    if context.head is None:
        return
    number, name = context.head.to_version, context.project
    made = list(read_certificates(context.stores, number))
    again = f"mlkit reproduce {name} {number}"
    if not made:
        said = f"v{number} was never made again from what is recorded"
        yield Finding("RPT050", "not run", said, None, ANCHOR, again)
        return
    last = made[-1]
    fits = last.outcome != "different"
    yield Finding("RPT050", "fine" if fits else "act", last.sentence, None, ANCHOR, "" if fits else again)
