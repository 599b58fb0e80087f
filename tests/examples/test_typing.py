"""What an editor shows: types of the examples' names, and mypy's strictest agreement with them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))

# What a reader hovers over: name, and the type that the editor has to know.
KNOWN = {
    "project": "mlkit.project.ModelProject",
    "snapshot": "mlkit.data.snapshot.Snapshot",
    "study": "mlkit.research.study.trials.Study",
    "study.best": "mlkit.research.study.trials.Trial",
    "study.best.score": "float | None",
    "study.leaderboard()": "pandas.core.frame.DataFrame",
    "config": "mlkit.frozen.FrozenConfig",
    "project.compare(study)": "mlkit.research.comparison.Comparison",
    "project.evaluate(study.best)": "mlkit.research.comparison.TestLook",
    "project.plan(config)": "mlkit.production.plan.Plan",
    "project.plan(config).kind": "Literal['primary'] | Literal['secondary'] | Literal['nothing']",
    "project.deploy(config)": "mlkit.production.report.RunReport",
    "project.deploy(config).outcome": "Literal['promoted']",
    "project.champion()": "mlkit.production.registry.ModelVersion | None",
    "project.history()[0]": "mlkit.production.ledger.Entry",
    "project.handoff(config).wheel": "pathlib.Path",
    "project.report()": "mlkit.report.report.Report",
    "project.figures()": "mlkit.research.figures.FigureList",
    "project.score()": "mlkit.production.score_report.ScoreReport",
    "project.monitor()": "mlkit.production.monitor_report.MonitorReport",
    "project.retrain(config)": "mlkit.production.retrain.RetrainReport",
    "project.explain(1)": "mlkit.production.evidence.Explanation",
    "load": "mlkit.research.steps.step.Step[[], pandas.core.frame.DataFrame]",
    "load()": "pandas.core.frame.DataFrame",
    "tidy": "mlkit.research.steps.step.Step[[",
}
MORE = ("Column", "Contract", "Monitor", "Split")
# What an editor takes without a mark, as it works.
RIGHT = (
    'Split(by="carrier")',
    'Split(by=["carrier", "day"])',
    'Monitor(inputs=["hour"])',
    'Contract(columns={"carrier": Column(dtype="category", categories=["AA", "UA"])}, unique=["carrier"])',
    "project.explain()",
)
# What an editor marks before it runs.
WRONG = {
    'project.deploy("diamonds")': "arg-type",
    "project.deploy(config, reasons='june')": "call-arg",
    "project.score(log='no')": "arg-type",
    "project.cleanup(keep_dayz=3)": "call-arg",
    "project.study(by_weight, snapshot)": "call-arg",
    'Gate(threshold="low")': "arg-type",
    "Split(tset=0.2)": "call-arg",
    "Split(by=3)": "arg-type",
    "tidy(3)": "arg-type",
    "study.worst": "attr-defined",
}


def mypy(*arguments: object) -> str:
    """What mypy says in its strict mode."""
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert not done.stderr, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.newest_only
@pytest.mark.timeout(300)
def test_an_editor_knows_the_type_of_everything_in_the_examples(tmp_path) -> None:
    """The examples pass as they are; each name reveals its type; each mistake is found, and no other."""
    pytest.importorskip("mypy")
    text = (ROOT / "examples" / "regression.py").read_text(encoding="utf-8")
    reveals = "".join(f"reveal_type({name})\n" for name in KNOWN)
    script = tmp_path / "hover.py"
    lines = "\n".join([f"from mlkit import {', '.join(MORE)}", *RIGHT, *WRONG])
    script.write_text(f"{text}\n{reveals}{lines}\n", encoding="utf-8")
    said = mypy(*EXAMPLES, script)
    errors = re.findall(r"(\S+?):\d+: error: .*\[([\w-]+)\]", said)
    assert [kind for _, kind in errors] == list(WRONG.values()), said
    assert {Path(file).name for file, _ in errors} == {"hover.py"}
    revealed = re.findall(r'Revealed type is "(.+)"', said)
    assert len(revealed) == len(KNOWN), said
    others = {
        name: (found, known)
        for (name, known), found in zip(KNOWN.items(), revealed, strict=True)
        if known not in found
    }
    assert others == {}
    assert [name for name, found in zip(KNOWN, revealed, strict=True) if found.startswith("Any")] == []
