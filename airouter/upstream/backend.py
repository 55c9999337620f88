"""A backend at run time: its settings, where it is, its slots, its model's name."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from airouter.dialects import wire_json
from airouter.domain.clock import Clock
from airouter.domain.errors import UpstreamBroken
from airouter.domain.ports import Breaker, Limiter, Provider
from airouter.domain.types import HttpRequest
from airouter.resilience.breaker import Pause
from airouter.resilience.traffic import Traffic
from airouter.settings.schema import BackendSettings
from airouter.telemetry.logs import SILENT, Log
from airouter.upstream import egress
from airouter.upstream.egress import Check
from airouter.upstream.transport.call import Call
from airouter.upstream.transport.pool import Origin


@dataclass(frozen=True, slots=True)
class ServerLoad:
    """What a vLLM server states at /metrics: requests that it runs and that wait in it, from all
    its clients, and the share of prompt tokens that its prefix cache had, since its start (None:
    no prompt yet)."""

    running: float
    waiting: float
    hit_ratio: float | None


class Backend:
    """One configured server. Mutable state: whether it is out of service (set by the operator), and
    the model it was found to serve, with its context window and whether they are to be read again;
    under a lock. What the housekeeper reads of the server are plain attributes.

    Args:
        limiter, breaker: of this backend; their implementation is chosen in `app.py`.
        checks: on what is sent to it; None: those of `egress.py`.
        connect: makes its calls; another one than `Call` needs no socket.
    """

    def __init__(
        self,
        name: str,
        settings: BackendSettings,
        provider: Provider,
        clock: Clock,
        *,
        limiter: Limiter,
        breaker: Breaker,
        log: Log = SILENT,
        checks: tuple[Check, ...] | None = None,
        connect: Callable[..., Call] = Call,
    ) -> None:
        assert settings.url is not None
        self.name = name
        self.settings = settings
        self.group = settings.group  # under whose name it is configured; None: it has no replicas
        self.provider = provider
        self.clock = clock
        self.log = log
        self.checks = egress.CHECKS if checks is None else checks  # every request passes them
        self.connect = connect  # makes a call, which is not started yet
        self.origin = Origin(settings.url, clock, ca_file=settings.ca_file)
        self.limiter = limiter
        self.traffic = Traffic(name)
        self.breaker = breaker
        self.pause = Pause(clock)
        self.headers = provider.headers(settings.api_key)
        self.on_state: Callable[[str, str], None] = _ignore  # told (name, breaker's new state)
        self.out = False  # taken out of service by the operator
        self.returned_at: float | None = None  # back in service, in seconds of the clock
        # False where it shares slots with a classifier: each would wait for the other.
        self.may_speculate = True
        self.restarts = 0  # how often the server has come up anew, as far as can be told
        self.seen_up = False  # a probe found it up
        self.load: ServerLoad | None = None  # as of the last probe; None: it states none
        self.loaded: bool | None = None  # its model, as of the last probe; None: it does not say
        # Whether it is asked: of replicas, until it turns out that it cannot say.
        self.states_loaded = self._may_state_loaded
        self.prefill: float | None = None  # prompt tokens per second, as its answers show
        self._lock = threading.Lock()
        self._model = settings.model
        self._known = settings.model is not None
        self._window: int | None = None
        self._window_read = settings.context_window is not None

    @property
    def context_window(self) -> int | None:
        """Tokens it can read and write in one request: as configured, else as /v1/models says;
        None: unknown."""
        return self.settings.context_window or self._window

    @property
    def model(self) -> str | None:
        """The model to ask for; None until `learn_model()` has read it from /v1/models."""
        return self._model

    # May it be asked? Each question includes those before it.

    @property
    def can_answer(self) -> bool:
        """In service, and not known to fail."""
        return not self.out and self.breaker.available

    @property
    def can_answer_now(self) -> bool:
        """`can_answer`, and it is not swapping or loading a model."""
        return self.can_answer and self.pause.reason is None

    @property
    def in_good_health(self) -> bool:
        """`can_answer_now`, and no failure lately, so that nothing has yet to be tried."""
        return self.can_answer_now and self.breaker.state == "closed"

    @property
    def continues(self) -> Literal["vllm", "prefill"] | None:
        """How it is made to go on with a cut answer; None where it cannot."""
        if self.settings.continues == "auto":
            return "vllm" if self.provider.continues else None
        return self.settings.continues if self.settings.continues == "prefill" else None

    @property
    def model_known(self) -> bool:
        """Whether `model` need not be read (again) before it is asked for."""
        return self._known

    @property
    def _may_state_loaded(self) -> bool:
        return self.group is not None and self.settings.kind in ("ollama", "openai")

    def relearn(self) -> None:
        """It may serve another model by now: read its name again, unless it is configured."""
        with self._lock:
            self._known = self.settings.model is not None
            self._window_read = self.settings.context_window is not None

    def restarted(self) -> None:
        """The server has come up anew: what was learnt of it may hold no longer."""
        self.relearn()
        self.states_loaded = self._may_state_loaded
        with self._lock:
            self.restarts += 1

    def put_back(self) -> None:
        """In service again, by the operator."""
        if self.out:
            self.out, self.returned_at = False, self.clock.monotonic()

    def inherit(self, before: "Backend") -> None:
        """Take over from the backend of this name in the configuration before what is not
        configuration."""
        self.out, self.returned_at = before.out, before.returned_at
        if before.settings.url == self.settings.url:
            self.prefill = before.prefill
            if before.pause.reason is not None:
                self.pause.begin(before.pause.reason, before.pause.seconds_left())
            with self._lock:
                if self._model is None and before.settings.model is None:
                    self._model, self._known = before.model, before.model_known
                if self._model == before.model:
                    self._window = before._window
                    self._window_read = self._window_read or before._window_read

    @property
    def url(self) -> str:
        return self.origin.url

    @property
    def local(self) -> bool:
        return self.settings.local

    def models_request(self) -> HttpRequest:
        return HttpRequest("GET", "/v1/models", self.headers)

    def health_request(self) -> HttpRequest:
        """The cheapest request that tells whether the backend is up; it never costs money."""
        return (
            HttpRequest("GET", self.provider.health_path, self.headers)
            if self.provider.health_path
            else self.models_request()
        )

    @property
    def unread(self) -> bool:
        """Whether its list of models has yet to be read: for its model's name, or for its
        context window."""
        return not (self._known and self._window_read)

    def probe_request(self) -> HttpRequest:
        """`health_request()`; of one that is up and whose list of models has yet to be read,
        that list."""
        wanted = not self._known or (self.seen_up and self.unread)
        return self.models_request() if wanted else self.health_request()

    def learn(self, body: bytes) -> None:
        """Take from the answer to `models_request()` what is not known yet; b"" when there is no
        such list."""
        if not self._known and model_names(body):
            self.learn_model(body)
        self._learn_window(body)

    def learn_model(self, body: bytes) -> str:
        """Take the first model of a /v1/models answer.

        Raises:
            UpstreamBroken: the answer lists none.
        """
        names = model_names(body)
        if not names:
            raise UpstreamBroken(
                f"The backend {self.name!r} lists no model at /v1/models; "
                "set its model in the configuration."
            )
        with self._lock:
            if not self._known or self._model is None:
                self._model, self._known = names[0], True
            model = self._model
        self._learn_window(body)
        return model

    def _learn_window(self, body: bytes) -> None:
        """A list of models without a window is an answer, too: it is not asked for again."""
        with self._lock:
            if not self._window_read and self._model is not None:
                self._window, self._window_read = window_of(body, self._model), True


def _ignore(_name: str, _state: str) -> None: ...


def model_names(body: bytes) -> list[str]:
    """The ids of a /v1/models answer; [] when it is not one."""
    return [entry["id"] for entry in _entries(body)]


def window_of(body: bytes, model: str) -> int | None:
    """The context window that a /v1/models answer states for a model: vLLM and SGLang,
    OpenRouter and LM Studio, Groq."""
    for entry in _entries(body):
        if entry["id"] == model:
            for name in ("max_model_len", "context_length", "context_window"):
                value = entry.get(name)
                if isinstance(value, int) and not isinstance(value, bool) and value > 0:
                    return value
    return None


def _entries(body: bytes) -> list[dict[str, Any]]:
    try:
        payload: Any = wire_json.strict(body)
    except orjson.JSONDecodeError:
        return []
    entries = payload.get("data") if isinstance(payload, dict) else None
    if not isinstance(entries, list):
        return []
    return [e for e in entries if isinstance(e, dict) and isinstance(e.get("id"), str)]
