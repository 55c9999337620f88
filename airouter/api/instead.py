"""Hints for clients that call an endpoint of another API, which the router does not offer."""

from airouter.api.paths import hint

_CHAT = "use POST /v1/chat/completions"
# The longest matching prefix wins.
_INSTEAD = {
    "/v1/responses": f"The Responses API is not supported; {_CHAT} "
    "(client.chat.completions in OpenAI's SDKs).",
    "/v1/messages": f"Anthropic's Messages API is not supported; {_CHAT}, "
    "or put a translating proxy in front of the router.",
    "/v1/messages/count_tokens": "Token counting is not supported; POST /primary/tokenize calls "
    "the primary's own /tokenize, if its server has one.",
    "/api/chat": f"Ollama's native API is not supported; {_CHAT}.",
    "/api/generate": "Ollama's native API is not supported; use POST /v1/completions "
    "or POST /v1/chat/completions.",
    "/api/embed": "Ollama's native API is not supported; use POST /v1/embeddings.",
    "/api/embeddings": "Ollama's native API is not supported; use POST /v1/embeddings.",
    "/api/tags": "Ollama's native API is not supported; use GET /v1/models.",
    "/api/show": "Ollama's native API is not supported; use GET /v1/models/{id}.",
    "/api/version": "Ollama's native API is not supported; add the router as an OpenAI-compatible "
    "API.",
}


def instead_of(path: str) -> str:
    """A sentence that tells a client what to use instead of `path`, which does not exist."""
    known = [begin for begin in _INSTEAD if path == begin or path.startswith(f"{begin}/")]
    if known:
        return _INSTEAD[max(known, key=len)]
    where = hint(path)
    return f"{where[0].upper()}{where[1:]}."
