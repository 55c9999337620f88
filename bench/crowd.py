"""Many connections at a time, from one thread: as fast as they are answered, at a fixed rate, or
many streams at once."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import httptools
import uvloop

from bench.client import Answer, Endpoint, Reading


class _Link(asyncio.Protocol):
    """A connection that carries one request at a time."""

    def __init__(self) -> None:
        self.open = True
        self.reading = Reading()
        self._transport: Any = None  # uvloop's transports are no asyncio.Transport
        self._end: asyncio.Future[str] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def send(self, wire: bytes) -> "asyncio.Future[str]":
        """Send a request. What comes of it: why there is no whole answer, empty when there is
        one."""
        self._end = asyncio.get_running_loop().create_future()
        self.reading = Reading()
        self._transport.write(wire)
        return self._end

    def data_received(self, data: bytes) -> None:
        try:
            self.reading.feed(data)
        except httptools.HttpParserError as error:
            self._over(f"not HTTP: {error}")
        if self.reading.whole:
            self.open = self.reading.keep
            self._over("")

    def connection_lost(self, exc: Exception | None) -> None:
        self.open = False
        if self._end is not None and not self._end.done():
            try:
                self.reading.feed(b"")
                self._over("")
            except ConnectionResetError as error:
                self._over(f"{type(exc or error).__name__}: {exc or error}")

    def close(self) -> None:
        self.open = False
        self._transport.abort()

    def _over(self, problem: str) -> None:
        if self._end is not None and not self._end.done():
            self._end.set_result(problem)


async def _carry(
    endpoint: Endpoint, wire: bytes, idle: list[_Link], limit: float | None = None
) -> tuple[Reading, str]:
    """A request on an idle connection, else on a new one; and why its answer is not whole."""
    link: _Link | None = None
    try:
        async with asyncio.timeout(limit):
            while True:
                if reused := bool(idle):
                    link = idle.pop()
                else:
                    tls, where = True if endpoint.tls else None, (endpoint.host, endpoint.port)
                    opening = asyncio.get_running_loop().create_connection(_Link, *where, ssl=tls)
                    link = (await opening)[1]
                problem = await link.send(wire) if link.open else ""
                # The server may have closed an idle one: the next, then.
                if not reused or (link.reading.began and (problem or link.reading.whole)):
                    break
    except TimeoutError:
        problem = f"no answer within {limit:g} s"
    except OSError as error:
        problem = f"{type(error).__name__}: {error}"
    finally:
        if link is not None and not (link.open and link.reading.whole):
            link.close()  # half an answer may be on it
    if link is None:
        return Reading(), problem
    if link.open:
        idle.append(link)
    return link.reading, problem


@dataclass(slots=True)
class Load:
    """Seconds per answered request, and what failed. Requests still under way at the end count as
    neither.

    Args:
        answered: requests that had an answer of any status, before and after those seconds as well.
        abandoned: that had none until the end, when their clients left.
    """

    latencies: list[float] = field(default_factory=list)
    failures: int = 0
    first_failure: str = ""
    seconds: float = 0.0
    answered: int = 0
    abandoned: int = 0


_LAST_ANSWERS_S = 5.0


def drive(endpoint: Endpoint, wire: bytes, users: int, seconds: float, warm_up: float) -> Load:
    """So many users, each of whom asks again as soon as it is answered: `warm_up` seconds that do
    not count, then `seconds`. Afterwards they wait for their last answers, for five seconds."""
    load, answered, asking = Load(), 0, True

    async def user() -> None:
        nonlocal answered
        idle: list[_Link] = []
        # A connection that the server closes (gunicorn may, under load) is opened again, as any
        # client would.
        while asking:
            reading, problem = await _carry(endpoint, wire, idle)
            answered += not problem
            if not problem and reading.status == 200:
                load.latencies.append(reading.seconds or 0.0)
                continue
            load.failures += 1
            said = f"status {reading.status}: {b''.join(reading.pieces)[:200].decode('latin-1')}"
            load.first_failure = load.first_failure or problem or said
            if problem:
                await asyncio.sleep(0.1)
        for link in idle:
            link.close()

    async def all_of_them() -> Load:
        nonlocal load, asking
        tasks = [asyncio.ensure_future(user()) for _ in range(users)]
        await asyncio.sleep(warm_up)
        load, begun = Load(), time.perf_counter()
        await asyncio.sleep(seconds)
        measured, load = load, Load()
        measured.seconds = time.perf_counter() - begun
        asking = False
        _, unanswered = await asyncio.wait(tasks, timeout=_LAST_ANSWERS_S)
        for task in unanswered:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        measured.answered, measured.abandoned = answered, len(unanswered)
        return measured

    return uvloop.run(all_of_them())


def send(
    endpoint: Endpoint, wires: Sequence[bytes], limit: float, rate: float = float("inf")
) -> list[Answer]:
    """Send all of these, at once or `rate` a second, evenly spaced, whether or not earlier ones
    have been answered; wait until each has ended.

    An answer's `seconds` count from when its request was due, so that a client that falls behind
    does not hide it.

    Args:
        limit: seconds within which each must be answered.
    """

    async def all_of_them() -> list[Answer]:
        idle: list[_Link] = []
        start = time.perf_counter()

        async def one(wire: bytes, due: float) -> Answer:
            reading, problem = await _carry(endpoint, wire, idle, limit)
            answer = reading.answer(problem=problem, due=due)
            answer.seconds = time.perf_counter() - start - due
            answer.status = 0 if problem else answer.status
            return answer

        tasks = []
        for i, wire in enumerate(wires):
            while (wait := i / rate - (time.perf_counter() - start)) > 0:
                await asyncio.sleep(wait)
            tasks.append(asyncio.ensure_future(one(wire, i / rate)))
        found = list(await asyncio.gather(*tasks))
        for link in idle:
            link.close()
        return found

    return uvloop.run(all_of_them())
