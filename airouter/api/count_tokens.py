"""Counts the tokens of a prompt: as its backend does, else by an estimate."""

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from airouter.api.body import receive
from airouter.api.responses import Answer
from airouter.classify.features import features_of
from airouter.dialects.openai_request import ChatRequest, parse_json
from airouter.domain.errors import RouterError
from airouter.flow.exchange import Exchange
from airouter.flow.waits import Waiting
from airouter.planning import forced_route, named_thinking
from airouter.planning.tokens import PromptTokens
from airouter.runtime.state import State
from airouter.upstream.backend import Backend
from airouter.upstream.client import side_lease

Environ = dict[str, Any]
_TIMEOUT = 5.0  # seconds: vLLM counts 100,000 tokens in a few tenths of one


def answering(state: State, model: str | None) -> tuple[str, ...]:
    """The backends that may answer for a model; for the virtual one, the primary's: the request is
    not decided.

    Raises:
        BadRequest: the route does not exist.
    """
    settings = state.settings
    if model in settings.aliases:
        return settings.chain(model)
    own = tuple(name for name, b in state.backends.items() if model and b.model == model)
    named, _ = named_thinking(model, settings.virtual_model)
    route = forced_route(named, None, settings.virtual_model)
    return own or settings.serving(route or "primary")


def read_for_count(exchange: Exchange, environ: Environ, state: State) -> Waiting[dict[str, Any]]:
    """The body of a request whose tokens are to be counted."""
    limits = state.settings.server
    raw = yield from receive(exchange, environ, limits)
    content_type = environ.get("CONTENT_TYPE", "")
    return parse_json(raw, content_type, most_elements=limits.max_json_elements)


def counted(
    exchange: Exchange, state: State, request: ChatRequest, kind: str | None = None
) -> Waiting[Answer]:
    """The answer that says how many tokens a request has; X-Router-Note says who counted them.

    Args:
        kind: of the answer's object, where the API names one.
    """
    names = answering(state, request.model)
    backends = [state.backends[name] for name in names if state.backends[name].can_answer_now]
    tokens, how = yield from count(exchange, request, backends[0] if backends else None)
    said = {**({"object": kind} if kind else {}), "input_tokens": tokens}
    headers = [("Content-Type", "application/json"), ("X-Router-Note", how)]
    return Answer(200, headers, orjson.dumps(said))


def count(
    exchange: Exchange, request: ChatRequest, backend: Backend | None
) -> Waiting[tuple[int, str]]:
    """The tokens of a chat request, and who counted them.

    Args:
        backend: the one to ask: at its own count_tokens if it speaks Messages. Else only vLLM has
            an endpoint that applies the chat template; what it says of images leaves out what
            their pixels become.
    """
    if backend is not None:
        for path, body, headers, field in _ways(request, backend):
            counted = yield from _asked(exchange, backend, path, body, headers, field)
            if counted is not None:
                return counted, f"counted by {backend.name}"
    return estimated(request), "estimated"


def estimated(request: ChatRequest) -> int:
    """An estimate of the tokens of a chat request: the planner's, which on prose, code and CJK is
    within 15 % of the tokenizer that counts most, so no factor corrects it."""
    return max(1, PromptTokens(request, features_of(request)).value)


def _ways(
    request: ChatRequest, backend: Backend
) -> Iterator[tuple[str, dict[str, Any], Mapping[str, str], str]]:
    """How a backend can be asked: path, body without the model, headers, field of the answer."""
    original, settings = request.original, backend.settings
    if original is not None and settings.speaks_messages:
        headers = {**backend.headers, **original.headers}
        yield "/v1/messages/count_tokens", original.payload, headers, "input_tokens"
    if settings.kind == "vllm" and not _images(request):
        body: dict[str, Any] = {"messages": request.messages, "add_generation_prompt": True}
        if request.has_tools:
            body["tools"] = request.payload["tools"]
        yield "/tokenize", body, backend.headers, "count"


def _asked(
    exchange: Exchange,
    backend: Backend,
    path: str,
    body: dict[str, Any],
    headers: Mapping[str, str],
    field: str,
) -> Waiting[int | None]:
    try:
        with side_lease(exchange, backend, hurried=True) as lease:
            yield from lease.read_model()
            asked = backend.provider.post(path, {**body, "model": lease.model}, headers)
            status, answer = yield from lease.fetch(asked, _TIMEOUT)
    except RouterError:
        return None
    try:
        counted = orjson.loads(answer).get(field) if status == 200 else None
    except (orjson.JSONDecodeError, AttributeError):
        return None
    return counted if isinstance(counted, int) else None


def _images(request: ChatRequest) -> int:
    contents = (message.get("content") for message in request.messages)
    lists = (content for content in contents if isinstance(content, list))
    return sum(part.get("type") == "image_url" for parts in lists for part in parts)
