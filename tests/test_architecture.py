"""The modules that a request crosses are those that docs/architecture.md lists, and the flow goes
in one direction: nothing calls up."""

from __future__ import annotations

import io
import re
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import orjson
import pytest
from harness import steer
from settings_for_tests import CLOUD_MODEL
from werkzeug.test import EnvironBuilder, run_wsgi_app

from airouter.settings.schema import Settings
from app import create_app
from simulator.testing import Simulator

ROOT = Path(__file__).resolve().parents[1]
LAYERS = (  # from the top; the order that import-linter checks (pyproject.toml)
    "api",
    "runtime",
    "proxy",
    "planning",
    "classify",
    "upstream",
    "flow",
    "dialects",
    "resilience",
    "telemetry",
    "settings",
    "domain",
)


class Crossing:
    """Mutable state: the modules whose functions have been called, and who called whom."""

    def __init__(self) -> None:
        self.modules: list[str] = []
        self.calls: set[tuple[str, str]] = set()

    def __call__(self, frame: FrameType, event: str, _argument: Any) -> None:
        if event != "call":
            return
        callee = _module(frame)
        if callee is None:
            return
        if callee not in self.modules:
            self.modules.append(callee)
        caller = _module(frame.f_back) if frame.f_back is not None else None
        if caller is not None and caller != callee:
            self.calls.add((caller, callee))

    @property
    def passing_on(self) -> list[str]:
        """Those that call another one: the path of the request. The others are looked at only."""
        callers = {caller for caller, _ in self.calls}
        return [module for module in self.modules if module in callers]


def _module(frame: FrameType) -> str | None:
    try:
        path = Path(frame.f_code.co_filename).relative_to(ROOT).as_posix()
    except ValueError:
        return None
    inside = path.startswith("airouter/") or path in ("providers.py", "session_logger.py")
    return path.removeprefix("airouter/") if inside else None


@pytest.fixture
def app(sim: Simulator, tmp_path: Path) -> Iterator[Any]:
    """The router as shipped, but for the learned tier, which would leave nothing to speculate."""
    local = {"kind": "vllm"}
    cloud = {"kind": "xai", "local": False, "api_key": "k", "model": CLOUD_MODEL}
    sections = {
        "backends": {
            "router": {"url": sim.url("router"), "model": "router", **local},
            "primary": {"url": sim.url("primary"), "model": "primary", **local},
            "xai": {"url": sim.url("xai"), **cloud},
        },
        "routes": {
            "primary": {"backends": ["primary"]},
            "enrich": {"backends": ["primary"]},
            "xai": {"backends": ["xai"]},
        },
        "cascade": {"tiers": ["rules", "cache", "reasoning"]},
        "logging": {"dir": tmp_path},
    }
    for role in ("router", "primary"):
        sim.configure(role, model=role)
    made = create_app(Settings.model_validate(sections))
    made.extensions["airouter"].start()
    yield made
    made.extensions["airouter"].close()


def cross(app: Any, text: str, *, stream: bool) -> tuple[Crossing, dict[str, str]]:
    """What one request crosses, and the headers of its answer."""
    data = orjson.dumps({"messages": [{"role": "user", "content": text}], "stream": stream})
    environ = EnvironBuilder(
        path="/v1/chat/completions",
        method="POST",
        input_stream=io.BytesIO(data),
        content_type="application/json",
    ).get_environ()
    environ |= {"CONTENT_LENGTH": str(len(data)), "REMOTE_ADDR": "127.0.0.1"}
    crossing = Crossing()
    before = sys.getprofile()
    threading.setprofile(crossing)
    sys.setprofile(crossing)
    try:
        body, status, headers = run_wsgi_app(app.wsgi_app, environ, buffered=True)
    finally:
        sys.setprofile(before)
        threading.setprofile(before)
    assert status == "200 OK", b"".join(body)
    return crossing, dict(headers)


def listed(heading: str) -> list[str]:
    """The modules that the page lists below a heading."""
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    section = page.split(f"\n### {heading}\n", 1)[1].split("\n#", 1)[0]
    return re.findall(r"`([\w/]+\.py)`", section)


@pytest.mark.parametrize(
    ("heading", "label", "stream"),
    [("A streamed MODERATE request", "MODERATE", True), ("An ENRICH request", "ENRICH", False)],
)
def test_the_page_lists_the_path_of_a_request(
    app: Any, heading: str, label: str, stream: bool
) -> None:
    """Both directions: what is listed is crossed, and what passes a request on is listed."""
    crossing, headers = cross(app, steer("What is it?", router={"label": label}), stream=stream)
    assert headers["X-Router-Label"] == label
    assert headers["X-Router-Speculative"] == ("won" if stream else "cancelled")
    assert sorted(crossing.passing_on) == sorted(listed(heading))
    assert len(crossing.passing_on) <= 35


# What is handed down is called from below: the flow that a driver resumes, what an exchange
# releases at its end, a call's progress.
HANDED_DOWN = {
    ("flow/exchange.py", "upstream/client.py"),
    ("flow/exchange.py", "upstream/transport/call.py"),
    ("upstream/transport/call.py", "proxy/attempt.py"),
}


def test_nothing_calls_up(app: Any) -> None:
    """The flow of a request goes down through the layers; no module calls a higher one by name."""
    crossing, _ = cross(app, steer("What is it?", router={"label": "MODERATE"}), stream=True)
    up = {
        (a, b)
        for a, b in crossing.calls
        if len(LAYERS) > _layer(a) > _layer(b) and a != "flow/driver.py"
    }
    assert up <= HANDED_DOWN


def _layer(module: str) -> int:
    """Its number from the top. `providers.py` and `session_logger.py` are injected from outside."""
    package = module.partition("/")[0].removesuffix(".py")
    return LAYERS.index(package) if package in LAYERS else len(LAYERS)
