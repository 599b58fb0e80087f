"""Run examples as often as there are switches of steps: ``run.py STORE RESULT SWITCHES SCRIPT ...``.

Importing everything takes longer than an example, so all runs share one process. Each example has a folder of
its own, which its runs share as those of a person at work do. What each made is written down for the test.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.scripts import run_script

LOG = "steps.jsonl"


def main(store: str, result: str, switches: str, *scripts: str) -> None:
    """Run each script under each switch of steps, in a folder of its name below the working directory."""
    told = {}
    for script in scripts:
        work = Path(Path(script).stem)
        prepare(work, script, Path(store))
        first, *more = switches.split(",")
        with contextlib.chdir(work):
            told[Path(script).name] = [run(script, first)]
            with pytest.MonkeyPatch.context() as patch:
                patch.setitem(sys.modules, "skrub", None)  # its part of a report takes long: once is enough
                told[Path(script).name] += [run(script, switch) for switch in more]
    Path(result).write_text(json.dumps(told), encoding="utf-8")


def prepare(work: Path, script: str, store: Path) -> None:
    """Put an empty store where the script will look for one: a copy costs a hundredth of making it."""
    text = Path(script).read_text(encoding="utf-8")
    folder = re.search(r'^FOLDER = Path\("(\w+)"\)$', text, re.MULTILINE)
    home = work / (folder[1] if folder else "") / ".mlkit"
    home.mkdir(parents=True)
    shutil.copy(store, home / "mlflow.db")


def run(script: str, switch: str) -> dict[str, Any]:
    """One run: what it printed, what stopped it, what its steps did, and what it left behind."""
    os.environ.update(MLKIT_STEPS=switch, MLKIT_STEPS_LOG=LOG)
    Path(LOG).write_text("", encoding="utf-8")
    ran = run_script(script)
    steps = [json.loads(line)["outcome"] for line in Path(LOG).read_text(encoding="utf-8").splitlines()]
    told = {"printed": ran.printed, "error": ran.error, "steps": steps}
    return told if ran.error else {**told, "folder": str(ran.left["FOLDER"]), "made": made(ran.left)}


def made(left: dict[str, Any]) -> dict[str, Any]:
    """What a run made, by identity: rows, trials, config, model and figures."""
    project, study = left["project"], left["study"]
    champion = project.champion()
    return {
        "rows": left["snapshot"].fingerprint,
        "trials": [[dict(trial.params), trial.scores, trial.predictions] for trial in study.trials],
        "config": left["config"].digest,
        "model": [champion.version, champion.manifest_digest, dict(champion.tags)],
        "figures": [[figure.name, figure.caption] for figure in project.figures().entries],
        "history": len(project.history()),
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
