"""The application: one model behind MLflow's request shapes, and what an operator asks beside it.

There is no framework between: its layers cost more than reading a request does, and its pages of
documentation would be open to whoever can connect. What is not in `_ROUTES` is a 404.
"""

from __future__ import annotations

import asyncio
import functools
import time
import uuid
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Protocol

from starlette.middleware.errors import ServerErrorMiddleware
from starlette.responses import Response

from mlkit.console import say
from mlkit.errors import MlkitError
from mlkit.production.service.answerer import ServedAnswerer
from mlkit.production.service.answers import (
    Answer,
    RefusedError,
    for_strangers,
    internal_error,
    ok,
    predicted,
    refused,
)
from mlkit.production.service.auth import Tokens
from mlkit.production.service.batching import Batcher, Job
from mlkit.production.service.exchange import ClientLeftError, Exchange
from mlkit.production.service.metrics import Metrics, render
from mlkit.production.service.requests import read_body, read_json

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp, Receive, Scope, Send

    from mlkit.production.service.answers import Headers
    from mlkit.production.service.board import Board
    from mlkit.production.service.holder import RefreshResult, Served
    from mlkit.production.service.limits import Settings
    from mlkit.production.service.requests import Asked
    from mlkit.production.service.spool import Spool
    from mlkit.production.service.webhook import Webhook

_READ_HERE_BYTES = 64 * 1024  # larger bodies are read in a thread, so that the others go on
_MOST_ADMIN_BYTES = 1024 * 1024
_TRIAL = (b"x-mlkit-not-for-production", b"trial")


class ModelHolder(Protocol):
    """Holds the model that answers: `Holder`, or `TrialHolder`."""

    current: Served | None

    @property
    def state(self) -> dict[str, Any]:
        """What serves and what hinders it from being the newest."""
        ...

    def refresh(self, *, wanted_seq: int | None = None) -> RefreshResult:
        """Bring what serves to the head of the ledger."""
        ...


def make_app(
    holder: ModelHolder,
    spool: Spool | None,
    settings: Settings,
    *,
    tokens: Tokens | None = None,
    webhook: Webhook | None = None,
    board: Board | None = None,
) -> Service:
    """The ASGI application of one worker.

    Args:
        holder: Holds the model that answers.
        spool: Takes the answers for the prediction log; without one nothing is logged.
        settings: Bounds.
        tokens: Who may ask; without any, everybody.
        webhook: Takes MLflow's webhooks; without one there is no such address.
        board: Where the workers of this service see each other.
    """
    return Service(holder, spool, settings, tokens=tokens or Tokens(), webhook=webhook, board=board)


class Service:
    """The ASGI application.

    Attributes:
        metrics: What it has counted.
    """

    def __init__(
        self,
        holder: ModelHolder,
        spool: Spool | None,
        settings: Settings,
        *,
        tokens: Tokens,
        webhook: Webhook | None,
        board: Board | None,
    ) -> None:
        """Nothing runs yet."""
        self.metrics = Metrics()
        self._holder, self._spool, self._settings = holder, spool, settings
        self._tokens, self._webhook, self._board = tokens, webhook, board
        self._batcher = Batcher(settings)
        self._answerer: ServedAnswerer | None = None
        self._under_way = self._held = 0
        # The outermost layer: whatever nobody thought of ends there, and in the log of who runs this.
        self._outer: ASGIApp = ServerErrorMiddleware(self._route, handler=_broken)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await self._outer(scope, receive, send)

    def state(self) -> dict[str, Any]:
        """How this worker is, as plain values for the board."""
        spool = self._spool.state if self._spool else {}
        gauges = {
            "waiting": self._batcher.waiting,
            "under_way": self._under_way,
            "spool_bytes": spool.get("bytes", 0),
        }
        state = self.metrics.state(batches=dict(self._batcher.batches), gauges=gauges)
        for name, key in (("served", "served"), ("logged", "logged"), ("dropped", "dropped_total")):
            state["counts"][f"{name}_rows_total"] = spool.get(key, 0)
        served = self._holder.current
        if served is None:
            return {**state, "seq": None, "served": None, "example": None}
        example = self._answerer_of(served).plan.example()
        return {**state, "seq": served.scorer.seq, "served": served.facts(), "example": example}

    def close(self) -> None:
        """End the threads that predict."""
        self._batcher.close()

    async def _route(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange(scope, receive, send)
        try:
            answer = await _handler(scope)(self, exchange)
        except MlkitError as exc:
            error = for_strangers(exc)
            self.metrics.count("errors_total", code=error.code)
            answer = refused(error, request_id=exchange.named())
            if answer.status == _BROKEN:
                say(f"request {exchange.request_id}: {exc}")
        except ClientLeftError:
            self.metrics.count("disconnects_total")
            return
        if exchange.has_left:
            self.metrics.count("disconnects_total")
        if scope["path"] == _INVOCATIONS:
            self.metrics.answered(answer.status, time.perf_counter() - exchange.started)
        await exchange.send(answer)

    async def invocations(self, exchange: Exchange) -> Answer:
        """Predictions."""
        held = [0]
        self._under_way += 1
        try:
            return await self._answered(exchange, functools.partial(self._hold, held))
        finally:
            self._under_way -= 1
            self._held -= held[0]

    async def _answered(self, exchange: Exchange, hold: Callable[[int], None]) -> Answer:
        self._tokens.check_serve(exchange.header(b"authorization"))
        exchange.check_json()
        traffic, event_time = exchange.traffic(), exchange.event_time()
        self._check_room()
        answerer = self._current()
        body = await exchange.read(self._settings, most=self._settings.max_body_bytes, hold=hold)
        asked, columns = await self._read(body, answerer)
        exchange.name(asked.client_request_id)
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        job = Job(answerer, columns, asked.rows, exchange.named(), event_time, traffic, done)
        predictions = await self._batcher.predict(job)
        self.metrics.count("rows_total", asked.rows)
        headers = _headers(answerer.served, exchange.request_id)
        wants = asked.with_probabilities or exchange.wants_probabilities()
        answer, lost = predicted(predictions, with_probabilities=wants, headers=headers)
        if lost:
            self.metrics.count("not_finite_total", lost)
        return answer

    async def _read(self, body: bytes, answerer: ServedAnswerer) -> tuple[Asked, dict[str, list[Any]]]:
        if len(body) <= _READ_HERE_BYTES:
            return self._parsed(body, answerer)
        return await asyncio.to_thread(self._parsed, body, answerer)

    def _parsed(self, body: bytes, answerer: ServedAnswerer) -> tuple[Asked, dict[str, list[Any]]]:
        asked = read_body(body, max_rows=self._settings.max_rows)
        return asked, answerer.plan.check(asked.columns)

    def _current(self) -> ServedAnswerer:
        """The model that answers this request."""
        served = self._holder.current
        if served is None:
            message = "no model serves yet"
            raise RefusedError("NET037", message, fix="ask /readyz; deploy a model if none was promoted")
        return self._answerer_of(served)

    def _answerer_of(self, served: Served) -> ServedAnswerer:
        """Made once for a model; whoever asks has read the one reference once."""
        known = self._answerer
        if known is None or known.served is not served:
            known = self._answerer = ServedAnswerer(served, self._spool)
        return known

    def _check_room(self) -> None:
        if self._under_way > self._settings.max_waiting:
            raise _busy()
        if self._spool is not None:
            self._spool.check()

    def _hold(self, held: list[int], size: int) -> None:
        if self._held + size > self._settings.max_held_bytes:
            raise _busy()
        self._held += size
        held[0] += size

    # ------------------------------------------------------------------ what operators and probes ask

    async def livez(self, _: Exchange) -> Answer:
        """The process answers."""
        return ok({"status": "alive"})

    async def readyz(self, _: Exchange) -> Answer:
        """Whether a verified model is there; anybody may ask, so nothing else is said."""
        state = self._holder.state
        words = [word for word in ("stale", "degraded") if state.get(word)]
        status = (words or ["ready"])[0] if state["ready"] else "not ready"
        told = {
            "status": status,
            "stale": bool(state.get("stale")),
            "degraded": bool(state.get("degraded")),
            "version": state.get("version"),
            "production": state.get("production", True),
        }
        return ok(told, status=200 if state["ready"] else 503)

    async def version(self, exchange: Exchange) -> Answer:
        """What answers, since when, and what hinders it from being the newest."""
        self._tokens.check_serve(exchange.header(b"authorization"))
        state = dict(self._holder.state)
        error = state.pop("error", None)
        everywhere = [worker["seq"] for worker in self._workers() if worker["alive"]]
        is_whole = len(everywhere) >= self._settings.workers and None not in everywhere
        lowest = min(everywhere) if is_whole else None
        code = error["code"] if error else None
        return ok({**state, "error_code": code, "seq_everywhere": lowest, "workers": len(everywhere)})

    async def counts(self, exchange: Exchange) -> Answer:
        """The metrics of all workers."""
        self._tokens.check_serve(exchange.header(b"authorization"))
        served = self._holder.current
        facts = {} if served is None else served.facts()
        shown = {name: facts.get(name, "") for name in ("version", "model_id", "seq")}
        text = render(self._workers(), facts=shown)
        return Answer(200, text.encode(), [], b"text/plain; version=0.0.4; charset=utf-8")

    async def refresh(self, exchange: Exchange) -> Answer:
        """Look at the ledger now; the other workers do so too."""
        self._tokens.check_admin(exchange.header(b"authorization"))
        body = await self._admin_body(exchange)
        wanted = _wanted_seq(body)
        result = await asyncio.to_thread(self._holder.refresh, wanted_seq=wanted)
        if self._board is not None:
            self._board.poke()
        return ok(result.to_dict())

    async def webhook(self, exchange: Exchange) -> Answer:
        """MLflow says that something changed; who it is, its signature shows."""
        if self._webhook is None:
            raise _unknown_path()
        body = await self._admin_body(exchange)
        answer = await asyncio.to_thread(self._webhook.receive, exchange.headers, body)
        if answer.status in _WEBHOOK_CODES:
            code, fix = _WEBHOOK_CODES[answer.status]
            raise RefusedError(code, answer.outcome, path="webhook", fix=fix)
        if self._board is not None:
            self._board.poke()
        return ok({"outcome": answer.outcome}, status=answer.status)

    async def _admin_body(self, exchange: Exchange) -> bytes:
        return await exchange.read(self._settings, most=_MOST_ADMIN_BYTES, hold=lambda _: None)

    def _workers(self) -> list[dict[str, Any]]:
        """What all workers said last, this one included."""
        if self._board is None:
            return [{**self.state(), "alive": True}]
        self._board.post(self.state())
        return self._board.read()


Handler = Callable[[Service, Exchange], Coroutine[Any, Any, Answer]]
_BROKEN = 500
_WEBHOOK_CODES = {
    400: ("NET029", "send an event of MLflow's registry"),
    401: ("NET035", "check the secret and the clock on both sides"),
}
_INVOCATIONS = "/invocations"
_ROUTES: dict[str, tuple[str, Handler]] = {
    _INVOCATIONS: ("POST", Service.invocations),
    "/livez": ("GET", Service.livez),
    "/readyz": ("GET", Service.readyz),
    "/ping": ("GET", Service.readyz),  # as MLflow's clients call it
    "/health": ("GET", Service.readyz),
    "/version": ("GET", Service.version),
    "/metrics": ("GET", Service.counts),
    "/-/refresh": ("POST", Service.refresh),
    "/-/webhook": ("POST", Service.webhook),
}


def _handler(scope: Scope) -> Handler:
    """Who answers.

    Raises:
        RefusedError: No such path, literally (NET041), or another method (NET020).
    """
    if scope["path"] not in _ROUTES or b"%" in scope["raw_path"]:
        raise _unknown_path()
    method, handler = _ROUTES[scope["path"]]
    if scope["method"] != method and (scope["method"], method) != ("HEAD", "GET"):
        raise RefusedError("NET020", "this address takes another method", path="method", fix=method)
    return handler


def _unknown_path() -> RefusedError:
    return RefusedError(
        "NET041", "there is no such address", path="url", fix=f"predictions: POST {_INVOCATIONS}"
    )


def _busy() -> RefusedError:
    return RefusedError("NET038", "too many requests are under way", fix="try again in a second")


def _headers(served: Served, request_id: str) -> Headers:
    headers = [
        (b"x-mlkit-model-version", b"%d" % served.scorer.version),
        (b"x-request-id", request_id.encode()),
    ]
    return headers if served.trial is None else [*headers, _TRIAL]


def _wanted_seq(body: bytes) -> int | None:
    """The entry that a body ``{"wanted_seq": 7}`` names; None of an empty one."""
    values = read_json(body) if body.strip() else {}
    wanted = values.get("wanted_seq") if isinstance(values, dict) else False
    if wanted is not None and (isinstance(wanted, bool) or not isinstance(wanted, int)):
        raise RefusedError(
            "NET029", "expected the number of a ledger entry", path="wanted_seq", fix="send no body"
        )
    return wanted


def _broken(_: Request, __: Exception) -> Response:
    answer = refused(internal_error(), request_id=uuid.uuid4().hex)
    return Response(answer.body, answer.status, media_type="application/json")
