"""What deciding and planning cost with many backends: the same requests with 3 and with 50
configured, in this process, alternating."""

import time
from collections.abc import Callable
from typing import Any

from airouter.classify.cascade import Cascade
from airouter.classify.features import features_of
from airouter.classify.tiers.rules import RulesTier
from airouter.dialects.openai_request import ChatRequest, parse_request
from airouter.domain.clock import Clock
from airouter.planning.demand import demand_of
from airouter.planning.planner import Planner
from airouter.settings.schema import Settings
from bench.result import Result, number
from bench.stats import bootstrap

_FEW, _MANY = 3, 50
TARGET = 1.1  # cost with 50 backends ÷ cost with 3
_ROUNDS, _REPEATS = 300, 5
_CODE = "Why is this slow?\n```python\nfor i in range(n):\n    total += i\n```"
_TOOL = {"type": "function", "function": {"name": "read_file"}}
_FIXED = ("coder_fast", "coder", "cloud")


def fleet(quick: bool = False) -> Result:
    """Both costs, and their ratio with its interval."""
    rounds = 20 if quick else _ROUNDS
    columns = ("deciding and planning", "rounds", "µs per request", "÷ 3 backends", "target")
    result = Result("profile", "Deciding and planning with many backends", columns)
    requests = [_request("What is a heat pump?"), _request(_CODE), _request("Hi", tools=[_TOOL]),
        _request("word " * 200)]  # fmt: skip
    few, many = (_decider(count, requests) for count in (_FEW, _MANY))
    for _ in range(10):  # caches
        few()
        many()
    pairs = [(_timed(few), _timed(many)) for _ in range(rounds)]
    each = 1e6 / (_REPEATS * len(requests))
    ratio = bootstrap([b / a for a, b in pairs])[0]
    costs = [sorted(pair[i] for pair in pairs)[rounds // 2] * each for i in (0, 1)]
    result.add((f"{_FEW} backends", str(rounds), number(costs[0]), "", ""), us=costs[0])
    shown = f"{ratio.value:.3f} ({ratio.low:.3f}–{ratio.high:.3f})"
    result.add(
        (f"{_MANY} backends", str(rounds), number(costs[1]), shown, f"≤ {TARGET}"),
        us=costs[1], ratio=ratio.value,
    )  # fmt: skip
    result.notes.append("rules, features, task, tokens and plan; medians, 95 % intervals")
    if ratio.low > TARGET:
        result.broken.append(
            f"planning with {_MANY} backends costs {ratio.value:.2f} times as much"
        )
    return result


def _request(text: str, **fields: Any) -> ChatRequest:
    return parse_request("chat", {"messages": [{"role": "user", "content": text}], **fields})


def _decider(count: int, requests: list[ChatRequest]) -> Callable[[], None]:
    """Decides and plans the requests with so many backends configured, which alternate between
    rows of the matrix, aliases and nothing."""
    names = [*_FIXED, *(f"more{i}" for i in range(count - len(_FIXED)))]
    backends: dict[str, Any] = {
        name: {"url": f"http://127.0.0.1:{port}", "context_window": 65_536}
        for port, name in enumerate(names, 1)
    }
    backends["cloud"] |= {"kind": "xai", "local": False, "api_key": "k"}
    more = names[len(_FIXED) :]
    general = [{"backends": ["coder_fast", *more[::3]]}]
    code = [{"over": 40_000, "backends": ["coder"]}, {"backends": ["coder_fast"]}]
    settings = Settings.model_validate(
        {
            "backends": backends,
            "routes": {"primary": {"backends": ["coder_fast"]}, "xai": {"backends": ["cloud"]}},
            "aliases": {f"chain-{name}": [name, "coder"] for name in more[1::3]},
            "tasks": {"code": code, "general": general},
        }
    )
    planner, cascade = Planner(settings), Cascade([RulesTier()], Clock())

    def decide() -> None:
        for _ in range(_REPEATS):
            for request in requests:
                features = features_of(request)
                demand = demand_of(request, features, None)
                decision = cascade.deliberate(features).decision
                assert decision is not None
                planner.plan(decision, demand, features)

    return decide


def _timed(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
