"""Spans of finished requests, at a collector over real sockets, and when there is none."""

from __future__ import annotations

import builtins
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from doubles import FakeClock, LogLines
from harness import ask, eventually, session_file, steer
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from records import record

from airouter.domain.errors import ConfigError
from airouter.settings.tracing import TracingSettings
from airouter.telemetry import tracing
from airouter.telemetry.spans import SpanMaker, convention
from airouter.telemetry.tracing import Tracing
from bench.router_process import RouterProcess
from simulator.testing import Simulator

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
HEADER = {"traceparent": f"00-{TRACE}-{SPAN}-01"}


class Collector:
    """Mutable state: the spans received."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    import gzip

                    raw = gzip.decompress(raw)
                request = ExportTraceServiceRequest()
                request.ParseFromString(raw)
                for resource in request.resource_spans:
                    for scope in resource.scope_spans:
                        outer.spans += scope.spans
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None: ...

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def of(self, name: str) -> list[Any]:
        return [span for span in self.spans if span.name.startswith(name)]


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    yield made
    made.server.shutdown()
    made.server.server_close()


def ms(span: Any) -> float:
    return float(span.end_time_unix_nano - span.start_time_unix_nano) / 1e6


def attributes(span: Any) -> dict[str, Any]:
    return {
        pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in span.attributes
    }


def complete(collector: Collector, session: dict[str, Any]) -> dict[str, Any]:
    """The request's own span, after a look at all of them: nested, and within 1 ms of the session's
    times."""
    (root,) = [span for span in collector.spans if span.kind == 2]
    ids = {span.span_id for span in collector.spans}
    assert all(span.trace_id.hex() == TRACE for span in collector.spans)
    assert root.parent_span_id.hex() == SPAN
    for span in collector.spans:
        if span is not root:
            assert span.parent_span_id in ids
            assert span.start_time_unix_nano >= root.start_time_unix_nano - 1_000_000
            assert span.end_time_unix_nano <= root.end_time_unix_nano + 1_000_000
    assert ms(root) == pytest.approx(session["total_ms"], abs=1)
    (decide,) = collector.of("decide")
    assert ms(decide) == pytest.approx(session["classification_ms"], abs=1)
    calls = [span for span in collector.spans if span.kind == 3]
    assert len(calls) == len(session["steps"])
    for span, step in zip(calls, session["steps"], strict=True):
        assert ms(span) == pytest.approx(step["duration_ms"], abs=1)
        assert span.span_id.hex() == step["span_id"]
    assert session["trace_id"] == TRACE
    return {"root": root, "calls": calls}


def traced(
    make_router: Callable[..., RouterProcess], collector: Collector, text: str, **config: Any
) -> tuple[dict[str, Any], RouterProcess]:
    router = make_router({"tracing": {"endpoint": collector.url, "share": 0}, **config})
    answer = ask(router, text, headers=HEADER)
    assert answer.status_code == 200
    session = eventually(lambda: session_file(router, answer.headers["X-Router-Session"]))
    eventually(lambda: [span for span in collector.spans if span.kind == 2], 10)
    eventually(lambda: any(f"trace={TRACE}" in line for line in router.log()))
    return session, router


def test_a_speculative_request(make_router: Any, sim: Simulator, collector: Collector) -> None:
    text = steer("Hello", router={"label": "SIMPLE"}, primary={"tokens": 20})
    session, _ = traced(make_router, collector, text)
    found = complete(collector, session)
    assert session["speculation"] == "won"
    said = attributes(found["root"])
    assert (said["airouter.route"], said["gen_ai.operation.name"]) == ("primary", "chat")
    assert said["gen_ai.usage.output_tokens"] > 0
    (call,) = found["calls"]
    assert attributes(call)["gen_ai.system"] == "primary"
    assert collector.of("tier reasoning")


def test_an_enriched_request(make_router: Any, sim: Simulator, collector: Collector) -> None:
    session, _ = traced(make_router, collector, steer("News?", router={"label": "ENRICH"}))
    found = complete(collector, session)
    (enrich,) = [span for span in collector.spans if span.name == "enrich"]
    assert ms(enrich) == pytest.approx(session["enrichment_ms"], abs=1)
    (search,) = collector.of("enrichment ")
    assert search.parent_span_id == enrich.span_id
    assert attributes(found["root"])["airouter.route"] == "enrich"


def test_a_request_that_another_backend_answers(
    make_router: Any, sim: Simulator, collector: Collector
) -> None:
    sim.fault("xai", "error_status", status=500)
    chain = {"xai": {"backends": ["xai", "primary"]}}
    text = steer("Hard", router={"label": "COMPLEX"})
    session, _ = traced(make_router, collector, text, routes=chain)
    complete(collector, session)
    assert session["backend"] == "primary"
    failed = [span for span in collector.spans if span.kind == 3 and span.status.code == 2]
    assert failed
    assert all(attributes(span)["http.response.status_code"] == 500 for span in failed)


def test_backends_are_told_of_the_trace_and_it_is_off_by_default(
    make_router: Any, sim: Simulator, collector: Collector
) -> None:
    router = make_router({"tracing": {"endpoint": collector.url}}, backends=("primary",))
    answer = ask(router, "Hello", model="ai-router/primary")
    session = eventually(lambda: session_file(router, answer.headers["X-Router-Session"]))
    assert session["trace_id"] == session["id"]
    eventually(lambda: collector.of("chat ai-router/primary"), 10)
    plain = make_router(backends=("primary",))
    answer = ask(plain, "Hello", model="ai-router/primary", headers=HEADER)
    session = eventually(lambda: session_file(plain, answer.headers["X-Router-Session"]))
    assert session["trace_id"] is None


def test_what_cannot_be_sent_is_said_once() -> None:
    log = LogLines()
    made = Tracing(
        TracingSettings(endpoint="http://127.0.0.1:9"), FakeClock(), log, export=lambda _: False
    )
    sent = dict(trace_id=TRACE, span_id=SPAN, traced=True)
    for _ in range(3):
        made.emit(record(**sent))
        assert made._background.flush(10)
    assert made.close(5)
    assert len(log.lines) == 1
    assert "Spans not sent" in log.lines[0]


def test_one_that_is_not_recorded_is_not_sent() -> None:
    got: list[Any] = []
    settings = TracingSettings(endpoint="http://127.0.0.1:9")
    made = Tracing(settings, FakeClock(), LogLines(), export=lambda spans: bool(got.append(spans)))
    made.emit(record(trace_id=TRACE, span_id=SPAN, traced=False))
    made.emit(record())
    assert made.close(5)
    assert got == []


@pytest.mark.parametrize(
    ("opted_in", "name"),
    [("", "gen_ai.system"), ("http,gen_ai_latest_experimental", "gen_ai.provider.name")],
)
def test_the_names_follow_the_opt_in(opted_in: str, name: str) -> None:
    assert convention(opted_in)["provider"] == name


def test_no_text_of_the_conversation_is_in_a_span() -> None:
    maker = SpanMaker("ai-router", convention(""))
    secret = record(trace_id=TRACE, span_id=SPAN, user_query="a secret question")
    shown = json.dumps([json.loads(span.to_json()) for span in maker.spans(secret)])
    assert "secret" not in shown


def test_without_the_packages_the_configuration_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = builtins.__import__

    def lacking(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("opentelemetry"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", lacking)
    with pytest.raises(ConfigError, match=r"requirements-tracing\.txt"):
        tracing.check_installed()
