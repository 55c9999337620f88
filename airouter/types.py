"""The data that passes between the rooms. Frozen; a stage adds by making a new object, never by editing one."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def immutable(cls: type[T]) -> type[T]:
    """A dataclass that the type checker lets nobody change. Freezing it at run time as well would triple the cost of
    making one, and a request makes a dozen."""
    return dataclass(slots=True)(cls)


Endpoint = Literal["chat", "completions", "embeddings"]

ROUTES = ("primary", "xai", "enrich", "meta")
ROUTE_OF_LABEL: Mapping[str, str] = {
    "SIMPLE": "primary",
    "MODERATE": "primary",
    "PRIMARY": "primary",
    "COMPLEX": "xai",
    "ENRICH": "enrich",
    "META": "meta",
}


@immutable
class HttpRequest:
    """One HTTP request to a backend: `path` is appended to the backend's base URL, never a client's path."""

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@immutable
class Limits:
    """How long one call may take, in seconds.

    `first_byte` runs from the request sent to the first content; `idle` bounds each gap after that; `total` bounds all.
    """

    connect: float
    first_byte: float
    idle: float
    total: float


@immutable
class Features:
    """What deciding looks at; computed once per request.

    Lengths are in characters. `ask` is the newest user turn's text without what an agent's harness
    adds to it. `system` is the leading system text. `tools` names what the client can call.
    """

    ask: str
    previous: tuple[tuple[str, str], ...]  # (role, text) of the turns before the ask, oldest first
    system: str
    last_role: str
    last_text: str
    n_messages: int
    n_user: int
    total_chars: int
    has_tools: bool
    has_images: bool
    task: str | None  # metadata.task, as Open WebUI states it
    tools: tuple[str, ...] = ()  # "name" or "name: description" of each, lower case
    agent: bool = False  # an agent's harness or system text is in it


@immutable
class Verdict:
    """What one tier says: a label with a probability, or an abstention (`label is None`) with its reason.

    `p` is the calibrated probability of the label in 0..1; `threshold` what the tier needed to be allowed to decide.
    """

    tier: str
    label: str | None
    p: float | None = None
    threshold: float | None = None
    ms: float = 0.0
    reason: str = ""
    raw: str = ""
    finish_reason: str = ""
    guess: str | None = (
        None  # of a tier that abstained: the label it leaned to, with probability `p`
    )
    p_primary: float | None = (
        None  # probability that the primary route is right, also of a tier that abstained
    )


@immutable
class Decision:
    """The label that stands, which tier gave it, and what every tier said on the way (`verdicts`)."""

    label: str
    tier: str
    p: float | None
    threshold: float | None
    ms: float
    verdicts: tuple[Verdict, ...]
    forced: bool = False

    @property
    def route(self) -> str:
        return ROUTE_OF_LABEL[self.label]


@immutable
class Plan:
    """A decision turned into what to do: the backends to try in order, and why."""

    route: str
    label: str
    backends: tuple[str, ...]
    enrich: bool = False
    reasons: tuple[str, ...] = ()


@immutable
class Step:
    """One call to a backend within an exchange. Durations in ms; `response_content` at most 2,000 characters."""

    step: str
    provider: str
    url: str
    model: str
    messages_sent: list[Any]
    params: Mapping[str, Any]
    duration_ms: float
    status: int | None
    finish_reason: str | None = None
    response_content: str = ""
    error: str | None = None


@immutable
class ExchangeRecord:
    """Everything worth keeping about one finished exchange; what every sink (session file, log, metrics) reads.

    All `*_ms` are milliseconds. `outcome` is one of ok, truncated, client_error, upstream_error, router_error,
    client_gone. `speculation` is None, "won", "cancelled" or "failed".
    """

    id: str
    timestamp: datetime
    client_ip: str
    endpoint: str
    stream: bool
    user_query: str
    client_messages: list[Any]
    route: str
    requested_route: str
    label: str | None
    tier: str | None
    p: float | None
    verdicts: tuple[Verdict, ...]
    classification_raw: str
    classification_ms: float
    enrichment_ms: float | None
    inference_ms: float
    ttft_ms: float | None
    total_ms: float
    steps: tuple[Step, ...]
    usage: Mapping[str, Any] | None
    outcome: str
    status: int
    error: str | None
    backend: str | None
    model: str | None
    adjusted: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    speculation: str | None = None
    abort_ms: float | None = None  # decision -> socket shut
    wasted_tokens: int = 0
    client_gone_ms: float | None = None  # client's close noticed -> backend's socket shut
    attempts: tuple[str, ...] = ()
    save: bool = True
