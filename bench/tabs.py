"""Open tabs of the dashboard, without a browser: as many connections that read its events, from a
process of its own, so that the client that makes the load beside it does not hold it up."""

import asyncio
import subprocess
import sys
from contextlib import AbstractContextManager
from typing import Any, Self

import orjson
import uvloop

from bench.client import Endpoint
from simulator.processes import die_with_parent, end

_PATIENCE_S = 20.0


class Tabs(AbstractContextManager["Tabs"]):
    """While its block runs, so many tabs are open. Afterwards `events` has the number of events of
    each tab by name, and `problems` says why tabs lost their connection."""

    def __init__(self, endpoint: Endpoint, count: int) -> None:
        self.events: list[dict[str, int]] = []
        self.problems: list[str] = []
        self._url, self._count = endpoint.url, count

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.tabs", self._url, str(self._count)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            preexec_fn=die_with_parent,
        )
        assert self._process.stdout is not None
        self._process.stdout.readline()  # they are open
        return self

    def __exit__(self, *_: object) -> None:
        try:
            told, _errors = self._process.communicate(timeout=_PATIENCE_S)  # closes its input
            self.events, self.problems = orjson.loads(told or b'[[], ["it ended"]]')
        finally:
            end(self._process)


async def _watch(
    endpoint: Endpoint, seen: dict[str, int], problems: list[str], opened: asyncio.Event
) -> None:
    wire = endpoint.wire("/dashboard/events?window=900", None)
    while True:  # as a browser, it connects anew when its stream ends
        reader, writer = await asyncio.open_connection(endpoint.host, endpoint.port)
        try:
            writer.write(wire)
            async for line in reader:
                if line.startswith(b"event: "):
                    name = line[7:].strip().decode()
                    seen[name] = seen.get(name, 0) + 1
                    opened.set()
        except OSError as error:
            problems.append(str(error))
        finally:
            writer.close()


async def _open(endpoint: Endpoint, count: int) -> tuple[list[dict[str, int]], list[str]]:
    """Until the input ends."""
    events: list[dict[str, int]] = [{} for _ in range(count)]
    problems: list[str] = []
    opened = [asyncio.Event() for _ in range(count)]
    tasks = [
        asyncio.ensure_future(_watch(endpoint, seen, problems, one))
        for seen, one in zip(events, opened, strict=True)
    ]
    await asyncio.wait_for(asyncio.gather(*(one.wait() for one in opened)), _PATIENCE_S)
    print("open", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    for task in tasks:
        task.cancel()
    ended: list[Any] = await asyncio.gather(*tasks, return_exceptions=True)
    problems += [str(one) for one in ended if not isinstance(one, asyncio.CancelledError)]
    return events, problems


if __name__ == "__main__":
    found = uvloop.run(_open(Endpoint.of(sys.argv[1]), int(sys.argv[2])))
    sys.stdout.buffer.write(orjson.dumps(found))
