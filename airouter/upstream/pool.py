"""Where a backend is, and its idle connections. Sockets are opened here and nowhere else."""

import contextlib
import select
import socket
import ssl
import threading
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from urllib.parse import urlsplit

import certifi

from airouter.clock import Clock
from airouter.errors import ConnectFailed

Address = tuple[int, tuple[str, int] | tuple[str, int, int, int]]

_RESOLVED_FOR = 30.0  # seconds a host's addresses are reused
_IDLE_FOR = 55.0  # seconds an idle connection is kept; most servers drop it at 5 to 75, which is noticed before reuse


class Origin:
    """One server: scheme, host, port, base path. Resolves its name off-thread so that a dead resolver cannot hang a request.

    Mutable state: the idle connections, the resolved addresses; guarded by one lock.
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
        self._addresses: list[Address] = []
        self._resolved_at = float("-inf")
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

    def addresses(self, timeout: float) -> list[Address]:
        """The host's addresses, best first.

        Raises:
            ConnectFailed: the name does not resolve, or not in `timeout` seconds.
        """
        with self._lock:
            if self._addresses and self._clock.monotonic() - self._resolved_at < _RESOLVED_FOR:
                return list(self._addresses)
        try:
            found = self._resolve(timeout)
        except (OSError, FutureTimeout, UnicodeError):
            with self._lock:
                if self._addresses:  # better a stale address than none
                    return list(self._addresses)
            raise ConnectFailed(
                f"The host name {self.host!r} of a backend cannot be resolved."
            ) from None
        with self._lock:
            self._addresses, self._resolved_at = found, self._clock.monotonic()
        return list(found)

    def _resolve(self, timeout: float) -> list[Address]:
        def look_up(flags: int) -> list[Address]:
            infos = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM, flags=flags)
            return [(info[0], info[4]) for info in infos]  # type: ignore[misc]

        with contextlib.suppress(socket.gaierror):
            return look_up(socket.AI_NUMERICHOST)  # an address needs no resolver
        future: Future[list[Address]] = self._resolver.submit(look_up, 0)
        return future.result(timeout)

    def wrap(self, sock: socket.socket) -> ssl.SSLSocket | None:
        """The TLS side of a connected socket (its handshake still to be done), or None for plain http."""
        if self._context is None:
            return None
        return self._context.wrap_socket(
            sock, server_hostname=self.host, do_handshake_on_connect=False
        )


def open_socket(address: Address) -> socket.socket:
    """Begin a non-blocking connect; the caller waits until the socket is writable and then asks for SO_ERROR."""
    family, target = address
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        # A chunk must not wait for the acknowledgement of the one before it.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.connect_ex(target)
    except BaseException:
        sock.close()
        raise
    return sock


def _readable(sock: socket.socket) -> bool:
    """An idle connection that is readable was closed (or spoken on out of turn): either way it is spent."""
    poller = select.poll()
    poller.register(sock, select.POLLIN)
    return bool(poller.poll(0))


def _tls_context(ca_file: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.load_verify_locations(ca_file or certifi.where())
    return context
