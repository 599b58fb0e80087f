"""`mlkit watch`: again at every save, one run at a time, and nothing left behind."""

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

from mlkit import ModelProject
from mlkit.cli import main
from mlkit.errors import UsageError
from mlkit.watch import Files, watch

PROGRAM = "from mlkit.watch import watch; print(watch('script.py', folders=['more']))"
SECONDS = 60


class Watched:
    """A watch in a process of its own; its words and the script's are in one file."""

    def __init__(self, folder):
        self.folder = folder
        self.out = folder / ".out"
        (folder / "more").mkdir()

    def start(self):
        """Start it; gives the process."""
        env = {**os.environ, "MLKIT_QUIET": "0", "NO_COLOR": "1"}
        with self.out.open("w") as out:
            command = [sys.executable, "-c", PROGRAM]
            self.process = subprocess.Popen(command, cwd=self.folder, env=env, stdout=out, stderr=out)
        return self.process

    def save(self, name="script.py", *lines):
        """Save a file as an editor does: beside it, then in its place."""
        path = self.folder / name
        path.with_suffix(".swp").write_text("\n".join(lines))
        path.with_suffix(".swp").replace(path)

    def until(self, *words):
        """Wait until all words were said; gives all that was said."""
        deadline = time.monotonic() + SECONDS
        while not all(word in (said := self.out.read_text()) for word in words):
            assert time.monotonic() < deadline, said
            assert self.process.poll() is None, said
            time.sleep(0.02)
        return said


@pytest.fixture
def watched(tmp_path, monkeypatch):
    """A folder to watch."""
    monkeypatch.chdir(tmp_path)
    scene = Watched(tmp_path)
    yield scene
    if hasattr(scene, "process"):
        scene.process.terminate()
        scene.process.wait(SECONDS)


def is_alive(pid):
    """Whether a process runs (a zombie does not)."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def test_every_save_is_a_run(watched) -> None:
    """Script, helper and data; not its own output, and not a save of the same; errors do not end it."""
    script = ("import helper", "print('said', helper.WORD, open('more/data.csv').read())")
    watched.save("helper.py", "WORD = 'one'")
    watched.save("more/data.csv", "1")
    watched.save("script.py", *script, "open('output.csv', 'a').write('x')")
    watched.start()
    watched.until("run 1  script.py", "said one 1", "run 1  done in")
    watched.save("helper.py", "WORD = 'two'")  # as long, and in the same second
    watched.until("run 2  helper.py", "said two 1", "run 2  done in")
    watched.save("more/data.csv", "2")
    watched.until("said two 2", "run 3  done in")
    watched.save("helper.py", "WORD = 'two'")
    watched.save("helper.py", "WORD = 'six'")
    watched.until("said six 2", "run 4  done in")
    watched.save("script.py", "import json", "def read(): return json.loads('{')", "", "read()")
    said = watched.until("run 5  failed (exit code 1) after").partition("run 5")[2]
    assert 'script.py", line 4' in said
    assert "JSONDecodeError" in said
    assert "json/decoder.py" not in said
    assert "mlkit" not in said
    watched.save("script.py", *script)
    said = watched.until("run 6  done in")
    assert "run 7" not in said
    watched.process.send_signal(signal.SIGINT)
    assert watched.process.wait(SECONDS) == 0
    assert watched.out.read_text().endswith("script.py  6 runs, the last one ended well\n")


def test_a_save_stops_the_run_before(watched) -> None:
    """With all that it has started; so do Ctrl-C and the end of the watch."""
    sleeper = "p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(99)'])"
    script = ("import subprocess, sys, time", sleeper, "print('child', p.pid, flush=True)", "time.sleep(99)")
    watched.save("script.py", *script)
    watched.start()
    watched.until("child ")
    watched.save("output.csv", "data that changes during a run is its output")
    watched.save("script.py", *script, "# again")
    said = watched.until("run 1  stopped after", "script.py changed", "run 2  script.py")
    watched.until(said, "child ")
    deadline = time.monotonic() + SECONDS
    while watched.out.read_text().count("child ") < 2:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    words = watched.out.read_text().split()
    first, second = [int(words[place + 1]) for place, word in enumerate(words) if word == "child"]
    assert is_alive(second)
    assert not is_alive(first)
    watched.process.send_signal(signal.SIGTERM)
    assert watched.process.wait(SECONDS) == 0
    assert watched.out.read_text().endswith("script.py  2 runs, the last one was stopped\n")
    while is_alive(second):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_once_is_a_single_run(home, tmp_path, capfd, monkeypatch) -> None:
    """In CI: the exit code is the script's, and hits are counted."""
    monkeypatch.setenv("MLKIT_QUIET", "0")
    lines = [
        "import sys",
        "from pathlib import Path",
        "from mlkit.research.steps.step import make_step",
        "print(make_step(lambda x: x + 1, folder=Path('steps'))(len(sys.argv)))",
        "sys.exit(int(sys.argv[1]))",
    ]
    (tmp_path / "script.py").write_text("\n".join(lines))
    assert main(["watch", "script.py", "--once", "--args", "0 --rows 'a b'"]) == 0
    said = capfd.readouterr()
    assert said.out.startswith("5\n")
    assert "steps: 0 of 1 hits" in said.err
    assert main(["watch", "script.py", "--once", "--json", "--args", "3 --rows all"]) == 3
    said = capfd.readouterr()
    assert "run 1  failed (exit code 3) after" in said.err
    assert "steps: 1 of 1 hits" in said.err
    printed, _, report = said.out.partition("\n")
    assert printed == "5"
    assert json.loads(report) == {"script": "script.py", "runs": 1, "code": 3, "exit_code": 3}


@pytest.mark.parametrize("script", ["missing.py", "notes.txt", "."])
def test_only_python_files_are_watched(tmp_path, monkeypatch, script) -> None:
    """Another name is refused at once."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").touch()
    with pytest.raises(UsageError, match="CLI090"):
        watch(script)


def test_hidden_folders_environments_and_stores_are_not_looked_at(tmp_path, monkeypatch) -> None:
    """Nor anything that is neither code nor data; content decides, not time."""
    monkeypatch.setenv("MLKIT_HOME", str(tmp_path / "stores"))
    for folder in (".git", "venv", "stores", "src", "src/__pycache__"):
        (tmp_path / folder).mkdir()
    (tmp_path / "venv" / "pyvenv.cfg").touch()
    (tmp_path / "src" / "code.py").write_text("1")
    files = Files([tmp_path, tmp_path / "src"])
    for name in (".git/a.py", "venv/a.py", "stores/a.csv", "src/__pycache__/a.py", "picture.png"):
        (tmp_path / name).write_text("x")
    os.utime(tmp_path / "src" / "code.py", (1, 1))
    assert files.changes() == []
    (tmp_path / "src" / "code.py").write_text("2")
    (tmp_path / "src" / "new.py").write_text("2")
    assert [Path(path).name for path in files.changes()] == ["code.py", "new.py"]
    files.settle()
    (tmp_path / "src" / "new.py").unlink()
    assert [Path(path).name for path in files.changes()] == ["new.py"]
    monkeypatch.setattr("mlkit.watch.files.MOST_FILES", 0)
    with pytest.raises(UsageError, match="CLI091"):
        files.look()


def test_a_watched_script_does_not_deploy_elsewhere(home, tmp_path, monkeypatch) -> None:
    """Only to the local stores: a deployment at each save is nobody's wish."""
    monkeypatch.setenv("MLKIT_WATCHED", "1")
    (tmp_path / "mlkit.toml").write_text("[targets.prod]\n")
    project = ModelProject("flights", target="delay", metric="rmse", workspace="prod")
    with pytest.raises(UsageError, match=r"CLI092.*\n.*mlkit rollback"):
        project.rollback(reason="bad")
    local = ModelProject("flights", target="delay", metric="rmse")
    with pytest.raises(UsageError, match=r"CLI006|CLI005"):
        local.rollback(reason="bad")
