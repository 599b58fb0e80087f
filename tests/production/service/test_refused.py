"""Every request that is refused, over a real socket: status, code, and a body that repeats nothing."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import time

import pytest

from mlkit.codes import CODES
from mlkit.production.service.answers import STATUS
from mlkit.production.service.auth import Tokens
from mlkit.production.service.limits import Settings
from mlkit.production.service.spool import SpoolFullError
from tests.production.service.standin import (
    JSON,
    ROW,
    Adds,
    Holder,
    Log,
    Served,
    parse,
    read_all,
    running,
    scorer,
    wait_for,
)

TOKENS = Tokens.read({"MLKIT_SERVE_TOKENS": "serve-token-000000", "MLKIT_ADMIN_TOKENS": "admin-token-000000"})
SERVE = {"Authorization": "Bearer serve-token-000000"}
SECRET = "canary-value-7391"  # noqa: S105 - what no answer may repeat
SETTINGS = Settings(max_rows=5, max_body_bytes=4096, head_seconds=1, body_seconds=1, predict_seconds=1)
HOST = "Host: x\r\nContent-Type: application/json\r\nAuthorization: Bearer serve-token-000000\r\n"


def records(*rows, **changes) -> str:
    """A body of records, each the usual row with changes."""
    return json.dumps({"dataframe_records": [{**ROW, **changes, **row} for row in rows or ({},)]})


def split(columns, *rows) -> str:
    """A body of the shape dataframe_split."""
    return json.dumps({"dataframe_split": {"columns": columns, "data": list(rows)}})


@pytest.fixture(scope="module")
def service():
    """A service with small bounds that asks for tokens."""
    with running(Holder(Served(scorer(Adds()))), Log(), SETTINGS, tokens=TOKENS) as found:
        yield found


def refused(told, status, code, path=None) -> None:
    """The answer is an error in the one form, and says nothing of the request's values or of this machine."""
    assert told.status == status
    error = told.error
    assert sorted(error) == ["code", "fix", "message", "path", "request_id"]
    assert error["code"] == code
    assert code in CODES
    assert path is None or error["path"] == path
    for leak in (SECRET, "Traceback", "/work", "site-packages", "serve-token"):
        assert leak not in told.body.decode()


BODIES = {
    "98 nested": ('{"inputs": ' + "[" * 70 + "]" * 70 + "}", 400, "NET028", "body"),
    "98 nested without end": ('{"inputs": ' + "[" * 3000, 400, "NET028", "body"),
    "98 nested in a value": (records(distance=json.loads("[" * 70 + "]" * 70)), 422, "NET033", "distance"),
    "99 no JSON": (f"{SECRET}", 400, "NET025", "body"),
    "99 empty": ("", 400, "NET025", "body"),
    "99 no UTF-8": (b'{"inputs": "\xff"}', 400, "NET025", "body"),
    "99 UTF-16": (records().encode("utf-16"), 400, "NET025", "body"),
    "99 byte order mark": (b"\xef\xbb\xbf" + records().encode(), 400, "NET025", "body"),
    "99 a key twice": (records()[:-1] + ', "inputs": 1, "inputs": 2}', 400, "NET026", "body"),
    "99 a key of a row twice": ('{"inputs": [{"hour": 1, "hour": 2}]}', 400, "NET026", "body"),
    "99 NaN": (records(distance=float("nan")), 400, "NET027", "body"),
    "99 Infinity": (records(distance=float("-inf")), 400, "NET027", "body"),
    "99 a list": ("[]", 400, "NET029", "body"),
    "99 no shape": ('{"rows": []}', 400, "NET029", "body"),
    "99 two shapes": ('{"inputs": [], "instances": []}', 400, "NET029", "body"),
    "99 another key": (
        json.dumps({"inputs": [ROW], "signature_name": SECRET}),
        400,
        "NET029",
        "signature_name",
    ),
    "99 split without columns": ('{"dataframe_split": {"data": [[1]]}}', 400, "NET029", "dataframe_split"),
    "99 rows of other lengths": (split(list(ROW), [1, 2]), 400, "NET029", "dataframe_split.data"),
    "99 a column twice": (split(["hour", "hour"], [1, 2]), 400, "NET026", "columns"),
    "99 rows that are none": ('{"dataframe_records": [1]}', 400, "NET029", "dataframe_records"),
    "99 a list of lists": ('{"inputs": [[1, 2]]}', 400, "NET029", "inputs"),
    "99 columns of other lengths": ('{"inputs": {"a": [1], "b": []}}', 400, "NET029", "inputs"),
    "100 a missing column": (
        split(["hour", "distance", "carrier"], [1, 2.0, "UA"]),
        422,
        "NET030",
        "is_late",
    ),
    "100 missing in one row": (json.dumps({"inputs": [ROW, {"hour": 1}]}), 422, "NET030", "carrier"),
    "101 no rows": (split(list(ROW)), 422, "NET031", "body"),
    "101 no records": ('{"dataframe_records": []}', 422, "NET031", "body"),
    "101 no values": ('{"inputs": {"hour": []}}', 422, "NET031", "body"),
    "102 an extra column": (records(delay=1.0), 422, "NET032", "delay"),
    "102 with a long name": (records(**{"\x00" + "x" * 500: 1}), 422, "NET032", "x" * 80),
    "103 text for a number": (records(distance=SECRET), 422, "NET033", "distance"),
    "103 a number for text": (records(carrier=7391), 422, "NET033", "carrier"),
    "103 a bool for a number": (records(hour=True), 422, "NET033", "hour"),
    "103 a number for a bool": (records(is_late=1), 422, "NET033", "is_late"),
    "103 a fraction": (records(hour=1.5), 422, "NET033", "hour"),
    "103 an object": (records(hour={"a": SECRET}), 422, "NET033", "hour"),
    "103 null": (records(hour=None), 422, "NET047", "hour"),
    "103 another category": (records(carrier=SECRET), 422, "NET048", "carrier"),
    "104 beyond 64 bits": (records(hour=2**64), 422, "NET034", "hour"),
    "104 beyond the column": (records(hour=2**31), 422, "NET034", "hour"),
    "104 beyond any float": (records(distance=10**400), 422, "NET034", "distance"),
    "104 infinite": (records(distance=7391).replace("7391", "1e999"), 422, "NET034", "distance"),
    "104 a whole float beyond": (records(hour=1e300), 422, "NET034", "hour"),
    "105 rows": (records(*[{}] * 6), 413, "NET024", "body"),
    "parameters": (json.dumps({"inputs": [ROW], "params": {"top_k": 3}}), 422, "NET046", "params"),
    "the model fails": (records(hour=100), 500, "NET043", ""),
}


@pytest.mark.parametrize(("body", "status", "code", "path"), BODIES.values(), ids=BODIES.keys())
def test_a_body_that_is_refused(service, body, status, code, path) -> None:
    """Each names the column or key, and how to mend it."""
    refused(service.ask("POST", "/invocations", body, {**JSON, **SERVE}), status, code, path)


HEADERS = {
    "96 no type": ({"Content-Type": ""}, 415, "NET021"),
    "96 another type": ({"Content-Type": "text/csv"}, 415, "NET021"),
    "96 another charset": ({"Content-Type": "application/json; charset=latin-1"}, 415, "NET021"),
    "106 no token": ({"Authorization": ""}, 401, "NET035"),
    "106 another token": ({"Authorization": "Bearer serve-token-000001"}, 401, "NET035"),
    "106 a token and more": ({"Authorization": "Bearer serve-token-000000 x"}, 401, "NET035"),
    "115 compressed": ({"Content-Encoding": "gzip"}, 415, "NET022"),
    "a bad event time": ({"X-Mlkit-Event-Time": "yesterday"}, 400, "NET044"),
    "an event time without zone": ({"X-Mlkit-Event-Time": "2024-01-31T12:00:00"}, 400, "NET044"),
    "a bad class of traffic": ({"X-Mlkit-Traffic": "../x"}, 400, "NET044"),
    "114 many headers": ({f"X-{number}": "y" * 1000 for number in range(20)}, 431, "NET042"),
}


@pytest.mark.parametrize(("headers", "status", "code"), HEADERS.values(), ids=HEADERS.keys())
def test_a_head_that_is_refused(service, headers, status, code) -> None:
    """Before the body is read."""
    body = gzip.compress(records().encode()) if status == 415 else records()
    refused(service.ask("POST", "/invocations", body, {**JSON, **SERVE, **headers}), status, code)


ADDRESSES = {
    "95 another method": ("GET", "/invocations", 405, "NET020"),
    "95 another method of a probe": ("DELETE", "/readyz", 405, "NET020"),
    "113 up": ("GET", "/../etc/passwd", 404, "NET041"),
    "113 an encoded slash": ("POST", "/-%2Frefresh", 404, "NET041"),
    "113 an encoded letter": ("POST", "/invocation%73", 404, "NET041"),
    "113 a slash too many": ("POST", "/invocations/", 404, "NET041"),
    "no pages": ("GET", "/docs", 404, "NET041"),
    "no schema": ("GET", "/openapi.json", 404, "NET041"),
    "no webhook without its secret": ("POST", "/-/webhook", 404, "NET041"),
    "107 the other scope": ("POST", "/-/refresh", 403, "NET036"),
}


@pytest.mark.parametrize(("method", "path", "status", "code"), ADDRESSES.values(), ids=ADDRESSES.keys())
def test_an_address_that_is_refused(service, method, path, status, code) -> None:
    """What is not there, and what is not for everybody."""
    refused(service.ask(method, path, None, SERVE), status, code)


def test_a_method_is_told_by_a_header(service) -> None:
    """As HTTP asks for it."""
    assert service.ask("GET", "/invocations").headers["allow"] == "POST"
    assert service.ask("HEAD", "/livez").status == 200


def test_97_a_body_over_the_limit_with_its_length(service) -> None:
    """It is refused before it is sent, and the client sees the answer."""
    refused(service.ask("POST", "/invocations", "x" * 200_000, {**JSON, **SERVE}), 413, "NET023", "body")


def test_97_a_body_over_the_limit_without_its_length(service) -> None:
    """The bytes are counted as they come in."""
    chunks = b"".join(b"400\r\n" + b" " * 1024 + b"\r\n" for _ in range(8))
    told = service.raw(
        f"POST /invocations HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n".encode() + chunks
    )
    refused(told, 413, "NET023", "body")


def test_a_chunked_body_within_the_limit_is_answered(service) -> None:
    """A length need not be known in advance."""
    body = records().encode()
    half = len(body) // 2
    parts = [body[:half], body[half:], b""]
    chunks = b"".join(f"{len(part):x}\r\n".encode() + part + b"\r\n" for part in parts)
    head = f"POST /invocations HTTP/1.1\r\n{HOST}Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert service.raw(head.encode() + chunks).status == 200


def test_106_no_token_and_a_body_that_never_comes(service) -> None:
    """The answer does not wait for it."""
    kind = "Host: x\r\nContent-Type: application/json\r\n"
    head = f"POST /invocations HTTP/1.1\r\n{kind}Content-Length: 4000\r\n\r\n"
    started = time.monotonic()
    refused(service.raw(head.encode()), 401, "NET035")
    assert time.monotonic() - started < 10


def test_109_a_full_queue_and_110_a_model_that_hangs() -> None:
    """504 after its time; meanwhile others are told to come back; the thread is free when the model is."""
    model = Adds()
    settings = Settings(max_waiting=1, predict_seconds=1)
    with running(Holder(Served(scorer(model))), Log(), settings) as service:
        answers: list = []
        stuck = threading.Thread(target=lambda: answers.append(service.predict([{**ROW, "hour": 101}])))
        stuck.start()
        assert model.entered.wait(20)
        told = service.predict([ROW])
        refused(told, 503, "NET038")
        assert int(told.headers["retry-after"]) >= 1
        stuck.join(20)
        refused(answers[0], 504, "NET039")
        model.gate.set()
        assert service.predict([ROW]).status == 200
        wait_for(lambda: len(service.log.rows) == 2)  # what was predicted is logged, answered or not


def test_109_too_many_bytes_under_way() -> None:
    """Bodies together are bounded, too."""
    with running(Holder(Served(scorer(Adds()))), None, Settings(max_held_bytes=50)) as service:
        refused(service.predict([ROW]), 503, "NET038")


def test_a_full_log_is_a_503() -> None:
    """With the policy durable an answer that cannot be logged is not given."""
    log = Log()
    log.error = SpoolFullError("STO070", "the log is full", fix="make room")
    with running(Holder(Served(scorer(Adds()))), log) as service:
        refused(service.predict([ROW]), 503, "STO070")


def test_111_a_slow_head(service) -> None:
    """Whoever says nothing, or half, is told so and hung up on."""
    for first in (b"", b"POST /invocations HTT"):
        refused(service.raw(first), 408, "NET040")


def test_111_a_slow_body(service) -> None:
    """Its bytes come in, but not in time."""
    head = f"POST /invocations HTTP/1.1\r\n{HOST}Content-Length: 100\r\n\r\n" + '{"inputs'
    refused(service.raw(head.encode()), 408, "NET040", "body")


def test_111_a_second_request_has_a_clock_of_its_own(service) -> None:
    """A connection that is kept open may be idle, but not slow."""
    body = records()
    head = f"POST /invocations HTTP/1.1\r\n{HOST}Content-Length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", service.port), timeout=20) as connection:
        connection.sendall((head + body).encode())
        assert b" 200 " in connection.recv(65536)
        connection.sendall(b"POST /inv")
        refused(parse(read_all(connection)), 408, "NET040")


def test_114_a_head_without_end(service) -> None:
    """Nobody reads more of it than is allowed."""
    with socket.create_connection(("127.0.0.1", service.port), timeout=20) as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\nX-Long: ")
        for _ in range(5):
            connection.sendall(b"y" * 4000)
            time.sleep(0.01)  # so that they come in one by one
        refused(parse(read_all(connection)), 431, "NET042")


def test_a_head_and_a_body_in_pieces(service) -> None:
    """Wherever the bytes are cut, the body does not count as head."""
    body = json.dumps({"dataframe_records": [ROW]}) + " " * 3000
    head = f"POST /invocations HTTP/1.1\r\n{HOST}Connection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    data = (head + body).encode()
    end = data.index(b"\r\n\r\n")
    for cut in range(end - 1, end + 6):
        with socket.create_connection(("127.0.0.1", service.port), timeout=20) as connection:
            connection.sendall(data[:cut])
            time.sleep(0.01)
            connection.sendall(data[cut:])
            assert parse(read_all(connection)).status == 200


def test_what_is_no_http(service) -> None:
    """It is told so in the same form."""
    refused(service.raw(b"\x16\x03\x01 hello\r\n\r\n"), 400, "NET025")


def test_117_a_client_that_leaves_is_counted_and_logged() -> None:
    """Before its body was whole, and while the model worked for it."""
    model = Adds()
    with running(Holder(Served(scorer(model))), Log()) as service:
        body = records(hour=101)
        head = f"POST /invocations HTTP/1.1\r\n{HOST}Content-Length: {len(body)}\r\n\r\n"
        with socket.create_connection(("127.0.0.1", service.port), timeout=20) as connection:
            connection.sendall(head.encode())
        wait_for(lambda: service.app.state()["counts"].get("disconnects_total") == 1)
        with socket.create_connection(("127.0.0.1", service.port), timeout=20) as connection:
            connection.sendall((head + body).encode())
            assert model.entered.wait(20)
        time.sleep(0.1)  # until the end of the connection has come through
        model.gate.set()
        wait_for(lambda: service.app.state()["counts"].get("disconnects_total") == 2)
        assert [row["prediction"] for row in service.log.rows] == [221.5]


def test_what_nobody_thought_of_says_nothing() -> None:
    """A bug is a 500 in the same form; what happened is on standard error only."""
    holder = Holder(Served(scorer(Adds())))
    with running(holder) as service:
        holder.current = SECRET  # no model at all
        refused(service.predict([ROW]), 500, "NET045")


def test_every_code_has_a_status_and_a_page() -> None:
    """No refusal without either."""
    ours = {code for code in CODES if "NET020" <= code < "NET049"}
    assert set(STATUS) == ours
