"""The last tier: a local reasoning model reads the request and names a label. Costs about a second.

Streamed, so that reading stops (and the backend is told so by the closed socket) as soon as the label is out.
"""

import re
from collections.abc import Generator
from typing import Any

from airouter.classify.tiers.query import classifier_query
from airouter.dialects.openai_stream import SseReader
from airouter.domain.clock import Clock
from airouter.domain.errors import DeadlineExceeded, RouterError, UpstreamTimeout
from airouter.domain.labels import CLASSIFIER_LABELS
from airouter.domain.types import Features, Limits, Verdict
from airouter.settings.cascade import ReasoningTierSettings
from airouter.upstream.admission import enter
from airouter.upstream.backend import Backend
from airouter.upstream.client import open_call
from airouter.upstream.fetch import opened
from airouter.upstream.guarded import guarded, refusal

NAME = "reasoning"
_NAMES = "|".join(CLASSIFIER_LABELS)
_LABEL = re.compile(rf"\b({_NAMES})\b")
_CUT_LABEL = re.compile(rf"\W*({_NAMES})\b")
_THINK_END = "</think>"
_TURN_CHARS = 400
_TEXT_KEPT = 200_000
_RAW_KEPT = 2000
_CHARS_PER_TOKEN = 3.5  # of English prose, roughly
_TEMPLATE_TOKENS = 64  # what a chat template adds
_LEAST_TOKENS = 128


class ReasoningTier:
    """Asks one backend. Abstains, never raises, when it cannot be asked or does not say."""

    name = NAME
    instant = False

    def __init__(
        self, backend: Backend, settings: ReasoningTierSettings, rubric: str, clock: Clock
    ) -> None:
        self._backend = backend
        self._settings = settings
        self._rubric = rubric
        self._clock = clock

    def ask(self, exchange: Any, features: Features) -> Generator[Any, None, Verdict]:
        started = self._clock.monotonic()
        try:
            text, finish_reason = yield from guarded(
                exchange, self._backend, self._classify(exchange, features)
            )
        except RouterError as error:
            if isinstance(error, DeadlineExceeded):
                raise
            reason = "timeout" if isinstance(error, UpstreamTimeout) else error.code
            return Verdict(
                NAME,
                None,
                ms=self._ms_since(started),
                reason=f"{reason}: {error.message}",
                finish_reason=reason,
            )
        cut = finish_reason == "length"
        label = read_cut_label(text) if cut else read_label(text)
        before = " before it was cut by max_tokens" if cut else ""
        return Verdict(
            NAME, label, ms=self._ms_since(started), raw=text[-_RAW_KEPT:], finish_reason=finish_reason,
            reason="" if label else f"the classifier named no label{before}",
        )  # fmt: skip

    def _ms_since(self, started: float) -> float:
        return (self._clock.monotonic() - started) * 1000

    def _classify(self, exchange: Any, features: Features) -> Generator[Any, None, tuple[str, str]]:
        settings, backend = self._settings, self._backend
        until = self._clock.monotonic() + settings.timeout
        with (yield from enter(exchange, backend, "interactive", settings.timeout)) as admission:
            messages = self._messages(features)
            body = {
                "model": admission.model,
                "messages": messages,
                "temperature": 0,
                "max_tokens": self._tokens_left(messages),
                "stream": True,
            }
            left = max(0.001, until - self._clock.monotonic())
            limits = Limits(min(backend.settings.connect_timeout, left), left, left, left)
            request = backend.provider.post("/v1/chat/completions", body, backend.headers)
            reader = SseReader(keep_usage=True, keep_text=_TEXT_KEPT)
            with opened(exchange, open_call(backend, request, limits)) as call:
                while not (call.finished or _label_is_out(reader.state.text)):
                    yield from exchange.pause()
                    self._read(call, reader)
                self._read(call, reader)
            if call.error is not None:
                raise call.error
            if call.status != 200:
                raise refusal(backend, call.status)
            return reader.state.text, reader.state.finish_reasons.get(
                0, "label" if not call.complete else "none"
            )

    @staticmethod
    def _read(call: Any, reader: SseReader) -> None:
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
        """`max_tokens`, or what the window has left if that is known: servers refuse a prompt and
        max_tokens that together exceed it."""
        most, window = self._settings.max_tokens, self._backend.context_window
        if window is None:
            return most
        prompt = sum(len(message["content"]) for message in messages) / _CHARS_PER_TOKEN
        return min(most, max(_LEAST_TOKENS, int(window - prompt) - _TEMPLATE_TOKENS))

    def _messages(self, features: Features) -> list[dict[str, str]]:
        return [
            {"role": "system", "content": self._rubric},
            {"role": "user", "content": classifier_query(features, self._settings, _TURN_CHARS)},
        ]


def read_label(text: str) -> str | None:
    """The last exact label after the last `</think>`; None when the thinking never ended or no label stands there."""
    said = text.rpartition(_THINK_END)[2]
    if "<think>" in said:
        return None
    found = _LABEL.findall(said)
    return found[-1] if found else None


def read_cut_label(text: str) -> str | None:
    """The label of an answer that was cut by max_tokens: only one that stands before all other
    words counts.

    One that comes later may be merely considered, also outside `<think>`: a template may put that
    mark into the prompt.
    """
    said = text.rpartition(_THINK_END)[2]
    found = _CUT_LABEL.match(said)
    return found[1] if found else None


def _label_is_out(text: str) -> bool:
    """A whole line that is a label and nothing else: what would follow it does not matter."""
    said = text.rpartition(_THINK_END)[2]
    if "<think>" in said:
        return False
    lines = said.lstrip().split("\n")
    return len(lines) > 1 and _LABEL.fullmatch(lines[0].strip()) is not None
