"""The limiters of backends that share slots, and which backends a reload takes for the same."""

from collections.abc import Mapping

from airouter.domain.ports import Limiter, Resilience
from airouter.runtime.reload_policy import queue_share
from airouter.settings.schema import BackendSettings, Settings, ShareSettings
from airouter.upstream.backend import Backend

Identity = tuple[str, str | None]
_Sharing = tuple[ShareSettings, tuple[tuple[str, BackendSettings], ...]]


def slots_of(slots: int, settings: Settings) -> int:
    """The slots of this process: each worker has limiters of its own."""
    return max(1, slots // settings.server.workers)


def new_limiters(
    settings: Settings, old: Settings | None, resilience: Resilience
) -> dict[str, Limiter]:
    """New limiters for the backends whose share is not as it was, by their names.

    Args:
        old: of the configuration before, whose other limiters are kept; None: there is none.
    """
    now, before = _sharing(settings), _sharing(old) if old is not None else {}
    queue = queue_share(settings)
    found: dict[str, Limiter] = {}
    for share in settings.shares.values():
        members = settings.members(share.backends)
        if any(before.get(name) != now[name] for name in members):
            own = {name: slots_of(settings.backends[name].slots, settings) for name in members}
            slots = slots_of(share.slots, settings)
            found |= resilience.shared(own, slots, queue, exclusive=share.exclusive)
    for name in before.keys() - now.keys():
        if name in settings.backends and settings.usable(name):
            slots = slots_of(settings.backends[name].slots, settings)
            found[name] = resilience.limiter(name, slots, queue)
    return found


def _sharing(settings: Settings) -> dict[str, _Sharing]:
    """Of each backend in a share: the share, and who is in it."""
    found: dict[str, _Sharing] = {}
    for share in settings.shares.values():
        names = settings.members(share.backends)
        members = tuple((name, settings.backends[name]) for name in names)
        found |= dict.fromkeys(names, (share, members))
    return found


def sharing_with_classifier(settings: Settings) -> set[str]:
    """The backends that share slots with one that classifies requests."""
    cascade = settings.cascade
    tiers = {
        "decision_model": cascade.decision_model,
        "one_token": cascade.one_token,
        "reasoning": cascade.reasoning,
    }
    asked = (tier.backend for name, tier in tiers.items() if name in cascade.tiers)
    classifiers = {*settings.members(tuple(asked))}
    shares = ({*settings.members(share.backends)} for share in settings.shares.values())
    return {name for members in shares if members & classifiers for name in members}


def identity(name: str, spec: BackendSettings) -> Identity:
    """What makes a backend the same one after a reload: its name; of a replica its group and URL,
    because its number changes with the list."""
    return (name, None) if spec.group is None else (spec.group, spec.url)


def by_identity(backends: Mapping[str, Backend]) -> Mapping[Identity, Backend]:
    """The backends by their identities."""
    return {identity(name, backend.settings): backend for name, backend in backends.items()}
