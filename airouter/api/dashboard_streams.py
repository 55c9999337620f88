"""What the dashboard streams: its events, and the answers and decisions of "Try it"."""

from collections.abc import Mapping
from typing import Any

import orjson
from werkzeug.wrappers import Request

from airouter.api.fast_path import FlowRoute
from airouter.api.inference import Inference
from airouter.api.middleware import EXCHANGE
from airouter.api.render_errors import answer_to
from airouter.api.responses import STREAM_HEADERS, Answer
from airouter.api.visitors import Visitors
from airouter.dashboard.dashboard import WINDOWS, Dashboard
from airouter.dashboard.feed import Feed, event_of
from airouter.dashboard.in_flight import decision
from airouter.dialects.openai import OpenAI
from airouter.domain.errors import (
    BadRequest,
    ClientGone,
    RouterError,
    Unauthorized,
    forget_traceback,
)
from airouter.domain.labels import ROUTES
from airouter.flow.driver import waits_of
from airouter.flow.exchange import Exchange
from airouter.flow.reply import Sending
from airouter.flow.waits import INFINITY, Wait, Waiting
from airouter.runtime.process import Runtime

_LOOK = 0.5  # seconds between looks at the feeds
_LASTS = 240.0  # seconds after which a browser connects anew; less than `timeouts.total` may be
_QUIET = 15.0  # seconds after which something is sent, so that proxies keep the connection
_STREAM = [("Content-Type", "text/event-stream; charset=utf-8"), *STREAM_HEADERS]
_RETRY = b"retry: 1000\n\n"  # milliseconds
_REFRESH = 0.1  # seconds between looks at what has been decided
Environ = Mapping[str, Any]


def routes(runtime: Runtime, dashboard: Dashboard, visitors: Visitors) -> tuple[FlowRoute, ...]:
    streams = Streams(runtime, dashboard, visitors)
    return (
        FlowRoute("/dashboard/events", ("GET",), streams.events),
        FlowRoute("/dashboard/try", ("POST",), streams.attempt),
    )


class Streams:
    """The two endpoints as flows, by the WSGI environment."""

    def __init__(self, runtime: Runtime, dashboard: Dashboard, visitors: Visitors) -> None:
        self._runtime, self._dashboard, self._visitors = runtime, dashboard, visitors
        self._inference = Inference(runtime)

    def events(self, environ: Environ) -> Waiting[Answer]:
        """Events as long as the page is open."""
        access = self._runtime.current.state.access
        if self._visitors.of(environ, access).role is None:
            raise Unauthorized("Sign in at /dashboard/sign-in, or send the router's API_KEY.")
        asked = Request(dict(environ)).args.get("window", "900")
        if asked not in map(str, WINDOWS):
            raise BadRequest(
                f"'window' must be one of {', '.join(map(str, WINDOWS))}.",
                param="window",
                code="invalid_filter",
            )
        yield from ()
        return Answer(200, _STREAM, self._watch(environ[EXCHANGE], int(asked)))

    def _watch(self, exchange: Exchange, window: int) -> Sending:
        feeds = self._dashboard.feeds(window)
        clock, sent = exchange.clock, dict[str, int]()
        ends, heard = clock.monotonic() + _LASTS, clock.monotonic()
        yield _RETRY
        try:
            # When the router stops, at once: the page is no reason to wait.
            while clock.monotonic() < ends and self._runtime.current.shutdown.at == INFINITY:
                news = b"".join(self._news(feeds, sent))
                now = clock.monotonic()
                if not news and now - heard >= _QUIET:
                    news = b": quiet\n\n"
                if news:
                    heard = now
                    yield news
                yield from waits_of(exchange.wait(now + _LOOK))
        except (ClientGone, RouterError):  # it closes the page, or reads on in a new connection
            return

    def _news(self, feeds: tuple[Feed, ...], sent: dict[str, int]) -> list[bytes]:
        self._dashboard.board.watch()
        found = []
        for feed in feeds:
            feed.watch()
            number, event = feed.latest
            if event and sent.get(feed.name) != number:
                sent[feed.name] = number
                found.append(event)
        return found

    def attempt(self, environ: Environ) -> Waiting[Answer]:
        """A chat completion, with an event for each step of its decision."""
        state = self._runtime.current.state
        visitor = self._visitors.of(environ, state.access)
        if visitor.role is None:
            raise Unauthorized("Sign in at /dashboard/sign-in, or send the router's API_KEY.")
        token = environ.get("HTTP_X_CSRF_TOKEN", "")
        self._visitors.check(environ, state.access, visitor, token)
        answer = self._inference.chat(environ, _Tried(state.settings.virtual_model))
        yield from ()
        return Answer(200, _STREAM, _told(environ[EXCHANGE], environ, answer))


class _Tried(OpenAI):
    """What the page sends: messages, a route and `max_tokens`, as a streamed chat completion."""

    def __init__(self, virtual_model: str) -> None:
        self._model = virtual_model

    def parse(self, payload: dict[str, Any]) -> dict[str, Any]:
        route = payload.get("route", "auto")
        if route not in (*ROUTES, "auto"):
            raise BadRequest(
                f"'route' must be one of auto, {', '.join(ROUTES)}.",
                param="route",
                code="unknown_route",
            )
        model = self._model if route == "auto" else f"{self._model}/{route}"
        wanted = {name: payload[name] for name in ("messages", "max_tokens") if name in payload}
        return wanted | {"model": model, "stream": True}


def _told(exchange: Exchange, environ: Environ, answering: Waiting[Answer]) -> Sending:
    """The answer's stream, with the decision beside it."""
    said: dict[str, Any] = {}
    try:
        while True:  # until the answer begins
            try:
                item = next(answering)
            except StopIteration as end:
                answer: Answer = end.value
                break
            now = decision(exchange)
            if now != said:
                said = now
                yield _event("router", exchange, said)
            if isinstance(item, Wait):
                yield Wait(min(item.until, exchange.clock.monotonic() + _REFRESH), item.wake)
    except Exception as error:
        response = answer_to(error, environ)
        if not isinstance(error, ClientGone):
            problem = orjson.loads(response.get_data())["error"]
            shown = {"message": problem["message"], "code": problem["code"]}
            yield event_of("problem", {"status": response.status_code} | shown)
            yield _done(exchange)
        forget_traceback(error)
        return
    yield _event("router", exchange, decision(exchange))
    assert not isinstance(answer.body, bytes), "a stream was asked for"
    yield from answer.body
    yield _done(exchange)


def _event(name: str, exchange: Exchange, data: dict[str, Any]) -> bytes:
    age = (exchange.clock.monotonic() - exchange.started_at) * 1000
    return event_of(name, data | {"age_ms": round(age, 1)})


def _done(exchange: Exchange) -> bytes:
    record = exchange.record
    ended = {"outcome": record.outcome, "ttft_ms": record.ttft_ms, "request_id": record.id}
    age = (exchange.clock.monotonic() - exchange.started_at) * 1000
    return _event("done", exchange, decision(exchange) | ended | {"total_ms": round(age, 1)})
