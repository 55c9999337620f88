"""The model card: training data, accuracy on held-out origins, by shape and language, limits."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from airouter.classify.learned.text_model import FILE, Model
from airouter.domain.clock import Clock
from airouter.evaluation.measures import curve
from airouter.evaluation.shapes import SHAPES
from learn.data import CLASSES, Prompt, origins_of
from learn.fit import Recipe
from learn.protocol import Measured, routed
from learn.tables import HEADER, LANGUAGES, row, wrapped
from learn.thresholds import COMPLEX, ENRICH, META, Bools, figures, right
from learn.tried import TRIED
from learn.versions import PLAIN, Rows

_LIMITS = (
    "It abstains on short follow-ups that depend on earlier turns, on requests longer than the "
    "training prompts, and on text that contains a label.",
    "It reads neither the system message nor the tools: a label follows the request.",
    "Short questions about a named person or thing are hard cases: no word in them says whether "
    "the answer changes over time.",
    "It imitates labels; it does not know whether a particular model would answer well.",
    "It abstains on most requests in languages with few examples.",
)
_HELD_OUT = (
    "Protocol: the origins are in six groups. Each group is measured with weights, a temperature "
    "and thresholds that were made without it. Without META, which rules decide. Bounds are "
    "one-sided at 95 %."
)
_OUTSIDE = (
    "**As from outside**: weights from three groups, temperature and thresholds from two others, "
    "measured on the sixth, six times. Nothing about the measured origins has touched any of it, "
    "but the model has only half of the data."
)


def write(
    out: Path, *, prompts: Sequence[Prompt], rows: Rows, held_out: Measured, outside: Measured,
    model: Model, recipe: Recipe,
) -> str:  # fmt: skip
    """Write card.json and card.md; returns the tables that are also printed.

    Args:
        held_out, outside: by the two protocols of `protocol.py`.
    """
    tables = {
        "held_out": held_out_table(prompts, rows, held_out, outside),
        "shapes": shapes_table(rows, held_out),
        "meta": [of_meta(rows, held_out)],
    }
    card = contents(out, prompts, rows, held_out, model, recipe)
    (out / "card.json").write_bytes(orjson.dumps(card, option=orjson.OPT_INDENT_2) + b"\n")
    text = markdown(card, tables)
    (out / "card.md").write_text(text, "utf-8")
    return text[text.index("## Held out") : text.index("## Thresholds")]


def contents(
    out: Path, prompts: Sequence[Prompt], rows: Rows, held_out: Measured, model: Model,
    recipe: Recipe,
) -> dict[str, Any]:  # fmt: skip
    """The card as data."""
    plain = rows.where(PLAIN)
    truth, p, decided = routed(rows.truth.at(plain)), held_out.p[plain], held_out.decided[plain]
    predicted = p.argmax(1)
    ordinary = truth.label != META
    per_class = {}
    for label, name in enumerate(CLASSES):
        mine = decided & (predicted == label)
        per_class[name] = {
            "decided": int(mine.sum()),
            "precision": float(right(predicted, truth)[mine].mean()) if mine.any() else None,
            "share_of_class_decided_so": float(
                (mine & (truth.label == label)).sum() / max(1, (truth.label == label).sum())
            ),
        }
    return {
        "version": model.version,
        "date": Clock().now().date().isoformat(),
        "data": {
            "prompts": len(prompts),
            "by_class": dict(Counter(prompt.label for prompt in prompts)),
            "by_origin": dict(Counter(prompt.origin for prompt in prompts)),
            "languages": len({prompt.lang for prompt in prompts}),
            "label_agreement": kept_agreement(out),
        },
        "recipe": asdict(recipe),
        "held_out": {
            "all": figures(p, decided, truth),
            "without_meta": figures(p[ordinary], decided[ordinary], truth.at(ordinary)),
            "by_origin": {
                name: figures(p[mine], decided[mine], truth.at(mine))
                for name in origins_of(prompts)
                for mine in [truth.origin == name]
            },
            "by_class": per_class,
            "curve": curve(p.max(1), right(predicted, truth)),
        },
        "thresholds": model.thresholds,
        "thresholds_cjk": model.thresholds_cjk,
        "limits": model.limits,
        "tried": TRIED,
        "known_limits": list(_LIMITS),
        "bytes": (out / FILE).stat().st_size,
    }


def kept_agreement(out: Path) -> Any:
    """`label_agreement` of the previous card, entered after labelling a sample a second time:
    {"prompts": n, "agreement": share}."""
    try:
        return orjson.loads((out / "card.json").read_bytes())["data"]["label_agreement"]
    except (OSError, KeyError, TypeError, orjson.JSONDecodeError):
        return None


def held_out_table(
    prompts: Sequence[Prompt], rows: Rows, held_out: Measured, outside: Measured
) -> list[str]:
    language = np.array([prompt.lang for prompt in prompts])[rows.prompt]
    origin, asked = rows.truth.origin, (rows.shape == PLAIN) & (rows.truth.label != META)

    def line(name: str, which: Bools, found: Measured = held_out) -> str:
        return row(name, found.p[which], found.decided[which], rows.truth.at(which))

    return [
        HEADER,
        line("**all**", asked),
        line("**as from outside**", asked, outside),
        *(line(f"language {name}", asked & (language == name)) for name in LANGUAGES),
        *(
            line(f"language {name}, as from outside", asked & (language == name), outside)
            for name in ("zh", "ja", "ko")
        ),
        *(line(name, asked & (origin == name)) for name in origins_of(prompts)),
    ]


def shapes_table(rows: Rows, held_out: Measured) -> list[str]:
    """A sample in each shape of `evaluate --shape`, and how many of its decisions differ."""
    p, decided = held_out.p, held_out.decided
    lines = [HEADER]
    sampled = np.unique(rows.prompt[rows.where(*SHAPES)])
    lines.append(
        row("the same prompts, plain", p[sampled], decided[sampled], rows.truth.at(sampled))
    )
    for shape in SHAPES:
        at = rows.where(shape)
        before = rows.prompt[at]  # the plain rows come first
        twice = decided[at] & decided[before]
        flips = int((twice & (p[at].argmax(1) != p[before].argmax(1))).sum())
        name = f"{shape} ({flips} of {int(twice.sum())} decided both ways flip)"
        lines.append(row(name, p[at], decided[at], rows.truth.at(at)))
    return lines


def of_meta(rows: Rows, held_out: Measured) -> str:
    """What becomes of prompts that frontends send for themselves."""
    mine = (rows.shape == PLAIN) & (rows.truth.label == META)
    decided, predicted = held_out.decided[mine], held_out.p[mine].argmax(1)
    away = int((decided & ((predicted == COMPLEX) | (predicted == ENRICH))).sum())
    return (
        f"Of {int(mine.sum())} META prompts, which reach it only if no rule knows them, it decides "
        f"{int(decided.sum())} as another class, {away} of them as COMPLEX or ENRICH."
    )


def markdown(card: dict[str, Any], tables: dict[str, list[str]]) -> str:
    held, data = card["held_out"], card["data"]
    told = data["label_agreement"]
    agreement = f"{told['agreement']:.1%} on {told['prompts']} prompts" if told else "not measured"
    by_class = ", ".join(f"{name} {n}" for name, n in data["by_class"].items())
    lines = [
        f"# Model card of the learned tier, version {card['version']}",
        "",
        f"{data['prompts']} labelled prompts ({by_class}) from {len(data['by_origin'])} origins in "
        f"{data['languages']} languages; trained {card['date']}; {card['bytes'] / 1e6:.1f} MB. "
        f"Agreement with a blind second labelling: {agreement}.",
        "",
        "## Held out",
        "",
        _HELD_OUT,
        "",
        _OUTSIDE,
        "",
        *tables["held_out"],
        "",
        f"Calibration error: {held['without_meta']['ece']:.1%}. If it never abstained, "
        f"{held['without_meta']['accuracy_if_all']:.1%} would be right. {tables['meta'][0]}",
        "",
        "| label | decisions | precision | recall |",
        "|---|---|---|---|",
        *(
            _line(
                name,
                one["decided"],
                "-" if one["precision"] is None else f"{one['precision']:.1%}",
                f"{one['share_of_class_decided_so']:.1%}",
            )
            for name, one in held["by_class"].items()
        ),
        "",
        "## Other shapes",
        "",
        "A sample in the shapes of `evaluate --shape`. In training, each prompt had a copy with "
        "other greetings or thanks, in quotation marks, with typing errors or after an earlier "
        "exchange (`learn/shapes.py`).",
        "",
        *tables["shapes"],
        "",
        "## Thresholds",
        "",
        *(
            f"- {name}: {value:g}, in Chinese, Japanese and Korean {card['thresholds_cjk'][name]:g}"
            if value <= 1
            else f"- {name}: never"
            for name, value in card["thresholds"].items()
        ),
        f"- abstains above {card['limits']['max_chars']:.0f} characters",
        "",
        "## Experiments",
        "",
        "The first model's, on fewer prompts: accuracy on held-out origins, log loss before "
        "calibration.",
        "",
        "| recipe | held out | all | surest 50 % | surest 70 % | log loss |",
        "|---|---|---|---|---|---|",
        *(
            _line(
                one["recipe"],
                one["held_out"],
                *(f"{one[column]:.1%}" for column in ("all", "at_50", "at_70")),
                f"{one['log_loss']:.3f}",
            )
            for one in card["tried"]
        ),
        "",
        "## Limits",
        "",
        *(f"- {limit}" for limit in card["known_limits"]),
        "",
    ]
    return wrapped(lines)


def _line(*cells: Any) -> str:
    return f"| {' | '.join(map(str, cells))} |"
