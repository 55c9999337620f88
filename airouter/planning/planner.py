"""Turns a decision into a plan: the backends, in order, and whether to search the web. Pure, but
for looking up the context windows that backends have stated."""

from collections.abc import Mapping
from typing import Protocol

from airouter.classify.client_tools import fetching_tool
from airouter.domain.errors import BadRequest, NoBackend
from airouter.domain.labels import ROUTES
from airouter.domain.types import Decision, Features, Plan
from airouter.planning.demand import Demand
from airouter.planning.matrix import Matrix, Row
from airouter.settings.backends import BackendSettings
from airouter.settings.schema import Settings

_LONG = 2048  # tokens: windows of backends further down a chain are larger
_NO_WINDOW = 1 << 62


class Known(Protocol):
    """What is known of a backend."""

    @property
    def settings(self) -> BackendSettings: ...

    @property
    def context_window(self) -> int | None: ...


class _Configured:
    """A backend as configured; nothing has been learnt from it."""

    def __init__(self, settings: BackendSettings) -> None:
        self.settings = settings
        self.context_window = settings.context_window


class Planner:
    """Turns labels into plans for one configuration. What does not depend on the request is
    prepared: planning costs the same with three backends as with fifty.

    Args:
        backends: by name; None: as configured.
    """

    def __init__(self, settings: Settings, backends: Mapping[str, Known] | None = None) -> None:
        self._settings = settings
        if backends is None:
            backends = {name: _Configured(spec) for name, spec in settings.backends.items()}
        self._backends: Mapping[str, Known] = backends
        self._serving = {route: settings.serving(route) for route in ROUTES}
        self._local = settings.local_backends()
        self._searches = settings.usable(settings.enrichment.backend)
        self.matrix = Matrix(settings)
        # (backends, needs) -> those that have the capabilities; as many as chains × needs.
        self._able: dict[tuple[tuple[str, ...], frozenset[str]], tuple[str, ...]] = {}
        self._chains: dict[tuple[tuple[str, ...], tuple[str, ...]], tuple[str, ...]] = {}

    def plan(
        self, decision: Decision, demand: Demand | None = None, features: Features | None = None
    ) -> Plan:
        """The plan for a decision.

        If no cloud or search backend is usable, COMPLEX and ENRICH fall back to the primary, with a
        reason. For a forced route this is an error, because the client asked for it by name.

        Args:
            demand: of the request; None: anything will do, and the matrix is not consulted.
            features: of the request; its tools may make a search unnecessary.

        Raises:
            NoBackend: no usable backend serves the route.
            BadRequest: the prompt is longer than any context window.
        """
        route, reasons = decision.route, list[str]()
        enrich = route == "enrich"
        if enrich and not self._searches:
            if decision.forced:
                raise NoBackend(
                    "The route 'enrich' needs a search backend; "
                    "set XAI_API_KEY, or choose another route."
                )
            enrich, route = False, "primary"
            reasons.append("no search backend is configured: answered without search results")
        if enrich and features is not None and not decision.forced:
            own = self._why_not_searched(features)
            if own:
                enrich, route = False, "primary"
                reasons.append(own)
        if route == "xai" and not self._serving["xai"]:
            if decision.forced:
                raise NoBackend(
                    "The route 'xai' has no usable backend; "
                    "set XAI_API_KEY, or choose another route."
                )
            route = "primary"
            reasons.append("no cloud is configured: answered by the primary")
        backends = self._serving[route]
        if not backends:
            raise NoBackend(
                f"No backend of the route {route!r} has a URL (and, for a cloud, a key)."
            )
        if demand is None:
            return Plan(route, backends, enrich, tuple(reasons))
        backends, row = self._with_row(route, backends, demand, reasons)
        backends = self._suitable(route, backends, demand, reasons)
        return Plan(route, backends, enrich, tuple(reasons), row.name if row else None)

    def _with_row(
        self, route: str, own: tuple[str, ...], demand: Demand, reasons: list[str]
    ) -> tuple[tuple[str, ...], Row | None]:
        """The chain with the backends of the row that decides first, and this row. COMPLEX keeps
        its own backends, and a frontend's housekeeping the primary's unless it states a task."""
        if route == "xai" or (route == "meta" and not demand.stated):
            return own, None
        row = self.matrix.row(demand)
        if row is None:
            return own, None
        chain = self._joined(row.backends, own)
        if chain[0] != own[0]:
            reasons.append(
                f"{self._named(chain[0])} instead of {self._named(own[0])} for the task {row.name}"
            )
        return chain, row

    def _joined(self, first: tuple[str, ...], others: tuple[str, ...]) -> tuple[str, ...]:
        chain = self._chains.get((first, others))
        if chain is None:
            chain = self._chains[first, others] = tuple(dict.fromkeys(first + others))
        return chain

    # What a backend cannot do ---------------------------------------------------------------------

    def _suitable(
        self, route: str, chain: tuple[str, ...], demand: Demand, reasons: list[str]
    ) -> tuple[str, ...]:
        """The chain without backends that cannot serve the request; another one if its first
        cannot."""
        able, first = self._capable(chain, demand.needs), chain[0]
        if not able:  # rather a local backend of another route than none
            able = self._capable(self._joined(self.matrix.backends, self._local), demand.needs)
            able = tuple(name for name in able if self._backends[name].settings.local)
        if not able:  # all are tried
            able = chain
        elif able[0] != first:
            lacking = self._backends[first].settings.lacks(demand.needs)
            names = " and ".join(sorted(lacking))
            reasons.append(
                f"{self._named(able[0])} instead of {self._named(first)}, "
                f"which does not support {names}"
            )
        if route == "meta":  # its history is cut to `cascade.meta_max_chars`
            return able
        if self._too_long(able[0], demand):
            return self._wider(route, able, demand, reasons)
        if len(able) == 1 or demand.tokens.surely_within(_LONG):
            return able
        return tuple(name for name in able if name is able[0] or not self._too_long(name, demand))

    def _capable(self, names: tuple[str, ...], needs: frozenset[str]) -> tuple[str, ...]:
        able = self._able.get((names, needs))
        if able is None:
            able = tuple(n for n in names if not self._backends[n].settings.lacks(needs))
            self._able[names, needs] = able
        return able

    def _too_long(self, name: str, demand: Demand) -> bool:
        """Whether the prompt leaves no room for an answer in the backend's context window."""
        window = self._backends[name].context_window
        return window is not None and demand.tokens.exceeds(window - 1)

    def _wider(
        self, route: str, chain: tuple[str, ...], demand: Demand, reasons: list[str]
    ) -> tuple[str, ...]:
        """The chain for a prompt that its first backend's window does not hold: from the smallest
        window that does, of the local ones first. Of clouds only those of the chain itself count,
        which its owner has put there.

        Raises:
            BadRequest: no window holds it, which is certain.
        """
        others = self._joined(self.matrix.backends, self._local)
        pool = dict.fromkeys((*chain, *self._capable(others, demand.needs)))
        known = self._backends
        may = [name for name in pool if known[name].settings.local or name in chain]
        may.sort(key=lambda name: (self._is_second(name, route, chain), self._window(name)))
        holding = [name for name in may if not self._too_long(name, demand)]
        first, tokens = chain[0], self._shown(demand)
        if holding:
            window = known[first].context_window
            reasons.append(
                f"{self._named(holding[0])} instead of {self._named(first)}, whose "
                f"context window ({window:,} tokens) does not hold the prompt ({tokens})"
            )
            return tuple(holding)
        widest = max(may, key=self._window)
        if demand.tokens.surely_exceeds(self._window(widest) - 1):
            raise BadRequest(
                # Clients recognise "maximum context length".
                f"The prompt has {tokens}; the maximum context length, that of {widest!r}, is "
                f"{self._window(widest):,} tokens, prompt and answer together. Shorten the prompt.",
                param="messages",
                code="context_length_exceeded",
            )
        demand.tokens.doubtful = True
        reasons.append(f"{widest} has the largest context window, which may not hold the prompt")
        return (widest,)

    def _is_second(self, name: str, route: str, chain: tuple[str, ...]) -> bool:
        """Whether a backend is asked after all others, whatever their windows: on a local route a
        cloud, on the route `xai` a backend of another route."""
        return name not in chain if route == "xai" else not self._backends[name].settings.local

    def _window(self, name: str) -> int:
        window = self._backends[name].context_window
        return _NO_WINDOW if window is None else window

    def _named(self, name: str) -> str:
        """A backend as it is configured: a replica by the name of its group."""
        return self._backends[name].settings.group or name

    @staticmethod
    def _shown(demand: Demand) -> str:
        about = "" if demand.tokens.counted is not None else "about "
        return f"{about}{demand.tokens.value:,} tokens"

    # Searching ------------------------------------------------------------------------------------

    def _why_not_searched(self, features: Features) -> str:
        """Why a request with tools is answered without a search; empty if it is searched for."""
        mode = self._settings.enrichment.with_tools
        if not features.tools or mode == "always":
            return ""
        if mode == "never":
            return "web search skipped: the request includes tools"
        tool = fetching_tool(features.tools, features.ask)
        return f"web search skipped: the client has its own tool for it, {tool}" if tool else ""

    # Without a decision ---------------------------------------------------------------------------

    def for_backend(self, name: str, route: str) -> Plan:
        """The plan for a request whose `model` is a backend's own model."""
        members = self._settings.members((name,)) or (name,)
        return Plan(route, members, False, ("the request names this backend's model",))

    def for_alias(self, alias: str, route: str, demand: Demand) -> Plan:
        """The plan for a request whose `model` is an alias: its chain, without those that do not
        support the request if others do.

        Raises:
            NoBackend: none of its backends is usable.
        """
        chain = self._settings.chain(alias)
        if not chain:
            raise NoBackend(
                f"No backend of the alias {alias!r} has a URL (and, for a cloud, a key)."
            )
        able = self._capable(chain, demand.needs)
        able = tuple(name for name in able if not self._too_long(name, demand))
        return Plan(route, able or chain, False, (f"the request names the chain {alias}",))

    def for_tool_result(self, recalled: tuple[str, str] | None, demand: Demand) -> Plan:
        """The plan for the result of a tool, which is not classified.

        Args:
            recalled: the route and the backend that called the tool, if they are remembered.

        Raises:
            BadRequest: the prompt is longer than any context window.
        """
        reasons: list[str] = []
        if recalled is None:
            reasons.append("a tool result is not classified")
            route, own = "primary", self._serving["primary"]
            chain, row = self._with_row(route, own, demand, reasons)
        else:
            route, row = recalled[0], None
            reasons.append("a tool conversation stays where it began")
            chain = self._joined((recalled[1],), self._serving[route])
        backends = self._suitable(route, chain, demand, reasons)
        return Plan(route, backends, False, tuple(reasons), row.name if row else None)
