"""Random bodies to /v1/messages while the backends break their answers off: what a client gets is
never a 500 of the router's, is an error of the server only where every backend failed, and has the
API's form.

A few hundred bodies by default; `FUZZ_BODIES=10000` sends so many, `FUZZ_SEED` chooses others.
"""

from __future__ import annotations

import copy
import json
import os
import random
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests
from harness import all_free
from settings_for_tests import SHIPPED, backend_urls

from bench.router_process import RouterProcess, merged
from simulator.testing import Simulator, answer_numbers
from tests import claude_code
from tests.dialects.anthropic_events import events_of

Json = dict[str, Any]
BODIES = int(os.environ.get("FUZZ_BODIES", "300"))
SEED = int(os.environ.get("FUZZ_SEED", "18"))
AT_A_TIME = 4
TOKENS = 24  # of each answer; the first eight are its heading
WORDS = [*range(1, TOKENS - 7)]
ROLES = ("primary", "xai")
# Those that end an answer at once: nothing here waits for a timeout.
FAULTS = (
    *({"name": "cut", "after_chunks": n} for n in (0, 1, 5, 12)),
    {"name": "cut_clean", "after_chunks": 7},
    *({"name": "error_status", "status": status} for status in (500, 502, 503)),
    *({"name": name} for name in (
        "reset", "truncated_json", "early_close_after_headers", "role_only_then_cut", "empty_200",
    )),
)  # fmt: skip
ODD: tuple[Any, ...] = (
    None, True, 0, -1, 2**70, 1.5, "", "\x00", "\ud83d", "x" * 300, [], {}, [[]], [{}], {"": {}},
    json.loads("[" * 150 + "]" * 150), {"type": "text"}, {"type": "x"}, [{"type": "tool_use"}],
)  # fmt: skip
ERRORS = {
    400: {"invalid_request_error"},
    404: {"not_found_error"},
    413: {"request_too_large"},
    422: {"invalid_request_error"},
    500: {"api_error"},
    502: {"api_error", "overloaded_error"},
    503: {"api_error", "overloaded_error"},
    504: {"timeout_error"},
    529: {"overloaded_error"},
}


@pytest.fixture
def fuzzed(sim: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RouterProcess]:
    """A router whose routes have two backends each, and that never gives one up."""
    both = {"backends": ["primary", "xai"]}
    config = {
        "cascade": {"tiers": ["rules", "cache", "reasoning"]},
        "routes": {
            "primary": both, "meta": both, "enrich": both, "xai": {"backends": ["xai", "primary"]}
        },
    }  # fmt: skip
    with RouterProcess(
        tmp_path_factory.mktemp("fuzz"), backends=backend_urls(sim), config=merged(SHIPPED, config)
    ) as router:
        for role in ROLES:
            send(router, {"model": f"ai-router/{role}", "max_tokens": 9, "messages": [user("Hi")]})
        yield router


def user(content: Any) -> Json:
    return {"role": "user", "content": content}


# Bodies -------------------------------------------------------------------------------------------


def valid(rng: random.Random) -> tuple[Json, dict[str, Any]]:
    """A request that every backend could answer, and the faults that it causes, by role."""
    faults = {role: rng.choice(FAULTS) for role in ROLES if rng.random() < 0.35}
    steered: dict[str, Any] = {role: {"tokens": TOKENS} for role in ROLES}
    for role, fault in faults.items():
        steered[role]["fault"] = fault
    steered["router"] = {"label": rng.choice(("SIMPLE", "MODERATE", "COMPLEX"))}
    if rng.random() < 0.1:
        steered["router"]["fault"] = rng.choice(FAULTS)
    tools = rng.random() < 0.3
    said = "Use the tool: how is the weather?" if tools and rng.random() < 0.5 else "Say something"
    ask = f"{said} {rng.randrange(10**6)} [[sim {json.dumps(steered)}]]"
    body: Json = {
        "model": rng.choice(("claude-opus-4-8", "ai-router/primary", "ai-router/xai", "ai-router")),
        "max_tokens": rng.choice((256, 1024, 32_000)),
        "stream": rng.random() < 0.6,
        "messages": [*earlier(rng), user(ask if rng.random() < 0.5 else [claude_code.text(ask)])],
    }
    extras: Json = {
        "system": rng.choice(("Be brief.", [claude_code.billing(), claude_code.text("Be brief.")])),
        "temperature": rng.random(),
        "top_p": 0.9,
        "stop_sequences": ["never said"],
        "metadata": {"user_id": "u"},
        "thinking": rng.choice(({"type": "adaptive"}, {"type": "disabled"})),
        "output_config": {"effort": rng.choice(("low", "high", "max"))},
        "context_management": {"edits": []},
    }
    body |= {name: value for name, value in extras.items() if rng.random() < 0.3}
    if tools:
        body["tools"] = [claude_code.tool(name) for name in ("weather", "Bash")]
        if rng.random() < 0.3:
            body["tool_choice"] = {"type": "auto", "disable_parallel_tool_use": True}
    return body, faults


def earlier(rng: random.Random) -> list[Json]:
    """Turns before the ask."""
    turns: list[Json] = []
    for number in range(rng.choice((0, 0, 1, 2))):
        use = {"type": "tool_use", "id": f"t{number}", "name": "Bash", "input": {"command": "ls"}}
        result = {"type": "tool_result", "tool_use_id": f"t{number}", "content": "a b"}
        thought = {"type": "thinking", "thinking": "Hm.", "signature": "s"}
        image = {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}}
        source = {"type": "text", "media_type": "text/plain", "data": "a b"}
        parts = [image, {"type": "document", "source": source}]
        turns += rng.choice(
            (
                [user("Hi"), {"role": "assistant", "content": "Hello"}],
                [
                    user(parts),
                    {"role": "assistant", "content": [thought, claude_code.text("Hello")]},
                ],
                [user("Hi"), {"role": "assistant", "content": [use]}, user([result])],
            )
        )
    return turns


def damaged(rng: random.Random, body: Json) -> bytes:
    """A body with one thing wrong: a value, a field that is missing, or bytes."""
    body = copy.deepcopy(body)
    for _ in range(rng.choice((1, 1, 2))):
        place: Any = body
        while True:
            keys = [*place] if isinstance(place, dict) else [*range(len(place))]
            key = rng.choice(keys)
            below = place[key]
            if not (isinstance(below, dict | list) and below) or rng.random() < 0.3:
                break
            place = below
        if rng.random() < 0.3 and isinstance(place, dict) and len(place) > 1:
            del place[key]
        else:
            place[key] = rng.choice(ODD)
    raw = json.dumps(body).encode("utf-8", "surrogatepass")
    if rng.random() < 0.2:
        at = rng.randrange(len(raw))
        raw = raw[:at] + rng.randbytes(rng.randrange(3)) + raw[at + rng.randrange(9) :]
    return raw


# Answers ------------------------------------------------------------------------------------------


def send(router: RouterProcess, body: Json | bytes) -> requests.Response:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"Content-Type": "application/json", "anthropic-version": "2023-06-01"}
    with requests.Session() as http:
        http.trust_env = False
        return http.post(f"{router.url}/v1/messages", data=raw, headers=headers, timeout=60)


def error_kind(payload: Any) -> str:
    """The type of an error in Anthropic's form."""
    assert set(payload) == {"type", "error", "request_id"}
    assert payload["type"] == "error"
    assert set(payload["error"]) == {"type", "message"}
    assert payload["error"]["message"]
    return str(payload["error"]["type"])


def streamed(data: bytes) -> tuple[list[Json], str | None, str | None]:
    """The blocks of a stream, why it stopped, and the type of its error.

    Raises:
        AssertionError: the order of the events is not the API's.
    """
    assert data.endswith(b"\n\n")
    events = events_of(data)
    assert [event["type"] for event in events[:2]] == ["message_start", "ping"]
    blocks: list[Json] = []
    is_open, reason, ended = False, None, ""
    for event in events[2:]:
        kind = event["type"]
        assert not ended, f"{kind} after {ended}"
        if kind == "content_block_start":
            assert not is_open
            assert reason is None
            assert event["index"] == len(blocks)
            blocks.append({**event["content_block"], "pieces": ""})
            is_open = True
        elif kind == "content_block_delta":
            assert is_open
            assert event["index"] == len(blocks) - 1
            blocks[-1]["pieces"] += next(
                str(value) for name, value in event["delta"].items() if name != "type"
            )
        elif kind == "content_block_stop":
            assert is_open
            is_open = False
        elif kind == "message_delta":
            assert not is_open
            reason = event["delta"]["stop_reason"]
        elif kind == "message_stop":
            assert reason is not None
            ended = kind
        elif kind == "error":
            ended = error_kind({"request_id": None, **event})
        else:
            assert kind == "ping", kind
    assert ended
    return blocks, reason, None if ended == "message_stop" else ended


def check(answer: requests.Response, faults: dict[str, Any] | None) -> str:
    """Check an answer; returns what it was.

    Args:
        faults: by role; None: the body is invalid, so it may be refused.
    """
    status = answer.status_code
    if status != 200:
        assert status in ERRORS, answer.text
        assert error_kind(answer.json()) in ERRORS[status], answer.text
        if status == 500:  # a backend's own, passed on; never the router's
            assert "Simulated error 500" in answer.text
        if status >= 500:
            assert faults is None or set(faults) == {*ROLES}, (faults, answer.text)
            return "failed"
        assert faults is None, (faults, answer.text)
        return "refused"
    if answer.headers["Content-Type"].startswith("application/json"):
        message = answer.json()
        blocks, reason, error = message["content"], message["stop_reason"], None
    else:
        blocks, reason, error = streamed(answer.content)
        assert error is None or faults is None or set(faults) & {*ROLES}, "no backend failed"
        for block in blocks:
            if block["type"] == "text":
                block["text"] += block["pieces"]
            elif block["type"] == "tool_use" and error is None:
                assert isinstance(json.loads(block["pieces"] or "{}"), dict)
    numbers = answer_numbers("".join(b["text"] for b in blocks if b["type"] == "text"))
    assert numbers == [*range(1, len(numbers) + 1)], "text is lost or doubled"
    if faults is not None and error is None and reason == "end_turn":
        assert numbers == WORDS
    return "whole" if error is None else "broken off"


def test_no_body_and_no_cut_is_the_routers_fault(fuzzed: RouterProcess, sim: Simulator) -> None:
    def one(number: int) -> str:
        rng = random.Random(SEED * 1_000_003 + number)
        body, faults = valid(rng)
        raw = damaged(rng, body) if number % 3 == 2 else None
        answer = send(fuzzed, body if raw is None else raw)
        try:
            return check(answer, faults if raw is None else None)
        except AssertionError as error:
            sent = raw or json.dumps(body).encode()
            said = f"body {number} of seed {SEED}: {sent[:3000]!r} -> {answer.status_code} "
            raise AssertionError(f"{error}\n{said}{answer.content[:1500]!r}") from error

    with ThreadPoolExecutor(AT_A_TIME) as pool:
        found = Counter(pool.map(one, range(BODIES)))
    all_free(fuzzed)
    assert fuzzed.metric("airouter_requests_total", outcome="router_error") == 0
    assert "Traceback" not in fuzzed.printed()
    assert min(found[kind] for kind in ("whole", "failed", "refused", "broken off")) > 0, found
