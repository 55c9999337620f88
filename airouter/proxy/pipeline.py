"""Carries a request out: decide (with the primary's answer already under way), plan, search if need be, answer, relay.

A flow is a generator. It yields `KEEPALIVE` while a streaming client should hear something, one `Head` when the answer
is committed, and then the answer's bytes. Errors before the head are raised; after it they are the stream's last event.
"""

from collections.abc import Generator, Mapping
from dataclasses import replace

from airouter.classify.cascade import Cascade
from airouter.classify.features import features_of
from airouter.dialects.openai_request import ChatRequest
from airouter.domain.clock import Clock
from airouter.domain.errors import NotFound
from airouter.domain.labels import DEFAULT_LABEL, LABEL_OF_ROUTE
from airouter.domain.types import Decision, Features, Plan, Verdict
from airouter.flow.exchange import Exchange, Keepalive
from airouter.planning import Planner
from airouter.proxy.attempt import Attempt
from airouter.proxy.enrichment import enrich
from airouter.proxy.failover import Answerer
from airouter.proxy.request_state import Flow, Wish, Work
from airouter.proxy.speculation import Speculation, admission_for, speculate
from airouter.proxy.tool_memory import ConversationMemory
from airouter.settings.prompts import date_line
from airouter.settings.schema import Settings
from airouter.telemetry.logs import Log
from airouter.upstream.backend import Backend
from airouter.upstream.egress import EgressRefused

_CHARS_PER_TOKEN = 3.5  # of English prose with today's tokenizers, on the safe side; only for choosing a long enough window


class Executor:
    """Stateless but for the conversation memory; one per configuration."""

    def __init__(
        self,
        settings: Settings,
        backends: Mapping[str, Backend],
        cascade: Cascade,
        prompts: Mapping[str, str],
        memory: ConversationMemory,
        log: Log,
        clock: Clock,
    ) -> None:
        self.settings = settings
        self.backends = backends
        self.cascade = cascade
        self.planner = Planner(settings)
        self._prompts = prompts
        self._memory = memory
        self._answerer = Answerer(settings, backends, prompts, memory, log, clock)
        self._log = log
        self._clock = clock

    # The flows ------------------------------------------------------------------------------------------------------

    def chat(self, exchange: Exchange, request: ChatRequest, wish: Wish) -> Flow:
        """`/v1/chat/completions`."""
        features = features_of(request)
        work = Work(exchange, request, features, wish, date_line(exchange.record.timestamp))
        self._note_request(work)
        settled = self._settled(work)
        speculation: Speculation | None = None
        if settled is None:
            deliberation = self.cascade.deliberate(features)
            if deliberation.decision is None:
                speculation = self._speculate(work, deliberation.p_primary)
            exchange.record.enter("classification_ms", self._clock.monotonic())
            finished = speculation.finished if speculation is not None else None
            decision = deliberation.decision or (yield from deliberation.run(exchange, finished))
            self._log_decision(decision)
            plan = self._plan(decision, features)
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
        yield from self._answerer.answer(work, started)

    def plain(self, exchange: Exchange, request: ChatRequest, wish: Wish) -> Flow:
        """`/v1/completions` and `/v1/embeddings`: never classified, nothing to search for."""
        work = Work(
            exchange, request, features_of(request), wish, date_line(exchange.record.timestamp)
        )
        self._note_request(work)
        settled = self._settled(work)
        if settled is None:
            decision = Decision(DEFAULT_LABEL, "explicit", None, None, 0.0, (), forced=True)
            settled = decision, self.planner.plan(decision)
        decision, plan = settled
        self._note_decision(work, decision, replace(plan, enrich=False))
        yield from self._answerer.answer(work, None)

    # Deciding -------------------------------------------------------------------------------------------------------

    def explain(
        self, exchange: Exchange, request: ChatRequest, wish: Wish
    ) -> Generator[Keepalive, None, tuple[Decision, Plan, Features]]:
        """Decide and plan, and do nothing."""
        features = features_of(request)
        work = Work(exchange, request, features, wish, date_line(exchange.record.timestamp))
        settled = self._settled(work)
        if settled is not None:
            return (*settled, features)
        deliberation = self.cascade.deliberate(features)
        decision = deliberation.decision or (yield from deliberation.run(exchange))
        return decision, self._plan(decision, features), features

    def _settled(self, work: Work) -> tuple[Decision, Plan] | None:
        """What needs no deciding: a backend's own model, a forced route, a tool conversation that began somewhere."""
        wish, request = work.wish, work.request
        if wish.backend is not None:
            plan = self.planner.for_backend(wish.backend, self._route_of(wish.backend))
            return Decision(
                LABEL_OF_ROUTE[plan.route], "explicit", None, None, 0.0, (), forced=True
            ), plan
        if wish.route is not None:
            decision = Decision(
                LABEL_OF_ROUTE[wish.route], "explicit", None, None, 0.0, (), forced=True
            )
            return decision, self._plan(decision, work.features)
        if work.features.last_role in ("tool", "function"):
            recalled = self._memory.recall(request.messages)
            if recalled is not None and recalled[1] in self.backends:
                route, backend = recalled
                reason = "a tool conversation stays where it began"
                others = tuple(name for name in self.settings.serving(route) if name != backend)
                plan = Plan(route, (backend, *others), False, (reason,))
            else:
                plan = Plan(
                    "primary",
                    self.settings.serving("primary"),
                    False,
                    ("a tool result is not classified",),
                )
            label = LABEL_OF_ROUTE[plan.route]
            verdict = Verdict("conversation", label, reason=plan.reasons[0])
            return Decision(label, "conversation", None, None, 0.0, (verdict,), forced=True), plan
        return None

    def _plan(self, decision: Decision, features: Features) -> Plan:
        return self.planner.plan(
            decision, needs=lambda name: self._can_serve(name, features), features=features
        )

    def _log_decision(self, decision: Decision) -> None:
        """META is decided by rules and not classified."""
        asked = next((v for v in reversed(decision.verdicts) if v.finish_reason), None)
        if decision.label == "META":
            return
        label = "UNCLEAR" if decision.tier in ("fallback", "patience") else decision.label
        reason = asked.finish_reason if asked is not None else "none"
        self._log.info(
            "Classification completed: %s -> %s in %dms (finish_reason=%s) tier=%s",
            label,
            decision.route,
            round(decision.ms),
            reason,
            decision.tier,
        )

    def _route_of(self, backend: str) -> str:
        return next(
            (route for route in ("primary", "xai") if backend in self.settings.serving(route)),
            "primary",
        )

    def _can_serve(self, name: str, features: Features) -> bool:
        backend = self.backends[name]
        window = backend.context_window
        too_long = window is not None and features.total_chars / _CHARS_PER_TOKEN > window
        return not too_long and not (features.has_images and backend.settings.vision is False)

    # Beginning ------------------------------------------------------------------------------------------------------

    def _speculate(self, work: Work, p_primary: float | None) -> Speculation | None:
        backend = self.backends[self.settings.serving("primary")[0]]
        likely = p_primary is None or p_primary >= self.settings.speculation.min_p_primary
        if not likely or not self._can_serve(backend.name, work.features):
            return None
        settings = self.settings.speculation
        admission = admission_for(work.exchange, settings, backend)
        if admission is None:
            return None
        try:
            outgoing = self._answerer.compose(work, backend, admission.model, "primary")
            return speculate(work.exchange, admission, outgoing, work.request, settings)
        except EgressRefused:  # it is refused again, and says so, if the route is the primary
            admission.close()
            return None

    def _enrich(self, work: Work) -> Generator[Keepalive, None, None]:
        settings = self.settings.enrichment
        work.context = yield from enrich(
            work.exchange,
            self.backends[settings.backend],
            settings,
            work.features,
            work.date,
            self._prompts,
        )
        if work.context is not None:
            self._log.info(
                "Enrichment context retrieved: %d chars in %dms",
                len(work.context),
                round(work.exchange.record.enrichment_ms or 0),
            )

    # Noting ---------------------------------------------------------------------------------------------------------

    def _note_request(self, work: Work) -> None:
        request, record = work.request, work.exchange.record
        record.asked(request.endpoint, request.stream, work.features, request.messages)
        record.requested_route = work.wish.backend or work.wish.route or "auto"
        self._log.info(
            "Incoming request: messages=%d total_chars=%d stream=%s",
            work.features.n_messages,
            work.features.total_chars,
            request.stream,
        )

    def _note_decision(self, work: Work, decision: Decision, plan: Plan) -> None:
        work.decision, work.plan = decision, plan
        work.exchange.record.decided(decision)
        work.exchange.record.planned(plan)


def find_backend(backends: Mapping[str, Backend], model: str) -> str:
    """The backend that serves a model name.

    Raises:
        NotFound: none does.
    """
    for name, backend in backends.items():
        if backend.model == model:
            return name
    raise NotFound(
        f"The model {model[:80]!r} does not exist; GET /v1/models lists the available models.",
        param="model",
        code="model_not_found",
    )
