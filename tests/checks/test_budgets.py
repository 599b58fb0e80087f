from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.checks import budgets

if TYPE_CHECKING:
    from collections.abc import Callable

DOCUMENTED = '"""A module."""\n\n# A comment.\n\n\ndef answer():\n    """Give it."""\n    return 42\n'


class Report(NamedTuple):
    """What the checks ended with, and what they said."""

    returncode: int
    stdout: str


@pytest.fixture
def check(tmp_path, capsys, monkeypatch) -> Callable[..., Report]:
    """Runs the checks on some files; the import is timed as often as it is said."""

    def run(files: dict[str, str], *, import_runs: int = 1) -> Report:
        for path, text in files.items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(text)
        monkeypatch.setattr(budgets, "IMPORT_RUNS", import_runs)
        return Report(budgets.main(tmp_path), capsys.readouterr().out)

    return run


def test_calm_code_passes_and_its_words_are_not_counted(check):
    """Docstrings, comments and blank lines are free: two lines of code are two."""
    report = check({"mlkit/thing.py": DOCUMENTED, "tests/thing.py": DOCUMENTED}, import_runs=7)
    assert report.returncode == 0, report.stdout
    assert "modules      1: p50 2, max 2" in report.stdout
    assert "functions    1: p50 1, p90 1, max 1" in report.stdout


@pytest.mark.parametrize(
    ("planted", "complaint"),
    [
        ("try:\n    x = 1\nexcept Exception:\n    x = 2\n", "thing.py:3: broad except"),
        ("try:\n    x = 1\nexcept (OSError, BaseException):\n    x = 2\n", "thing.py:3: broad except"),
        ("try:\n    x = 1\nexcept:\n    x = 2\n", "thing.py:3: bare except"),
        (
            "import contextlib\nwith contextlib.suppress(Exception):\n    x = 1\n",
            "thing.py:2: broad suppress",
        ),
        ("print(1)\n", "thing.py:1: print"),
        ("assert 1\n", "thing.py:1: assert"),
        ("def f():\n" + "    x = 1\n" * 51, "thing.py:1 f: 51 lines, at most 50"),
        ("def f():\n" + "    x = 1\n" * 26, "90th percentile of functions: 26 lines, at most 25"),
        ("def f():\n" + "    x = 1\n" * 9, "median function: 9 lines, at most 8"),
        ("x = 1\n" * 401, "thing.py: 401 lines, at most 400"),
        ("x = 1\n" * 151, "median module: 151 lines, at most 150"),
    ],
)
def test_each_fault_is_named_with_its_place(check, planted, complaint):
    """A planted fault fails the run, and the report says which and where."""
    report = check({"mlkit/thing.py": planted, "tests/thing.py": planted})
    assert complaint in report.stdout
    assert report.returncode == 1


@pytest.mark.parametrize(("test_lines", "ratio"), [(19, "0.95"), (31, "1.55")])
def test_too_few_tests_and_too_many_are_both_over_budget(check, test_lines, ratio):
    """The ratio has two ends; the checks themselves do not count as tests."""
    lines = "x = 1\n" * test_lines
    files = {"mlkit/thing.py": "x = 1\n" * 20, "tests/thing.py": lines, "tests/checks/more.py": lines}
    assert f"test : code is {ratio}, wanted 1.0 to 1.5" in check(files).stdout


def test_cycle_is_found_even_inside_a_function(check):
    """Two modules that import each other are a cycle, however late one of them does it."""
    files = {
        "mlkit/room/__init__.py": "from . import first\n",
        "mlkit/room/first.py": "def f():\n    from mlkit.room import second\n",
        "mlkit/room/second.py": "from .first import f\n",
    }
    report = check(files)
    assert "import cycle: mlkit.room.first -> mlkit.room.second -> mlkit.room.first" in report.stdout


def test_imports_for_the_type_checker_are_no_cycle(check):
    """What stands under TYPE_CHECKING never runs."""
    typed = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from mlkit import other\nx = 1\n"
    report = check({"mlkit/thing.py": typed, "mlkit/other.py": "from mlkit import thing\n"})
    assert "1 between modules" in report.stdout
    assert "import cycle" not in report.stdout


def test_slow_or_heavy_import_is_named(check):
    """A front door that loads a heavy library, or takes its time, is over budget."""
    report = check({"mlkit/__init__.py": "import time, numpy\ntime.sleep(0.15)\n"})
    assert "import mlkit loads numpy" in report.stdout
    assert "import mlkit takes" in report.stdout
