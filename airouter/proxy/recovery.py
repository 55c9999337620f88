"""Finds a backend that continues a stream that broke off, and has it continue."""

from collections.abc import Mapping

from airouter.dialects.openai_compose import Outgoing
from airouter.domain.errors import Busy, NoBackend, RouterError, UpstreamError
from airouter.domain.types import AttemptOutcome
from airouter.flow.waits import Waiting
from airouter.proxy import continuation
from airouter.proxy.attempt import Attempt
from airouter.proxy.request_state import Decided
from airouter.proxy.retry_policy import first_byte_limit, in_order
from airouter.resilience.failure import failure_of
from airouter.settings.schema import Settings
from airouter.upstream.backend import Backend
from airouter.upstream.client import Lease

_COUNT_LIMIT = 1.0  # seconds for asking how many tokens a text has


class Recovery:
    """Of one stream; remembers what the client has been sent.

    Args:
        first: the attempt that began the stream.
    """

    def __init__(
        self,
        decided: Decided,
        first: Attempt,
        settings: Settings,
        backends: Mapping[str, Backend],
    ) -> None:
        self._decided = decided
        self._first: Outgoing = first.outgoing
        self._id = first.state.id  # of the stream, which its continuations take over
        self._settings = settings
        self._backends = backends
        self._sent: list[str] = []
        self._events = 0

    def possible(self, broken: Attempt) -> bool:
        """Whether the stream may be continued elsewhere, as far as is known without asking."""
        text = "".join(self._sent) + broken.state.text
        return (
            len(self._sent) < continuation.MOST
            and continuation.can_continue(self._decided.request, broken.state, text)
            and any(map(_can_continue, [broken.backend, *self._others(broken)]))
        )

    def successor(self, broken: Attempt, error: RouterError) -> Waiting[Attempt | None]:
        """The attempt that continues where `broken` ended, ready to be relayed; None when that is
        not sound or not possible."""
        kind = failure_of(error)
        if kind is not None:
            broken.backend.breaker.fail(kind)
        self._sent.append(broken.state.text)
        self._events += broken.state.events
        text, request = "".join(self._sent), self._decided.request
        most = len(self._sent) > continuation.MOST
        if most or not continuation.can_continue(request, broken.state, text):
            return None
        successor = yield from self._ask_others(broken, error, text)
        record = self._decided.exchange.record
        if successor is None:
            record.notes.append(f"cut after {len(text)} characters, not continued")
        else:
            name = successor.backend.name
            record.attempts.append(AttemptOutcome(name, "continued"))
            record.notes.append(f"cut after {len(text)} characters, continued by {name}")
        return successor

    def _others(self, broken: Attempt) -> list[Backend]:
        """The plan's other backends."""
        names = self._decided.plan.backends
        return [self._backends[name] for name in names if name != broken.backend.name]

    def _ask_others(
        self, broken: Attempt, error: RouterError, text: str
    ) -> Waiting[Attempt | None]:
        candidates = self._others(broken)
        if continuation.same_backend_first(error):
            candidates = [broken.backend, *candidates]
        candidates = [backend for backend in in_order(candidates) if _can_continue(backend)]
        while candidates:
            backend = candidates.pop(0)
            lease = Lease(self._decided.exchange, backend)
            try:
                lease.permit(last_resort=True)
                return (yield from self._continued(lease, text, candidates))
            except UpstreamError as failure:
                self._decided.exchange.record.attempts.append(
                    AttemptOutcome(backend.name, failure.code, "not continued")
                )
                lease.failed(failure)
            except (Busy, NoBackend):
                pass
            lease.close()
        return None

    def _continued(self, lease: Lease, text: str, others: list[Backend]) -> Waiting[Attempt]:
        """An attempt that is ready and good.

        Raises:
            RouterError: the backend cannot be asked, or did not continue.
        """
        exchange, backend = self._decided.exchange, lease.backend
        yield from lease.enter(self._decided.priority, self._settings.queue.wait)
        left = yield from self._tokens_left(lease, text)
        prefill = backend.continues == "prefill"
        attempt = Attempt(
            exchange,
            lease,
            continuation.continued(self._first, text, lease.model, left, prefill=prefill),
            self._decided.request,
            rewrite=continuation.rewriter(self._id, text),
        )
        chars = self._decided.features.total_chars + len(text)
        attempt.call.shorten_first_byte(first_byte_limit(backend, others, chars))
        while not attempt.ready:
            yield from exchange.wait()
        problem = attempt.problem()
        if problem is not None:
            attempt.record_step(problem.message)
            attempt.close()
            raise problem
        lease.succeeded(whole=False)
        return attempt

    def _tokens_left(self, lease: Lease, text: str) -> Waiting[int | None]:
        """What the client's limit leaves for the rest of the answer; None: there is no limit."""
        backend, limit = lease.backend, continuation.asked_max_tokens(self._first)
        if limit is None:
            return None
        if backend.continues == "prefill":
            used: int | None = continuation.estimated_tokens(text, self._events)
        else:
            request = continuation.count_request(backend, lease.model, text)
            status, body = yield from lease.fetch(request, _COUNT_LIMIT)
            used = continuation.read_count(body) if status == 200 else None
        if used is None or used >= limit:
            raise NoBackend(
                f"The backend {backend.name!r} does not report how many tokens are left for the "
                "answer."
            )
        return limit - used


def _can_continue(backend: Backend) -> bool:
    return backend.continues is not None and not backend.out and not backend.pause.reason
