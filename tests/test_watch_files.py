"""The parts of `mlkit watch`: the files it looks at, how it reports, and how a script is run by it."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from mlkit.errors import UsageError
from mlkit.watch import Files, WatchReport, refuse_when_watched, run_script, watch


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder to look at, no store in it."""
    monkeypatch.delenv("MLKIT_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(files):
    """What changed, by name."""
    return [Path(path).name for path in files.changes()]


@pytest.mark.parametrize(
    ("report", "words"),
    [
        (WatchReport("a.py", 1, 0, 0), "a.py  1 run, the last one ended well"),
        (WatchReport("a.py", 0, None, 0), "a.py  0 runs"),
        (WatchReport("a.py", 1, None, 0), "a.py  1 run, the last one was stopped"),
        (WatchReport("b/a.py", 2, 3, 0), "b/a.py  2 runs, the last one ended with exit code 3"),
        (WatchReport("a.py", 1, -9, -9), "a.py  1 run, the last one ended with exit code -9"),
    ],
)
def test_a_report_says_how_it_ended(report, words) -> None:
    """In one line, and as plain values."""
    assert repr(report) == words
    assert list(report.to_dict()) == ["script", "runs", "code", "exit_code"]
    assert WatchReport(**report.to_dict()) == report


@pytest.mark.parametrize(
    ("name", "seen"),
    [
        ("a.py", True),
        ("A.PY", True),
        ("a.toml", True),
        ("a.csv", True),
        ("a.parquet", True),
        ("a b é.csv.gz", True),
        ("a.png", False),
        ("a.pyc", False),
        ("a.py~", False),
        ("py", False),
        (".a.swp", False),
        ("deep/er/a.py", True),
        ("mlruns/a.csv", False),
        ("node_modules/a.py", False),
        ("site-packages/a.py", False),
        (".venv/a.py", False),
        ("venv/a.py", True),
    ],
)
def test_code_and_data_are_looked_at(folder, name, seen) -> None:
    """By the ending of the name, in any case; hidden and installed folders are not entered."""
    files = Files([folder])
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("x")
    assert names(files) == ([Path(name).name] if seen else [])


def test_a_change_stays_one_until_it_is_settled(folder) -> None:
    """Looking does not settle it; putting the old content back undoes it."""
    path = folder / "a.csv"
    path.write_text("1")
    files = Files([folder])
    path.write_text("2")
    assert names(files) == names(files) == ["a.csv"]
    path.write_text("1")
    assert names(files) == []
    path.write_text("3")
    assert names(files) == ["a.csv"]
    files.settle()
    assert names(files) == []
    path.unlink()
    (folder / "b.csv").touch()
    assert names(files) == ["a.csv", "b.csv"]


def test_a_large_file_is_told_by_time_and_size(folder, monkeypatch) -> None:
    """It is not read; a small one that was only touched is as it was."""
    monkeypatch.setattr("mlkit.watch.files._READ_BYTES", 10)
    for name, text in (("large.csv", "x" * 11), ("small.csv", "x" * 10)):
        (folder / name).write_text(text)
        os.utime(folder / name, (1, 1))
    files = Files([folder])
    for name in ("large.csv", "small.csv"):
        os.utime(folder / name, (2, 2))
    assert names(files) == ["large.csv"]


def test_folders_may_overlap_or_be_missing(folder) -> None:
    """Each file is looked at once; a folder that comes later is looked at then."""
    (folder / "in").mkdir()
    (folder / "in" / "a.py").touch()
    files = Files([folder / "in", folder, folder / "in" / ".." / "in", Path("in")])
    assert list(files.look()) == [str(folder.resolve() / "in" / "a.py")]
    later = Files([folder / "later"])
    assert later.look() == {}
    (folder / "later").mkdir()
    (folder / "later" / "b.py").touch()
    assert names(later) == ["b.py"]
    beside = Files([folder / "in", folder / "in-between"])  # of like names, neither inside of the other
    (folder / "in-between").mkdir()
    (folder / "in-between" / "c.py").touch()
    assert names(beside) == ["c.py"]


@pytest.mark.skipif(os.name != "posix", reason="links")
def test_linked_folders_are_not_followed(folder) -> None:
    """They may lead round in a circle; a linked file is looked at, a broken link is none."""
    (folder / "circle").symlink_to(folder)
    (folder / "broken.py").symlink_to(folder / "nothing.py")
    (folder / "notes.md").write_text("1")
    (folder / "linked.csv").symlink_to(folder / "notes.md")
    files = Files([folder])
    assert [Path(path).name for path in files.look()] == ["linked.csv"]
    (folder / "notes.md").write_text("2")
    assert names(files) == ["linked.csv"]


def test_what_was_written_moments_ago_is_fresh(folder) -> None:
    """Its compiled form may be of the content before."""
    (folder / "old.py").touch()
    (folder / "new.py").touch()
    os.utime(folder / "old.py", (time.time() - 60,) * 2)
    assert [Path(path).name for path in Files([folder]).fresh()] == ["new.py"]


@pytest.mark.parametrize(
    ("watched", "target", "refused"),
    [("1", "prod", True), ("1", "local", False), ("0", "prod", False), (None, "prod", False)],
)
def test_only_a_watched_script_is_kept_from_deploying(monkeypatch, watched, target, refused) -> None:
    """And only to other stores than the local ones."""
    monkeypatch.delenv("MLKIT_WATCHED", raising=False)
    if watched is not None:
        monkeypatch.setenv("MLKIT_WATCHED", watched)
    if not refused:
        refuse_when_watched("deploy", target)
        return
    with pytest.raises(UsageError, match=r"deploy on target prod from a script") as caught:
        refuse_when_watched("deploy", target)
    assert (caught.value.code, caught.value.path) == ("CLI092", "deploy")


@pytest.fixture
def run(folder, monkeypatch):
    """Runs a script in this process as the child of a watch does; puts everything back."""
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(sys, "path", ["", *sys.path])

    def run(text, *arguments):
        (folder / "script.py").write_text(text, encoding="utf-8")
        monkeypatch.setattr(sys, "argv", ["-c", str(folder / "script.py"), *arguments])
        run_script()

    return run


def test_a_script_runs_as_the_main_module(run, folder, capsys) -> None:
    """With its name, arguments and folder as python itself would give them."""
    (folder / "beside_script.py").write_text("WORD = 'beside'")
    run(
        "import sys, __main__\nfrom beside_script import WORD\nN = 1\n"
        "print(__name__, __file__ == sys.argv[0], sys.argv[1:], WORD, __main__.N, sys.path[0])",
        "a b",
        "é",
    )
    sys.modules.pop("beside_script")
    assert capsys.readouterr().out == f"__main__ True ['a b', 'é'] beside 1 {folder}\n"


def test_a_script_has_no_futures_of_ours(run, capsys) -> None:
    """Annotations are values in it, as they are in a plain script."""
    run("def f(x: int): pass\nprint(f.__annotations__)")
    assert capsys.readouterr().out == "{'x': <class 'int'>}\n"


CHAIN = """
import json
def read(text):
    try:
        return json.loads(text)
    except ValueError as exc:
        raise RuntimeError("not read") from exc
read("{")
"""
GROUP = """
import json
def one():
    json.loads("{")
try:
    one()
except ValueError as exc:
    raise ExceptionGroup("several", [exc])
"""


@pytest.mark.parametrize(
    ("text", "error", "lines"),
    [
        (CHAIN, RuntimeError, ("line 5", "line 7", "line 8")),
        (GROUP, ExceptionGroup, ("line 4", "line 6", "line 8")),
    ],
)
def test_an_error_is_shown_in_the_users_code(run, capsys, text, error, lines) -> None:
    """Causes and members of a group too; frames of libraries are left out of each."""
    with pytest.raises(error) as caught:
        run(text)
    sys.excepthook(error, caught.value, caught.value.__traceback__)
    shown = capsys.readouterr().err
    assert "JSONDecodeError: Expecting property name" in shown
    assert all(f'script.py", {line}' in shown for line in lines)
    assert "decoder.py" not in shown
    assert "watch.py" not in shown


def test_a_script_that_does_not_compile_is_shown_by_its_line(run, capsys) -> None:
    """There is no frame of the user's then; the line is told all the same."""
    with pytest.raises(SyntaxError) as caught:
        run("x = 1\ny = (\n")
    sys.excepthook(SyntaxError, caught.value, caught.value.__traceback__)
    shown = capsys.readouterr().err
    assert 'script.py", line 2' in shown
    assert "SyntaxError" in shown


def test_a_run_is_told_where_it_is(folder, monkeypatch, capfd) -> None:
    """Target, lazy steps and that it is watched stand in its environment; nobody answers its questions."""
    monkeypatch.setenv("MLKIT_QUIET", "0")
    monkeypatch.delenv("MLKIT_STEPS", raising=False)
    lines = (
        "import os, sys",
        "print([os.environ[name] for name in ('MLKIT_WATCHED', 'MLKIT_STEPS', 'MLKIT_TARGET')])",
        "print(repr(sys.stdin.read()))",
        "open('other.py', 'w').close()",
        "sys.exit(4)",
    )
    (folder / "script.py").write_text("\n".join(lines))
    before = signal.getsignal(signal.SIGTERM)
    report = watch("script.py", once=True, lazy=True, target="prod")
    assert report == WatchReport("script.py", 1, 4, 4)
    said = capfd.readouterr()
    assert said.out == "['1', 'lazy', 'prod']\n''\n"
    assert "run 1  script.py\n" in said.err
    assert "run 1  failed (exit code 4) after" in said.err
    assert "steps:" not in said.err
    assert signal.getsignal(signal.SIGTERM) is before
    assert "MLKIT_WATCHED" not in os.environ


def test_a_thread_may_watch(folder) -> None:
    """Where no signals can be set, the run is the same."""
    (folder / "script.py").write_text("open('ran.txt', 'w').write('x')")
    reports = []
    thread = threading.Thread(target=lambda: reports.append(watch(Path("script.py"), once=True)))
    thread.start()
    thread.join(60)
    assert [report.exit_code for report in reports] == [0]
    assert (folder / "ran.txt").read_text() == "x"
