"""A finished request as OpenTelemetry spans: one for the request, one for each stage and tier, one
for each call to a backend. They are made from the record, so they say what the session file
says."""

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from airouter import __version__
from airouter.domain.types import ExchangeRecord, Step
from airouter.telemetry.derived import tokens_of

# Attributes of the GenAI semantic conventions, of which the experimental ones change. "1.36" is
# what libraries send unless OTEL_SEMCONV_STABILITY_OPT_IN holds OPT_IN.
OPT_IN = "gen_ai_latest_experimental"
CONVENTIONS: Mapping[str, Mapping[str, str]] = {
    "1.36": {
        "operation": "gen_ai.operation.name",
        "provider": "gen_ai.system",
        "asked": "gen_ai.request.model",
        "answered": "gen_ai.response.model",
        "max_tokens": "gen_ai.request.max_tokens",
        "finish": "gen_ai.response.finish_reasons",
        "input": "gen_ai.usage.input_tokens",
        "output": "gen_ai.usage.output_tokens",
        "address": "server.address",
        "port": "server.port",
        "error": "error.type",
    },
}
CONVENTIONS = {
    **CONVENTIONS,
    "latest": {**CONVENTIONS["1.36"], "provider": "gen_ai.provider.name"},
}
_SCOPE = InstrumentationScope("airouter", __version__)
_OPERATIONS = {"chat": "chat", "completions": "text_completion", "embeddings": "embeddings"}
_NS = 1_000_000  # per ms


def convention(opted_in: str) -> Mapping[str, str]:
    """The names of attributes.

    Args:
        opted_in: the value of OTEL_SEMCONV_STABILITY_OPT_IN, a list with commas.
    """
    latest = OPT_IN in [entry.strip() for entry in opted_in.split(",")]
    return CONVENTIONS["latest" if latest else "1.36"]


class SpanMaker:
    """Args:
    names: of attributes (`convention`).
    """

    def __init__(self, service_name: str, names: Mapping[str, str]) -> None:
        self._resource = Resource.create(
            {"service.name": service_name, "service.version": __version__}
        )
        self._names = names

    def spans(self, record: ExchangeRecord) -> list[ReadableSpan]:
        """The spans of a request, the request's own first."""
        return list(self._spans(record))

    def _spans(self, record: ExchangeRecord) -> Iterator[ReadableSpan]:
        assert record.trace_id is not None
        assert record.span_id is not None
        trace, root = int(record.trace_id, 16), int(record.span_id, 16)
        arrived = int(record.timestamp.timestamp() * 1000 * _NS)
        names, numbers = self._names, iter(range(1, 1_000_000))

        def span(
            name: str,
            parent: int | None,
            start_ms: float,
            ms: float,
            attributes: dict[str, Any],
            *,
            span_id: int | None = None,
            kind: SpanKind = SpanKind.INTERNAL,
            error: str | None = None,
        ) -> ReadableSpan:
            begun = arrived + int(start_ms * _NS)
            # An id of its own for a stage: from the request's, so that it is the same in each try
            # to send it.
            own = span_id if span_id is not None else (root + next(numbers)) % 2**64 or 1
            return ReadableSpan(
                name,
                context=_context(trace, own),
                parent=None if parent is None else _context(trace, parent),
                resource=self._resource,
                attributes={key: value for key, value in attributes.items() if value is not None},
                kind=kind,
                instrumentation_scope=_SCOPE,
                status=Status(StatusCode.ERROR, error) if error else Status(),
                start_time=begun,
                end_time=begun + max(0, int(ms * _NS)),
            )

        tokens_in, tokens_out, _ = tokens_of(record.usage)
        caller = int(record.parent_span_id, 16) if record.parent_span_id else None
        yield span(
            f"{_OPERATIONS.get(record.endpoint, record.endpoint or 'request')} "
            f"{record.requested_model}",
            caller,
            0.0,
            record.total_ms,
            {
                names["operation"]: _OPERATIONS.get(record.endpoint),
                names["asked"]: record.requested_model,
                names["answered"]: record.model,
                names["max_tokens"]: record.max_tokens,
                names["input"]: tokens_in,
                names["output"]: tokens_out,
                names["error"]: None if record.reason == "ok" else record.reason,
                "http.response.status_code": record.status,
                "airouter.route": record.route,
                "airouter.label": record.label,
                "airouter.tier": record.tier,
                "airouter.backend": record.backend,
                "airouter.speculation": record.speculation,
                "airouter.session": record.id[:8],
            },
            span_id=root,
            kind=SpanKind.SERVER,
            error=record.error if record.reason.startswith(("backend_", "router_")) else None,
        )
        starts = record.starts_ms
        if record.tier is not None and "classification" in starts:
            begun = starts["classification"]
            stage = span("decide", root, begun, record.classification_ms, {})
            yield stage
            for verdict in record.verdicts:
                yield span(
                    f"tier {verdict.tier}",
                    stage.context.span_id,
                    begun,
                    verdict.ms,
                    {
                        "airouter.label": verdict.label,
                        "airouter.p": verdict.p,
                        "airouter.threshold": verdict.threshold,
                        "airouter.reason": verdict.reason or None,
                    },
                )
                begun += verdict.ms
        parent = root
        if record.enrichment_ms is not None:
            begun = starts.get("enrichment", 0.0)
            stage = span("enrich", root, begun, record.enrichment_ms, {})
            yield stage
            parent = stage.context.span_id
        if record.queue_ms:
            yield span("queue", root, starts.get("queue", 0.0), record.queue_ms, {})
        for step in record.steps:
            yield self._call(span, step, parent if step.step == "enrichment" else root, record)

    def _call(self, span: Any, step: Step, parent: int, record: ExchangeRecord) -> ReadableSpan:
        names, place = self._names, urlsplit(step.url)
        operation = _OPERATIONS.get(record.endpoint) if step.step != "enrichment" else "chat"
        made: ReadableSpan = span(
            f"{step.step} {step.provider}",
            parent,
            step.start_ms,
            step.duration_ms,
            {
                names["operation"]: operation,
                names["provider"]: step.provider,
                names["asked"]: step.model,
                names["finish"]: (step.finish_reason,) if step.finish_reason else None,
                names["address"]: place.hostname,
                names["port"]: place.port,
                names["error"]: "error" if step.error else None,
                "http.response.status_code": step.status,
            },
            span_id=int(step.span_id, 16) if step.span_id else None,
            kind=SpanKind.CLIENT,
            error=step.error if step.error != "cancelled" else None,
        )
        return made


def _context(trace: int, span: int) -> SpanContext:
    return SpanContext(trace, span, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))
