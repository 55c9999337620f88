"""Connections that a server has to hold while it serves others: idle ones, unfinished request
heads, readers that stop reading, clients that do not close."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from bench.client import Endpoint

_AT_A_TIME = 100
_STOPPED = "stopped readers"
_SMALL = 4096  # bytes: the receive buffer of a reader that does not read
_PATIENCE_S = 5.0  # for a hundred of them together
_OPENING_S = 30.0  # for all of a kind


class Held:
    """Opens connections by the hundred and holds them until it is closed. `held`: by kind, those
    that were opened as they should; `problem`: why the first of the others was not."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._sockets: dict[str, list[socket.socket]] = {}
        self.problem = ""

    def idle(self, count: int, wire: bytes) -> None:
        """Connections that have had one answer, and say nothing more.

        Args:
            wire: the request of each, small and with a small answer.
        """
        self._open("idle", count, wire, answered=True)

    def unfinished(self, count: int) -> None:
        """Connections that send half a request's head, and nothing more."""
        wire = self._endpoint.wire("/v1/models", None).removesuffix(b"\r\n")
        self._open("unfinished heads", count, wire, answered=False)

    def stopped(self, count: int, wire: bytes) -> None:
        """Readers that read nothing of their streams after the first bytes.

        Args:
            wire: a request for a stream longer than what the sockets' buffers hold.
        """
        self._open(_STOPPED, count, wire, answered=True, buffer=_SMALL)

    def lingering(self, count: int, wire: bytes) -> None:
        """Clients that ask with `Connection: close`, get their answer, and do not close."""
        self._open("not closing", count, wire, answered=True)

    def close(self) -> None:
        for sockets in self._sockets.values():
            for sock in sockets:
                sock.close()
        self._sockets = {}

    @property
    def held(self) -> dict[str, int]:
        return {kind: len(sockets) for kind, sockets in self._sockets.items()}

    def still_open(self) -> dict[str, int]:
        """How many the server has not closed, by kind; without the stopped readers, who would read
        on if they looked."""
        return {
            kind: sum(not _ended(sock) for sock in sockets)
            for kind, sockets in self._sockets.items()
            if kind != _STOPPED
        }

    def _open(self, kind: str, count: int, wire: bytes, *, answered: bool, buffer: int = 0) -> None:
        kept = self._sockets.setdefault(kind, [])
        limit = time.monotonic() + _OPENING_S
        for begin in range(0, count, _AT_A_TIME):
            if time.monotonic() > limit:
                self.problem = self.problem or f"no more could be opened in {_OPENING_S:g} s"
                return
            wanted = min(_AT_A_TIME, count - begin)
            until, before = time.monotonic() + _PATIENCE_S, len(kept)
            opened = [self._one(wire, buffer, until) for _ in range(wanted)]
            for sock in filter(None, opened):
                if answered and not self._has_answer(sock, until):
                    sock.close()
                else:
                    kept.append(sock)
            if len(kept) - before < wanted:
                return  # the server takes no more of them; each further one would cost seconds

    def _one(self, wire: bytes, buffer: int, until: float) -> socket.socket | None:
        sock = socket.socket()
        try:
            sock.settimeout(_left(until))
            if buffer:  # before it connects, so that the window is small from the beginning
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
            sock.connect((self._endpoint.host, self._endpoint.port))
            sock.sendall(wire)
        except OSError as error:
            sock.close()
            self.problem = self.problem or f"{type(error).__name__}: {error}"
            return None
        return sock

    def _has_answer(self, sock: socket.socket, until: float) -> bool:
        """Whether an answer with status 200 begins to come; its first bytes are read."""
        try:
            sock.settimeout(_left(until))
            began = sock.recv(_SMALL)
        except OSError as error:
            self.problem = self.problem or f"{type(error).__name__}: {error}"
            return False
        first = began.partition(b"\r\n")[0].decode("latin-1")
        if " 200" not in first:
            self.problem = self.problem or (first[:100] or "closed without an answer")
        return " 200" in first


def _left(until: float) -> float:
    return max(0.01, until - time.monotonic())


def _ended(sock: socket.socket) -> bool:
    sock.setblocking(False)
    with suppress(BlockingIOError):
        try:
            while sock.recv(_SMALL):  # the rest of its answer
                pass
        except ConnectionError:
            pass
        return True
    return False


@contextmanager
def holding(endpoint: Endpoint) -> Iterator[Held]:
    """They are closed at the end, whatever happens."""
    held = Held(endpoint)
    try:
        yield held
    finally:
        held.close()
