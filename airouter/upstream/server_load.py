"""Reads from vLLM servers what load they state at their /metrics."""

import math
import re
from collections.abc import Mapping

from prometheus_client.parser import text_string_to_metric_families

from airouter.domain.clock import Clock
from airouter.upstream.backend import Backend, ServerLoad
from airouter.upstream.read_all import read_all

_MAX_LINES = 1_000  # one for each engine and model
# The few lines that are wanted; parsing all, thousands of histogram buckets, takes 50 ms.
_WANTED = re.compile(
    rb"^vllm:(?:num_requests_running|num_requests_waiting"
    rb"|prefix_cache_(?:hits|queries)(?:_total)?)[ {].*$",
    re.MULTILINE,
)


def read_loads(
    backends: Mapping[str, Backend], clock: Clock, limit: float
) -> dict[str, ServerLoad | None]:
    """The load of each backend, asked side by side; None where it cannot be read, for whatever
    reason.

    Args:
        limit: seconds for all of them.
    """
    bodies = read_all(backends, lambda _backend: "/metrics", clock, limit)
    return {name: parse_load(body) if body else None for name, body in bodies.items()}


def parse_load(body: bytes) -> ServerLoad | None:
    """The load in a text of Prometheus' format, summed over engines and models; None where it is
    not there or not valid."""
    lines = _WANTED.findall(body)[:_MAX_LINES]
    sums: dict[str, float] = {}
    try:
        text = b"\n".join(lines).decode()
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                name = sample.name.removeprefix("vllm:").removesuffix("_total")
                sums[name] = sums.get(name, 0.0) + sample.value
    except ValueError:  # UnicodeDecodeError is one
        return None
    if not all(math.isfinite(value) and value >= 0 for value in sums.values()):
        return None
    running, waiting = sums.get("num_requests_running"), sums.get("num_requests_waiting")
    if running is None or waiting is None:
        return None
    queries, hits = sums.get("prefix_cache_queries", 0.0), sums.get("prefix_cache_hits", 0.0)
    return ServerLoad(running, waiting, min(1.0, hits / queries) if queries else None)
