"""Normalises paths that result from a slightly wrong base URL: an extra slash, /v1 missing or
doubled. There are no redirects: clients turn a redirected POST into a GET or do not follow it."""

import re

_SLASHES = re.compile("/{2,}")
_MODEL = re.compile("/+(?:v1/+)*models/+([^/].*)", re.IGNORECASE | re.DOTALL)
_RESPONSE = re.compile("/(?:v1/)*responses/([^/]+)(/cancel)?", re.IGNORECASE)
_ENDPOINTS = {
    "chat/completions": "POST /v1/chat/completions",
    "completions": "POST /v1/completions",
    "embeddings": "POST /v1/embeddings",
    "messages": "POST /v1/messages",
    "messages/count_tokens": "POST /v1/messages/count_tokens",
    "models": "GET /v1/models",
    "responses": "POST /v1/responses",
    "responses/input_tokens": "POST /v1/responses/input_tokens",
    "systemone": "POST /v1/systemone",
    "decisions": "POST /v1/decisions",
    "rerank": "POST /v1/rerank",
    "score": "POST /v1/score",
    "audio/transcriptions": "POST /v1/audio/transcriptions",
    "audio/translations": "POST /v1/audio/translations",
    "audio/speech": "POST /v1/audio/speech",
    "images/generations": "POST /v1/images/generations",
    "images/edits": "POST /v1/images/edits",
}
# Below /api/: Ollama's native API, with what the router does not offer of it.
_OLLAMA = re.compile(
    "/api/(chat|generate|embed|embeddings|tags|show|ps|version|pull|push|create|copy|delete|blobs)"
    "(/.*)?",
    re.DOTALL,
)
# Chat endpoints of other APIs.
_FOREIGN = ("chat", "generate", "complete")


def canonical(path: str) -> str:
    """The canonical form of a known path; other paths only lose extra slashes."""
    model = _MODEL.fullmatch(path)
    if model is not None:
        name = model[1]  # left as it is, slashes within it included
        return f"/v1/models/{name.rstrip('/') or name}"
    path = _SLASHES.sub("/", path)
    if len(path) > 1 and path.endswith("/"):
        path = path[:-1]
    rest = path[1:]
    while rest[:3].lower() == "v1/":
        rest = rest[3:]
    if rest.lower() in _ENDPOINTS:
        return f"/v1/{rest.lower()}"
    response = _RESPONSE.fullmatch(path)
    if response is not None:
        return f"/v1/responses/{response[1]}{(response[2] or '').lower()}"
    return path


def is_ollamas(path: str) -> bool:
    """Whether a path is one of Ollama's native API, even if the router does not offer it."""
    return _OLLAMA.fullmatch(path) is not None


def is_messages(path: str) -> bool:
    """Whether a path is one of Anthropic's Messages API."""
    return path == "/v1/messages" or path.startswith("/v1/messages/")


def hint(path: str) -> str:
    """A hint, as the end of a sentence, for a path that does not exist."""
    parts = canonical(path).lower().split("/")
    for tail in ("/".join(parts[-2:]), parts[-1]):
        if tail in _ENDPOINTS:
            return f"use {_ENDPOINTS[tail]}"
    if "models" in parts:
        return "use GET /v1/models/{id}"
    if parts[-1] in _FOREIGN:
        return "use POST /v1/chat/completions; GET / lists all endpoints"
    return "GET / lists all endpoints"
