"""The models of a server that was discovered: what their names and the server's lists tell."""

import re
from dataclasses import dataclass
from typing import Any

from airouter.doctor.subject import get

_SIZE = re.compile(
    r"(?:^|[^a-z0-9.])(?:(\d{1,2})x)?e?(\d{1,4}(?:\.\d+)?)\s?([bm])(?![a-z0-9])", re.I
)
_EMBEDS = re.compile(r"embed|minilm|(^|[/:_-])(bge|e5|gte)[-:_]", re.I)
_NO_CHAT = re.compile(r"rerank|whisper|(^|[/:_-])(tts|asr|clip|flux|sdxl)([-:_.]|$)|guard", re.I)
_SMALL_NAME = re.compile(r"(?<![a-z])(small|mini|tiny|nano|lite|router|classifier)(?![a-z])", re.I)
_ASSUMED = 7.0  # billions of parameters of a model of which nothing tells the size
_ASSUMED_SMALL = 3.0  # of one whose name says that it is small
_LONGEST_NAME = 200


@dataclass(frozen=True, slots=True)
class Model:
    """A model that a server lists.

    `billions`: its parameters, None if nothing tells. `window`: in tokens, as it is served;
    `listed_window`: whether /v1/models states it, where the router reads it, too. `use`: what it is
    for. `vision`: None if the server does not say. `abilities`: in the server's words. `remote`:
    whether the server sends prompts on to a third party.
    """

    name: str
    billions: float | None = None
    window: int | None = None
    listed_window: bool = False
    use: str = "chat"  # or embeddings, or other
    vision: bool | None = None
    abilities: tuple[str, ...] = ()
    remote: bool = False

    @property
    def weight(self) -> float:
        """Billions of parameters, estimated where nothing tells, to compare models by."""
        if self.billions is not None:
            return self.billions
        return _ASSUMED_SMALL if _SMALL_NAME.search(self.name) else _ASSUMED


def is_name(value: Any) -> bool:
    """Whether a server's value can be a model's name in the configuration."""
    return (
        isinstance(value, str)
        and 0 < len(value.strip()) == len(value) <= _LONGEST_NAME
        and value.isprintable()
    )


def size_of(text: Any) -> float | None:
    """Billions of parameters by a name such as qwen3:14b, Mixtral-8x7B or gemma3:270m; the total,
    where the active ones are named, too. None if it names none."""
    sizes = [
        int(experts or 1) * float(number) / (1000 if unit in "mM" else 1)
        for experts, number, unit in _SIZE.findall(text if isinstance(text, str) else "")
    ]
    return max(sizes, default=None)


def use_of(name: str) -> str:
    """What a model is for, by its name: chat, embeddings or other."""
    if _NO_CHAT.search(name):
        return "other"
    return "embeddings" if _EMBEDS.search(name) else "chat"


def tokens(value: Any, *path: str | int) -> int | None:
    """A positive number of tokens in a server's answer."""
    found = get(value, *path)
    return found if isinstance(found, int) and found is not True and found >= 256 else None


def words(value: Any) -> tuple[str, ...]:
    """The texts of a list in a server's answer."""
    return tuple(each for each in value if is_name(each)) if isinstance(value, list) else ()
