"""ENRICH: a cloud web search fetches context; failing that, the answer is given without it, and says so."""

from collections.abc import Generator, Mapping
from typing import Any

import orjson

from airouter.dialects import bounded_json
from airouter.domain.errors import DeadlineExceeded, RouterError, UpstreamBroken, UpstreamStatus
from airouter.domain.types import Features, Step, WebSearch
from airouter.flow.exchange import Exchange
from airouter.settings.schema import EnrichmentSettings
from airouter.upstream.admission import enter
from airouter.upstream.backend import Backend
from airouter.upstream.fetch import fetch
from airouter.upstream.guarded import guarded

_TURN_CHARS = 500
_ASK_CHARS = 4000
_KEPT = 2000


def enrich(
    exchange: Exchange,
    backend: Backend,
    settings: EnrichmentSettings,
    features: Features,
    date: str,
    prompts: Mapping[str, str],
) -> Generator[Any, None, str | None]:
    """The system text with the fetched context, or None when the search failed (noted in the record)."""
    clock, record = exchange.clock, exchange.record
    started = clock.monotonic()
    record.enter("enrichment_ms", started)
    query = _query(features, date, prompts["enrich/query"])
    model, status, text, problem = backend.model or "", None, "", None
    try:
        model, status, body = yield from guarded(
            exchange, backend, _search(exchange, backend, settings, query)
        )
        text = _read(backend, status, body)
    except DeadlineExceeded:
        raise
    except RouterError as error:
        problem = error.message
        record.notes.append(f"answered without search results: {error.message}")
    record.leave()
    record.enrichment_ms = (clock.monotonic() - started) * 1000
    params = {
        "tools": ",".join(settings.tools),
        "max_output_tokens": settings.max_output_tokens,
        "temperature": 0,
    }
    sent = [{"role": "user", "content": query}]
    record.steps.append(
        Step(
            "enrichment",
            backend.name,
            backend.url,
            model,
            sent,
            params,
            record.enrichment_ms,
            status,
            None,
            text[:_KEPT],
            problem,
        )
    )
    return f"{prompts['enrich/context']}\n\n{text}" if text else None


def _search(
    exchange: Exchange, backend: Backend, settings: EnrichmentSettings, query: str
) -> Generator[Any, None, tuple[str, int, bytes]]:
    """Model, status and body of the search."""
    started = exchange.clock.monotonic()
    with (yield from enter(exchange, backend, "interactive", settings.timeout)) as admission:
        model = admission.model
        search = WebSearch(query, model, settings.tools, settings.max_output_tokens)
        request = backend.provider.search(search, backend.headers)
        left = max(0.001, settings.timeout - (exchange.clock.monotonic() - started))
        status, body = yield from fetch(exchange, backend, request, timeout=left)
        return model, status, body


def _read(backend: Backend, status: int, body: bytes) -> str:
    if status != 200:
        raise UpstreamStatus(
            f"the search answered with status {status}",
            upstream_status=status,
            body=body,
            headers={},
        )
    try:
        text = backend.provider.search_text(bounded_json.loads(body))
    except orjson.JSONDecodeError:
        raise UpstreamBroken("the search did not answer with JSON") from None
    if not text.strip():
        raise UpstreamBroken("the search found nothing")
    return text


def _query(features: Features, date: str, instruction: str) -> str:
    """What to search for: the instruction, the turns that the ask may lean on, the ask, the date last."""
    turns = "\n".join(f"{role}: {text[:_TURN_CHARS]}" for role, text in features.previous[-2:])
    lead = f"Conversation so far:\n{turns}\n\n" if turns else ""
    return f"{instruction}\n\n{lead}Request: {features.ask[:_ASK_CHARS]}\n\n{date}"
