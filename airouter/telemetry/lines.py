"""The REQUEST and SLOW_REQUEST lines of app.log. Programs parse them: the order of fields is fixed,
and new fields are appended."""

import re
from collections.abc import Mapping

from airouter.domain.types import ExchangeRecord
from airouter.telemetry.logs import Log

SLOW_DEFAULT_MS = 10_000.0  # for routes without a threshold
_BREAKS_WORD = re.compile(r"[\s\x00-\x1f\x7f]")


def request_line(record: ExchangeRecord) -> str:
    """`REQUEST session=… route=… classification_ms=…[ enrichment_ms=…] inference_ms=… total_ms=…
    stream=True|False`."""
    return (
        f"REQUEST session={_word(record.id[:8])} route={record.route} {_stages(record)}"
        f" total_ms={round(record.total_ms)} stream={bool(record.stream)}{_extras(record)}"
    )


def slow_line(
    record: ExchangeRecord, thresholds: Mapping[str, float], default: float = SLOW_DEFAULT_MS
) -> str | None:
    """The SLOW_REQUEST line if the exchange took longer than its route's threshold, else None.

    None as well if the client disconnected: the duration then says nothing about the router.

    Args:
        thresholds: milliseconds by route; `default` for the others.
    """
    if record.outcome == "client_gone" or record.total_ms <= thresholds.get(record.route, default):
        return None
    session, total = _word(record.id[:8]), round(record.total_ms)
    return (
        f"SLOW_REQUEST session={session} route={record.route} total_ms={total} "
        f"{_stages(record)}{_extras(record)}"
    )


class RequestLines:
    """Sink: one REQUEST line per exchange (INFO), and a SLOW_REQUEST line (WARNING) if it was
    slow."""

    def __init__(
        self, log: Log, thresholds: Mapping[str, float], default: float = SLOW_DEFAULT_MS
    ) -> None:
        self._log, self._thresholds, self._default = log, thresholds, default

    def emit(self, record: ExchangeRecord) -> None:
        try:
            self._log.info("%s", request_line(record))
            slow = slow_line(record, self._thresholds, self._default)
            if slow is not None:
                self._log.warning("%s", slow)
        except Exception as error:  # a sink must not raise
            self._log.error(
                "no REQUEST line for session=%s: %s", str(record.id), type(error).__name__
            )


def _stages(record: ExchangeRecord) -> str:
    enrichment = (
        "" if record.enrichment_ms is None else f" enrichment_ms={round(record.enrichment_ms)}"
    )
    return (
        f"classification_ms={round(record.classification_ms)}{enrichment} "
        f"inference_ms={round(record.inference_ms)}"
    )


def _extras(record: ExchangeRecord) -> str:
    outcome = "" if record.outcome == "ok" else f" outcome={record.outcome}"
    backend = f" backend={record.backend}" if record.backend else ""
    tier = f" tier={record.tier}" if record.tier else ""
    trace = f" trace={record.trace_id}" if record.trace_id else ""
    key = f" key={record.key_id}" if record.key_id else ""
    return outcome + backend + tier + trace + key


def _word(value: str) -> str:
    """A client-supplied id without white space, so that it cannot forge a field."""
    return _BREAKS_WORD.sub("_", value)
