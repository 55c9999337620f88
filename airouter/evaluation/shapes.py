"""Changes of a prompt's shape that leave its label alone, for `evaluate --shape`: a system prompt
before it, politeness around it, quotation marks, an earlier turn, typing errors.

The texts are in `shapes.yaml`. What a prompt gets depends on its text only, so that two runs are
alike.
"""

import random
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from airouter.classify.features import human_text

PATH = Path(__file__).with_name("shapes.yaml")
_SYSTEM_ROLES = ("system", "developer")
_OWN_LANGUAGE = 0.5  # share of system prompts in the language of the ask; the others are English
_WORDS_PER_TYPO = 12
_WORD = re.compile(r"[^\W\d_]{4,}")
_ENDS = ".!?。！？"

Messages = Sequence[Mapping[str, Any]]


@cache
def texts() -> dict[str, dict[str, Any]]:
    """The content of `shapes.yaml`: by shape and language."""
    loaded: dict[str, dict[str, Any]] = yaml.safe_load(PATH.read_text("utf-8"))
    return loaded


def changed(record: Mapping[str, Any], shape: str) -> dict[str, Any] | None:
    """A labelled prompt in another shape; None if the shape cannot be given to it.

    META prompts get a system prompt only: the rest is what people write, and no frontend sends. A
    prompt that already has a system prompt, or an earlier turn, does not get a second one. Text
    that an agent's harness has added to is not touched.

    Args:
        record: a line of the file that `evaluate` reads; `lang` chooses the texts, else English.
        shape: one of `SHAPES`.
    """
    if record["label"] == "META" and shape != "system":
        return None
    messages: Messages = record["messages"]
    chance = random.Random(f"{shape}:{[message.get('content') for message in messages]}")
    made = SHAPES[shape](messages, str(record.get("lang", "en")), chance)
    return None if made is None else {**record, "messages": made}


def _of(shape: str, lang: str) -> Any:
    known = texts()[shape]
    return known.get(lang, known["en"])


def _with_system(
    messages: Messages, lang: str, chance: random.Random
) -> list[Mapping[str, Any]] | None:
    if any(message["role"] in _SYSTEM_ROLES for message in messages):
        return None
    own = chance.random() < _OWN_LANGUAGE
    content = chance.choice(_of("system", lang if own else "en"))
    return [{"role": "system", "content": content}, *messages]


def _with_turn(
    messages: Messages, lang: str, chance: random.Random
) -> list[Mapping[str, Any]] | None:
    if sum(message["role"] == "user" for message in messages) != 1:
        return None
    question, answer = chance.choice(_of("turn", lang))
    at = next(i for i, message in enumerate(messages) if message["role"] not in _SYSTEM_ROLES)
    earlier = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return [*messages[:at], *earlier, *messages[at:]]


def _on_ask(
    change: Callable[[str, str, random.Random], str],
) -> Callable[[Messages, str, random.Random], list[Mapping[str, Any]] | None]:
    """The change of the newest message by the user, if a person wrote all of it as one text."""

    def apply(
        messages: Messages, lang: str, chance: random.Random
    ) -> list[Mapping[str, Any]] | None:
        last = max((i for i, one in enumerate(messages) if one["role"] == "user"), default=-1)
        ask = messages[last].get("content") if last >= 0 else None
        if not isinstance(ask, str) or human_text(dict(messages[last]))[1]:
            return None
        new = change(ask, lang, chance)
        if new == ask:
            return None
        return [*messages[:last], {**messages[last], "content": new}, *messages[last + 1 :]]

    return apply


def _polite(ask: str, lang: str, chance: random.Random) -> str:
    words = _of("polite", lang)
    opening, closing = chance.choice(words["openings"]), chance.choice(words["closings"])
    if not opening and not closing:
        opening = words["openings"][0]
    between = "\n\n" if "\n" in ask else " "
    if closing and ask[-1:].isalnum() and between == " ":
        ask += "."
    return between.join(filter(None, (opening, ask, closing)))


def _quoted(ask: str, lang: str, chance: random.Random) -> str:
    form: str = chance.choice(_of("quoted", lang))
    return form.replace("{}", ask)


def _typos(ask: str, _lang: str, chance: random.Random) -> str:
    # Without upper and lower case, as in Chinese, two characters swapped are another word.
    words = [one for one in _WORD.finditer(ask) if one[0].lower() != one[0].upper()]
    picked = chance.sample(words, min(len(words), 1 + len(words) // _WORDS_PER_TYPO))
    for word in sorted(picked, key=lambda one: one.start(), reverse=True):
        at = chance.randrange(word.start() + 1, word.end() - 1)
        wrong = chance.choice((ask[at + 1] + ask[at], ask[at + 1], ask[at] + ask[at : at + 2]))
        ask = ask[:at] + wrong + ask[at + 2 :]
    if chance.random() < 0.5:
        ask = ask.lower()
    return ask.rstrip(_ENDS) if chance.random() < 0.5 and ask.strip(_ENDS) else ask


SHAPES: Mapping[str, Callable[[Messages, str, random.Random], list[Mapping[str, Any]] | None]] = {
    "system": _with_system,
    "polite": _on_ask(_polite),
    "quoted": _on_ask(_quoted),
    "turn": _with_turn,
    "typos": _on_ask(_typos),
}
