"""What the users ask: the requests of the benchmarks, each with a number of its own so that no cache has seen it."""

import random
from typing import Any

from bench import prompts

_NUMBERS = 1_000_000
_TOPICS = (
    "the tram strike", "the harbour", "the flood", "the football club", "the mayor's election", "housing prices", "the new hospital",
    "the marathon", "the airport", "the power cut", "the bridge repairs", "the film festival", "the school closures", "bus fares",
)  # fmt: skip
_TOWNS = (
    "Leeds", "Bergen", "Porto", "Gdansk", "Trieste", "Utrecht", "Malmö", "Valencia", "Lyon", "Graz", "Cork", "Tampere", "Ostrava", "Bari",
    "Ghent", "Split", "Varna", "Cluj", "Debrecen", "Aarhus",
)  # fmt: skip


def number(chance: random.Random) -> int:
    return chance.randrange(100, _NUMBERS)


def moderate(chance: random.Random) -> str:
    """For the local primary: short and long questions."""
    return (prompts.short if chance.random() < 0.5 else prompts.long)(number(chance))


def news(chance: random.Random) -> str:
    """Needs fresh facts."""
    return (
        f"What is the latest news today about {chance.choice(_TOPICS)} in {chance.choice(_TOWNS)}?"
    )


def mixed(chance: random.Random) -> tuple[str, str]:
    """A chat user's question and the route meant for it: 80 % MODERATE, the rest COMPLEX and ENRICH."""
    dice = chance.random()
    if dice < 0.8:
        return moderate(chance), "primary"
    if dice < 0.9:
        return prompts.complex_(number(chance)), "xai"
    return news(chance), "enrich"


def housekeeping(question: str, answer: str) -> list[str]:
    """What a frontend asks after each answer, in the shape of Open WebUI's: a title, tags, follow-up questions."""
    history = f"### Chat History:\n<chat_history>\nUSER: {question}\nASSISTANT: {answer[:400]}\n</chat_history>"
    tasks = (
        "Generate a concise, 3-5 word title with an emoji summarizing the chat history.",
        "Generate 1-3 broad tags categorizing the main themes of the chat history, along with 1-3 more specific subtopic tags.",
        "Suggest 3-5 relevant follow-up questions or prompts that the user might naturally ask next in this conversation.",
    )
    return [
        f"### Task:\n{task}\n\n### Output:\nJSON format, and nothing else.\n\n{history}"
        for task in tasks
    ]


def documents(chance: random.Random, count: int = 8) -> list[str]:
    """Chunks of text for an index."""
    return [f"Section {number(chance)}. {prompts.long(number(chance))}" for _ in range(count)]


def chat(messages: list[dict[str, str]], model: str, **fields: Any) -> dict[str, Any]:
    return {"model": model, "messages": messages, **fields}
