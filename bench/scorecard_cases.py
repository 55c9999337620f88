"""The cases of `./Benchmark scorecard`: what goes wrong with two OpenAI backends, and what the
client must get."""

from bench.fault_cases import (
    EITHER,
    ERROR,
    FIRST_CONTENT_S,
    MIDDLE,
    TOKENS,
    Case,
    Fault,
    refusal,
    status,
)

TOTAL_TIMEOUT_S = 300.0  # as shipped: what a silent backend costs an answer that is not streamed
FLAP_S, FLAP_REQUESTS = 60.0, 20
SILENT = "no response at all"

_CUT = Fault("cut", {"after_chunks": MIDDLE, "times": 1})
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
        (_CUT, status(503, skip=1)),
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
        (_CUT,),
        first={"prefill": "repeat"},
        second={"prefill": "repeat"},
        extra=True,
    ),
    Case(
        "stream cut, every backend rejects the prefill",
        (_CUT,),
        streamed=ERROR,
        first={"prefill": "reject"},
        second={"prefill": "reject"},
        extra=True,
    ),
)
