"""What the tiers that judge a text by its likeness to labelled prompts have in common: where they
must not decide, and the label of a class."""

import re

from airouter.classify.features import is_follow_up
from airouter.classify.machinery import may_be_a_programs
from airouter.domain.labels import DEFAULT_LABEL, ROUTE_OF_LABEL
from airouter.domain.types import Features

_LABEL = re.compile(
    rf"\b(?:{'|'.join(ROUTE_OF_LABEL)})\b|"
    r"(?i:\b(?:rout(?:e|er|ing)|classif(?:y|ier))\s*(?::|=|this|to\b|as\b))"
)
# Without regard to case, the pattern takes dotless i, long s and a dotted I for i and s.
_LABEL_HINTS = ("rout", "classif", "ı", "ſ", "\u0307")
_LABEL_CHARS = 4000  # characters at each end that are searched for a label
# Tasks whose wording does not show how hard they are. Both ends of the ask are searched in lower
# case, first for parts of words, which is quick.
_HARD_ENDS = 300
_HARD_HINTS = (
    "prov", "proof", "beweis", "montre", "demuestr", "dimostr", "demonstr", "докаж", "доказ",
    "證", "证", "証", "compiler", "operating system", "kernel", "engine", "browser", "hypervisor",
    "machine", "complete", "entire", "full", "whole",
)  # fmt: skip
_HARD = re.compile(
    r"^\W*(?:(?:please|can you|could you|now)\W+)*(?:prove|disprove|beweise?n? |d[ée]montre|"
    r"demuestr|dimostr|demonstre|докаж|доказ|證明|证明|証明)|"
    r"\bprove (?:that|it|the)\b|\bgive (?:me )?a (?:complete |full |rigorous )?proof\b|"
    r"\b(?:write|implement|build|create|develop|design|code|program)\b[^.?!\n]{0,60}\b"
    r"(?:compilers?|operating system|kernel|(?:database|browser|javascript|game|physics) engine|"
    r"web browser|hypervisor|theorem prover|virtual machine|(?:complete|entire|full|fully|"
    r"full-featured|whole|production-(?:grade|ready))\s+(?:\S+\s+){0,3}"
    r"(?:interpreter|emulator|engine|system|server|framework|language|database|protocol|stack))\b"
)
_SIMPLE_CHARS = 80  # shorter PRIMARY requests are labelled SIMPLE; the route is the same


def doubt_about(features: Features, max_chars: float) -> str:
    """Why no class may be decided at any probability; empty if there is no reason."""
    ask = features.ask
    if features.has_images:
        return "the request contains images, which it cannot read"
    if not ask.strip():
        return "the request contains no text"
    if is_follow_up(features):
        return "a short follow-up that depends on earlier turns"
    if len(ask) > max_chars:
        return "longer than the training prompts"
    if contains_label(
        ask if len(ask) <= 2 * _LABEL_CHARS else f"{ask[:_LABEL_CHARS]} {ask[-_LABEL_CHARS:]}"
    ):
        return "the text contains a label or addresses the router"
    return ""


def doubt_of(name: str, features: Features) -> str:
    """Why this class must not be decided; empty if there is no reason."""
    if name == "META" and (features.has_tools or features.agent):
        return "a request from an agent, or with tools, cannot be META"
    if name in ("ENRICH", "COMPLEX") and may_be_a_programs(features):
        return "may be a frontend's internal prompt: no search and no cloud on a guess"
    if name == "PRIMARY" and _may_be_hard(features.ask):
        return "proofs and large programs may be harder than they seem"
    return ""


def contains_label(text: str) -> bool:
    """Whether it contains a label or addresses the router. Parts of words, which are found quickly,
    decide whether the pattern is searched for."""
    lower = text.lower()
    hinted = any(hint in lower for hint in _LABEL_HINTS) or any(
        label in text for label in ROUTE_OF_LABEL
    )
    return hinted and _LABEL.search(text) is not None


def _may_be_hard(ask: str) -> bool:
    ends = (ask,) if len(ask) <= 2 * _HARD_ENDS else (ask[:_HARD_ENDS], ask[-_HARD_ENDS:])
    return any(
        _HARD.search(end)
        for end in map(str.lower, ends)
        if any(hint in end for hint in _HARD_HINTS)
    )


def label_of(name: str, features: Features) -> str:
    """The label for a class: PRIMARY has two, and META is left to the rules."""
    if name == "META":
        return DEFAULT_LABEL
    if name != "PRIMARY":
        return name
    simple = len(features.ask) < _SIMPLE_CHARS and not features.previous
    return "SIMPLE" if simple else DEFAULT_LABEL
