"""A mapper with scripted backends and a clock that jumps; and what to say to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
from doubles import FakeClock
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from simulated_world import Script, World

from airouter.flow.exchange import Exchange
from airouter.mapper.answer import Outcome
from airouter.mapper.meter import Meter
from airouter.mapper.requests import MapRequest
from airouter.mapper.service import Mapper
from airouter.resilience.per_process import PerProcess
from airouter.settings.schema import Settings
from airouter.telemetry.logs import SILENT
from airouter.telemetry.mapper_metrics import MapperMetrics
from app import build_state

DETECTOR = "orchestrated-multi"
LIMITS = {"mapper-p95": 250.0, "mapper-p95-gpu": 120.0, "mapper-within-200ms": 200.0}


def request(output: str = "toxic", detector: str = DETECTOR) -> MapRequest:
    return MapRequest(detector, output, "tenant")


class Scene:
    """A mapper of the shipped vocabulary before the backends `primary` and `second`; `says` is what
    the model answers: bytes of a body, text of its message, or a script."""

    def __init__(self, tmp_path: Path, **mapper: Any) -> None:
        self.world = World()
        local = {"kind": "vllm", "breaker_fails": 1_000_000, "allowed_fails": 1_000_000}
        sections = {
            "backends": {
                name: {"url": f"http://{name}.test", "model": f"{name}-model", "slots": 4, **local}
                for name in ("primary", "second")
            },
            "routes": {"primary": {"backends": ["primary", "second"]}},
            "cascade": {"tiers": ["rules"]},
            "logging": {"dir": tmp_path},
            "mapper": mapper,
        }
        self.state = build_state(
            Settings.model_validate(sections),
            SILENT,
            self.world.clock,
            PerProcess(self.world.clock),
        )
        for backend in self.state.backends.values():
            backend.connect = self.world.connect
        self.sent: list[dict[str, Any]] = []
        self.told: list[tuple[str, bool]] = []
        self.registry = CollectorRegistry()
        self.metrics = MapperMetrics(self.registry)
        self.meter = Meter(self.metrics, self.told.extend, LIMITS, self.world.clock)

    @property
    def mapper(self) -> Mapper:
        return self.state.mapper

    @property
    def clock(self) -> FakeClock:
        return self.world.clock

    def label(self, raw: str = "toxic") -> str:
        detector = self.mapper.vocabulary.detectors.get(DETECTOR)
        assert detector is not None
        return detector.maps[raw]

    def says(self, *answers: Any, after: float = 0.12) -> None:
        """One answer after another, the last one again and again, by both backends."""
        left = list(answers)

        def script(_path: str, asked: dict[str, Any]) -> Script:
            self.sent.append(asked)
            answer = left.pop(0) if len(left) > 1 else left[0]
            if isinstance(answer, list):
                return answer
            body = message(answer)
            return [(after, b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))]

        self.world.scripts = {"primary": script, "second": script}

    def map(self, one: MapRequest | None = None) -> tuple[Outcome, float]:
        """How a request is mapped, and in how many seconds."""
        exchange = Exchange(self.clock, client=None, client_ip="", total=300)
        found: list[Outcome] = []

        def flow() -> Any:
            found.append((yield from self.mapper.map(exchange, one or request())))

        began = self.clock.monotonic()
        try:
            self.world.run(exchange, flow())
        finally:
            exchange.close()
        return found[0], self.clock.monotonic() - began

    def map_and_count(self, one: MapRequest | None = None) -> Outcome:
        outcome, seconds = self.map(one)
        self.meter.mapped(DETECTOR, outcome, seconds, counts=True)
        return outcome

    def samples(self) -> dict[tuple[str, str], float]:
        """By name, and value of the second label."""
        self.metrics.flush()
        families = text_string_to_metric_families(generate_latest(self.registry).decode())
        return {
            (s.name, s.labels.get("status") or s.labels.get("valid") or s.labels.get("reason", "")):
            s.value for family in families for s in family.samples if "le" not in s.labels
        }  # fmt: skip


def message(answer: Any) -> bytes:
    """The body of an answer whose message is this text, or this as JSON."""
    if isinstance(answer, bytes):
        return answer
    text = answer if isinstance(answer, str) else orjson.dumps(answer).decode()
    choice = {"index": 0, "message": {"role": "assistant", "content": text}}
    return orjson.dumps({"choices": [choice]})


def mapping(*labels: str, confidence: float = 0.9) -> dict[str, Any]:
    """A valid answer of the model."""
    return {
        "taxonomy": list(labels),
        "scores": dict.fromkeys(labels, 0.95),
        "confidence": confidence,
    }
