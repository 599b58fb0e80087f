"""Each example runs from any folder, gives the same with steps off, on and on again, and repeats itself."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.examples import run

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted(path.name for path in (ROOT / "examples").glob("*.py"))
ON_SPARK = "big_table_on_spark.py"
HERE = [name for name in EXAMPLES if name not in (ON_SPARK, "ten_lines.py")]
SECONDS = re.compile(r"\d+(\.\d+)? (ms|s)\b|\d+ m \d\d s")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def ran(folder: Path, store: Path, switches: str, *names: str, **variables: str) -> dict[str, list[dict]]:
    """What each run of each example told, in a child process."""
    result = folder / "told.json"
    scripts = [str(ROOT / "examples" / name) for name in names]
    command = [sys.executable, run.__file__, str(store), str(result), switches, *scripts]
    unset = {"MLKIT_HOME", "MLKIT_TARGET"}
    environment = {key: value for key, value in os.environ.items() if key not in unset}
    # Threads of OpenMP wait for each other by spinning: on a busy machine they take minutes for seconds.
    environment |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg", **variables}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert result.is_file(), done.stderr[-3000:]
    # pyspark warns of pandas 3 on import; what mlkit uses of it is tested with both.
    assert [line for line in done.stderr.splitlines() if "Warning:" in line and "pyspark" not in line] == []
    return json.loads(result.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def told(tmp_path_factory, empty_store) -> tuple[Path, dict[str, list[dict]]]:
    """Where the examples that need no Spark ran, and what they told: without steps, with them, and again."""
    folder = tmp_path_factory.mktemp("examples")
    return folder, ran(folder, empty_store, "off,on,on", *HERE)


def exploration(printed: str) -> list[str]:
    """The lines before the config, which are the same whenever nothing has changed, without wall times."""
    return [SECONDS.sub("", line) for line in printed.partition("FrozenConfig")[0].splitlines()]


@pytest.mark.parametrize("name", HERE)
def test_steps_change_nothing_and_a_second_run_says_unchanged(told, name) -> None:
    """Same rows, trials, config, model and figures without steps, with them, and from what they stored."""
    folder, runs = told
    off, on, again = runs[name]
    assert [off["error"], on["error"], again["error"]] == [""] * 3
    assert off["made"] == on["made"] == again["made"]
    assert off["steps"] == []
    assert set(on["steps"]) == {"miss"}
    assert again["steps"] == ["hit"] * len(on["steps"])
    assert exploration(on["printed"]) == exploration(again["printed"])
    assert "promoted  " in off["printed"]
    for each in (on, again):
        assert "nothing new, nothing written" in each["printed"]
        assert "unchanged  " in each["printed"]
    assert {path.name for path in (folder / Path(name).stem).iterdir()} == {off["folder"], run.LOG}


@pytest.mark.newest_only
def test_the_big_table_stays_in_spark(tmp_path, empty_store, sail) -> None:
    """From a join in Spark to the champion; the rows have the fingerprint that they have here."""
    (only,) = ran(tmp_path, empty_store, "on", ON_SPARK, SPARK_REMOTE=sail, MONTHS="1")[ON_SPARK]
    assert only["error"] == ""
    assert "promoted  late_flights v1" in only["printed"]
    assert "unchanged  late_flights v1" in only["printed"]
    assert only["made"]["history"] == 1
    assert f"{only['made']['rows']}\n" in only["printed"]


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_made_of_cells_that_begin_with_a_title(name) -> None:
    """Editors run `# %%` cells, a reader goes by their titles, and the first lines say what it is."""
    text = (ROOT / "examples" / name).read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(text))
    if name != "ten_lines.py":
        titles = re.findall(r"(?m)^# %%(.*)$", text)
        assert len(titles) >= 5
        assert all(re.fullmatch(r" [A-Z].+", title) for title in titles)


def test_the_readme_names_every_example() -> None:
    """None is forgotten, and none is named that is not there."""
    text = (ROOT / "examples" / "README.md").read_text(encoding="utf-8")
    assert sorted(set(re.findall(r"\[`(\w+\.py)`\]", text))) == EXAMPLES


def test_the_tutorial_shows_the_notebook_cell_by_cell() -> None:
    """What the page runs is what the notebook holds, and the score that it quotes is the notebook's."""
    notebook = json.loads((ROOT / "examples/notebook/ridership.ipynb").read_text(encoding="utf-8"))
    page = (ROOT / "docs/tutorials/coming-from-notebooks.md").read_text(encoding="utf-8")
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    shown = re.findall(r"(?s)```python\n# notebook \[(\d)\]\n(.*?)\n```", page)
    assert shown == [(str(cell["execution_count"]), "".join(cell["source"])) for cell in cells]
    assert sum(bool(cell["outputs"]) for cell in cells) == len(cells) - 1  # one only changes `df`
    (best,) = [output["data"]["text/plain"] for output in cells[4]["outputs"] if "data" in output]
    assert f"{float(''.join(best)):.3f}" in page
