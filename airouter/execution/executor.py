"""Carries a request out: decide (with the primary's answer already under way), plan, search if need be, answer, relay.

A flow is a generator. It yields `KEEPALIVE` while a streaming client should hear something, one `Head` when the answer
is committed, and then the answer's bytes. Errors before the head are raised; after it they are the stream's last event.
"""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field

from airouter.clock import Clock, ms
from airouter.errors import BadRequest, NoBackend, NotFound, RouterError
from airouter.exchange.admission import admit
from airouter.exchange.exchange import Exchange, Keepalive
from airouter.exchange.fetch import fetch_model
from airouter.execution.attempt import Attempt, is_final
from airouter.execution.compose import Outgoing, compose
from airouter.execution.enrichment import enrich
from airouter.execution.relay import relay
from airouter.execution.speculation import Speculation, free_slot, speculate
from airouter.prompts import date_line
from airouter.request import ChatRequest
from airouter.routing.cascade import Cascade, Deliberation
from airouter.routing.features import features_of
from airouter.routing.memory import ConversationMemory
from airouter.routing.plan import Planner
from airouter.settings import Settings
from airouter.telemetry.logs import AppLog
from airouter.types import Decision, Features, Plan, Verdict
from airouter.upstream.backend import Backend

LABEL_OF_ROUTE = {"primary": "MODERATE", "xai": "COMPLEX", "enrich": "ENRICH", "meta": "META"}


@dataclass(frozen=True, slots=True)
class Head:
    """The answer is committed: its status and headers; `body` is all of it, or None when bytes follow."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes | None


Flow = Generator[Keepalive | Head | bytes, None, None]


@dataclass(frozen=True, slots=True)
class Wish:
    """What the client asked for besides the request itself: a forced route, a backend by its model's name, a priority."""

    route: str | None = None
    backend: str | None = None
    priority: str = "interactive"


@dataclass(slots=True)
class _Work:
    """One request under way."""

    exchange: Exchange
    request: ChatRequest
    features: Features
    wish: Wish
    date: str
    context: str | None = None
    tried: list[str] = field(default_factory=list)


class Executor:
    """Stateless but for the conversation memory; one per configuration."""

    def __init__(
        self,
        settings: Settings,
        backends: Mapping[str, Backend],
        cascade: Cascade,
        prompts: Mapping[str, str],
        memory: ConversationMemory,
        log: AppLog,
        clock: Clock,
    ) -> None:
        self.settings = settings
        self.backends = backends
        self.cascade = cascade
        self.planner = Planner(settings)
        self._prompts = prompts
        self._memory = memory
        self._log = log
        self._clock = clock

    # The flows ------------------------------------------------------------------------------------------------------

    def chat(self, exchange: Exchange, request: ChatRequest, wish: Wish) -> Flow:
        """`/v1/chat/completions`."""
        features = features_of(request)
        work = _Work(exchange, request, features, wish, date_line(self._clock.now()))
        self._note_request(work)
        settled = self._settled(work)
        speculation: Speculation | None = None
        if settled is None:
            deliberation = self.cascade.deliberate(features)
            if deliberation.decision is None:
                speculation = self._speculate(work)
            decision = deliberation.decision or (yield from self._deliberate(work, deliberation))
            plan = self.planner.plan(decision, needs=lambda name: self._can_serve(name, features))
        else:
            decision, plan = settled
        decided_at = self._clock.monotonic()
        self._note_decision(work, decision, plan)
        started: Attempt | None = None
        if speculation is not None:
            if not plan.enrich and plan.backends[0] == speculation.attempt.backend.name:
                started = speculation.adopt()
            else:
                speculation.cancel(decided_at)
                self._log.info("Cancelled speculative primary (route=%s)", plan.route)
        if plan.enrich:
            yield from self._enrich(work)
        yield from self._answer(work, plan, decision, started)

    def plain(self, exchange: Exchange, request: ChatRequest, wish: Wish, backends: Sequence[str]) -> Flow:
        """`/v1/completions` and `/v1/embeddings`: never classified."""
        work = _Work(exchange, request, features_of(request), wish, date_line(self._clock.now()))
        self._note_request(work)
        plan = Plan("primary", "MODERATE", tuple(backends), False, ("not a chat request: not classified",))
        decision = Decision("MODERATE", "explicit", None, None, 0.0, (), forced=True)
        self._note_decision(work, decision, plan)
        yield from self._answer(work, plan, decision, None)

    # Deciding -------------------------------------------------------------------------------------------------------

    def explain(self, exchange: Exchange, request: ChatRequest, wish: Wish) -> Generator[Keepalive, None, tuple[Decision, Plan, Features]]:
        """Decide and plan, and do nothing."""
        features = features_of(request)
        work = _Work(exchange, request, features, wish, date_line(self._clock.now()))
        settled = self._settled(work)
        if settled is not None:
            return (*settled, features)
        deliberation = self.cascade.deliberate(features)
        decision = deliberation.decision or (yield from deliberation.run(exchange))
        return decision, self.planner.plan(decision, needs=lambda name: self._can_serve(name, features)), features

    def _settled(self, work: _Work) -> tuple[Decision, Plan] | None:
        """What needs no deciding: a backend's own model, a forced route, a tool conversation that began somewhere."""
        wish, request = work.wish, work.request
        if wish.backend is not None:
            plan = self.planner.for_backend(wish.backend, self._route_of(wish.backend))
            return Decision(LABEL_OF_ROUTE[plan.route], "explicit", None, None, 0.0, (), forced=True), plan
        if wish.route is not None:
            decision = Decision(LABEL_OF_ROUTE[wish.route], "explicit", None, None, 0.0, (), forced=True)
            return decision, self.planner.plan(decision, needs=lambda name: self._can_serve(name, work.features))
        if work.features.last_role in ("tool", "function"):
            recalled = self._memory.recall(request.messages)
            if recalled is not None and recalled[1] in self.backends:
                route, backend = recalled
                reason = "a tool conversation stays where it began"
                others = tuple(name for name in self.settings.serving(route) if name != backend)
                plan = Plan(route, LABEL_OF_ROUTE[route], (backend, *others), False, (reason,))
            else:
                plan = Plan("primary", "MODERATE", self.settings.serving("primary"), False, ("a tool result is not classified",))
            verdict = Verdict("conversation", plan.label, reason=plan.reasons[0])
            return Decision(plan.label, "conversation", None, None, 0.0, (verdict,), forced=True), plan
        return None

    def _deliberate(self, work: _Work, deliberation: Deliberation) -> Generator[Keepalive, None, Decision]:
        decision = yield from deliberation.run(work.exchange)
        asked = next((v for v in reversed(decision.verdicts) if v.finish_reason), None)
        if asked is not None:
            self._log.info(
                "Classification completed: %s -> %s in %dms (finish_reason=%s)",
                asked.label or "UNCLEAR",
                decision.route,
                ms(asked.ms / 1000),
                asked.finish_reason,
            )
        return decision

    def _route_of(self, backend: str) -> str:
        return next((route for route in ("primary", "xai") if backend in self.settings.serving(route)), "primary")

    def _can_serve(self, name: str, features: Features) -> bool:
        return not (features.has_images and self.backends[name].settings.vision is False)

    # Answering ------------------------------------------------------------------------------------------------------

    def _speculate(self, work: _Work) -> Speculation | None:
        backend = self.backends[self.settings.serving("primary")[0]]
        if not self._can_serve(backend.name, work.features):
            return None
        slot = free_slot(self.settings.speculation, backend)
        if slot is None:
            return None
        outgoing = self._compose(work, backend, backend.model or "", "primary")
        return speculate(work.exchange, backend, slot, outgoing, stream=work.request.stream, settings=self.settings.speculation)

    def _enrich(self, work: _Work) -> Generator[Keepalive, None, None]:
        settings = self.settings.enrichment
        work.context = yield from enrich(work.exchange, self.backends[settings.backend], settings, work.features, work.date, self._prompts)
        if work.context is not None:
            self._log.info(
                "Enrichment context retrieved: %d chars in %dms", len(work.context), round(work.exchange.record.enrichment_ms or 0)
            )

    def _answer(self, work: _Work, plan: Plan, decision: Decision, started: Attempt | None) -> Flow:
        """Try the plan's backends in order until one commits."""
        last: RouterError | None = None
        for name in plan.backends:
            backend = self.backends[name]
            try:
                attempt = started if started is not None else (yield from self._attempt(work, backend, plan))
                started = None
                while not attempt.ready:
                    yield from work.exchange.pause()
                problem = attempt.problem()
            except BadRequest:
                raise
            except RouterError as error:
                if is_final(error):
                    raise
                work.exchange.record.attempts.append(f"{name}: {error.code}")
                last = error
                continue
            work.exchange.record.attempts.append(f"{name}: {problem.code if problem else 'ok'}")
            if problem is None:
                yield from self._commit(work, plan, decision, attempt)
                return
            attempt.record_step(problem.message)
            attempt.close()
            if is_final(problem):
                raise problem
            last = problem
        raise last or NoBackend("No backend could take the request.")

    def _attempt(self, work: _Work, backend: Backend, plan: Plan) -> Generator[Keepalive, None, Attempt]:
        exchange = work.exchange
        slot = yield from admit(exchange, backend, "meta" if plan.route == "meta" else work.wish.priority, self.settings.queue.wait)
        try:
            model = yield from fetch_model(exchange, backend)
        except RouterError:
            slot.release()
            raise
        outgoing = self._compose(work, backend, model, plan.route)
        return Attempt(exchange, backend, slot, outgoing, work.request.endpoint, stream=work.request.stream, buffer=0)

    def _compose(self, work: _Work, backend: Backend, model: str, route: str) -> Outgoing:
        return compose(
            work.request,
            backend.settings,
            model,
            prompts=self._prompts,
            date=work.date,
            context=work.context,
            meta_max_chars=self.settings.cascade.meta_max_chars if route == "meta" else None,
            usage=backend.provider.adds_usage,
        )

    def _commit(self, work: _Work, plan: Plan, decision: Decision, attempt: Attempt) -> Flow:
        exchange, record, name = work.exchange, work.exchange.record, attempt.backend.name
        record.backend, record.model = name, attempt.model
        record.adjusted = attempt.outgoing.adjusted
        record.ttft_ms = (self._clock.monotonic() - exchange.started) * 1000
        if work.request.has_tools and work.request.endpoint == "chat":
            self._memory.remember(work.request.messages, plan.route, name)
        suffix = " speculative=true" if attempt.speculative else ""
        headers = self._headers(work, plan, decision, attempt)
        if work.request.stream:
            self._log.info(
                "Provider response: %s status=%d connect_ms=%d ttft_ms=%d stream=true%s",
                name,
                attempt.call.status,
                attempt.connect_ms,
                round(attempt.ttft_ms),
                suffix,
            )
            yield Head(200, headers, None)
            yield from relay(exchange, attempt)
            return
        record.inference_ms, record.usage = attempt.inference_ms, attempt.usage
        attempt.record_step()
        self._log.info(
            "Provider response: %s status=%d duration_ms=%d finish_reason=%s stream=false%s",
            name,
            attempt.call.status,
            round(attempt.inference_ms),
            attempt.finish_reason,
            suffix,
        )
        body = attempt.body
        attempt.close()
        exchange.settle("ok", 200)
        yield Head(200, headers, body)

    # Noting ---------------------------------------------------------------------------------------------------------

    def _note_request(self, work: _Work) -> None:
        request, record = work.request, work.exchange.record
        record.asked(request.endpoint, request.stream, work.features, request.messages)
        record.requested_route = work.wish.backend or work.wish.route or "auto"
        self._log.info(
            "Incoming request: messages=%d total_chars=%d stream=%s", work.features.n_messages, work.features.total_chars, request.stream
        )

    def _note_decision(self, work: _Work, decision: Decision, plan: Plan) -> None:
        work.exchange.record.decided(decision)
        work.exchange.record.planned(plan)

    def _headers(self, work: _Work, plan: Plan, decision: Decision, attempt: Attempt) -> list[tuple[str, str]]:
        record = work.exchange.record
        headers = [
            ("Content-Type", "text/event-stream; charset=utf-8" if work.request.stream else "application/json"),
            ("X-Router-Session", work.exchange.id8),
            ("X-Router-Route", plan.route),
            ("X-Router-Label", decision.label),
            ("X-Router-Tier", decision.tier),
            ("X-Router-Decision-Ms", f"{record.classification_ms:.3f}"),
            ("X-Router-Backend", attempt.backend.name),
            ("X-Router-Speculative", record.speculation or "none"),
        ]
        if decision.p is not None:
            headers.append(("X-Router-P", f"{decision.p:.3f}"))
        if record.adjusted:
            headers.append(("X-Router-Adjusted", "; ".join(record.adjusted)))
        if record.notes:
            headers.append(("X-Router-Note", "; ".join(record.notes)))
        if work.request.stream:
            headers += [("Cache-Control", "no-cache"), ("X-Accel-Buffering", "no")]
        return [(name, _printable(value)) for name, value in headers]


def find_backend(backends: Mapping[str, Backend], model: str) -> str:
    """The backend that serves a model name.

    Raises:
        NotFound: none does.
    """
    for name, backend in backends.items():
        if backend.model == model:
            return name
    raise NotFound(
        f"The model {model[:80]!r} does not exist here; GET /v1/models lists those that do.", param="model", code="model_not_found"
    )


def _printable(value: str) -> str:
    """A header value: one line of ASCII."""
    return "".join(c if " " <= c <= "~" else "?" for c in value)[:500]
