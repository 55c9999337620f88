"""What a request under way consists of, and what a flow yields."""

from collections.abc import Generator
from dataclasses import dataclass

from airouter.dialects.openai_request import ChatRequest
from airouter.domain.types import Decision, Features, Plan, immutable
from airouter.flow.exchange import Exchange, Keepalive


@immutable
class Head:
    """The answer is committed: its status and headers; `body` is all of it, or None when bytes follow."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes | None


Flow = Generator[Keepalive | Head | bytes, None, None]


@immutable
class Wish:
    """What the client asked for besides the request itself: a forced route, a backend by its model's name, a priority."""

    route: str | None = None
    backend: str | None = None
    priority: str = "interactive"


@dataclass(slots=True)
class Work:
    """One request: what came in, then what was decided. `date` is the request's date line, computed once."""

    exchange: Exchange
    request: ChatRequest
    features: Features
    wish: Wish
    date: str
    context: str | None = None  # from a web search
    decision: Decision | None = None
    plan: Plan | None = None

    @property
    def priority(self) -> str:
        """Its place in a backend's queue: a frontend's housekeeping waits behind people, a batch behind both."""
        meta = self.plan is not None and self.plan.route == "meta"
        return "meta" if meta and self.wish.priority != "batch" else self.wish.priority
