"""One line per request on stdout, for the person who has just started the router in a terminal."""

import os

from airouter.telemetry.background import Background
from airouter.types import ExchangeRecord

WAITING = 10_000  # lines; a terminal that stands still costs lines, not memory
LINGER = 0.05  # seconds a first line waits for others
HEADING = "TIME      ROUTE        TIER          BACKEND            MS  STATUS"


def console_line(record: ExchangeRecord) -> str:
    """The columns of `HEADING`; after the status the outcome, where it is not `ok`."""
    outcome = "" if record.outcome == "ok" else f" {record.outcome}"
    return (
        f"{record.timestamp:%H:%M:%S}  {record.route:<11}  {record.tier or '-':<12}"
        f"  {record.backend or '-':<12}  {round(record.total_ms):>7}  {record.status}{outcome}"
    )


class ConsoleLines:
    """Sink: a request only queues its record; a thread formats and writes."""

    def __init__(self, fd: int = 1) -> None:
        self._fd = fd
        self._background = Background[ExchangeRecord](
            self._write, name="console", limit=WAITING, batch=1000, linger=LINGER
        )

    def emit(self, record: ExchangeRecord) -> None:
        self._background.put(record)

    def flush(self, timeout: float = 5.0) -> bool:
        """Wait until everything so far is written; False when `timeout` seconds did not do."""
        return self._background.flush(timeout)

    def close(self, timeout: float = 5.0) -> bool:
        """Write what is waiting and stop. May be called again."""
        return self._background.close(timeout)

    def _write(self, batch: list[ExchangeRecord]) -> None:
        # One write a line: several processes share this pipe, and only small writes to it stay whole.
        for record in batch:
            os.write(self._fd, f"{console_line(record)}\n".encode("utf-8", "backslashreplace"))
