"""What a configuration means, as a table for a terminal. Never a secret: of a key only whether there is one."""

from collections.abc import Sequence
from urllib.parse import urlsplit

from airouter.settings import BackendSettings, Settings
from airouter.types import ROUTE_OF_LABEL, ROUTES


def summary(settings: Settings) -> str:
    """The text that `check-config` prints."""
    server = settings.server
    lock = "callers need the API_KEY" if server.api_key else "callers need no key"
    workers = "1 worker" if server.workers == 1 else f"{server.workers} workers"
    head = f"The configuration is valid.\nListens on {base_url(settings)} ({lock}), {workers} with {server.threads} threads."
    return "\n\n".join((head, _backends(settings), _routes(settings), _tiers(settings)))


def base_url(settings: Settings) -> str:
    """The router's own address; for a wildcard address the loopback one, which reaches it from this machine."""
    host = connect_host(settings.server.host)
    return (
        f"http://[{host}]:{settings.server.port}"
        if ":" in host
        else f"http://{host}:{settings.server.port}"
    )


def connect_host(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)


def shown_url(url: str | None) -> str:
    """A backend's URL without what may be secret in it."""
    if not url:
        return "-"
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def state(settings: Settings, name: str) -> str:
    """`configured`, or why the backend does not exist."""
    if settings.usable(name):
        return "configured"
    return "not used: no key" if settings.backends[name].url else "not used: no url"


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows in columns; the first row is the heading."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _backends(settings: Settings) -> str:
    rows = [("BACKEND", "KIND", "URL", "MODEL", "SLOTS", "KEY", "STATE")]
    rows += [
        (name, *_backend(spec), state(settings, name)) for name, spec in settings.backends.items()
    ]
    return table(rows)


def _backend(spec: BackendSettings) -> tuple[str, str, str, str, str]:
    where = spec.kind if spec.local else f"{spec.kind} (cloud)"
    return (
        where,
        shown_url(spec.url),
        spec.model or "first listed",
        str(spec.slots),
        "yes" if spec.api_key else "no",
    )


def _routes(settings: Settings) -> str:
    rows = [("ROUTE", "FOR", "SERVED BY")]
    for route in ROUTES:
        labels = ", ".join(label for label, target in ROUTE_OF_LABEL.items() if target == route)
        # What the planner does without a cloud or a search: the primary answers.
        serving = settings.serving(route) or settings.serving("primary")
        chain = ", then ".join(serving)
        if route == "enrich":
            search = settings.enrichment.backend
            chain = (
                f"web search by {search}, answer by {chain}"
                if settings.usable(search)
                else f"{chain} (no web search)"
            )
        rows.append((route, labels, chain))
    return table(rows)


def _tiers(settings: Settings) -> str:
    cascade = settings.cascade
    ways = {
        "rules": "marks of a frontend's own prompts",
        "cache": f"what was decided before, {cascade.cache.size} asks",
        "learned": f"the model in {cascade.learned.model.name}/, where it is sure",
        "one_token": _asking(settings, cascade.one_token.backend, cascade.one_token.timeout),
        "reasoning": _asking(settings, cascade.reasoning.backend, cascade.reasoning.timeout),
    }
    return table([("TIER", "HOW"), *((name, ways.get(name, "-")) for name in cascade.tiers)])


def _asking(settings: Settings, backend: str, timeout: float) -> str:
    return (
        f"asks {backend}, at most {timeout:g} s"
        if settings.usable(backend)
        else f"left out: {backend} is not configured"
    )
