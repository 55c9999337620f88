"""A backend's state in words, and its figures; of several workers together."""

from collections.abc import Iterable
from typing import Any

from airouter.upstream.backend import Backend
from airouter.upstream.health import Health

# The worst first: of several workers the worst state is shown.
_STATES = ("out", "open", "down", "cooling", "loading", "unknown", "up")
_BREAKERS = ("open", "cooling", "half_open", "closed")


def state_of(backend: Backend, probed: Health | None) -> tuple[str, bool | None, str]:
    """Its state as a name, whether that is good (None: unknown), and in words; from the requests
    and probes so far.

    Args:
        probed: the result of the last probe; None: there was none.
    """
    if backend.out:
        return "out", False, "out of service"
    if backend.pause.reason is not None:
        return "loading", None, "loading a model"
    if backend.breaker.state == "open":
        return "open", False, "circuit breaker open after repeated failures"
    if probed is not None and not probed.healthy:
        return "down", False, "unreachable" if probed.refused else "unhealthy"
    if backend.breaker.state != "closed":
        return "cooling", False, "failed recently"
    return ("unknown", None, "not probed yet") if probed is None else ("up", True, "up")


def described(backend: Backend, probed: Health | None) -> dict[str, Any]:
    """One worker's view of a backend."""
    name, good, text = state_of(backend, probed)
    breaker, limiter, load = backend.breaker, backend.limiter, backend.load
    stopped = breaker.state in ("cooling", "open")
    return {
        "name": backend.name,
        "local": backend.local,
        "kind": backend.settings.kind,
        "model": backend.model,
        "state": name,
        "good": good,
        "text": text,
        "breaker": breaker.state,
        "cause": breaker.cause,
        "retry_after_s": breaker.retry_after() if stopped else None,
        "pause": backend.pause.reason,
        "pause_left_s": round(backend.pause.seconds_left(), 1),
        "slots": limiter.slots,
        "in_use": limiter.in_use,
        "waiting": limiter.waiting,
        "server": None
        if load is None
        else {"running": load.running, "waiting": load.waiting, "hit_ratio": load.hit_ratio},
        "probe_ms": None if probed is None else round(probed.ms, 1),
    }


def together(views: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Several workers' views of one backend: the worst state, the sums of slots and queues."""
    ordered = sorted(views, key=lambda view: _STATES.index(view["state"]))
    worst = ordered[0]
    concerned = sum(view["state"] == worst["state"] for view in ordered)
    text = worst["text"]
    if concerned < len(ordered):
        text += f" (in {concerned} of {len(ordered)} workers)"
    breaker = min((view["breaker"] for view in ordered), key=_BREAKERS.index)
    stated = [view["server"] for view in ordered if view["server"] is not None]
    return worst | {
        "text": text,
        "breaker": breaker,
        "model": next((view["model"] for view in ordered if view["model"]), None),
        "slots": sum(view["slots"] for view in ordered),
        "in_use": sum(view["in_use"] for view in ordered),
        "waiting": sum(view["waiting"] for view in ordered),
        "server": stated[0] if stated else None,
    }
