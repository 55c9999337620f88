"""Runs a cascade on single requests, for `evaluate`."""

from collections.abc import Callable

from airouter.classify.cascade import Cascade
from airouter.domain.types import Decision, Features
from airouter.flow.driver import complete
from airouter.flow.exchange import Exchange


def decider(cascade: Cascade, total: float) -> Callable[[Features], Decision]:
    """A function that runs the cascade for one request, with the classifier if necessary.

    Args:
        total: timeout of one decision, in seconds; the function then raises DeadlineExceeded.
    """

    def decide(features: Features) -> Decision:
        exchange = Exchange(cascade.clock, client=None, client_ip="", total=total)
        try:
            deliberation = cascade.deliberate(features)
            return deliberation.decision or complete(exchange, deliberation.run(exchange))
        finally:
            exchange.close()

    return decide
