"""ENRICH: a web search by the cloud fetches context. If it fails, the request is answered without
it, with a note."""

from collections.abc import Mapping

import orjson

from airouter.dialects import wire_json
from airouter.domain.errors import DeadlineExceeded, RouterError, UpstreamBroken, UpstreamStatus
from airouter.domain.types import Features, Step, WebSearch
from airouter.flow.waits import Waiting
from airouter.proxy.request_state import Received
from airouter.settings.schema import EnrichmentSettings
from airouter.upstream.backend import Backend
from airouter.upstream.client import Lease, side_lease

_TURN_CHARS = 500
_ASK_CHARS = 4000
_KEPT = 2000


def enrich(
    received: Received,
    backend: Backend,
    settings: EnrichmentSettings,
    prompts: Mapping[str, str],
) -> Waiting[str | None]:
    """The system text with the context found, or None when the search failed (noted in the
    record)."""
    exchange = received.exchange
    clock, record = exchange.clock, exchange.record
    began = clock.monotonic()
    record.enter("enrichment_ms", began)
    query = _query(received.features, received.date, prompts["enrich/query"])
    status, text, problem = None, "", None
    model, asked = backend.model or "", None
    try:
        with side_lease(exchange, backend) as lease:
            yield from lease.enter("interactive", settings.timeout)
            model, asked = lease.model, lease
            status, body = yield from _search(lease, settings, query, began + settings.timeout)
        text = _read(backend, status, body)
    except DeadlineExceeded:
        raise
    except RouterError as error:
        problem = error.message
        record.notes.append(f"answered without search results: {error.message}")
    record.leave()
    record.enrichment_ms = (clock.monotonic() - began) * 1000
    params = {
        "tools": ",".join(settings.tools),
        "max_output_tokens": settings.max_output_tokens,
        "temperature": 0,
    }
    record.steps.append(
        Step(
            "enrichment",
            backend.name,
            backend.url,
            model,
            [{"role": "user", "content": query}],
            params,
            record.enrichment_ms,
            status,
            None,
            text[:_KEPT],
            problem,
            (began - exchange.started_at) * 1000,
            asked.span_id if asked is not None else None,
        )
    )
    return f"{prompts['enrich/context']}\n\n{text}" if text else None


def _search(
    lease: Lease, settings: EnrichmentSettings, query: str, until: float
) -> Waiting[tuple[int, bytes]]:
    """Status and body of the search."""
    backend = lease.backend
    search = WebSearch(query, lease.model, settings.tools, settings.max_output_tokens)
    request = backend.provider.search(search, backend.headers)
    left = max(0.001, until - backend.clock.monotonic())
    return (yield from lease.fetch(request, left))


def _read(backend: Backend, status: int, body: bytes) -> str:
    if status != 200:
        raise UpstreamStatus(
            f"the search answered with status {status}",
            upstream_status=status,
            body=body,
            headers={},
        )
    try:
        text = backend.provider.search_text(wire_json.strict(body))
    except orjson.JSONDecodeError:
        raise UpstreamBroken("the search did not answer with JSON") from None
    if not text.strip():
        raise UpstreamBroken("the search found nothing")
    return text


def _query(features: Features, date: str, instruction: str) -> str:
    """What to search for: the instruction, the turns that the ask may refer to, the ask, and last
    the date."""
    turns = "\n".join(f"{role}: {text[:_TURN_CHARS]}" for role, text in features.previous[-2:])
    lead = f"Conversation so far:\n{turns}\n\n" if turns else ""
    return f"{instruction}\n\n{lead}Request: {features.ask[:_ASK_CHARS]}\n\n{date}"
