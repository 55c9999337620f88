"""One try of one backend: its slot, its call, and what came back, until it is relayed or given up."""

from typing import Any

import orjson

from airouter.clock import ms
from airouter.errors import RouterError, UpstreamBroken, UpstreamStatus
from airouter.exchange.exchange import Exchange
from airouter.execution.compose import Outgoing
from airouter.request import ChatRequest
from airouter.resilience.limiter import Slot
from airouter.types import Endpoint, Step
from airouter.upstream.backend import Backend
from airouter.upstream.sse import Rewrite, SseReader

PATHS: dict[Endpoint, str] = {
    "chat": "/v1/chat/completions",
    "completions": "/v1/completions",
    "embeddings": "/v1/embeddings",
}
_MAX_ANSWER = 256 * 1024 * 1024
_KEPT = 2000
_TEXT_KEPT = (
    4_000_000  # characters of a stream that are remembered, so that a cut answer can be continued
)


class Attempt:
    """Started at once. `ready` says that it can be judged; `problem()` judges it; `drain()` hands out what may be passed on.

    It belongs to the exchange's thread; `close()` is idempotent and frees the slot when the socket is shut.
    """

    def __init__(
        self,
        exchange: Exchange,
        backend: Backend,
        slot: Slot,
        outgoing: Outgoing,
        request: ChatRequest,
        *,
        buffer: int,
        rewrite: Rewrite | None = None,
    ) -> None:
        self.exchange = exchange
        self.backend = backend
        self.outgoing = outgoing
        self.stream = request.stream
        self.endpoint = request.endpoint
        self.step = "provider_call"
        self.speculative = False
        self.payload: dict[str, Any] | None = None  # of a whole answer
        self.reader = SseReader(
            keep_usage=outgoing.keep_usage,
            keep_text=_TEXT_KEPT,
            choices=request.choices,
            rewrite=rewrite,
        )
        self._slot = slot
        self._buffer = buffer
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._raw = bytearray()  # of a whole answer, or of an error
        self._recorded = False
        self._bad_stream = ""
        post = backend.provider.post(PATHS[request.endpoint], outgoing.body, backend.headers)
        self.call = backend.call(post)
        if not self.stream:
            self.call.extend_first_byte()
        self.call.on_progress = self._progress
        exchange.hold(self.close)
        exchange.poller.add(self.call)
        self.call.start()

    # While it runs --------------------------------------------------------------------------------------------------

    def _progress(self) -> None:
        call = self.call
        data = call.take()
        if data:
            if self.stream and call.status == 200 and not self._bad_stream:
                self._feed(data)
            else:
                self._raw += data
                if len(self._raw) > _MAX_ANSWER:
                    self._bad_stream = "an answer of more than 256 MB"
                    call.close()
        if call.complete and self.stream:
            rest = self.reader.flush()
            if rest:
                self._keep(rest)
        if self._buffer and self._pending_bytes + len(self._raw) > self._buffer:
            call.paused = True

    def _feed(self, data: bytes) -> None:
        if (
            not self.reader.state.events
            and "text/event-stream" not in self.call.headers.get("content-type", "").lower()
        ):
            self._bad_stream = f"{self.call.headers.get('content-type', 'an answer without a type')[:60]} instead of an event stream"
            self.call.close()
            return
        try:
            whole = self.reader.feed(data)
        except ValueError as error:
            self._bad_stream = str(error)
            self.call.close()
            return
        if whole:
            self._keep(whole)
        if self.reader.state.started:
            self.call.content_seen()

    def _keep(self, data: bytes) -> None:
        self._pending.append(data)
        self._pending_bytes += len(data)

    def drain(self) -> bytes:
        """The whole events that came since the last call; reading goes on."""
        data = b"".join(self._pending) if len(self._pending) != 1 else self._pending[0]
        self._pending.clear()
        self._pending_bytes = 0
        self.call.resume()
        return data

    @property
    def has_pending(self) -> bool:
        return bool(self._pending)

    def unbound(self) -> None:
        """From now on its owner reads it: the buffer needs no bound."""
        self._buffer = 0
        self.call.resume()

    # Judging it -----------------------------------------------------------------------------------------------------

    @property
    def ended(self) -> bool:
        return self.call.finished or bool(self._bad_stream)

    @property
    def ready(self) -> bool:
        """The first content of a stream is there, or the whole answer, or its failure."""
        return self.ended or (
            self.stream and (self.reader.state.started or self.reader.state.error is not None)
        )

    def problem(self) -> RouterError | None:
        """Why this answer cannot be passed on, or None. Call it when `ready`."""
        name, call = repr(self.backend.name), self.call
        if call.error is not None:
            return call.error
        if self._bad_stream:
            return UpstreamBroken(f"The backend {name} sent {self._bad_stream}.")
        if call.status >= 400:
            return UpstreamStatus(
                f"The backend {name} answered with status {call.status}.",
                upstream_status=call.status,
                body=bytes(self._raw),
                headers=call.headers,
            )
        if call.status != 200:
            return UpstreamBroken(
                f"The backend {name} answered with status {call.status}, which is neither an answer nor an error."
            )
        return self._stream_problem(name) if self.stream else self._whole_problem(name)

    def _stream_problem(self, name: str) -> RouterError | None:
        state = self.reader.state
        if state.started:
            return None
        if state.error is not None:
            return UpstreamStatus(
                f"The backend {name} answered with an error event.",
                upstream_status=_status_in(state.error),
                body=orjson.dumps({"error": state.error}),
                headers=self.call.headers,
            )
        return UpstreamBroken(f"The backend {name} ended its stream before its first content.")

    def _whole_problem(self, name: str) -> RouterError | None:
        try:
            payload = orjson.loads(bytes(self._raw))
        except orjson.JSONDecodeError:
            return UpstreamBroken(
                f"The backend {name} answered with {'nothing' if not self._raw else 'something that is not JSON'}."
            )
        if not isinstance(payload, dict):
            return UpstreamBroken(f"The backend {name} answered with JSON that is not an object.")
        if payload.get("error") and not payload.get("choices"):
            error = (
                payload["error"]
                if isinstance(payload["error"], dict)
                else {"message": str(payload["error"])}
            )
            return UpstreamStatus(
                f"The backend {name} answered with an error.",
                upstream_status=_status_in(error),
                body=bytes(self._raw),
                headers=self.call.headers,
            )
        self.payload = payload
        if self.endpoint == "embeddings":
            return None
        choices = payload.get("choices")
        # An answer is complete only with a reason to finish for every choice.
        if (
            not isinstance(choices, list)
            or not choices
            or not all(isinstance(c, dict) and c.get("finish_reason") for c in choices)
        ):
            return UpstreamBroken(f"The backend {name} sent an answer that is not complete.")
        return None

    @property
    def body(self) -> bytes:
        """The whole answer, as it came."""
        return bytes(self._raw)

    # What it says ---------------------------------------------------------------------------------------------------

    @property
    def finish_reason(self) -> str | None:
        if self.stream:
            return self.reader.state.finish_reasons.get(0)
        choices = (self.payload or {}).get("choices")
        first = choices[0] if isinstance(choices, list) and choices else None
        return first.get("finish_reason") if isinstance(first, dict) else None

    @property
    def usage(self) -> dict[str, Any] | None:
        usage = self.reader.state.usage if self.stream else (self.payload or {}).get("usage")
        return usage if isinstance(usage, dict) else None

    @property
    def model(self) -> str | None:
        model = self.reader.state.model if self.stream else (self.payload or {}).get("model")
        return model if isinstance(model, str) else self.outgoing.body.get("model")

    @property
    def content(self) -> str:
        """The start of the answer's text, at most 2,000 characters."""
        if self.stream:
            return self.reader.state.text[:_KEPT]
        choices = (self.payload or {}).get("choices")
        first = (
            choices[0]
            if isinstance(choices, list) and choices and isinstance(choices[0], dict)
            else {}
        )
        message = first.get("message")
        text = message.get("content") if isinstance(message, dict) else first.get("text")
        return text[:_KEPT] if isinstance(text, str) else ""

    @property
    def inference_ms(self) -> float:
        """Request sent → last byte so far, by the call's own clock."""
        call = self.call
        end = call.ended_at or call.shut_at or self.exchange.clock.monotonic()
        return (end - (call.sent_at or call.started)) * 1000

    @property
    def connect_ms(self) -> int:
        """Request begun → response headers."""
        return ms((self.call.head_at or self.call.started) - self.call.started)

    @property
    def ttft_ms(self) -> float:
        """Request begun → first byte of the answer's body."""
        call = self.call
        return ((call.first_body_at or call.head_at or call.started) - call.started) * 1000

    # Its end --------------------------------------------------------------------------------------------------------

    def record_step(self, error: str | None = None) -> None:
        """Note this try in the exchange's record, once."""
        if self._recorded:
            return
        self._recorded = True
        body = self.outgoing.body
        self.exchange.record.steps.append(
            Step(
                self.step, self.backend.name, self.backend.url, body.get("model", ""), self.outgoing.messages, self.outgoing.params(),
                self.inference_ms, self.call.status or None, self.finish_reason, self.content, error,
            )
        )  # fmt: skip

    def close(self) -> None:
        """Shut the socket if it is still open, then free the slot."""
        self.call.close()
        self._slot.release()
        self.exchange.poller.remove(self.call)
        self.exchange.drop(self.close)


def _status_in(error: dict[str, Any]) -> int:
    """The HTTP status that an error inside a 200 names, else 502."""
    code = error.get("code")
    return code if isinstance(code, int) and 400 <= code < 600 else 502
