"""Coding agents as published, and Anthropic's JavaScript library, against the router before a
scripted model: `make test-agents`. Everything stays on 127.0.0.1."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
NODE = HERE.parent.parent / ".node-agents"
LIMIT_S = 120.0  # of a run; on two cores it takes some 6 s
# Whatever would go elsewhere is refused at once.
NOWHERE = "http://127.0.0.1:9"
OFFLINE = {
    "HTTP_PROXY": NOWHERE, "HTTPS_PROXY": NOWHERE, "NO_PROXY": "127.0.0.1",
    "DISABLE_TELEMETRY": "1", "DISABLE_ERROR_REPORTING": "1", "DISABLE_AUTOUPDATER": "1",
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "DO_NOT_TRACK": "1",
}  # fmt: skip


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Not by default: they need Node and its packages. `-m agents` asks for them."""
    ours = [item for item in items if item.get_closest_marker("agents")]
    if "agents" in config.option.markexpr:
        for item in ours:
            item.add_marker(pytest.mark.timeout(3 * LIMIT_S))
    elif ours:
        config.hook.pytest_deselected(items=ours)
        items[:] = [item for item in items if item not in ours]


@pytest.fixture(scope="session", autouse=True)
def versions() -> None:
    """Printed at the start: what was tested against."""
    if not (NODE / "package.json").exists():
        pytest.fail("There is no .node-agents; `make test-agents` makes it.")
    wanted = json.loads((NODE / "package.json").read_text("utf-8"))["dependencies"]
    print("\n" + ", ".join(f"{name} {version}" for name, version in wanted.items()))


@dataclass
class Scratch:
    """A home and a working folder of the agent's own."""

    home: Path
    work: Path

    def run(self, *command: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
        """Run a program of the Node packages in the working folder.

        Args:
            env: all of its variables, besides those that keep it from the network.
        """
        path = os.pathsep.join([str(NODE / "node_modules" / ".bin"), os.environ["PATH"]])
        return subprocess.run(
            [str(part) for part in command],
            cwd=self.work,
            env={"PATH": path, "HOME": str(self.home), **OFFLINE, **env},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )


@pytest.fixture
def scratch(tmp_path: Path) -> Scratch:
    found = Scratch(tmp_path / "home", tmp_path / "work")
    found.home.mkdir()
    found.work.mkdir()
    return found


@pytest.fixture
def before(make_router: Callable[..., Any]) -> Callable[..., Any]:
    """`before(url)`: a router before a backend as its primary."""

    def start(url: str, **spec: Any) -> Any:
        primary = {"kind": "openai", "model": "m", "date_context": False, **spec}
        config = {"backends": {"primary": primary}, "probes": {"enabled": False}}
        return make_router(config=config, urls={"primary": url}, warm=False)

    return start


@pytest.fixture(scope="session")
def node() -> str:
    found = shutil.which("node")
    if found is None:
        pytest.fail("Node is not installed.")
    return found
