"""Fresh interpreters: they run a wheel as a job does, and see nothing of the tree it was built from."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from mlkit.errors import StudyError
from mlkit.research.interpreter import sandboxed, unpackaged
from mlkit.research.wheel import write_wheel

RUNNER = """
import importlib, json, os, sys
from pathlib import Path


def found(name):
    try:
        return str(getattr(importlib.import_module(name), "__file__", None))
    except ImportError as exc:
        return f"no: {exc}"


def main():
    out, *names = sys.argv[1:]
    facts = {
        "argv": sys.argv,
        "cwd": os.getcwd(),
        "home": os.environ["MLKIT_HOME"],
        "input": sys.stdin.read(),
        "modules": {name: found(name) for name in names},
    }
    Path(out).write_text(json.dumps(facts))


def failing():
    print("a line on the way")
    raise ValueError("it went wrong\\n  fix: do something")


def coded():
    raise ValueError("[STO056] away; fix: wait")


def dying():
    os._exit(3)


def leaving():
    sys.exit(0)


def asking():
    try:
        import IPython
    except ImportError:
        return 1
    raise AssertionError("IPython is there")
"""


FINDER = """
import importlib.util, sys


class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        return importlib.util.spec_from_file_location(name, {path!r}) if name == "hooked" else None


sys.meta_path.append(Finder())
"""


@pytest.fixture
def made(tmp_path):
    """A function that makes a wheel; its entry point of its own name is one of the runner's functions."""

    def make(name, function, *, group="console_scripts", entry=None) -> Path:
        return write_wheel(
            tmp_path / "dist",
            name=name,
            version="1.0",
            files={"job_model.py": RUNNER.encode(), "packed.py": b""},
            entry_points={group: {entry or name: f"job_model:{function}"}},
        )

    return make


@pytest.fixture
def wheel(made) -> Path:
    """A wheel whose entry point writes down what it sees."""
    return made("job_model", "main")


@pytest.fixture
def place(tmp_path) -> Path:
    """A folder for interpreters."""
    folder = tmp_path / "place"
    folder.mkdir()
    return folder


def look(interpreter, place, names) -> dict:
    """What the entry point sees; the names of modules are only known when it runs."""
    interpreter.run("job_model", [str(place / "out.json"), *names], home=place / "home")
    return json.loads((place / "out.json").read_text())


def test_a_wheel_is_called_as_a_job_calls_it(wheel, place) -> None:
    """The name of the package, then the parameters; an empty folder, the stores' home, no input."""
    facts = look(sandboxed(place, wheel), place, ["a b", "--c=d"])
    assert facts["argv"] == ["job_model", str(place / "out.json"), "a b", "--c=d"]
    assert facts["cwd"] == str(place)
    assert facts["home"] == str(place / "home")
    assert facts["input"] == ""


def test_the_source_tree_is_out_of_sight(wheel, place, tmp_path, monkeypatch) -> None:
    """Neither the working directory nor PYTHONPATH leads to it; the wheel and what is installed is there."""
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "rules.py").write_text("")
    (tree / "sitecustomize.py").write_text(f"import sys; sys.path.append({str(tree)!r})")
    monkeypatch.chdir(tree)
    monkeypatch.setenv("PYTHONPATH", str(tree))
    modules = look(sandboxed(place, wheel), place, ["rules", "packed", "numpy", "mlkit"])["modules"]
    assert modules["rules"] == "no: No module named 'rules'"
    assert Path(modules["packed"]).parent == place / "site"
    assert "site-packages" in modules["numpy"]
    assert Path(modules["mlkit"]).parent == place / "site" / "mlkit" or "site-packages" in modules["mlkit"]


def test_an_editable_install_of_the_tree_is_out_of_sight(wheel, place, tmp_path) -> None:
    """What it adds to the path, and the finders it brings, are gone; installed packages are not."""
    venv.create(tmp_path / "environment", with_pip=False)
    python = tmp_path / "environment" / "bin" / "python"
    (packages,) = (tmp_path / "environment").rglob("site-packages")
    tree = tmp_path / "environment" / "src"  # below the prefix, as under /usr in a container
    tree.mkdir()
    (tree / "rules.py").write_text("")
    (tmp_path / "hooked.py").write_text("")
    (packages / "installed.py").write_text("")
    (packages / "editable.pth").write_text(f"{tree}\nimport editable_finder\n")
    (packages / "editable_finder.py").write_text(FINDER.format(path=str(tmp_path / "hooked.py")))
    names = ["rules", "hooked", "installed"]
    subprocess.run([python, "-I", "-c", f"import {', '.join(names)}"], check=True)
    runner = dataclasses.replace(sandboxed(place, wheel), executable=python)
    modules = look(runner, place, names)["modules"]
    assert [modules[name].startswith("no: ") for name in names] == [True, True, False]


def test_its_last_words_are_told(made, place) -> None:
    """The last line that is a cause, not the advice below it; an exit code if there were no words."""
    with pytest.raises(StudyError) as caught:
        sandboxed(place / "a", made("bad_model", "failing")).run("bad_model", [], home=place)
    assert caught.value.code == "RUN014"
    assert caught.value.message.endswith("failed: ValueError: it went wrong")
    assert caught.value.fix.startswith("does prepare read files")
    with pytest.raises(StudyError, match=r"\[STO056\] away\n  fix: wait$"):
        sandboxed(place / "c", made("coded_model", "coded")).run("coded_model", [], home=place)
    with pytest.raises(StudyError, match="failed: exit code 3"):
        sandboxed(place / "b", made("dead_model", "dying")).run("dead_model", [], home=place)


def test_to_leave_the_process_is_to_fail(made, place) -> None:
    """A job takes `sys.exit(0)` for a failure, so a rehearsal does; what is returned is no exit code."""
    with pytest.raises(StudyError, match="left the process with exit code 0"):
        sandboxed(place / "a", made("leaving_model", "leaving")).run("leaving_model", [], home=place)
    sandboxed(place / "b", made("asking_model", "asking")).run("asking_model", [], home=place)


def test_the_entry_point_is_found_in_any_group(made, place) -> None:
    """By its name, in the metadata of the distribution that the job names."""
    wheel = made("job_model", "asking", group="some.group")
    sandboxed(place / "a", wheel).run("job_model", [], home=place)
    other = sandboxed(place / "b", made("job_model", "asking", entry="runner"))
    with pytest.raises(StudyError, match="no entry point of this name"):
        other.run("job_model", [], home=place)


def test_the_source_tree_itself_can_be_run(place, tmp_path, monkeypatch) -> None:
    """For comparison: the working directory and its src are importable, the config is read from a folder."""
    (tmp_path / "src").mkdir()
    monkeypatch.chdir(tmp_path)
    interpreter = unpackaged(place)
    assert (interpreter.executable, interpreter.cwd) == (Path(sys.executable), tmp_path)
    with pytest.raises(StudyError, match=r"CLI002.*\n  fix: known:$"):
        interpreter.run("job_model", ["plan", "--config=none"], home=place / "home")
