"""Records and steps for the tests of what is written down."""

from doubles import NOW

from airouter.domain.types import ExchangeRecord, Step, Verdict


def step(**changes):
    values = dict(
        step="inference",
        provider="vllm",
        url="http://gpu0:8000/v1/chat/completions",
        model="m",
        messages_sent=[],
        params={"temperature": 0.5, "max_tokens": 100},
        duration_ms=1200.0,
        status=200,
        finish_reason="stop",
        response_content="answer",
    )
    return Step(**(values | changes))


def record(**changes):
    """A finished exchange; any field can be given another value."""
    messages = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "question"}]
    values = dict(
        id="0123456789abcdef",
        timestamp=NOW,
        client_ip="10.0.0.1",
        endpoint="chat",
        stream=True,
        user_query="question",
        client_messages=messages,
        route="primary",
        requested_route="auto",
        label="SIMPLE",
        tier="rules",
        p=0.9,
        verdicts=(Verdict(tier="model", label="SIMPLE", raw="raw words"),),
        classification_raw="SIMPLE",
        classification_ms=12.0,
        enrichment_ms=None,
        inference_ms=1200.0,
        ttft_ms=80.0,
        total_ms=1250.0,
        steps=(),
        usage={"total_tokens": 12},
        outcome="ok",
        status=200,
        error=None,
        backend="gpu0",
        model="m",
        notes=("a note",),
    )
    return ExchangeRecord(**(values | changes))
