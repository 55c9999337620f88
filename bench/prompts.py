"""The requests of the routing benchmark. Each sample differs, so that no prefix cache answers for the model."""

from typing import Any

# What a sample is about: it changes the text, and with it the length of the answer, but not its kind.
_THINGS = (
    "a bicycle", "a lighthouse", "a violin", "a compost heap", "a sundial", "a canal lock", "a loom", "a kite", "a kiln",
    "a sailing boat", "a beehive", "a water mill", "a clock", "a typewriter", "a greenhouse", "a steam engine", "a microscope",
    "a windmill", "a piano", "a bridge",
)  # fmt: skip


def _thing(i: int) -> str:
    return _THINGS[i % len(_THINGS)] + (f" (question {i})" if i >= len(_THINGS) else "")


def short(i: int) -> str:
    """MODERATE, few words."""
    return f"Explain in one sentence to a curious child how {_thing(i)} works."


def long(i: int) -> str:
    """MODERATE, more than forty words."""
    return (
        f"I am preparing a talk for a group of hobbyists about {_thing(i)}. Please explain how it works, which materials it is "
        "usually made of, what tends to go wrong with it after some years of use, how one would maintain it with ordinary tools, "
        "and which two or three mistakes beginners make most often, each with a short example."
    )


def complex_(i: int) -> str:
    """COMPLEX: for the cloud."""
    return f"Derive the equations of motion of {_thing(i)} from first principles, and prove that the stationary solution is stable."


def enrich(i: int) -> str:
    """ENRICH: needs fresh facts."""
    return (
        f"What is the latest news today about {_thing(i)} and the people who restore such things?"
    )


def meta(i: int) -> str:
    """META: a frontend's housekeeping prompt, in the shape of Open WebUI's."""
    return (
        "### Task:\nSuggest three short follow-up questions for the conversation below.\n\n### Guidelines:\n- Write them from the user's "
        "point of view.\n- Keep them short and on the topic.\n- Answer as a JSON array of strings and nothing else.\n\n"
        f"### Chat History:\n<chat_history>\nUSER: How does {_thing(i)} work?\nASSISTANT: It turns one kind of movement into "
        "another, and does so with surprisingly few parts; what matters most is that they fit.\n</chat_history>"
    )


def eight_thousand_tokens(i: int) -> str:
    """About 8,200 tokens of ordinary English: 1.3 tokens a word, which is what such text has with the usual tokenisers."""
    sentence = "The keeper wrote into the log that the lamp had burned all night and that three ships had passed in calm weather. "
    entries = "".join(f"Day {n + 1000 * i}: {sentence}" for n in range(260))
    return f"Logbook number {i}.\n{entries}\nHow many ships passed on an average day? Answer with one sentence."


def body(text: str, model: str, **fields: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": text}], **fields}
