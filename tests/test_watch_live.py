"""The page of `mlkit watch`: shown anew after each run, to those alone who know its address."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from mlkit.watch import report_at_end, watch
from mlkit.watch.live import LivePage

PAGE = "<!doctype html><html><body><main>run {run}</main></body></html>"
SECONDS = 110


@pytest.fixture
def live():
    """A page that is served."""
    with LivePage("explore.py") as page:
        yield page


def get(page, path=None, *, host=None):
    """Status, headers and text of one answer."""
    connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=SECONDS)
    connection.request("GET", path or page.path, headers={"Host": host or f"127.0.0.1:{page.port}"})
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, dict(answer.getheaders()), text


class Reader:
    """A browser that listens: gives one state after the other."""

    def __init__(self, page):
        self.connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=SECONDS)
        self.connection.request("GET", f"{page.path}events")
        self.answer = self.connection.getresponse()

    def next(self):
        """The next state; None when the stream has ended."""
        for line in self.answer:
            if line.startswith(b"data: "):
                return json.loads(line.removeprefix(b"data: "))
        return None


def test_a_page_is_served_with_what_makes_it_follow(live) -> None:
    """The script is in what is served, never in the page itself; before the first run it says what comes."""
    assert "explore.py" in get(live)[2]
    live.show(PAGE.format(run=1), run=1)
    status, headers, text = get(live)
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert (headers["Cache-Control"], headers["Referrer-Policy"]) == ("no-store", "no-referrer")
    assert text.count("<main>run 1</main>") == 1
    assert text.endswith("</script></body></html>")
    assert "EventSource" in text
    assert live.url == f"http://127.0.0.1:{live.port}{live.path}"


@pytest.mark.parametrize("path", ["/", "/events", "/x/", "/x/events", "{own}other", "{own}../", "{own}?a"])
def test_nobody_else_reads_it(live, path) -> None:
    """The word in the address must be known; and it opens two addresses alone."""
    assert get(live, path.format(own=live.path))[0] == 404


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1", ""])
def test_a_page_of_somebody_else_gets_no_answer(live, host) -> None:
    """Also if its name points at this machine: the browser tells which name it asked for."""
    assert get(live, host=host or " ")[0] in (400, 404)
    assert get(live, host=f"localhost:{live.port}")[0] == 200


def test_two_addresses_are_never_the_same() -> None:
    """128 bits of them are random."""
    words = {LivePage("x").path for _ in range(20)}
    assert len(words) == 20
    assert min(map(len, words)) >= 22


def test_what_happens_is_told_to_everyone(live) -> None:
    """A run that begins, one that fails over the last good page, one that is shown, and the end."""
    readers = [Reader(live), Reader(live)]
    assert [reader.next()["version"] for reader in readers] == [0, 0]
    live.begin(1)
    assert [reader.next()["running"] for reader in readers] == [1, 1]
    live.show(PAGE.format(run=1), run=1)
    assert [(state := reader.next())["version"] for reader in readers] == [1, 1]
    assert (state["page_run"], state["running"], state["trouble"]) == (1, 0, "")
    live.fail("ValueError: </script><b>", run=2)
    state, _ = (reader.next() for reader in readers)
    assert (state["version"], state["trouble"], state["trouble_run"]) == (1, "ValueError: </script><b>", 2)
    assert state["trouble_at"] >= state["page_at"]
    text = get(live)[2]
    assert "run 1" in text
    assert text.count("</script>") == 1
    live.show(PAGE.format(run=3), run=3)
    assert [reader.next()["trouble"] for reader in readers] == ["", ""]
    live.__exit__(None, None, None)
    assert [reader.next() for reader in readers] == [None, None]


PROJECT = """
from mlkit import ModelProject
project = ModelProject("flights", target="delay", metric="rmse")
"""
QUICK = """
from mlkit.watch import report_at_end
report_at_end(lambda path: path.write_text("<body>the page of flights</body>"))
"""


@pytest.fixture
def folder(home, tmp_path, monkeypatch):
    """A folder with a store, and words that are heard."""
    monkeypatch.setenv("MLKIT_QUIET", "0")
    return tmp_path


def test_a_project_brings_its_report_to_the_page(folder, capfd, live) -> None:
    """Made by the script's own process when it has ended; MLflow gets no copy of each."""
    (folder / "script.py").write_text(PROJECT)
    assert watch("script.py", once=True, page=live).code == 0
    assert live.state()["version"] == 1
    text = get(live)[2]
    assert "flights" in text
    assert "<main" in text


def test_every_run_is_seen_on_the_page(folder, capfd, live) -> None:
    """One that leaves by itself is well; one that fails, or has no project, says so over the page before."""
    for text in (QUICK, f"{QUICK}\nimport sys\nsys.exit(0)"):
        (folder / "script.py").write_text(text)
        assert watch("script.py", once=True, page=live).code == 0
    assert live.state()["version"] == 2
    for text, trouble in (
        (f"{QUICK}\n{{}}['no such key']", "KeyError: 'no such key' (script.py, line 5)"),
        ("import sys\nsys.exit(3)", "exit code 3"),
        ("x = 1", "it made no ModelProject, so there is nothing to report"),
    ):
        (folder / "script.py").write_text(text)
        watch("script.py", once=True, page=live)
        assert (live.state()["version"], live.state()["trouble"]) == (2, trouble)
    assert get(live)[2].startswith("<body>the page of flights<script")


def test_a_report_that_cannot_be_made_keeps_the_page(folder, capfd, live) -> None:
    """Its reason is on the terminal and over the page; the run itself was well."""
    (folder / "script.py").write_text(
        "from mlkit.errors import StoreError\nfrom mlkit.watch import report_at_end\n"
        "def fail(path): raise StoreError('STO001', 'the disk is full')\nreport_at_end(fail)"
    )
    assert watch("script.py", once=True, page=live).code == 0
    assert "the report stays as it was: [STO001]" in capfd.readouterr().err
    assert live.state()["trouble"] == "the report could not be made: [STO001] the disk is full"


def test_nothing_is_reported_where_nobody_looks(monkeypatch) -> None:
    """Outside a watch with a page, a project's report is never made by itself."""
    monkeypatch.delenv("MLKIT_WATCH_PAGE", raising=False)
    report_at_end(lambda path: pytest.fail("it was called"))
    from mlkit.watch import child  # noqa: PLC0415 - its list is what is looked at

    assert child._reporters == []


def test_the_command_says_where_the_page_is(folder) -> None:
    """And serves it until it is stopped; Ctrl-C ends both."""
    (folder / "script.py").write_text(QUICK)
    command = [sys.executable, "-m", "mlkit", "watch", "script.py"]
    with (folder / ".out").open("w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env={**os.environ, "NO_COLOR": "1"})
    try:
        deadline = time.monotonic() + SECONDS
        while "run 1  done in" not in (said := (folder / ".out").read_text()):
            assert time.monotonic() < deadline, said
            assert process.poll() is None, said
            time.sleep(0.05)
        port, path = re.search(r"page http://127\.0\.0\.1:(\d+)(/\S+/)\n", said).groups()
        connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=SECONDS)
        connection.request("GET", path)
        assert "flights" in connection.getresponse().read().decode()
        process.send_signal(signal.SIGINT)
        assert process.wait(SECONDS) == 0
    finally:
        process.kill()
        process.wait(SECONDS)
