"""Live checks: some decisions of the tuned model in service are put to the classifier afterwards,
while it has nothing else to do. If the agreement falls below the gate's level, the model goes back
into shadow."""

import math
import random
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import replace

from airouter.classify.cascade import CallingTier
from airouter.classify.tiers.cache import COMPLETE
from airouter.domain.clock import Clock
from airouter.domain.errors import PatienceOver, RouterError
from airouter.domain.redaction import masked_json
from airouter.domain.types import ExchangeRecord, Features, Verdict
from airouter.evaluation.measures import lower_bound, upper_bound
from airouter.flow.driver import complete
from airouter.flow.exchange import Exchange, Patience
from airouter.learning.collect import is_fit
from airouter.learning.gate import AGREEMENT, HARMFUL, agrees, is_harmful
from airouter.learning.shadow import features_in
from airouter.learning.store import DAY, WEEK, Agreement, Example, Store
from airouter.telemetry.record_size import record_size

LEAST = 50  # checks within a week before the agreement is judged
_KEPT = 16  # decisions that wait for a check
_MAX_BYTES = 64_000  # of a decision's request; larger ones are not checked
_LOOK = 0.2  # seconds between two looks at whether a request waits
_TIMEOUT = 60.0  # seconds for a check: more than a classifier's timeout


class Sample:
    """A fair sample of the decisions since the last check. Mutable state: the decisions; guarded by
    one lock, since every request adds to it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: list[ExchangeRecord] = []
        self._seen = 0

    def add(self, record: ExchangeRecord) -> None:
        """Keep a decision, in place of a random one if there are many."""
        if record_size(record) > _MAX_BYTES:
            return
        with self._lock:
            self._seen += 1
            if len(self._kept) < _KEPT:
                self._kept.append(record)
            elif (at := random.randrange(self._seen)) < _KEPT:
                self._kept[at] = record

    def take(self) -> ExchangeRecord | None:
        """A random one of them, or None; the sample begins anew once it is empty."""
        with self._lock:
            if not self._kept:
                return None
            record = self._kept.pop(random.randrange(len(self._kept)))
            if not self._kept:
                self._seen = 0
            return record

    def clear(self) -> None:
        with self._lock:
            self._kept.clear()
            self._seen = 0


class Pace:
    """A week's checks, of which a day's worth may come at once. Mutable state: when those of the
    last day were made; used by one thread."""

    def __init__(self) -> None:
        self._made: deque[float] = deque()

    def due(self, now: float, per_week: int) -> bool:
        """Whether another check may be made; `now` in seconds of any clock."""
        while self._made and self._made[0] <= now - DAY:
            self._made.popleft()
        return len(self._made) < math.ceil(per_week / 7)

    def count(self, now: float) -> None:
        """A check has been made."""
        self._made.append(now)


def ask(
    teacher: CallingTier, features: Features, clock: Clock, busy: Callable[[], bool]
) -> Verdict | None:
    """The classifier's verdict; None if it gave no clear label, or was needed by a request.

    Args:
        busy: whether a request waits for the classifier; the check then ends.
    """
    exchange = Exchange(clock, client=None, client_ip="", total=_TIMEOUT)
    exchange.patience = Patience(clock.monotonic(), busy)
    exchange.keep_alive(_LOOK)  # it looks at its patience then
    try:
        verdict: Verdict = complete(exchange, teacher.ask(exchange, features))
    except (RouterError, PatienceOver):
        return None
    finally:
        exchange.close()
    return verdict if verdict.label and verdict.finish_reason in COMPLETE else None


def check(
    record: ExchangeRecord, model: str, store: Store, clock: Clock,
    asked: Callable[[Features], Verdict | None], keep: bool,
) -> bool | None:  # fmt: skip
    """Put one decision to the classifier and store the result: whether it agrees; None if it gave
    no clear label.

    Args:
        keep: whether the request, with keys masked, becomes an example. The others are requests
            that the model left undecided, so training needs some of these.
    """
    features = features_in(record)
    verdict = asked(features) if features is not None else None
    if features is None or verdict is None or verdict.label is None or record.label is None:
        return None
    said, agreed = verdict.label, agrees(verdict.label, record.label)
    store.add_check(clock.time(), model, agreed, is_harmful(said, record.label))
    if keep:
        record = replace(record, client_messages=masked_json(record.client_messages))
        clean = features_in(record)
        if clean is not None and is_fit(clean):
            store.add([Example(record.timestamp.timestamp(), said, clean)])
    return agreed


def drifted(found: Agreement) -> bool:
    """Whether the agreement within a week is below the gate's level beyond doubt (95 %)."""
    if found.n < LEAST:
        return False
    return (
        upper_bound(found.agreed, found.n) < AGREEMENT
        or lower_bound(found.harmful, found.n) > HARMFUL
    )


def this_week(store: Store, model: str, clock: Clock) -> Agreement:
    """The live checks of a model in the last seven days."""
    return store.agreement(model, clock.time() - WEEK)
