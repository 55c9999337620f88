"""What the tests of failing backends share: chains of backends, and looking at a worker's state."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import requests
from harness import content, eventually, is_whole

from bench.router_process import RouterProcess, merged

T = TypeVar("T")
TIERS = ("primary", "second", "xai")
MODEL_OF = {
    "primary": "primary-model",
    "second": "embedding-model",
    "xai": "grok-4-1-fast-reasoning",
}
ROLE_OF = {"primary": "primary", "second": "embedding", "xai": "xai", "ollama": "ollama"}
CHAIN_MODEL = {"model": "ai-router/primary"}

_LIMITS = {"connect_timeout": 1, "first_byte_timeout": 1, "idle_timeout": 0.8, "total_timeout": 1.5}


def chain(*tiers: str, each: dict[str, Any] | None = None, **sections: Any) -> dict[str, Any]:
    """A configuration whose default route is these backends, in order; `each` is laid over every
    one of them."""
    kinds = {"primary": "vllm", "second": "vllm", "ollama": "ollama", "xai": "xai"}
    backends = {
        name: {"kind": kinds[name], "local": name != "xai", **_LIMITS, **(each or {})}
        | ({"model": MODEL_OF[name]} if name in MODEL_OF else {})
        for name in tiers
    }
    base = {
        "backends": backends,
        "routes": {"primary": {"backends": list(tiers)}, "meta": {"backends": list(tiers)}},
        "probes": {"enabled": False},
        "cascade": {"tiers": ["rules"]},
    }
    return merged(base, sections)


def urls_of(sim: Any, tiers: Iterable[str]) -> dict[str, str]:
    """The URLs of a chain's backends; `second` is the simulator's second vLLM."""
    return {name: sim.url(ROLE_OF[name]) for name in tiers}


def served_by(response: Any) -> str:
    return str(response.headers["X-Router-Backend"])


def attempts(response: Any) -> list[str]:
    """The attempts before the answer, if there was more than one."""
    told = response.headers.get("X-Router-Attempts", "")
    return told.split(", ") if told else []


def status(router: RouterProcess, **headers: str) -> dict[str, Any]:
    """/admin/status of one worker, on a connection of its own (so that another worker may answer
    the next time)."""
    answer = requests.get(
        f"{router.url}/admin/status", headers={"Connection": "close", **headers}, timeout=10
    )
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def backend(router: RouterProcess, name: str = "primary") -> dict[str, Any]:
    found: dict[str, Any] = status(router)["backends"][name]
    return found


def admin(
    router: RouterProcess, what: str, body: dict[str, Any] | None = None, **headers: str
) -> requests.Response:
    return requests.post(f"{router.url}/admin/{what}", json=body or {}, headers=headers, timeout=30)


def workers_say(
    router: RouterProcess, look: Callable[[dict[str, Any]], bool], workers: int, limit: float = 10.0
) -> None:
    """Wait until every worker process says so in /admin/status."""
    agreed: set[int] = set()

    def all_agree() -> bool:
        told = status(router)
        agreed.add(told["pid"]) if look(told) else agreed.discard(told["pid"])
        return len(agreed) >= workers

    eventually(all_agree, limit, "not every worker agrees")


def heal(router: RouterProcess, sim: Any) -> None:
    """After a test has broken backends: have each answer once, so that the next test finds all of
    them well."""
    sim.clear_faults()

    def all_well() -> bool:
        ill = [
            name
            for name, told in status(router)["backends"].items()
            if told["breaker"] != "closed" or told["pause"] or told["fails"]
        ]
        for name in ill:
            router.post(
                "/v1/chat/completions",
                {"model": MODEL_OF[name], "messages": [{"role": "user", "content": "Hello"}]},
            )
        return not ill

    eventually(all_well, 10, "the backends do not recover")


class Running:
    """Calls in separate threads."""

    def __init__(self, call: Callable[[], Any], count: int = 1) -> None:
        self.results: list[Any] = []
        self.errors: list[BaseException] = []
        self._threads = [
            threading.Thread(target=self._run, args=(call,), daemon=True) for _ in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def _run(self, call: Callable[[], Any]) -> None:
        try:
            self.results.append(call())
        except BaseException as error:
            self.errors.append(error)

    def all(self, limit: float = 30.0) -> list[Any]:
        """Their results, after all have succeeded."""
        for thread in self._threads:
            thread.join(limit)
            assert not thread.is_alive(), "a call hangs"
        if self.errors:
            raise self.errors[0]
        return self.results

    def one(self, limit: float = 30.0) -> Any:
        (result,) = self.all(limit)
        return result

    @property
    def done(self) -> int:
        return len(self.results) + len(self.errors)


def started(sim: Any, role: str) -> int:
    return int(sim.stats(role)["started"])


def well(response: requests.Response) -> str:
    """The text of an answer, which must be complete."""
    text = content(response)
    assert is_whole(text), text
    return text
