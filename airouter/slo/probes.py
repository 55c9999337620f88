"""What the probes of the backends mean for their objectives: whether each is up, and how long its
outages last."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from airouter.index.index import Counted
from airouter.slo.judge import Server, is_meant
from airouter.slo.objectives import Objective


class ProbeJudge:
    """Used by one thread. Mutable state: since when each backend has been down, for which
    objectives its present outage already counts, and the minute of its last probe.

    Args:
        business_hours: (from, to) on weekdays, hours of the local time.
    """

    def __init__(
        self, objectives: Iterable[Objective], business_hours: tuple[int, int] = (8, 18)
    ) -> None:
        self._objectives = [o for o in objectives if o.measure.kind in ("up", "recovered")]
        self._from, self._to = business_hours
        self._down_since: dict[str, float] = {}
        self._minute: dict[str, int] = {}
        self._counted: dict[str, set[str]] = {}

    def __call__(
        self, servers: Mapping[str, Server], backend: str, up: bool, now: datetime
    ) -> Iterator[Counted]:
        """Events that a probe means.

        Args:
            now: local time.
        """
        server, at = servers.get(backend), now.timestamp()
        since = self._down_since.get(backend)
        # One that is down or loading is probed more often: each minute counts once.
        new_minute = self._minute.get(backend) != int(at // 60)
        self._minute[backend] = int(at // 60)
        if not up and since is None:
            since = self._down_since[backend] = at
        for objective in self._objectives:
            measure = objective.measure
            if not is_meant(measure, server):
                continue
            if measure.kind == "up":
                if new_minute and (not measure.business_hours or self._is_business(now)):
                    yield Counted(at, objective.name, up)
            elif since is not None and measure.limit is not None:
                late, counted = at - since > measure.limit, self._counted.setdefault(backend, set())
                if (up or late) and objective.name not in counted:
                    counted.add(objective.name)
                    yield Counted(at, objective.name, not late)
        if up:
            self._down_since.pop(backend, None)
            self._counted.pop(backend, None)

    def _is_business(self, now: datetime) -> bool:
        return now.weekday() < 5 and self._from <= now.hour < self._to
