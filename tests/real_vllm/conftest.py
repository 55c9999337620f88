"""A real vLLM with a model made on the spot, and the router before it: `make test-real-vllm`.

One vLLM classifies and answers. It is started twice: as it is (`plain`), and with parsers for tools
and reasoning (`parsers`). Tests of both rounds take the fixture `engine`.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from harness import eventually
from real_vllm.served import PARSERS, PYTHON, SEQUENCES, START_LIMIT, Engine, Tap, tapped
from settings_for_tests import CLOUD_MODEL

from bench.router_process import RouterProcess, merged
from simulator.testing import Simulator

HERE = Path(__file__).resolve().parent
ROUNDS = {"plain": (), "parsers": PARSERS}
VERSIONS = """
import platform, torch, transformers, vllm
names = [line.partition(":")[2] for line in open("/proc/cpuinfo") if line.startswith("model name")]
print(f"vllm {vllm.__version__}, torch {torch.__version__}", end=", ")
print(f"transformers {transformers.__version__}", end=", ")
print(f"{(names or [platform.machine()])[0].strip()} ({len(names)} cores)")
"""

MakeRouter = Callable[..., RouterProcess]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Not by default: it needs vLLM. `-m real_vllm` asks for it, and has time for its starts."""
    ours = [item for item in items if item.get_closest_marker("real_vllm")]
    if "real_vllm" in config.option.markexpr:
        for item in ours:
            item.add_marker(pytest.mark.timeout(2 * START_LIMIT))
        items.sort(key=round_of)  # round by round: each start of vLLM takes a minute
        return
    if ours:
        config.hook.pytest_deselected(items=ours)
        items[:] = [item for item in items if item not in ours]


def round_of(item: pytest.Item) -> int:
    """The number of the round that a test belongs to; the last for one that needs neither."""
    parameters = getattr(getattr(item, "callspec", None), "params", {})
    return [*ROUNDS, None].index(parameters.get("engine"))


@pytest.fixture(scope="session", autouse=True)
def versions(pytestconfig: pytest.Config) -> None:
    """Printed at the start: what was tested against."""
    if not PYTHON.exists():
        pytest.fail("There is no .venv-real-vllm; `make test-real-vllm` makes it.")
    said = subprocess.run(
        [PYTHON, "-c", VERSIONS], capture_output=True, text=True, timeout=300, check=True
    )
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():  # type: ignore[union-attr]
        print(f"\n{said.stdout.strip().splitlines()[-1]}", flush=True)


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "tiny"
    subprocess.run([PYTHON, HERE / "tiny_model.py", folder], check=True, timeout=120)
    return folder


@pytest.fixture(scope="session", params=list(ROUNDS))
def engine(
    request: pytest.FixtureRequest, model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Engine]:
    """vLLM, up. One of each round for all tests of that round."""
    engine = Engine(tmp_path_factory.mktemp("vllm"), model, *ROUNDS[request.param])
    try:
        yield engine.start().until_up().warm()
    finally:
        engine.stop()


def configured(urls: dict[str, str], changes: dict[str, Any]) -> dict[str, Any]:
    """What these routers have in common: no decision cache, and nothing added to what is asked."""
    each = {"kind": "vllm", "slots": SEQUENCES, "date_context": False}
    base = {
        "backends": {name: each for name in urls if name != "xai"},
        "cascade": {"tiers": ["rules", "one_token", "reasoning"]},
    }
    return merged(base, changes)


@pytest.fixture(scope="session")
def start_router(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[MakeRouter]:
    """`start_router(urls, config)`: a router, stopped at the end at the latest."""
    with ExitStack() as stack:

        def start(urls: dict[str, str], config: dict[str, Any] | None = None) -> RouterProcess:
            router = RouterProcess(
                tmp_path_factory.mktemp("router"),
                backends=urls,
                config=configured(urls, config or {}),
            )
            stack.callback(router.stop)
            return router.start()

        yield start


@pytest.fixture(scope="session")
def cloud() -> Iterator[Simulator]:
    with Simulator(profile="fast", roles=("xai",), models={"xai": CLOUD_MODEL}) as simulator:
        yield simulator


@pytest.fixture(scope="session")
def router(engine: Engine, cloud: Simulator, start_router: MakeRouter) -> Iterator[RouterProcess]:
    """One vLLM as classifier and primary, and a simulated cloud."""
    router = start_router({"router": engine.url, "primary": engine.url, "xai": cloud.url("xai")})
    ready(router)
    yield router
    router.stop()
    assert "Traceback" not in router.printed()


@pytest.fixture(scope="session")
def tap(engine: Engine) -> Iterator[Tap]:
    with tapped(engine) as tap:
        yield tap


@pytest.fixture(scope="session")
def tapped_router(tap: Tap, start_router: MakeRouter) -> Iterator[RouterProcess]:
    """The same without a cloud and with a tap before vLLM; nothing else passes there: no probes."""
    router = start_router({"router": tap.url, "primary": tap.url}, {"probes": {"enabled": False}})
    ready(router)
    yield router
    router.stop()


def ready(router: RouterProcess, limit: float = 60.0) -> None:
    """Wait until it knows its models and the classifier answers."""
    eventually(lambda: router.get("/health").json()["status"] == "healthy", limit, "not healthy")
    ask = {"messages": [{"role": "user", "content": "apricot"}]}
    eventually(lambda: router.post("/api/route", ask).json().get("label") == "SIMPLE", limit)
