"""One try of one backend: its slot, its call, and what came back, until it is relayed or given up."""

from typing import Any

from airouter.dialects.openai_answer import Answer
from airouter.dialects.openai_compose import Outgoing
from airouter.dialects.openai_request import ChatRequest
from airouter.dialects.openai_stream import Rewrite, StreamState
from airouter.domain.clock import ms
from airouter.domain.errors import RouterError, UpstreamBroken, UpstreamStatus
from airouter.domain.types import Endpoint, Step
from airouter.flow.exchange import Exchange
from airouter.upstream.admission import Admission
from airouter.upstream.client import open_call

PATHS: dict[Endpoint, str] = {
    "chat": "/v1/chat/completions",
    "completions": "/v1/completions",
    "embeddings": "/v1/embeddings",
}
_MAX_ERROR = 4 * 1024 * 1024  # bytes of an error's body that are read
_KEPT = 2000


class Attempt:
    """Started at once. `ready` says that it can be judged; `problem()` judges it; `drain()` hands
    out what may be passed on.

    It belongs to the exchange's thread; `close()` is idempotent and frees the slot when the socket
    is shut.
    """

    def __init__(
        self,
        exchange: Exchange,
        admission: Admission,
        outgoing: Outgoing,
        request: ChatRequest,
        *,
        buffer: int,
        rewrite: Rewrite | None = None,
    ) -> None:
        self.exchange = exchange
        self.backend = backend = admission.backend
        self.outgoing = outgoing
        self.stream = request.stream
        self.step = "provider_call"
        self.speculative = False
        self.answer = Answer(
            backend.name,
            request.endpoint,
            stream=request.stream,
            keep_usage=outgoing.keep_usage,
            choices=request.choices,
            rewrite=rewrite,
        )
        self._admission = admission
        self._buffer = buffer
        self._error_body = bytearray()
        self._recorded = False
        post = backend.provider.post(PATHS[request.endpoint], outgoing.body, backend.headers)
        self.call = open_call(backend, post)
        if not self.stream:
            self.call.extend_first_byte()
        self.call.on_progress = self._progress
        exchange.hold(self.close)
        exchange.poller.add(self.call)
        self.call.start()

    # While it runs --------------------------------------------------------------------------------

    def _progress(self) -> None:
        call, answer = self.call, self.answer
        data = call.take()
        if data:
            if not _is_success(call.status):
                self._error_body += data[: _MAX_ERROR - len(self._error_body)]
            elif not answer.broken and answer.feed(data) and self.stream:
                call.content_seen()
            if answer.broken:
                call.close()
        if _is_success(call.status) and (call.complete or call.error is not None):
            answer.end(cut=not call.complete)
        if self._buffer and answer.size > self._buffer:
            call.paused = True

    def drain(self) -> bytes:
        """The whole events that came since the last call; reading goes on."""
        data = self.answer.drain()
        self.call.resume()
        return data

    def unbound(self) -> None:
        """From now on its owner reads it: the buffer needs no bound."""
        self._buffer = 0
        self.call.resume()

    # Judging it -----------------------------------------------------------------------------------

    @property
    def state(self) -> StreamState:
        """What the stream has said so far."""
        return self.answer.state

    @property
    def ended(self) -> bool:
        return self.call.finished or bool(self.answer.broken)

    @property
    def ready(self) -> bool:
        """The first content of a stream is there, or the whole answer, or its failure."""
        return self.ended or (self.stream and self.answer.begun)

    def problem(self) -> RouterError | None:
        """Why this answer cannot be passed on, or None. Call it when `ready`."""
        name, call = repr(self.backend.name), self.call
        if call.error is not None and not self._came_whole():
            return call.error
        if call.status >= 400:
            return UpstreamStatus(
                f"The backend {name} answered with status {call.status}.",
                upstream_status=call.status,
                body=bytes(self._error_body),
                headers=call.headers,
            )
        if 300 <= call.status < 400:
            return UpstreamBroken(
                f"The backend {name} answered with a redirect (status {call.status}), which is "
                "not followed; set its url to the target of the redirect."
            )
        return self.answer.problem(call.headers)

    def _came_whole(self) -> bool:
        """Whether the answer was there before the connection broke."""
        answer = self.answer
        if not _is_success(self.call.status) or answer.problem(self.call.headers) is not None:
            return False
        return answer.state.complete if self.stream else answer.payload is not None

    @property
    def body(self) -> bytes:
        """The whole answer, as it came."""
        return self.answer.raw

    # What it says ---------------------------------------------------------------------------------------------------

    @property
    def finish_reason(self) -> str | None:
        if self.stream:
            return self.state.finish_reasons.get(0)
        choices = (self.answer.payload or {}).get("choices")
        first = choices[0] if isinstance(choices, list) and choices else None
        return first.get("finish_reason") if isinstance(first, dict) else None

    @property
    def usage(self) -> dict[str, Any] | None:
        usage = self.state.usage if self.stream else (self.answer.payload or {}).get("usage")
        return usage if isinstance(usage, dict) else None

    @property
    def model(self) -> str | None:
        model = self.state.model if self.stream else (self.answer.payload or {}).get("model")
        return model if isinstance(model, str) else self.outgoing.body.get("model")

    @property
    def content(self) -> str:
        """The start of the answer's text, at most 2,000 characters."""
        if self.stream:
            return self.state.text[:_KEPT]
        choices = (self.answer.payload or {}).get("choices")
        first = (
            choices[0]
            if isinstance(choices, list) and choices and isinstance(choices[0], dict)
            else {}
        )
        message = first.get("message")
        text = message.get("content") if isinstance(message, dict) else first.get("text")
        return text[:_KEPT] if isinstance(text, str) else ""

    @property
    def began(self) -> float:
        """When the request was sent, or begun where it is not sent yet; in seconds of the clock."""
        return self.call.sent_at or self.call.started

    @property
    def inference_ms(self) -> float:
        """Request sent → last byte so far, by the call's own clock."""
        end = self.call.ended_at or self.call.shut_at or self.exchange.clock.monotonic()
        return (end - self.began) * 1000

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
        self._admission.close()
        self.exchange.poller.remove(self.call)
        self.exchange.drop(self.close)


def _is_success(status: int) -> bool:
    return 200 <= status < 300
