"""Sessions → examples: those whose label the reasoning tier gave, in a complete answer.

The text is what the session files have: keys are masked in it, and there is none where
`logging.content` is off. Session files have neither tools nor `metadata.task`. Both can be missed:
the learned model reads neither, and what `metadata.task` decides never reaches the classifier.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from airouter.classify.features import features_of, is_follow_up
from airouter.classify.tiers.cache import COMPLETE
from airouter.dialects.openai_request import parse_request
from airouter.domain.errors import RouterError
from airouter.domain.labels import CLASSIFIER_LABELS
from airouter.domain.types import Features
from airouter.learning.store import DAY, Example, Store
from airouter.sessions.files import Files, Progress, arrival

_TEACHER = "reasoning"
MAX_CHARS = 4000  # longer asks are never decided by the learned model
_BATCH = 500
# Why sessions are left out.
OTHER = "not labelled by the reasoning tier: instant, forced, cached, or without a classification"
UNCLEAR = "the classification failed, was cut off, or was shared by an equal request"
NO_CONTENT = "without content (logging.content: off)"
UNFIT = "follow-ups, long requests and requests with images, which the model never decides"
INVALID = "with messages that cannot be read"
TEST = "tests"


def example_of(document: Mapping[str, Any]) -> Example | str:
    """The example that a session is, or why it is none."""
    if document.get("test"):
        return TEST
    label = document.get("label")
    if document.get("tier") != _TEACHER or document.get("requested_route", "auto") != "auto":
        return OTHER
    said = [
        one
        for one in document.get("verdicts") or []
        if isinstance(one, dict) and one.get("tier") == _TEACHER
    ]
    last = said[-1] if said else {}
    clear = last.get("label") == label and label in CLASSIFIER_LABELS
    shared = str(last.get("reason") or "").startswith("shared with")
    if not clear or shared or last.get("finish_reason", "") not in COMPLETE:
        return UNCLEAR
    messages = document.get("client_messages")
    if not messages:
        return NO_CONTENT
    try:
        features = features_of(parse_request("chat", {"messages": messages}))
    except RouterError:
        return INVALID
    if not is_fit(features):
        return UNFIT
    return Example(arrival(dict(document)), str(label), features)


def is_fit(features: Features) -> bool:
    """Whether the learned model may decide such a request at all."""
    fits = len(features.ask.strip()) > 0 and len(features.ask) <= MAX_CHARS
    return fits and not features.has_images and not is_follow_up(features)


def collect(
    files: Files, store: Store, now: float, max_age_days: float, max_count: int,
    progress: Progress = lambda *_: None,
) -> tuple[int, Counter[str]]:  # fmt: skip
    """Store the examples in the session files; repeating it changes nothing.

    Args:
        now: seconds since 1970.

    Returns:
        how many examples were stored, and the number of sessions left out, by reason.

    Raises:
        ConfigError, OSError: the store or the folder of sessions cannot be used.
    """
    left_out, stored = Counter[str](), 0
    waiting: list[Example] = []
    for _, document in files.documents(now - max_age_days * DAY, progress=progress):
        found = example_of(document)
        if isinstance(found, str):
            left_out[found] += 1
            continue
        waiting.append(found)
        if len(waiting) >= _BATCH:
            stored += store.add(waiting)
            waiting.clear()
    stored += store.add(waiting)
    store.prune(now, max_age_days, max_count)
    return stored, left_out
