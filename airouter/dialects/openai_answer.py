"""Reads one backend's answer in OpenAI's format and judges it. Pure: bytes and state in, a verdict
out.

An answer is read as leniently as its client would read it. What it is, is judged by its bytes
rather than by its headers, and the client gets the form it asked for, whichever one came.
"""

from typing import Any

import orjson

from airouter.dialects.call_repair import Repair, StreamRepair, repaired
from airouter.dialects.openai_errors import error_in
from airouter.dialects.openai_forms import Assembler, as_events
from airouter.dialects.openai_stream import Rewrite, SseReader, StreamState, is_reason
from airouter.dialects.wire_json import lenient, without_bom
from airouter.domain.errors import RouterError, UpstreamBroken, UpstreamStatus
from airouter.domain.redaction import masked
from airouter.domain.types import Endpoint

_MAX_ANSWER = 256 * 1024 * 1024
_TEXT_KEPT = 4_000_000  # characters of a stream that are remembered, to continue a cut answer
_FIELDS = (b"data", b"event", b"id", b"retry", b":")  # how an event stream can begin
_SHOWN = 200  # characters of a body that is not an answer, quoted in the error
_MOST_OTHER = 64 * 1024  # bytes of such a body that are read
_BOM = b"\xef\xbb\xbf"


class Answer:
    """The body of a successful response: fed as it comes, judged by `problem()`.

    Args:
        name: the backend's, for messages.
        stream: whether the client asked for a stream.
        keep_usage: whether the client asked for a stream's usage chunk.
        choices: how many choices the request implies.
        rewrite: makes the events of a continuation fit those already sent.
        repair: what the request may call, where calls may arrive as text.
    """

    def __init__(
        self,
        name: str,
        endpoint: Endpoint,
        *,
        stream: bool,
        keep_usage: bool = False,
        choices: int = 1,
        rewrite: Rewrite | None = None,
        repair: Repair | None = None,
    ) -> None:
        self.payload: dict[str, Any] | None = None  # of a whole answer
        self.broken = ""  # why nothing can come of it any more
        self.pending_bytes = 0
        self._name = repr(name)
        self._endpoint = endpoint
        self._stream = stream
        self._choices = choices
        # Of what comes: events, whole, other (neither), "" while unknown.
        self._form = "" if stream else "whole"
        self._raw = bytearray()
        self._pending: list[bytes] = []
        self._problem: RouterError | None = None
        self._ended = False
        self._repair = repair
        self._stream_repair = StreamRepair(repair) if stream and repair is not None else None
        self._repaired = 0  # of a whole answer
        self._reader = SseReader(
            keep_usage=keep_usage,
            keep_text=_TEXT_KEPT,
            choices=choices,
            rewrite=rewrite,
            stop_at_gap=True,
            repair=self._stream_repair,
        )

    @property
    def state(self) -> StreamState:
        """What a stream has said so far."""
        return self._reader.state

    @property
    def more_text(self) -> bool:
        """Whether what was fed last brought more text of a stream, and nothing else."""
        return self._reader.more_text

    @property
    def size(self) -> int:
        """Bytes that are held here."""
        return self.pending_bytes + len(self._raw)

    # Reading --------------------------------------------------------------------------------------

    def feed(self, data: bytes) -> bool:
        """The next bytes of the body; whether they brought content on, as comments do not."""
        if not self._form:
            self._raw += data
            self._form = self._form_of(bytes(self._raw[:64]))
            if self._form != "events":
                return self._form == "whole"
            data = without_bom(bytes(self._raw)).lstrip()
            self._raw.clear()
        if self._form == "whole":
            self._raw += data
            if len(self._raw) > _MAX_ANSWER:
                self.broken = "an answer of more than 256 MB"
            return True
        if self._form == "other":  # read to its end, because it may say why
            self._raw += data
            if len(self._raw) > _MOST_OTHER:
                self._refuse_other()
            return False
        reader, before = self._reader, self.state.said
        try:
            self._keep(reader.feed(data))
        except ValueError as error:
            self.broken = str(error)
        if reader.more_text:
            return True
        # A chunk with the role alone, or the beginning of one, promises no content; nor does an
        # event that only keeps the connection alive.
        return self.begun and (reader.mid_event or self.state.said != before)

    def end(self, *, cut: bool = False) -> None:
        """The body is over: properly, or because the connection broke. Idempotent."""
        if self._ended:
            return
        self._ended = True
        if self._form == "events":
            if not cut:
                self._keep(self._reader.flush())
        elif self._stream:
            if self._form == "whole":
                self._judge_whole()
            if self._form == "other":
                self._refuse_other()
            if self.payload is not None and self._problem is None:
                self._keep(self._reader.feed(as_events(self.payload)))
        else:
            if self._form_of(bytes(self._raw[:64])) == "events":
                self._assemble()
            self._judge_whole()

    def _form_of(self, head: bytes) -> str:
        head = without_bom(head).lstrip()
        if not head or _BOM.startswith(head):
            return ""
        if head[:1] in (b"{", b"["):
            return "whole"
        if head.startswith(_FIELDS):
            return "events"
        return "" if any(field.startswith(head) for field in _FIELDS) else "other"

    def _refuse_other(self) -> None:
        self.broken = f"{_shown(self._raw)}, which is neither JSON nor an event stream"

    def _keep(self, data: bytes) -> None:
        if data:
            self._pending.append(data)
            self.pending_bytes += len(data)

    def drain(self) -> bytes:
        """The whole events that came since the last call."""
        data = b"".join(self._pending) if len(self._pending) != 1 else self._pending[0]
        self._pending.clear()
        self.pending_bytes = 0
        return data

    def pass_gap(self) -> None:
        """Go on behind an event that could not be read."""
        self._keep(self._reader.pass_gap())
        if self._ended:
            self._keep(self._reader.flush())

    def release(self) -> None:
        """Pass on what is held of a stream because it may be a tool call: it was cut."""
        self._keep(self._reader.release())

    @property
    def held_at_gap(self) -> bool:
        """Whether what follows an unreadable event is held back."""
        return self._reader.held

    @property
    def begun(self) -> bool:
        """Whether the first content of a stream is there, or it is known that none will come."""
        state = self.state
        return bool(state.started or state.error is not None or state.gap or self.broken)

    @property
    def raw(self) -> bytes:
        """The whole answer, as it came but for a byte order mark."""
        return without_bom(bytes(self._raw))

    # What it says ---------------------------------------------------------------------------------

    @property
    def finish_reason(self) -> str | None:
        if self._stream:
            return self.state.finish_reasons.get(0)
        reason = self._first_choice.get("finish_reason")
        return reason if isinstance(reason, str) else None

    @property
    def repaired(self) -> int:
        """How many tool calls arrived as text, so far."""
        return self._repaired + (self._stream_repair.count if self._stream_repair else 0)

    @property
    def usage(self) -> dict[str, Any] | None:
        usage = self.state.usage if self._stream else (self.payload or {}).get("usage")
        return usage if isinstance(usage, dict) else None

    @property
    def model(self) -> str | None:
        model = self.state.model if self._stream else (self.payload or {}).get("model")
        return model if isinstance(model, str) else None

    @property
    def text(self) -> str:
        """The text of choice 0; of a stream as far as it is remembered."""
        if self._stream:
            return self.state.text
        message = self._first_choice.get("message")
        holder, name = (
            (message, "content")
            if isinstance(message, dict)
            else (
                self._first_choice,
                "text",
            )
        )
        text = holder.get(name)
        return text if isinstance(text, str) else ""

    @property
    def _first_choice(self) -> dict[str, Any]:
        choices = (self.payload or {}).get("choices")
        first = choices[0] if isinstance(choices, list) and choices else None
        return first if isinstance(first, dict) else {}

    # Judging --------------------------------------------------------------------------------------

    def problem(self, headers: dict[str, str]) -> RouterError | None:
        """Why this answer cannot be passed on, or None.

        Args:
            headers: of the response, for an error that it carries.
        """
        problem = self._stream_problem() if self._stream else self._problem
        if self.broken:
            problem = UpstreamBroken(f"The backend {self._name} sent {self.broken}.")
        if isinstance(problem, UpstreamStatus):
            problem.upstream_headers = headers
        return problem

    def _stream_problem(self) -> RouterError | None:
        state = self.state
        if state.started:
            return None
        if self._problem is not None:
            return self._problem
        if state.error is not None:
            return self._error(state.error, orjson.dumps({"error": state.error}))
        if state.gap:
            return UpstreamBroken(f"The backend {self._name} sent an event that cannot be read.")
        return UpstreamBroken(
            f"The backend {self._name} ended its stream before its first content."
        )

    def _judge_whole(self) -> None:
        try:
            payload = lenient(bytes(self._raw))
        except ValueError:
            what = f"{_shown(self._raw)}, which is not JSON" if self._raw.strip() else "nothing"
            self._problem = UpstreamBroken(f"The backend {self._name} answered with {what}.")
            return
        choices = payload.get("choices") if isinstance(payload, dict) else None
        error = None if choices else error_in(payload)
        if error is not None:
            self._problem = self._error(error, bytes(self._raw))
            return
        if not isinstance(payload, dict):
            self._problem = UpstreamBroken(
                f"The backend {self._name} answered with JSON that is not an object."
            )
            return
        self.payload = payload
        if self._endpoint != "embeddings" and not _has_answer(choices):
            self._problem = UpstreamBroken(
                f"The backend {self._name} sent an answer that is not complete."
            )
        elif self._repair is not None and (found := repaired(payload, self._repair)):
            self.payload, self._repaired = found
            self._raw = bytearray(orjson.dumps(self.payload))

    def _assemble(self) -> None:
        """A stream came for a whole answer: make one of it."""
        whole = Assembler()

        def add(chunk: dict[str, Any]) -> bytes:
            whole.add(chunk)
            return b""

        reader = SseReader(keep_usage=True, choices=self._choices, rewrite=add)
        try:
            reader.feed(without_bom(bytes(self._raw)).lstrip())
            reader.flush()
        except ValueError as error:
            self.broken = str(error)
            return
        except RecursionError:
            self.broken = "an event that is nested too deeply"
            return
        state = reader.state
        if state.error is not None and not state.complete:
            payload: dict[str, Any] = {"error": state.error}
        elif state.complete and not state.gap:
            payload = whole.payload()
            if state.usage is not None:
                payload["usage"] = state.usage
        else:
            self.broken = "a stream that ended before the answer was complete"
            return
        self._raw = bytearray(orjson.dumps(payload))

    def _error(self, error: dict[str, Any], body: bytes) -> UpstreamStatus:
        return UpstreamStatus(
            f"The backend {self._name} answered with an error.",
            upstream_status=_status_in(error),
            body=body,
            headers={},
        )


def _shown(body: bytes | bytearray) -> str:
    """The beginning of a body that is not what it should be: often a sentence that says why."""
    # Masked before it is cut: half a key would not be recognised.
    text = " ".join(masked(bytes(body[:_MOST_OTHER])).decode("utf-8", "replace").split())
    if text[:1] == "<":
        return "an HTML page"
    text = text[:_SHOWN]
    return f'"{text}"' if text.isprintable() and "\ufffd" not in text else "binary data"


def _has_answer(choices: Any) -> bool:
    """Whether every choice has content, or at least a finish_reason."""
    return (
        isinstance(choices, list)
        and bool(choices)
        and all(isinstance(choice, dict) and _says_something(choice) for choice in choices)
    )


def _says_something(choice: dict[str, Any]) -> bool:
    message = choice.get("message") or choice.get("delta")
    if isinstance(message, dict) and any(v for k, v in message.items() if k != "role"):
        return True
    return bool(choice.get("text")) or is_reason(choice.get("finish_reason"))


def _status_in(error: dict[str, Any]) -> int:
    """The HTTP status that an error inside a 200 names, else 502."""
    for name in ("code", "status", "status_code"):
        code = error.get(name)
        if isinstance(code, str) and len(code) == 3 and code.isdecimal():
            code = int(code)
        if isinstance(code, int) and not isinstance(code, bool) and 400 <= code < 600:
            return code
    return 502
