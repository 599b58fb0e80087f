"""Freeze and rehearsal: the config, what an edit of it changes, and that the package repeats the trial."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from mlkit import document
from mlkit.errors import MlkitError
from mlkit.frozen import FOLDER, FrozenConfig, find, read_provenance
from mlkit.model.estimator import steps_text
from mlkit.page.parts import Part, command, facts, folded, grid, heading, joined, listing, paragraph
from mlkit.page.words import counted, moment, short
from mlkit.production.candidate import CONFIG_FILE
from mlkit.production.evidence import explain_version
from mlkit.report.section import Finding, Section
from mlkit.research.rehearsals import read_rehearsal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mlkit.report.context import Context
    from mlkit.report.section import Severity

ANCHOR, TITLE = "config", "Config and rehearsal"
_CONTEXT = 2  # lines around a change
_COMPARED = {
    "train": "train rows",
    "test": "test rows",
    "scores": "fold scores",
    "predictions": "predictions",
}


def config_section(context: Context) -> Section:
    """The config that serves or would, with its differences and its proof."""
    if context.config is None:
        return _nothing(context)
    text = _text_of(context)
    changes = dict(_changes(context))
    proof = _proof(context)
    whole = joined(
        [
            facts(_said(context, context.config)),
            _whole_file(context, text),
            *_change_parts(context, changes),
            *_proof_parts(context, proof),
        ]
    )
    return Section(
        anchor=ANCHOR,
        title=TITLE,
        summary=_summary(context, changes),
        values={"config": dict(context.config), "changes": changes, "rehearsal": proof},
        body=whole.html,
        markdown=whole.markdown,
        findings=tuple(_findings(context, changes, proof)),
    )


def _nothing(context: Context) -> Section:
    whole = joined(
        [
            paragraph("Nothing was frozen yet. The best trial becomes a file that a reviewer can read:"),
            command("config = project.freeze(study.best, gate=Gate(threshold=...))"),
        ]
    )
    return Section(
        anchor=ANCHOR,
        title=TITLE,
        summary="nothing was frozen yet",
        values={"config": None},
        body=whole.html,
        markdown=whole.markdown,
        findings=tuple(_file_finding(context, {})),
    )


def _text_of(context: Context) -> str:
    if context.explanation and context.explanation.files.config:
        return context.explanation.files.config
    return context.frozen.to_yaml() if context.frozen else ""


def _whole_file(context: Context, text: str) -> Part:
    """The file on the page; in Markdown the command that shows it."""
    shown = folded("The whole file", listing(text, language="yaml"))
    head = context.head
    place = (
        f"mlkit explain {context.project} {head.to_version} --config"
        if head
        else f"{FOLDER}/{context.project}.yaml"
    )
    return Part(shown.html, f"The whole file: `{place}`")


def _digest_of(context: Context) -> str:
    if context.explanation and context.explanation.decision:
        return str(context.explanation.decision.record["config_digest"])
    return context.frozen.digest if context.frozen else ""


def _said(context: Context, config: Mapping[str, Any]) -> dict[str, object]:
    gate = ", ".join(f"{name} {value}" for name, value in (config.get("gate") or {}).items())
    split = ", ".join(f"{name} {value}" for name, value in (config.get("split") or {}).items())
    source = config.get("source") or {}
    features = config.get("features") or []
    given = f"{counted(len(features), 'feature')}: {', '.join(features)}"
    whose = "of what serves" if context.champion_config else "not deployed yet"
    return {
        "config": f"`{short(_digest_of(context))}` {whose}",
        "model": f"`{steps_text(config['model'])}`" if "model" in config else None,
        "predicts": f"`{config.get('target')}` from {given}",
        "source": ", ".join(f"{name} `{value}`" for name, value in source.items()),
        "split": split,
        "gate": f"{config.get('metric')}: {gate}",
    }


def _changes(context: Context) -> Iterator[tuple[str, list[str]]]:
    """Differences of the files as a reviewer reads them, by what is compared."""
    if not context.champion_config or context.champion is None:
        return
    serves, number = _text_of(context), context.champion.version
    if context.frozen is not None:
        name = f"v{number} to {FOLDER}/{context.project}.yaml"
        yield name, _diff(serves, context.frozen.to_yaml())
    before = context.entries[-1].from_version
    if before is not None and (text := _config_of(context, before)):
        yield f"v{before} to v{number}", _diff(text, serves)


def _config_of(context: Context, version: int) -> str:
    try:
        return explain_version(context.stores, version).files.config
    except MlkitError:  # cleanup may have removed it
        return ""


def _diff(before: str, after: str) -> list[str]:
    """Changed lines with some around them; comments are no part of what a file says."""
    old, new = _without_comments(before), _without_comments(after)
    return list(difflib.unified_diff(old, new, lineterm="", n=_CONTEXT))[2:]


def _without_comments(text: str) -> list[str]:
    lines = document.write(document.parse(text.encode(), origin=CONFIG_FILE)).splitlines()
    return [line for line in lines if not line.startswith("#")]


def _change_parts(context: Context, changes: Mapping[str, list[str]]) -> Iterator[Part]:
    yield heading("What changed")
    if not changes:
        yield paragraph("Nothing to compare with: this is the first config here.")
    for name, lines in changes.items():
        if lines:
            yield paragraph(f"{name}: {counted(_edits(lines), 'line')} added or removed.")
            yield listing("\n".join(lines), language="diff")
        else:
            yield paragraph(f"{name}: the same.")
    if any(changes.values()) and context.frozen is not None:
        yield command(f"mlkit plan {context.project}")


def _edits(lines: list[str]) -> int:
    return sum(line.startswith(("+", "-")) for line in lines)


def _proof(context: Context) -> dict[str, Any] | None:
    """Trial, package and production beside each other; None where no trial is known."""
    digest, home = _digest_of(context), context.stores.workspace.home
    trial = _trial(context, digest)
    packaged = read_rehearsal(home, context.project, digest)
    deployed = (
        context.explanation.decision.record if context.explanation and context.explanation.decision else {}
    )
    if not trial and packaged is None:
        return None
    rows = [
        {
            "what": said,
            "trial": trial.get(name),
            "package": packaged.get(name) if packaged else None,
            "production": deployed[name]["fingerprint"] if name in ("train", "test") and deployed else None,
        }
        for name, said in _COMPARED.items()
    ]
    return {"rows": rows, "rehearsal": packaged, "trial": trial.get("trial")}


def _trial(context: Context, digest: str) -> dict[str, Any]:
    if context.frozen is None:
        return {}
    try:
        found = read_provenance(context.frozen)
    except MlkitError:
        return {}
    return found if found.get("config_digest") == digest else {}


def _proof_parts(context: Context, proof: Mapping[str, Any] | None) -> Iterator[Part]:
    yield heading("Rehearsal")
    if proof is None or proof["rehearsal"] is None:
        yield paragraph(
            "No rehearsal of this config is kept here. It proves that the package repeats the trial:"
        )
        yield command(f"mlkit handoff {context.project}")
    else:
        packaged = proof["rehearsal"]
        where = "a fresh environment" if packaged["isolated"] else "a fresh interpreter"
        when = packaged["at"][:16].replace("T", " ")
        said = f"`{packaged['wheel']}` ran in {where} on {when} and equals the {packaged['compared_with']}."
        yield paragraph(said)
    if proof is not None:
        if any(row["production"] for row in proof["rows"]):
            yield paragraph("Production reads its source anew: its rows differ once the source has moved on.")
        headers = ["what", "trial", "package", "production"]
        rows = [[row["what"], *(_shown(row[name]) for name in headers[1:])] for row in proof["rows"]]
        yield grid(headers, rows, label="rehearsal")


def _shown(value: object) -> str | None:
    if isinstance(value, list | tuple):
        return ", ".join(f"{score:.6g}" for score in value)
    return f"`{short(value)}`" if isinstance(value, str) else None


def _summary(context: Context, changes: Mapping[str, list[str]]) -> str:
    edited = [name for name, lines in changes.items() if lines and name.endswith(".yaml")]
    if edited:
        return f"the file under {FOLDER}/ is not what serves"
    return f"config {short(_digest_of(context))}"


def _findings(
    context: Context, changes: Mapping[str, list[str]], proof: Mapping[str, Any] | None
) -> Iterator[Finding]:
    name = context.project
    yield from _file_finding(context, changes)
    yield from _environment(context)
    if proof is None or proof["rehearsal"] is None:
        said = "no rehearsal of this config is kept here"
        yield Finding("RPT046", "not run", said, None, ANCHOR, f"mlkit handoff {name}")
    else:
        when = moment(context.now.fromisoformat(proof["rehearsal"]["at"]))
        yield Finding("RPT046", "fine", f"the package was rehearsed {when}", None, ANCHOR)
    yield from _origin(context)


def _file_finding(context: Context, changes: Mapping[str, list[str]]) -> Iterator[Finding]:
    name = context.project
    if context.frozen is None:
        try:
            FrozenConfig.load(find(name))
        except MlkitError as exc:
            severity: Severity = "not run" if exc.code == "CFG001" else "act"
            yield Finding(
                "RPT044", severity, f"{exc.path}: {exc.message} [{exc.code}]", None, ANCHOR, exc.fix
            )
        return
    for what, lines in changes.items():
        if not what.endswith(".yaml"):
            continue
        edits = _edits(lines)
        said = f"{FOLDER}/{name}.yaml and what serves differ in {counted(edits, 'line')}"
        if not edits:
            said = f"{FOLDER}/{name}.yaml is the config that serves"
        plan = f"mlkit plan {name}" if edits else ""
        yield Finding("RPT044", "look" if edits else "fine", said, edits, ANCHOR, plan)


def _environment(context: Context) -> Iterator[Finding]:
    if context.frozen is None:
        return
    drift = context.frozen.environment.drift()
    said = f"this environment is not the one of the config: {'; '.join(drift)}"
    if not drift:
        said = "this environment is the one of the config"
    fix = "pip install the pins, or mlkit handoff --isolated" if drift else ""
    yield Finding("RPT045", "look" if drift else "fine", said, len(drift), ANCHOR, fix)


def _origin(context: Context) -> Iterator[Finding]:
    origin = context.origin
    if not origin:
        said = "where the config came from is not recorded"
        yield Finding("RPT014", "not run", said, None, ANCHOR)
        return
    looks = int(origin.get("test_looks") or 0)
    said = f"the sealed test rows were looked at {counted(looks, 'time')} before the freeze"
    if not looks:
        said = "nobody looked at the sealed test rows before the freeze"
    yield Finding("RPT013", "look" if looks else "fine", said, looks, "trial")
    dirty, commit = list(origin.get("dirty") or ()), origin.get("commit")
    if "edited_from" in origin:
        said = f"the config was edited by hand after the freeze, from {short(origin['edited_from'])}"
        yield Finding("RPT014", "look", said, None, ANCHOR)
    elif not commit or dirty:
        said = (
            f"frozen with {counted(len(dirty), 'uncommitted file')}" if commit else "frozen without a commit"
        )
        why = f", because: {origin['reason']}" if origin.get("reason") else ""
        yield Finding("RPT014", "look", said + why, len(dirty), ANCHOR)
    else:
        yield Finding("RPT014", "fine", f"frozen at commit {commit[:10]}", None, ANCHOR)
