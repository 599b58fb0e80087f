"""Alarms: a command or an address gets the report, nothing is guessed, and a failure is said."""

from __future__ import annotations

import contextlib
import http.server
import json
import sys
import threading

import pytest

from mlkit.errors import ConfigError
from mlkit.production.alerts import Sent, send
from mlkit.targets import Alert, read_targets

REPORT = {"verdict": "DRIFT", "alarms": ["prediction: moved"]}


@contextlib.contextmanager
def listener(status=200, *, location=None):
    """A server on this machine that answers each post alike; gives its address and what it got."""
    got = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            got.append((self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
            self.send_response(status)
            if location:
                self.send_header("Location", location)
            self.end_headers()

        def log_message(self, *arguments):
            """Be quiet."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/alarm?team=ml", got
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def command(code):
    """A program of ours."""
    return Alert(command=(sys.executable, "-c", code), timeout_seconds=20)


def test_a_command_gets_the_report_and_no_shell_reads_it(tmp_path):
    """On standard input; what a shell would run is only an argument."""
    told = tmp_path / "told.json"
    code = f"import sys; open({str(told)!r}, 'w').write(sys.stdin.read() + sys.argv[1])"
    alert = Alert(command=(sys.executable, "-c", code, f"; touch {tmp_path}/ran"))
    assert send(alert, REPORT) == Sent(("command",))
    text, _, argument = told.read_text().partition(";")
    assert json.loads(text) == REPORT
    assert argument
    assert not (tmp_path / "ran").exists()


def test_an_address_gets_the_report(monkeypatch):
    """As JSON; the address may stand in the environment. A command and an address are both told."""
    with listener() as (url, got):
        assert send(Alert(url=url), REPORT).told == ("url",)
        monkeypatch.setenv("WATCHER", url)
        both = Alert(url_variable="WATCHER", command=(sys.executable, "-c", ""))
        assert send(both, REPORT).told == ("command", "url")
    assert got == [("/alarm?team=ml", REPORT)] * 2


def test_a_redirect_is_not_followed():
    """The report stays where it was sent."""
    with listener() as (elsewhere, strangers), listener(307, location=elsewhere) as (url, _):
        sent = send(Alert(url=url), REPORT)
    assert (sent.told, sent.error.code, strangers) == ((), "NET091", [])


@pytest.mark.parametrize(
    ("alert", "code", "says"),
    [
        (command("raise SystemExit(3)"), "NET090", "exit code 3"),
        (Alert(command=("/not/there",)), "NET090", "No such file"),
        (
            Alert(command=(sys.executable, "-c", "import time; time.sleep(60)"), timeout_seconds=1),
            "NET090",
            "1 s",
        ),
        (Alert(url="http://127.0.0.1:9/x"), "NET091", "ConnectionRefused"),
        (Alert(url_variable="MLKIT_NO_SUCH_VARIABLE"), "CFG009", "MLKIT_NO_SUCH_VARIABLE"),
    ],
)
def test_a_failure_is_part_of_the_answer(alert, code, says):
    """Nothing is raised: what was found has to be kept all the same."""
    sent = send(alert, REPORT)
    assert (sent.told, sent.error.code) == ((), code)
    assert says in sent.error.message
    assert sent.to_dict()["error"]["code"] == code


def test_one_that_fails_does_not_stop_the_other():
    """The address is told although the command failed, and a server that refuses is a failure."""
    with listener() as (url, got):
        sent = send(Alert(command=("/not/there",), url=url), REPORT)
    assert (sent.told, sent.error.code, len(got)) == (("url",), "NET090", 1)
    with listener(500) as (url, _):
        assert "500" in send(Alert(url=url), REPORT).error.message


def test_nobody_to_tell():
    """No alert is no failure."""
    assert send(None, REPORT) == send(Alert(), REPORT) == Sent()


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/x",
        "ftp://example.com",
        "https://user:sesame@example.com",
        "https://",
        "https://a b",
        "https://[::1",
        "file:///etc/passwd",
    ],
)
def test_an_address_that_a_report_must_not_go_to(url, monkeypatch):
    """https, or this machine: in the file and in the environment alike, and never shown."""
    with pytest.raises(ConfigError) as caught:
        Alert(url=url)
    assert caught.value.code == "CFG009"
    monkeypatch.setenv("WATCHER", url)
    error = send(Alert(url_variable="WATCHER"), REPORT).error
    assert error.code == "CFG009"
    assert "sesame" not in str(error)


def test_a_target_names_who_is_told(tmp_path):
    """Also the local one; an address is named once."""
    file = tmp_path / "mlkit.toml"
    file.write_text('[targets.local.alert]\ncommand = ["notify", "--team=ml"]\ntimeout_seconds = 5\n')
    assert read_targets(file)["local"].alert == Alert(command=("notify", "--team=ml"), timeout_seconds=5)
    file.write_text('[targets.local.alert]\nurl = "https://a.example"\nurl_variable = "A"\n')
    with pytest.raises(ConfigError) as caught:
        read_targets(file)
    assert (caught.value.code, caught.value.path.endswith("alert.url_variable")) == ("CFG042", True)
