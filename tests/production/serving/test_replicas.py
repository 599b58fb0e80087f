"""Services are told of a champion and waited for; each way in which one may not follow has its error."""

from __future__ import annotations

import dataclasses
import json
import threading

import pytest

from mlkit import open_workspace
from mlkit.cli import main
from mlkit.errors import EXIT_DONE, EXIT_SERVING, ConfigError, SecurityError, ServingError
from mlkit.production.ledger import Entry, now
from mlkit.production.runner import deploy
from mlkit.production.serving import replicas as module
from mlkit.production.serving.choice import choose_refresher
from mlkit.production.serving.replicas import ReplicaRefresher
from mlkit.production.stores import Stores
from tests.production.scenes import NAME, STUMP, frozen, publish
from tests.production.serving.listening import Service, served
from tests.tracking.backends import free_port

TOKEN = "admin-token-of-the-test"  # noqa: S105 - of this test
VARIABLE = "MY_ADMIN_TOKENS"


def entry(seq) -> Entry:
    """A champion."""
    values = dict.fromkeys(("actor", "reason", "run_id", "manifest_digest", "run_key", "model_key"), "x")
    return Entry(
        seq=seq, at=now(), kind="promotion", from_version=None, to_version=seq, model_id=f"m-{seq}", **values
    )


def refresher(*urls, seconds=5.0) -> ReplicaRefresher:
    """What tells them."""
    return ReplicaRefresher(urls, variable=VARIABLE, timeout_seconds=seconds)


def failed(*urls, seconds=0.3, champion=2) -> ServingError:
    """The error of a refresh."""
    with pytest.raises(ServingError) as caught:
        refresher(*urls, seconds=seconds).refresh(NAME, entry(champion))
    return caught.value


def test_all_are_told_and_asked():
    """By the number of the entry, below the prefix of each address."""
    with served(Service()) as one, served(Service()) as other:
        told = refresher(one.url, other.url).refresh(NAME, entry(2))
        assert (told.version, told.message) == (2, "2 replicas answer with v2")
        for service in (one, other):
            assert service.heard == [
                ("POST", "/prefix/-/refresh", {"wanted_seq": 2}),
                ("GET", "/prefix/version", None),
            ]
        assert "answers with v2" in refresher(one.url).refresh(NAME, entry(2)).message


def test_asked_alone_none_is_told():
    """A look changes nothing."""
    with served(Service()) as service:
        assert [heard.code for heard in refresher(service.url).ask(NAME, entry(2), seconds=5)] == ["NET060"]
        (heard,) = refresher(service.url).ask(NAME, entry(1), seconds=5)
        assert (heard.words, heard.code) == ("answers with v1", "")
        assert {method for method, *_ in service.heard} == {"GET"}


def test_a_slow_one_is_waited_for():
    """It is told again until it follows."""
    with served(Service(deaf=3)) as service:
        assert refresher(service.url).refresh(NAME, entry(2)).version == 2
        assert len(service.heard) == 8


def test_one_that_is_further_on_is_right():
    """The ledger moved meanwhile."""
    with served(Service(seq=9, model_id="m-9", follows=False)) as service:
        assert refresher(service.url).refresh(NAME, entry(2)).version == 2


@pytest.mark.parametrize(
    ("service", "code", "words"),
    [
        (Service(follows=False), "NET060", "answers with v1 of entry 1"),
        (Service(follows=False, error_code="INT022"), "NET060", "because of INT022"),
        (Service(follows=False, seq=2, model_id="m-7"), "NET060", "of entry 2"),
        (Service(follows=False, seq=None, version=None), "NET060", "answers with nothing"),
        (Service(status=503), "NET060", "is not ready (503)"),
        (Service(token=TOKEN), "NET061", "asks for a token (401)"),
        (Service(status=403), "NET061", "(403)"),
        (Service(status=404), "NET062", "is no service of mlkit (404)"),
        (Service(status=302), "NET062", "is no service of mlkit (302)"),
        (Service(body=b"<html>"), "NET062", "is no service of mlkit (200)"),
        (Service(body=b"[1]"), "NET062", "is no service of mlkit (200)"),
        (Service(project="another"), "NET063", "serves another project"),
    ],
)
def test_one_that_does_not_follow(service, code, words):
    """Each reason has its code, and the address that it is about."""
    with served(dataclasses.replace(service, heard=[])) as running:
        error = failed(running.url)
        assert (error.code, error.path, error.exit_code) == (code, running.url, EXIT_SERVING)
        (heard,) = refresher(running.url).ask(NAME, entry(2), seconds=5)
        assert (heard.url, heard.code, words in heard.words) == (running.url, code, True)
        assert words in error.message
        assert "1 of 1 replicas do not answer with v2" in error.message


def test_what_waiting_does_not_help_is_not_waited_for():
    """A wrong token stays wrong."""
    with served(Service(token=TOKEN)) as service:
        failed(service.url, seconds=60)
        assert len(service.heard) == 1


def test_one_that_is_not_there(monkeypatch):
    """Refused, or silent; those that answer are brought to the champion all the same, and the rest named."""
    port = free_port()
    with served(Service()) as service:
        error = failed(service.url, f"http://127.0.0.1:{port}")
        assert error.code == "NET064"
        assert (
            f"1 of 2 replicas do not answer with v2: http://127.0.0.1:{port} does not answer" in error.message
        )
        assert service.seq == 2
    monkeypatch.setattr(module, "ANSWER_SECONDS", 0.1)
    with served(Service()) as silent:
        silent.answer = lambda *_: threading.Event().wait(0.5) or (200, b"{}")
        error = failed(silent.url)
        assert (error.code, "no answer in 0 s" in error.message) == ("NET064", True)


def test_different_reasons_are_one_error():
    """Each with its address."""
    with served(Service(status=503)) as one, served(Service(status=404)) as other:
        error = failed(one.url, other.url)
        assert error.code == "NET060"
        assert "(503)" in error.message
        assert "(404)" in error.message


def test_the_token_comes_from_the_environment(monkeypatch):
    """The first of several; it is in no message."""
    with served(Service(token=TOKEN)) as service:
        monkeypatch.setenv(VARIABLE, f" {TOKEN} ,old-token")
        assert refresher(service.url).refresh(NAME, entry(2)).version == 2
        monkeypatch.setenv(VARIABLE, "wrong-token")
        error = failed(service.url)
        assert "refuses the token (401)" in error.message
        assert "wrong-token" not in str(error)
        assert VARIABLE in error.fix


def test_repeated_it_goes_on():
    """Until the service is back."""
    port = free_port()
    service = Service()
    assert failed(f"http://127.0.0.1:{port}/prefix").code == "NET064"
    with served(service, port):
        assert refresher(service.url).refresh(NAME, entry(2)).version == 2
        assert refresher(service.url).refresh(NAME, entry(2)).version == 2


@pytest.fixture
def target(home, user_module, flights):
    """A function that writes the target `local` with replicas; gives its stores with published features."""

    def write(*lines):
        (home.parent / "mlkit.toml").write_text("\n".join(["[targets.local.serving]", *lines, ""]))
        workspace = open_workspace(home=home)
        publish(workspace.engine, flights)
        return Stores(workspace, NAME)

    return write


def test_a_deployment_ends_when_its_replicas_answer(target, tmp_path, capsys, monkeypatch):
    """The command fails with the code of serving while one does not, and is finished by repeating it."""
    file = str(frozen(model=STUMP).write(tmp_path / "config.yaml").path)
    with served(Service(project=NAME, seq=0, model_id="", follows=False)) as service:
        stores = target(f'replicas = ["{service.url}"]', "timeout_seconds = 1")
        assert isinstance(choose_refresher(stores), ReplicaRefresher)
        assert main(["deploy", file, "--json"]) == EXIT_SERVING
        assert json.loads(capsys.readouterr().out)["error"]["code"] == "NET060"
        head = stores.ledger.head()
        service.seq, service.model_id = head.seq, head.model_id
        assert main(["deploy", file]) == EXIT_DONE
        assert deploy(frozen(model=STUMP), stores).outcome == "unchanged"


def test_what_the_file_says_of_replicas(target):
    """One list for all projects of a target, each at an address of its own."""
    stores = target(
        'replicas = ["http://{project}.internal:8000/", "https://b.example.com/x"]',
        'admin_variable = "ADMIN"',
    )
    found = choose_refresher(stores)
    assert found.urls == (f"http://{NAME.replace('_', '_')}.internal:8000", "https://b.example.com/x")
    assert (found.variable, found.timeout_seconds) == ("ADMIN", 60)


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        (["replicas = []"], "CFG021"),
        (['replicas = ["http://a:8000"]', 'endpoint = "x"'], "CFG042"),
        (['replicas = ["ftp://a"]'], "CFG009"),
        (['replicas = ["http://a:8000?x=1"]'], "CFG009"),
        (['replicas = ["http://a:8000"]', 'admin_variable = "a b"'], "CFG009"),
        (['replicas = ["http://user:pass@a"]'], "SEC005"),
        (['replicas = ["http://a"]', 'token = "1234567890abcdef"'], "SEC003"),
        (['endpoint = "x"'], "CFG042"),
    ],
)
def test_what_the_file_may_not_say(target, lines, code):
    """No secret, no other address, and no endpoint for the local stores."""
    with pytest.raises((ConfigError, SecurityError)) as caught:
        target(*lines)
    assert caught.value.code == code
