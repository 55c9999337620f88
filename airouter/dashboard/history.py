"""What the index of requests says about a window of time: the event `history`."""

import os
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any

from airouter.dashboard.sample import DECIDED_AT_ONCE, Sample
from airouter.dashboard.totals import FAILED, Cell, Totals
from airouter.domain.clock import Clock
from airouter.index.reading import NAME, UNREADABLE, is_made, read_only
from airouter.settings.backends import BackendSettings
from airouter.settings.schema import Settings
from airouter.telemetry.request_metrics import cost_of

# Seconds of a window, and of its buckets.
WINDOWS: Mapping[int, int] = {900: 15, 3_600: 60, 86_400: 1_800, 604_800: 10_800}
SWITCHED_OFF = "The index of requests is switched off: set index.enabled to true to see the past."
_LAST_MINUTE = "SELECT count(*) FROM requests WHERE at >= ?"


class History:
    """Of one window. Mutable state: what has been summed up; used by one thread.

    Args:
        window: seconds, one of `WINDOWS`.
        settings: those of the current configuration.
        document: reads the session file of a request, given its id and arrival; None: there is
            none.
    """

    def __init__(
        self,
        window: int,
        settings: Callable[[], Settings],
        document: Callable[[str, float], dict[str, Any] | None],
        clock: Clock,
    ) -> None:
        self._window, self._bucket = window, WINDOWS[window]
        self._settings, self._document, self._clock = settings, document, clock
        self._totals, self._sample = Totals(self._bucket, window // self._bucket), Sample()
        self._read_to = 0
        self._read: dict[str, dict[str, Any]] = {}  # what session files say of the latest failures

    def event(self) -> dict[str, Any]:
        """The event's data."""
        settings, now = self._settings(), self._clock.time()
        base = {"at": now, "window_s": self._window, "bucket_s": self._bucket}
        if not settings.index.enabled:
            return base | {"problem": SWITCHED_OFF} | self._nothing(settings, now)
        path = settings.logging.dir / NAME
        if not path.exists():
            return base | {"problem": ""} | self._nothing(settings, now)
        try:
            found = os.stat(path)
            with closing(read_only(path)) as connection:
                if not is_made(connection):
                    return base | {"problem": ""} | self._nothing(settings, now)
                rows = self._totals.read(connection, now, (found.st_dev, found.st_ino))
                since = self._totals.first(now) * self._bucket
                if rows[0] < self._read_to:  # begun anew
                    self._sample.clear()
                self._read_to = rows[1]
                self._sample.read(connection, since, rows, self._totals.requests)
                minute = connection.execute(_LAST_MINUTE, (now - 60,)).fetchone()[0]
                return base | {"problem": ""} | self._shown(settings, now, minute)
        except (sqlite3.Error, OSError):
            return base | {"problem": UNREADABLE} | self._nothing(settings, now)

    def _nothing(self, settings: Settings, now: float) -> dict[str, Any]:
        self._totals = Totals(self._bucket, self._totals.buckets)
        self._sample.clear()
        return self._shown(settings, now, 0)

    def _shown(self, settings: Settings, now: float, last_minute: int) -> dict[str, Any]:
        totals, sample = self._totals, self._sample
        since = totals.first(now) * self._bucket
        buckets = range(totals.first(now), totals.first(now) + totals.buckets)
        times = (self._bucket, totals.buckets)
        outcomes = totals.series("outcome", now)
        return {
            "sampled": not sample.complete,
            "overview": self._overview(settings, sample) | {"last_minute": last_minute},
            "answered_by": self._answered_by(settings, sample),
            "errors": [row | {"text": self._said(row).get("error")} for row in totals.errors],
            "fallbacks": [
                row | {"attempts": self._said(row).get("attempts", [])} for row in totals.fallbacks
            ],
            "series": {
                "t": [number * self._bucket for number in buckets],
                "requests": _added([*outcomes.values()], totals.buckets),
                "failed": _added([outcomes.get(one, []) for one in FAILED], totals.buckets),
                "by_route": totals.series("route", now),
                "by_tier": totals.series("tier", now),
                "ttft_ms": sample.series("ttft_ms", since, *times),
                "total_ms": sample.series("total_ms", since, *times),
            },
            "routes": _routes(totals, sample),
            "tiers": _tiers(totals, sample),
            "stages": list(sample.stages()),
            "economics": self._economics(settings, sample),
        }

    def _overview(self, settings: Settings, sample: Sample) -> dict[str, Any]:
        outcomes, again = self._totals.by("outcome"), self._totals.by("again")
        backends = self._totals.by("backend")
        everything = _sum(outcomes)
        answered = sum(cell.requests for name, cell in backends.items() if name is not None)
        cloud = sum(cell.requests for name, cell in backends.items() if _is_cloud(settings, name))
        return {
            "requests": everything.requests,
            "per_minute": round(everything.requests * 60 / self._window, 2),
            "ok": outcomes["ok"].requests,
            "failed": sum(outcomes[name].requests for name in FAILED),
            "refused": outcomes["client_error"].requests,
            "client_gone": outcomes["client_gone"].requests,
            "cloud": cloud,
            "cloud_share": cloud / answered if answered else None,
            "failovers": again[True].requests,
            "ttft_ms": sample.percentiles("ttft_ms"),
            "total_ms": sample.percentiles("total_ms"),
            "tokens_in": everything.tokens_in,
            "tokens_out": everything.tokens_out,
        }

    def _answered_by(self, settings: Settings, sample: Sample) -> list[dict[str, Any]]:
        rates, times = sample.tokens_per_second(), sample.by("backend", "ttft_ms")
        return [
            {
                "backend": backend,
                "model": model,
                "local": not _is_cloud(settings, backend),
                "requests": cell.requests,
                "tokens_s": rates.get(backend),
                "ttft_ms": times.get(backend),
            }
            for (backend, model), cell in _largest_first(self._totals.by("backend", "model"))
            if backend is not None
        ]

    def _economics(self, settings: Settings, sample: Sample) -> dict[str, Any]:
        speculation = self._totals.by("speculation")
        decided = self._totals.by("decided", "tier")
        count = sum(
            cell.requests
            for (by_router, tier), cell in decided.items()
            if by_router and tier in DECIDED_AT_ONCE
        )
        saved = sample.saved_at_once(settings.speculation.enabled)
        return {
            "speculation": {
                "won": speculation["won"].requests,
                "cancelled": speculation["cancelled"].requests,
                "failed": speculation["failed"].requests,
                "saved_s": round(speculation["won"].saved_ms / 1000, 3),
                "tokens_wasted": _sum(speculation).tokens_wasted,
            },
            "instant": {
                "decisions": count,
                "saved_s": None if saved is None else round(saved[0] * count / 1000, 3),
                "compared_with_ms": None if saved is None else saved[1],
            },
            "cloud": self._cloud(settings),
        }

    def _cloud(self, settings: Settings) -> dict[str, Any]:
        """Answers that a router which sends everything to the cloud would have paid for, and those
        that were paid for."""
        cloud = next((b for b in settings.serving("xai") if _is_cloud(settings, b)), None)
        price = settings.backends[cloud].price if cloud is not None else None
        avoided = paid = 0
        cost = spared = 0.0
        found = self._totals.by("backend", "decided", "outcome")
        for (backend, decided, outcome), cell in found.items():
            if backend is None:
                continue
            spec = settings.backends.get(backend)
            if _is_cloud(settings, backend):
                paid += cell.requests
                cost += _cost(spec, cell)
            elif decided and outcome == "ok":
                avoided += cell.requests
                if price is not None:
                    spared += cost_of(price, cell.tokens_in, cell.tokens_out, cell.tokens_cached)
        known = price is not None and (price.input > 0 or price.output > 0)
        return {
            "avoided": avoided,
            "paid": paid,
            "searches": self._totals.by("searched")[True].requests,
            "cost": round(cost, 6) if known else None,
            "avoided_cost": round(spared, 6) if known else None,
            "currency": "USD",
        }

    def _said(self, row: dict[str, Any]) -> dict[str, Any]:
        """What the session file of a failure says: the code of its error, the attempts. The error's
        text is left out, because it may quote the conversation."""
        known = self._read.get(row["id"])
        if known is None:
            document = self._document(row["id"], row["at"]) or {}
            code = str(document.get("error") or "").partition(":")[0]
            known = {
                "error": code if code.replace("_", "").isalnum() else None,
                "attempts": [str(one) for one in document.get("attempts") or []],
            }
            latest = {one["id"] for one in (*self._totals.errors, *self._totals.fallbacks)}
            self._read = {key: value for key, value in self._read.items() if key in latest}
            self._read[row["id"]] = known
        return known


def _routes(totals: Totals, sample: Sample) -> list[dict[str, Any]]:
    outcomes, times = totals.by("route", "outcome"), sample.by("route", "ttft_ms")
    return [
        {
            "route": route,
            "requests": cell.requests,
            "share": cell.requests / totals.requests,
            "ok": outcomes[route, "ok"].requests if (route, "ok") in outcomes else 0,
            "failed": sum(
                outcomes[route, name].requests for name in FAILED if (route, name) in outcomes
            ),
            "ttft_ms": times.get(route),
        }
        for route, cell in _largest_first(totals.by("route"))
    ]


def _tiers(totals: Totals, sample: Sample) -> list[dict[str, Any]]:
    """Of the requests that a tier decided."""
    found = {tier: cell for tier, cell in totals.by("tier").items() if tier != "none"}
    count, times = _sum(found).requests, sample.decisions()
    return [
        {
            "tier": tier,
            "requests": cell.requests,
            "share": cell.requests / count,
            "decision_ms": times.get(tier),
        }
        for tier, cell in _largest_first(found)
    ]


def _largest_first(cells: Mapping[Any, Cell]) -> list[tuple[Any, Cell]]:
    return sorted(cells.items(), key=lambda item: -item[1].requests)


def _sum(cells: Mapping[Any, Cell]) -> Cell:
    everything = Cell()
    for cell in cells.values():
        everything.merge(cell)
    return everything


def _added(columns: list[list[int]], length: int) -> list[int]:
    return [sum(values) for values in zip(*(c for c in columns if c), strict=True)] or [0] * length


def _is_cloud(settings: Settings, backend: str | None) -> bool:
    spec = settings.backends.get(backend or "")
    return spec is not None and not spec.local


def _cost(spec: BackendSettings | None, cell: Cell) -> float:
    if spec is None:
        return 0.0
    return cost_of(spec.price, cell.tokens_in, cell.tokens_out, cell.tokens_cached)
