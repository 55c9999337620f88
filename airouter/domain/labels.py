"""The labels that a routing decision can have, one row each; everything that names labels or routes
is derived from this table.

A new label or route is a row here, its route in `config/router.yaml`, and a sentence in the
classifier prompts. The learned model has one output per class, so a new class needs `make train`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

_HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Label:
    """What a label implies.

    `route`: where the request goes. `category`: its class in the learned model and the evaluation,
    which do not tell SIMPLE from MODERATE. `classifier`: whether a classifier may answer with it.
    `cache_s`: default TTL of a cached decision, in seconds; None: not cached.
    """

    name: str
    route: str
    category: str
    classifier: bool
    cache_s: float | None


LABELS = (
    Label("SIMPLE", "primary", "PRIMARY", classifier=True, cache_s=24 * _HOUR),
    Label("MODERATE", "primary", "PRIMARY", classifier=True, cache_s=24 * _HOUR),
    Label("PRIMARY", "primary", "PRIMARY", classifier=False, cache_s=24 * _HOUR),
    Label("COMPLEX", "xai", "COMPLEX", classifier=True, cache_s=24 * _HOUR),
    # Information that changes is looked up again soon.
    Label("ENRICH", "enrich", "ENRICH", classifier=True, cache_s=_HOUR / 6),
    # Recognised by rules, which are as fast as the cache.
    Label("META", "meta", "META", classifier=False, cache_s=None),
)

# If no tier decides, the primary answers: an error never sends a prompt to the cloud.
DEFAULT_LABEL = "MODERATE"

ROUTES: tuple[str, ...] = tuple(dict.fromkeys(label.route for label in LABELS))
ROUTE_OF_LABEL: Mapping[str, str] = {label.name: label.route for label in LABELS}
# The label of a request whose route was forced.
LABEL_OF_ROUTE: Mapping[str, str] = {
    **{label.route: label.name for label in LABELS},
    ROUTE_OF_LABEL[DEFAULT_LABEL]: DEFAULT_LABEL,
}
CLASSES: tuple[str, ...] = tuple(dict.fromkeys(label.category for label in LABELS))
CLASS_OF_LABEL: Mapping[str, str] = {label.name: label.category for label in LABELS}
CLASSIFIER_LABELS: tuple[str, ...] = tuple(label.name for label in LABELS if label.classifier)
CACHE_SECONDS: Mapping[str, float] = {
    label.name: label.cache_s for label in LABELS if label.cache_s is not None
}
