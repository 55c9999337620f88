"""The header X-Router-Timeout: a client's own deadline for one request."""

from airouter.domain.errors import BadRequest


def seconds_of(text: str) -> float:
    """The seconds that the header says.

    Raises:
        BadRequest: it is no number of seconds.
    """
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e6:
        raise BadRequest(
            "X-Router-Timeout must be a number of seconds, such as 30.",
            code="invalid_timeout",
        )
    return seconds
