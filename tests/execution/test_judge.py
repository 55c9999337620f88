"""What a failed attempt means for the request, and for the backend."""

from __future__ import annotations

import pytest

from airouter.errors import (
    BadRequest,
    Busy,
    ConnectFailed,
    DeadlineExceeded,
    NoBackend,
    RouterError,
    UpstreamBroken,
    UpstreamStatus,
    UpstreamTimeout,
)
from airouter.execution.judge import Move, next_move, retry_after_of
from airouter.resilience.failure import failure_of


def status(code: int, body: bytes = b"{}", **headers: str) -> UpstreamStatus:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return UpstreamStatus("x", upstream_status=code, body=body, headers=named)


@pytest.mark.parametrize(
    ("error", "move"),
    [
        (status(400), Move.FINAL),
        (status(404), Move.NEXT),
        (status(400, b'{"error": "model \'x\' not found, try pulling it first"}'), Move.NEXT),
        (status(400, b'{"error": {"message": "tool x not found"}}'), Move.FINAL),
        (status(409), Move.FINAL),
        (status(413), Move.FINAL),
        (status(422), Move.FINAL),
        (status(401), Move.NEXT),
        (status(403), Move.NEXT),
        (status(408), Move.NEXT),
        (status(429), Move.NEXT),
        (status(500), Move.AGAIN),
        (status(502), Move.NEXT),
        (status(503), Move.NEXT),
        (status(529), Move.NEXT),
        (status(400, b'{"error": {"code": "context_length_exceeded"}}'), Move.WIDER),
        (
            status(400, b'{"message": "This model\'s maximum context length is 4096 tokens."}'),
            Move.WIDER,
        ),
        (status(413, b"context_length_exceeded"), Move.WIDER),
        (status(400, b'{"error": {"code": "content_policy_violation"}}'), Move.FINAL),
        (status(500, b'{"error": {"code": "content_filter"}}'), Move.FINAL),
        (status(429, b'{"error": {"code": "content_policy_violation"}}'), Move.FINAL),
        (ConnectFailed("x"), Move.NEXT),
        (UpstreamTimeout("x", phase="first_byte"), Move.NEXT),
        (UpstreamTimeout("x", phase="connect"), Move.NEXT),
        (UpstreamBroken("x", received=False), Move.AGAIN),
        (UpstreamBroken("x", received=False, resent=True), Move.NEXT),
        (UpstreamBroken("x", received=False, silent=True), Move.NEXT),
        (UpstreamBroken("x"), Move.NEXT),
        (NoBackend("x"), Move.NEXT),
        (Busy("x"), Move.NEXT),
        (DeadlineExceeded("x"), Move.FINAL),
        (BadRequest("x"), Move.FINAL),
    ],
)
def test_what_happens_to_the_request(error: RouterError, move: Move) -> None:
    """A refusal of the request itself is final; only what another backend may do better moves on."""
    assert next_move(error) is move


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ConnectFailed("x"), "connect"),
        (UpstreamTimeout("x", phase="connect", received=False), "connect"),
        (UpstreamTimeout("x", phase="first_byte", received=False), "silent"),
        (UpstreamTimeout("x", phase="idle"), "silent"),
        (UpstreamTimeout("x", phase="total", received=False), "silent"),
        (UpstreamTimeout("x", phase="total"), "other"),
        (UpstreamBroken("x"), "other"),
        (status(500), "other"),
        (status(503), "other"),
        *((status(code), None) for code in (400, 401, 403, 404, 408, 422, 429)),
        (Busy("x"), None),
        (NoBackend("x"), None),
        (DeadlineExceeded("x", code="client_deadline_exceeded"), None),
    ],
)
def test_what_counts_against_the_backend(error: RouterError, kind: str | None) -> None:
    """Connect errors, silence, 5xx and unreadable answers do; 4xx, a client's own limit and a missing slot do not."""
    assert failure_of(error) == kind


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (status(429, retry_after="2"), 2),
        (status(503, retry_after=" 0 "), 0),
        (status(429), None),
        (status(429, retry_after="Wed, 21 Oct 2026 07:28:00 GMT"), None),
        (status(429, retry_after="-1"), None),
        (status(500, retry_after="1"), None),
        (status(429, b"content_policy_violation", retry_after="1"), None),
        (Busy("x", retry_after=1), None),
    ],
)
def test_when_a_backend_wants_to_be_asked_again(error: RouterError, seconds: float | None) -> None:
    """Its Retry-After in seconds counts with 429 and 503, and nothing else does."""
    assert retry_after_of(error) == seconds


@pytest.mark.parametrize("error", [status(404), status(400, b"model 'x' does not exist")])
def test_an_unknown_model_is_final_where_the_client_named_it(error: RouterError) -> None:
    """The name that the router chose may be wrong for this backend only; the client's is its own."""
    assert next_move(error, named=True) is Move.FINAL
    assert next_move(error) is Move.NEXT
