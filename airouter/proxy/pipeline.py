"""Carries a request out: decide (with the primary's answer already under way), plan, search if need
be, answer, relay.

A flow is a generator. It yields its waits, `KEEPALIVE` when a streaming client should receive
something, one `Head` when the answer is committed, and then the answer's bytes. Errors before the
head are raised; after it they are the stream's last event.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from airouter.classify.cascade import Cascade
from airouter.classify.features import features_of
from airouter.dialects import prefix_guard
from airouter.dialects.openai_embeddings import exceeds
from airouter.dialects.openai_request import ChatRequest
from airouter.domain.clock import Clock, date_line
from airouter.domain.errors import BadRequest, NoBackend, NotFound
from airouter.domain.labels import DEFAULT_LABEL, LABEL_OF_ROUTE
from airouter.domain.ports import RetryBudget
from airouter.domain.types import Decision, Plan, Verdict
from airouter.flow.exchange import Exchange
from airouter.flow.waits import Waiting
from airouter.planning import Planner
from airouter.planning.demand import demand_of
from airouter.proxy.attempt import Attempt
from airouter.proxy.batches import in_batches
from airouter.proxy.enrichment import enrich
from airouter.proxy.failover import Failover
from airouter.proxy.request_state import Decided, Flow, Received, RoutingOverrides
from airouter.proxy.session_memory import SessionMemory
from airouter.proxy.sessions import TOOLS, Sessions, escalated, inherited
from airouter.proxy.speculation import Speculation, speculate
from airouter.proxy.token_count import count_tokens
from airouter.settings.schema import Settings
from airouter.telemetry.logs import Log
from airouter.upstream.backend import Backend
from airouter.upstream.replicas import Replicas


class Pipeline:
    """The stages of a request, in order. One per configuration; stateless but for the memory of
    conversations."""

    def __init__(
        self,
        settings: Settings,
        backends: Mapping[str, Backend],
        cascade: Cascade,
        prompts: Mapping[str, str],
        memory: SessionMemory,
        budget: RetryBudget,
        log: Log,
        clock: Clock,
    ) -> None:
        self.settings = settings
        self.backends = backends
        self.cascade = cascade
        self.planner = Planner(settings, backends)
        self._replicas = Replicas(backends)
        self._prompts = prompts
        self._sessions = Sessions(settings, backends, memory)
        self._failover = Failover(settings, backends, prompts, self._sessions, budget, log, clock)
        self._log = log
        self._clock = clock

    # The flows ------------------------------------------------------------------------------------

    def chat(self, exchange: Exchange, request: ChatRequest, overrides: RoutingOverrides) -> Flow:
        """`/v1/chat/completions`."""
        received = self._receive(exchange, request, overrides)
        speculation: Speculation | None = None
        known = yield from self._without_deciding(received)
        if known is None:
            began = self._clock.monotonic()
            deliberation = self.cascade.deliberate(received.features)
            if deliberation.decision is None:
                speculation = yield from self._speculate(received, deliberation.p_primary)
            exchange.record.enter("classification_ms", began)
            answered = speculation.answered if speculation is not None else None
            decision = deliberation.decision or (yield from deliberation.run(exchange, answered))
            self._log_decision(decision)
            known = decision, (yield from self._plan_turn(decision, received))
        decided_at = self._clock.monotonic()
        decided = self._decide(received, *known)
        adopted = self._adopt(speculation, decided.plan, decided_at)
        if decided.plan.enrich:
            decided = yield from self._enrich(decided)
        yield from self._failover.answer(decided, adopted)

    def plain(self, exchange: Exchange, request: ChatRequest, overrides: RoutingOverrides) -> Flow:
        """`/v1/completions` and `/v1/embeddings`: never classified, nothing to search for."""
        received = self._receive(exchange, request, overrides)
        known = yield from self._without_deciding(received)
        if known is None:
            decision = _forced(DEFAULT_LABEL)
            known = decision, (yield from self._plan(decision, received))
        decision, plan = known
        decided = self._decide(received, decision, replace(plan, enrich=False))
        backends = [self.backends[name] for name in decided.plan.backends]
        if exceeds(request, backends[0].settings.max_inputs):
            yield from in_batches(self._failover, decided, backends, self._log, self._clock)
        else:
            yield from self._failover.answer(decided, None)

    def explain(
        self, exchange: Exchange, request: ChatRequest, overrides: RoutingOverrides
    ) -> Waiting[tuple[Decision, Plan, Received]]:
        """Decide and plan, and do nothing."""
        received = self._received(exchange, request, overrides)
        known = yield from self._without_deciding(received)
        if known is not None:
            return (*known, received)
        deliberation = self.cascade.deliberate(received.features)
        decision = deliberation.decision or (yield from deliberation.run(exchange))
        return decision, (yield from self._plan_turn(decision, received)), received

    def settle(self, received: Received, decision: Decision, plan: Plan) -> Decided:
        """Record what `explain()` said, for a request that is passed on as it is."""
        self._note_request(received)
        return self._decide(received, decision, plan)

    def passed_on(self, decided: Decided, answered: Backend) -> None:
        """Remember where such a request was answered."""
        self._sessions.remember(
            decided.turn,
            decided.request,
            decided.decision,
            decided.plan,
            answered,
            images=decided.features.has_images,
            now=self._clock.monotonic(),
        )

    # Receiving ------------------------------------------------------------------------------------

    def _receive(
        self, exchange: Exchange, request: ChatRequest, overrides: RoutingOverrides
    ) -> Received:
        received = self._received(exchange, request, overrides)
        self._note_request(received)
        return received

    def _note_request(self, received: Received) -> None:
        request, features, record = received.request, received.features, received.exchange.record
        record.asked(request.endpoint, request.stream, features, request.messages)
        record.requested_route = received.overrides.chosen or "auto"
        record.task = received.demand.task
        if received.demand.note:
            record.notes.append(received.demand.note)
        self._log.info(
            "Incoming request: messages=%d total_chars=%d stream=%s",
            features.n_messages,
            features.total_chars,
            request.stream,
        )

    def _received(
        self, exchange: Exchange, request: ChatRequest, overrides: RoutingOverrides
    ) -> Received:
        date, features = date_line(exchange.record.timestamp), features_of(request)
        turn = self._sessions.begin(exchange, request, features)
        images = turn.images and not overrides.chosen
        demand = demand_of(request, features, overrides.task, images=images)
        return Received(exchange, request, features, overrides, date, demand, turn)

    # Deciding -------------------------------------------------------------------------------------

    def _without_deciding(self, received: Received) -> Waiting[tuple[Decision, Plan] | None]:
        """Of a request that names a backend's own model or a chain, forces a route, or continues a
        tool conversation; None for any other."""
        overrides, demand, turn = received.overrides, received.demand, received.turn
        if overrides.chosen:
            turn.policy = "forced"
        if overrides.backend is not None:
            plan = self.planner.for_backend(overrides.backend, self._route_of(overrides.backend))
            return _forced(LABEL_OF_ROUTE[plan.route]), plan
        if overrides.alias is not None:
            chain = self.settings.chain(overrides.alias)
            route = self._route_of(chain[0]) if chain else "primary"
            plan = self.planner.for_alias(overrides.alias, route, demand)
            return _forced(LABEL_OF_ROUTE[route]), plan
        if overrides.route is not None:
            decision = _forced(LABEL_OF_ROUTE[overrides.route])
            return decision, (yield from self._plan(decision, received))
        if received.features.last_role in TOOLS:
            return (yield from self._in_tool_loop(received))
        if turn.standing is not None and turn.assents(received.features):
            decision = inherited(turn.standing)
            plan = yield from self._plan_turn(decision, received)
            return decision, self._arranged(plan, received)
        return None

    def _in_tool_loop(self, received: Received) -> Waiting[tuple[Decision, Plan]]:
        """A tool's result is not classified: it goes where the tool was called, until the agent is
        stuck."""
        turn, demand = received.turn, received.demand
        stuck = turn.stuck(received.request, allowed=self.settings.sessions.escalate)
        if stuck is not None:
            decision = escalated(stuck)
            plan = yield from self._plan(decision, received)
            if self._sessions.escalates(turn, plan, stuck):
                return decision, self._arranged(plan, received)
        standing = turn.standing
        recalled = (standing.route, standing.backend) if standing is not None else None
        plan = yield from self._counted(
            received, lambda: self.planner.for_tool_result(recalled, demand)
        )
        turn.settle("kept; tool loop", plan)
        plan = self._arranged(plan, received, 1 if recalled is not None else 0)
        label = LABEL_OF_ROUTE[plan.route]
        verdict = Verdict("conversation", label, reason=plan.reasons[0])
        return Decision(label, "conversation", None, None, 0.0, (verdict,), forced=True), plan

    def _plan_turn(self, decision: Decision, received: Received) -> Waiting[Plan]:
        """The plan for a decision, weighed against staying where the conversation is."""
        plan, turn = (yield from self._plan(decision, received)), received.turn
        stays = self._sessions.stays(turn, decision, plan, received.demand, received.features)
        if not stays:
            return plan
        enrich = plan.enrich  # the search is the turn's own, the backend the conversation's
        plan = yield from self._staying(received)
        turn.settle(turn.policy, plan)
        route = "enrich" if enrich else "primary" if plan.route == "enrich" else plan.route
        return replace(plan, route=route, enrich=enrich)

    def _staying(self, received: Received) -> Waiting[Plan]:
        standing = received.turn.standing
        assert standing is not None
        return self._counted(
            received,
            lambda: self.planner.staying(standing.route, standing.backend, received.demand),
        )

    def _plan(self, decision: Decision, received: Received) -> Waiting[Plan]:
        return self._counted(
            received, lambda: self.planner.plan(decision, received.demand, received.features)
        )

    def _counted(self, received: Received, plan: Callable[[], Plan]) -> Waiting[Plan]:
        """A plan; made again with the prompt's tokens counted if their estimate is too close to a
        limit."""
        tokens, made = received.demand.tokens, plan()
        if tokens.doubtful and not tokens.asked:
            tokens.asked = True
            asked = [self.backends[name] for name in made.backends]
            tokens.counted = yield from count_tokens(received.exchange, received.request, asked)
            if tokens.counted is not None:
                made = plan()
        return made

    def _decide(self, received: Received, decision: Decision, plan: Plan) -> Decided:
        record = received.exchange.record
        if decision.tier != "conversation":  # of which the order is decided already
            plan = self._arranged(plan, received)
        record.decided(decision)
        record.planned(plan)
        record.session_policy = received.turn.policy
        return Decided(
            received.exchange,
            received.request,
            received.features,
            received.overrides,
            received.date,
            received.demand,
            received.turn,
            decision,
            plan,
        )

    def _arranged(self, plan: Plan, received: Received, keep: int = 0) -> Plan:
        """The plan with its replicas in the order in which to ask them.

        Args:
            keep: how many of its first backends stay where they are.
        """
        messages = _prefix_of(received.request)
        rest = self._replicas.arranged(plan.backends[keep:], messages)
        return replace(plan, backends=plan.backends[:keep] + rest)

    def _log_decision(self, decision: Decision) -> None:
        """META is decided by rules and not classified."""
        if decision.label == "META":
            return
        asked = next((v for v in reversed(decision.verdicts) if v.finish_reason), None)
        label = "UNCLEAR" if decision.tier in ("fallback", "patience") else decision.label
        self._log.info(
            "Classification completed: %s -> %s in %dms (finish_reason=%s) tier=%s",
            label,
            decision.route,
            round(decision.ms),
            asked.finish_reason if asked is not None else "none",
            decision.tier,
        )

    def _route_of(self, backend: str) -> str:
        members = {*self.settings.members((backend,))}
        return next(
            (route for route in ("primary", "xai") if members & {*self.settings.serving(route)}),
            "primary",
        )

    # Speculating and searching --------------------------------------------------------------------

    def _speculate(
        self, received: Received, p_primary: float | None
    ) -> Waiting[Speculation | None]:
        """Start the answer of the backend that answers if the route is the primary."""
        settings = self.settings.speculation
        if not settings.enabled or (p_primary is not None and p_primary < settings.min_p_primary):
            return None
        try:
            if received.turn.sticky and received.turn.standing is not None:
                plan = yield from self._staying(received)
            else:
                plan = yield from self._plan(_forced(DEFAULT_LABEL), received)
        except (BadRequest, NoBackend):  # the route may be another one
            return None
        backend = self.backends[self._arranged(plan, received).backends[0]]
        return speculate(
            received,
            backend,
            settings,
            lambda lease: self._failover.compose(received, lease, "primary"),
        )

    def _adopt(
        self, speculation: Speculation | None, plan: Plan, decided_at: float
    ) -> Attempt | None:
        """The speculation as the first attempt if the plan wants it; else it is cancelled."""
        if speculation is None:
            return None
        if not plan.enrich and self._is_first(speculation.backend, plan):
            return speculation.adopt()
        speculation.cancel(decided_at)
        self._log.info("Cancelled speculative primary (route=%s)", plan.route)
        return None

    def _is_first(self, backend: Backend, plan: Plan) -> bool:
        """Whether a plan begins with a backend, or with another replica of it: what the backend has
        to do may have changed since it was chosen."""
        first = self.backends[plan.backends[0]]
        group = backend.group
        return backend is first or (
            group is not None and group == first.group and backend.name in plan.backends
        )

    def _enrich(self, decided: Decided) -> Waiting[Decided]:
        settings, record = self.settings.enrichment, decided.exchange.record
        members = self.settings.members((settings.backend,))
        backend = self.backends[self._replicas.arranged(members)[0]]
        context = yield from enrich(decided, backend, settings, self._prompts)
        if context is not None:
            self._log.info(
                "Enrichment context retrieved: %d chars in %dms",
                len(context),
                round(record.enrichment_ms or 0),
            )
        return replace(decided, context=context)


def _forced(label: str) -> Decision:
    """A decision that the client made itself."""
    return Decision(label, "explicit", None, None, 0.0, (), forced=True)


def _prefix_of(request: ChatRequest) -> list[Any]:
    """The messages by which a conversation comes back to its replica, without what changes with
    each request; none where it has none."""
    return prefix_guard.steady(request.messages) if request.endpoint == "chat" else []


def find_backend(backends: Mapping[str, Backend], model: str) -> str:
    """The backend that serves a model name; of replicas, the name of their group.

    Raises:
        NotFound: none does.
    """
    for name, backend in backends.items():
        if backend.model == model:
            return backend.group or name
    raise NotFound(
        f"The model {model[:80]!r} does not exist; GET /v1/models lists the available models.",
        param="model",
        code="model_not_found",
    )
