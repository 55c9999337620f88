"""Statistics per route since this process started, for GET /stats."""

import threading
from collections import Counter, deque
from typing import Any

from airouter.domain.types import ExchangeRecord

_WINDOW = 1000  # latest requests per route


class _Route:
    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        self.tiers: Counter[str] = Counter()
        self.speculation: Counter[str] = Counter()
        self.total_ms: deque[float] = deque(maxlen=_WINDOW)
        self.ttft_ms: deque[float] = deque(maxlen=_WINDOW)


class Stats:
    """Sink. Mutable state: one entry per route, guarded by a lock; percentiles of the last 1,000
    requests."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._routes: dict[str, _Route] = {}

    def emit(self, record: ExchangeRecord) -> None:
        with self._lock:
            route = self._routes.get(record.route)
            if route is None:
                route = self._routes[record.route] = _Route()
            route.outcomes[record.outcome] += 1
            route.total_ms.append(record.total_ms)
            if record.tier:
                route.tiers[record.tier] += 1
            if record.speculation:
                route.speculation[record.speculation] += 1
            if record.ttft_ms is not None:
                route.ttft_ms.append(record.ttft_ms)

    def snapshot(self) -> dict[str, Any]:
        """Per route: requests, outcomes, deciding tiers, speculation, and p50/p95/p99 of total time
        and time to first content, in ms."""
        with self._lock:
            return {
                name: {
                    "requests": sum(route.outcomes.values()),
                    "outcomes": dict(route.outcomes),
                    "tiers": dict(route.tiers),
                    "speculation": dict(route.speculation),
                    "total_ms": _percentiles(route.total_ms),
                    "ttft_ms": _percentiles(route.ttft_ms),
                }
                for name, route in self._routes.items()
            }


def _percentiles(values: deque[float]) -> dict[str, float] | None:
    """Percentiles by linear interpolation between the two nearest values."""
    if not values:
        return None
    ordered = sorted(values)

    def at(q: float) -> float:
        position = q * (len(ordered) - 1)
        low = int(position)
        high = min(low + 1, len(ordered) - 1)
        return round(ordered[low] + (ordered[high] - ordered[low]) * (position - low), 3)

    return {"p50": at(0.5), "p95": at(0.95), "p99": at(0.99)}
