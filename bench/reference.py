"""The reference figures: the published baseline of 2026-02-16, and the requests that are compared with it."""

from collections.abc import Callable
from dataclasses import dataclass

from bench import prompts
from bench.result import NOTHING

BASELINE = "reference: the published baseline of 2026-02-16, a home server with two local models and a cloud"


@dataclass(frozen=True, slots=True)
class RouteRow:
    """`reference` is (classification, enrichment, inference, total, classification %) as published, in ms."""

    name: str
    prompt: Callable[[int], str]
    route: str
    expected_s: float
    reference: tuple[str, str, str, str, str]


ROUTES = (
    RouteRow(
        "MODERATE (short)",
        prompts.short,
        "primary",
        1.1,
        ("952–1,087", NOTHING, "208–396", "1,181–1,426", "67–81"),
    ),
    RouteRow(
        "MODERATE (long)",
        prompts.long,
        "primary",
        1.8,
        ("1,394–1,806", NOTHING, "402–2,204", "1,803–3,873", "43–77"),
    ),
    RouteRow(
        "COMPLEX",
        prompts.complex_,
        "xai",
        9,
        ("1,434–1,477", NOTHING, "7,347–11,007", "8,825–12,442", "12–17"),
    ),
    RouteRow(
        "ENRICH",
        prompts.enrich,
        "enrich",
        22,
        ("855–1,426", "11,127–25,987", "1,415–3,498", "13,845–30,913", "3–6"),
    ),
    RouteRow("META", prompts.meta, "meta", 1.1, ("0", NOTHING, "1,006–1,250", "1,007–1,250", "0")),
)
SPEED = {"router": "192–193", "primary": "233–234"}  # tok/s
LONG_CONTEXT = "FAILED; later 660 ms"
CONCURRENT = "10/10 in 135–163 ms"
FIRST_TOKEN = {"direct": "77–89", "explicit": "48 (connect 17)", "decided": "~1,050"}
OVERHEAD = {
    "direct": "33 / 36",
    "explicit": NOTHING,
    "decided": "1,318 / 1,432",
    "added": "1,284 / 1,396",
}
