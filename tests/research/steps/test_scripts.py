"""Whole scripts give the same with steps off, on, and on again."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
GUIDE = re.search(
    r'(?ms)^```python title="flights.py"\n(.*?)^```$',
    (ROOT / "docs/guides/steps.md").read_text(encoding="utf-8"),
)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_off_on_and_again_give_the_same(tmp_path) -> None:
    """Every line that the guide's script prints is the same, and the second run computes nothing.

    The examples, which deploy, have such a test in `tests/examples`.
    """
    (tmp_path / "script.py").write_text(GUIDE[1])
    log = tmp_path / "steps.jsonl"
    printed = []
    for switch in ("off", "on", "on"):
        given = {"MLKIT_STEPS": switch, "MLKIT_STEPS_LOG": str(log), "MLKIT_HOME": str(tmp_path / ".mlkit")}
        command = [sys.executable, "script.py"]
        env = {**os.environ, **given}
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        printed.append(done.stdout)
    assert printed[0]
    assert printed[1:] == printed[:1] * 2
    outcomes = [json.loads(line)["outcome"] for line in log.read_text().splitlines()]
    half = len(outcomes) // 2
    assert outcomes == ["miss"] * half + ["hit"] * half
