"""One tree of errors: what status the client sees, who is to blame, and whether a backend may have received the request."""

from typing import Any, Literal

from airouter.redaction import masked, masked_text

Blame = Literal["client", "us", "upstream"]


class RouterError(Exception):
    """Anything that ends an exchange with an OpenAI-shaped error body.

    Args:
        message: one sentence for the caller that says what to do; never an exception's text.
        retry_after: seconds, whole, for the `Retry-After` header.
    """

    status = 500
    code = "internal_error"
    type = "server_error"
    blame: Blame = "us"

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
        """The error as OpenAI's clients expect it: `{"error": {message, type, param, code}}`."""
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
    """The client sent something that no backend could answer."""

    status = 400
    code = "invalid_request"
    type = "invalid_request_error"
    blame: Blame = "client"


class Unauthorized(RouterError):
    status = 401
    code = "invalid_api_key"
    type = "invalid_request_error"
    blame: Blame = "client"


class NotFound(BadRequest):
    status = 404
    code = "not_found"


class TooLarge(BadRequest):
    status = 413
    code = "request_too_large"


class UnsupportedEncoding(BadRequest):
    """The body is compressed in a way that is not understood here."""

    status = 415
    code = "unsupported_content_encoding"


class RequestTimeout(BadRequest):
    """The client did not send its body in time."""

    status = 408
    code = "request_timeout"


class ConfigError(RouterError):
    """A configuration that cannot be used; the message says where and what would be right."""

    code = "invalid_configuration"


class NoBackend(RouterError):
    """Nothing is left that could answer."""

    status = 503
    code = "no_backend"


class Busy(RouterError):
    """The request was not admitted: too many are waiting, or it waited too long."""

    status = 429
    code = "rate_limit_exceeded"
    type = "rate_limit_error"


class DeadlineExceeded(RouterError):
    """The exchange as a whole took too long; says nothing about a backend's health."""

    status = 504
    code = "deadline_exceeded"
    type = "timeout_error"


class UpstreamError(RouterError):
    """A backend failed. `sent` tells whether it may have received the request."""

    status = 502
    code = "upstream_error"
    type = "upstream_error"
    blame: Blame = "upstream"
    sent = True


class ConnectFailed(UpstreamError):
    """No connection: the backend certainly did not see the request.

    `down` tells whether it may merely not be up yet; a certificate that is not trusted stays so.
    """

    code = "upstream_unreachable"
    sent = False

    def __init__(self, message: str, *, down: bool = True) -> None:
        super().__init__(message)
        self.down = down


class UpstreamTimeout(UpstreamError):
    """One of the limits (connect, first_byte, idle, total) ran out; `phase` names it, `received` says whether the answer
    had begun."""

    status = 504
    code = "upstream_timeout"
    type = "timeout_error"

    def __init__(self, message: str, *, phase: str, received: bool = True) -> None:
        super().__init__(message)
        self.phase = phase
        self.received = received
        self.sent = phase != "connect"


class UpstreamBroken(UpstreamError):
    """The connection broke, or what came over it was not HTTP or not what was asked for.

    `received` tells whether any byte of an answer had arrived, `resent` whether the request was
    already sent a second time, because the connection it first went out on had been kept open from
    before, and `silent` whether the backend had said nothing for a while before it closed.
    """

    code = "upstream_broken"

    def __init__(
        self, message: str, *, received: bool = True, resent: bool = False, silent: bool = False
    ) -> None:
        super().__init__(message)
        self.received = received
        self.resent = resent
        self.silent = silent


class UpstreamStatus(UpstreamError):
    """The backend answered with an error status of its own. It may quote the request's headers: the
    router's keys are masked before anything of it is read, cut or logged."""

    def __init__(
        self, message: str, *, upstream_status: int, body: bytes, headers: dict[str, str]
    ) -> None:
        super().__init__(message)
        self.upstream_status = upstream_status
        self.upstream_body = masked(body)
        self.upstream_headers = {name: masked_text(value) for name, value in headers.items()}


class PatienceOver(Exception):
    """A decision takes longer than a finished answer is held for it. Never held against a
    backend."""


class ClientGone(Exception):
    """The client closed its connection; nobody is left to answer. Never held against a backend."""
