"""The requests of the routing benchmark, and the published figures that are shown beside its own.

Each sample differs, so that no prefix cache answers for the model.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

SHORT_TEXT = "Say something short about rivers."

# What a sample is about: changes the text and the length of the answer, but not its kind.
_THINGS = (
    "a bicycle", "a lighthouse", "a violin", "a compost heap", "a sundial", "a canal lock",
    "a loom", "a kite", "a kiln", "a sailing boat", "a beehive", "a water mill", "a clock",
    "a typewriter", "a greenhouse", "a steam engine", "a microscope", "a windmill", "a piano",
    "a bridge",
)  # fmt: skip


def _thing(i: int) -> str:
    return _THINGS[i % len(_THINGS)] + (f" (question {i})" if i >= len(_THINGS) else "")


def short(i: int) -> str:
    """MODERATE, few words."""
    return f"Explain in one sentence to a curious child how {_thing(i)} works."


def long(i: int) -> str:
    """MODERATE, more than forty words."""
    return (
        f"I am preparing a talk for a group of hobbyists about {_thing(i)}. Please explain how it "
        "works, which materials it is usually made of, what tends to go wrong with it after some "
        "years of use, how one would maintain it with ordinary tools, and which two or three "
        "mistakes beginners make most often, each with a short example."
    )


def complex_(i: int) -> str:
    """COMPLEX: for the cloud."""
    return (
        f"Derive the equations of motion of {_thing(i)} from first principles, and prove that the "
        "stationary solution is stable."
    )


def enrich(i: int) -> str:
    """ENRICH: needs fresh facts."""
    return (
        f"What is the latest news today about {_thing(i)} and the people who restore such things?"
    )


def meta(i: int) -> str:
    """META: a frontend's housekeeping prompt, in the shape of Open WebUI's."""
    return (
        "### Task:\nSuggest three short follow-up questions for the conversation below.\n\n"
        "### Guidelines:\n- Write them from the user's point of view.\n- Keep them short and on "
        "the topic.\n- Answer as a JSON array of strings and nothing else.\n\n"
        f"### Chat History:\n<chat_history>\nUSER: How does {_thing(i)} work?\nASSISTANT: It turns "
        "one kind of movement into another, and does so with surprisingly few parts; what matters "
        "most is that they fit.\n</chat_history>"
    )


def eight_thousand_tokens(i: int) -> str:
    """About 8,200 tokens of ordinary English: usual tokenisers make 1.3 tokens of a word."""
    sentence = (
        "The keeper wrote into the log that the lamp had burned all night and that three ships had "
        "passed in calm weather. "
    )
    entries = "".join(f"Day {n + 1000 * i}: {sentence}" for n in range(260))
    question = "How many ships passed on an average day? Answer with one sentence."
    return f"Logbook number {i}.\n{entries}\n{question}"


def body(text: Any, model: str, **fields: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": text}], **fields}


# Published figures, in ms unless a unit is given --------------------------------------------------

BASELINE = (
    "reference: the published baseline of 2026-02-16, a home server with two local models and a "
    "cloud"
)


class Route(NamedTuple):
    """`reference` is (classification, enrichment, inference, total, classification %)."""

    name: str
    prompt: Callable[[int], str]
    route: str
    reference: tuple[str, str, str, str, str]


ROUTES = (
    Route(
        "MODERATE (short)", short, "primary",
        ("952–1,087", "–", "208–396", "1,181–1,426", "67–81"),
    ),
    Route(
        "MODERATE (long)", long, "primary",
        ("1,394–1,806", "–", "402–2,204", "1,803–3,873", "43–77"),
    ),
    Route(
        "COMPLEX", complex_, "xai",
        ("1,434–1,477", "–", "7,347–11,007", "8,825–12,442", "12–17"),
    ),
    Route(
        "ENRICH", enrich, "enrich",
        ("855–1,426", "11,127–25,987", "1,415–3,498", "13,845–30,913", "3–6"),
    ),
    Route("META", meta, "meta", ("0", "–", "1,006–1,250", "1,007–1,250", "0")),
)  # fmt: skip
SPEED = {"router": "192–193", "primary": "233–234"}  # tokens/s
LONG_CONTEXT = "FAILED; later 660 ms"
CONCURRENT = "10/10 in 135–163 ms"
FIRST_TOKEN = {"direct": "77–89", "explicit": "48 (connect 17)", "decided": "~1,050"}
OVERHEAD = {
    "direct": "33 / 36",
    "explicit": "–",
    "decided": "1,318 / 1,432",
    "added": "1,284 / 1,396",
}
