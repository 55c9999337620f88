"""More than vLLM takes at once, its prefix cache, its context window."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from harness import all_free
from real_vllm.asking import PRIMARY, chat, events, text_of
from real_vllm.conftest import MakeRouter
from real_vllm.served import SEQUENCES, WINDOW, Engine
from settings_for_tests import CLOUD_MODEL

from bench.router_process import RouterProcess
from simulator.testing import Simulator

pytestmark = [pytest.mark.real_vllm, pytest.mark.parametrize("engine", ["plain"], indirect=True)]


class Watch:
    """How much vLLM has had to do at most, looked at while something runs."""

    def __init__(self, engine: Engine) -> None:
        self.running = self.waiting = 0.0
        self._engine = engine
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def _look(self) -> None:
        while not self._over.wait(0.05):
            self.running = max(self.running, self._engine.metric("num_requests_running"))
            self.waiting = max(self.waiting, self._engine.metric("num_requests_waiting"))

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


def test_overload_is_queued_and_what_is_beyond_is_told_when_to_come_back(
    engine: Engine, start_router: MakeRouter
) -> None:
    queue = 4
    router = start_router(
        {"primary": engine.url},
        {"queue": {"length": queue, "wait": 60}, "cascade": {"tiers": ["rules"]}},
    )
    ask = chat(max_tokens=600, stream=True)

    def one(_: int) -> tuple[int, bytes, str | None]:
        with RouterProcessSession(router) as post:
            response = post("/v1/chat/completions", ask)
            return response.status_code, response.content, response.headers.get("Retry-After")

    with Watch(engine) as watch, ThreadPoolExecutor(16) as pool:
        results = list(pool.map(one, range(16)))
    served = [raw for status, raw, _ in results if status == 200]
    refused = [(raw, again) for status, raw, again in results if status == 429]
    assert len(served) + len(refused) == len(results)
    assert len(served) >= SEQUENCES + queue
    assert refused
    assert all(again is not None and int(again) >= 1 for _, again in refused)
    assert all(b"queue_length" in raw for raw, _ in refused)
    assert len({text_of(raw) for raw in served}) == 1
    assert all(events(raw)[-1] == b"[DONE]" for raw in served)
    assert (watch.running, watch.waiting) == (SEQUENCES, 0)
    all_free(router)
    router.stop()


class RouterProcessSession:
    """A connection of its own for a thread."""

    def __init__(self, router: RouterProcess) -> None:
        import requests

        self._router = router
        self._http = requests.Session()
        self._http.trust_env = False

    def __enter__(self):  # type: ignore[no-untyped-def]
        return lambda path, body: self._http.post(self._router.url + path, json=body, timeout=120)

    def __exit__(self, *_: object) -> None:
        self._http.close()


def test_a_free_local_backend_is_used_while_the_first_is_full(
    engine: Engine, start_router: MakeRouter
) -> None:
    """Two backends, one vLLM: what counts is their slots."""
    router = start_router(
        {"primary": engine.url, "second": engine.url},
        {
            "backends": {"primary": {"slots": 1}, "second": {"slots": 2}},
            "routes": {"primary": {"backends": ["primary", "second"]}},
            "queue": {"wait": 60},
            "cascade": {"tiers": ["rules"]},
        },
    )

    def one(_: int) -> str:
        with RouterProcessSession(router) as post:
            return str(
                post("/v1/chat/completions", chat(max_tokens=1000)).headers["X-Router-Backend"]
            )

    with ThreadPoolExecutor(3) as pool:
        answered_by = list(pool.map(one, range(3)))
    assert sorted(answered_by) == ["primary", "second", "second"]
    router.stop()


def hits_of(engine: Engine, post, text: str) -> list[int]:  # type: ignore[no-untyped-def]
    """Tokens found in the prefix cache, turn by turn of one conversation."""
    messages = [{"role": "user", "content": text}]
    found = []
    for turn in range(3):
        before = engine.metric("prefix_cache_hits_total")
        answer = post({**chat(), "messages": messages})
        assert answer.status_code == 200, answer.text
        found.append(int(engine.metric("prefix_cache_hits_total") - before))
        messages += [
            {"role": "assistant", "content": answer.json()["choices"][0]["message"]["content"]},
            {"role": "user", "content": f"Go on, for the {turn}th time."},
        ]
    return found


def test_the_prefix_cache_is_hit_as_without_the_router(
    router: RouterProcess, engine: Engine
) -> None:
    name = engine.name
    alone = hits_of(
        engine, lambda body: engine.post("/v1/chat/completions", {"model": name, **body}), "A" * 600
    )
    routed = hits_of(
        engine, lambda body: router.post("/v1/chat/completions", body, headers=PRIMARY), "B" * 600
    )
    assert routed == alone
    assert routed[1] >= 512  # whole blocks of 128 tokens


def test_the_classifiers_rubric_stays_in_the_prefix_cache(
    router: RouterProcess, engine: Engine
) -> None:
    router.post("/api/route", chat("An apricot to begin with."))
    before = engine.metric("prefix_cache_hits_total")
    router.post("/api/route", chat("Another apricot, quite different."))
    assert engine.metric("prefix_cache_hits_total") - before >= 768


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
@pytest.mark.parametrize("stream", [False, True])
def test_more_tokens_than_the_window_has_are_cut_to_it(
    router: RouterProcess, stream: bool, name: str
) -> None:
    """The window is vLLM's own `max_model_len`: none is configured."""
    ask = chat("A persimmon.", stream=stream)
    del ask["max_tokens"]
    ask[name] = 100_000
    response = router.post("/v1/chat/completions", ask, headers=PRIMARY)
    assert response.status_code == 200, response.text
    assert f"{name}=100000" in response.headers["X-Router-Adjusted"]


def test_what_fits_the_window_is_left_alone(router: RouterProcess) -> None:
    ask = chat("A persimmon.", max_tokens=WINDOW - 200)
    response = router.post("/v1/chat/completions", ask, headers=PRIMARY)
    assert response.status_code == 200, response.text
    assert "X-Router-Adjusted" not in response.headers


def test_a_prompt_beyond_the_window_goes_to_a_wider_backend(
    engine: Engine, cloud: Simulator, start_router: MakeRouter
) -> None:
    """How wide vLLM's window is stands in no configuration."""
    wide = {
        "kind": "openai",
        "model": CLOUD_MODEL,
        "api_key": "test-key",
        "context_window": 100_000,
    }
    router = start_router(
        {"primary": engine.url, "wide": cloud.url("xai")},
        {
            "backends": {"wide": wide},
            "routes": {"primary": {"backends": ["primary", "wide"]}},
            "cascade": {"tiers": ["rules"]},
        },
    )
    response = router.post("/v1/chat/completions", chat("long " * 2000))
    assert response.status_code == 200, response.text
    assert response.headers["X-Router-Backend"] == "wide"
    response = router.post("/v1/chat/completions", chat())
    assert response.headers["X-Router-Backend"] == "primary"
    router.stop()
