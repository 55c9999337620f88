"""Protocols of the parts that `app.py` injects.

Limiter, breaker and retry budget are per process. An implementation that several replicas share
requires no change of their callers, which already wait for a ticket until it has a slot.
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
    """Permission for one call. Its first `answered`, `failed` or `forgotten` counts; later ones do
    nothing."""

    def answered(self, *, whole: bool = True) -> None:
        """The backend works: it returned an answer, or an error that is the request's own fault.

        Args:
            whole: False if a stream has only started; `Breaker.succeed()` follows at its end.
        """
        ...

    def failed(self, kind: Failure) -> None:
        """The call failed: `connect`: nothing listens; `silent`: no byte arrived in time; `other`:
        a 5xx status, or a broken or invalid answer."""
        ...

    def forgotten(self) -> None:
        """The call says nothing about the backend: the client or the caller cancelled it."""
        ...


class Breaker(Protocol):
    """The circuit breaker of a backend; see `resilience/breaker.py`."""

    opened: int  # how often it has opened
    cooled: int  # how often it has begun to cool
    recovered_at: float | None  # when it last closed, in seconds of the clock; None: never

    @property
    def state(self) -> BreakerState:
        """The current state."""
        ...

    @property
    def available(self) -> bool:
        """Whether `allow()` would return a permit."""
        ...

    @property
    def cause(self) -> Failure | None:
        """The failure that caused the current state."""
        ...

    @property
    def fails(self) -> int:
        """Consecutive failures."""
        ...

    @property
    def recent_failures(self) -> float:
        """Failures of late, consecutive or not; each counts for less as time goes by."""
        ...

    @property
    def unreached_for(self) -> float | None:
        """Seconds since a connection first failed; None if the backend is not known to be down."""
        ...

    def retry_after(self) -> int:
        """Whole seconds until it is half-open, rounded up; at least 1."""
        ...

    def allow(self, *, last_resort: bool = False) -> Permit | None:
        """A permit, or None if the backend must not be called.

        Args:
            last_resort: whether no other backend is left; a cooling one may then be called.
        """
        ...

    def succeed(self) -> None:
        """A stream that was reported by `answered(whole=False)` is complete."""
        ...

    def fail(self, kind: Failure) -> None:
        """An answer broke off after its permit had been used."""
        ...

    def probe_passed(self) -> None:
        """A health check passed, which ends the state if a refused connection caused it."""
        ...

    def probe_refused(self) -> None:
        """A health check's connection was refused: other backends are preferred."""
        ...


class Slot(Protocol):
    """Permission to use a backend."""

    def release(self) -> None:
        """Give the slot back. Idempotent."""
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
        """Take the granted slot, which the caller then owns."""
        ...

    def leave(self) -> None:
        """Leave the queue and release a slot that was granted but not fetched. Idempotent."""
        ...


class Limiter(Protocol):
    """The limit of a backend's concurrent requests, and the queue in front of it."""

    slots: int
    queue: int

    @property
    def in_use(self) -> int:
        """Slots in use."""
        ...

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        ...

    @property
    def full(self) -> bool:
        """Whether a new request would have to wait."""
        ...

    def try_acquire(self) -> Slot | None:
        """A slot if one is known to be free and no request is waiting for it; otherwise None."""
        ...

    def queue_up(self, priority: str) -> Ticket:
        """Join the queue.

        Raises:
            Busy: the queue is full.
        """
        ...

    def busy(self, why: str) -> Busy:
        """The error for a request that is not admitted, with the expected wait as Retry-After."""
        ...


class RetryBudget(Protocol):
    """Limits retries to a share of the requests."""

    def deposit(self) -> None:
        """Count a request."""
        ...

    def withdraw(self) -> bool:
        """Take one retry from the budget; returns False if it is used up."""
        ...


class Resilience(Protocol):
    """Builds the parts that replicas may share; see `resilience/per_process.py`."""

    def limiter(self, backend: str, slots: int, queue: int) -> Limiter: ...

    def shared(
        self, members: Mapping[str, int], slots: int, queue: int, *, exclusive: bool
    ) -> Mapping[str, Limiter]:
        """The limiters of backends that share `slots`, by their names; see `resilience/shares.py`.

        Args:
            members: each backend's own slots.
        """
        ...

    def breaker(
        self, backend: str, *, threshold: int, reset: float, allowed_fails: int, cooldown: float
    ) -> Breaker: ...

    def retry_budget(self) -> RetryBudget: ...
