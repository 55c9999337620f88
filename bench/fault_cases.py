"""The cases of `./Benchmark faults`: every fault of the simulator, what it is done to, and what the
client must get."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from simulator.faults import CATALOGUE

TOKENS = 48  # of each answer; the numbered words begin behind eight of them
MIDDLE = 15  # chunks before a fault in mid-stream: in the middle of the numbered words

WHOLE, ERROR, EITHER = "whole", "clean error", "whole or clean error"


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault of the simulator, switched on at one of the two tiers."""

    name: str
    params: Mapping[str, Any] = field(default_factory=dict)
    tier: str = "first"


def status(number: int, **more: Any) -> Fault:
    return Fault("error_status", {"status": number, **more})


def refusal(code: str, message: str = "") -> Fault:
    """A status of 400, and OpenAI's error with this code."""
    said = message or f"Simulated: {code}"
    error = {"message": said, "type": "invalid_request_error", "param": None, "code": code}
    return status(400, body={"error": error})


@dataclass(frozen=True, slots=True)
class Case:
    """One fault of the first tier. `streamed` and `plain`: what the client must get.

    `second`: the kind of the next tier (a vllm can continue a cut stream, an ollama cannot).
    `everywhere`: all tiers have it.
    """

    name: str
    fault: str
    params: Mapping[str, Any] = field(default_factory=dict)
    streamed: str = WHOLE
    plain: str = WHOLE
    second: str = "vllm"
    everywhere: bool = False
    second_untouched: bool = False  # the next tier must not be asked at all
    quick: bool = False  # among the few of --quick
    only: str = ""  # "stream" or "whole": in the other mode the fault has nothing to act on


def _status(number: int, expected: str = WHOLE, name: str = "", **more: Any) -> Case:
    quick, fault = more.pop("quick", False), status(number, **more)
    return Case(
        name or f"status {number}", fault.name, fault.params, expected, expected,
        second_untouched=expected == ERROR, quick=quick,
    )  # fmt: skip


CASES: tuple[Case, ...] = (
    # the connection
    Case("refuse", "refuse", quick=True),
    Case("reset before read", "reset_before_read"),
    Case("reset", "reset"),
    Case("reset, once", "reset", {"times": 1}),
    # instead of an answer
    Case("hang", "hang", quick=True),
    Case("hang in the headers", "hang_headers", {"interval_ms": 100}),
    _status(400, ERROR, quick=True),
    _status(
        400, WHOLE, "400 context too long", body=refusal("context_length_exceeded").params["body"]
    ),
    _status(
        400, ERROR, "400 content policy", body=refusal("content_policy_violation").params["body"]
    ),
    _status(401),
    _status(408),
    _status(422, ERROR),
    _status(429, retry_after=1),
    _status(500),
    Case("status 500, once", "error_status", {"status": 500, "times": 1}),
    _status(502, body="Bad gateway"),
    _status(503),
    Case("html, 200", "html"),
    Case("html, 502", "html", {"status": 502}),
    Case("empty 200", "empty_200"),
    Case("loading", "loading"),
    # the headers
    Case("wrong content type", "wrong_content_type"),
    Case("oversized header", "oversized_header"),
    Case("header of 300 kB", "oversized_header", {"bytes": 300_000}),
    Case("closed after the headers", "early_close_after_headers"),
    # time
    Case("slow first token", "slow_first_token", {"ms": 4000}),
    Case("stall before content", "stall", {"after_chunks": 0}),
    Case("stall in mid-answer", "stall", {"after_chunks": MIDDLE}),
    Case("short stall", "stall", {"after_chunks": MIDDLE, "ms": 200}),
    # the body
    Case("dribble", "dribble"),
    Case("truncated JSON", "truncated_json", only="whole"),
    Case("cut before content", "cut", {"after_chunks": 0}),
    Case("cut early", "cut", {"after_chunks": 1}),
    Case("cut", "cut", {"after_chunks": MIDDLE}, quick=True),
    Case("cut, once", "cut", {"after_chunks": MIDDLE, "times": 1}),
    Case("cut, ended properly", "cut_clean", {"after_chunks": MIDDLE}, quick=True),
    Case("role only, then cut", "role_only_then_cut"),
    # a stream's events
    Case("garbage event", "garbage_event", {"after_chunks": MIDDLE}, only="stream"),
    Case("error event before content", "error_event", {"after_chunks": 0}, only="stream"),
    Case("error event", "error_event", {"after_chunks": MIDDLE}, only="stream"),
    Case("no [DONE]", "no_done", only="stream"),
    # Nothing says whether the answer was at its end: an honest error, or what can be made sure of.
    Case("no finish_reason", "no_finish_reason_with_done", streamed=EITHER, only="stream"),
    Case("no usage", "usage_missing"),
    Case("CRLF", "crlf", only="stream"),
    Case("merged", "merged", only="stream"),
    Case("comments", "keepalive_comments", only="stream"),
    Case("finish with content", "finish_in_content_chunk", only="stream"),
    # a second tier that cannot continue: what was begun ends with an honest error, unless the first
    # can go on
    Case("refuse, then ollama", "refuse", second="ollama"),
    Case("stall, then ollama", "stall", {"after_chunks": MIDDLE}, streamed=ERROR, second="ollama"),
    Case("cut, then ollama", "cut", {"after_chunks": MIDDLE}, streamed=EITHER, second="ollama"),
    Case(
        "error event, then ollama",
        "error_event",
        {"after_chunks": MIDDLE},
        streamed=EITHER,
        second="ollama",
        only="stream",
    ),
    Case(
        "no finish_reason, then ollama",
        "no_finish_reason_with_done",
        streamed=EITHER,
        second="ollama",
        only="stream",
    ),
    # the chain is exhausted
    Case("refuse everywhere", "refuse", streamed=ERROR, plain=ERROR, everywhere=True),
    Case("500 everywhere", "error_status", {"status": 500}, ERROR, ERROR, everywhere=True),
    Case("hang everywhere", "hang", streamed=ERROR, plain=ERROR, everywhere=True),
    Case("cut everywhere", "cut", {"after_chunks": MIDDLE}, ERROR, ERROR, everywhere=True),
)

UNTESTED = frozenset(CATALOGUE) - {case.fault for case in CASES}
