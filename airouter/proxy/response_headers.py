"""The X-Router-* headers: which route, backend and decision an answer comes from."""

from airouter.proxy.attempt import Attempt
from airouter.proxy.request_state import Decided

STREAM_HEADERS = [("Cache-Control", "no-cache"), ("X-Accel-Buffering", "no")]


def answer_headers(decided: Decided, attempt: Attempt) -> list[tuple[str, str]]:
    """Headers of a committed answer; values are one line of ASCII."""
    record, decision, plan = decided.exchange.record, decided.decision, decided.plan
    headers = [
        ("X-Router-Session", decided.exchange.id8),
        ("X-Router-Route", plan.route),
        ("X-Router-Label", decision.label),
        ("X-Router-Tier", decision.tier),
        ("X-Router-Decision-Ms", f"{record.classification_ms:.3f}"),
        ("X-Router-Backend", attempt.backend.name),
        ("X-Router-Speculative", record.speculation or "none"),
    ]
    if decision.p is not None:
        headers.append(("X-Router-P", f"{decision.p:.3f}"))
    if decision.threshold is not None:
        headers.append(("X-Router-Threshold", f"{decision.threshold:.3f}"))
    if record.adjusted:
        headers.append(("X-Router-Adjusted", printable("; ".join(record.adjusted))))
    if record.notes:
        headers.append(("X-Router-Note", printable("; ".join(record.notes))))
    if len(record.attempts) > 1:
        headers.append(("X-Router-Attempts", printable(", ".join(map(str, record.attempts)))))
    if decided.request.stream:
        headers += STREAM_HEADERS
    return headers


def printable(value: str) -> str:
    """One line of ASCII, at most 500 characters."""
    return "".join(c if " " <= c <= "~" else "?" for c in value)[:500]
