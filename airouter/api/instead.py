"""Hints for clients that call an endpoint of another API, which the router does not offer."""

from airouter.api.paths import hint

_CHAT = "use POST /v1/chat/completions"
# The longest matching prefix wins.
_INSTEAD = {
    "/v1/responses": f"The Responses API is not supported; {_CHAT} "
    "(client.chat.completions in OpenAI's SDKs).",
    "/v1/messages": "Of Anthropic's Messages API the router has POST /v1/messages and "
    "/v1/messages/count_tokens.",
    **dict.fromkeys(
        ("/api/pull", "/api/push", "/api/create", "/api/copy", "/api/delete", "/api/blobs"),
        "The router does not manage models; call the Ollama server that does.",
    ),
}


def instead_of(path: str) -> str:
    """A sentence that tells a client what to use instead of `path`, which does not exist."""
    known = [begin for begin in _INSTEAD if path == begin or path.startswith(f"{begin}/")]
    if known:
        return _INSTEAD[max(known, key=len)]
    where = hint(path)
    return f"{where[0].upper()}{where[1:]}."
