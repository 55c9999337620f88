"""The model in shadow: after a request has been decided, what the model would have decided is
compared with it, in the background. It decides nothing."""

from collections import Counter

from airouter.classify.features import features_of
from airouter.classify.tiers.learned import LearnedTier
from airouter.dialects.openai_request import parse_request
from airouter.domain.errors import RouterError
from airouter.domain.types import ExchangeRecord, Features
from airouter.learning.gate import agrees

# Those after the learned tier: only what that one left undecided is compared.
COMPARED_TIERS = frozenset({"tuned", "encoder", "one_token", "reasoning"})
RESULTS = ("agrees", "differs", "abstains")


def is_compared(record: ExchangeRecord) -> bool:
    """Whether a record is of a request that a tier after the learned one decided."""
    chosen = record.requested_route == "auto" and record.test is None
    return chosen and record.tier in COMPARED_TIERS and bool(record.client_messages)


def features_in(record: ExchangeRecord) -> Features | None:
    """The features of a record's request, without its tools; None if it cannot be read."""
    try:
        return features_of(parse_request("chat", {"messages": record.client_messages}))
    except RouterError:
        return None


def compare(model: LearnedTier, record: ExchangeRecord, counts: Counter[tuple[str, str]]) -> None:
    """Count, by (tier that decided, result), whether a model decides the same."""
    features = features_in(record)
    if features is None or record.label is None or record.tier is None:
        return
    label = model.vote(features).label
    result = "abstains" if label is None else "differs"
    if label is not None and agrees(record.label, label):
        result = "agrees"
    counts[record.tier, result] += 1
