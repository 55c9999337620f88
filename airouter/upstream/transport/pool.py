"""Where a backend is, and its idle connections. Sockets are opened here and nowhere else."""

import errno
import os
import select
import socket
import ssl
import threading
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from urllib.parse import urlsplit

import certifi

from airouter.domain.clock import Clock

Address = tuple[int, tuple[str, int] | tuple[str, int, int, int]]
Addresses = list[Address]

_RESOLVED_FOR = 30.0  # seconds a host's addresses are reused
# Seconds an idle connection is kept. Most servers close it after 5 to 75, which is noticed before
# it is used again.
_IDLE_FOR = 55.0


class Origin:
    """One server: scheme, host, port, base path. Its name is resolved in the background.

    Mutable state: the idle connections, the resolved addresses, the lookup under way; guarded by
    one lock.
    """

    _resolver = ThreadPoolExecutor(max_workers=4, thread_name_prefix="resolver")

    def __init__(
        self, base_url: str, clock: Clock, *, ca_file: str | None = None, max_idle: int = 512
    ) -> None:
        parts = urlsplit(base_url)
        self.tls = parts.scheme == "https"
        self.host = parts.hostname or ""
        self.port = parts.port or (443 if self.tls else 80)
        self.base_path = parts.path.rstrip("/")
        self.url = base_url
        shown = f"[{self.host}]" if ":" in self.host else self.host
        default_port = self.port == (443 if self.tls else 80)
        self.authority = shown if default_port else f"{shown}:{self.port}"
        self._clock = clock
        self._max_idle = max_idle
        self._lock = threading.Lock()
        self._idle: deque[tuple[socket.socket, float]] = deque()
        self._addresses: Addresses = []
        self._resolved_at = float("-inf")
        self._pending: Future[Addresses] | None = None
        self._context = _tls_context(ca_file) if self.tls else None

    def take(self) -> socket.socket | None:
        """An idle connection that the server has not closed, or None. The caller owns it."""
        now = self._clock.monotonic()
        while True:
            with self._lock:
                if not self._idle:
                    return None
                sock, since = self._idle.pop()
            if now - since < _IDLE_FOR and not _readable(sock):
                return sock
            sock.close()

    def give(self, sock: socket.socket) -> None:
        """Return a connection whose last answer was read to its end."""
        with self._lock:
            if len(self._idle) < self._max_idle:
                self._idle.append((sock, self._clock.monotonic()))
                return
        sock.close()

    def close(self) -> None:
        """Close the idle connections, and from now on each that is given back."""
        with self._lock:
            self._max_idle = 0
            idle, self._idle = self._idle, deque()
        for sock, _ in idle:
            sock.close()

    def idle_count(self) -> int:
        with self._lock:
            return len(self._idle)

    def addresses(self) -> "Addresses | Lookup":
        """The host's addresses, best first, or the lookup to wait for. Never blocks.

        Addresses older than 30 s are used once more while they are looked up again, so only the
        first call to a host waits for its resolver.

        Raises:
            OSError: an address that is not one.
        """
        begun = None
        with self._lock:
            known = list(self._addresses)
            fresh = self._clock.monotonic() - self._resolved_at < _RESOLVED_FOR
            if known and fresh:
                return known
            if self._pending is None:
                found = _numeric(self.host, self.port)
                if found is not None:
                    self._addresses, self._resolved_at = found, float("inf")
                    return list(found)
                begun = self._pending = self._resolver.submit(_resolve, self.host, self.port)
            pending = self._pending
        if begun is not None:
            begun.add_done_callback(self._resolved)  # which may be at once, and takes the lock
        return known or Lookup(pending)

    def _resolved(self, future: "Future[Addresses]") -> None:
        with self._lock:
            self._pending = None
            if future.cancelled() or future.exception() is not None:
                return  # a stale address is better than none
            self._addresses, self._resolved_at = future.result(), self._clock.monotonic()

    def wrap(self, sock: socket.socket) -> ssl.SSLSocket | None:
        """The TLS socket on a connected one, before its handshake; None for plain http."""
        if self._context is None:
            return None
        return self._context.wrap_socket(
            sock, server_hostname=self.host, do_handshake_on_connect=False
        )


class Lookup:
    """A name being resolved for one call: `fileno()` becomes readable when `result()` is there."""

    def __init__(self, future: "Future[Addresses]") -> None:
        self._future = future
        self._wake, bell = socket.socketpair()

        def ring(_: object) -> None:
            bell.close()  # which makes the other end readable

        future.add_done_callback(ring)

    def fileno(self) -> int:
        return self._wake.fileno()

    @property
    def done(self) -> bool:
        return self._future.done()

    def result(self) -> Addresses:
        """The addresses.

        Raises:
            OSError: the name does not resolve.
        """
        try:
            return list(self._future.result(0))
        except UnicodeError:  # a label that is too long
            raise socket.gaierror(socket.EAI_NONAME, "not a host name") from None

    def close(self) -> None:
        self._wake.close()


def _numeric(host: str, port: int) -> Addresses | None:
    """The address that a host already is; None for a name."""
    try:
        return _look_up(host, port, socket.AI_NUMERICHOST)
    except (socket.gaierror, UnicodeError):
        return None


def _resolve(host: str, port: int) -> Addresses:
    return _look_up(host, port, 0)


def _look_up(host: str, port: int, flags: int) -> Addresses:
    infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    return [(info[0], info[4]) for info in infos]  # type: ignore[misc]


def open_socket(address: Address) -> socket.socket:
    """Begin a non-blocking connect. The caller waits until the socket is writable, and then reads
    SO_ERROR."""
    family, target = address
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        # A chunk must not wait for the acknowledgement of the one before it.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        code = sock.connect_ex(target)
        if code not in (0, errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EINTR):
            raise OSError(code, os.strerror(code))
    except BaseException:
        sock.close()
        raise
    return sock


def _readable(sock: socket.socket) -> bool:
    """Whether the server has closed an idle connection, or sent something unasked: either way it
    cannot be used again."""
    if isinstance(sock, ssl.SSLSocket):
        poller = select.poll()
        poller.register(sock, select.POLLIN)
        return bool(poller.poll(0))
    try:
        sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


def _tls_context(ca_file: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.load_verify_locations(ca_file or certifi.where())
    return context
