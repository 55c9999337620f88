"""What is counted of a finished request beside today's counters."""

import pytest
from records import record, step

from airouter.domain.types import AttemptOutcome
from airouter.settings.backends import BackendSettings, Price
from airouter.telemetry.metrics import Metrics
from airouter.telemetry.request_metrics import cost_of

PRICED = BackendSettings(local=False, price=Price(input=2.0, output=10.0, cached=0.5))
USAGE = {
    "prompt_tokens": 1000,
    "completion_tokens": 200,
    "prompt_tokens_details": {"cached_tokens": 400},
}


@pytest.fixture
def metrics():
    made = Metrics()
    made.price_by({"gpu0": BackendSettings(), "cloud": PRICED}.get)
    return made


def value(metrics, name, **labels):
    metrics.render()
    return metrics.registry.get_sample_value(f"airouter_{name}", labels)


def test_why_it_ended_and_what_was_asked_for(metrics):
    for reason, model in (("ok", "ai-router"), ("ok", "other"), ("backend_busy", "other")):
        metrics.emit(record(reason=reason, requested_model=model))
    assert value(metrics, "request_reasons_total", reason="ok", route="primary") == 2
    assert value(metrics, "request_reasons_total", reason="backend_busy", route="primary") == 1
    assert value(metrics, "requested_model_total", requested_model="other", backend="gpu0") == 2
    assert metrics.errors == 0


def test_tokens_and_cost(metrics):
    """A cached token costs less, and one of a backend without a price nothing."""
    for backend in ("gpu0", "cloud", "cloud"):
        metrics.emit(record(backend=backend, usage=USAGE, inference_ms=1500.0))
    for kind, tokens in (("input", 2000), ("output", 400), ("cached", 800)):
        assert value(metrics, "tokens_total", backend="cloud", kind=kind) == tokens
    each = (600 * 2.0 + 400 * 0.5 + 200 * 10.0) / 1e6
    assert value(metrics, "cost_dollars_total", backend="cloud") == pytest.approx(2 * each)
    assert value(metrics, "cost_dollars_total", backend="gpu0") is None
    assert value(metrics, "gpu_seconds_total", backend="gpu0") == 1.5
    assert value(metrics, "gpu_seconds_total", backend="cloud") is None


@pytest.mark.parametrize(
    ("price", "tokens", "dollars"),
    [
        (Price(), (1000, 1000, 0), 0.0),
        (Price(input=3.0), (1_000_000, 0, 900_000), 3.0),  # cached: at the price of input
        (Price(input=3.0, cached=0.0), (1_000_000, 0, 1_000_000), 0.0),
        (Price(input=3.0, cached=1.0), (0, 0, 500), 0.0),
        (Price(input=3.0, cached=1.0), (1_000_000, 0, 2_000_000), 1.0),  # more than there were
        (Price(output=1.0), (0, 1_000_000, 0), 1.0),
    ],
)
def test_the_cost_never_is_negative(price, tokens, dollars):
    assert cost_of(price, *tokens) == pytest.approx(dollars)


def test_failovers_and_retries(metrics):
    """From the backend that was asked first to the one that answered or continued."""
    failed, again = AttemptOutcome("gpu0", "upstream_error"), "again"
    for attempts in (
        [AttemptOutcome("gpu0", "ok")],
        [AttemptOutcome("gpu0", "upstream_error", again), AttemptOutcome("gpu0", "ok")],
        [failed, AttemptOutcome("gpu1", "upstream_error", again), AttemptOutcome("gpu1", "ok")],
        [AttemptOutcome("gpu0", "ok"), AttemptOutcome("gpu1", "continued")],
        [failed, AttemptOutcome("gpu1", "upstream_error")],
        [AttemptOutcome("gpu0", "ok"), AttemptOutcome("gpu1", "upstream_error", "not continued")],
        [],
    ):
        metrics.emit(record(attempts=attempts))
    assert value(metrics, "failovers_total", from_backend="gpu0", to_backend="gpu1") == 2
    assert value(metrics, "retries_total", backend="gpu0") == 1
    assert value(metrics, "retries_total", backend="gpu1") == 1
    assert (
        len([line for line in metrics.render()[0].splitlines() if b"failovers_total{" in line]) == 1
    )


def test_wasted_tokens_are_the_speculating_backends(metrics):
    """Not those of the one that answered."""
    steps = [step(step="speculation", provider="gpu1"), step(step="provider_call")]
    metrics.emit(record(backend="cloud", speculation="cancelled", wasted_tokens=7, steps=steps))
    assert value(metrics, "tokens_total", backend="gpu1", kind="wasted") == 7
    assert value(metrics, "speculation_wasted_tokens_total") == 7


def test_where_the_time_went(metrics):
    """Each part in seconds, with its backend or its route."""
    metrics.emit(
        record(
            attempts=[AttemptOutcome("gpu0", "ok")],
            queue_ms=300.0,
            connect_ms=4.0,
            backend_ttft_ms=70.0,
            gap_ms=20.0,
            total_ms=1550.0,
            inference_ms=1200.0,
        )
    )
    for name, seconds in (
        ("queue_wait", 0.3),
        ("connect", 0.004),
        ("backend_ttft", 0.07),
        ("gap", 0.02),
    ):
        assert value(metrics, f"{name}_seconds_sum", backend="gpu0") == pytest.approx(seconds)
        assert value(metrics, f"{name}_seconds_count", backend="gpu0") == 1
    assert value(metrics, "own_seconds_sum", route="primary") == pytest.approx(0.05)
    assert value(metrics, "gap_seconds_bucket", backend="gpu0", le="0.01") == 0
    assert value(metrics, "gap_seconds_bucket", backend="gpu0", le="0.02") == 1


def test_what_did_not_take_place_is_not_timed(metrics):
    """A whole answer has no headers of a stream; a refused request has a queue but no answer."""
    metrics.emit(record(stream=False, connect_ms=900.0, attempts=[AttemptOutcome("gpu0", "ok")]))
    metrics.emit(
        record(
            backend=None,
            outcome="router_error",
            reason="backend_busy",
            attempts=[AttemptOutcome("gpu1", "rate_limit_exceeded")],
            queue_ms=5000.0,
            usage=USAGE,
        )
    )
    assert value(metrics, "connect_seconds_count", backend="gpu0") is None
    assert value(metrics, "queue_wait_seconds_sum", backend="gpu1") == 5.0
    assert value(metrics, "own_seconds_count", route="primary") == 1
    assert b"tokens_total{" not in metrics.render()[0]


def test_5000_different_models_are_one(metrics):
    """The record names configured models only; were it to fail, `MAX_SERIES` still holds."""
    for number in range(5000):
        metrics.emit(record(requested_model="other", user_query=f"model-{number}"))
    lines = metrics.render()[0].splitlines()
    assert len([line for line in lines if b"requested_model_total{" in line]) == 1
    for number in range(5000):
        metrics.emit(record(requested_model=f"model-{number}"))
    lines = metrics.render()[0].splitlines()
    assert len([line for line in lines if b"requested_model_total{" in line]) <= 2001
