"""Sends the spans of finished requests to an OpenTelemetry collector, in the background."""

import os
from collections.abc import Callable
from typing import Any

from airouter.domain.clock import Clock
from airouter.domain.errors import ConfigError
from airouter.domain.types import ExchangeRecord
from airouter.settings.tracing import TracingSettings
from airouter.telemetry.background import Background
from airouter.telemetry.logs import Log

_WAITING = 5_000  # records
_BATCH = 200
_LINGER = 0.5  # seconds
_TIMEOUT = 5.0  # seconds for sending a batch
_SAY_EVERY = 60.0  # seconds between two log lines about the same fault


class Tracing:
    """Sink. What cannot be sent is dropped, and said once a minute.

    Args:
        export: sends spans; None: by OTLP over HTTP.

    Raises:
        ConfigError: OpenTelemetry is not installed.
    """

    def __init__(
        self,
        settings: TracingSettings,
        clock: Clock,
        log: Log,
        export: Callable[[list[Any]], bool] | None = None,
    ) -> None:
        check_installed()
        from airouter.telemetry.spans import SpanMaker, convention

        self._settings, self._clock, self._log = settings, clock, log
        opted_in = os.environ.get("OTEL_SEMCONV_STABILITY_OPT_IN", "")
        self._maker = SpanMaker(settings.service_name, convention(opted_in))
        self._export = export
        self._said_at = float("-inf")
        self._background = Background[ExchangeRecord](
            self._handle,
            name="tracing",
            limit=_WAITING,
            batch=_BATCH,
            linger=_LINGER,
            flush_at=_BATCH,
            on_drop=lambda count: self._say(f"{count} requests, the queue is full"),
        )

    def emit(self, record: ExchangeRecord) -> None:
        if record.trace_id is not None and record.traced:
            self._background.put(record)

    @property
    def pressed(self) -> bool:
        """Tracing delays no request."""
        return False

    def close(self, timeout: float = 5.0) -> bool:
        """Send what is queued, then stop. Returns False if that took too long."""
        return self._background.close(timeout)

    def _handle(self, records: list[ExchangeRecord]) -> None:
        if not records:
            return
        spans = [span for record in records for span in self._maker.spans(record)]
        if self._export is None:
            self._export = self._exporter()
        try:
            sent = self._export(spans)
        except Exception as error:
            self._say(type(error).__name__)
            return
        if not sent:
            self._say("the collector does not answer, or refuses them")

    def _exporter(self) -> Callable[[list[Any]], bool]:
        """Made in the thread that uses it: after the fork."""
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import SpanExportResult

        base = (self._settings.endpoint or "").rstrip("/")
        url = base if base.endswith("/v1/traces") else f"{base}/v1/traces"
        exporter = OTLPSpanExporter(endpoint=url, timeout=_TIMEOUT)
        return lambda spans: exporter.export(spans) is SpanExportResult.SUCCESS

    def _say(self, why: str) -> None:
        now = self._clock.monotonic()
        if now - self._said_at >= _SAY_EVERY:
            self._said_at = now
            self._log.warning("Spans not sent: %s", why)


def check_installed() -> None:
    """Raises:
    ConfigError: OpenTelemetry is not installed.
    """
    try:
        import opentelemetry.exporter.otlp.proto.http
        import opentelemetry.sdk  # noqa: F401
    except ImportError:
        raise ConfigError(
            "tracing.endpoint is set, but OpenTelemetry is not installed; run "
            "'.venv/bin/pip install -r requirements-tracing.txt', or remove tracing.endpoint."
        ) from None
