"""Plans the text and timing of an answer before its first byte is sent."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from simulator import rubric
from simulator.profiles import RoleProfile
from simulator.prompts import Prompt, bad_request
from simulator.role import Exchange
from simulator.text import (
    BLOCK_CHARS,
    answer_tokens,
    continue_from,
    count_tokens,
    digest,
    label_tokens,
    split_text,
    thinking_tokens,
)
from simulator.tools import arguments, tool_called
from simulator.writing import housekeeping, lm_tokens, sentences, structured

Piece = tuple[
    str, str
]  # the field it goes to ("content", a reasoning field or "tool"), and its text

_GROUNDED = ("search results", "web search", "sources:")


@dataclass(slots=True)
class Timing:
    first_s: float  # from a free slot to the first token
    think_token_s: float
    token_s: float


@dataclass(slots=True)
class Generation:
    pieces: list[Piece]
    thinking: int  # number of pieces that are reasoning
    finish: str
    prompt_tokens: int
    cached_tokens: int
    timing: Timing
    tool: str = ""  # the name of the function called
    label: str = ""
    labels: tuple[str, ...] = ()

    def due(self, index: int) -> float:
        """The time at which piece `index` is ready, in seconds from the start; the last index + 1
        is the total."""
        thinking = min(index, self.thinking)
        return (
            self.timing.first_s
            + thinking * self.timing.think_token_s
            + (index - thinking) * self.timing.token_s
        )

    def ready_by(self, seconds: float) -> int:
        """The number of pieces ready after this time, i.e. the cost of an aborted request."""
        return sum(1 for i in range(len(self.pieces)) if self.due(i) <= seconds)

    def text(self, field: str) -> str:
        return "".join([text for name, text in self.pieces if name == field])


def plan(
    ex: Exchange, prompt: Prompt, model: str, limit: int | None, index: int, stream: bool
) -> Generation:
    """Answer number `index` to a prompt."""
    body = ex.body
    label, labels = _label(ex, prompt)
    tool = tool_called(body, prompt)
    pieces: list[Piece] = []
    if not (tool or prompt.partial) and _thinks(ex, labels):
        pieces = _thinking(ex, prompt)
    thinking = len(pieces)
    finish = "stop"
    if tool:
        pieces += [("tool", piece) for piece in arguments(body, tool)]
        finish = "tool_calls"
    else:
        answer = label_tokens(label) if label else _answer(ex, prompt, model, index)
        repeats = ex.role.profile.prefill == "repeat" and prompt.last_role == "assistant"
        if _continues(ex, prompt):
            answer = continue_from(answer, prompt.partial)
        elif repeats and prompt.partial:
            answer = (*split_text(prompt.partial), *continue_from(answer, prompt.partial))
        pieces += [("content", piece) for piece in _until_stop(answer, body.get("stop"))]
    if limit is not None and len(pieces) > limit:
        del pieces[limit:]
        finish = "length"
    cached = 0
    if index == 0:
        cached = ex.role.cache.lookup_and_store(prompt.text)
        ex.role.stats.prefix_cache_hits += cached
    cached_tokens = min(count_tokens("x" * BLOCK_CHARS) * cached, prompt.tokens)
    if index == 0:
        ex.role.stats.prefix_tokens_queried += prompt.tokens
        ex.role.stats.prefix_tokens_hit += cached_tokens
    timing = _timing(ex, prompt.tokens - cached_tokens, thinking, prompt, stream)
    return Generation(
        pieces,
        min(thinking, len(pieces)),
        finish,
        prompt.tokens,
        cached_tokens,
        timing,
        tool,
        label,
        labels,
    )


def _continues(ex: Exchange, prompt: Prompt) -> bool:
    body, prefill = ex.body, ex.role.profile.prefill
    if not body.get("continue_final_message"):
        if prompt.last_role == "assistant" and prefill == "reject":
            raise bad_request("The last message must not be by the assistant.", "messages")
        return prompt.last_role == "assistant" and prefill == "continue"
    if body.get("add_generation_prompt", True):
        raise bad_request(
            "Cannot set both `continue_final_message` and `add_generation_prompt` to True."
        )
    return prompt.last_role == "assistant"


def _label(ex: Exchange, prompt: Prompt) -> tuple[str, tuple[str, ...]]:
    """The label to answer with, and all labels; empty for free text."""
    constraint = ex.body.get("structured_outputs")
    choices = constraint.get("choice") if isinstance(constraint, dict) else None
    if choices is not None and not (
        isinstance(choices, list) and choices and all(isinstance(item, str) for item in choices)
    ):
        raise bad_request(
            "structured_outputs.choice must be a non-empty list of strings", "structured_outputs"
        )
    if not (choices or ex.role.profile.classifier) or "text" in ex.sim:
        return "", ()
    given = ex.sim.get("label")
    label = given if isinstance(given, str) else rubric.classify(rubric.query_of(prompt.last_user))
    if choices:
        return rubric.choose(label, choices), tuple(choices)
    return label, rubric.LABELS


def _thinks(ex: Exchange, labels: tuple[str, ...]) -> bool:
    options = ex.body.get("chat_template_kwargs")
    if isinstance(options, dict) and options.get("enable_thinking") is False:
        return False
    # Without a reasoning parser, a constraint applies from the first token, which rules out
    # reasoning.
    return ex.role.profile.reasoning_field != "" or not (labels and "structured_outputs" in ex.body)


def _thinking(ex: Exchange, prompt: Prompt) -> list[Piece]:
    profile = ex.role.profile
    given = ex.number("think_tokens")
    count = int(given if given is not None else profile.think_tokens)
    if profile.tps and given is None:
        count = max(count, round(_think_ms(ex, prompt) / 1000 * profile.tps))
    if count < 1:
        count = 1 if _think_ms(ex, prompt) > 0 else 0
    if count == 0:
        return []
    thoughts = thinking_tokens(count)
    if profile.reasoning_field:
        return [(profile.reasoning_field, piece) for piece in thoughts]
    return [
        ("content", "<think>\n"),
        *(("content", piece) for piece in thoughts),
        ("content", "\n</think>\n\n"),
    ]


def _think_ms(ex: Exchange, prompt: Prompt) -> float:
    """Drawn once per request and kept in its overrides."""
    given = ex.number("think_ms")
    if given is None:
        profile = ex.role.profile
        words = len(rubric.query_of(prompt.last_user).split())
        given = ex.role.draw(
            profile.think_ms_long if words > profile.long_query_words else profile.think_ms
        )
        ex.sim = {**ex.sim, "think_ms": given}
    return given


def _timing(ex: Exchange, uncached: int, thinking: int, prompt: Prompt, stream: bool) -> Timing:
    profile = ex.role.profile
    first = ex.number("ttft_ms")
    if first is None:
        first = ex.role.draw(profile.ttft_ms if stream else profile.ttft_nonstream_ms)
        if profile.prefill_tps:
            first += uncached / profile.prefill_tps * 1000
    if not stream and "slow_first_token" in ex.faults:
        first += float(ex.faults["slow_first_token"]["ms"])
    if "structured_outputs" in ex.body:
        first += ex.role.constrained(ex.loop.time()) * 1000
    rate = ex.number("tps")
    rate = profile.tps if rate is None else rate
    think_token_s = _think_ms(ex, prompt) / 1000 / thinking if thinking else 0.0
    return Timing(first / 1000, think_token_s, 1 / rate if rate else 0.0)


def _answer(ex: Exchange, prompt: Prompt, model: str, index: int) -> tuple[str, ...]:
    text = ex.sim.get("text")
    if isinstance(text, str):
        return split_text(text)
    mapping = ex.role.mapping.answer(ex.role.profile, prompt.text, prompt.last_user)
    if mapping is not None:
        return lm_tokens(mapping)
    free = partial(_free_text, ex, prompt, model, index)
    asked = housekeeping(prompt.last_user) if "tokens" not in ex.sim else None
    if asked is None:
        asked = structured(ex.body, lambda: "".join(free()))
    return lm_tokens(asked) if asked is not None else free()


def _free_text(ex: Exchange, prompt: Prompt, model: str, index: int) -> tuple[str, ...]:
    """A text answer: readable sentences, or numbered words."""
    mark = digest(prompt.last_user)
    count = ex.number("tokens")
    if count is None:
        low, high = _length_range(ex.role.profile, prompt)
        count = low + int(mark, 16) % (int(high - low) + 1)
    if ex.role.profile.readable:
        searched = _grounded(prompt)
        return sentences(model, prompt.last_user, count, searched=searched, variant=index)
    return answer_tokens(model, f"{mark}-{index}" if index else mark, int(count))


def _grounded(prompt: Prompt) -> bool:
    """Whether the question contains search results."""
    return len(prompt.text) > 200 and any(word in prompt.text.lower() for word in _GROUNDED)


def _length_range(profile: RoleProfile, prompt: Prompt) -> tuple[float, float]:
    if "### Task:" in prompt.last_user:
        return profile.answer_meta
    if _grounded(prompt):
        return profile.answer_grounded
    return (
        profile.answer_long
        if len(prompt.last_user.split()) > profile.long_query_words
        else profile.answer_short
    )


def _until_stop(answer: tuple[str, ...], stop: Any) -> tuple[str, ...]:
    words = [stop] if isinstance(stop, str) else stop if isinstance(stop, list) else []
    text = "".join(answer) if words else ""
    ends = [text.find(word) for word in words if isinstance(word, str) and word and word in text]
    if not ends:
        return answer
    kept: list[str] = []
    left = min(ends)
    for token in answer:
        if left <= 0:
            break
        kept.append(token[:left])
        left -= len(token)
    return tuple(kept)
