"""The endpoints of profile 000 against their service levels; skipped in CI and where an endpoint
cannot be reached.

`pytest -m llm -s` shows what was measured; `make test-slo` runs it against the simulator. Levels
are asserted at one request at a time only: what happens at 2, 5 and 10 is printed.
"""

import os

import pytest

from bench.client import Endpoint, Failure
from bench.endpoint import Subject
from bench.slo import endpoint_profile
from bench.stats import Summary, summarise

PROFILE = endpoint_profile("000")
FACTOR = PROFILE.factor("development")

pytestmark = [
    pytest.mark.llm,
    pytest.mark.skipif(bool(os.environ.get("CI")), reason="no real endpoints in CI"),
]


def reached(name: str) -> Subject:
    """The endpoint, or a skip with the reason."""
    slo = PROFILE.endpoints[name]
    url = slo.address(os.environ)
    if url is None:
        pytest.skip(f"{slo.env} is not set")
    try:
        return Subject(name, slo, PROFILE, Endpoint.of(url, os.environ.get("LLM_API_KEY") or None))
    except (Failure, ValueError) as error:
        pytest.skip(f"{name} cannot be reached: {error}")


def measured(subject: Subject) -> Summary:
    found = summarise([timing.seconds for timing in subject.baseline().values])
    assert found is not None
    return found


def line(name: str, found: Summary) -> str:
    shown = (("P50", found.p50), ("P95", found.p95), ("P99", found.p99), ("mean", found.mean))
    return (
        f"{name:<12} " + "  ".join(f"{title} {1000 * value:8.1f}" for title, value in shown) + " ms"
    )


class EndpointSlo:
    """What is asked of every endpoint; subclasses say of which."""

    name: str

    @pytest.fixture
    def subject(self) -> Subject:
        return reached(self.name)

    def test_reachable(self, subject: Subject) -> None:
        assert subject.served

    def test_cold_start(self, subject: Subject) -> None:
        cold, warm = subject.cold()
        budget = subject.slo.cold_start
        print(
            f"\n{self.name}: cold {1000 * cold:.1f} ms, warm {1000 * warm:.1f} ms, × "
            f"{cold / warm:.1f} of at most × {budget:g}"
        )
        assert budget is not None
        assert cold <= budget * warm

    def test_baseline_latency(self, subject: Subject) -> None:
        found = measured(subject)
        print(f"\n{line(self.name, found)}")
        levels = subject.slo.latency_ms
        assert levels is not None
        assert levels.p95 is not None
        assert levels.p99 is not None
        assert FACTOR is not None
        assert 1000 * found.p95 < FACTOR * levels.p95
        assert 1000 * found.p99 < FACTOR * levels.p99

    def test_concurrency_sweep(self, subject: Subject) -> None:
        expected = PROFILE.degradation[subject.slo.hardware]
        base = 0.0
        for clients, values in subject.sweep().items():
            found = summarise(values)
            assert found is not None
            assert found.n == clients * PROFILE.method.per_worker
            base = base or found.p95
            low, high = expected.get(clients, (1.0, 1.0))
            print(
                f"\n{line(self.name, found)}  {clients:2} clients: × {found.p95 / base:.2f}, "
                f"expected {low:g} … {high:g}",
                end="",
            )


class TestCoder14BSlo(EndpointSlo):
    name = "coder-14b"


class TestEmbeddingSlo(EndpointSlo):
    name = "gte-qwen2"


class TestQwen72BSlo(EndpointSlo):
    name = "qwen-72b"


class TestVisionSlo(EndpointSlo):
    name = "qwen2-vl"


class TestQwen14BSlo(EndpointSlo):
    name = "qwen-14b"


class TestCrossEndpointSummary:
    """One table of all that can be reached."""

    def test_summary(self) -> None:
        lines = []
        for name, slo in PROFILE.endpoints.items():
            url = slo.address(os.environ)
            if url is None:
                continue
            try:
                found = measured(
                    Subject(
                        name, slo, PROFILE, Endpoint.of(url, os.environ.get("LLM_API_KEY") or None)
                    )
                )
            except (Failure, ValueError) as error:
                lines.append(f"{name:<12} {error}")
                continue
            lines.append(line(name, found))
        if not lines:
            pytest.skip("no endpoint is configured")
        print("\n" + "\n".join(lines))
