"""Deterministic text: answers, their tokens, and token counts of prompts."""

from __future__ import annotations

import zlib
from functools import lru_cache

# Numbered words, so that tests detect missing or repeated ones. Several scripts, so that clients
# that split UTF-8 sequences are detected.
WORDS: tuple[str, ...] = ("word", "naïve", "mot", "слово", "言葉", "kelime", "smile🙂")

HEAD_END = "what follows is made up.\n\n"  # of the first sentence of a readable answer

BLOCK_CHARS = 64  # about 16 tokens, the size of a cached block in vLLM
IMAGE_TOKENS = 256
MESSAGE_TOKENS = 4  # what a chat template puts around each message


def digest(text: str) -> str:
    return f"{zlib.crc32(text.encode()):08x}"


@lru_cache(maxsize=1024)
def answer_tokens(model: str, mark: str, count: int) -> tuple[str, ...]:
    """Exactly `count` tokens: a sentence that says it is simulated, then numbered words."""
    head = ("This", " is", " a", " simulated", " answer", " from", f" {model}", f" ({mark}):")
    if count <= len(head):
        return head[:count]
    return head + tuple(f" {WORDS[i % len(WORDS)]}{i}" for i in range(1, count - len(head) + 1))


def thinking_tokens(count: int) -> tuple[str, ...]:
    return ("Simulated", *(f" thought{i}" for i in range(1, count))) if count > 0 else ()


def label_tokens(label: str) -> tuple[str, ...]:
    """Pieces of at most four characters: as in a real vocabulary, most labels take several
    tokens."""
    return tuple(label[i : i + 4] for i in range(0, len(label), 4)) or ("",)


def split_text(text: str) -> tuple[str, ...]:
    """A given answer in tokens: words with the space before them; joining them gives the text
    back."""
    tokens: list[str] = []
    start = 0
    for i in range(1, len(text)):
        if text[i].isspace() and not text[i - 1].isspace():
            tokens.append(text[start:i])
            start = i
    tokens.append(text[start:])
    return tuple(tokens)


def continue_from(tokens: tuple[str, ...], partial: str) -> tuple[str, ...]:
    """The rest of an answer after `partial`, exact to the character, in tokens."""
    text = "".join(tokens)
    if not text.startswith(partial):
        # Started by another model: only its first sentence differs.
        body, begun = _after_head(text), _after_head(partial)
        if not begun:
            return tokens
        if not body.startswith(begun):
            return ()
        offset = len(text) - len(body) + len(begun)
    else:
        offset = len(partial)
    for i, token in enumerate(tokens):
        if offset < len(token):
            return (token[offset:], *tokens[i + 1 :])
        offset -= len(token)
    return ()


def _after_head(text: str) -> str:
    """The text after the sentence that names the model; empty if that is incomplete."""
    return text.partition(HEAD_END)[2] or text.partition("):")[2]


def count_tokens(text: str) -> int:
    """About four bytes per token; deterministic."""
    size = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    return (size + 3) // 4


def token_ids(text: str) -> list[int]:
    data = text.encode("utf-8", "surrogatepass")
    return [zlib.crc32(data[i : i + 4]) % 150_000 for i in range(0, len(data), 4)]
