"""app.log and log lines on stdout: requests queue a tuple; one thread per process writes in
batches."""

import logging
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any, Literal, Protocol

from pythonjsonlogger.json import JsonFormatter

from airouter.domain.clock import Clock
from airouter.domain.redaction import masked
from airouter.telemetry.background import Background
from airouter.telemetry.rotating_file import RotatingFile

NAME = "ai_router"
WAITING = 100_000  # queued lines, about 30 MB; further lines are dropped
LINGER = 0.01  # seconds to wait for more lines: at most 100 writes per second
WARN_EVERY = 60.0  # seconds
LOST = "Log lines lost: %d (the queue was full, or app.log could not be written)"
# Characters that could end a line, hide part of it or reverse it on a terminal.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}

# (monotonic seconds, level, logger's name, template, its arguments, extra fields for JSON)
_Entry = tuple[float, int, str, str, tuple[object, ...], Mapping[str, Any] | None]


class Log(Protocol):
    """The logging interface: printf-style templates, whose arguments must not change afterwards.
    Never raises and never blocks."""

    def info(self, template: str, *args: object) -> None: ...

    def warning(self, template: str, *args: object) -> None: ...

    def error(self, template: str, *args: object) -> None: ...


class _Silent:
    def info(self, template: str, *args: object) -> None: ...

    warning = error = info


SILENT: Log = _Silent()  # for what has nowhere to log


def _escape(text: str) -> str:
    """The text as a single line, with control characters escaped."""
    if text.isprintable():  # contains no such characters; by far the fastest check
        return text
    return _CONTROL.sub(lambda match: _SHORT.get(match[0]) or f"\\u{ord(match[0]):04x}", text)


class _TextLines:
    """`2026-01-31 12:00:00,123 - ai_router - INFO - message`, in the clock's zone, always a single
    line.

    logging's own formatter takes five times as long, and formatting blocks the request threads.
    """

    def __init__(self) -> None:
        self._second: tuple[int, tzinfo | None] | None = None
        self._stamp = ""

    def encode(self, entry: _Entry, created: float, zone: tzinfo | None) -> bytes:
        _, level, name, template, args, _ = entry
        millis = round(created * 1e6) // 1000
        second = (millis // 1000, zone)
        if second != self._second:
            self._second, self._stamp = (
                second,
                datetime.fromtimestamp(second[0], zone).strftime("%Y-%m-%d %H:%M:%S"),
            )
        text = (
            f"{self._stamp},{millis % 1000:03d} - {name} - {logging.getLevelName(level)} - "
            f"{_message(template, args)}"
        )
        return masked(_escape(text).encode("utf-8", "backslashreplace")) + b"\n"


class AppLog:
    """The application log. `info` and the other methods queue the line and return: no I/O, no
    formatting, no exceptions.

    A line's time is when it was logged. Arguments are formatted later, in another thread: pass
    strings and numbers.

    Args:
        log_dir: directory of `app.log`; created if missing.
        fmt: "json" also writes every line as a JSON object to stdout, regardless of `stdout`.
        stdout: with fmt "text", also write the text lines to stdout.
        max_bytes: size at which `app.log` is rotated; `backups` old files are kept.
    """

    def __init__(
        self,
        log_dir: Path,
        *,
        level: str = "INFO",
        fmt: Literal["text", "json"] = "text",
        stdout: bool = False,
        max_bytes: int = 5_000_000,
        backups: int = 3,
        clock: Clock,
    ) -> None:
        self.path = Path(log_dir) / "app.log"
        self._level = logging.getLevelNamesMapping()[level.upper()]
        self._clock, self._monotonic = clock, clock.monotonic
        self._file = RotatingFile(self.path, max_bytes, backups)
        self._text = _TextLines()
        self._stdout = stdout
        self._json: logging.Formatter | None = None
        if fmt == "json":
            fields = ["timestamp", "levelname", "name", "message"]
            self._json = JsonFormatter(
                fields, rename_fields={"levelname": "level"}, json_default=str
            )
        self._warned: float | None = None
        self._on_close: list[Callable[[], None]] = []
        self._background = Background[_Entry](
            self._write, name="app-log", limit=WAITING, batch=1000, linger=LINGER
        )
        self._put = self._background.put

    def debug(self, template: str, *args: object, extra: Mapping[str, Any] | None = None) -> None:
        if self._level <= logging.DEBUG:
            self._put((self._monotonic(), logging.DEBUG, NAME, template, args, extra))

    def info(self, template: str, *args: object, extra: Mapping[str, Any] | None = None) -> None:
        """Log `template % args`, as in logging; `extra` becomes fields of the JSON line."""
        if self._level <= logging.INFO:
            self._put((self._monotonic(), logging.INFO, NAME, template, args, extra))

    def warning(self, template: str, *args: object, extra: Mapping[str, Any] | None = None) -> None:
        if self._level <= logging.WARNING:
            self._put((self._monotonic(), logging.WARNING, NAME, template, args, extra))

    def error(self, template: str, *args: object, extra: Mapping[str, Any] | None = None) -> None:
        if self._level <= logging.ERROR:
            self._put((self._monotonic(), logging.ERROR, NAME, template, args, extra))

    def foreign(self, level: int, name: str, message: str) -> None:
        """Log a finished message under another logger's name (see `install_stdlib_handler`)."""
        if self._level <= level:
            self._put((self._monotonic(), level, name, "%s", (message,), None))

    @property
    def dropped(self) -> int:
        """Lines lost in this process: the queue was full, or they could not be written."""
        return self._background.dropped

    @property
    def pressed(self) -> bool:
        """Whether the queue is nearly full. Cheap: takes no lock."""
        return self._background.pressed

    def flush(self, timeout: float = 5.0) -> bool:
        """Wait until all lines so far have been written or dropped; returns False after `timeout`
        seconds."""
        return self._background.flush(timeout)

    def on_close(self, action: Callable[[], None]) -> None:
        """Have `action` called when the log is closed."""
        self._on_close.append(action)

    def close(self, timeout: float = 5.0) -> bool:
        """Flush and stop; later lines are dropped and counted. Safe for atexit; idempotent.

        Returns:
            False if not all lines could be written within `timeout` seconds; stderr says how many.
        """
        while self._on_close:
            self._on_close.pop()()
        done = self._background.close(timeout)
        if lost := self._background.unreported(self._monotonic(), every=0):
            if done:
                self._append([self._lost(lost)])
            else:
                _complain(LOST % lost)
        return done

    def _write(self, batch: list[_Entry]) -> None:
        """Runs in the writer thread only."""
        if not self._append(batch) or self.pressed:
            return
        if lost := self._background.unreported(self._monotonic()):
            self._append([self._lost(lost)])

    def _append(self, batch: list[_Entry]) -> bool:
        """Returns whether the file has the lines."""
        written = True
        now = self._clock.now()
        # Entries have monotonic times, which are cheaper for requests; converted here in one step.
        offset = now.timestamp() - self._monotonic()
        lines = [self._text.encode(entry, entry[0] + offset, now.tzinfo) for entry in batch]
        try:
            self._file.append(lines)
        except OSError as error:
            self._failed(len(batch), f"{self.path}: {error.strerror or error}")
            written = False
        if self._json is not None:
            lines = [
                _encode(self._json, _record(entry, entry[0] + offset, now.tzinfo))
                for entry in batch
            ]
        if self._stdout or self._json is not None:
            try:
                # One write per line: several processes share this pipe, and only small writes are
                # atomic.
                for line in lines:
                    os.write(1, line)
            except OSError as error:
                self._failed(0, f"stdout: {error.strerror or error}")
        return written

    def _lost(self, count: int) -> _Entry:
        return self._monotonic(), logging.WARNING, NAME, LOST, (count,), None

    def _failed(self, lost: int, why: str) -> None:
        self._background.drop(lost)
        now = self._monotonic()
        if self._warned is None or now - self._warned >= WARN_EVERY:
            self._warned = now
            _complain(f"cannot write the log ({_escape(why)}); {self.dropped} lines lost")


def _complain(text: str) -> None:
    with suppress(Exception):  # stderr may be closed
        print(f"WARNING: {text}", file=sys.stderr)


def _message(template: str, args: tuple[object, ...]) -> str:
    try:
        return template % args if args else template
    except Exception:  # a wrong template must not lose the line
        return f"{template} {args!r}"


def _record(entry: _Entry, created: float, zone: tzinfo | None) -> logging.LogRecord:
    _, level, name, template, args, extra = entry
    record = logging.LogRecord(name, level, "", 0, _message(template, args), None, None)
    micros = round(created * 1e6)
    record.created, record.msecs = micros / 1e6, micros // 1000 % 1000
    record.timestamp = datetime.fromtimestamp(record.created, zone).isoformat(
        timespec="milliseconds"
    )
    for key, value in (extra or {}).items():
        record.__dict__.setdefault(key, value)
    return record


def _encode(formatter: logging.Formatter, record: logging.LogRecord) -> bytes:
    try:
        text = formatter.format(record)
    except Exception:  # an extra field that JSON cannot hold
        text = _escape(f"{record.levelname} {record.msg}")
    return masked(text.encode("utf-8", "backslashreplace")) + b"\n"


class _StdlibHandler(logging.Handler):
    """Passes records of other libraries to the log. `close()` detaches it from their loggers."""

    def __init__(self, log: AppLog, level: int, loggers: Iterable[str]) -> None:
        super().__init__(level)
        self._log = log
        self._mark = f"in_app_log_{id(self)}"
        self._loggers = [logging.getLogger(name) for name in loggers]
        self.setFormatter(logging.Formatter("%(message)s"))  # adds the traceback, if any
        for logger in self._loggers:
            logger.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        if hasattr(record, self._mark):  # propagated to a parent logger
            return
        setattr(record, self._mark, True)
        with suppress(Exception):
            self._log.foreign(record.levelno, record.name, self.format(record))

    def close(self) -> None:
        for logger in self._loggers:
            logger.removeHandler(self)
        super().close()


def install_stdlib_handler(
    log: AppLog, *, level: int = logging.WARNING, loggers: Iterable[str] = ("", "gunicorn.error")
) -> logging.Handler:
    """Also write the records of these loggers ("" is the root) to `log`, under their own names.

    gunicorn's loggers do not propagate to the root, so they are listed.

    Returns:
        The handler, which is detached from the loggers when it or `log` is closed.
    """
    handler = _StdlibHandler(log, level, loggers)
    log.on_close(handler.close)
    return handler
