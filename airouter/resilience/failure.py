"""How a failed call counts against its backend. Pure."""

from airouter.domain.errors import (
    ConnectFailed,
    RouterError,
    UpstreamError,
    UpstreamStatus,
    UpstreamTimeout,
)
from airouter.domain.ports import Failure


def failure_of(error: RouterError) -> Failure | None:
    """The kind of failure for the breaker; None if it does not count (4xx, a client's timeout, no
    slot)."""
    if isinstance(error, ConnectFailed):
        return "connect"
    if isinstance(error, UpstreamTimeout):
        if error.phase == "connect":
            return "connect"
        return "silent" if error.phase in ("first_byte", "idle") or not error.received else "other"
    if isinstance(error, UpstreamStatus):
        return "other" if error.upstream_status >= 500 else None
    return "other" if isinstance(error, UpstreamError) else None
