"""The store of steps: whole or not there, checked, bounded, and safe from several processes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mlkit.errors import UsageError

SCRIPT = """
import sys, time
from pathlib import Path
from mlkit.research.steps.step import make_step

def f(x):
    print("computing")
    time.sleep(float(x.split()[1]))
    return {"set": {"a", "b", "c", x}, "text": x * 1000}

step = make_step(f, folder=Path("steps"))
for x in sys.argv[1:]:
    print(sorted(step(x)["set"])[0], flush=True)
"""


@pytest.fixture
def children(tmp_path, monkeypatch):
    """Starts the script above in processes of their own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLKIT_HOME", str(tmp_path))
    (tmp_path / "script.py").write_text(SCRIPT)
    log = tmp_path / "steps.jsonl"
    started = []

    def start(*arguments, **environment):
        command = [sys.executable, "script.py", *arguments]
        env = {**os.environ, "MLKIT_STEPS_LOG": str(log), **environment}
        started.append(subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE))
        return started[-1]

    yield start
    for child in started:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        child.communicate()


def outcomes():
    """Outcomes of the calls of all children."""
    return [json.loads(line)["outcome"] for line in Path("steps.jsonl").read_text().splitlines()]


def ended(child):
    """Wait for a child that must end well."""
    out, err = child.communicate(timeout=60)
    assert child.returncode == 0, err.decode()
    return out.decode()


def test_processes_share_results(children) -> None:
    """Several at once compute each result once; a later one, with other hashes of text, finds all."""
    for child in [children("a 0.3", "b 0", PYTHONHASHSEED=str(seed)) for seed in (1, 2, 3)]:
        assert ended(child).count("computing") == 2  # printed by the one, printed again by the others
    assert sorted(outcomes()) == ["hit"] * 4 + ["miss"] * 2
    ended(children("b 0", "a 0.3", PYTHONHASHSEED="4"))
    assert outcomes()[-2:] == ["hit", "hit"]


@pytest.mark.parametrize("moment", ["computing", "staged"])
def test_a_killed_process_leaves_nothing_half(children, moment) -> None:
    """Whoever comes next, or was waiting, computes and stores it."""
    fault = {"MLKIT_TEST_FAIL": "steps.staged:kill"} if moment == "staged" else {}
    child = children("a 30" if moment == "computing" else "a 0", **fault)
    if moment == "computing":
        deadline = time.monotonic() + 60
        while not list(Path("steps").glob("locks/*")):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        child.kill()
    child.wait(60)
    assert child.returncode == -signal.SIGKILL
    assert list(Path("steps/entries").glob("*") if Path("steps/entries").exists() else []) == []
    for _ in range(2):
        ended(children("a 0"))
    assert outcomes() == ["miss", "hit"]


def entry(bench):
    """Folder of the only result."""
    (found,) = (bench.folder / ".mlkit" / "steps" / "entries").iterdir()
    return found


FRAME = "import pandas as pd\n@project.step\ndef f(x): return pd.DataFrame({'a': range(x)})"


@pytest.mark.parametrize("name", ["manifest.json", "0.pandas.arrow", "effects.json"])
@pytest.mark.parametrize("harm", ["flipped", "cut", "empty", "gone"])
def test_a_damaged_result_is_computed_anew(bench, name, harm, monkeypatch, capsys) -> None:
    """It is noticed, said, removed and replaced; the result is right."""
    monkeypatch.setenv("MLKIT_QUIET", "0")
    step = bench.run(FRAME)["f"]
    step(5)
    path = entry(bench) / name
    data = bytearray(path.read_bytes())
    if harm == "gone":
        path.unlink()
    elif harm == "flipped":
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    else:
        path.write_bytes(data[: len(data) // 2] if harm == "cut" else b"")
    assert len(step(5)) == 5
    assert len(step(5)) == 5
    assert bench.outcomes == ["miss", "miss", "hit"]
    if harm != "gone":
        assert "damaged" in capsys.readouterr().err


def test_the_store_is_bounded(bench, monkeypatch) -> None:
    """What was used least recently goes first; what is larger than the whole is not stored."""
    monkeypatch.setenv("MLKIT_STEPS_GB", "0.00001")  # ten kilobytes
    step = bench.run("import os\n@project.step\ndef f(x, n=3500): return os.urandom(n)")["f"]
    first, second = step(1), step(2)
    stamp = (bench.folder / ".mlkit" / "steps" / "entries").iterdir()
    for number, place in enumerate(
        sorted(stamp, key=lambda place: (place / "manifest.json").stat().st_mtime_ns)
    ):
        os.utime(place / "manifest.json", (1000 + number, 1000 + number))
    assert step(1) == first  # used now
    step(3)
    assert step(1) == first
    assert step(2) != second
    assert bench.outcomes == ["miss", "miss", "hit", "miss", "hit", "miss"]
    assert bench.calls[-1]["why"] == "no longer stored"
    assert sum(entry.bytes for entry in bench.project.steps().entries) <= 10_000
    assert len(step(4, 20_000)) == 20_000
    assert "larger than the whole store" in bench.why
    monkeypatch.setenv("MLKIT_STEPS_GB", "much")
    with pytest.raises(UsageError, match="CLI094"):
        step(5)


def test_results_are_listed_and_removed(bench) -> None:
    """`project.steps()` says what is there; `clear` removes one step, or all."""
    steps = bench.project.steps()
    assert "no steps are stored" in repr(steps)
    names = bench.run("@project.step\ndef load(x): return x\n@project.step\ndef clean(x): return x")
    for number in (1, 2):
        names["load"](number)
    names["clean"](1)
    # What is stored under a key is the result of its code: the same code has the same results.
    assert {entry.step for entry in steps.entries} == {"load"}
    assert bench.outcomes == ["miss", "miss", "hit"]
    assert "2 results of 1 step, " in repr(steps)
    assert sorted(entry.hits for entry in steps.entries) == [0, 1]
    assert "load" in steps._repr_html_()
    assert len(steps.to_dict()["entries"]) == 2
    assert steps.clear("other") == 0
    assert steps.clear("load") > 0
    assert steps.entries == []
    names["load"](1)
    (entry(bench) / "manifest.json").write_text("")
    steps.clear()
    assert not list((bench.folder / ".mlkit" / "steps" / "entries").iterdir())


@pytest.mark.skipif(os.name != "posix", reason="modes of folders")
def test_a_folder_that_others_can_write_to_is_refused(bench) -> None:
    """What is read from it may run code."""
    step = bench.run("@project.step\ndef f(x): return x")["f"]
    step(1)
    folder = bench.folder / ".mlkit" / "steps"
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o777)
    with pytest.raises(UsageError, match="CLI093"):
        step(1)


def test_a_store_that_cannot_be_written_does_not_stop_the_script(bench, monkeypatch) -> None:
    """The result is given, and that it was not stored is said."""
    step = bench.run("@project.step\ndef f(x): return [x]")["f"]
    step(1)
    (bench.folder / ".mlkit" / "steps" / "entries").rename(bench.folder / "elsewhere")
    (bench.folder / ".mlkit" / "steps" / "entries").write_text("a file in the way")
    assert step(2) == [2]
    assert "not stored: " in bench.why
