"""A request in its two phases, received and decided, and what a flow yields."""

from collections.abc import Generator
from typing import TypeAlias

from airouter.dialects.openai_request import ChatRequest
from airouter.domain.types import Decision, Features, Plan, immutable
from airouter.flow.exchange import Exchange
from airouter.flow.waits import Keepalive, Wait
from airouter.planning.demand import Demand
from airouter.proxy.sessions import Turn


@immutable
class RoutingOverrides:
    """What the client decided itself: a route, a backend (by its model's name), a chain (by its
    alias), a task, a priority."""

    route: str | None = None
    backend: str | None = None
    alias: str | None = None
    task: str | None = None
    priority: str = "interactive"

    @property
    def chosen(self) -> str | None:
        """Where the client sends the request itself."""
        return self.backend or self.alias or self.route


@immutable
class Received:
    """A request that is not decided yet. `date` is its date line, computed once; `demand` is what
    it needs of a backend; `turn` its place in its conversation."""

    exchange: Exchange
    request: ChatRequest
    features: Features
    overrides: RoutingOverrides
    date: str
    demand: Demand
    turn: Turn

    @property
    def names_backend(self) -> bool:
        """Whether the client chose the backend, by its model's name."""
        return self.overrides.backend is not None


@immutable
class Decided(Received):
    """A request with its decision and plan. `context` is the text that a web search found."""

    decision: Decision
    plan: Plan
    context: str | None = None

    @property
    def priority(self) -> str:
        """Its place in a backend's queue: a frontend's housekeeping waits behind people, a batch
        behind both."""
        wanted = self.overrides.priority
        return "meta" if self.plan.route == "meta" and wanted != "batch" else wanted


@immutable
class Head:
    """The answer to a request is committed. `body` is all of it, or None when bytes follow."""

    decided: Decided
    body: bytes | None


Flow: TypeAlias = Generator[Wait | Keepalive | Head | bytes, None, None]
