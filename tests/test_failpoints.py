"""Failpoints: they do what a test asks for, and nothing outside of a test."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from mlkit.errors import UsageError
from mlkit.failpoints import InjectedFaultError, failpoint


@pytest.fixture
def fail(monkeypatch, tmp_path):
    """Ask for a fault; the stores lie in a temporary home."""
    monkeypatch.setenv("MLKIT_TEST", "1")
    monkeypatch.setenv("MLKIT_HOME", str(tmp_path))
    return lambda text: monkeypatch.setenv("MLKIT_TEST_FAIL", text)


def test_nothing_happens_unless_asked_for(fail, monkeypatch) -> None:
    """Neither without the variable, nor when it is empty, nor at another point."""
    monkeypatch.delenv("MLKIT_TEST_FAIL", raising=False)
    failpoint("train.fitted")
    fail("")
    failpoint("train.fitted")
    fail("train.fitte:kill,train.fitted2:kill")
    failpoint("train.fitted")


def test_a_point_raises(fail) -> None:
    """One of several faults that were asked for; what is raised is no error of mlkit."""
    fail("gate.recorded:hang,train.fitted:raise")
    with pytest.raises(InjectedFaultError, match=r"train\.fitted"):
        failpoint("train.fitted")


@pytest.mark.parametrize(("action", "patience"), [("kill", 60), ("hang", 1)])
def test_a_process_dies_or_stands_still(fail, action, patience) -> None:
    """A kill leaves no time for any clean-up; a process that hangs is still there when we lose patience."""
    fail(f"here:{action}")
    program = """if True:
        from mlkit.failpoints import failpoint
        print('before', flush=True)
        try: failpoint('here')
        finally: print('after')
    """
    child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout.readline() == "before\n"
        child.wait(timeout=patience)
    except subprocess.TimeoutExpired:
        assert action == "hang"
        child.kill()
    assert child.communicate() == ("", None)
    assert child.returncode == -signal.SIGKILL


@pytest.mark.parametrize(
    ("variable", "value"),
    [("MLKIT_TEST", None), ("MLKIT_TEST", "yes"), ("MLKIT_HOME", None), ("MLKIT_HOME", "/srv")],
)
def test_a_stray_variable_is_refused_outside_of_tests(fail, monkeypatch, variable, value) -> None:
    """Without the test's own mark, or with a home that is not temporary, the first point says so."""
    fail("train.fitted:kill")
    if value is None:
        monkeypatch.delenv(variable)
    else:
        monkeypatch.setenv(variable, value)
    for name in ("train.fitted", "another.point"):
        with pytest.raises(UsageError) as caught:
            failpoint(name)
        assert (caught.value.code, caught.value.path) == ("CLI020", "MLKIT_TEST_FAIL")


def test_a_home_that_only_looks_temporary_is_refused(fail, monkeypatch, tmp_path) -> None:
    """Dots and links are followed first."""
    fail("train.fitted:raise")
    link = tmp_path / "link"
    link.symlink_to("/usr")
    for home in (f"{tmp_path}/../../../../../../usr", str(link)):
        monkeypatch.setenv("MLKIT_HOME", home)
        with pytest.raises(UsageError, match="CLI020"):
            failpoint("train.fitted")


@pytest.mark.parametrize("text", ["train.fitted", "train.fitted:explode", "train.fitted:"])
def test_a_test_that_asks_for_nothing_known_is_told(fail, text) -> None:
    """A misspelt action would make a test pass that tests nothing."""
    fail(text)
    with pytest.raises(UsageError, match="kill, raise, hang"):
        failpoint("train.fitted")
