"""Conversations without sockets: keys, settings, failures, and what the memory holds in the long
run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from simulated_world import Script, World, stream

from airouter.dialects.openai_request import parse_request
from airouter.flow.exchange import Exchange
from airouter.proxy.request_state import RoutingOverrides
from airouter.proxy.sessions import name_of
from airouter.resilience.per_process import PerProcess
from airouter.runtime.state import State
from airouter.settings.schema import Settings
from airouter.telemetry.logs import SILENT
from app import build_state

ERROR = "Error: no such file"
TOOLS = [{"type": "function", "function": {"name": "run", "parameters": {"type": "object"}}}]
Json = dict[str, Any]


class Place:
    """A router of a classifier, two local backends and a cloud, without sockets. Questions with
    "QED" in them are COMPLEX."""

    def __init__(self, tmp_path: Path, routes: Json | None = None, **sessions: Any) -> None:
        self.world = World()
        backends: Json = {
            name: {"url": f"http://{name}.test", "model": name, "kind": "vllm"}
            for name in ("router", "primary", "second")
        }
        cloud = {"url": "http://xai.test", "model": "grok", "kind": "xai", "api_key": "k"}
        backends["xai"] = {**cloud, "local": False}
        sections = {
            "backends": backends,
            "routes": {
                "primary": {"backends": ["primary", "second"]},
                "xai": {"backends": ["xai"]},
                **(routes or {}),
            },
            "cascade": {"tiers": ["rules", "reasoning"]},
            "logging": {"dir": tmp_path},
            "sessions": sessions,
        }
        self.resilience = PerProcess(self.world.clock)
        self.state: State = build_state(
            Settings.model_validate(sections), SILENT, self.world.clock, self.resilience
        )
        for backend in self.state.backends.values():
            backend.connect = self.world.connect
        self.fails: set[str] = set()
        self.label: str | None = None  # of every question; None: by its words
        for name in backends:
            self.world.scripts[name] = self._answering(name)

    def _answering(self, name: str) -> Any:
        def script(_path: str, body: Json) -> Script:
            if name in self.fails:
                return [(0.01, b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")]
            if name != "router":
                return stream("Well.")
            by_words = "COMPLEX" if "QED" in str(body["messages"]) else "MODERATE"
            return stream(f"{self.label or by_words}\n")

        return script

    def ask(
        self, messages: list[Json], key: str | None = None, name: str | None = None, **over: Any
    ) -> tuple[str | None, str | None]:
        """The backend that answered, and the policy."""
        exchange = Exchange(self.world.clock, client=None, client_ip="", total=300)
        record = exchange.record
        record.key_id = key
        record.conversation = name_of(key, name) if name else None
        payload = {"messages": messages, "stream": True, "tools": over.pop("tools", [])}
        try:
            request = parse_request("chat", payload)
            flow = self.state.pipeline.chat(exchange, request, RoutingOverrides(**over))
            self.world.run(exchange, flow)
        finally:
            exchange.close()
        return record.backend, record.session_policy


def user(text: str) -> Json:
    return {"role": "user", "content": text}


WELL = {"role": "assistant", "content": "Well."}
HARD = [user("A question with a QED, which takes a while to read, about everything there is.")]
GO_ON = [*HARD, WELL, user("yes, do it")]


def looping(n: int) -> list[Json]:
    messages: list[Json] = [user("Fix it")]
    for i in range(n):
        call = {"id": f"c{i}", "type": "function", "function": {"name": "f", "arguments": str(i)}}
        messages.append({"role": "assistant", "content": "", "tool_calls": [call]})
        messages.append({"role": "tool", "tool_call_id": f"c{i}", "content": ERROR})
    return messages


def test_two_keys_never_share_a_conversation(tmp_path: Path) -> None:
    """Though its messages and its name are the same."""
    place = Place(tmp_path)
    assert place.ask(HARD, key="ann", name="s") == ("xai", "new")
    assert place.ask(GO_ON, key="bob", name="s")[1] == "new"
    assert place.ask(GO_ON, key=None, name="s")[1] == "new"
    assert place.ask(GO_ON, key="ann", name="s") == ("xai", "kept; inherited")


def test_without_memory_a_follow_up_is_decided_by_itself(tmp_path: Path) -> None:
    """As one that reaches another worker."""
    assert Place(tmp_path).ask(GO_ON)[1] == "new"
    place = Place(tmp_path, idle=60)
    place.ask(HARD)
    place.world.clock.move(61)
    assert place.ask(GO_ON)[1] == "new"


def test_what_a_harness_sends_first_is_no_beginning(tmp_path: Path) -> None:
    """Codex sends the state of its environment before the question; all conversations in one
    folder have the same."""
    place = Place(tmp_path)
    state = user("<environment_context>\n<cwd>/src</cwd>\n</environment_context>")
    cut = user("A question of its own, which nobody has asked here before.")
    place.ask([state, *HARD])
    assert place.ask([state, cut, WELL, user("yes, do it")])[1] == "new"
    later = [{"role": "assistant", "content": "Rewritten by the client."}, user("yes, do it")]
    assert place.ask([state, *HARD, *later]) == ("xai", "kept; inherited")


def test_free_decides_each_turn(tmp_path: Path) -> None:
    """Only tool results stay, and nothing is escalated."""
    place = Place(tmp_path, policy="free")
    assert place.ask(HARD) == ("xai", "free")
    assert place.ask([user("Easy"), WELL, user("yes, do it")]) == ("primary", "free")
    assert place.ask(looping(0), tools=TOOLS) == ("primary", "free")
    for n in range(1, 6):
        assert place.ask(looping(n), tools=TOOLS) == ("primary", "free")


def test_escalation_can_be_switched_off(tmp_path: Path) -> None:
    place = Place(tmp_path, escalate=False)
    place.ask(looping(0), tools=TOOLS)
    seen = {place.ask(looping(n), tools=TOOLS) for n in range(1, 6)}
    assert seen == {("primary", "kept; tool loop")}


def test_what_the_client_chooses_is_for_one_request(tmp_path: Path) -> None:
    """And for the results of the tools that were called by it; then the conversation is where it
    was before, escalated or not."""
    place = Place(tmp_path)
    place.ask(looping(0), tools=TOOLS)
    for n in range(1, 4):
        place.ask(looping(n), tools=TOOLS)
    local = [*looping(3), WELL, user("Look again, please, and say what you see in the folder.")]
    assert place.ask(local, tools=TOOLS, route="primary") == ("primary", "forced")
    called = looping(1)[1:]
    for _ in range(4):
        local += called
        assert place.ask(local, tools=TOOLS) == ("primary", "kept; tool loop")
    assert place.ask([*local, WELL, user("yes")], tools=TOOLS) == ("xai", "kept; inherited")
    assert place.ask([*local, WELL, user("Which?")], tools=TOOLS) == ("xai", "kept; escalated")
    other = [user("Another question, which takes a while to read, about this and that.")]
    place.ask(other, route="xai")
    assert place.ask([*other, WELL, user("yes, do it")]) == ("primary", "new")


def test_an_earlier_image_does_not_overrule_a_forced_route(tmp_path: Path) -> None:
    """The cloud sees no images here, but this request has none."""
    place = Place(tmp_path)
    spec = place.state.backends["xai"].settings
    place.state.backends["xai"].settings = spec.model_copy(update={"vision": False})
    part = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    seen = [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, part]}]
    assert place.ask(seen, name="s")[0] == "primary"
    plain = [user("What is it?"), WELL, user("Now say it in other words, as a poem, please.")]
    assert place.ask(plain, name="s", route="xai") == ("xai", "forced")


def test_nothing_is_escalated_where_there_is_no_other_backend(tmp_path: Path) -> None:
    place = Place(tmp_path, routes={"xai": {"backends": ["primary"]}})
    place.ask(looping(0), tools=TOOLS)
    assert {place.ask(looping(n), tools=TOOLS)[1] for n in range(1, 6)} == {"kept; tool loop"}


def test_an_unknown_loop_is_not_escalated(tmp_path: Path) -> None:
    """Its first request may have forced a route."""
    assert Place(tmp_path).ask(looping(4), tools=TOOLS) == ("primary", "new")


def test_a_failure_does_not_move_a_conversation_to_the_cloud(tmp_path: Path) -> None:
    """The cloud answers while the local backend fails; then the conversation is back."""
    place = Place(tmp_path, routes={"primary": {"backends": ["primary", "xai"]}})
    easy = [user("An easy question, which takes a while to read, about this and that.")]
    place.fails.add("primary")
    assert place.ask(easy)[0] == "xai"
    place.fails.clear()
    place.world.clock.move(120)
    assert place.ask([*easy, WELL, user("yes, do it")]) == ("primary", "kept; inherited")


def test_it_follows_a_failure_to_another_local_backend(tmp_path: Path) -> None:
    """Which has its prefix now."""
    place = Place(tmp_path)
    easy = [user("An easy question, which takes a while to read, about this and that.")]
    place.fails.add("primary")
    assert place.ask(easy)[0] == "second"
    place.fails.clear()
    place.world.clock.move(120)
    assert place.ask([*easy, WELL, user("yes, do it")]) == ("second", "kept; inherited")


def test_a_backend_that_is_gone_is_forgotten(tmp_path: Path) -> None:
    """A reload that takes a cloud out of its route ends what was there."""
    place = Place(tmp_path)
    place.ask(HARD)
    settings = place.state.settings.model_copy(deep=True)
    settings.routes["xai"] = settings.routes["primary"]
    state = build_state(settings, SILENT, place.world.clock, place.resilience, keep=place.state)
    assert state.memory is place.state.memory
    for backend in state.backends.values():
        backend.connect = place.world.connect
    place.state = state
    assert place.ask(GO_ON) == ("primary", "new")


def test_the_measured_speed_is_the_price(tmp_path: Path) -> None:
    """A primary that reads slowly is not worth a move."""
    place = Place(tmp_path)
    easy = user("Then write a friendly letter about all of it to the neighbours, please.")
    history = [user("A long question. " * 40), WELL, easy]
    seen = []
    for speed in (None, 10.0):
        place.state.backends["primary"].prefill = speed
        place.label = "COMPLEX"
        assert place.ask(history[:1])[0] == "xai"
        place.label = "MODERATE"
        seen.append(place.ask(history))
    assert seen[0] == ("primary", "moved; sure MODERATE, price 0.2 s")
    assert seen[1] == ("xai", "kept; price 18.3 s")


@pytest.mark.parametrize("named", [False, True])
def test_the_memory_stays_bounded(tmp_path: Path, named: bool) -> None:
    """Whatever number of conversations comes; the latest are known."""
    place = Place(tmp_path, size=60)
    for n in range(250):
        first = [user(f"Question {n}: what is it, and why is it so, as far as anybody knows?")]
        name = f"s{n}" if named else None
        assert place.ask(first, name=name)[1] == "new"
        going_on = [*first, WELL, user("yes, do it")]
        assert place.ask(going_on, name=name) == ("primary", "kept; inherited")
        assert len(place.state.memory) <= 60
    assert len(place.state.memory) == 60
