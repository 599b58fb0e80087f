"""What the service answers: predictions as MLflow gives them, and what an operator asks."""

from __future__ import annotations

import importlib
import json
import os
import socket
import threading
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.naive_bayes import GaussianNB

from mlkit.model.predictions import predict
from mlkit.production.service.app import make_app
from mlkit.production.service.auth import Tokens
from mlkit.production.service.board import Board
from mlkit.production.service.limits import Settings
from mlkit.production.service.worker import keep_posted
from tests.production.service.standin import (
    FEATURES,
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


@pytest.fixture
def model():
    """A model that can be told to fail, wait and answer nan."""
    return Adds()


@pytest.fixture
def service(model):
    """A service that logs, with room for few rows and bytes."""
    with running(Holder(Served(scorer(model))), Log()) as found:
        yield found


@pytest.mark.parametrize(
    "body",
    [
        {"dataframe_split": {"columns": list(ROW), "data": [list(ROW.values())] * 2}},
        {"dataframe_split": {"index": [4, 5], "columns": list(ROW), "data": [list(ROW.values())] * 2}},
        {"dataframe_records": [ROW, ROW]},
        {"inputs": {name: [value, value] for name, value in ROW.items()}},
        {"inputs": [ROW, ROW]},
        {"instances": [ROW, ROW], "params": {}},
    ],
)
def test_every_shape_of_mlflow_is_answered(service, body) -> None:
    """The same rows in any shape give the same predictions, in MLflow's form."""
    told = service.ask("POST", "/invocations", body, JSON)
    assert (told.status, told.json) == (200, {"predictions": [127.5, 127.5]})
    assert told.headers["x-mlkit-model-version"] == "3"


def test_mlflows_own_client_is_answered(service) -> None:
    """Its ping, its dataframes with any index, and its lists of records."""
    with warnings.catch_warnings(action="ignore"):  # MLflow warns of type hints of its own
        clients = importlib.import_module("mlflow.pyfunc.scoring_server.client")
    client = clients.ScoringServerClient("127.0.0.1", service.port)
    client.wait_server_ready(timeout=10)
    frame = pd.DataFrame([ROW, {**ROW, "hour": 8}], index=[7, 9])
    assert client.invoke(frame).get_predictions()[0].tolist() == [127.5, 128.5]
    assert client.invoke([ROW]).get_predictions()[0].tolist() == [127.5]
    assert client.invoke(frame, params={"proba": True}).get_predictions()[0].tolist() == [127.5, 128.5]


def test_every_answer_is_logged(service) -> None:
    """Under the client's id and event time, with key, prediction and the inputs that are watched."""
    headers = {
        "X-Request-Id": "r-1",
        "X-Mlkit-Event-Time": "2024-01-31T12:00:00+01:00",
        "X-Mlkit-Traffic": "canary",
    }
    told = service.predict([{**ROW, "flight": 1}, {**ROW, "flight": 2}], headers)
    assert told.headers["x-request-id"] == "r-1"
    first, second = service.log.rows
    assert (first["request_id"], second["request_id"], first["traffic"]) == ("r-1", "r-1", "canary")
    assert first["event_time"].isoformat() == "2024-01-31T11:00:00+00:00"
    assert (first["prediction"], first["input_distance"], first["version"], first["seq"]) == (
        127.5,
        120.5,
        3,
        5,
    )
    assert first["row_id"] != second["row_id"]


@pytest.mark.parametrize(
    ("headers", "besides", "expected"),
    [
        ({"X-Request-Id": "a.b:c/d-1"}, {"client_request_id": "other"}, "a.b:c/d-1"),
        ({}, {"client_request_id": "from-the-body"}, "from-the-body"),
        ({"X-Request-Id": "two words"}, {}, None),
        ({"X-Request-Id": "x" * 129}, {"client_request_id": 'a"b'}, None),
    ],
)
def test_a_request_keeps_a_well_formed_id(service, headers, besides, expected) -> None:
    """Another gets a new one."""
    told = service.ask("POST", "/invocations", {"inputs": [ROW], **besides}, {**JSON, **headers})
    found = told.headers["x-request-id"]
    assert found == expected if expected else len(found) == 32
    assert service.log.rows[-1]["request_id"] == found


def test_probabilities_on_request() -> None:
    """By query or by parameter, one row of them each, in the order of the classes."""
    frame = pd.DataFrame({"hour": [1, 2, 3, 4], "distance": [1.0, 2.0, 3.0, 4.0]})
    fitted = GaussianNB().fit(frame, ["a", "b", "a", "b"])
    served = Served(scorer(fitted, task="binary", features=("hour", "distance")))
    expected = predict(fitted, frame.iloc[:2], task="binary").probabilities
    with running(Holder(served)) as service:
        rows = frame.iloc[:2].to_dict("records")
        asked = service.predict(rows, path="/invocations?proba=1").json
        assert asked["classes"] == ["a", "b"]
        assert np.array_equal(asked["probabilities"], expected)
        by_parameter = service.ask("POST", "/invocations", {"inputs": rows, "params": {"proba": True}}, JSON)
        assert by_parameter.json == asked
        assert service.predict(rows).json == {"predictions": asked["predictions"]}


def test_what_is_not_finite_is_null_and_counted(service) -> None:
    """JSON has no nan."""
    told = service.predict([{**ROW, "hour": 102}, ROW])
    assert told.json == {"predictions": [None, 127.5]}
    assert "mlkit_not_finite_total 1\n" in service.ask("GET", "/metrics").body.decode()
    assert np.isnan(service.log.rows[0]["prediction"])


def test_a_trial_is_marked_and_not_logged() -> None:
    """In every answer, by a header."""
    with running(Holder(Served(scorer(Adds()), trial="run-1"))) as service:
        assert service.predict([ROW]).headers["x-mlkit-not-for-production"] == "trial"


def test_one_bad_request_does_not_fail_its_neighbours(service, model) -> None:
    """While the model is busy three gather; together they fail, alone two of them do not."""
    answers = _while_busy(service, model, [{**ROW, "hour": hour} for hour in (1, 100, 2)])
    assert sorted(told.status for told in answers) == [200, 200, 500]
    assert {told.json["predictions"][0] for told in answers if told.status == 200} == {121.5, 122.5}
    failed = next(told for told in answers if told.status == 500)
    assert failed.error["code"] == "NET043"
    assert b"secret-value" not in failed.body
    assert b"/home" not in failed.body
    assert model.sizes == [1, 3, 1, 1, 1]


def test_requests_gather_only_where_it_changes_nothing(model) -> None:
    """A model that answers otherwise in a batch gets one request at a time."""
    with running(Holder(Served(scorer(model), batchable=False))) as service:
        answers = _while_busy(service, model, [{**ROW, "hour": hour} for hour in (1, 2, 3)])
    assert {told.status for told in answers} == {200}
    assert model.sizes == [1, 1, 1, 1]


def test_requests_gather_for_one_model_only(service, model) -> None:
    """Those that came before a swap are answered by the old model, the others by the new one."""
    newer = Adds()
    blocked, threads, answers = _start(service, model, [ROW])
    wait_for(lambda: service.app.state()["gauges"]["waiting"] == 1)
    service.holder.current = Served(scorer(newer, version=4))
    more = _ask_all(service, [ROW, ROW], answers)
    wait_for(lambda: service.app.state()["gauges"]["waiting"] == 3)
    model.gate.set()
    for thread in (blocked, *threads, *more):
        thread.join(30)
    assert sorted(told.headers["x-mlkit-model-version"] for told in answers) == ["3", "4", "4"]
    assert (model.sizes, sum(newer.sizes)) == ([1, 1], 2)


def test_a_large_request_does_not_hold_up_small_ones(model) -> None:
    """It has threads of its own."""
    with running(Holder(Served(scorer(model))), settings=Settings(batch_rows=2)) as service:
        large = threading.Thread(target=service.predict, args=([{**ROW, "hour": 101}] * 3,))
        large.start()
        assert model.entered.wait(20)
        assert service.predict([ROW]).status == 200
        model.gate.set()
        large.join(30)


def test_without_a_model_nothing_is_ready() -> None:
    """Alive, and says so."""
    with running(Holder(None)) as service:
        assert service.ask("GET", "/livez").json == {"status": "alive"}
        assert service.ask("GET", "/readyz").status == 503
        assert service.ask("GET", "/version").json["seq_everywhere"] is None
        told = service.predict([ROW])
        assert (told.status, told.error["code"], told.headers["retry-after"]) == (503, "NET037", "1")


def test_what_a_worker_posts_is_of_one_model() -> None:
    """Also where another one takes its place meanwhile."""

    class Moves(Holder):
        @property
        def current(self):
            return self.served.pop()

        @current.setter
        def current(self, served):
            self.served = served

    first, second = (
        Served(scorer(Adds(), version=version, features=FEATURES[:version])) for version in (3, 4)
    )
    app = make_app(Moves([second, first]), None, Settings())
    state = app.state()
    assert (state["seq"], state["example"]["columns"]) == (5, list(FEATURES[:3]))
    app.close()


def test_version_ready_and_metrics(service) -> None:
    """What answers, and how much it has answered."""
    service.predict([ROW])
    service.predict([{}])
    assert service.ask("GET", "/readyz").json["status"] == "ready"
    told = service.ask("GET", "/version").json
    assert (told["version"], told["seq"], told["seq_everywhere"], told["workers"]) == (3, 5, 5, 1)
    text = service.ask("GET", "/metrics").body.decode()
    for line in (
        'mlkit_requests_total{status="200"} 1',
        'mlkit_requests_total{status="422"} 1',
        'mlkit_errors_total{code="NET030"} 1',
        "mlkit_rows_total 1",
        "mlkit_logged_rows_total 1",
        'mlkit_batch_rows_bucket{le="1"} 1',
        "mlkit_request_seconds_count 2",
        'mlkit_model_info{version="3",model_id="m-3",seq="5"} 1',
    ):
        assert line in text.splitlines()
    assert all(line.startswith(("# HELP mlkit_", "# TYPE mlkit_", "mlkit_")) for line in text.splitlines())


def test_refresh_is_for_administrators(model) -> None:
    """401 without a token, 403 with one for predictions, and any number of times with the right one."""
    tokens = Tokens.read(
        {"MLKIT_SERVE_TOKENS": "serve-token-000000", "MLKIT_ADMIN_TOKENS": "admin-token-000000"}
    )
    with running(Holder(Served(scorer(model))), tokens=tokens) as service:
        asked = [
            _bearer(token) for token in ("", "serve-token-000000", "admin-token-000000", "admin-token-000000")
        ]
        assert [
            service.ask("POST", "/-/refresh", {"wanted_seq": 9}, headers).status for headers in asked
        ] == [
            401,
            403,
            200,
            200,
        ]
        assert service.holder.asked == [9, 9]
        assert service.ask("POST", "/-/refresh", None, asked[2]).json["seq"] == 5
        assert service.ask("POST", "/-/refresh", {"wanted_seq": "x"}, asked[2]).status == 400
        assert service.predict([ROW], asked[2]).status == 200
        assert service.predict([ROW], {"Authorization": "Basic serve-token-000000"}).status == 401
        assert [
            service.ask("GET", path).status for path in ("/readyz", "/livez", "/version", "/metrics")
        ] == [
            200,
            200,
            401,
            401,
        ]


def test_workers_count_together_and_refresh_together(service, model, tmp_path) -> None:
    """Two workers of one service: either answers for both."""
    first, second = Board(tmp_path / "board"), Board(tmp_path / "board")
    second._file = tmp_path / "board" / "worker-0.json"  # one process cannot be two
    service.predict([ROW])
    second.post(service.app.state())
    with running(Holder(Served(scorer(model, version=4))), board=first) as other:
        other.predict([ROW])
        text = other.ask("GET", "/metrics").body.decode()
        assert 'mlkit_requests_total{status="200"} 2' in text
        assert "mlkit_workers 2" in text
        assert other.ask("GET", "/version").json["seq_everywhere"] == 5
        other.ask("POST", "/-/refresh")
        assert (second.was_poked(), second.was_poked(), first.was_poked()) == (True, False, False)
        second.leave()
        assert other.ask("GET", "/version").json["seq_everywhere"] == 6
        assert 'mlkit_requests_total{status="200"} 2' in other.ask("GET", "/metrics").body.decode()


def test_a_worker_that_could_not_post_posts_again(service, tmp_path) -> None:
    """A full disk, or here a folder that is gone for a while, does not silence it for ever."""
    board = Board(tmp_path / "board")
    (tmp_path / "board").rmdir()

    class Stop(threading.Event):
        """Set after the second round; the disk has room again after the first."""

        rounds = 0

        def wait(self, timeout=None) -> bool:
            self.rounds += 1
            (tmp_path / "board").mkdir(exist_ok=True)
            return self.rounds == 2

    keep_posted(service.app, None, board, Stop())
    (told,) = board.read()
    assert (told["pid"], told["alive"]) == (os.getpid(), True)


def test_several_requests_on_one_connection(service) -> None:
    """Sent at once and answered in order, each whole."""
    body = json.dumps({"inputs": [ROW]})
    kind = "Host: x\r\nContent-Type: application/json\r\n"
    head = f"POST /invocations HTTP/1.1\r\n{kind}Content-Length: {len(body)}\r\n"
    with socket.create_connection(("127.0.0.1", service.port), timeout=20) as connection:
        connection.sendall(f"{head}\r\n{body}{head}Connection: close\r\n\r\n{body}".encode())
        answers = read_all(connection)
    assert answers.count(b"HTTP/1.1 200") == 2
    assert parse(answers).status == 200


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"} if token else {}


def _ask_all(service, rows, answers) -> list[threading.Thread]:
    threads = [
        threading.Thread(target=lambda row=row: answers.append(service.predict([row]))) for row in rows
    ]
    for thread in threads:
        thread.start()
    return threads


def _start(service, model, rows):
    """Keep the model busy with one request, and ask more."""
    blocked = threading.Thread(target=service.predict, args=([{**ROW, "hour": 101}],))
    blocked.start()
    assert model.entered.wait(20)
    answers: list = []
    return blocked, _ask_all(service, rows, answers), answers


def _while_busy(service, model, rows) -> list:
    """Answers to requests that gathered while the model was busy with another."""
    blocked, threads, answers = _start(service, model, rows)
    wait_for(lambda: service.app.state()["gauges"]["waiting"] == len(rows))
    model.gate.set()
    for thread in (blocked, *threads):
        thread.join(30)
    return answers


def test_features_are_what_the_stand_in_says() -> None:
    """The rows of these tests have all features and nothing else."""
    assert tuple(ROW) == FEATURES
