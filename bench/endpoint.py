"""One endpoint of a profile (config/slo/endpoints-*.yaml), measured as the profile says: reachable, cold, one by one, at once."""

import os
import re
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from bench.client import CHAT, Connection, Endpoint, Failure, Reply
from bench.sampling import Sampler, Samples
from bench.slo import EndpointProfile, EndpointSlo, Method
from bench.stats import percentile
from simulator.testing import Simulator

EMBEDDINGS = "/v1/embeddings"
_REACH_S = 5.0
_STREAM_TOKENS = 64  # for tokens per second; the time to the first token does not depend on it
# The smallest picture there is: one pixel.
_PIXEL = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
# Which role of the simulator stands for what where no endpoint is configured.
STAND_INS = {"chat": "primary", "vision": "primary", "embedding": "embedding"}
ROLES = ("primary", "embedding")
_USAGE = re.compile(rb'"completion_tokens":\s*(\d+)')


@dataclass(frozen=True, slots=True)
class Timing:
    """One request, in seconds: what the profile measures, and tokens (embeddings) per second where that is known."""

    seconds: float
    rate: float | None = None


class Subject:
    """An endpoint under measurement.

    Raises:
        Failure: it does not answer; or later, a request of it fails.
    """

    def __init__(
        self, name: str, slo: EndpointSlo, profile: EndpointProfile, endpoint: Endpoint
    ) -> None:
        self.name, self.slo, self.profile, self.endpoint = name, slo, profile, endpoint
        self.served = reach(endpoint)  # the model's name there

    @property
    def method(self) -> Method:
        return self.profile.method

    def client(self) -> Connection:
        embedding = self.slo.kind == "embedding"
        return Connection(
            self.endpoint,
            timeout=self.method.embedding_timeout_s if embedding else self.method.chat_timeout_s,
        )

    def ask(self, connection: Connection, number: int = 0) -> Timing:
        """One request; `number` makes its text a new one."""
        if self.slo.kind == "embedding":
            texts = [
                f"Text number {number}.{i}: the keeper of the lighthouse wrote a letter."
                for i in range(self.slo.batch)
            ]
            reply = connection.checked(
                self.endpoint.wire(EMBEDDINGS, {"model": self.served, "input": texts})
            )
            vectors = len(reply.json().get("data") or ())
            if vectors != len(texts):
                raise Failure(f"{vectors} vectors for {len(texts)} texts")
            return Timing(reply.seconds, vectors / reply.seconds)
        streamed = self.profile.measures == "first_token"
        body: dict[str, Any] = {
            "model": self.served,
            "messages": [{"role": "user", "content": self._content(number)}],
            "max_tokens": _STREAM_TOKENS if streamed else 1,
        }
        if streamed:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        reply = connection.checked(self.endpoint.wire(CHAT, body))
        return _streamed(reply) if streamed else Timing(reply.seconds)

    def _content(self, number: int) -> Any:
        text = f"Question {number}: say hello."
        if self.slo.kind != "vision":
            return text
        return [{"type": "text", "text": text}, {"type": "image_url", "image_url": {"url": _PIXEL}}]

    # What the profile wants to know ---------------------------------------------------------------------------------

    def cold(self) -> tuple[float, float]:
        """Seconds of the first request on a fresh client, and the mean of warm ones."""
        with self.client() as connection:
            first = self.ask(connection).seconds
            warm = [self.ask(connection, i + 1).seconds for i in range(self.method.cold_against)]
        return first, sum(warm) / len(warm)

    def baseline(
        self, sampler: Sampler | None = None, count: int | None = None, warm_up: int | None = None
    ) -> Samples[Timing]:
        """One request after the other on one connection, after those that do not count."""
        wanted = count or self.method.sequential
        ignored = self.method.warm_up if warm_up is None else warm_up
        with self.client() as connection:
            if sampler is None:
                for i in range(ignored):
                    self.ask(connection, i)
                return Samples([self.ask(connection, ignored + i) for i in range(wanted)])
            sampler.collect(
                lambda i: self.ask(connection, i), ignored, name=f"{self.name}: warm-up", budget=300
            )
            return sampler.collect(
                lambda i: self.ask(connection, ignored + i), wanted, name=self.name, budget=600
            )

    def sweep(self) -> dict[int, list[float]]:
        """Seconds of each request by the number of clients at a time; each client sends its requests one after the other."""
        return {level: self._at_once(level) for level in self.method.sweep}

    def _at_once(self, level: int) -> list[float]:
        found: list[float] = []
        failures: list[Failure] = []
        gate = threading.Barrier(level)

        def work(client: int) -> None:
            with self.client() as connection:
                gate.wait(timeout=30)
                try:
                    for i in range(self.method.per_worker):
                        found.append(self.ask(connection, 1000 * client + i).seconds)
                except Failure as failure:
                    failures.append(failure)

        workers = [
            threading.Thread(target=work, args=(client,), daemon=True) for client in range(level)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        if failures:
            raise failures[0]
        return found

    def round_trip(self, count: int = 20) -> float:
        """Median seconds of opening a TCP connection: one way there and back, and next to no work."""
        return percentile(sorted(_connect_s(self.endpoint) for _ in range(count)), 0.5)

    def version(self) -> str | None:
        """What the server says that it is; None where it does not."""
        try:
            with Connection(self.endpoint, timeout=_REACH_S) as connection:
                said = connection.get("/version")
                return str(said.json()["version"]) if said.status == 200 else None
        except (Failure, ValueError, KeyError, TypeError):
            return None


def _streamed(reply: Reply) -> Timing:
    if reply.first_content is None:
        raise Failure("a stream without content")
    told = _USAGE.findall(reply.body)
    tokens = (
        int(told[-1]) if told else reply.body.count(b'"delta"') - 2
    )  # but for the role and the end
    over = reply.seconds - reply.first_content
    return Timing(reply.first_content, (tokens - 1) / over if tokens > 2 and over > 0 else None)


def _connect_s(endpoint: Endpoint) -> float:
    begun = time.perf_counter()
    try:
        with socket.create_connection((endpoint.host, endpoint.port), timeout=_REACH_S):
            return time.perf_counter() - begun
    except OSError as error:
        raise Failure(f"{type(error).__name__}: {error}") from None


def reach(endpoint: Endpoint) -> str:
    """The name of the first model of a server that is up: its /health is 200, or it lists its models.

    Raises:
        Failure: it is not.
    """
    with Connection(endpoint, timeout=_REACH_S) as connection:
        health = connection.get("/health")
        reply = connection.get("/v1/models")
        if health.status != 200 and reply.status != 200:
            raise Failure(f"/health says {health.status}, /v1/models says {reply.status}")
        models = reply.json().get("data") if reply.status == 200 else None
    if not models:
        raise Failure("no model at /v1/models")
    return str(models[0]["id"])


# Which endpoints there are -------------------------------------------------------------------------------------------

Subjects = list[tuple[str, EndpointSlo, Subject | str]]  # the sentence is why it cannot be measured


@contextmanager
def subjects(
    profile: EndpointProfile, *, api_key: str | None = None, environ: Mapping[str, str] = os.environ
) -> Iterator[Subjects]:
    """All endpoints of a profile. Where none is configured the simulator stands in for each of them."""
    with ExitStack() as stack:
        stand_in = (
            stack.enter_context(Simulator(profile="homelab", roles=ROLES))
            if simulated(profile, environ)
            else None
        )
        found: Subjects = []
        for name, slo in profile.endpoints.items():
            url = stand_in.url(STAND_INS[slo.kind]) if stand_in else slo.address(environ)
            subject: Subject | str = f"{slo.env} is not set"
            if url:
                try:
                    subject = Subject(name, slo, profile, Endpoint.of(url, api_key))
                except (Failure, ValueError) as error:
                    subject = str(error)
            found.append((name, slo, subject))
        yield found


def simulated(profile: EndpointProfile, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether the simulator stands in: no endpoint of the profile is configured."""
    return not any(slo.address(environ) for slo in profile.endpoints.values())
