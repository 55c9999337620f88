"""A request as a turn of its conversation: what is known of the turns before, whether it stays
where they were, and what is remembered of it.

A conversation is recognised by its earlier messages, else by the name that the client gives it with
its first question, else by the name. Requests of different keys never share one.
"""

from collections.abc import Mapping
from dataclasses import replace

from airouter.classify.assent import is_assent
from airouter.classify.features import human_text, is_follow_up
from airouter.classify.tool_loops import stuck_in
from airouter.dialects.openai_request import ChatRequest, text_of
from airouter.dialects.prefix_guard import steady
from airouter.domain.types import Decision, Features, Plan, Verdict
from airouter.flow.exchange import Exchange
from airouter.planning.demand import Demand
from airouter.planning.sessions import UP, Standing, weigh
from airouter.proxy.session_memory import SessionMemory, before_last_turn, digest, prefix_key
from airouter.settings.schema import Settings
from airouter.upstream.backend import Backend

TOOLS = ("tool", "function")  # roles of results
_CHARS = 4096  # of the first question: enough to tell conversations apart


class Turn:
    """A request's place in its conversation. Mutable state: what was decided about it.

    `standing`: where the turn before left the conversation; None: it is new, or not known.
    `policy`: for X-Router-Session-Policy. `kept`: it goes where the conversation was. `price`:
    seconds for reading the conversation at the backend that it was to move to.
    """

    __slots__ = ("escalates", "kept", "keys", "owner", "policy", "price", "standing", "sticky")

    def __init__(
        self,
        owner: str | None,
        keys: tuple[bytes, ...] = (),
        standing: Standing | None = None,
        *,
        sticky: bool = False,
    ) -> None:
        self.owner = owner
        self.keys = keys
        self.standing = standing
        self.sticky = sticky
        self.policy: str | None = None
        self.kept = False
        self.escalates = False
        self.price: float | None = None

    @property
    def images(self) -> bool:
        """Whether an earlier turn had some."""
        return self.sticky and self.standing is not None and self.standing.images

    def keep(self, policy: str) -> None:
        self.kept, self.policy = True, policy

    def settle(self, policy: str | None, plan: Plan) -> None:
        """Note that a plan is to stay, as far as the backend can serve the request.

        Args:
            policy: if it can.
        """
        if not self.sticky:
            self.policy = "free"
        elif self.standing is None:
            self.policy = "new"
        elif plan.backends[0] != self.standing.backend:
            self.keep("moved; the request needs another backend")
        else:
            self.keep(policy or "kept")

    def stuck(self, request: ChatRequest, *, allowed: bool) -> str | None:
        """Why its agent is to move to the route for COMPLEX; None if it stays. Once, and never
        where the client chose the route."""
        standing = self.standing
        if standing is None or standing.escalated or standing.forced or not self.sticky:
            return None
        return stuck_in(request.messages) if allowed else None

    def assents(self, features: Features) -> bool:
        """Whether it only tells the assistant to go on."""
        known = self.sticky and self.standing is not None and features.last_role == "user"
        return known and is_assent(features.ask)


class Sessions:
    """Of one configuration; its memory outlives it.

    Args:
        backends: by name.
    """

    def __init__(
        self, settings: Settings, backends: Mapping[str, Backend], memory: SessionMemory
    ) -> None:
        self._settings = settings
        self._backends = backends
        self._memory = memory
        self._sticky = settings.sessions.policy == "sticky"

    def begin(self, exchange: Exchange, request: ChatRequest, features: Features) -> Turn:
        """The turn that a request is. Notes in the record which conversation it belongs to."""
        record, now = exchange.record, exchange.clock.monotonic()
        owner = record.key_id
        if request.endpoint != "chat":
            return Turn(owner)
        earlier = None
        if self._sticky or features.last_role in TOOLS:
            earlier = before_last_turn(request.messages)
        known = self._memory.recall(prefix_key(earlier, owner), now) if earlier else None
        if not self._sticky:
            return Turn(owner, (), self._usable(known))
        named = record.conversation
        keys = _keys_of(request, owner, named)
        if named is None:
            record.conversation = keys[0].hex()[:16]
        if known is not None and known.forced and features.last_role not in TOOLS:
            known = None  # the client's choice ends with the tools that were called
        # Without an answer before it, it begins anew, even with a question that was asked before.
        goes_on = earlier is not None or is_assent(features.ask)
        if known is None and goes_on:
            found = (self._memory.recall(key, now) for key in keys)
            known = next((one for one in found if one is not None), None)
        return Turn(owner, keys, self._usable(known), sticky=True)

    def _usable(self, standing: Standing | None) -> Standing | None:
        """None if the backend is gone since, or no longer serves the route."""
        backend = self._backends.get(standing.backend) if standing is not None else None
        if standing is None or backend is None:
            return None
        serves = standing.backend in self._settings.serving(standing.route)
        return standing if serves or backend.local or standing.forced else None

    def same(self, one: str, other: str) -> bool:
        """Whether two backends are one, or replicas of one."""
        if one == other:
            return True
        group = self._backends[one].group
        return group is not None and group == self._backends[other].group

    def price(self, name: str, demand: Demand) -> float:
        """Seconds for reading a prompt at a backend that has none of it in its cache: tokens ÷ the
        speed that its answers show, else `sessions.prefill`."""
        return demand.tokens.value / (
            self._backends[name].prefill or self._settings.sessions.prefill
        )

    def stays(
        self, turn: Turn, decision: Decision, plan: Plan, demand: Demand, features: Features
    ) -> bool:
        """Whether a turn stays although its plan begins with another backend; says why."""
        standing = turn.standing
        if turn.sticky and decision.label == "META":
            turn.policy = "none; housekeeping"
            return False
        if not turn.sticky or standing is None:
            turn.policy = "new" if turn.sticky else "free"
            return False
        same = self.same(plan.backends[0], standing.backend)
        if decision.tier == "conversation":
            turn.keep("kept; inherited")
            return not same
        if same:
            turn.keep("kept; images" if turn.images and not features.has_images else "kept")
            return False
        turn.price = self.price(plan.backends[0], demand)
        settings = self._settings.sessions
        short, stated = is_follow_up(features), demand.stated and plan.row is not None
        moves, policy = weigh(
            standing, decision, plan, turn.price, settings, short=short, stated=stated
        )
        if moves:
            turn.policy = policy
        else:
            turn.keep(policy)
        return not moves

    def escalates(self, turn: Turn, plan: Plan, why: str) -> bool:
        """Whether a stuck agent moves to the plan for COMPLEX, which may have no backend of its
        own, or none that can serve the request."""
        standing, first = turn.standing, plan.backends[0]
        assert standing is not None
        if first not in self._settings.serving(UP) or self.same(first, standing.backend):
            return False
        turn.escalates, turn.policy = True, f"escalated; {why}"
        return True

    def remember(
        self,
        turn: Turn,
        request: ChatRequest,
        decision: Decision,
        plan: Plan,
        answered: Backend,
        *,
        images: bool,
        now: float,
    ) -> None:
        """Note where a request was answered.

        Args:
            now: seconds of the monotonic clock.
        """
        forced = decision.tier == "explicit"
        # What the client chose for one request, and housekeeping, are not the conversation's.
        own = not (forced or plan.route == "meta")
        if request.endpoint != "chat" or not (request.has_tools or (self._sticky and own)):
            return
        before, backend = turn.standing, answered.name
        first = self._backends[plan.backends[0]]
        if self._sticky and first.local and not answered.local:
            backend = first.name  # a failure does not move a conversation to the cloud
        images = images or turn.images
        goes_on = decision.tier == "conversation" and not turn.escalates
        if before is not None and goes_on:
            standing = replace(before, backend=backend, at=now, images=images)
        else:
            route = before.route if before is not None and turn.kept else plan.route
            moved = before is not None and before.escalated and not forced
            escalated = turn.escalates or moved
            standing = Standing(decision.label, route, backend, now, escalated, images, forced)
        own = own and not standing.forced
        key = prefix_key(request.messages, turn.owner)
        self._memory.remember((key, *turn.keys) if own else (key,), standing)


def inherited(standing: Standing) -> Decision:
    """The decision of the turn before, for one that only tells to go on."""
    verdict = Verdict("conversation", standing.label, reason="inherited from the turn before")
    return Decision(standing.label, "conversation", None, None, 0.0, (verdict,))


def escalated(why: str) -> Decision:
    """COMPLEX, for a stuck agent.

    Args:
        why: of `stuck_in()`.
    """
    verdict = Verdict("conversation", "COMPLEX", reason=why)
    return Decision("COMPLEX", "conversation", None, None, 0.0, (verdict,))


def name_of(owner: str | None, name: str) -> str:
    """A client's name of a conversation as the record has it: a hash, other for each key."""
    return digest(owner, name).hex()[:16]


def _keys_of(request: ChatRequest, owner: str | None, named: str | None) -> tuple[bytes, ...]:
    """The keys of a conversation: by its name and beginning, then by its name; without a name, by
    its beginning alone, system text included."""
    system, question = "", ""
    for message in steady(request.messages):
        role, text = message["role"], text_of(message)
        if role == "user":
            question = question or text
            if own := human_text(message)[0].strip():
                question = own
                break
        elif role in ("system", "developer"):
            system += text if named is None else ""
        else:
            break
    question = question[:_CHARS]
    if named is None:
        return (digest(owner, "beginning", system, question),)
    return digest(owner, named, question), digest(owner, named)
