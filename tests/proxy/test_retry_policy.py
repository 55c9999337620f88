"""What a failed attempt means for the request, and for the backend."""

from __future__ import annotations

import time
from email.utils import formatdate

import pytest

from airouter.domain.errors import (
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
from airouter.proxy.retry_policy import (
    Move,
    model_is_gone,
    next_move,
    retry_after,
    retry_after_of,
)
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
        *((status(code), Move.NEXT) for code in (402, 405, 407, 408, 410, 425, 429, 499)),
        (status(400, b'{"error": {"code": "insufficient_quota"}}'), Move.NEXT),
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
        (status(422, b"`inputs` tokens + `max_new_tokens` must be <= 4096"), Move.WIDER),
        (status(500, b"the request exceeds the available context size"), Move.WIDER),
        (status(401, b"context_length_exceeded"), Move.NEXT),
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
    """A refusal of the request itself is final; only what another backend may do better moves
    on."""
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
    """Connect errors, silence, 5xx and unreadable answers do; 4xx, a client's own limit and a
    missing slot do not."""
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
    """The name that the router chose may be wrong for this backend only; the client's is its
    own."""
    assert next_move(error, named=True) is Move.FINAL
    assert next_move(error) is Move.NEXT


NOW = "Wed, 21 Oct 2026 07:28:00 GMT"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "2"}, 2),
        ({"retry-after": " 2 "}, 2),
        ({"retry-after": "0"}, 0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "86400"}, 86_400),
        ({"retry-after": "86401"}, None),
        ({"retry-after": "1e400"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "-0.001"}, None),
        ({"retry-after": "1_0"}, None),
        ({"retry-after": "٣"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
        ({}, None),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:40 GMT", "date": NOW}, 40),
        ({"retry-after": "Wednesday, 21-Oct-26 07:28:40 GMT", "date": NOW}, 40),
        ({"retry-after": "Wed, 21 Oct 2026 09:28:40 +0200", "date": NOW}, 40),
        ({"retry-after": NOW, "date": NOW}, None),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT", "date": NOW}, None),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:40 GMT", "date": "soon"}, None),
        ({"retry-after": "Wed, 21 Oct 99999 07:28:00 GMT"}, None),
        ({"retry-after": "Wed, 21 Oct 2099 07:28:00 GMT"}, None),
        ({"retry-after": "Wed, 99 Oct 2026 99:99:99 GMT"}, None),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9),
        ({"retry-after-ms": "-1", "retry-after": "9"}, None),
    ],
)
def test_how_long_to_wait(headers: dict[str, str], seconds: float | None) -> None:
    """A number, milliseconds, or a date by the server's own clock; what makes no sense is as if it
    were not there."""
    if headers.get("date") == "soon":  # by our clock, which is elsewhere
        assert (retry_after(headers) or 0) >= 0
    else:
        assert retry_after(headers) == seconds


def test_a_date_without_the_servers_clock_counts_from_ours() -> None:
    wait = retry_after({"retry-after": formatdate(time.time() + 40, usegmt=True)})
    assert wait is not None
    assert 30 < wait <= 40


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (400, b"The model `x` does not exist."),
        (400, b"Invalid model identifier x. Please specify a valid downloaded model."),
        (400, b"No models loaded. Please load a model in the developer page."),
        (400, b"Model Not Exist"),
        (400, b"Invalid model: x"),
        (400, b"The model `x` has been decommissioned and is no longer supported."),
        (400, b"x is not a valid model ID"),
        (400, b"Invalid model name passed in model=x."),
        (400, b"No models are currently loaded."),
        (422, b"model x not found"),
    ],
)
def test_a_model_that_is_not_there_is_recognised(code: int, message: bytes) -> None:
    """Each server has a sentence of its own for it."""
    assert model_is_gone(status(code, b'{"error": {"message": "' + message + b'"}}'))


@pytest.mark.parametrize(
    "message",
    [
        b"Invalid model output: retry",
        b"temperature must be at most 2 for this model",
        b"This model does not support image input",
        b"Unknown parameter: model_kwargs",
    ],
)
def test_a_mistake_of_the_request_is_no_missing_model(message: bytes) -> None:
    """It stays the client's, whatever it says of models."""
    refused = status(400, b'{"error": {"message": "' + message + b'"}}')
    assert not model_is_gone(refused)
    assert next_move(refused) is Move.FINAL
