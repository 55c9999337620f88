"""What a dialect is: a wire format, translated to and from OpenAI's.

OpenAI's format is the one that the router works with inside: requests are routed, answers judged,
continued and recorded in it. Another format is translated where it enters and leaves, a client's
in `api/`, a backend's in `upstream/`. Where both sides speak OpenAI's, bytes pass untouched.
"""

from typing import Any, Protocol

from airouter.domain.types import Endpoint


class Translator(Protocol):
    """Translates one answer, piece by piece."""

    def feed(self, data: bytes) -> bytes:
        """The translation of what can be translated so far; b"" when that is nothing."""
        ...

    def flush(self) -> bytes:
        """The rest, at the end of the answer."""
        ...


class BackendDialect(Protocol):
    """A backend's format. Stateless."""

    def request(self, endpoint: Endpoint, body: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """The path and the body of a request, made from OpenAI's body."""
        ...

    def reader(self, *, stream: bool) -> Translator | None:
        """Translates the body of an answer, errors included, into OpenAI's; None: it is OpenAI's.

        Args:
            stream: a stream of events is expected: it was asked for, and no error came.
        """
        ...


class ClientDialect(Protocol):
    """A client API's format. Stateless."""

    comment: bytes  # of a stream; keeps the connection alive while there is no content
    stream_type: str  # the Content-Type of a stream

    def parse(self, payload: dict[str, Any]) -> dict[str, Any]:
        """A chat completion in OpenAI's format.

        Raises:
            BadRequest: names the invalid parameter.
        """
        ...

    def writer(self, *, stream: bool) -> Translator | None:
        """Translates OpenAI's answer, or its events (comments, errors and `[DONE]` included);
        None: it is passed on as it is."""
        ...

    def error(self, body: dict[str, Any]) -> dict[str, Any]:
        """An error in this format, made from OpenAI's `{"error": …}`."""
        ...
