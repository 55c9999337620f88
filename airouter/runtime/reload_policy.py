"""What a reload changes, and what keeps its value until a restart."""

from airouter.settings.schema import Settings

# The socket is bound, and the workers are started, once.
_BOUND = (
    "host",
    "port",
    "workers",
    "threads",
    "pin",
    "max_connections",
    "head_timeout",
    "idle_timeout",
)


def reloaded(new: Settings, old: Settings) -> Settings:
    """The new settings, with the address, workers, threads, connections, logging and
    objectives of the old."""
    kept = {name: getattr(old.server, name) for name in _BOUND}
    server = new.server.model_copy(update=kept)
    same = {"logging": old.logging, "index": old.index, "slo": old.slo, "tracing": old.tracing}
    return new.model_copy(update={"server": server, **same})


def queue_share(settings: Settings) -> int:
    """The queue length of this process: the queue is divided among the workers."""
    return max(1, settings.queue.length // settings.server.workers) if settings.queue.length else 0


def slow_thresholds(settings: Settings) -> dict[str, float]:
    """Route → milliseconds from which a request is logged as slow."""
    return {route: spec.slow_ms for route, spec in settings.routes.items()}
