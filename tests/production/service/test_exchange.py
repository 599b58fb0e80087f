"""One request by itself: what its head says, how its body is counted, and how it is answered."""

from __future__ import annotations

import asyncio
import datetime as dt
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlkit.production.service.answers import RefusedError, ok
from mlkit.production.service.exchange import ClientLeftError, Exchange
from mlkit.production.service.limits import Settings
from mlkit.production.serving_counts import slots_of
from tests.production.service.spools import log_rows

GONE = {"type": "http.disconnect"}


def part(body: bytes, *, more: bool = False) -> dict:
    """A part of a body, as a server hands it on."""
    return {"type": "http.request", "body": body, "more_body": more}


class Wire:
    """What comes in, in order, and what was sent; nothing more comes after the last part."""

    def __init__(self, *parts) -> None:
        self.parts = list(parts)
        self.sent: list[dict] = []

    async def receive(self) -> dict:
        """The next part."""
        if not self.parts:
            await asyncio.Event().wait()
        return self.parts.pop(0)

    async def send(self, message) -> None:
        """Keep it."""
        self.sent.append(message)


def exchange(headers=None, wire=None, **scope) -> Exchange:
    """A request with these headers."""
    raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in (headers or {}).items()]
    wire = wire or Wire()
    return Exchange({"headers": raw, **scope}, wire.receive, wire.send)


def refusal(function, *args) -> str:
    """Code of the error that a call raises."""
    with pytest.raises(RefusedError) as caught:
        function(*args)
    return caught.value.code


def test_a_name_that_was_given_stays() -> None:
    """The header comes first, then the body; without either it is made once."""
    asked = exchange({"X-Request-Id": "first"})
    asked.name("second")
    assert (asked.named(), asked.request_id) == ("first", "first")
    unnamed = exchange()
    assert unnamed.request_id == ""
    unnamed.name("not well-formed\n")
    made = unnamed.named()
    assert (len(made), unnamed.named()) == (32, made)
    assert exchange().named() != made


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        (b"", False),
        (b"proba=1", True),
        (b"proba=TRUE", True),
        (b"a=b&proba=true", True),
        (b"proba=1&proba=0", False),
        (b"proba=0&proba=1", True),
        (b"proba", False),
        (b"proba=yes", False),
        (b"PROBA=1", False),
        (b"proba=%31", True),
        (b"\xff=1", False),
    ],
)
def test_probabilities_are_asked_for_by_the_last_word(query, wanted) -> None:
    """Any query is read, also one that makes no sense."""
    assert exchange(query_string=query).wants_probabilities() is wanted


@pytest.mark.parametrize("word", ["canary", "a", "load-test_2", "a" * 32])
def test_a_class_of_traffic_is_taken_as_it_stands(word) -> None:
    """Up to 32 characters; production if nothing is said."""
    assert exchange({"X-Mlkit-Traffic": word}).traffic() == word
    assert exchange().traffic() == "production"


@pytest.mark.parametrize("word", ["", "Canary", "1st", "-a", "a b", "a" * 33, "canary\n", "ä"])
def test_a_class_of_traffic_that_is_no_plain_word(word) -> None:
    """It would become part of a name."""
    assert refusal(exchange({"X-Mlkit-Traffic": word}).traffic) == "NET044"


@given(st.datetimes(dt.datetime(1, 1, 2), dt.datetime(9999, 12, 30)), st.integers(-14 * 60, 14 * 60))  # noqa: DTZ001
def test_an_event_time_is_exact_in_any_zone(moment, minutes) -> None:
    """To the microsecond, before 1970 as well; and the log can be read again."""
    local = moment.replace(tzinfo=dt.timezone(dt.timedelta(minutes=minutes)))
    found = exchange({"X-Mlkit-Event-Time": local.isoformat()}).event_time()
    assert dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(microseconds=found) == local
    assert sum(slots_of([log_rows("a", at=local.astimezone(dt.UTC))]).values()) == 1


@pytest.mark.parametrize(
    "text",
    ["", "2024-02-30T00:00:00Z", "2024-01-31", "12:00:00Z", "1706702400", "0001-01-01T00:00:00+14:00",
     "9999-12-31T23:59:59-14:00", "2024-01-31T12:00:00+25:00"],
)  # fmt: skip
def test_an_event_time_that_is_none(text) -> None:
    """No such day, no zone, or no year in UTC: such a row could be written and never be read."""
    assert refusal(exchange({"X-Mlkit-Event-Time": text}).event_time) == "NET044"


def test_without_an_event_time_it_is_now() -> None:
    """In microseconds."""
    before = time.time_ns() // 1000
    assert before <= exchange().event_time() <= time.time_ns() // 1000


@pytest.mark.parametrize(
    ("kind", "coding", "code"),
    [
        ("application/json", None, None),
        ("Application/JSON; charset=UTF-8", "identity", None),
        ('application/json; charset="utf-8"', "Identity", None),
        ("application/json", "gzip", "NET022"),
        ("application/json", "identity, gzip", "NET022"),
        ("application/jsonx", None, "NET021"),
        ("application/json;", None, "NET021"),
        ("text/json", "gzip", "NET021"),
        (None, None, "NET021"),
    ],
)
def test_the_type_of_a_body(kind, coding, code) -> None:
    """In any case and spacing; the type is looked at first."""
    named = {"Content-Type": kind, "Content-Encoding": coding}
    asked = exchange({name: value for name, value in named.items() if value is not None})
    if code is None:
        asked.check_json()
    else:
        assert refusal(asked.check_json) == code


def read(wire, headers=None, *, most=10, seconds=5.0):
    """A body, and the sizes that were held on the way."""
    held: list[int] = []
    asked = exchange(headers, wire)
    return asyncio.run(asked.read(Settings(body_seconds=seconds), most=most, hold=held.append)), held


def test_a_body_comes_in_parts() -> None:
    """It is put together, and each part is told of as it comes; there may be none at all."""
    wire = Wire(part(b"abc", more=True), part(b"", more=True), part(b"defghij"))
    assert read(wire) == (b"abcdefghij", [3, 0, 7])
    assert read(Wire({"type": "http.request"})) == (b"", [0])


@pytest.mark.parametrize("length", ["11", "0011", "9" * 5000])
def test_a_length_that_is_too_much_is_refused_unread(length) -> None:
    """A number of any length."""
    wire = Wire(part(b"x"))
    assert refusal(read, wire, {"Content-Length": length}) == "NET023"
    assert len(wire.parts) == 1


def test_a_body_is_counted_whatever_was_said_of_it() -> None:
    """What goes beyond is not held, and what comes after not read."""
    held: list[int] = []
    wire = Wire(part(b"12345", more=True), part(b"678901", more=True), part(b"2"))
    asked = exchange({"Content-Length": "5"}, wire)
    with pytest.raises(RefusedError) as caught:
        asyncio.run(asked.read(Settings(), most=10, hold=held.append))
    assert (caught.value.code, held, len(wire.parts)) == ("NET023", [5], 1)
    assert read(Wire(part(b"1234567890")))[0] == b"1234567890"


def test_a_body_that_stops() -> None:
    """Too slow is refused; who hangs up gets no answer."""
    assert refusal(lambda: read(Wire(part(b"a", more=True)), seconds=0.01)) == "NET040"
    with pytest.raises(ClientLeftError):
        read(Wire(part(b"a", more=True), GONE))


def test_who_holds_bytes_may_refuse_them() -> None:
    """Its error comes through."""

    def full(_) -> None:
        raise RefusedError("NET038", "full")

    asked = exchange(wire=Wire(part(b"a")))
    assert refusal(lambda: asyncio.run(asked.read(Settings(), most=9, hold=full))) == "NET038"


def test_an_answer_after_the_whole_body() -> None:
    """Goes in one piece, and the connection stays."""
    wire = Wire(part(b"x"))
    asked = exchange(wire=wire)

    async def both() -> None:
        await asked.read(Settings(), most=9, hold=lambda _: None)
        await asked.send(ok({"a": 1}, status=201))

    asyncio.run(both())
    head, body = wire.sent
    assert (head["status"], body["body"]) == (201, b'{"a": 1}')
    assert dict(head["headers"]) == {b"content-type": b"application/json", b"content-length": b"8"}


@pytest.mark.parametrize("rest", [[part(b"x" * 99, more=True), part(b"y")], [part(b"x", more=True), GONE]])
def test_an_answer_before_the_body_lets_the_client_end(rest) -> None:
    """What still comes is read, the connection is closed, and a client that leaves is no error."""
    wire = Wire(*rest)
    asyncio.run(exchange(wire=wire).send(ok({})))
    assert (b"connection", b"close") in wire.sent[0]["headers"]
    assert [message.get("more_body", False) for message in wire.sent[1:]] == [True, False]
    assert wire.parts == []


def test_headers_are_bytes_and_text() -> None:
    """By their names in lowercase; without a connection nobody has left."""
    asked = exchange({"X-One": "é"})
    assert asked.header(b"x-one") == b"\xe9"
    assert asked.headers == {"x-one": "é"}
    assert asked.header(b"x-two") is None
    assert asked.has_left is False
