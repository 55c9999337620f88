"""Thousands of streams from one thread, and how long each chunk was on its way from the backend.

The backend (`bench.stub`) stamps a chunk with the clock that this reads, CLOCK_MONOTONIC, which is
the same for all processes of a machine. While the streams flow, bytes are only noted with their
time; they are read afterwards. Measured against the backend itself, this shows its own floor.
"""

import re
import select
import socket
import time
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate

import httptools

from bench.client import Answer, Endpoint, Reading
from bench.result import without_collector

_STAMP = re.compile(rb'"content":\s*"(\d{6,}) ')
_LAST = b"0\r\n\r\n"
_AT_A_TIME = 16  # connections opened before those that are open are read again


@dataclass(slots=True)
class Relayed:
    """A stream as its client saw it.

    Args:
        answer: times in it are seconds since the connection was due to be opened.
        at: when each chunk came, on the clock of `time.monotonic`.
        delays: seconds from the backend's stamp until then.
    """

    answer: Answer
    at: list[float]
    delays: list[float]


@dataclass(slots=True)
class _Open:
    sock: socket.socket
    due: float
    sent: bool = False
    problem: str = ""
    times: list[float] = field(default_factory=list)
    pieces: list[bytes] = field(default_factory=list)


def follow(
    endpoint: Endpoint, wire: bytes, count: int, *, limit_s: float, over_s: float = 0.0
) -> list[Relayed]:
    """Open so many streams, each on a connection of its own, and read them all to their ends.

    Args:
        limit_s: seconds after which those that have not ended are given up.
        over_s: seconds over which they are opened, evenly; 0: all at once.
    """
    with without_collector():
        opened = _flow(endpoint, wire, count, limit_s, over_s)
    return [_read(one) for one in opened]


def _flow(
    endpoint: Endpoint, wire: bytes, count: int, limit_s: float, over_s: float
) -> list[_Open]:
    clock, poller = time.monotonic, select.epoll()
    every, flowing, ended = over_s / count, dict[int, _Open](), list[_Open]()

    def over(fd: int, problem: str = "") -> None:
        one = flowing.pop(fd)
        one.problem = problem
        one.sock.close()  # which also takes it from the poller
        ended.append(one)

    try:
        begun, number = clock(), 0
        while (flowing or number < count) and (now := clock()) - begun < limit_s:
            for _ in range(_AT_A_TIME):
                if number == count or begun + number * every > now:
                    break
                one = _Open(socket.socket(), begun + number * every)
                number += 1
                one.sock.setblocking(False)
                flowing[one.sock.fileno()] = one
                one.sock.connect_ex((endpoint.host, endpoint.port))
                poller.register(one.sock, select.EPOLLOUT)
            wait = begun + number * every - clock() if number < count else begun + limit_s - clock()
            for fd, _event in poller.poll(max(0.0, wait), 1024):
                one = flowing[fd]
                try:
                    if not one.sent:
                        one.sock.send(wire)  # smaller than any socket's buffer
                        one.sent = True
                        poller.modify(fd, select.EPOLLIN)
                        continue
                    data = one.sock.recv(65_536)
                except BlockingIOError:
                    continue
                except OSError as error:
                    over(fd, f"{type(error).__name__}: {error}")
                    continue
                one.times.append(clock())
                one.pieces.append(data)
                if not data or data.endswith(_LAST):
                    over(fd)
        for fd in tuple(flowing):
            over(fd, f"no end within {limit_s:g} s")
    finally:
        for one in flowing.values():
            one.sock.close()
        poller.close()
    return ended


def _read(one: _Open) -> Relayed:
    now = one.due
    reading = Reading(clock=lambda: now)
    problem = one.problem
    for came, data in zip(one.times, one.pieces, strict=True):
        now = came  # what the reading takes for the time
        try:
            reading.feed(data)
        except (OSError, httptools.HttpParserError) as error:
            problem = problem or f"{type(error).__name__}: {error}"
            break
    answer = reading.answer(problem=problem)
    ends = list(accumulate(answer.sizes))
    stamps = [(int(found[1]) / 1e9, found.end()) for found in _STAMP.finditer(answer.body)]
    at = [one.due + answer.arrivals[bisect_left(ends, end)] for _, end in stamps]
    delays = [then - stamp for then, (stamp, _) in zip(at, stamps, strict=True)]
    return Relayed(answer, at, delays)


def complete(found: Sequence[Relayed], chunks: int) -> list[Relayed]:
    """Those that are whole, with as many chunks as were sent."""
    return [one for one in found if one.answer.complete(chunks) and len(one.at) == chunks]
