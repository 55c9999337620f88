"""Protocols of the parts that `app.py` injects.

Limiter, breaker and retry budget are per process; an implementation that several replicas share
need not change their callers. Acquiring a slot may take time: a flow waits for the ticket.
"""

import socket
from collections.abc import Mapping
from typing import Any, Literal, Protocol

from airouter.domain.dialect import BackendDialect
from airouter.domain.errors import Busy
from airouter.domain.types import ExchangeRecord, HttpRequest, WebSearch


class Sink(Protocol):
    """Receives the record of every finished exchange. Must not block and must not raise."""

    def emit(self, record: ExchangeRecord) -> None:
        """Take over the record; called once per exchange, in the thread of the request."""
        ...


class Provider(Protocol):
    """A kind of backend: how requests are built and answers are parsed. Stateless; see
    `providers.py`."""

    kind: str
    health_path: str | None  # None: probe /v1/models
    continues: bool  # can continue a cut answer (continue_final_message)
    constrains: bool  # supports constrained decoding with log-probabilities
    adds_usage: bool  # supports stream_options.include_usage
    dialect: BackendDialect
    searches: bool  # can search the web

    def headers(self, api_key: str | None) -> dict[str, str]:
        """The headers of every request to the backend."""
        ...

    def post(self, path: str, body: dict[str, Any], headers: Mapping[str, str]) -> HttpRequest:
        """A POST request with a JSON body; `path` is relative to the backend's base URL."""
        ...

    def search(self, search: WebSearch, headers: Mapping[str, str]) -> HttpRequest:
        """The request that runs a web search.

        Raises:
            ConfigError: this kind of backend cannot search the web.
        """
        ...

    def search_text(self, payload: Any) -> str:
        """The text in the JSON of a search's response; "" if there is none."""
        ...


BreakerState = Literal["closed", "cooling", "open", "half_open"]
Failure = Literal["connect", "silent", "other"]


class Permit(Protocol):
    """The right to send one request. Settled once: the first call wins."""

    def answered(self, *, whole: bool = True) -> None:
        """The backend answered. `whole=False`: a stream has begun; `Breaker.succeed()` follows
        when it is complete."""
        ...

    def failed(self, kind: Failure) -> None:
        """connect: it cannot be reached; silent: no byte in time; other: 5xx, or an answer that
        broke or cannot be read."""
        ...

    def forgotten(self) -> None:
        """Nothing was learnt: the client left, or the caller gave up."""
        ...


class Breaker(Protocol):
    """Whether a backend may be asked, from how its last requests went."""

    opened: int  # how often

    @property
    def state(self) -> BreakerState: ...

    @property
    def available(self) -> bool:
        """Whether `allow()` would give a permit."""
        ...

    @property
    def cause(self) -> Failure | None: ...

    @property
    def fails(self) -> int:
        """Failures in a row."""
        ...

    @property
    def unreached_for(self) -> float | None:
        """Seconds since a connection first failed; None while it is not known to be down."""
        ...

    def retry_after(self) -> int:
        """Whole seconds, at least 1, until it may be asked again."""
        ...

    def allow(self, *, last_resort: bool = False) -> Permit | None: ...

    def succeed(self) -> None:
        """A stream that had begun is complete."""
        ...

    def fail(self, kind: Failure) -> None:
        """A stream that had begun broke off."""
        ...

    def probe_passed(self) -> None: ...

    def probe_refused(self) -> None: ...


class Slot(Protocol):
    """The right to use a backend."""

    def release(self) -> None:
        """Idempotent."""
        ...


class Ticket(Protocol):
    """A place in a backend's queue."""

    @property
    def slot(self) -> Slot | None:
        """Set once it is granted."""
        ...

    @property
    def wake(self) -> socket.socket:
        """Becomes readable when `slot` is set."""
        ...

    def fetch(self) -> Slot:
        """Take the granted slot; the caller owns it from here."""
        ...

    def leave(self) -> None:
        """Give the place up, and a slot that was granted but not fetched. Idempotent."""
        ...


class Limiter(Protocol):
    """How many requests a backend works on at once, and the queue for it."""

    slots: int
    queue: int

    @property
    def in_use(self) -> int: ...

    @property
    def waiting(self) -> int: ...

    @property
    def full(self) -> bool:
        """Whether a new request would have to wait."""
        ...

    def try_acquire(self) -> Slot | None:
        """A slot, if one is free now and known to be."""
        ...

    def queue_up(self, priority: str) -> Ticket:
        """Join the queue.

        Raises:
            Busy: it is full.
        """
        ...

    def busy(self, why: str) -> Busy:
        """The error for a request that is not admitted."""
        ...


class RetryBudget(Protocol):
    """Bounds retries by the number of requests."""

    def deposit(self) -> None:
        """A request has come."""
        ...

    def withdraw(self) -> bool:
        """Whether a retry may be made."""
        ...


class Resilience(Protocol):
    """Makes what replicas may share; see `resilience/per_process.py`."""

    def limiter(self, backend: str, slots: int, queue: int) -> Limiter: ...

    def breaker(
        self, backend: str, *, threshold: int, reset: float, allowed_fails: int, cooldown: float
    ) -> Breaker: ...

    def retry_budget(self) -> RetryBudget: ...
