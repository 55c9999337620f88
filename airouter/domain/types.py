"""Data passed between packages. Immutable: a stage creates a new object instead of modifying
one."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, TypeVar, dataclass_transform

from airouter.domain.labels import ROUTE_OF_LABEL

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def immutable(cls: type[T]) -> type[T]:
    """A dataclass that is immutable for the type checker only. Freezing at run time would triple
    the cost of creating an instance, and each request creates a dozen."""
    return dataclass(slots=True)(cls)


Endpoint = Literal["chat", "completions", "embeddings"]


@immutable
class HttpRequest:
    """An HTTP request to a backend. `path` is appended to the backend's base URL; it never comes
    from a client."""

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@immutable
class WebSearch:
    """A web search for a backend to run: `tools` are names of its search tools, such as
    `web_search`; `max_output_tokens` limits the length of the result."""

    query: str
    model: str
    tools: tuple[str, ...]
    max_output_tokens: int


@immutable
class Limits:
    """Timeouts of a call, in seconds.

    `first_byte`: from sending the request to the first content; `idle`: each gap after that;
    `total`: the whole call.
    """

    connect: float
    first_byte: float
    idle: float
    total: float


@immutable
class Features:
    """Input of the routing decision; computed once per request.

    Lengths are in characters. `ask` is the text of the newest user turn without text inserted by an
    agent's harness and without `pasted`, the files in it. `system` is the leading system message.
    `tools` lists the client's tools. `schema`: the fields of an answer in JSON.
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
    agent: bool = False  # contains an agent's harness or system prompt
    pasted: str = ""
    schema: tuple[str, ...] = ()


@immutable
class Verdict:
    """The result of a tier: a label with a probability, or an abstention (`label is None`) with its
    reason.

    `p`: the calibrated probability of the label, 0..1; `threshold`: the minimum for a decision.
    `guess`: if the tier abstained, its most probable label, with probability `p`. `p_primary`: the
    probability of the primary route, also of a tier that abstained. `shares`: the probability of
    each of `labels.CLASSES`, in their order, of a tier that estimates them.
    """

    tier: str
    label: str | None
    p: float | None = None
    threshold: float | None = None
    ms: float = 0.0
    reason: str = ""
    raw: str = ""
    finish_reason: str = ""
    guess: str | None = None
    p_primary: float | None = None
    shares: tuple[float, ...] = ()


@immutable
class Decision:
    """The final label, the tier that decided, and the verdicts of all tiers asked."""

    label: str
    tier: str
    p: float | None
    threshold: float | None
    ms: float
    verdicts: tuple[Verdict, ...]
    forced: bool = False

    @property
    def route(self) -> str:
        """The label's route."""
        return ROUTE_OF_LABEL[self.label]


@immutable
class Plan:
    """How to execute a decision: the backends to try, in order, and the reasons. `row`: the row of
    the decision matrix that chose them; None: the route did."""

    route: str
    backends: tuple[str, ...]
    enrich: bool = False
    reasons: tuple[str, ...] = ()
    row: str | None = None


@immutable
class AttemptOutcome:
    """One try of one backend, in the history of an exchange.

    `result` is "ok", "continued" or an error's code; `then` what followed an error, if not the next
    backend: "again" or "not continued".
    """

    backend: str
    result: str
    then: str = ""

    def __str__(self) -> str:
        return f"{self.backend}: {self.result}" + (f", {self.then}" if self.then else "")


@immutable
class Step:
    """One call to a backend within an exchange. Durations are in ms; `response_content` has at most
    2,000 characters. `start_ms`: since the request's arrival. `span_id`: in its trace."""

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
    start_ms: float = 0.0
    span_id: str | None = None


@dataclass(slots=True)
class RecordFields:
    """What is recorded about an exchange, in the order of the session file.

    All `*_ms` are milliseconds. `outcome` is ok, truncated, client_error, upstream_error,
    router_error or client_gone; None while the exchange is in progress. `speculation` is None,
    "won", "cancelled" or "failed". `save`: whether a session file is written. `reason` says why it
    ended (`errors.Reason`). `requested_model` is a configured name, "none" or "other". `inputs`:
    how many texts are to be embedded. `test`: the name of the test that it belongs to. `key_id`: of
    the client's key; the key itself is nowhere. Of the backend that answered: `connect_ms` until
    its headers, `backend_ttft_ms` from the request sent to its first content, `gap_ms` and
    `longest_gap_ms` between two contents (mean, maximum), `in_flight` other requests when it was
    sent, `idle_s` since the one before if there were none. `starts_ms`: when each stage began,
    since the arrival. `trace_id`, `span_id`, `parent_span_id`: its place in a trace, in hexadecimal
    digits; `traced`: whether its spans are sent. `task`: of the decision matrix. `repaired_calls`:
    tool calls that arrived as text. `conversation`: the hash that all requests of a conversation
    have; `session_policy`: what the conversation meant for where this one went.
    """

    id: str
    timestamp: datetime
    client_ip: str
    endpoint: str = ""
    stream: bool = False
    user_query: str = ""
    client_messages: list[Any] = field(default_factory=list)
    route: str = "none"
    requested_route: str = "auto"
    label: str | None = None
    tier: str | None = None
    p: float | None = None
    verdicts: tuple[Verdict, ...] = ()
    classification_raw: str = ""
    classification_ms: float = 0.0
    enrichment_ms: float | None = None
    inference_ms: float = 0.0
    ttft_ms: float | None = None
    total_ms: float = 0.0
    steps: list[Step] = field(default_factory=list)
    usage: Mapping[str, Any] | None = None
    outcome: str | None = None
    status: int = 0
    error: str | None = None
    backend: str | None = None
    model: str | None = None
    adjusted: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list)
    speculation: str | None = None
    abort_ms: float | None = None  # from the decision to closing the connection
    wasted_tokens: int = 0
    client_gone_ms: float | None = None  # from detecting the disconnect to freeing the backend
    attempts: list[AttemptOutcome] = field(default_factory=list)
    reason: str = "client_gone"
    requested_model: str = "none"
    max_tokens: int | None = None
    inputs: int | None = None
    test: str | None = None
    key_id: str | None = None
    queue_ms: float = 0.0
    connect_ms: float | None = None
    backend_ttft_ms: float | None = None
    gap_ms: float | None = None
    longest_gap_ms: float | None = None
    in_flight: int | None = None
    idle_s: float | None = None
    starts_ms: dict[str, float] = field(default_factory=dict)
    trace_id: str | None = None
    span_id: str | None = None
    parent_span_id: str | None = None
    traced: bool = False
    task: str | None = None
    repaired_calls: int = 0
    conversation: str | None = None
    session_policy: str | None = None
    save: bool = False


@immutable
class ExchangeRecord(RecordFields):  # type: ignore[misc]  # immutable, unlike its base
    """The record of a finished exchange, read by all sinks (session file, log, metrics)."""

    outcome: str = "client_gone"
