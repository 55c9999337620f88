"""One attempt at one backend: its call and its answer, until that is relayed or discarded."""

from airouter.dialects.call_repair import repair_for
from airouter.dialects.openai_answer import Answer
from airouter.dialects.openai_compose import Outgoing
from airouter.dialects.openai_request import ChatRequest
from airouter.dialects.openai_stream import Rewrite, StreamState
from airouter.domain.clock import ms
from airouter.domain.errors import RouterError, UpstreamBroken, UpstreamStatus
from airouter.domain.types import Step
from airouter.flow.exchange import Exchange, Progress
from airouter.upstream.client import Lease

_MAX_ERROR = 4 * 1024 * 1024  # bytes of an error's body that are read
_KEPT = 2000  # characters of an answer's text that its step keeps


class Attempt:
    """Started at once. `ready` says that it can be judged, `problem()` judges it, `drain()` hands
    out what may be passed on.

    It belongs to the exchange's thread. `close()` is idempotent: the socket is shut first, then the
    slot is free.

    Args:
        lease: of the backend, entered; its permit outlives the attempt.
        buffer: bytes after which reading stops until `drain()`; 0: no bound.
        rewrite: makes the events of a continuation fit those already sent.

    Raises:
        RouterError: a check does not let the request pass.
    """

    def __init__(
        self,
        exchange: Exchange,
        lease: Lease,
        outgoing: Outgoing,
        request: ChatRequest,
        *,
        buffer: int = 0,
        rewrite: Rewrite | None = None,
    ) -> None:
        self.exchange = exchange
        self.lease = lease
        self.backend = backend = lease.backend
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
            repair=repair_for(request.payload) if backend.settings.repair_tool_calls else None,
        )
        self._buffer = buffer
        self._error_body = bytearray()
        self._recorded = False
        self.call = lease.ask(request.endpoint, outgoing.body, native=outgoing.native)
        self._span_id = lease.span_id
        if not self.stream:
            self.call.extend_first_byte()
        self.call.on_progress = self._progress
        exchange.hold(self.close)
        exchange.progress = self.progress

    # While it runs --------------------------------------------------------------------------------

    def _progress(self) -> None:
        call, answer = self.call, self.answer
        data, success = call.take(), 200 <= call.status < 300
        if data:
            if not success:
                self._error_body += data[: _MAX_ERROR - len(self._error_body)]
            elif not answer.broken and answer.feed(data) and self.stream:
                call.content_seen()
            if answer.broken:
                call.close()
        if success and (call.complete or call.error is not None):
            answer.end(cut=not call.complete)
        if self._buffer and answer.size > self._buffer:
            call.paused = True

    def drain(self) -> bytes:
        """The whole events that came since the last call; reading goes on."""
        data = self.answer.drain()
        self.call.resume()
        return data

    def relayed(self) -> bytes:
        """What has just come, if it is more text of the stream and nothing else; b"": its owner has
        to look."""
        if not self.answer.more_text or self.call.finished:
            return b""
        data = self.answer.drain()  # `unbound()`: the call is never paused
        if data:
            self.exchange.heard()
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
    def adjusted(self) -> tuple[str, ...]:
        """What was changed in the request, and so far in the answer."""
        calls = self.answer.repaired
        noted = (f"tool calls repaired from text: {calls}",) if calls else ()
        return (*self.outgoing.adjusted, *noted)

    @property
    def model(self) -> str:
        """The model that answered, as it says itself, else as it was asked for."""
        return self.answer.model or self.lease.model

    # Its times ------------------------------------------------------------------------------------

    @property
    def began(self) -> float:
        """When the request was sent, or begun where it is not sent yet; in seconds of the clock."""
        return self.call.sent_at or self.call.started_at

    @property
    def inference_ms(self) -> float:
        """Request sent → last byte so far, by the call's own clock."""
        end = self.call.ended_at or self.call.shut_at or self.exchange.clock.monotonic()
        return (end - self.began) * 1000

    @property
    def connect_ms(self) -> int:
        """Request begun → response headers."""
        return ms((self.call.head_at or self.call.started_at) - self.call.started_at)

    @property
    def ttft_ms(self) -> float:
        """Request begun → first byte of the answer's body."""
        call = self.call
        first = call.first_body_at or call.head_at or call.started_at
        return (first - call.started_at) * 1000

    @property
    def backend_ttft_ms(self) -> float | None:
        """Request sent → first content; of a whole answer → its first byte."""
        call = self.call
        first = call.first_content_at or (None if self.stream else call.first_body_at)
        return (first - self.began) * 1000 if first is not None else None

    def gaps_ms(self, longest: float | None) -> tuple[float | None, float | None]:
        """(mean, maximum) between two contents of the stream.

        Args:
            longest: the maximum of what the stream continues.
        """
        call, said = self.call, self.state.said
        if said < 2 or call.first_content_at is None or call.content_at is None:
            return None, longest
        mean = (call.content_at - call.first_content_at) * 1000 / (said - 1)
        return mean, max(longest or 0.0, call.longest_gap * 1000)

    def progress(self) -> Progress:
        """How far it is."""
        call = self.call
        return Progress(
            self.backend.name,
            self.speculative,
            self.state.said,
            call.first_content_at,
            call.content_at,
        )

    # Its end --------------------------------------------------------------------------------------

    def record_step(self, error: str | None = None) -> None:
        """Note this try in the exchange's record, once."""
        if self._recorded:
            return
        self._recorded = True
        answer = self.answer
        self.exchange.record.steps.append(
            Step(
                self.step,
                self.backend.name,
                self.backend.url,
                self.lease.model,
                self.outgoing.messages,
                self.outgoing.params(),
                self.inference_ms,
                self.call.status or None,
                answer.finish_reason,
                answer.text[:_KEPT],
                error,
                (self.began - self.exchange.started_at) * 1000,
                self._span_id,
            )
        )

    def close(self) -> None:
        """Shut the socket if it is still open, then free the slot."""
        self.exchange.end(self.call)
        self.lease.leave()
        self.exchange.drop(self.close)


def _is_success(status: int) -> bool:
    return 200 <= status < 300
