"""Turns a decision into a plan: the backends, in order, and whether to search the web. Pure."""

from collections.abc import Callable

from airouter.classify.client_tools import fetching_tool
from airouter.domain.errors import BadRequest, NoBackend
from airouter.domain.labels import ROUTES
from airouter.domain.types import Decision, Features, Plan
from airouter.settings.schema import Settings


class Planner:
    """Turns labels into plans for one configuration."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def plan(
        self,
        decision: Decision,
        *,
        needs: Callable[[str], bool] = lambda _name: True,
        features: Features | None = None,
    ) -> Plan:
        """The plan for a decision.

        If no cloud or search backend is usable, COMPLEX and ENRICH fall back to the primary, with a
        reason. For a forced route this is an error, because the client asked for it by name.

        Args:
            needs: whether a backend, by its name, supports this request.
            features: of the request; its tools may make a search unnecessary.

        Raises:
            NoBackend: no usable backend serves the route.
        """
        settings, route, reasons = self._settings, decision.route, []
        enrich = route == "enrich"
        if enrich and not settings.usable(settings.enrichment.backend):
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
        if route == "xai" and not settings.serving("xai"):
            if decision.forced:
                raise NoBackend(
                    "The route 'xai' has no usable backend; "
                    "set XAI_API_KEY, or choose another route."
                )
            route = "primary"
            reasons.append("no cloud is configured: answered by the primary")
        backends = settings.serving(route)
        if not backends:
            raise NoBackend(
                f"No backend of the route {route!r} has a URL (and, for a cloud, a key)."
            )
        able = tuple(name for name in backends if needs(name))
        if not able:  # rather a local backend of another route than none
            able = tuple(name for name in settings.local_backends() if needs(name))
        if able and able != backends:
            reasons.append("chosen because it supports images, or a context this long")
        return Plan(route, able or backends, enrich, tuple(reasons))

    def _why_not_searched(self, features: Features) -> str:
        """Why a request with tools is answered without a search; empty if it is searched for."""
        mode = self._settings.enrichment.with_tools
        if not features.tools or mode == "always":
            return ""
        if mode == "never":
            return "web search skipped: the request includes tools"
        tool = fetching_tool(features.tools, features.ask)
        return f"web search skipped: the client has its own tool for it, {tool}" if tool else ""

    def for_backend(self, name: str, route: str) -> Plan:
        """The plan for a request whose `model` is a backend's own model."""
        members = self._settings.members((name,)) or (name,)
        return Plan(route, members, False, ("the request names this backend's model",))

    def for_alias(self, alias: str, route: str, needs: Callable[[str], bool]) -> Plan:
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
        able = tuple(name for name in chain if needs(name))
        return Plan(route, able or chain, False, (f"the request names the chain {alias}",))


def forced_route(model: str | None, header: str | None, virtual_model: str) -> str | None:
    """The route forced by the header X-Router-Route or the model name `ai-router/<route>`; None if
    there is none.

    Raises:
        BadRequest: the route does not exist.
    """
    wanted = header.strip().lower() if header else None
    if wanted is None and model and model.startswith(f"{virtual_model}/"):
        wanted = model[len(virtual_model) + 1 :].lower()
    if wanted in (None, "", "auto"):
        return None
    if wanted not in ROUTES:
        where = "header X-Router-Route" if header else "model"
        raise BadRequest(
            f"The route {wanted[:40]!r} in the {where} does not exist; "
            f"use auto, {', '.join(ROUTES)}.",
            param="model",
            code="unknown_route",
        )
    return wanted
