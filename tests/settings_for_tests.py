"""The configuration of the routers under test, in addition to `config/router.yaml`."""

from typing import Any

from bench.router_process import merged
from simulator.testing import Simulator

ROLES = ("router", "primary", "xai", "embedding")
CLOUD_MODEL = "grok-4-1-fast-reasoning"  # the one that config/router.yaml asks for
MODELS = {"router": "router-model", "primary": "ai-router/primary", "xai": "ai-router/xai"}

# Tests break backends on purpose; these must be available again for the next test.
_FORGIVING = {"breaker_fails": 1_000_000, "allowed_fails": 1_000_000, "cooldown": 0.05}
SHIPPED: dict[str, Any] = {
    "backends": {
        "router": _FORGIVING,
        "primary": _FORGIVING,
        "xai": _FORGIVING,
        "embedding": {"kind": "vllm", **_FORGIVING},
    },
    "embeddings": "embedding",
    "cascade": {
        "tiers": ["rules", "reasoning"]
    },  # so that what one test asked does not decide what the next one finds
}
_SHORT = {"first_byte_timeout": 1.0, "idle_timeout": 0.7, "total_timeout": 8, "connect_timeout": 1}
STRICT = merged(
    SHIPPED,
    {
        "backends": {"primary": _SHORT, "xai": _SHORT},
        "cascade": {"reasoning": {"timeout": 0.7}},
        "enrichment": {"timeout": 0.7},
    },
)
IMPATIENT = merged(STRICT, {"timeouts": {"keepalive_after": 0.3}})


def backend_urls(simulator: Simulator) -> dict[str, str]:
    return {role: simulator.url(role) for role in simulator.roles}
