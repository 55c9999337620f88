"""The last tier: a local reasoning model reads the request and generates a label, in about a
second.

The answer is streamed, so that the call can be cancelled as soon as the label has arrived.
"""

import re

from airouter.classify.tiers.query import classifier_query, status_error
from airouter.dialects.openai_stream import SseReader
from airouter.domain.clock import Clock
from airouter.domain.errors import DeadlineExceeded, RouterError, UpstreamTimeout
from airouter.domain.labels import CLASSIFIER_LABELS
from airouter.domain.types import Features, Verdict
from airouter.flow.exchange import Exchange
from airouter.flow.waits import Waiting
from airouter.settings.cascade import ReasoningTierSettings
from airouter.upstream.backend import Backend
from airouter.upstream.client import Lease, side_lease
from airouter.upstream.transport.call import Call

NAME = "reasoning"
_NAMES = "|".join(CLASSIFIER_LABELS)
_LABEL = re.compile(rf"\b({_NAMES})\b")
_CUT_LABEL = re.compile(rf"\W*({_NAMES})\b")
_THINK_END = "</think>"
_TURN_CHARS = 400
_MAX_TEXT = 200_000  # characters of the answer that are read
_MAX_RAW = 2000  # characters of it in the record
_CHARS_PER_TOKEN = 3.5  # roughly, in English prose
_TEMPLATE_TOKENS = 64  # added by the chat template
_MIN_TOKENS = 128


class ReasoningTier:
    """Calls one backend; abstains if the call fails or the answer contains no label."""

    name = NAME
    instant = False

    def __init__(
        self, backend: Backend, settings: ReasoningTierSettings, rubric: str, clock: Clock
    ) -> None:
        self._backend = backend
        self._settings = settings
        self._rubric = rubric
        self._clock = clock

    def ask(self, exchange: Exchange, features: Features) -> Waiting[Verdict]:
        began = self._clock.monotonic()
        try:
            with side_lease(exchange, self._backend) as lease:
                text, finish_reason = yield from self._classify(exchange, lease, features)
        except DeadlineExceeded:
            raise
        except RouterError as error:
            reason = "timeout" if isinstance(error, UpstreamTimeout) else error.code
            return Verdict(
                NAME,
                None,
                ms=self._ms_since(began),
                reason=f"{reason}: {error.message}",
                finish_reason=reason,
            )
        cut = finish_reason == "length"
        label = read_cut_label(text) if cut else read_label(text)
        before = " before it was cut by max_tokens" if cut else ""
        return Verdict(
            NAME,
            label,
            ms=self._ms_since(began),
            raw=text[-_MAX_RAW:],
            finish_reason=finish_reason,
            reason="" if label else f"the classifier returned no label{before}",
        )

    def _ms_since(self, started: float) -> float:
        return (self._clock.monotonic() - started) * 1000

    def _classify(
        self, exchange: Exchange, lease: Lease, features: Features
    ) -> Waiting[tuple[str, str]]:
        """The answer and its finish_reason, which is "label" if the call ended at the label."""
        settings = self._settings
        until = self._clock.monotonic() + settings.timeout
        yield from lease.enter("interactive", settings.timeout)
        messages = self._messages(features)
        body = {
            "model": lease.model,
            "messages": messages,
            "temperature": 0,
            "max_tokens": self._tokens_left(messages),
            "stream": True,
        }
        reader = SseReader(keep_usage=True, keep_text=_MAX_TEXT)
        left = max(0.001, until - self._clock.monotonic())
        with lease.asking("chat", body, left) as call:
            while not (call.finished or _has_label(reader.state.text)):
                yield from exchange.wait()
                self._read(call, reader)
            self._read(call, reader)
        if call.error is not None:
            raise call.error
        if call.status != 200:
            raise status_error(self._backend, call.status)
        early = "label" if not call.complete else "none"
        return reader.state.text, reader.state.finish_reasons.get(0, early)

    @staticmethod
    def _read(call: Call, reader: SseReader) -> None:
        data = call.take()
        if data and call.status == 200:
            try:
                reader.feed(data)
            except ValueError:
                raise RouterError(
                    "The classifier's answer cannot be read.", code="unreadable"
                ) from None
        if call.complete:
            reader.flush()

    def _tokens_left(self, messages: list[dict[str, str]]) -> int:
        """`max_tokens`, limited to the rest of the context window if its size is known: servers
        reject a prompt and max_tokens that together exceed it."""
        limit, window = self._settings.max_tokens, self._backend.context_window
        if window is None:
            return limit
        prompt = sum(len(message["content"]) for message in messages) / _CHARS_PER_TOKEN
        return min(limit, max(_MIN_TOKENS, int(window - prompt) - _TEMPLATE_TOKENS))

    def _messages(self, features: Features) -> list[dict[str, str]]:
        return [
            {"role": "system", "content": self._rubric},
            {"role": "user", "content": classifier_query(features, self._settings, _TURN_CHARS)},
        ]


def read_label(text: str) -> str | None:
    """The last label after the last `</think>`; None if there is none, or the reasoning has not
    ended."""
    answer = text.rpartition(_THINK_END)[2]
    if "<think>" in answer:
        return None
    found = _LABEL.findall(answer)
    return found[-1] if found else None


def read_cut_label(text: str) -> str | None:
    """The label of an answer that was cut off by max_tokens: only one before all other words
    counts.

    A later one may be part of the reasoning, even outside `<think>`, because some chat templates
    put that tag into the prompt.
    """
    answer = text.rpartition(_THINK_END)[2]
    found = _CUT_LABEL.match(answer)
    return found[1] if found else None


def _has_label(text: str) -> bool:
    """Whether the first line is complete and consists of a label; later text does not matter."""
    answer = text.rpartition(_THINK_END)[2]
    if "<think>" in answer:
        return False
    lines = answer.lstrip().split("\n")
    return len(lines) > 1 and _LABEL.fullmatch(lines[0].strip()) is not None
