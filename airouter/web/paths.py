"""The paths that clients make of a base URL with a slash too many, without /v1 or with it twice:
served as what is meant, never redirected, which would turn a POST into a GET or is not
followed."""

import re

_SLASHES = re.compile("/{2,}")
_MODEL = re.compile("/+(?:v1/+)*models/+([^/].*)", re.IGNORECASE | re.DOTALL)
_ENDPOINTS = {
    "chat/completions": "POST /v1/chat/completions",
    "completions": "POST /v1/completions",
    "embeddings": "POST /v1/embeddings",
    "models": "GET /v1/models",
}
# Other APIs' ways to ask for a chat.
_FOREIGN = ("responses", "messages", "chat", "generate", "complete")


def canonical(path: str) -> str:
    """The path that is served for the one that was asked for; others come back without surplus
    slashes."""
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
    return path


def hint(path: str) -> str:
    """Where to look instead of a path that is not served; ends a sentence."""
    parts = canonical(path).lower().split("/")
    for tail in ("/".join(parts[-2:]), parts[-1]):
        if tail in _ENDPOINTS:
            return f"it is at {_ENDPOINTS[tail]}"
    if "models" in parts:
        return "it is at GET /v1/models/{id}"
    if parts[-1] in _FOREIGN:
        return "chat is at POST /v1/chat/completions, and GET / lists the endpoints"
    return "GET / lists the endpoints"
