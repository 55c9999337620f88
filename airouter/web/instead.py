"""What to use instead of the addresses of other APIs, which do not exist here."""

from airouter.web.paths import hint

_CHAT = "use POST /v1/chat/completions"
# The longest that a path begins with counts.
_INSTEAD = {
    "/v1/responses": f"The Responses API is not offered; {_CHAT} "
    "(client.chat.completions in OpenAI's SDKs).",
    "/v1/messages": f"Anthropic's Messages API is not offered; {_CHAT}, "
    "or put a proxy that translates before the router.",
    "/v1/messages/count_tokens": "Tokens are not counted here; the primary's own /tokenize is at "
    "POST /primary/tokenize, where its server has one.",
    "/api/chat": f"Ollama's own API is not offered; {_CHAT}.",
    "/api/generate": "Ollama's own API is not offered; use POST /v1/completions, "
    "or POST /v1/chat/completions.",
    "/api/embed": "Ollama's own API is not offered; use POST /v1/embeddings.",
    "/api/embeddings": "Ollama's own API is not offered; use POST /v1/embeddings.",
    "/api/tags": "Ollama's own API is not offered; use GET /v1/models.",
    "/api/show": "Ollama's own API is not offered; use GET /v1/models/{id}.",
    "/api/version": "Ollama's own API is not offered; add the router as an OpenAI-compatible API.",
}


def instead_of(path: str) -> str:
    """A sentence for who asked for `path`, which does not exist."""
    known = [begin for begin in _INSTEAD if path == begin or path.startswith(f"{begin}/")]
    if known:
        return _INSTEAD[max(known, key=len)]
    where = hint(path)
    return f"{where[0].upper()}{where[1:]}."
