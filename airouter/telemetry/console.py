"""One line per request on stdout, for terminals."""

import os

from airouter.domain.types import ExchangeRecord
from airouter.telemetry.background import Background

WAITING = 10_000  # queued lines; if the terminal blocks, further lines are dropped
LINGER = 0.05  # seconds to wait for more lines before writing
HEADING = "TIME      ROUTE        TIER          BACKEND            MS  STATUS"


def console_line(record: ExchangeRecord) -> str:
    """The columns of `HEADING`, followed by the outcome if it is not `ok`."""
    outcome = "" if record.outcome == "ok" else f" {record.outcome}"
    return (
        f"{record.timestamp:%H:%M:%S}  {record.route:<11}  {record.tier or '-':<12}"
        f"  {record.backend or '-':<12}  {round(record.total_ms):>7}  {record.status}{outcome}"
    )


class ConsoleLines:
    """Sink: requests queue their record; a thread formats and writes the lines."""

    pressed = False  # a terminal that blocks must not delay requests

    def __init__(self, fd: int = 1) -> None:
        self._fd = fd
        self._background = Background[ExchangeRecord](
            self._write, name="console", limit=WAITING, batch=1000, linger=LINGER
        )

    def emit(self, record: ExchangeRecord) -> None:
        self._background.put(record)

    def flush(self, timeout: float = 5.0) -> bool:
        """Wait until all lines so far have been written; returns False after `timeout` seconds."""
        return self._background.flush(timeout)

    def close(self, timeout: float = 5.0) -> bool:
        """Write queued lines and stop. Idempotent."""
        return self._background.close(timeout)

    def _write(self, batch: list[ExchangeRecord]) -> None:
        # One write per line: several processes share this pipe, and only small writes are atomic.
        for record in batch:
            os.write(self._fd, f"{console_line(record)}\n".encode("utf-8", "backslashreplace"))
