"""Requests to a server that may hang, redirect, or send too much: all of that is an answer, and
takes a limited time."""

import queue
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from airouter.dialects import wire_json
from airouter.domain.clock import Clock
from airouter.domain.redaction import masked_text

if TYPE_CHECKING:
    import requests

MOST_BYTES = 2_000_000  # of an answer; OpenRouter's list of models has half a million
REQUEST_LIMIT = 20.0  # seconds for one request; a model that has to be loaded takes that long
_HANGS = 2  # requests without an answer in time, one after the other, until no more are sent
_QUOTED = 160  # characters of a server's error message
_READ = 65_536  # bytes at a time


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a request.

    `status`: None when there was no answer, with the reason in `problem`. `pieces`: the body as it
    arrived, with the clock's seconds. `began`: when the request was sent.
    """

    status: int | None = None
    problem: str = ""
    pieces: list[tuple[float, bytes]] = field(default_factory=list)
    began: float = 0.0

    @property
    def body(self) -> bytes:
        return b"".join(piece for _, piece in self.pieces)

    @property
    def ok(self) -> bool:
        return self.status == 200

    def json(self) -> Any:
        """The body as JSON; None where it is not."""
        try:
            return wire_json.lenient(self.body)
        except (ValueError, RecursionError):
            return None

    def said(self) -> str:
        """What the server answered instead of what was wanted, as part of a sentence."""
        if self.status is None:
            return self.problem
        if 300 <= self.status < 400:
            return f"status {self.status}, a redirect, which is not followed"
        text = _message(self.json())
        if text:
            return f"status {self.status}: {quoted(text)}"
        if self.body.lstrip()[:1] == b"<":
            return f"status {self.status} with a page of HTML"
        if self.ok:
            return "status 200, but not the JSON of an answer"
        return f"status {self.status}"


class Server:
    """One server. Mutable state: the connection, and the time that is left.

    Args:
        limit: seconds for all requests together.
        connect_timeout: seconds.
    """

    def __init__(
        self,
        url: str,
        clock: Clock,
        *,
        api_key: str | None = None,
        ca_file: str | None = None,
        connect_timeout: float = 5.0,
        limit: float = 60.0,
    ) -> None:
        import certifi  # here: these take a tenth of a second, and other commands do not need them
        import requests

        self.url = url
        self.clock = clock
        self._until = clock.monotonic() + limit
        self._connect_timeout = connect_timeout
        self._verify = ca_file or certifi.where()
        self._headers = {"User-Agent": "ai-router", "Accept-Encoding": "identity"}
        if api_key:
            self._headers["Authorization"] = f"Bearer {api_key}"
        self._new_session = requests.Session
        self._session = requests.Session()
        self._hangs = 0

    def get(self, path: str) -> Answer:
        return self._ask("GET", path, None, {})

    def post(
        self, path: str, body: dict[str, Any], headers: dict[str, str] | None = None
    ) -> Answer:
        headers = {"Content-Type": "application/json", **(headers or {})}
        return self._ask("POST", path, orjson.dumps(body), headers)

    def _ask(self, method: str, path: str, data: bytes | None, headers: dict[str, str]) -> Answer:
        limit = min(REQUEST_LIMIT, self._until - self.clock.monotonic())
        if limit <= 0:
            return Answer(problem="not asked: no time was left")
        if self._hangs >= _HANGS:
            return Answer(problem="not asked: the server had not answered in time before")
        # In a thread of its own: no timeout of a library ends headers that arrive byte by byte.
        answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
        session = self._session
        threading.Thread(
            target=lambda: answers.put(self._send(session, method, path, data, headers, limit)),
            daemon=True,
        ).start()
        try:
            answer = answers.get(timeout=limit)
        except queue.Empty:
            answer = Answer(problem=f"no answer within {limit:.2g} s")
        if answer.problem.startswith("no answer within"):
            self._hangs += 1
            self._session = self._new_session()  # the thread may still use the other one
        else:
            self._hangs = 0
        return answer

    def _send(
        self,
        session: "requests.Session",
        method: str,
        path: str,
        data: bytes | None,
        headers: dict[str, str],
        limit: float,
    ) -> Answer:
        session.trust_env = False  # neither a proxy nor a key of .netrc
        began = self.clock.monotonic()
        pieces: list[tuple[float, bytes]] = []
        size = 0
        try:
            with session.request(
                method,
                f"{self.url}{path}",
                data=data,
                headers=self._headers | headers,
                timeout=(min(limit, self._connect_timeout), limit),
                allow_redirects=False,
                stream=True,
                verify=self._verify,
            ) as response:
                while piece := response.raw.read1(_READ):
                    now = self.clock.monotonic()
                    pieces.append((now, piece))
                    size += len(piece)
                    if size > MOST_BYTES:
                        return Answer(problem=f"an answer of more than {MOST_BYTES:,} bytes")
                    if now - began > limit:
                        return Answer(problem=f"no answer within {limit:.2g} s")
                return Answer(response.status_code, "", pieces, began)
        except Exception as error:  # of requests, urllib3, http.client, or the socket
            return Answer(problem=_why(error, limit))


def quoted(text: str) -> str:
    """A server's text, short, on one line, without the router's keys."""
    line = " ".join("".join(c if c.isprintable() else " " for c in masked_text(text)).split())
    return line if len(line) <= _QUOTED else f"{line[:_QUOTED]}…"


def _message(payload: Any) -> str:
    """The text of an error in the formats of OpenAI, Ollama and FastAPI."""
    error = payload.get("error", payload.get("detail")) if isinstance(payload, dict) else None
    if isinstance(error, dict):
        error = error.get("message")
    return error if isinstance(error, str) else ""


def _why(error: Exception, limit: float) -> str:
    """Why there is no answer. The exception's own text is left out: it may quote headers."""
    names = " ".join(type(each).__name__ + str(each) for each in _causes(error))
    if "ConnectTimeout" in names:
        return "no connection in time"
    if "ReadTimeout" in names or "timed out" in names:
        return f"no answer within {limit:.2g} s"
    if "CERTIFICATE_VERIFY_FAILED" in names:
        return "its certificate cannot be verified"
    if "SSL" in names:
        return "TLS does not work"
    if "NameResolution" in names or "gaierror" in names:
        return "its name cannot be resolved"
    if "Connection refused" in names:
        return "the connection is refused"
    if "NewConnectionError" in names:
        return "it cannot be reached"
    if "reset" in names or "RemoteDisconnected" in names or "IncompleteRead" in names:
        return "the connection was closed before the answer was complete"
    return f"the answer is not valid HTTP ({type(error).__name__})"


def _causes(error: BaseException | None) -> list[BaseException]:
    found: list[BaseException] = []
    while error is not None and len(found) < 8:
        found.append(error)
        error = getattr(error, "reason", None) or error.__cause__ or error.__context__
        if not isinstance(error, BaseException):
            break
    return found
