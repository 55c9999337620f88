"""The router's exceptions. Each carries the client's HTTP status, the side at fault, and whether a
backend may have received the request."""

from typing import Any, Literal

from airouter.domain.redaction import masked, masked_text

Blame = Literal["client", "us", "upstream"]
Reason = Literal[
    "ok",
    "client_invalid",
    "client_auth",
    "client_gone",
    "client_timeout",
    "policy_rate_limited",
    "policy_refused",
    "backend_unreachable",
    "backend_timeout",
    "backend_error",
    "backend_broken",
    "backend_busy",
    "router_error",
    "router_shutdown",
]


# A backend's statuses that are the request's own fault.
CLIENTS_FAULT = frozenset({400, 404, 413, 422})


class RouterError(Exception):
    """Ends an exchange with an OpenAI-shaped error body.

    Args:
        message: one sentence for the client that says what to do; never the text of another
            exception.
        retry_after: value of the `Retry-After` header, in whole seconds.
    """

    status = 500
    code = "internal_error"
    type = "server_error"
    blame: Blame = "us"
    reason: Reason = "router_error"  # why a request ended, in the metrics

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str | None = None,
        param: str | None = None,
        retry_after: int | None = None,
        details: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
        blame: Blame | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status or self.status
        self.code = code or self.code
        self.param = param
        self.retry_after = retry_after
        self.details = details
        self.headers = headers or {}
        self.blame = blame or self.blame

    def body(self) -> dict[str, Any]:
        """The error in OpenAI's format: `{"error": {message, type, param, code}}`."""
        error: dict[str, Any] = {
            "message": self.message,
            "type": self.type,
            "param": self.param,
            "code": self.code,
        }
        if self.details:
            error.update(self.details)
        return {"error": error}


class BadRequest(RouterError):
    """The client sent an invalid request."""

    status = 400
    code = "invalid_request"
    type = "invalid_request_error"
    blame: Blame = "client"
    reason: Reason = "client_invalid"


class Unauthorized(RouterError):
    status = 401
    code = "invalid_api_key"
    type = "invalid_request_error"
    blame: Blame = "client"

    @property
    def reason(self) -> Reason:  # type: ignore[override]
        return "client_auth" if self.status == 401 else "policy_refused"


class NotFound(BadRequest):
    status = 404
    code = "not_found"


class TooLarge(BadRequest):
    status = 413
    code = "request_too_large"


class UnsupportedEncoding(BadRequest):
    """The body's Content-Encoding is not supported."""

    status = 415
    code = "unsupported_content_encoding"


class RequestTimeout(BadRequest):
    """The client did not send its body in time."""

    status = 408
    code = "request_timeout"
    reason: Reason = "client_timeout"


class ConfigError(RouterError):
    """Invalid configuration; the message names the setting and the correction."""

    code = "invalid_configuration"


class NoBackend(RouterError):
    """No backend is available for the request."""

    status = 503
    code = "no_backend"
    reason: Reason = "backend_unreachable"


class Busy(RouterError):
    """The request was not admitted: the queue is full, or the wait for a slot timed out."""

    status = 429
    code = "rate_limit_exceeded"
    type = "rate_limit_error"
    reason: Reason = "backend_busy"


class RateLimited(RouterError):
    """The client's key has used up its requests of this minute."""

    status = 429
    code = "rate_limit_exceeded"
    type = "rate_limit_error"
    blame: Blame = "client"
    reason: Reason = "policy_rate_limited"


class DeadlineExceeded(RouterError):
    """The exchange as a whole timed out; not counted against a backend's health."""

    status = 504
    code = "deadline_exceeded"
    type = "timeout_error"

    @property
    def reason(self) -> Reason:  # type: ignore[override]
        if self.code == "shutting_down":
            return "router_shutdown"
        return "client_timeout" if self.blame == "client" else "backend_timeout"


class UpstreamError(RouterError):
    """A backend failed. `sent`: whether it may have received the request."""

    status = 502
    code = "upstream_error"
    type = "upstream_error"
    blame: Blame = "upstream"
    reason: Reason = "backend_error"
    sent = True


class ConnectFailed(UpstreamError):
    """Connecting failed: the backend has not received the request.

    `down`: whether the backend may be temporarily down; False for an untrusted certificate, which
    a retry does not fix.
    """

    code = "upstream_unreachable"
    reason: Reason = "backend_unreachable"
    sent = False

    def __init__(self, message: str, *, down: bool = True) -> None:
        super().__init__(message)
        self.down = down


class UpstreamTimeout(UpstreamError):
    """A timeout expired. `phase`: connect, first_byte, idle or total; `received`: whether the
    answer had started."""

    status = 504
    code = "upstream_timeout"
    type = "timeout_error"
    reason: Reason = "backend_timeout"

    def __init__(self, message: str, *, phase: str, received: bool = True) -> None:
        super().__init__(message)
        self.phase = phase
        self.received = received
        self.sent = phase != "connect"


class UpstreamBroken(UpstreamError):
    """The connection broke, or the response was invalid.

    `received`: whether any byte of the answer had arrived. `resent`: whether the request had
    already been retried on a new connection, because the first attempt used a stale keep-alive
    connection. `silent`: whether the backend had sent nothing for a while before it closed.
    """

    code = "upstream_broken"
    reason: Reason = "backend_broken"

    def __init__(
        self, message: str, *, received: bool = True, resent: bool = False, silent: bool = False
    ) -> None:
        super().__init__(message)
        self.received = received
        self.resent = resent
        self.silent = silent


class UpstreamStatus(UpstreamError):
    """The backend answered with an error status. Its answer may quote the request's headers, so the
    router's keys are masked before it is read, cut or logged."""

    def __init__(
        self, message: str, *, upstream_status: int, body: bytes, headers: dict[str, str]
    ) -> None:
        super().__init__(message)
        self.upstream_status = upstream_status
        self.upstream_body = masked(body)
        self.upstream_headers = {name: masked_text(value) for name, value in headers.items()}

    @property
    def reason(self) -> Reason:  # type: ignore[override]
        if self.upstream_status == 429:
            return "backend_busy"
        return "client_invalid" if self.upstream_status in CLIENTS_FAULT else "backend_error"


class PatienceOver(Exception):
    """The decision took longer than `cascade.patience`, while a finished speculative answer waited.
    Not counted as a failure of a backend."""


class ClientGone(Exception):
    """The client closed its connection. Not counted as a failure of a backend."""


def forget_traceback(error: BaseException) -> None:
    """Break the reference cycle of an error that is kept or has been answered: its traceback holds
    the frames, and these hold the error and all that belongs to the request."""
    error.__traceback__ = error.__context__ = None
