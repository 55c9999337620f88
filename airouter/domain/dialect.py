"""Dialects: wire formats that are translated to and from OpenAI's.

The router uses OpenAI's format internally: it routes requests, checks and continues answers, and
writes records in it. Other formats are translated at the edges, a client's in `api/`, a backend's
in `upstream/`. If both sides use OpenAI's format, bytes are passed on unchanged.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from airouter.domain.types import Endpoint, immutable


class Translator(Protocol):
    """Translates one answer incrementally."""

    def feed(self, data: bytes) -> bytes:
        """The next part of the translation; b"" if more input is needed."""
        ...

    def flush(self) -> bytes:
        """The rest, at the end of the answer."""
        ...


@immutable
class Original:
    """A request as its client sent it, for backends that speak the client's dialect.

    `headers`: those that belong to the API. `adjusted`: what was changed whatever the backend
    speaks.
    """

    payload: dict[str, Any]
    headers: Mapping[str, str]
    adjusted: tuple[str, ...] = ()


@immutable
class Native:
    """A request to a backend that speaks the client's dialect: sent as it is.

    `reader`: makes a translator of answers, by whether the answer is a stream. It says in OpenAI's
    format what the answer means, and carries the answer itself to the client's writer.
    """

    path: str
    body: dict[str, Any]
    headers: Mapping[str, str]
    reader: Callable[[bool], Translator]


class BackendDialect(Protocol):
    """A backend's format. Stateless."""

    def request(self, endpoint: Endpoint, body: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """The path and body of a request, from a body in OpenAI's format."""
        ...

    def reader(self, *, stream: bool) -> Translator | None:
        """A translator of answers, errors included, to OpenAI's format; None if they are in it.

        Args:
            stream: whether the answer is a stream: one was requested, and it is not an error.
        """
        ...


class ClientDialect(Protocol):
    """A client API's format. Immutable; may be made for one request."""

    comment: bytes  # keeps a stream's connection alive while there is no content
    stream_type: str  # the Content-Type of a stream

    def parse(self, payload: dict[str, Any]) -> dict[str, Any]:
        """The client's request in OpenAI's format, as the endpoint that answers it takes it.

        Raises:
            BadRequest: the request is invalid; the error names the parameter.
        """
        ...

    def writer(self, *, stream: bool) -> Translator | None:
        """A translator of answers in OpenAI's format, or of a stream's events, with comments,
        errors and `[DONE]`; None if they are passed on unchanged."""
        ...

    def error(self, body: dict[str, Any]) -> dict[str, Any]:
        """An error in this format, from OpenAI's `{"error": …}`."""
        ...
