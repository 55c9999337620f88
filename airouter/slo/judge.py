"""Judges a finished request: for which objectives it counts, and whether it is good for them."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Protocol

from airouter.domain.types import ExchangeRecord
from airouter.slo.objectives import Kind, Measure, Objective
from airouter.telemetry.derived import own_ms, tokens_of

COLD_AFTER = 60.0  # seconds without a request after which the next one counts as cold
_WARM_KNOWN = 5  # warm requests before a cold one is compared with them
_WARM_WEIGHT = 0.1  # of the latest in the mean of the warm ones
_FEWEST_TOKENS = 20  # in an answer whose speed is measured
_MODEL_TIERS = ("decision_model", "one_token", "reasoning")


Judged = Callable[[Measure, ExchangeRecord], bool | None]


class Server(Protocol):
    """What has to be known about a backend."""

    name: str

    @property
    def url(self) -> str: ...

    @property
    def local(self) -> bool: ...

    @property
    def in_good_health(self) -> bool: ...


class Judge:
    """Used by one thread. Mutable state: how long a warm request takes, by backend; which
    objectives apply to a backend.

    Args:
        servers: the configured backends now, by name.
        serving: the names of the backends of a route, in order.
    """

    def __init__(
        self,
        objectives: Iterable[Objective],
        servers: Callable[[], Mapping[str, Server]],
        serving: Callable[[str], tuple[str, ...]] = lambda _: (),
    ) -> None:
        self._servers, self._serving = servers, serving
        self._objectives = tuple(objectives)
        self._routes = {o.measure.route for o in self._objectives if o.measure.kind == "total_ms"}
        self._warm: dict[str, tuple[int, float]] = {}
        self._applying: dict[tuple[str, str], list[tuple[str, Measure, Judged]]] = {}
        self._good: Mapping[Kind, Judged] = {
            "answer_ms": _answer,
            "ttft_ms": _first_token,
            "cold": self._cold,
            "sustained": _sustained,
            "burst": _burst,
            "total_ms": self._total,
            "available": _available,
            "own_ms": _own,
            "failover_ms": _failover,
            "classified": _classified,
            "cloud_last": self._cloud_last,
        }

    def __call__(self, record: ExchangeRecord) -> Iterator[tuple[str, bool]]:
        """(objective, good) for each objective that the request counts for; none for a test's."""
        if record.test is not None or record.route == "passthrough":
            return
        server = self._servers().get(record.backend or "")
        key = (server.name, server.url) if server is not None else ("", "")
        known = self._applying.get(key)
        if known is None:
            known = self._applying[key] = self._find(server)
        for name, measure, judged in known:
            good = judged(measure, record)
            if good is not None:
                yield name, good
        self._remember(record)

    def _find(self, server: Server | None) -> list[tuple[str, Measure, Judged]]:
        """The objectives that a request to this backend may count for."""
        return [
            (objective.name, objective.measure, self._good[objective.measure.kind])
            for objective in self._objectives
            if objective.measure.kind in self._good
            and (objective.measure.backend is None or is_meant(objective.measure, server))
        ]

    def _total(self, measure: Measure, record: ExchangeRecord) -> bool | None:
        if record.outcome not in ("ok", "truncated"):
            return None
        route = record.route if record.route in self._routes else "other"
        return _within(measure, record.total_ms) if measure.route in (None, route) else None

    def _cold(self, measure: Measure, record: ExchangeRecord) -> bool | None:
        count, mean = self._warm.get(record.backend or "", (0, 0.0))
        time = _comparable(record)
        if time is None or count < _WARM_KNOWN or not _is_cold(record):
            return None
        return _within(measure, time / mean) if mean else None

    def _remember(self, record: ExchangeRecord) -> None:
        time = _comparable(record)
        if record.backend is None or time is None or _is_cold(record):
            return
        count, mean = self._warm.get(record.backend, (0, time))
        mean += (time - mean) * max(_WARM_WEIGHT, 1 / (count + 1))
        self._warm[record.backend] = count + 1, mean

    def _cloud_last(self, measure: Measure, record: ExchangeRecord) -> bool | None:
        """Of the requests that a cloud answered although their route is a local one."""
        servers = self._servers()
        server = servers.get(record.backend or "")
        chain = [servers[name] for name in self._serving(record.route) if name in servers]
        if server is None or server.local or not chain or not chain[0].local:
            return None
        if record.requested_route == server.name or any("support" in n for n in record.notes):
            return None  # asked for, or the only one that is able to
        tried = len(record.attempts) > 1
        return tried or not any(other.local and other.in_good_health for other in chain)


def is_meant(measure: Measure, server: Server | None) -> bool:
    """Whether it is the backend that is meant: of that name, or at that address."""
    if server is None:
        return False
    url = (measure.url or "").rstrip("/").removesuffix("/v1")
    return server.name == measure.backend or (url != "" and server.url.rstrip("/") == url)


def _within(measure: Measure, value: float) -> bool:
    assert measure.limit is not None
    return value <= measure.limit


def _alone(record: ExchangeRecord) -> bool:
    return record.outcome == "ok" and record.in_flight == 0 and len(record.attempts) == 1


def _is_cold(record: ExchangeRecord) -> bool:
    return record.idle_s is not None and record.idle_s >= COLD_AFTER


def _comparable(record: ExchangeRecord) -> float | None:
    """ms until the first content, or of an answer of one token, for telling cold from warm."""
    if not _alone(record):
        return None
    return record.backend_ttft_ms if record.stream else record.inference_ms


def _answer(measure: Measure, record: ExchangeRecord) -> bool | None:
    one = record.endpoint == "embeddings" if measure.embeddings else record.max_tokens == 1
    if not (_alone(record) and one) or _is_cold(record):
        return None
    return _within(measure, record.inference_ms)


def _first_token(measure: Measure, record: ExchangeRecord) -> bool | None:
    if not _alone(record) or _is_cold(record):
        return None
    if measure.embeddings:
        comparable = record.endpoint == "embeddings" and (record.inputs or 0) <= measure.batch
        return _within(measure, record.inference_ms) if comparable else None
    if not record.stream or record.backend_ttft_ms is None:
        return None
    return _within(measure, record.backend_ttft_ms)


def _sustained(measure: Measure, record: ExchangeRecord) -> bool | None:
    speed = _speed(measure, record) if record.in_flight == 0 else None
    return None if speed is None or measure.limit is None else speed >= measure.limit


def _burst(measure: Measure, record: ExchangeRecord) -> bool | None:
    if not record.in_flight:
        return None
    speed = _speed(measure, record)
    if speed is None or measure.limit is None:
        return None
    return speed * (record.in_flight + 1) >= measure.limit


def _speed(measure: Measure, record: ExchangeRecord) -> float | None:
    """Tokens, or embeddings, per second."""
    if record.outcome != "ok":
        return None
    if measure.embeddings:
        full = record.endpoint == "embeddings" and (record.inputs or 0) >= measure.batch
        return _per_second(record.inputs or 0, record.inference_ms) if full else None
    _, tokens, _ = tokens_of(record.usage)
    if tokens is None or tokens < _FEWEST_TOKENS:
        return None
    return _per_second(tokens, record.inference_ms - (record.backend_ttft_ms or 0.0))


def _per_second(count: int, ms: float) -> float | None:
    return count * 1000 / ms if ms > 0 else None


def _available(_: Measure, record: ExchangeRecord) -> bool | None:
    """A client's own errors say nothing about the router (a deviation from seed 002's formula)."""
    if record.reason.startswith(("client_", "policy_")):
        return None
    return record.reason == "ok"


def _own(measure: Measure, record: ExchangeRecord) -> bool | None:
    own = own_ms(record)
    return None if own is None else _within(measure, own)


def _failover(measure: Measure, record: ExchangeRecord) -> bool | None:
    if record.outcome != "ok" or len(record.attempts) < 2 or record.ttft_ms is None:
        return None
    if record.attempts[0].backend == record.backend:
        return None  # tried again, or continued
    answered = record.backend_ttft_ms if record.stream else record.inference_ms
    return _within(measure, max(0.0, record.ttft_ms - (answered or 0.0)))


def _classified(_: Measure, record: ExchangeRecord) -> bool | None:
    asked = [verdict for verdict in record.verdicts if verdict.tier in _MODEL_TIERS]
    if not asked:
        return None
    return any(verdict.label is not None or verdict.guess is not None for verdict in asked)
