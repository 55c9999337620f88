"""Brings what happens in a worker to the index, and to the counters of the objectives."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from airouter.domain.clock import Clock
from airouter.domain.types import ExchangeRecord
from airouter.index.index import BackendEvent, Counted, Index, Tally
from airouter.slo.judge import Judge, Server
from airouter.slo.objectives import Objective, Profile
from airouter.slo.probes import ProbeJudge

Events = tuple[tuple[str, bool], ...]  # (objective, whether it is good)
_PROBE_KEPT_EVERY = 60.0  # seconds between two probes of a backend that found the same


class Objectives:
    """Mutable state: the last probe kept of each backend; used by the housekeeper's thread.

    Args:
        servers: the configured backends now.
        serving: the names of the backends of a route.
        count: counts an event of an objective.
    """

    def __init__(
        self,
        profiles: Sequence[Profile],
        servers: Callable[[], Mapping[str, Server]],
        serving: Callable[[str], tuple[str, ...]],
        count: Callable[[str, bool], None],
        clock: Clock,
        business_hours: tuple[int, int],
    ) -> None:
        objectives = [o for profile in profiles for o in profile.objectives]
        self._servers, self._count, self._clock = servers, count, clock
        self._judge = Judge(objectives, servers, serving)
        self._probe_judge = ProbeJudge(objectives, business_hours)
        self._mapper = {o.name: o.measure.limit for o in objectives if o.measure.kind == "mapper"}
        self._fed = frozenset(o.name for o in objectives if o.measure.kind == "tuned")
        self._applying: dict[Events, Events] = {}
        self._readiness = [o for o in objectives if o.measure.kind == "readiness_ms"]
        self._kept: dict[str, tuple[bool, float]] = {}
        self.index: Index | None = None  # set once it exists
        self.leads: Callable[[], bool] = lambda: False  # whether this worker notes the probes

    def judge(self, record: ExchangeRecord) -> Iterator[tuple[str, bool]]:
        """What a finished request means; called by the index's writer."""
        for slo, good in self._judge(record):
            self._count(slo, good)
            yield slo, good

    def probed(self, backend: str, up: bool, ms: float) -> None:
        """A backend was probed. All workers do; the one that leads notes it."""
        if self.index is None or not self.leads():
            return
        now = self._clock.now()
        at = now.timestamp()
        self._note(self._probe_judge(self._servers(), backend, up, now))
        before = self._kept.get(backend)
        if before is None or before[0] != up or at - before[1] >= _PROBE_KEPT_EVERY:
            self._kept[backend] = up, at
            value = "up" if up else "down"
            self.index.note(BackendEvent(at, backend, "probe", value, round(ms, 1)))

    def changed(self, backend: str, state: str) -> None:
        """A backend's breaker has changed its state, in this worker."""
        if self.index is not None:
            self.index.note(BackendEvent(self._clock.time(), backend, "state", state))

    def ready(self, seconds: float) -> None:
        """A readiness check was answered."""
        at = self._clock.time()
        self._note(Counted(at, o.name, seconds * 1000 <= _limit(o)) for o in self._readiness)

    def fed(self, name: str, good: bool) -> None:
        """An event of an objective that is fed by name; nothing if there is no such objective."""
        if name in self._fed:
            self._note([Counted(self._clock.time(), name, good)])

    @property
    def mapper_limits(self) -> Mapping[str, float]:
        """The limits of the objectives about the mapper's latency, in milliseconds."""
        return {name: limit for name, limit in self._mapper.items() if limit is not None}

    def mapped(self, events: Events) -> None:
        """A mapping ended: what it means for objectives. Those that do not apply are left out."""
        applying = self._applying.get(events)
        if applying is None:  # there are few combinations
            applying = tuple([event for event in events if event[0] in self._mapper])
            self._applying[events] = applying
        for slo, good in applying:
            self._count(slo, good)
        if self.index is not None and applying:
            self.index.note(Tally(self._clock.time(), applying))

    def _note(self, events: Iterable[Counted]) -> None:
        for event in events:
            self._count(event.slo, event.good)
            if self.index is not None:
                self.index.note(event)


def _limit(objective: Objective) -> float:
    return objective.measure.limit or 0.0
