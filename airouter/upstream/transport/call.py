"""One HTTP call to a backend as a non-blocking state machine, so that its owner can cancel it at
any moment.

A call belongs to one thread. Nothing in it blocks: its owner calls `advance()` when its socket is
ready. Cancelling is `close()`: the socket is shut down at once, before or after the
headers, and the backend notices at once.
"""

import contextlib
import logging
import os
import socket
import ssl
from collections.abc import Callable
from select import POLLIN, POLLOUT

from airouter.domain.clock import Clock
from airouter.domain.dialect import Translator
from airouter.domain.errors import ConnectFailed, UpstreamBroken, UpstreamError, UpstreamTimeout
from airouter.domain.types import HttpRequest, Limits
from airouter.upstream.transport.pool import Addresses, Lookup, Origin, open_socket
from airouter.upstream.transport.response import ResponseReader

_RECV = 65_536
_LARGE = 65_536  # bytes of a request's body
# Seconds; a server that closes later than this after the request was sent has worked on it.
_STALE_WITHIN = 1.0
_AGAIN = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Call:
    """A request under way: `status` and `headers` once they came, body bytes through `take()`,
    `error` when it failed.

    `reader` gives, for the response's status, what translates its body; None: nothing does.

    Phases: resolve → connect → handshake (https) → send → head → body → done. Times are monotonic
    seconds.
    """

    def __init__(
        self,
        origin: Origin,
        request: HttpRequest,
        limits: Limits,
        clock: Clock,
        name: str,
        reader: Callable[[int], Translator | None] | None = None,
    ) -> None:
        self.origin = origin
        self.name = name  # of the backend, for messages
        self.clock = clock
        self.limits = limits
        self.error: UpstreamError | None = None
        self.complete = False  # the whole answer has been received
        self.paused = False  # the owner's buffer is full: do not read
        self.started_at = clock.monotonic()
        self.sent_at: float | None = None
        self.ended_at: float | None = None
        self.shut_at: float | None = None  # when the socket was shut before the answer's end
        self.on_progress: Callable[[], None] | None = None
        self._reader_for = reader
        self._reader: Translator | None = None
        self._request: HttpRequest | None = request  # until something has been answered
        self._response = ResponseReader(name, clock)
        self._sock: socket.socket | None = None
        self._fd = -1
        self._out = _wire(origin, request)
        self._lookup: Lookup | None = None
        self._addresses: Addresses = []
        self._address_at = float("inf")  # when the next address is tried
        self._reused = False
        self._resent = False
        self._handshake_wants = POLLOUT
        self._total_at = self.started_at + limits.total
        self._phase_at = self.started_at + limits.connect
        self._phase = "connect"
        self.first_content_at: float | None = None
        self.content_at: float | None = None  # the latest
        self.longest_gap = 0.0  # seconds between two contents

    # The response ---------------------------------------------------------------------------------

    @property
    def status(self) -> int:
        """0 until the head has come."""
        return self._response.status

    @property
    def headers(self) -> dict[str, str]:
        """By lower-case name."""
        return self._response.headers

    @property
    def head_at(self) -> float | None:
        return self._response.head_at

    @property
    def first_body_at(self) -> float | None:
        return self._response.first_body_at

    @property
    def buffered(self) -> int:
        """Body bytes received and not yet taken."""
        return self._response.buffered

    # What the poller asks -------------------------------------------------------------------------

    @property
    def finished(self) -> bool:
        return self.complete or self.error is not None or self.shut_at is not None

    @property
    def events(self) -> int:
        if self._phase in ("connect", "send"):
            return POLLOUT
        if self._phase == "handshake":
            return self._handshake_wants
        return 0 if self.paused else POLLIN

    def fileno(self) -> int:
        return self._fd

    @property
    def channel(self) -> object:
        return self._lookup or self._sock

    @property
    def expires(self) -> float:
        """When the call fails for want of time. While it is paused the client is slow, not the
        backend, so only the total limit counts."""
        if self.paused:
            return self._total_at
        return min(self._total_at, self._phase_at, self._address_at)

    # What the owner does --------------------------------------------------------------------------

    def start(self) -> "Call":
        """Begin; a failure is in `error`, never raised."""
        self._guarded(self._start)
        return self

    def _start(self) -> None:
        sock = self.origin.take()
        if sock is not None:
            self._reused = True
            self._attach(sock)
            self._begin_send()
        else:
            self._connect_anew()

    def take(self) -> bytes:
        """The body bytes received since the last call (b"" when none)."""
        received = self._response.take()
        if self._reader_for is not None and self.status:
            self._reader, self._reader_for = self._reader_for(self.status), None
        reader = self._reader
        if reader is None:
            return received
        data = reader.feed(received)
        if self.complete:
            self._reader = None
            data += reader.flush()
        return data

    def content_seen(self) -> None:
        """Content has come, again or for the first time: the idle limit counts from now on.

        What is content is for the owner to say: the comments of a server that only keeps its
        connection alive are none.
        """
        now = self.clock.monotonic()
        if self.content_at is None:
            self.first_content_at = now
            self._phase = "body"
        elif now - self.content_at > self.longest_gap:
            self.longest_gap = now - self.content_at
        self.content_at = now
        self._phase_at = now + self.limits.idle

    def shorten_first_byte(self, seconds: float) -> None:
        """Wait no longer than this for the first content, counted from the request sent."""
        limits = self.limits
        if seconds >= limits.first_byte or self.content_at is not None:
            return
        self.limits = Limits(limits.connect, seconds, limits.idle, limits.total)
        if self.sent_at is not None:
            self._phase_at = min(self._phase_at, self.sent_at + seconds)

    def extend_first_byte(self) -> None:
        """For a whole answer, whose first byte comes with its last: only the total limit counts."""
        self._phase_at = float("inf") if self.sent_at is not None else self._phase_at
        self.limits = Limits(self.limits.connect, float("inf"), float("inf"), self.limits.total)

    def resume(self) -> None:
        """Read again after a pause; the pause does not count as the backend's silence."""
        if self.paused:
            self.paused = False
            if self.content_at is not None:
                self._phase_at = self.clock.monotonic() + self.limits.idle

    def close(self) -> None:
        """Cancel the call, whatever its state. Idempotent, never raises. A finished call has given
        its socket back."""
        if self._lookup is not None:
            self._drop_lookup()
            self.shut_at = self.clock.monotonic()
        sock, self._sock, self._fd = self._sock, None, -1
        if sock is None:
            self._let_go()
            return
        with contextlib.suppress(OSError):
            if isinstance(sock, ssl.SSLSocket):  # its own shutdown would drop its TLS state first
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
            else:
                sock.shutdown(socket.SHUT_RDWR)
        sock.close()
        if not self.finished:
            self.shut_at = self.clock.monotonic()
        self._let_go()

    def expire(self, now: float) -> None:
        """Fail if a limit has run out."""
        if self.finished or now < self.expires:
            return
        if now < min(self._total_at, self._phase_at):
            self._drop_socket()  # of an address that does not answer
            self._guarded(self._try_next_address)
            return
        phase = "total" if now >= self._total_at else self._limit_name()
        seconds = getattr(self.limits, phase)
        self._fail(
            UpstreamTimeout(
                f"The backend {self.name!r} did not answer in time "
                f"({phase.replace('_', ' ')} limit {seconds:g} s).",
                phase=phase,
                received=self.first_body_at is not None,
            )
        )

    def advance(self) -> None:
        """Do what can be done without waiting. Never raises: a poller advances the calls of several
        backends, and a fault of one must not reach the others."""
        if self.complete or self.error is not None or self.shut_at is not None:
            return
        try:
            self._advance()
        except Exception as error:
            self._unexpected(error)

    def _guarded(self, step: Callable[[], None]) -> None:
        try:
            step()
        except Exception as error:
            self._unexpected(error)

    def _unexpected(self, error: Exception) -> None:
        logging.getLogger(__name__).error(
            "unexpected error in a call to backend %r", self.name, exc_info=error
        )
        self._fail(UpstreamBroken(f"The answer of the backend {self.name!r} cannot be parsed."))

    def _advance(self) -> None:
        try:
            if self._phase != "body":  # else it is one of many chunks
                self._approach()
            if self._phase in ("head", "body"):
                self._receive()
        except _AGAIN:
            pass
        except ssl.SSLCertVerificationError as error:
            self._fail(
                ConnectFailed(
                    f"The certificate of the backend {self.name!r} is not trusted "
                    f"({error.verify_message}); set its ca_file.",
                    down=False,
                )
            )
        except OSError as error:
            self._broken(error)
        except UpstreamBroken as error:
            self._fail(error)
        if self.on_progress is not None:
            self.on_progress()
        if self.finished:
            self._let_go()

    def _approach(self) -> None:
        """The steps up to the head of the answer."""
        if self._phase == "resolve":
            self._finish_resolve()
        elif self._phase == "connect":
            self._finish_connect()
        if self._phase == "handshake":
            self._shake_hands()
        if self._phase == "send" and not self.finished:
            self._send()

    def _let_go(self) -> None:
        """Break the reference cycles of a finished call: no garbage collection is needed."""
        self.on_progress = self._request = None
        self._response.let_go()

    # Connecting and sending -----------------------------------------------------------------------

    def _attach(self, sock: socket.socket) -> None:
        self._sock, self._fd = sock, sock.fileno()

    def _connect_anew(self) -> None:
        self._reused = False
        found = self.origin.addresses()
        if isinstance(found, Lookup):
            self._lookup, self._fd, self._phase = found, found.fileno(), "resolve"
        else:
            self._addresses = found
            self._try_next_address()

    def _finish_resolve(self) -> None:
        lookup = self._lookup
        if lookup is None or not lookup.done:
            return
        try:
            self._addresses = lookup.result()
        except OSError:
            self._fail(
                ConnectFailed(
                    f"The host name {self.origin.host!r} of a backend cannot be resolved."
                )
            )
            return
        self._drop_lookup()
        self._try_next_address()

    def _drop_lookup(self) -> None:
        lookup, self._lookup = self._lookup, None
        if lookup is not None:
            self._fd = -1
            lookup.close()

    def _try_next_address(self) -> None:
        """Begin to connect. While there are more addresses, each has its share of the time only."""
        self._phase = "connect"
        while True:
            try:
                self._attach(open_socket(self._addresses.pop(0)))
                break
            except OSError as error:  # no route to its network, for instance
                if not self._addresses:
                    self._fail(self._unreachable(error))
                    return
        now, left = self.clock.monotonic(), len(self._addresses)
        share = (self._phase_at - now) / (left + 1)
        self._address_at = now + share if left else float("inf")

    def _finish_connect(self) -> None:
        assert self._sock is not None
        code = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self._drop_socket()
            if self._addresses:
                self._try_next_address()
            else:
                self._fail(self._unreachable(OSError(code, "")))
            return
        self._address_at = float("inf")
        wrapped = self.origin.wrap(self._sock)
        if wrapped is None:
            self._begin_send()
        else:
            self._attach(wrapped)
            self._phase = "handshake"

    def _shake_hands(self) -> None:
        assert isinstance(self._sock, ssl.SSLSocket)
        try:
            self._sock.do_handshake()
        except ssl.SSLWantReadError:
            self._handshake_wants = POLLIN
            return
        except ssl.SSLWantWriteError:
            self._handshake_wants = POLLOUT
            return
        self._begin_send()

    def _begin_send(self) -> None:
        self._phase = "send"
        self._phase_at = self.clock.monotonic() + self.limits.first_byte
        try:
            self._send()
        except _AGAIN:  # first: they are OSErrors too
            pass
        except OSError as error:
            self._broken(error)

    def _send(self) -> None:
        assert self._sock is not None
        while self._out:
            rest = self._out[0][self._sock.send(self._out[0]) :]
            if rest:
                self._out[0] = rest
            else:
                del self._out[0]
        self.sent_at = self.clock.monotonic()
        self._phase = "head"
        self._phase_at = self.sent_at + self.limits.first_byte

    # Receiving ------------------------------------------------------------------------------------

    def _receive(self) -> None:
        assert self._sock is not None
        response, tls = self._response, self.origin.tls
        while True:
            data = self._sock.recv(_RECV)
            if not data:
                self._end_of_stream()
                return
            response.feed(data)
            self._request = None
            if response.whole:
                self._finish(reusable=response.reusable)
            # A TLS record may leave decrypted bytes behind that poll() knows nothing of.
            if not tls or self.finished:
                return

    def _end_of_stream(self) -> None:
        if self._response.ends_with_connection:
            self._finish(reusable=False)
        else:
            self._broken(ConnectionResetError())

    # Ends -----------------------------------------------------------------------------------------

    def _finish(self, *, reusable: bool) -> None:
        self.complete = True
        self.ended_at = self.clock.monotonic()
        sock, self._sock, self._fd = self._sock, None, -1
        if sock is not None:
            # Decrypted bytes behind the answer: poll() does not see them.
            surplus = isinstance(sock, ssl.SSLSocket) and sock.pending() > 0
            if reusable and not surplus:
                self.origin.give(sock)
            else:
                sock.close()

    def _fail(self, error: UpstreamError) -> None:
        self._drop_lookup()
        self._drop_socket()
        self.error = error
        self.ended_at = self.clock.monotonic()

    def _drop_socket(self) -> None:
        sock, self._sock, self._fd = self._sock, None, -1
        if sock is not None:
            sock.close()

    def _broken(self, error: OSError) -> None:
        received = self._response.received > 0
        if (
            self._reused
            and self._request is not None
            and not received
            and (self.sent_at is None or self.clock.monotonic() - self.sent_at < _STALE_WITHIN)
        ):
            # The server had closed the kept-alive connection just before it was used again. Nothing
            # was answered on it, so the request is sent once more, on a new one.
            self._drop_socket()
            self._resent = True
            self._response.let_go()
            self._out = _wire(self.origin, self._request)
            self._response = ResponseReader(self.name, self.clock)
            self._phase_at = self.clock.monotonic() + self.limits.connect
            self._connect_anew()
            return
        if self._phase in ("resolve", "connect", "handshake"):
            self._fail(self._unreachable(error))
            return
        when = "in the middle of its answer" if received else "before it answered"
        self._fail(
            UpstreamBroken(
                f"The backend {self.name!r} closed the connection {when}.",
                received=received,
                resent=self._resent,
                silent=not received and self._silent_for() >= _STALE_WITHIN,
            )
        )

    def _silent_for(self) -> float:
        """Seconds since the request was sent."""
        return self.clock.monotonic() - self.sent_at if self.sent_at is not None else 0.0

    def _unreachable(self, error: OSError) -> ConnectFailed:
        reason = os.strerror(error.errno) if error.errno else type(error).__name__
        return ConnectFailed(
            f"The backend {self.name!r} cannot be reached at {self.origin.authority} ({reason})."
        )

    def _limit_name(self) -> str:
        if self._phase in ("resolve", "connect", "handshake"):
            return "connect"
        return "idle" if self.content_at is not None else "first_byte"


def _wire(origin: Origin, request: HttpRequest) -> list[memoryview]:
    """The request as bytes, in one piece unless its body is too large to be copied. Header values
    come from the configuration and this code; a client's Content-Type has been checked."""
    lines = [
        f"{request.method} {origin.base_path}{request.path} HTTP/1.1",
        f"Host: {origin.authority}",
        "Accept-Encoding: identity",
    ]
    lines += [f"{name}: {value}" for name, value in request.headers.items()]
    if request.body or request.method not in ("GET", "HEAD"):
        lines.append(f"Content-Length: {len(request.body)}")
    head = "\r\n".join([*lines, "", ""]).encode("latin-1")
    if len(request.body) > _LARGE:
        return [memoryview(head), memoryview(request.body)]
    return [memoryview(head + request.body)]
