"""The configuration of the routers under test, in addition to `config/router.yaml`."""

from typing import Any

from bench.router_process import merged
from simulator.testing import Simulator

ROLES = ("router", "primary", "xai", "embedding")
CLOUD_MODEL = "grok-4-1-fast-reasoning"  # the one that config/router.yaml asks for
MODELS = {"router": "router-model", "primary": "ai-router/primary", "xai": "ai-router/xai"}

# Tests break backends on purpose; no backend may still be cooling when the next test starts.
_FORGIVING = {"breaker_fails": 1_000_000, "allowed_fails": 1_000_000, "cooldown": 0.05}
# config/router.yaml with its cascade as shipped.
SHIPPED: dict[str, Any] = {
    "backends": {
        "router": _FORGIVING,
        "primary": _FORGIVING,
        "xai": _FORGIVING,
        "embedding": {"kind": "vllm", **_FORGIVING},
    },
    "embeddings": "embedding",
}
# Without memory, and with one classifier that a test steers: no test decides what the next one
# gets.
PLAIN_CASCADE: dict[str, Any] = {"tiers": ["rules", "reasoning"]}
PLAIN: dict[str, Any] = {**SHIPPED, "cascade": PLAIN_CASCADE}
_SHORT = {"first_byte_timeout": 1.0, "idle_timeout": 0.7, "total_timeout": 8, "connect_timeout": 1}
STRICT = merged(
    PLAIN,
    {
        "backends": {"primary": _SHORT, "xai": _SHORT},
        "cascade": {"reasoning": {"timeout": 0.7}},
        "enrichment": {"timeout": 0.7},
    },
)
IMPATIENT = merged(STRICT, {"timeouts": {"keepalive_after": 0.3}})


def backend_urls(simulator: Simulator) -> dict[str, str]:
    return {role: simulator.url(role) for role in simulator.roles}
