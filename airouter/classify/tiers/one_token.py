"""Tier 4: the classifier generates one constrained token, the label; the log-probabilities are its
confidence.

It needs a server that can constrain an answer to a choice: vLLM, by `structured_outputs.choice`
since 0.12 and `guided_choice` before. Whether the server can is tested by a canary, one such
request in the background after each start of the server. The first constrained request after a
start also loads the server's grammar library, which takes seconds; no client has to wait for it.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

import orjson

from airouter.classify.tiers.query import classifier_query, status_error
from airouter.dialects import wire_json
from airouter.domain.clock import Clock
from airouter.domain.errors import DeadlineExceeded, RouterError
from airouter.domain.labels import (
    CLASS_OF_LABEL,
    CLASSES,
    CLASSIFIER_LABELS,
    DEFAULT_LABEL,
    ROUTE_OF_LABEL,
)
from airouter.domain.types import Features, HttpRequest, Verdict, immutable
from airouter.flow.exchange import Exchange
from airouter.flow.waits import Waiting
from airouter.settings.cascade import OneTokenTierSettings
from airouter.telemetry.logs import Log
from airouter.upstream.backend import Backend
from airouter.upstream.client import Lease, side_lease

NAME = "one_token"
_TURN_CHARS = 300
_STRUCTURED_SINCE = (0, 12)
_NO_LABEL = "it does not answer with a label and log-probabilities"
# Statuses of a canary by which a server rejects constrained requests.
_UNSUITABLE = frozenset({400, 404, 405, 415, 422, 501})
CANARY_LIMIT = 30.0  # seconds; loading the grammar library takes 4 to 7 on two CPU cores
_RETRY_OFF = 300.0  # seconds until a server that rejected a canary is tested again
_RETRY = 5.0  # seconds until the next canary after one without a result, doubled up to _RETRY_OFF
_CANARY_ASK = "Query: Hello"


@immutable
class _ServerState:
    """What the canaries have shown about the server.

    `instance`: the start of the server, and its model, that this applies to. `parameter`: the
    request parameter for constraints, "" until a canary has passed. `off_reason`: why the tier is
    off, "" if it is not. `retry_at`: when the next canary is due. `backoff`: seconds until the one
    after it.
    """

    instance: tuple[int, str | None] | None = None
    parameter: str = ""
    off_reason: str = ""
    retry_at: float = 0.0
    backoff: float = _RETRY


class OneTokenTier:
    """Calls one backend; abstains if it is unsure or the call fails.

    Only canaries switch the tier on and off. If the server rejects a client's request, because it
    exceeds the context window for example, the tier just abstains. Cloud backends get no canary,
    which might cost money; there, the first request shows whether the server can be constrained.

    Mutable state: what is known about the server, replaced as a whole.
    """

    name = NAME
    instant = False

    def __init__(
        self, backend: Backend, settings: OneTokenTierSettings, rubric: str, clock: Clock, log: Log
    ) -> None:
        self._backend = backend
        self._settings = settings
        self._rubric = rubric
        self._clock = clock
        self._log = log
        self._server = _ServerState()

    def ask(self, exchange: Exchange, features: Features) -> Waiting[Verdict]:
        reason = self._why_unavailable()
        if reason is not None:
            return Verdict(NAME, None, reason=reason)
        began = self._clock.monotonic()
        try:
            with side_lease(exchange, self._backend, hurried=True) as lease:
                shares = yield from self._shares(lease, features)
        except DeadlineExceeded:
            raise
        except RouterError as error:
            return Verdict(
                NAME, None, ms=self._since(began), reason=f"{error.code}: {error.message}"
            )
        if shares is None:
            return Verdict(
                NAME,
                None,
                ms=self._since(began),
                reason="the answer was not a label with log-probabilities",
            )
        return self._verdict(shares, self._since(began))

    def _verdict(self, shares: Mapping[str, float], ms: float) -> Verdict:
        """The most probable route decides: SIMPLE and MODERATE share one, so their probabilities
        are added."""
        routes = dict.fromkeys(map(ROUTE_OF_LABEL.__getitem__, shares), 0.0)
        for name, share in shares.items():
            routes[ROUTE_OF_LABEL[name]] += share
        route = max(routes, key=routes.__getitem__)
        label = max((n for n in shares if ROUTE_OF_LABEL[n] == route), key=shares.__getitem__)
        classes = dict.fromkeys(CLASSES, 0.0)
        for name, share in shares.items():
            classes[CLASS_OF_LABEL[name]] += share
        p, threshold = routes[route], self._settings.min_p
        raw = orjson.dumps({name: round(share, 4) for name, share in shares.items()}).decode()
        sure = p >= threshold
        return Verdict(
            NAME, label if sure else None, p=p, threshold=threshold, ms=ms, raw=raw,
            reason="" if sure else f"unsure: {label} at {p:.2f}", finish_reason="stop", guess=label,
            p_primary=routes[ROUTE_OF_LABEL[DEFAULT_LABEL]], shares=tuple(classes.values()),
        )  # fmt: skip

    def _since(self, started: float) -> float:
        return (self._clock.monotonic() - started) * 1000

    def _shares(self, lease: Lease, features: Features) -> Waiting[dict[str, float] | None]:
        """The labels' probabilities, which add up to 1; None if the answer contains none."""
        timeout = self._settings.timeout
        yield from lease.enter("interactive", timeout)
        parameter = self._server.parameter or (yield from self._find_parameter(lease))
        query = classifier_query(features, self._settings, _TURN_CHARS)
        status, raw = yield from self._send(lease, query, parameter, timeout)
        if status != 200:
            raise status_error(self._backend, status, raw)
        shares = read_shares(raw)
        if not self._sends_canaries and not self._server.parameter:  # this answer is the test
            instance = self._instance(lease.model)
            if shares is None:
                self._switch_off(instance, _NO_LABEL)
            else:
                self._server = _ServerState(instance, parameter)
        return shares

    # What is known about the server ---------------------------------------------------------------

    def _instance(self, model: str | None) -> tuple[int, str | None]:
        return self._backend.restarts, model

    @property
    def _sends_canaries(self) -> bool:
        return self._backend.provider.constrains and self._backend.settings.local

    def _why_unavailable(self) -> str | None:
        """Why the server cannot be asked now; None if it can."""
        backend, server = self._backend, self._server
        if not backend.provider.constrains:
            return "the server cannot constrain an answer to a choice"
        if not self._sends_canaries:
            waiting = self._clock.monotonic() < server.retry_at
            return server.off_reason if server.off_reason and waiting else None
        if server.off_reason:
            return server.off_reason
        if server.parameter and server.instance == self._instance(backend.model):
            return None
        return "warming up: no canary has passed since the server came up"

    def canary_due(self) -> bool:
        """Whether `canary()` should be run now. Cheap: the housekeeper calls it twice a second."""
        backend, server = self._backend, self._server
        if not self._sends_canaries or backend.out or backend.pause.reason is not None:
            return False
        # Cooling or open: known to be down. A half-open backend does get a canary: if only this
        # tier uses it, there is no other request that could close the breaker.
        if backend.breaker.state in ("cooling", "open"):
            return False
        if backend.limiter.in_use >= backend.limiter.slots:
            return False
        if server.instance != self._instance(backend.model):
            return True
        return not server.parameter and self._clock.monotonic() >= server.retry_at

    def canary(self, exchange: Exchange) -> Waiting[None]:
        """Send one constrained request, which shows whether the tier can be used.

        It bypasses the breaker: canaries are slow by nature, their failures affect no client, and a
        canary must not take the place of a half-open breaker's one request.

        Raises:
            ClientGone: the exchange was cancelled.
        """
        backend, before, began = self._backend, self._server, self._clock.monotonic()
        lease = Lease(exchange, backend)
        if not lease.take_slot():
            lease.close()
            return
        restarts = backend.restarts
        instance = restarts, backend.model
        backoff = min(_RETRY_OFF, before.backoff * 2) if before.instance == instance else _RETRY
        # If anything fails from here on, the next canary is not due at once.
        self._retry_later(instance, backoff)
        try:
            yield from lease.read_model()
            instance = restarts, lease.model
            self._retry_later(instance, backoff)
            parameter = yield from self._find_parameter(lease)
            status, raw = yield from self._send(lease, _CANARY_ASK, parameter, CANARY_LIMIT)
        except RouterError:
            self._retry_later(instance, backoff)
            return
        finally:
            lease.close()
        ms = self._since(began)
        if status == 200 and read_shares(raw) is not None:
            self._server = _ServerState(instance, parameter)
            self._log.info(
                "The one-token tier is on: backend %s answered its canary in %dms",
                backend.name,
                round(ms),
            )
        elif status == 200:
            self._switch_off(instance, _NO_LABEL)
        elif status in _UNSUITABLE:
            if status == 404:
                backend.relearn()  # it may serve another model by now
            self._switch_off(instance, f"it answered with status {status}")
        else:
            self._retry_later(instance, backoff)

    def _retry_later(self, instance: tuple[int, str | None], backoff: float) -> None:
        """Record that no canary has passed since this start of the server."""
        retry_at = self._clock.monotonic() + backoff
        self._server = _ServerState(instance, "", self._server.off_reason, retry_at, backoff)

    def _switch_off(self, instance: tuple[int, str | None], why: str) -> None:
        was_off = bool(self._server.off_reason)
        reason = f"the server cannot constrain an answer to a choice: {why}"
        self._server = _ServerState(instance, "", reason, self._clock.monotonic() + _RETRY_OFF)
        if not was_off:
            self._log.warning(
                "The one-token tier is off: backend %s cannot be constrained to a label, %s",
                self._backend.name,
                why,
            )

    # The request ----------------------------------------------------------------------------------

    def _send(
        self, lease: Lease, prompt: str, parameter: str, timeout: float
    ) -> Waiting[tuple[int, bytes]]:
        return (yield from lease.whole("chat", self._body(lease.model, prompt, parameter), timeout))

    def _find_parameter(self, lease: Lease) -> Waiting[str]:
        request = HttpRequest("GET", "/version", self._backend.headers)
        status, body = yield from lease.fetch(request, self._settings.timeout)
        found = re.search(rb'"version"\s*:\s*"v?(\d+)\.(\d+)', body) if status == 200 else None
        version = (int(found[1]), int(found[2])) if found else _STRUCTURED_SINCE
        return "structured_outputs" if version >= _STRUCTURED_SINCE else "guided_choice"

    def _body(self, model: str, prompt: str, parameter: str) -> dict[str, Any]:
        """The request's body; static text comes first, for the server's prefix cache.

        `include_reasoning: false` is not set: with a reasoning or tool parser enabled, vLLM would
        then drop the log-probabilities.
        """
        choice: dict[str, Any] = (
            {"structured_outputs": {"choice": list(CLASSIFIER_LABELS)}}
            if parameter == "structured_outputs"
            else {"guided_choice": list(CLASSIFIER_LABELS)}
        )
        return {
            "model": model,
            "messages": [
                {"role": "system", "content": self._rubric},
                {"role": "user", "content": prompt},
            ],
            "temperature": 0,
            "max_tokens": 1,
            "logprobs": True,
            "top_logprobs": 20,
            "chat_template_kwargs": {"enable_thinking": False},
            **choice,
        }


def read_shares(raw: bytes) -> dict[str, float] | None:
    """The probability of each label according to a one-token answer; None if its token does not
    begin a label.

    Log-probabilities are those before the constraint: tokens that do not begin a label are left
    out, and the others are normalised to 1. The message itself is ignored, because a reasoning
    parser may have taken its only token for reasoning.
    """
    try:
        # Lenient: servers write NaN and -Infinity as log-probabilities, which is invalid JSON.
        first = wire_json.lenient(raw)["choices"][0]
        given = first["logprobs"]["content"][0]
        tokens = [
            (given["token"], given["logprob"]),
            *((top["token"], top["logprob"]) for top in given.get("top_logprobs") or ()),
        ]
        chosen, shares = tokens[0][0], dict(tokens)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None
    if _label_of(chosen) is None:
        return None
    weights = dict.fromkeys(CLASSIFIER_LABELS, 0.0)
    for token, logprob in shares.items():
        label = _label_of(token)
        # The comparison is false for NaN, too; below -700 the probability is 0.
        if label is not None and isinstance(logprob, int | float) and logprob > -700:
            weights[label] += math.exp(min(0.0, logprob))
    total = sum(weights.values())
    return {label: weight / total for label, weight in weights.items()} if total > 0 else None


def _label_of(token: Any) -> str | None:
    """The label that the token begins; None if there is none, or more than one."""
    start = token.strip().upper() if isinstance(token, str) else ""
    fitting = [label for label in CLASSIFIER_LABELS if start and label.startswith(start)]
    return fitting[0] if len(fitting) == 1 else None
