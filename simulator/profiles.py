"""Timing profiles of the roles, as frozen data whose fields can be overridden."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

Range = tuple[float, float]
# Handling of a trailing assistant message without vLLM's continue_final_message: a new turn, a
# continuation, a continuation that repeats the text, or status 400.
PREFILLS: tuple[str, ...] = ("ignore", "continue", "repeat", "reject")


@dataclass(frozen=True, slots=True)
class RoleProfile:
    """The behaviour of a role. Values are drawn uniformly from ranges; a rate of 0 means "at
    once"."""

    kind: str  # "vllm", "ollama" or "xai": the server to simulate
    model: str
    models: tuple[str, ...] = ()  # additional model names
    max_model_len: int = 32768
    slots: int = 256  # concurrent sequences; further requests wait in order of arrival
    ttft_ms: Range = (0, 0)  # streaming: from a free slot to the first token, without prefill
    ttft_nonstream_ms: Range = (0, 0)  # the same without streaming
    prefill_tps: float = 0
    tps: float = 0
    prefix_cache_blocks: int = 65536  # 0 turns the prefix cache off
    classifier: bool = False  # answers with a label
    think_ms: Range = (0, 0)
    think_ms_long: Range = (0, 0)  # for queries of more than long_query_words words
    think_tokens: int = 0  # at least this many; 0 with think_ms 0 = no reasoning
    reasoning_field: str = (
        ""  # "" = a <think> block in content; else "reasoning_content" or "reasoning"
    )
    # vLLM's --reasoning-parser: `include_reasoning: false` drops log-probabilities, and a
    # constrained answer of one token counts as reasoning.
    reasoning_parser: bool = False
    first_constrained_ms: float = 0  # added once, while the grammar library is loaded
    long_query_words: int = 40
    readable: bool = False  # answers in sentences; else in words that carry their numbers
    answer_short: Range = (20, 20)  # tokens of an answer, by the kind of the prompt
    answer_long: Range = (20, 20)
    answer_meta: Range = (20, 20)
    answer_grounded: Range = (20, 20)
    search_ms: Range = (0, 0)  # a whole call of /v1/responses
    early_headers: bool = (
        False  # send a stream's headers on arrival instead of with its first chunk
    )
    prefill: str = "ignore"  # handling of a trailing assistant message; see PREFILLS
    embedding_dim: int = 256
    max_inputs: int = 0  # embeddings per request; more are status 413. 0: no limit
    version: str = "0.12.1"
    mapping_invalid: float = 0.0  # share of the answers to the mapper that are no valid JSON
    mapping_unsure: float = 0.0  # share of them with a low confidence

    def override(self, changes: dict[str, Any]) -> RoleProfile:
        """A copy with these fields changed; raises ValueError for invalid fields."""
        clean: dict[str, Any] = {}
        for name, value in changes.items():
            if name not in FIELDS:
                raise ValueError(f"unknown setting {name!r}")
            clean[name] = _coerce(name, value, getattr(self, name))
        return dataclasses.replace(self, **clean)

    def as_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


FIELDS = frozenset(field.name for field in dataclasses.fields(RoleProfile))


def _coerce(name: str, value: Any, current: Any) -> Any:
    if name == "models":
        if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
            raise ValueError("models must be a list of names")
        return tuple(value)
    if isinstance(current, tuple):
        return as_range(name, value)
    if isinstance(current, bool | str):
        if not isinstance(value, type(current)):
            raise ValueError(f"{name} must be a {type(current).__name__}")
        if name == "prefill" and value not in PREFILLS:
            raise ValueError(f"prefill must be one of {', '.join(PREFILLS)}")
        return value
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise ValueError(f"{name} must be a number of at least 0")
    return (
        int(value)
        if isinstance(current, int) and name not in ("tps", "prefill_tps")
        else float(value)
    )


def as_range(name: str, value: Any) -> Range:
    """A number (exactly that) or [low, high]."""
    pair = value if isinstance(value, list | tuple) else (value, value)
    if (
        len(pair) != 2
        or not all(isinstance(item, int | float) and item >= 0 for item in pair)
        or pair[0] > pair[1]
    ):
        raise ValueError(f"{name} must be a number or [low, high]")
    return (float(pair[0]), float(pair[1]))


_XAI_MODELS = ("grok-4-fast", "grok-3-mini", "gpt-4o", "gpt-4o-mini")

FAST: dict[str, RoleProfile] = {
    "router": RoleProfile("vllm", "router-model", slots=4096, classifier=True, think_tokens=8),
    "primary": RoleProfile("vllm", "primary-model", slots=4096),
    "xai": RoleProfile("xai", "grok-4", _XAI_MODELS, max_model_len=256_000, slots=4096),
    "ollama": RoleProfile("ollama", "llama3.2:3b", slots=4096),
    "embedding": RoleProfile("vllm", "embedding-model", max_model_len=8192, slots=4096),
}

# Published figures of a home server. They were measured on different requests, so no single timing
# model reproduces all of them; each comment says which figure determines the value.
HOMELAB: dict[str, RoleProfile] = {
    "router": dataclasses.replace(
        FAST["router"],
        slots=32,
        tps=192,  # router model: 192 tok/s
        prefill_tps=20_000,
        ttft_ms=(22, 26),
        ttft_nonstream_ms=(22, 26),
        # classification 952-1,087 ms (short) and 1,394-1,806 ms (long), less ~25 ms to the first
        # token and ~10 ms for the two tokens of a label
        think_ms=(917, 1050),
        think_ms_long=(1358, 1768),
    ),
    "primary": dataclasses.replace(
        FAST["primary"],
        slots=32,
        tps=233,  # primary model: 233 tok/s
        prefill_tps=12_000,
        ttft_ms=(76, 86),  # streaming, time to first token 77-89 ms direct
        ttft_nonstream_ms=(
            28,
            29,
        ),  # a direct call of one token: 33 ms, of which one token is 4.3 ms
        answer_short=(41, 84),  # MODERATE short: inference 208-396 ms
        answer_long=(87, 503),  # long: 402-2,204 ms
        answer_meta=(226, 282),  # META: 1,006-1,250 ms
        answer_grounded=(321, 804),  # final inference of an enriched answer: 1,415-3,498 ms
    ),
    "xai": dataclasses.replace(
        FAST["xai"],
        slots=256,
        tps=80,
        prefill_tps=30_000,
        # COMPLEX 7,347-11,007 ms: a silent start, then the answer
        ttft_ms=(2390, 4000),
        ttft_nonstream_ms=(2390, 4000),
        answer_short=(396, 556),
        answer_long=(396, 556),
        answer_meta=(396, 556),
        answer_grounded=(396, 556),
        search_ms=(11_127, 25_987),  # web search 11,127-25,987 ms
    ),
    "ollama": dataclasses.replace(
        FAST["ollama"],
        slots=4,
        tps=90,
        prefill_tps=3000,
        ttft_ms=(110, 150),
        ttft_nonstream_ms=(60, 80),
        answer_short=(40, 90),
        answer_long=(90, 400),
        answer_meta=(60, 120),
        answer_grounded=(200, 500),
    ),
    "embedding": dataclasses.replace(
        FAST["embedding"], slots=64, prefill_tps=40_000, ttft_ms=(6, 9), ttft_nonstream_ms=(6, 9)
    ),
}


def _for_reading(role: str, **changes: Any) -> RoleProfile:
    lengths = {f"answer_{kind}": (90, 140) for kind in ("short", "long", "meta", "grounded")}
    return dataclasses.replace(HOMELAB[role], readable=True, **{**lengths, **changes})


# For trying the router without a model: readable answers, short waits.
DEMO: dict[str, RoleProfile] = {
    "router": _for_reading("router", think_ms=(250, 350), think_ms_long=(350, 450)),
    "primary": _for_reading("primary", tps=150),
    "xai": _for_reading(
        "xai", ttft_ms=(500, 800), ttft_nonstream_ms=(500, 800), search_ms=(800, 1200)
    ),
    "ollama": _for_reading("ollama"),
    "embedding": HOMELAB["embedding"],
}

PROFILES: dict[str, dict[str, RoleProfile]] = {"fast": FAST, "homelab": HOMELAB, "demo": DEMO}
ABOUT: dict[str, str] = {
    "fast": "everything at once, answers of 20 numbered words",
    "homelab": "the published times of one home server: a web search takes 11 to 26 s",
    "demo": "answers in sentences, a web search takes a second",
}
