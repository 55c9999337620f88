"""POST /map and /map/batch, and what describes them: the taxonomy, the detectors, the OpenAPI
document and its page.

What a detector said is never echoed, logged or stored: these requests have no session, no line in
the log and no row in the index.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from airouter.api.auth import demand_tenant
from airouter.api.body import receive
from airouter.api.fast_path import FlowRoute
from airouter.api.mapper_errors import code_of, shaped
from airouter.api.marked_tests import test_name
from airouter.api.middleware import EXCHANGE, KEY
from airouter.api.responses import Answer
from airouter.api.timeout_header import seconds_of
from airouter.domain.errors import BadRequest, ClientGone, RouterError
from airouter.domain.keys import Key
from airouter.flow.exchange import Exchange
from airouter.flow.waits import Waiting
from airouter.mapper.answer import Outcome
from airouter.mapper.idempotency import Replays, key_of
from airouter.mapper.meter import Meter
from airouter.mapper.openapi import document
from airouter.mapper.page import page
from airouter.mapper.requests import (
    MapRequest,
    detector_of,
    read_batch,
    read_json,
    read_request,
)
from airouter.mapper.service import Mapper
from airouter.runtime.process import Runtime

Environ = Mapping[str, Any]
_JSON, _HTML = "application/json", "text/html; charset=utf-8"
_REPLAYED = ("Idempotent-Replayed", "true")
_MAX_KEY = 255  # characters of an Idempotency-Key
_LOOK = 0.02  # seconds between looks at whether another request has made the answer
_NO_PAGES = ("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")


def routes(runtime: Runtime, meter: Meter, replays: Replays) -> tuple[FlowRoute, ...]:
    mapper = MapperApi(runtime, meter, replays)
    return (
        FlowRoute("/map", ("POST",), mapper.map),
        FlowRoute("/map/batch", ("POST",), mapper.batch),
        FlowRoute("/map/taxonomy", ("GET",), mapper.taxonomy),
        FlowRoute("/map/detectors", ("GET",), mapper.detectors),
        FlowRoute("/map/openapi.json", ("GET",), mapper.openapi),
        FlowRoute("/map/docs", ("GET",), mapper.docs),
    )


class MapperApi:
    """The endpoints as flows, by the WSGI environment."""

    def __init__(self, runtime: Runtime, meter: Meter, replays: Replays) -> None:
        self._runtime, self._meter, self._replays = runtime, meter, replays

    def map(self, environ: Environ) -> Waiting[Answer]:
        work = _Single(self._runtime, self._meter, environ)
        return (yield from self._answered(environ, work))

    def batch(self, environ: Environ) -> Waiting[Answer]:
        work = _Batch(self._runtime, self._meter, environ)
        return (yield from self._answered(environ, work))

    def _answered(self, environ: Environ, work: "_Work") -> Waiting[Answer]:
        """The answer; an error is counted. A fault of our own is logged without its message, which
        may quote the request."""
        try:
            return (yield from self._try(environ, work))
        except ClientGone:
            raise
        except RouterError as error:
            work.failed(error)
            raise
        except Exception as error:
            internal = _internal(self._runtime, error)
            work.failed(internal)
            raise internal from None

    def _try(self, environ: Environ, work: "_Work") -> Waiting[Answer]:
        exchange, state = work.exchange, work.state
        timeout = environ.get("HTTP_X_ROUTER_TIMEOUT")
        if timeout:
            exchange.limit(seconds_of(timeout))
        else:
            default = exchange.started_at + state.settings.mapper.deadline
            exchange.deadline = min(exchange.deadline, default)
        raw = yield from receive(exchange, environ, state.settings.server)
        work.read(raw)
        key = environ.get("HTTP_IDEMPOTENCY_KEY")
        if key is None:
            return self._answer(exchange, (yield from work.run()))
        if not (1 <= len(key) <= _MAX_KEY and key.isprintable()):
            raise BadRequest(f"Idempotency-Key must have 1 to {_MAX_KEY} printable characters.")
        path, holder = environ["PATH_INFO"], work.key_id
        return (yield from self._once(exchange, work, key_of(path, holder, key, raw)))

    def _once(self, exchange: Exchange, work: "_Work", key: bytes) -> Waiting[Answer]:
        """The answer of the first time; else this is the first time."""
        left = min(exchange.deadline, exchange.client_deadline) - exchange.clock.monotonic()
        while not (claim := self._replays.claim(key, left)).mine:
            if claim.body is not None:
                work.replayed()
                return self._answer(exchange, claim.body, _REPLAYED)
            yield from exchange.sleep(_LOOK)
        kept = False
        try:
            body = yield from work.run()
            self._replays.keep(key, body)
            kept = True
        finally:
            if not kept:
                self._replays.give_up(key)
        return self._answer(exchange, body)

    def taxonomy(self, environ: Environ) -> Waiting[Answer]:
        taxonomy = self._mapper.vocabulary.taxonomy
        frameworks = self._mapper.vocabulary.frameworks
        labels = [
            {
                "label": label.name,
                "category": label.category,
                "description": label.description,
                "aliases": [*label.aliases],
                "controls": [
                    {"framework": framework, "control": control}
                    for framework, control in frameworks.controls(label.name)
                ],
            }
            for label in taxonomy.labels.values()
        ]
        body = orjson.dumps({"version": taxonomy.version, "labels": labels})
        return (yield from _at_once(environ[EXCHANGE], body))

    def detectors(self, environ: Environ) -> Waiting[Answer]:
        detectors = self._mapper.vocabulary.detectors
        listed = [
            {"detector": found.name, "version": found.version, "maps": dict(found.maps)}
            for name in detectors.names
            if (found := detectors.get(name)) is not None
        ]
        body = orjson.dumps({"detectors": listed})
        return (yield from _at_once(environ[EXCHANGE], body))

    def openapi(self, environ: Environ) -> Waiting[Answer]:
        body = orjson.dumps(document(self._mapper.vocabulary.taxonomy))
        return (yield from _at_once(environ[EXCHANGE], body))

    def docs(self, environ: Environ) -> Waiting[Answer]:
        html = page(document(self._mapper.vocabulary.taxonomy))
        return (yield from _at_once(environ[EXCHANGE], html.encode(), _HTML, _NO_PAGES))

    @property
    def _mapper(self) -> Mapper:
        return self._runtime.current.state.mapper

    @staticmethod
    def _answer(exchange: Exchange, body: bytes, *headers: tuple[str, str]) -> Answer:
        exchange.finish("ok", 200)
        named = ("X-Router-Session", exchange.id8)
        return Answer(200, [("Content-Type", _JSON), named, *headers], body)


class _Work(ABC):
    """One request to /map or /map/batch. `counts`: for the objectives; not if it is marked as a
    test."""

    def __init__(self, runtime: Runtime, meter: Meter, environ: Environ) -> None:
        self.state = runtime.current.state  # as long as it lasts, whatever is reloaded
        self.exchange: Exchange = environ[EXCHANGE]
        self._runtime, self._meter, self._environ = runtime, meter, environ
        self._key: Key | None = environ.get(KEY)
        self.key_id = self._key.id if self._key is not None else ""
        self._mapper = self.state.mapper
        self._counts = test_name(environ, self.state.access) is None

    @abstractmethod
    def read(self, raw: bytes) -> None:
        """Read the request, and charge its tenant.

        Raises:
            RouterError: it is not valid, or the tenant has no requests left.
        """

    def _charge(self, request: MapRequest) -> None:
        """Count a request of the key's holder for a tenant.

        Raises:
            Unauthorized: the key is for other tenants.
            RateLimited: it is one too many in this minute.
        """
        demand_tenant(self._key, request.tenant_id)
        self.state.rates.charge(self._key, request.tenant_id)

    @abstractmethod
    def run(self) -> Waiting[bytes]:
        """Map, count, and return the answer's body."""

    @abstractmethod
    def replayed(self) -> None:
        """Count it as answered from an earlier answer."""

    def failed(self, error: RouterError) -> None:
        """Count it as ended by this error."""
        self._count_failed(self._detectors(), error)

    @abstractmethod
    def _detectors(self) -> Sequence[str | None]:
        """The detectors whose mappings an error ends; None for one that is not known."""

    def _count_failed(self, detectors: Sequence[str | None], error: RouterError) -> None:
        status, seconds = code_of(error).lower(), self._seconds()
        for detector in detectors or (None,):
            label = self._mapper.metric_label(detector)
            # A client that sets a short deadline misses it by itself.
            if error.blame == "client" or status == "rate_limited":
                self._meter.refused(label, status)
            else:
                self._meter.failed(label, status, seconds, counts=self._counts)

    def _count_mapped(self, request: MapRequest, outcome: Outcome, seconds: float) -> None:
        label = self._mapper.metric_label(request.detector)
        self._meter.mapped(label, outcome, seconds, counts=self._counts)

    def _seconds(self) -> float:
        return self.exchange.clock.monotonic() - self.exchange.started_at

    def _body(self, request: MapRequest, outcome: Outcome) -> dict[str, Any]:
        return self._mapper.body(request, outcome, self.exchange.id8)


class _Single(_Work):
    _value: Any = None
    _request: MapRequest

    def read(self, raw: bytes) -> None:
        self._value = read_json(raw)
        self._request = read_request(self._value)
        self._charge(self._request)

    def run(self) -> Waiting[bytes]:
        outcome = yield from self._mapper.map(self.exchange, self._request)
        body = orjson.dumps(self._body(self._request, outcome))
        self._count_mapped(self._request, outcome, self._seconds())
        return body

    def replayed(self) -> None:
        self._meter.replayed(self._mapper.metric_label(self._request.detector))

    def _detectors(self) -> Sequence[str | None]:
        return (detector_of(self._value),)


class _Batch(_Work):
    """Mutable state: `_results` and `_errors`, by index. `_done`: the indices that are counted."""

    def read(self, raw: bytes) -> None:
        self._values = read_batch(read_json(raw))
        self._requests: dict[int, MapRequest] = {}
        self._refused: dict[int, RouterError] = {}
        for index, value in enumerate(self._values):
            try:
                request = read_request(value)
                self._charge(request)
                self._requests[index] = request
            except RouterError as error:
                self._refused[index] = error

    def run(self) -> Waiting[bytes]:
        self._results: list[dict[str, Any] | None] = [None] * len(self._values)
        self._errors: dict[int, dict[str, Any]] = {}
        self._done: set[int] = set()
        for index, error in self._refused.items():
            self._refuse(index, error)
        yield from self._mapper.map_all(self.exchange, self._requests, self._told)
        errors = [self._errors[index] for index in sorted(self._errors)]
        return orjson.dumps({"results": self._results, "errors": errors})

    def _told(self, index: int, outcome: Outcome | Exception, seconds: float) -> None:
        if isinstance(outcome, Exception):
            self._refuse(index, _internal(self._runtime, outcome))
            return
        request = self._requests[index]
        self._results[index] = self._body(request, outcome)
        self._count_mapped(request, outcome, seconds)
        self._done.add(index)

    def _refuse(self, index: int, error: RouterError) -> None:
        detector = detector_of(self._values[index])
        _, said = shaped(error, self.exchange.id8)
        self._errors[index] = {"index": index, "error": said, "detector": detector}
        self._count_failed((detector,), error)
        self._done.add(index)

    def replayed(self) -> None:
        for value in self._values:
            self._meter.replayed(self._mapper.metric_label(detector_of(value)))

    def _detectors(self) -> Sequence[str | None]:
        values, done = getattr(self, "_values", ()), getattr(self, "_done", ())
        return [detector_of(value) for at, value in enumerate(values) if at not in done]


def _internal(runtime: Runtime, error: Exception) -> RouterError:
    """A fault of our own, logged by its place."""
    place, trace = "", error.__traceback__
    while trace is not None:
        place, trace = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}", trace.tb_next
    runtime.log.error("The mapper failed: %s at %s", type(error).__name__, place)
    return RouterError("Internal error in the mapper; see the router's log.")


def _at_once(
    exchange: Exchange, body: bytes, content_type: str = _JSON, *headers: tuple[str, str]
) -> Waiting[Answer]:
    yield from ()
    exchange.finish("ok", 200)
    return Answer(200, [("Content-Type", content_type), *headers], body)
