"""Asks a model to map, through the router's own backends."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from airouter.dialects import wire_json
from airouter.domain.clock import Clock
from airouter.domain.errors import (
    ConfigError,
    DeadlineExceeded,
    RouterError,
    UpstreamBroken,
    UpstreamStatus,
)
from airouter.domain.types import immutable
from airouter.flow.exchange import Exchange
from airouter.flow.waits import Wait, Waiting
from airouter.mapper.output_schema import OutputSchema
from airouter.mapper.requests import MapRequest
from airouter.mapper.taxonomy import Taxonomy
from airouter.settings.mapper import MapperSettings
from airouter.upstream.backend import Backend
from airouter.upstream.client import Lease, side_lease

PROMPT = "prompt.txt"
_LEAST = 0.001  # seconds


@immutable
class Said:
    """What a model said, as text, and its name."""

    text: str
    model: str


class ModelPath:
    """Args:
    backends: asked in this order, the next one where one fails and time is left.
    """

    def __init__(
        self,
        settings: MapperSettings,
        backends: Sequence[Backend],
        taxonomy: Taxonomy,
        schema: OutputSchema,
        clock: Clock,
    ) -> None:
        self.backends = tuple(backends)
        self._settings, self._clock = settings, clock
        self._system = _prompt(settings.folder, taxonomy)
        self._constraint = {
            "type": "json_schema",
            "json_schema": {"name": "mapping", "schema": schema.schema, "strict": True},
        }

    def free(self) -> int:
        """How many mappings the first backend that is up could begin now; at least 1."""
        for backend in self.backends:
            if backend.can_answer_now:
                return max(1, backend.limiter.slots - backend.limiter.in_use)
        return 1

    def ask(self, exchange: Exchange, request: MapRequest) -> Waiting[Said | None]:
        """What a model says; None if none answers within `model_timeout`.

        Raises:
            ClientGone, DeadlineExceeded: of the exchange.
        """
        until = self._clock.monotonic() + self._settings.model_timeout
        return (yield from _within(self._clock, self._asked(exchange, request, until), until))

    def _asked(self, exchange: Exchange, request: MapRequest, until: float) -> Waiting[Said | None]:
        for backend in self.backends:
            left = until - self._clock.monotonic()
            if left <= 0:
                break
            if not backend.can_answer_now:
                continue
            try:
                # The limit is so short that a healthy backend may miss it.
                with side_lease(exchange, backend, hurried=True) as lease:
                    yield from lease.enter("interactive", left)
                    return (yield from self._answer(lease, request, until))
            except DeadlineExceeded:
                raise
            except RouterError:
                continue  # the breaker has been told, and the log, where it matters
        return None

    def _answer(self, lease: Lease, request: MapRequest, until: float) -> Waiting[Said]:
        left = max(_LEAST, until - self._clock.monotonic())
        status, raw = yield from lease.whole("chat", self._body(lease, request), left)
        name = lease.backend.name
        if status != 200:
            raise UpstreamStatus(
                f"The backend {name!r} answered a mapping with status {status}.",
                upstream_status=status,
                body=b"",
                headers={},
            )
        try:
            text = wire_json.strict(raw)["choices"][0]["message"]["content"]
        except (ValueError, LookupError, TypeError):
            text = None
        if not isinstance(text, str):
            raise UpstreamBroken(f"The backend {name!r} sent no answer to a mapping.")
        return Said(text, lease.model)

    def _body(self, lease: Lease, request: MapRequest) -> dict[str, Any]:
        settings = self._settings
        said = {"detector": request.detector, "output": request.output}
        body = {
            "model": lease.model,
            "messages": [
                {"role": "system", "content": self._system},
                {"role": "user", "content": orjson.dumps(said).decode()},
            ],
            "temperature": settings.temperature,
            "top_p": settings.top_p,
            "max_tokens": settings.max_tokens,
        }
        if lease.backend.provider.constrains:
            body["response_format"] = self._constraint
            body["chat_template_kwargs"] = {"enable_thinking": False}
        return body


def _prompt(folder: Path, taxonomy: Taxonomy) -> str:
    """The system message: static, so that backends can cache its prefix."""
    path = folder / PROMPT
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise ConfigError(f"{path} cannot be read; it is the prompt of the mapper.") from None
    labels = [f"{label.name}: {label.description}" for label in taxonomy.labels.values()]
    return "\n".join((text.rstrip(), *labels))


def _within(clock: Clock, flow: Waiting[Said | None], until: float) -> Waiting[Said | None]:
    """The result of the flow; None at the time `until`, when it is closed.

    A model's name may have to be read first, which has a longer limit of its own.
    """
    try:
        while True:
            item = next(flow)
            if clock.monotonic() >= until:
                return None
            if isinstance(item, Wait):
                item = Wait(min(item.until, until), item.wake, item.relay)
            yield item
    except StopIteration as end:
        said: Said | None = end.value
        return said
    finally:
        flow.close()
