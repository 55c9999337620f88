"""Anthropic's JavaScript library, unmodified, against the router and the simulator."""

from __future__ import annotations

import json
import shutil

import pytest
from agents.conftest import HERE, NODE, Scratch
from harness import is_whole, steer

from bench.router_process import RouterProcess
from simulator.testing import Simulator

pytestmark = pytest.mark.agents


def test_the_library_works_unchanged(
    scratch: Scratch, node: str, router: RouterProcess, sim: Simulator
) -> None:
    """Messages, the stream helper, tools by hand and by its runner, counting, images, models,
    errors as its classes."""
    script = scratch.work / "anthropic.mjs"  # beside the packages that it imports
    shutil.copy(HERE / "anthropic.mjs", script)
    (scratch.work / "node_modules").symlink_to(NODE / "node_modules")
    run = scratch.run(
        *(node, script),
        ROUTER_URL=router.url,
        BROKEN=steer("Hello", xai={"fault": "error_status"}),
        CUT=steer("Hello", xai={"fault": "cut"}),
    )
    assert run.returncode == 0, run.stdout + run.stderr
    found = json.loads(run.stdout)
    *whole, text = found["whole"]
    assert (whole, is_whole(text), found["requestId"]) == (
        ["message", "assistant", "claude-opus-4-8", "end_turn"], True, True
    )  # fmt: skip
    *streamed, text = found["stream"]
    assert (streamed, is_whole(text)) == ([True, True, "end_turn"], True)
    assert found["events"] == [
        "message_start", "content_block_start", "content_block_delta", "content_block_stop",
        "message_delta", "message_stop",
    ]  # fmt: skip
    assert found["call"] == ["tool_use", "weather", {"city": "simulated"}, "tool_use"]
    text, tier = found["result"]
    assert (is_whole(text), tier) == (True, "conversation")
    text, cities = found["runner"]
    assert (is_whole(text), cities) == (True, ["simulated"])
    assert 200 < found["tokens"] < 400
    assert is_whole(found["image"])
    assert {"ai-router", "ai-router/primary", "primary-model"} <= set(found["models"])
    assert found["errors"] == {
        "invalid": "BadRequestError 400",
        "lost": "NotFoundError 404",
        "late": "APIConnectionTimeoutError undefined",
        "broken": "InternalServerError 502",
        "cut": "APIError undefined",
    }
