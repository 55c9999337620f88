"""What the objectives are.

An objective is a share: of its events, so many must be good in 30 days. What is a good event its
measure says: "the p95 is at most 800 ms" is "of the requests, 95 % take at most 800 ms". So every
objective has an error budget, and one number per event is all that has to be counted.
"""

from dataclasses import dataclass, field
from typing import Literal, get_args

Kind = Literal[
    # Of requests, by what is known about each when it is finished.
    "answer_ms",  # duration of an answer of one token by a backend with nothing else to do
    "ttft_ms",  # request sent → first content, of such a backend
    "cold",  # the same after a pause, as a multiple of the usual
    "sustained",  # tokens (embeddings) per second of a backend with nothing else to do
    "burst",  # of one with several requests at once: all of them together
    "total_ms",  # arrival → end, by route
    "available",  # not failed by the router or a backend
    "own_ms",  # the router's own part
    "failover_ms",  # what a request lost by a backend that failed
    "classified",  # a model that was asked to decide said a label
    "cloud_last",  # a cloud answered a local route: after the local backends only
    # Of other events.
    "up",  # a probe of a backend found it up
    "recovered",  # an outage of a backend ended in time; limit in seconds
    "readiness_ms",  # duration of /health/readiness
    "mapper",  # fed by name
    "tuned",  # fed by name, every minute while there is a tuned model
]
LIMITED = frozenset(get_args(Kind)) - {
    "available",
    "classified",
    "cloud_last",
    "up",
    "mapper",
    "tuned",
}
Severity = Literal["critical", "warning"]


@dataclass(frozen=True, slots=True)
class Measure:
    """When an event counts, and when it is good.

    `limit`: in the unit of the kind; None where the kind has none. `backend`: the name or the URL
    of one backend. `route`: one route; None: all. `batch`: inputs per request to embeddings.
    """

    kind: Kind
    limit: float | None = None
    backend: str | None = None
    url: str | None = None
    route: str | None = None
    embeddings: bool = False
    batch: int = 1
    business_hours: bool = False


@dataclass(frozen=True, slots=True)
class Objective:
    """`target`: the share of good events; None: the events are counted for an alert only.

    `informational`: measured and reported, but never alerted.
    """

    name: str
    profile: str
    description: str
    measure: Measure
    target: float | None
    informational: bool = False
    runbook: str = "budget-burn"
    days: int = 30

    @property
    def budget(self) -> float:
        """The share of events that may be bad."""
        return 1.0 - (self.target if self.target is not None else 1.0)


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert of a seed's own table: the share of bad events of an objective within `window`
    seconds exceeds `above`, for `lasting` seconds."""

    name: str
    profile: str
    slo: str
    above: float
    window: int
    lasting: int
    severity: Severity
    description: str
    runbook: str


@dataclass(frozen=True, slots=True)
class BurnRate:
    """The budget is used up `factor` times as fast as it lasts for, over the long window and still
    over the short one. Windows in seconds."""

    severity: Severity
    factor: float
    long: int
    short: int


# The multi-window, multi-burn-rate alerts of Google's SRE workbook (chapter "Alerting on SLOs"):
# 2 % of the 30 days' budget in an hour, 5 % in six hours; 10 % in one day or three.
BURN_RATES = (
    BurnRate("critical", 14.4, 3_600, 300),
    BurnRate("critical", 6.0, 21_600, 1_800),
    BurnRate("warning", 3.0, 86_400, 7_200),
    BurnRate("warning", 1.0, 259_200, 21_600),
)
# By severity: the label that on-call rotations know.
PRIORITY: dict[Severity, str] = {"critical": "P1", "warning": "P2"}


@dataclass(frozen=True, slots=True)
class Profile:
    """One seed's objectives and alerts."""

    name: str
    objectives: tuple[Objective, ...] = ()
    alerts: tuple[Alert, ...] = field(default=())
