"""The tasks of the decision matrix, and what a backend may be capable of."""

from typing import Literal

Task = Literal["code", "reasoning", "embedding", "vision", "lightweight", "routing", "general"]
TASKS: tuple[Task, ...] = (
    "code",
    "reasoning",
    "embedding",
    "vision",
    "lightweight",
    "routing",
    "general",
)

Capability = Literal["chat", "completions", "embeddings", "vision", "tools", "json", "reasoning"]
# Those that a request may need beside its endpoint.
Need = Literal["chat", "completions", "vision", "tools", "json"]
