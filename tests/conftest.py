"""One simulator for the whole run, the routers that most tests share, and `make_router` for one
with other settings."""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import measured
import pytest
from settings_for_tests import (
    CLOUD_MODEL,
    IMPATIENT,
    MODELS,
    PLAIN,
    PLAIN_CASCADE,
    ROLES,
    SHIPPED,
    STRICT,
    backend_urls,
)

from bench.router_process import RouterProcess, merged
from simulator.testing import Simulator

MakeRouter = Callable[..., RouterProcess]
# Whatever a test of a module that has one of these starts, it is a process.
_PROCESSES = ("subprocess", "multiprocessing", "Simulator", "RouterProcess")
_OWN_ROUTER = ("make_router", "start")


def pytest_configure() -> None:
    # A shell has SIGINT ignored in what it starts in the background, and processes inherit that.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Of `-n auto`: most tests wait for sockets, so more than there are cores."""
    return max(2, min(8, 2 * (os.cpu_count() or 1)))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what starts no process as quick; put the files that take longest first, or all workers
    would wait for the last of them."""
    costs: Counter[str] = Counter()
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        module = getattr(item, "module", None)
        starts = "shared_simulator" in fixtures or any(hasattr(module, n) for n in _PROCESSES)
        if not starts:
            item.add_marker(pytest.mark.quick)
        own = any(name in fixtures for name in _OWN_ROUTER)
        costs[str(item.path)] += 10 if own else 1 if starts else 0
    items.sort(key=lambda item: -costs[str(item.path)])  # stable: a file's tests keep their order


@pytest.fixture(scope="session")
def shared_simulator() -> Iterator[Simulator]:
    with Simulator(profile="fast", roles=ROLES, models={"xai": CLOUD_MODEL}) as simulator:
        yield simulator


@pytest.fixture
def sim(shared_simulator: Simulator) -> Simulator:
    """The simulator, as if just started."""
    shared_simulator.reset()
    return shared_simulator


@pytest.fixture(scope="session")
def shared_routers(
    shared_simulator: Simulator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., RouterProcess]]:
    started: dict[str, RouterProcess] = {}

    def get(name: str, config: dict[str, Any]) -> RouterProcess:
        if name not in started:
            folder = tmp_path_factory.mktemp(name)
            started[name] = RouterProcess(
                folder, backends=backend_urls(shared_simulator), config=config
            ).start()
            for model in MODELS.values():  # it learns the models' names
                started[name].post("/v1/chat/completions", _hello(model))
        recover(started[name])
        shared_simulator.reset()  # it was asked something just now
        return started[name]

    yield get
    printed = []
    for router in started.values():
        router.stop()
        printed.append(router.printed())
    assert not any("Traceback" in text for text in printed), "\n".join(printed)


@pytest.fixture
def router(sim: Simulator, shared_routers: MakeRouter) -> RouterProcess:
    """The router with `config/router.yaml`, a cascade that tests steer (PLAIN_CASCADE) and all
    backends up."""
    return shared_routers("plain", PLAIN)


@pytest.fixture
def shipped_router(sim: Simulator, shared_routers: MakeRouter) -> RouterProcess:
    """The router with the cascade of `config/router.yaml`. It remembers what earlier tests
    asked."""
    return shared_routers("shipped", SHIPPED)


@pytest.fixture
def strict_router(sim: Simulator, shared_routers: MakeRouter) -> RouterProcess:
    """One whose limits are short: classification 0.7 s, search 0.7 s, first byte 1 s, idle 0.7
    s."""
    return shared_routers("strict", STRICT)


@pytest.fixture
def impatient_router(sim: Simulator, shared_routers: MakeRouter) -> RouterProcess:
    """The strict one, with comments for a waiting client after 0.3 s."""
    return shared_routers("impatient", IMPATIENT)


@pytest.fixture
def make_router(sim: Simulator, tmp_path: Path) -> Iterator[MakeRouter]:
    """`make_router(config={...}, env={...}, backends=("primary",))`: a router of one's own, stopped
    at the test's end. Its cascade is PLAIN_CASCADE unless `config` says otherwise."""
    started: list[RouterProcess] = []
    numbers = itertools.count()

    def make(
        config: dict[str, Any] | None = None,
        env: dict[str, str] | None = None,
        backends: tuple[str, ...] = ("router", "primary", "xai"),
        urls: dict[str, str] | None = None,
        warm: bool = True,
    ) -> RouterProcess:
        chosen = {name: url for name, url in backend_urls(sim).items() if name in backends} | (
            urls or {}
        )
        settings = merged({"cascade": PLAIN_CASCADE}, config or {})
        router = RouterProcess(
            tmp_path / f"router{next(numbers)}", backends=chosen, config=settings, env=env
        )
        started.append(router)
        router.start()
        if warm:  # it learns the primary's model, without which nothing is speculated
            headers = (
                {"Authorization": f"Bearer {env['API_KEY']}"} if env and "API_KEY" in env else {}
            )
            router.post("/v1/chat/completions", _hello(MODELS["primary"]), headers=headers)
            sim.reset("primary")
        return router

    yield make
    for router in started:
        measured.kill(router)


def recover(router: RouterProcess) -> None:
    """Let each backend answer once that an earlier test has broken."""
    for _ in range(50):
        cooling = {
            name
            for name, backend in router.stats()["backends"].items()
            if backend["breaker"] != "closed"
        }
        if not cooling:
            return
        for name in cooling & set(MODELS):
            router.post("/v1/chat/completions", _hello(MODELS[name]))
        if "embedding" in cooling:
            router.post("/v1/embeddings", {"input": "Hello"})
        time.sleep(0.02)
    raise AssertionError(f"a backend does not recover: {router.stats()['backends']}")


def _hello(model: str) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": "Hello"}]}


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    """Bytes are named by their length: gzip writes the time into its output, and every process of
    a parallel run must collect the same names."""
    if isinstance(val, bytes) and not (val.isascii() and val.decode().isprintable()):
        return f"{argname}-{len(val)}-bytes"
    return None
