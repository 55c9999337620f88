"""The model card: training data, accuracy on held-out origins, limits."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson

from airouter.classify.learned.text_model import FILE, Model
from airouter.domain.clock import Clock
from airouter.evaluation.measures import curve
from learn.data import CLASSES, Prompt, origins_of
from learn.fit import Recipe
from learn.thresholds import Bools, Floats, Truth, figures, right
from learn.tried import TRIED

_COLUMNS = (
    "coverage",
    "accuracy",
    "harmful_upper",
    "cloud_instead_of_local",
    "ece",
    "accuracy_if_all",
)
_LIMITS = (
    "It abstains on short follow-ups that depend on earlier turns, on requests longer than the "
    "training prompts, and on text that contains a label.",
    "Short questions about a named person or thing are hard cases: no word in them says whether "
    "the answer changes over time.",
    "It imitates labels; it does not know whether a particular model would answer well.",
    "It abstains on most requests in languages with few examples.",
)


def write(out: Path, **measured: Any) -> str:
    """Write card.json and card.md; returns the table that is also printed. Arguments as of
    `contents`."""
    card = contents(out, **measured)
    (out / "card.json").write_bytes(orjson.dumps(card, option=orjson.OPT_INDENT_2) + b"\n")
    text = markdown(card)
    (out / "card.md").write_text(text, "utf-8")
    return text[text.index("## Held out") : text.index("## Thresholds")]


def contents(
    out: Path,
    *,
    prompts: Sequence[Prompt],
    p: Floats,
    decided: Bools,
    truth: Truth,
    model: Model,
    recipe: Recipe,
) -> dict[str, Any]:
    """The card as data.

    Args:
        p, decided: per prompt, from models, calibrations and thresholds that were made without its
        origin.
    """
    predicted = p.argmax(1)
    by_origin = {
        name: figures(p[rows], decided[rows], truth.at(rows))
        for name in origins_of(prompts)
        for rows in [truth.origin == name]
    }
    ordinary = truth.label != CLASSES.index("META")
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
        "protocol": "groups of origins are left out: weights, temperature and thresholds are "
        "fitted without the origins on which they are measured",
        "recipe": asdict(recipe),
        "held_out": {
            "all": figures(p, decided, truth),
            "without_meta": figures(p[ordinary], decided[ordinary], truth.at(ordinary)),
            "by_origin": by_origin,
            "by_class": per_class,
            "curve": curve(p.max(1), right(predicted, truth)),
        },
        "thresholds": model.thresholds,
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


def markdown(card: dict[str, Any]) -> str:
    held, data = card["held_out"], card["data"]
    told = data["label_agreement"]
    agreement = f"{told['agreement']:.1%} on {told['prompts']} prompts" if told else "not measured"
    by_class = ", ".join(f"{name} {n}" for name, n in data["by_class"].items())
    origins = {"**all**": held["all"], "**all but META**": held["without_meta"]}
    lines = [
        f"# Model card of the learned tier, version {card['version']}",
        "",
        f"{data['prompts']} labelled prompts ({by_class}) from {len(data['by_origin'])} origins in "
        f"{data['languages']} languages; trained {card['date']}; {card['bytes'] / 1e6:.1f} MB.",
        f"Agreement with a blind second labelling: {agreement}.",
        "",
        "## Held out",
        "",
        f"Protocol: {card['protocol']}. The upper bound is one-sided at 95 %.",
        "",
        "| origin | prompts | coverage | accuracy on covered | harmful, upper bound "
        "| cloud instead of local | calibration error | accuracy if it never abstained |",
        "|---|---|---|---|---|---|---|---|",
        *(
            _line(name, f"{row['n']:.0f}", *(f"{row[column]:.1%}" for column in _COLUMNS))
            for name, row in {**origins, **held["by_origin"]}.items()
        ),
        "",
        "| label | decisions | precision | recall |",
        "|---|---|---|---|",
        *(
            _line(
                name,
                row["decided"],
                "-" if row["precision"] is None else f"{row['precision']:.1%}",
                f"{row['share_of_class_decided_so']:.1%}",
            )
            for name, row in held["by_class"].items()
        ),
        "",
        "## Thresholds",
        "",
        *(
            f"- {name}: {value:g}" if value <= 1 else f"- {name}: never"
            for name, value in card["thresholds"].items()
        ),
        f"- abstains above {card['limits']['max_strange']:.0%} unseen n-grams and "
        f"{card['limits']['max_chars']:.0f} characters",
        "",
        "## Experiments",
        "",
        "Accuracy on held-out origins; the shipped model combines the last two rows. Log loss "
        "before calibration.",
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
    ]
    return "\n".join(lines) + "\n"


def _line(*cells: Any) -> str:
    return f"| {' | '.join(map(str, cells))} |"
