"""One client's connection, without blocking: reads requests, has them served one after the other,
buffers up to a limit what the client does not take yet, and closes."""

import socket
import ssl
from collections import deque
from contextlib import suppress
from typing import Any, Protocol

from airouter.domain.errors import RequestTimeout, RouterError
from airouter.domain.types import immutable
from airouter.flow.waits import INFINITY
from airouter.server.loop import READ, WRITE, Loop, Timer
from airouter.server.request import Request, RequestReader, whole_answer

_RECV = 65_536  # bytes
_HIGH = 65_536  # bytes to be sent from which on the answer pauses
_LINGER = 2.0  # seconds a client has for closing its end
_MOST_UNREAD = 1_000_000  # bytes that are thrown away meanwhile
_AGAIN = (BlockingIOError, InterruptedError, ssl.SSLWantReadError)
_AGAIN_WRITING = (*_AGAIN, ssl.SSLWantWriteError)


@immutable
class Limits:
    """Seconds a client has: for the head of a request, for taking what is sent to it, between two
    requests."""

    head: float
    write: float
    idle: float


class Served(Protocol):
    """The request that is being answered."""

    def body_came(self) -> None: ...

    def client_left(self) -> None: ...

    def drained(self) -> None:
        """What was written has been sent."""
        ...


class Owner(Protocol):
    """What a connection belongs to."""

    limits: Limits

    def ready(self, connection: "Connection") -> None:
        """It has a request to be served (`take`)."""
        ...

    def rests(self, connection: "Connection", *, idle: bool) -> None:
        """Whether no request of it is being served."""
        ...

    def gone(self, connection: "Connection") -> None:
        """It is closed."""
        ...

    def refused(self, connection: "Connection", problem: RouterError) -> None:
        """It sent something that is no request."""
        ...


class Connection:
    """Belongs to the loop.

    Args:
        sock: non-blocking; an `SSLSocket` shakes hands first.
    """

    def __init__(
        self, owner: Owner, loop: Loop, sock: socket.socket, client: Any, server: Any
    ) -> None:
        self.client, self.server = client, server  # addresses
        self.secure = isinstance(sock, ssl.SSLSocket)
        self.closed = False
        self._owner, self._loop, self._sock = owner, loop, sock
        self._fd = sock.fileno()
        self._reader = RequestReader()
        self._serving: Served | None = None
        self._waiting = False  # a request of it waits for its turn
        self._out: deque[memoryview] = deque()
        self._out_size = 0
        self._half = False  # the client sends no more
        self._ends = False  # close once everything is sent
        self._lingers = False
        self._thrown = 0
        self._shaking = self.secure
        self._events = READ
        self._timer = Timer(self._late)
        loop.watch(self._fd, READ, self._on_event)
        loop.at(self._timer, loop.now() + owner.limits.idle)
        owner.rests(self, idle=True)

    # The request ----------------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        return self._serving is not None or self._waiting

    def take(self) -> Request:
        """The next request, whose turn has come."""
        self._waiting = False
        return self._reader.requests.popleft()

    def serve(self, serving: Served) -> None:
        """Tell `serving` of what happens."""
        self._serving = serving
        if self._half:
            serving.client_left()

    def read_on(self) -> None:
        """More of the body is wanted."""
        self._watch()

    def done(self, *, keep: bool) -> None:
        """The answer is complete. `keep`: the client may send another request."""
        self._serving = None
        if self.closed:
            return
        if not keep or self._half:
            self._end()
            return
        if self._reader.requests:
            self._next()
        elif self._reader.problem is not None:
            self._refuse(self._reader.problem)
        else:
            limits = self._owner.limits
            limit = limits.head if self._reader.head_begun else limits.idle
            self._loop.at(self._timer, self._loop.now() + limit)
            self._owner.rests(self, idle=True)
            self._watch()

    def _next(self) -> None:
        self._waiting = True
        self._loop.at(self._timer, INFINITY)
        self._owner.rests(self, idle=False)
        self._owner.ready(self)
        self._watch()

    def close_within(self, seconds: float) -> None:
        """Close an idle connection soon, unless a request comes."""
        self._loop.at(self._timer, min(self._timer.due, self._loop.now() + seconds))

    # Writing --------------------------------------------------------------------------------------

    @property
    def congested(self) -> bool:
        """Whether the client takes its answer more slowly than it comes."""
        return self._out_size > _HIGH

    def send(self, data: bytes) -> None:
        """Send, or keep what the client does not take yet."""
        if self.closed or not data:
            return
        sent = 0
        if not self._out:
            try:
                sent = self._sock.send(data)
            except _AGAIN_WRITING:
                pass
            except OSError:
                self.close()
                return
            if sent == len(data):
                return
            self._loop.at(self._timer, self._loop.now() + self._owner.limits.write)
        self._out.append(memoryview(data)[sent:])
        self._out_size += len(data) - sent
        self._watch()

    def _flush(self) -> None:
        before = self._out_size
        try:
            while self._out:
                rest = self._out[0]
                count = self._sock.send(rest)
                self._out_size -= count
                if count < len(rest):
                    self._out[0] = rest[count:]
                else:
                    self._out.popleft()
        except _AGAIN_WRITING:
            pass
        except OSError:
            self.close()
            return
        if self._out:
            if self._out_size < before:
                self._loop.at(self._timer, self._loop.now() + self._owner.limits.write)
        elif self._ends:
            self._linger()
        else:
            busy = self.busy
            self._loop.at(
                self._timer, INFINITY if busy else self._loop.now() + self._owner.limits.idle
            )
        self._watch()
        if self._serving is not None and not self.congested:
            self._serving.drained()

    # Reading --------------------------------------------------------------------------------------

    def _on_event(self, events: int) -> None:
        if self._shaking and not self._shake_hands():
            return
        if events & WRITE and self._out:
            self._flush()
        if events & READ and not self.closed:
            self._read()

    def _shake_hands(self) -> bool:
        """Whether the TLS handshake is complete."""
        assert isinstance(self._sock, ssl.SSLSocket)
        events = READ
        try:
            self._sock.do_handshake()
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLWantWriteError:
            events = WRITE
        except OSError:
            self.close()
            return False
        else:
            self._shaking = False
        self._set(READ if not self._shaking else events)
        return not self._shaking

    def _read(self) -> None:
        try:
            data = self._sock.recv(_RECV)
            while self.secure and data and self._sock.pending():  # type: ignore[attr-defined]
                data += self._sock.recv(_RECV)  # decrypted already: no event tells of it
        except (*_AGAIN, ssl.SSLWantWriteError):
            return
        except OSError:
            self._left()
            return
        if self._lingers:
            self._thrown += len(data)
            if not data or self._thrown > _MOST_UNREAD:
                self.close()
            return
        if not data:
            self._left()
            return
        self._feed(data)

    def _feed(self, data: bytes) -> None:
        reader, before = self._reader, len(self._reader.requests)
        begun = reader.head_begun
        reader.feed(data)
        if self._serving is not None:
            self._serving.body_came()
        if not self.busy:
            if reader.requests:
                self._next()
            elif reader.problem is not None:
                self._refuse(reader.problem)
            elif reader.head_begun and not begun:
                self._loop.at(self._timer, self._loop.now() + self._owner.limits.head)
        if len(reader.requests) != before:
            self._watch()

    def _left(self) -> None:
        """The client has closed its end, or the connection broke."""
        self._reader.end()
        self._half = True
        self._set(self._events & ~READ)
        if self._serving is not None:
            self._serving.client_left()
        elif not self._waiting:  # else what it asked for has its turn, and its record
            self.close()

    # The end --------------------------------------------------------------------------------------

    def _refuse(self, problem: RouterError) -> None:
        self._owner.refused(self, problem)
        self.send(whole_answer(problem))
        self._end()

    def _end(self) -> None:
        self._ends = True
        if not self._out and not self.closed:
            self._linger()

    def _linger(self) -> None:
        """A client that still sends would lose the answer to a reset: close when it has closed."""
        self._lingers = True
        self._owner.rests(self, idle=False)
        try:
            socket.socket.shutdown(self._sock, socket.SHUT_WR)
        except OSError:
            self.close()
            return
        self._loop.at(self._timer, self._loop.now() + _LINGER)
        self._watch()

    def close(self) -> None:
        """Close at once. Idempotent."""
        if self.closed:
            return
        self.closed = True
        self._timer.cancel()
        self._loop.forget(self._fd)
        with suppress(OSError):
            self._sock.close()
        self._out.clear()
        self._reader.let_go()
        self._owner.gone(self)
        serving, self._serving = self._serving, None
        if serving is not None:
            serving.client_left()

    def _late(self) -> None:
        """A limit has passed."""
        if self.busy or self._lingers or self._ends or not self._reader.head_begun:
            self.close()
        else:
            limit = self._owner.limits.head
            self._refuse(
                RequestTimeout(
                    f"The head of the request did not arrive within {limit:g} s "
                    "(server.head_timeout)."
                )
            )

    def _watch(self) -> None:
        if self.closed or self._shaking:
            return
        events = WRITE if self._out else 0
        if self._lingers or not self._paused():
            events |= READ
        self._set(events)

    def _paused(self) -> bool:
        """Whether not to read: the client sends ahead, or more than is wanted of a body."""
        return self._half or self._ends or len(self._reader.requests) > 1 or self._reader.overfull

    def _set(self, events: int) -> None:
        if events == self._events or self.closed:
            return
        if not events:
            self._loop.forget(self._fd)
        elif not self._events:
            self._loop.watch(self._fd, events, self._on_event)
        else:
            self._loop.change(self._fd, events, self._on_event)
        self._events = events
