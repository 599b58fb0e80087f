"""Answers as bytes: plain JSON, and errors that say to strangers what strangers may know."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mlkit.codes import CODES
from mlkit.errors import DataError, IntegrityError, ServingError, StoreError, StudyError
from mlkit.model.predictions import Predictions
from mlkit.production.service import answers
from mlkit.production.service.answers import (
    STATUS,
    RefusedError,
    for_strangers,
    internal_error,
    model_failed,
    ok,
    predicted,
    refused,
)
from mlkit.production.service.spool import SpoolFullError

INF, NAN = np.inf, np.nan


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize(
    ("values", "expected", "lost"),
    [
        (np.array([1.5, -0.0]), "[1.5,-0.0]", 0),
        (np.array([NAN, 1.0, INF, -INF]), "[null,1.0,null,null]", 3),
        (np.array([1, 2**62]), "[1,4611686018427387904]", 0),
        (np.array([True, False]), "[true,false]", 0),
        (np.array(["a", "é"], dtype=object), '["a","é"]', 0),
        (np.array([0.1 + 0.2, 5e-324]), "[0.30000000000000004,5e-324]", 0),
        (np.array([]), "[]", 0),
    ],
)
def test_predictions_of_every_kind(values, expected, lost, fast, monkeypatch) -> None:
    """The same values with and without the fast writer; what JSON has no word for is null and counted."""
    if not fast:
        monkeypatch.setattr(answers, "orjson", None)
    answer, counted = predicted(Predictions(values), with_probabilities=True, headers=[(b"x", b"y")])
    assert json.loads(answer.body) == {"predictions": json.loads(expected)}
    assert (answer.status, answer.headers, counted) == (200, [(b"x", b"y")], lost)


def test_probabilities_stand_row_by_row() -> None:
    """Only if asked for; those that are not finite count with the values."""
    made = Predictions(np.array(["a", "b"]), np.array([[0.25, NAN, 0.75], [0.5, 0.0, 0.5]]), ("a", "b", "c"))
    answer, lost = predicted(made, with_probabilities=True, headers=[])
    assert json.loads(answer.body) == {
        "predictions": ["a", "b"],
        "classes": ["a", "b", "c"],
        "probabilities": [[0.25, None, 0.75], [0.5, 0.0, 0.5]],
    }
    assert lost == 1
    plain, lost = predicted(made, with_probabilities=False, headers=[])
    assert (json.loads(plain.body), lost) == ({"predictions": ["a", "b"]}, 0)


def test_the_head_counts_bytes() -> None:
    """Not characters; further headers come after."""
    answer = ok({"name": "é"}, headers=[(b"x-a", b"1")])
    assert dict(answer.head)[b"content-length"] == str(len(answer.body)).encode()
    assert answer.head[-1] == (b"x-a", b"1")
    assert answer.status == 200
    assert answers.Answer(200, "é".encode(), []).head[1] == (b"content-length", b"2")


class LaterError(ServingError):
    """One that says when to come back."""

    retry_after_seconds = 2.2


class NowError(ServingError):
    """One that would let the client come back at once."""

    retry_after_seconds = 0


@pytest.mark.parametrize(
    ("error", "status", "header"),
    [
        (RefusedError("NET020", "x", fix="GET, HEAD"), 405, (b"allow", b"GET, HEAD")),
        (RefusedError("NET035", "x"), 401, (b"www-authenticate", b"Bearer")),
        (RefusedError("NET037", "x"), 503, (b"retry-after", b"1")),
        (SpoolFullError("STO070", "x"), 503, (b"retry-after", b"5")),
        (LaterError("NET045", "x"), 503, (b"retry-after", b"3")),
        (NowError("NET045", "x"), 503, (b"retry-after", b"1")),
        (DataError("DAT045", "x"), 422, None),
        (RefusedError("NET039", "x"), 504, None),
    ],
)
def test_a_status_brings_its_header(error, status, header) -> None:
    """And no other one."""
    answer = refused(error, request_id="r-1")
    assert answer.status == status
    assert answer.headers == [(b"x-request-id", b"r-1"), *([header] if header else [])]


def test_an_error_has_five_words() -> None:
    """Each there, also where it is empty."""
    answer = refused(RefusedError("NET030", 'a "column"', path="é"), request_id="r")
    expected = {"code": "NET030", "message": 'a "column"', "path": "é", "fix": "", "request_id": "r"}
    assert json.loads(answer.body) == {"error": expected}


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RefusedError("NET030", "x"), "NET030"),
        (DataError("DAT045", "x"), "DAT045"),
        (SpoolFullError("STO070", "x"), "STO070"),
        (StudyError("RUN010", "SECRET"), "NET043"),
        (StoreError("STO031", "SECRET"), "NET045"),
        (IntegrityError("INT022", "SECRET"), "NET045"),
    ],
)
def test_what_strangers_are_told(error, code) -> None:
    """What the model or a store said stays here."""
    told = for_strangers(error)
    assert told.code == code
    assert "SECRET" not in str(told)
    assert (told is error) == (error.code == code)


def test_every_refusal_is_an_error_of_the_client_or_of_the_service() -> None:
    """With a sentence in the reference; whoever runs the service is never blamed on the client."""
    assert all(400 <= status < 600 and code in CODES for code, status in STATUS.items())
    assert (model_failed().status, internal_error().status) == (500, 500)
    with pytest.raises(KeyError):
        _ = RefusedError("NET999", "x").status
