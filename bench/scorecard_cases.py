"""The cases of `./Benchmark scorecard`: what goes wrong with two OpenAI backends, and what the
client must get."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bench.fault_cases import EITHER, ERROR, MIDDLE, TOKENS, WHOLE, Fault, refusal, status

FIRST_CONTENT_S = 15.0  # within which a stream must show text, whatever its first backend does
TOTAL_TIMEOUT_S = 300.0  # as shipped: what a silent backend costs an answer that is not streamed
FLAP_S, FLAP_REQUESTS = 60.0, 20


@dataclass(frozen=True, slots=True)
class Scenario:
    """One row: faults of the tiers, and what must come out of it.

    Args:
        plain_faults: instead of `faults` where the answer is not streamed; None: the same.
        streamed, plain: what the client must get.
        code: of the error that the client must get as a refusal; the second tier must not be asked
        then.
        plain_within: seconds within which the answer must be there when it is not streamed.
        waits: about how many seconds it takes, streamed and not, for the order in which the cases
        run.
        first, second: settings of the two simulated backends.
        special: "flapping" or "accounting": more than one request.
        extra: beyond the sixteen.
        no_effect: the fault has nothing to act on where the answer is not streamed.
    """

    name: str
    faults: tuple[Fault, ...] = ()
    plain_faults: tuple[Fault, ...] | None = None
    streamed: str = WHOLE
    plain: str = WHOLE
    code: str = ""
    plain_within: float = FIRST_CONTENT_S
    waits: tuple[float, float] = (0.0, 0.0)
    first: Mapping[str, Any] = field(default_factory=dict)
    second: Mapping[str, Any] = field(default_factory=dict)
    special: str = ""
    extra: bool = False
    quick: bool = False
    no_effect: bool = False

    def faults_of(self, stream: bool) -> tuple[Fault, ...]:
        return self.faults if stream or self.plain_faults is None else self.plain_faults

    def promised(self, stream: bool) -> str:
        return self.streamed if stream else self.plain


_CUT = Fault("cut", {"after_chunks": MIDDLE, "times": 1})
_MALFORMED_BODY = status(200, body='{"choices": [{"index": 0, "message": {"content": "half')

SCENARIOS: tuple[Scenario, ...] = (
    Scenario("429 with Retry-After", (status(429, retry_after=1, times=1),)),
    Scenario("429, persistent", (status(429),)),
    Scenario("one 500", (status(500, times=1),)),
    Scenario("503, persistent", (status(503),)),
    Scenario("reset before the headers", (Fault("reset"),)),
    Scenario(
        "no response at all",
        (Fault("hang"),),
        plain_within=TOTAL_TIMEOUT_S + FIRST_CONTENT_S,
        waits=(12, TOTAL_TIMEOUT_S),
    ),
    Scenario(
        "first token after 20 s",
        (Fault("slow_first_token", {"ms": 20_000}),),
        plain_within=20 + FIRST_CONTENT_S,
        waits=(12, 20),
    ),
    Scenario("stream cut", (Fault("cut", {"after_chunks": MIDDLE}),), quick=True),
    Scenario(
        "stream stalls for 30 s",
        (Fault("stall", {"after_chunks": MIDDLE, "ms": 30_000}),),
        plain_within=30 + FIRST_CONTENT_S,
        waits=(30, 30),
    ),
    Scenario(
        "malformed chunk",
        (Fault("garbage_event", {"after_chunks": MIDDLE}),),
        plain_faults=(_MALFORMED_BODY,),
    ),
    Scenario("no [DONE]", (Fault("no_done"),), no_effect=True),
    Scenario(
        "context length exceeded",
        (refusal("context_length_exceeded", "The prompt is longer than 8192 tokens."),),
        streamed=ERROR,
        plain=ERROR,
        code="context_length_exceeded",
    ),
    Scenario(
        "content filter",
        (refusal("content_filter", "The content filter has refused the prompt."),),
        streamed=ERROR,
        plain=ERROR,
        code="content_filter",
    ),
    # The first tier breaks off, and is out of service when it is asked to continue; the second
    # refuses to.
    Scenario(
        "fallback rejects the prefill",
        (_CUT, status(503, skip=1)),
        streamed=EITHER,
        second={"prefill": "reject"},
    ),
    Scenario(
        f"first tier flaps for {FLAP_S:g} s under {FLAP_REQUESTS} requests",
        waits=(FLAP_S, FLAP_S),
        first={"tps": TOKENS / 2},  # two seconds an answer, so that some are cut
        second={"tps": TOKENS / 2},
        special="flapping",
    ),
    Scenario("failover accounting", special="accounting", quick=True),
    # Beyond the sixteen
    Scenario(
        "malformed chunk, a piece of the text lost with it",
        (Fault("garbage_event", {"after_chunks": MIDDLE, "instead": True, "times": 1}),),
        plain_faults=(_MALFORMED_BODY,),
        extra=True,
    ),
    Scenario(
        "stream cut, the prefill is repeated",
        (_CUT,),
        first={"prefill": "repeat"},
        second={"prefill": "repeat"},
        extra=True,
    ),
    Scenario(
        "stream cut, every backend rejects the prefill",
        (_CUT,),
        streamed=ERROR,
        first={"prefill": "reject"},
        second={"prefill": "reject"},
        extra=True,
    ),
)
