"""Which replica of a backend a request goes to. Works out the same in every worker, by hashes and
counters that they share.

A conversation goes to the replica that has its prefix in its cache: rendezvous hashing of how the
conversation begins gives each its own order of the replicas, and the first in it that is in good
health is preferred. When one fails, its conversations move to the next in their order, and no
others do. A preferred replica is left for the least loaded one while it is overloaded. Requests
without a conversation go to the least loaded replica.
"""

import hashlib
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from airouter.upstream.backend import Backend

# Of a message: enough to tell conversations apart. A system prompt may have 100,000 characters.
_KEY_CHARS = 4096
# What a recent failure counts like, as a share of the slots. A replica that fails fast has few
# requests in flight, and would otherwise seem the least loaded.
_FAILURE = 0.25
# A preferred replica is left when it has more in flight than the least loaded one by this share of
# its slots. Less would not pay: a server that batches answers hardly slower with half of its slots
# more in use, but elsewhere the whole conversation has to be read again.
_AHEAD = 0.5
_LEAST_SHARE = 0.1  # of a replica that has just recovered; else it would never be compared
_STEPS = 2**32


def conversation_key(messages: Sequence[Any]) -> bytes:
    """The hash of what stays the same in each request of a conversation: the system message, if it
    begins with one, and the first message of the user."""
    digest = hashlib.blake2b(digest_size=8)
    for message in messages:
        role = message.get("role") if isinstance(message, dict) else None
        if role in ("system", "developer", "user"):
            digest.update(_text(message.get("content")).encode(errors="replace"))
            digest.update(b"\0")
        if role == "user":
            break
    return digest.digest()


def _text(content: Any) -> str:
    """The beginning of a message's text; of its images as much as tells them apart."""
    if isinstance(content, str):
        return content[:_KEY_CHARS]
    parts = [part for part in content if isinstance(part, dict)] if content else ()
    pieces = []
    for part in parts:
        image = part.get("image_url")
        url = str(image.get("url") if isinstance(image, dict) else image) if image else ""
        pieces.append(str(part.get("text") or "")[:_KEY_CHARS] + (f"{len(url)}{url[-64:]}"))
    return "\n".join(pieces)[:_KEY_CHARS]


def load(backend: Backend) -> float:
    """Requests in flight, of all workers, and waiting in this one; each recent failure counts like
    several."""
    slots = backend.settings.slots
    failures = backend.breaker.recent_failures * max(1.0, slots * _FAILURE)
    return backend.traffic.under_way + backend.limiter.waiting + failures


def share(backend: Backend) -> float:
    """The share of its requests that a replica gets after it has recovered: 0 at first, 1 after
    `slow_start` seconds, and always of one that was never away."""
    recovered = [at for at in (backend.breaker.recovered_at, backend.returned_at) if at is not None]
    slow = backend.settings.slow_start
    if not recovered or not slow:
        return 1.0
    return min(1.0, (backend.clock.monotonic() - max(recovered)) / slow)


def least_loaded(replicas: Sequence[Backend]) -> list[Backend]:
    """The replicas: those that can answer first, then by load; of equals, one whose model is
    loaded."""
    return sorted(replicas, key=_weight)


def _weight(backend: Backend) -> tuple[bool, float, bool]:
    weight = (load(backend) + 1) / max(share(backend), _LEAST_SHARE)
    return not backend.can_answer_now, weight, backend.loaded is False


def for_conversation(replicas: Sequence[Backend], key: bytes) -> list[Backend]:
    """The replicas in the order in which a conversation asks them.

    Args:
        key: of `conversation_key()`.
    """
    weighed = sorted(((_weight(b), i, b) for i, b in enumerate(replicas)))
    order = [backend for _, _, backend in weighed]
    able = sorted((*_hashes(key, b), i, b) for (unable, *_), i, b in weighed if not unable)
    if not able:
        return order
    # One that has recovered gets its conversations back one by one; which ones is fixed, so that
    # none goes to and fro.
    back = (b for _, turn, _, b in able if turn < share(b) * _STEPS)
    preferred = next(back, able[0][-1])
    if _is_overloaded(preferred, order[0]):
        return order
    # The others as the conversation will prefer them should this one fail.
    ranked = dict.fromkeys([preferred, *(each[-1] for each in able), *order])
    return [*ranked]


def _is_overloaded(preferred: Backend, other: Backend) -> bool:
    if preferred is other or other.limiter.full:
        return False
    ahead = load(preferred) - load(other)
    return preferred.limiter.full or ahead > max(2.0, preferred.settings.slots * _AHEAD)


def _hashes(key: bytes, backend: Backend) -> tuple[int, int]:
    """Of a conversation and a replica: the rank, and when it comes back to it. By the URL, so that
    nothing moves when the list of replicas is edited."""
    digest = hashlib.blake2b(backend.url.encode(), digest_size=8, key=key).digest()
    return int.from_bytes(digest[:4]), int.from_bytes(digest[4:])


class Replicas:
    """The backends of a configuration, by groups. Stateless; costs nothing where no backend has
    several replicas."""

    def __init__(self, backends: Mapping[str, Backend]) -> None:
        self._backends = backends
        groups = [b.group for b in backends.values() if b.group is not None]
        self._several = len(set(groups)) < len(groups)

    def arranged(self, names: tuple[str, ...], messages: Sequence[Any] = ()) -> tuple[str, ...]:
        """The names of backends, with those of one group in the order in which its replicas are to
        be asked; the groups stay where they are.

        Args:
            messages: of a conversation; none for requests that have no prefix to come back to.
        """
        if not self._several or len(names) < 2:
            return names
        key = conversation_key(messages) if messages else None
        order: list[str] = []
        for group, members in groupby(names, self._group):
            each = [*members]
            if group is not None and len(each) > 1:
                replicas = [self._backends[name] for name in each]
                found = least_loaded(replicas) if key is None else for_conversation(replicas, key)
                each = [backend.name for backend in found]
            order += each
        return tuple(order)

    def _group(self, name: str) -> str | None:
        return self._backends[name].group
