"""The cases of `./Benchmark faults` (every fault of the simulator) and of `./Benchmark scorecard`:
what goes wrong with two backends, and what the client must get."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from simulator.faults import CATALOGUE

TOKENS = 48  # of each answer
WORDS = TOKENS - 8  # the numbered ones: an answer's first eight tokens are its heading
MIDDLE = 15  # chunks before a fault in mid-stream: in the middle of the numbered words
FIRST_CONTENT_S = 15.0  # within which a stream must show text, whatever its first backend does

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
    """What goes wrong with two backends, and what must come out of it.

    Args:
        plain_faults: instead of `faults` where the answer is not streamed; None: the same.
        streamed, plain: what the client must get.
        refused: the first tier refuses the request, so the second one must not be asked.
        code: of the error that the client must get as a refusal.
        only: "stream" or "whole": in the other mode the fault has nothing to act on.
        quick: among the few of --quick.
        then_ollama: the second tier is an Ollama, which cannot continue a cut stream.
        plain_within: seconds within which the answer must be there when it is not streamed.
        waits: about how many seconds it takes; the slowest cases start first.
        first, second: settings of the two simulated backends.
        special: "flapping" or "accounting": more than one request.
        extra: beyond the sixteen of the scorecard.
    """

    name: str
    faults: tuple[Fault, ...] = ()
    plain_faults: tuple[Fault, ...] | None = None
    streamed: str = WHOLE
    plain: str = WHOLE
    refused: bool = False
    code: str = ""
    only: str = ""
    quick: bool = False
    then_ollama: bool = False
    plain_within: float = FIRST_CONTENT_S
    waits: float = 0.0
    first: Mapping[str, Any] = field(default_factory=dict)
    second: Mapping[str, Any] = field(default_factory=dict)
    special: str = ""
    extra: bool = False

    def faults_of(self, stream: bool) -> tuple[Fault, ...]:
        return self.faults if stream or self.plain_faults is None else self.plain_faults

    def promised(self, stream: bool) -> str:
        return self.streamed if stream else self.plain


def _one(
    name: str, fault: str, params: Mapping[str, Any] | None = None, streamed: str = WHOLE,
    plain: str = WHOLE, *, everywhere: bool = False, **more: Any,
) -> Case:  # fmt: skip
    """A case of one fault: of the first tier, or `everywhere`."""
    tiers = ("first", "second") if everywhere else ("first",)
    faults = tuple(Fault(fault, params or {}, tier) for tier in tiers)
    return Case(name, faults, streamed=streamed, plain=plain, **more)


def _status(
    number: int, expected: str = WHOLE, name: str = "", *, quick: bool = False, **more: Any
) -> Case:
    fault = (status(number, **more),)
    return Case(
        name or f"status {number}", fault, streamed=expected, plain=expected,
        refused=expected == ERROR, quick=quick,
    )  # fmt: skip


CASES: tuple[Case, ...] = (
    # the connection
    _one("refuse", "refuse", quick=True),
    _one("reset before read", "reset_before_read"),
    _one("reset", "reset"),
    _one("reset, once", "reset", {"times": 1}),
    # instead of an answer
    _one("hang", "hang", quick=True),
    _one("hang in the headers", "hang_headers", {"interval_ms": 100}),
    _status(400, ERROR, quick=True),
    Case("400 context too long", (refusal("context_length_exceeded"),)),
    Case(
        "400 content policy",
        (refusal("content_policy_violation"),),
        streamed=ERROR,
        plain=ERROR,
        refused=True,
    ),
    _status(401),
    _status(408),
    _status(422, ERROR),
    _status(429, retry_after=1),
    _status(500),
    _one("status 500, once", "error_status", {"status": 500, "times": 1}),
    _status(502, body="Bad gateway"),
    _status(503),
    _one("html, 200", "html"),
    _one("html, 502", "html", {"status": 502}),
    _one("empty 200", "empty_200"),
    _one("loading", "loading"),
    # the headers
    _one("wrong content type", "wrong_content_type"),
    _one("oversized header", "oversized_header"),
    _one("header of 300 kB", "oversized_header", {"bytes": 300_000}),
    _one("closed after the headers", "early_close_after_headers"),
    # time
    _one("slow first token", "slow_first_token", {"ms": 4000}),
    _one("stall before content", "stall", {"after_chunks": 0}),
    _one("stall in mid-answer", "stall", {"after_chunks": MIDDLE}),
    _one("short stall", "stall", {"after_chunks": MIDDLE, "ms": 200}),
    # the body
    _one("dribble", "dribble"),
    _one("truncated JSON", "truncated_json", only="whole"),
    _one("cut before content", "cut", {"after_chunks": 0}),
    _one("cut early", "cut", {"after_chunks": 1}),
    _one("cut", "cut", {"after_chunks": MIDDLE}, quick=True),
    _one("cut, once", "cut", {"after_chunks": MIDDLE, "times": 1}),
    _one("cut, ended properly", "cut_clean", {"after_chunks": MIDDLE}, quick=True),
    _one("role only, then cut", "role_only_then_cut"),
    # a stream's events
    _one("garbage event", "garbage_event", {"after_chunks": MIDDLE}, only="stream"),
    _one("error event before content", "error_event", {"after_chunks": 0}, only="stream"),
    _one("error event", "error_event", {"after_chunks": MIDDLE}, only="stream"),
    _one("no [DONE]", "no_done", only="stream"),
    # Nothing says whether the answer was at its end: an honest error, or what can be made sure of.
    _one("no finish_reason", "no_finish_reason_with_done", streamed=EITHER, only="stream"),
    _one("no usage", "usage_missing"),
    _one("CRLF", "crlf", only="stream"),
    _one("merged", "merged", only="stream"),
    _one("comments", "keepalive_comments", only="stream"),
    _one("finish with content", "finish_in_content_chunk", only="stream"),
    # a second tier that cannot continue: what was begun ends with an honest error, unless the first
    # can go on
    _one("refuse, then ollama", "refuse", then_ollama=True),
    _one("stall, then ollama", "stall", {"after_chunks": MIDDLE}, streamed=ERROR, then_ollama=True),
    _one("cut, then ollama", "cut", {"after_chunks": MIDDLE}, streamed=EITHER, then_ollama=True),
    _one(
        "error event, then ollama",
        "error_event",
        {"after_chunks": MIDDLE},
        streamed=EITHER,
        then_ollama=True,
        only="stream",
    ),
    _one(
        "no finish_reason, then ollama",
        "no_finish_reason_with_done",
        streamed=EITHER,
        then_ollama=True,
        only="stream",
    ),
    # the chain is exhausted
    _one("refuse everywhere", "refuse", streamed=ERROR, plain=ERROR, everywhere=True),
    _one("500 everywhere", "error_status", {"status": 500}, ERROR, ERROR, everywhere=True),
    _one("hang everywhere", "hang", streamed=ERROR, plain=ERROR, everywhere=True),
    _one("cut everywhere", "cut", {"after_chunks": MIDDLE}, ERROR, ERROR, everywhere=True),
)

UNTESTED = frozenset(CATALOGUE) - {fault.name for case in CASES for fault in case.faults}

TOTAL_TIMEOUT_S = 300.0  # as shipped: what a silent backend costs an answer that is not streamed
FLAP_S, FLAP_REQUESTS = 60.0, 20
SILENT = "no response at all"

CUT = Fault("cut", {"after_chunks": MIDDLE, "times": 1})
_MALFORMED_BODY = status(200, body='{"choices": [{"index": 0, "message": {"content": "half')

SCENARIOS: tuple[Case, ...] = (
    Case("429 with Retry-After", (status(429, retry_after=1, times=1),)),
    Case("429, persistent", (status(429),)),
    Case("one 500", (status(500, times=1),)),
    Case("503, persistent", (status(503),)),
    Case("reset before the headers", (Fault("reset"),)),
    Case(
        SILENT,
        (Fault("hang"),),
        plain_within=TOTAL_TIMEOUT_S + FIRST_CONTENT_S,
        waits=TOTAL_TIMEOUT_S,
    ),
    Case(
        "first token after 20 s",
        (Fault("slow_first_token", {"ms": 20_000}),),
        plain_within=20 + FIRST_CONTENT_S,
        waits=20,
    ),
    Case("stream cut", (Fault("cut", {"after_chunks": MIDDLE}),), quick=True),
    Case(
        "stream stalls for 30 s",
        (Fault("stall", {"after_chunks": MIDDLE, "ms": 30_000}),),
        plain_within=30 + FIRST_CONTENT_S,
        waits=30,
    ),
    Case(
        "malformed chunk",
        (Fault("garbage_event", {"after_chunks": MIDDLE}),),
        plain_faults=(_MALFORMED_BODY,),
    ),
    Case("no [DONE]", (Fault("no_done"),), only="stream"),
    Case(
        "context length exceeded",
        (refusal("context_length_exceeded", "The prompt is longer than 8192 tokens."),),
        streamed=ERROR,
        plain=ERROR,
        refused=True,
        code="context_length_exceeded",
    ),
    Case(
        "content filter",
        (refusal("content_filter", "The content filter has refused the prompt."),),
        streamed=ERROR,
        plain=ERROR,
        refused=True,
        code="content_filter",
    ),
    # The first tier breaks off, and is out of service when it is asked to continue; the second
    # refuses to.
    Case(
        "fallback rejects the prefill",
        (CUT, status(503, skip=1)),
        streamed=EITHER,
        second={"prefill": "reject"},
    ),
    Case(
        f"first tier flaps for {FLAP_S:g} s under {FLAP_REQUESTS} requests",
        waits=FLAP_S,
        first={"tps": TOKENS / 2},  # two seconds an answer, so that some are cut
        second={"tps": TOKENS / 2},
        special="flapping",
    ),
    # Some of its requests are refused on purpose: what is judged is what the router says of them.
    Case("failover accounting", streamed=EITHER, plain=EITHER, special="accounting", quick=True),
    # Beyond the sixteen
    Case(
        "malformed chunk, a piece of the text lost with it",
        (Fault("garbage_event", {"after_chunks": MIDDLE, "instead": True, "times": 1}),),
        plain_faults=(_MALFORMED_BODY,),
        extra=True,
    ),
    Case(
        "stream cut, the prefill is repeated",
        (CUT,),
        first={"prefill": "repeat"},
        second={"prefill": "repeat"},
        extra=True,
    ),
    Case(
        "stream cut, every backend rejects the prefill",
        (CUT,),
        streamed=ERROR,
        first={"prefill": "reject"},
        second={"prefill": "reject"},
        extra=True,
    ),
)
