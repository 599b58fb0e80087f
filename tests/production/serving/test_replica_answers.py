"""What a refresher reads from a service's answers, and where it sends its token; nothing listens here."""

from __future__ import annotations

import http.client
import io
import json

import pytest

from mlkit import open_workspace
from mlkit.errors import ServingError
from mlkit.production.ledger import Entry, now
from mlkit.production.serving.choice import choose_refresher
from mlkit.production.serving.replicas import ReplicaRefresher
from mlkit.production.stores import Stores

TOKEN = "admin-token-of-the-test"  # noqa: S105 - of this test
RIGHT = {"project": "flights", "seq": 4, "model_id": "m-2", "version": 2}


def champion() -> Entry:
    """Version 2 by the fourth entry."""
    values = dict.fromkeys(("actor", "reason", "run_id", "manifest_digest", "run_key", "model_key"), "x")
    return Entry(seq=4, at=now(), kind="promotion", from_version=None, to_version=2, model_id="m-2", **values)


class Answer(io.BytesIO):
    """Content with a status."""

    status = 200


class Line:
    """A connection that answers by a function, and keeps what was asked of all."""

    asked: list[tuple] = []  # noqa: RUF012 - emptied by the fixture
    answer = staticmethod(lambda method, path: (200, RIGHT))

    def __init__(self, place, **_) -> None:
        self.place = place

    def request(self, method, path, body, headers) -> None:
        """Keep it."""
        self.asked.append((self.place, method, path, json.loads(body) if body else None, headers))

    def getresponse(self):
        """Status and content."""
        found = self.answer(*self.asked[-1][1:3])
        if isinstance(found, Exception):
            raise found
        status, values = found
        answer = Answer(values if isinstance(values, bytes) else json.dumps(values).encode())
        answer.status = status
        return answer

    def close(self) -> None:
        """Nothing is open."""


@pytest.fixture
def line(monkeypatch):
    """No socket is opened by anybody."""
    monkeypatch.setattr(http.client, "HTTPConnection", Line)
    monkeypatch.setattr(http.client, "HTTPSConnection", type("Secure", (Line,), {}))
    monkeypatch.setattr(Line, "asked", [])
    monkeypatch.setenv("TOKENS", f"{TOKEN}\nolder")
    return lambda answer: monkeypatch.setattr(Line, "answer", staticmethod(answer))


def refresh(*urls, seconds=0.0):
    """Bring them to the champion."""
    return ReplicaRefresher(urls or ("http://a:1",), variable="TOKENS", timeout_seconds=seconds).refresh(
        "flights", champion()
    )


def test_the_place_is_that_of_the_address(line) -> None:
    """With its port and prefix; what is said first is the number of the entry."""
    refresh("https://host:8443/below")
    (place, *told, headers), (_, *looked, _) = Line.asked
    assert (place, told) == ("host:8443", ["POST", "/below/-/refresh", {"wanted_seq": 4}])
    assert looked == ["GET", "/below/version", None]
    assert headers["Authorization"] == f"Bearer {TOKEN}"


def test_without_a_token_none_is_sent(line, monkeypatch) -> None:
    """Not an empty one."""
    for value in (None, "", " , "):
        monkeypatch.setattr(Line, "asked", [])
        if value is None:
            monkeypatch.delenv("TOKENS")
        else:
            monkeypatch.setenv("TOKENS", value)
        refresh()
        assert all("Authorization" not in asked[-1] for asked in Line.asked)


@pytest.mark.parametrize(
    "version",
    [
        RIGHT,
        {**RIGHT, "seq": 5, "model_id": "m-9"},
        {**RIGHT, "seq_everywhere": 4, "seq": 3},
    ],
)
def test_what_is_right(line, version) -> None:
    """The champion's entry with its model, or any later one; of all workers, where they are several."""
    line(lambda method, path: (200, version))
    assert refresh().version == 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seq_everywhere": 3}, "answers with v2 of entry 3"),
        ({"seq_everywhere": None}, "answers with v2 of entry None"),
        ({"model_id": "m-9"}, "answers with v2 of entry 4"),
        ({"seq": "4"}, "answers with v2 of entry 4"),
        ({"seq": 3, "version": None, "error_code": "STO031"}, "nothing of entry 3, because of STO031"),
        ({"seq": 3, "version": 1, "error_code": None}, "answers with v1 of entry 3"),
    ],
)
def test_what_is_not_right_yet(line, change, words) -> None:
    """It is told in the service's own numbers; time is over at once here."""
    line(lambda method, path: (200, {**RIGHT, **change}))
    with pytest.raises(ServingError) as caught:
        refresh()
    assert caught.value.code == "NET060"
    assert caught.value.message.endswith(words)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ConnectionRefusedError(111, "Connection refused"), "does not answer: connection refused"),
        (TimeoutError(), "does not answer: no answer in 30 s"),
        (http.client.RemoteDisconnected("x"), "does not answer: remotedisconnected"),
        (http.client.BadStatusLine("secret"), "does not answer: badstatusline"),
    ],
)
def test_a_line_that_breaks(line, error, words) -> None:
    """In plain words, and with nothing that came over it."""
    line(lambda method, path: error)
    with pytest.raises(ServingError) as caught:
        refresh()
    assert (caught.value.code, words in caught.value.message) == ("NET064", True)
    assert "secret" not in str(caught.value)


def test_an_answer_to_the_telling_that_is_lost_does_not_matter(line) -> None:
    """What the service says it answers with counts."""
    line(lambda method, path: TimeoutError() if method == "POST" else (200, RIGHT))
    assert refresh().version == 2


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_is_final(line, status) -> None:
    """Whoever told it is not asked what it answers with; the token is in no message."""
    line(lambda method, path: (status, b"{}"))
    with pytest.raises(ServingError) as caught:
        refresh(seconds=60)
    assert (caught.value.code, len(Line.asked)) == ("NET061", 1)
    assert TOKEN not in str(caught.value)


def test_reasons_that_agree_keep_their_code(line) -> None:
    """Of many, each is named; those that follow are counted."""
    line(lambda method, path: (404, b"") if path.startswith("/x") else (200, RIGHT))
    urls = ("http://a/x", "http://b", "http://c/x")
    with pytest.raises(ServingError) as caught:
        refresh(*urls)
    assert (caught.value.code, caught.value.path) == ("NET062", "http://a/x")
    assert caught.value.message.startswith("2 of 3 replicas do not answer with v2: http://a/x ")
    assert "http://b" not in caught.value.message


def test_a_target_that_serves_nothing_says_where_the_champion_is(tmp_path) -> None:
    """Without asking anything."""
    told = choose_refresher(Stores(open_workspace("local", home=tmp_path), "flights")).refresh(
        "flights", champion()
    )
    assert (told.version, "models:/flights@champion is v2" in told.message) == (2, True)
