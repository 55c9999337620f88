"""The clients of one worker: accepts their connections, has their requests served first come, first
served, and makes room by closing those that only wait."""

import errno
import logging
import socket
import ssl
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from typing import Any

from airouter.domain.errors import BadRequest, RouterError
from airouter.flow.reply import Reply
from airouter.flow.waits import INFINITY
from airouter.server.connection import Connection, Limits
from airouter.server.load_table import Share
from airouter.server.loop import READ, Loop, Timer
from airouter.server.request import environ_of, whole_answer
from airouter.server.response import Response
from airouter.server.serving import Serving

REST = 0.5  # seconds without accepting connections once file descriptors have run out
_NO_ROOM = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_GONE = (errno.EAGAIN, errno.ECONNABORTED, errno.EWOULDBLOCK)
_AT_ONCE = 16  # connections accepted per round
_BUDGET = 0.002  # seconds per round for new requests, so that streams under way go on
_HELD = 1.0  # seconds at most that requests wait for records to be written
_LOOK = 0.01  # seconds between two looks at that
_STOPPING = 2.0  # seconds an idle connection is kept while the worker stops
_CONTROL_THREADS = 4
_SAYS_HTTPS = (  # as gunicorn's secure_scheme_headers
    ("HTTP_X_FORWARDED_PROTO", "https"),
    ("HTTP_X_FORWARDED_PROTOCOL", "ssl"),
    ("HTTP_X_FORWARDED_SSL", "on"),
)
_QUEUED = 8  # connections that a request in a backend's queue counts for, as load


class Clients:
    """Belongs to the loop.

    Mutable state: the connections, those that are idle (the longest first), and the requests that
    wait for their turn.

    Args:
        app: the WSGI application. Its body may be a `Reply`.
        most: connections at a time.
        threads: for what computes long.
        pressed: whether records are made faster than they are written.
        share: of the table of loads; None: there is one worker.
        queued: requests of this worker that wait for a backend.
        trusts: whether a proxy at this address is believed when it says that its client used https.
        tls: of the listeners; None: http.
        log: gunicorn's.
    """

    def __init__(
        self,
        loop: Loop,
        app: Callable[..., Iterable[bytes]],
        listeners: Sequence[Any],
        *,
        limits: Limits,
        most: int,
        threads: int,
        pressed: Callable[[], bool],
        share: Share | None,
        queued: Callable[[], int],
        trusts: Callable[[str], bool],
        tls: ssl.SSLContext | None,
        log: Any,
    ) -> None:
        self.limits = limits
        self.connections: set[Connection] = set()
        self._loop, self._app, self._listeners = loop, app, listeners
        self._most, self._pressed, self._share, self._queued = most, pressed, share, queued
        self._trusts, self._tls, self._log = trusts, tls, log
        self._idle: OrderedDict[Connection, None] = OrderedDict()
        self._ready: deque[Connection] = deque()
        self._held_since: float | None = None
        self._accepting = False
        self._stopping = False
        self._warn_at = 0.0  # the next time that a lack of descriptors may be logged
        self._again = Timer(self._accept_again)
        self._pools = {
            "pool": ThreadPoolExecutor(threads, thread_name_prefix="compute"),
            "control": ThreadPoolExecutor(_CONTROL_THREADS, thread_name_prefix="control"),
        }

    @property
    def waiting(self) -> bool:
        """Whether a request could be served at once."""
        since = self._held_since
        return bool(self._ready) and (since is None or self._loop.now() >= since + _HELD)

    def pool(self, place: str) -> Executor:
        return self._pools[place]

    # Connections ----------------------------------------------------------------------------------

    def accept(self, on: bool) -> None:
        """Start or stop accepting connections."""
        if on == self._accepting or (on and self._stopping):
            return
        self._accepting = on
        for listener in self._listeners:
            if on:
                listener.setblocking(False)
                self._loop.watch(listener.fileno(), READ, partial(self._accept, listener))
            else:
                self._loop.forget(listener.fileno())

    def _rest(self, seconds: float) -> None:
        self.accept(False)
        self._loop.at(self._again, self._loop.now() + seconds)

    def _accept_again(self) -> None:
        self.accept(True)

    def publish_load(self) -> None:
        """Tell the other workers how much there is to do here."""
        if self._share is not None:
            self._share.publish(len(self.connections) + _QUEUED * self._queued())

    def _accept(self, listener: Any, _events: int = READ) -> None:
        for _ in range(_AT_ONCE):
            if self._share is not None:
                self.publish_load()
                delay = self._share.defer()
                if delay:
                    self._rest(delay)
                    return
            full = len(self.connections) >= self._most
            if full and not self._idle:
                self.accept(False)  # until one is gone
                return
            try:
                sock, address = listener.accept()
            except OSError as error:
                if error.errno in _NO_ROOM:
                    self._no_descriptors()
                elif error.errno not in _GONE:
                    raise
                return
            if full:
                self._make_room()
            self._connected(sock, address, listener)

    def _no_descriptors(self) -> None:
        if self._loop.now() >= self._warn_at:
            self._warn_at = self._loop.now() + REST
            self._log.warning("No file descriptors left (ulimit -n): new clients wait.")
        if not self._make_room():
            self._rest(REST)

    def _connected(self, sock: socket.socket, address: Any, listener: Any) -> None:
        sock.setblocking(False)
        client = address if isinstance(address, tuple) else ("", 0)
        server = listener.getsockname()
        server = server if isinstance(server, tuple) else ("localhost", 80)
        if client[0]:
            # A chunk must not wait for the acknowledgement of the one before it.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._tls is not None:
            sock = self._tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        self.connections.add(Connection(self, self._loop, sock, client, server))

    def _make_room(self) -> bool:
        """Close the connection that has been idle for longest; whether there was one."""
        if not self._idle:
            return False
        next(iter(self._idle)).close()
        return True

    def rests(self, connection: Connection, *, idle: bool) -> None:
        if idle:
            self._idle[connection] = None
            if self._stopping:
                self._soon_close(connection)
        else:
            self._idle.pop(connection, None)

    def gone(self, connection: Connection) -> None:
        self._idle.pop(connection, None)
        self.connections.discard(connection)
        if len(self.connections) < self._most and self._again.due == INFINITY:
            self.accept(True)

    def refused(self, connection: Connection, problem: RouterError) -> None:
        """The request's text is not logged, since it may contain a key."""
        self._log.warning("Invalid request from ip=%s: %s", connection.client[0], problem.code)

    # Requests -------------------------------------------------------------------------------------

    def ready(self, connection: Connection) -> None:
        self._ready.append(connection)

    def serve(self) -> None:
        """Begin requests that wait for their turn, for as long as streams can bear."""
        if not self._ready or self._is_held():
            return
        until = self._loop.now() + _BUDGET
        while self._ready:
            connection = self._ready.popleft()
            if not connection.closed:
                self._begin(connection)
                if self._loop.now() >= until:
                    return

    def _is_held(self) -> bool:
        """Whether requests wait, because records are made faster than they are written."""
        now = self._loop.now()
        if not self._pressed():
            self._held_since = None
            return False
        if self._held_since is None:
            self._held_since = now
            self._loop.at(Timer(self._look_again), now + _LOOK)
            return True
        return now < self._held_since + _HELD

    def _look_again(self) -> None:
        if self._is_held():
            self._loop.at(Timer(self._look_again), self._loop.now() + _LOOK)

    def _begin(self, connection: Connection) -> None:
        request = connection.take()
        response = Response(request)
        if self._stopping:
            response.keep_alive = False
        try:
            environ = environ_of(
                request, connection.client, connection.server, secure=connection.secure
            )
            said = any(environ.get(name) == value for name, value in _SAYS_HTTPS)
            if said and self._trusts(connection.client[0]):
                environ["wsgi.url_scheme"] = "https"
            body = self._app(environ, response.start)
        except BadRequest as problem:
            self.refused(connection, problem)
            connection.send(whole_answer(problem))
            connection.done(keep=False)
            return
        except Exception as error:
            logging.getLogger(__name__).error("unhandled error in a request", exc_info=error)
            connection.send(
                whole_answer(RouterError("Internal error in the router; see its log for details."))
            )
            connection.done(keep=False)
            return
        if not isinstance(body, Reply):  # complete already
            for piece in body:
                connection.send(response.frame(piece))
            connection.send(response.end())
            connection.done(keep=response.keep_alive and request.body.complete)
            return
        serving = Serving(self._loop, self, connection, request, response, body)
        connection.serve(serving)
        serving.resume()

    # Stopping -------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Accept no more; close what is idle, soon: a client may be sending its next request."""
        if self._stopping:
            return
        self.accept(False)
        self._stopping = True
        for connection in list(self._idle):
            self._soon_close(connection)

    def _soon_close(self, connection: Connection) -> None:
        connection.close_within(_STOPPING)

    def close(self) -> None:
        """Close everything at once."""
        for connection in list(self.connections):
            connection.close()
        for pool in self._pools.values():
            pool.shutdown(wait=False, cancel_futures=True)
