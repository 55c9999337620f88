"""Tier 4: the router model names the label in a single, constrained token; its log-probabilities say how sure it is.

Needs a server that can constrain an answer to a choice (vLLM). `structured_outputs.choice` since 0.12, `guided_choice`
before. Where the first answer shows that the server does not honour it, the tier switches itself off and says so once.
"""

import json
import math
import re
from collections.abc import Generator, Mapping
from typing import Any

import orjson

from airouter.clock import Clock
from airouter.errors import DeadlineExceeded, RouterError, UpstreamError
from airouter.exchange.admission import admit
from airouter.exchange.exchange import Exchange, Keepalive
from airouter.exchange.fetch import fetch, fetch_model
from airouter.exchange.guarded import guarded
from airouter.routing.tiers.reasoning import middle_out
from airouter.settings import OneTokenTier as TierSettings
from airouter.telemetry.logs import Log
from airouter.types import Features, HttpRequest, Verdict
from airouter.upstream.backend import Backend

NAME = "one_token"
LABELS = ("SIMPLE", "MODERATE", "COMPLEX", "ENRICH")
_TURN_CHARS = 300
_STRUCTURED_SINCE = (0, 12)


class OneTokenTier:
    """Asks one backend; abstains, never raises, when it is unsure or cannot be asked.

    Mutable state: how the server takes its choice ("" while unknown, "off" when it does not), set once it is known.
    """

    name = NAME
    instant = False

    def __init__(
        self, backend: Backend, settings: TierSettings, rubric: str, clock: Clock, log: Log
    ) -> None:
        self._backend = backend
        self._settings = settings
        self._rubric = rubric
        self._clock = clock
        self._log = log
        self._way = "" if backend.provider.constrains else "off"

    def ask(self, exchange: Exchange, features: Features) -> Generator[Keepalive, None, Verdict]:
        if self._way == "off":
            return Verdict(NAME, None, reason="the server cannot constrain an answer to a choice")
        started = self._clock.monotonic()
        try:
            shares = yield from guarded(
                exchange, self._backend, self._shares(exchange, features), silence_counts=False
            )
        except DeadlineExceeded:
            raise
        except RouterError as error:
            return Verdict(
                NAME, None, ms=self._since(started), reason=f"{error.code}: {error.message}"
            )
        if shares is None:
            return Verdict(
                NAME,
                None,
                ms=self._since(started),
                reason="the answer was no label with log-probabilities",
            )
        return self._verdict(shares, self._since(started))

    def _verdict(self, shares: Mapping[str, float], ms: float) -> Verdict:
        """SIMPLE and MODERATE share a route: what counts is how sure the route is."""
        local = shares["SIMPLE"] + shares["MODERATE"]
        routes = {
            "COMPLEX": shares["COMPLEX"],
            "ENRICH": shares["ENRICH"],
            ("SIMPLE" if shares["SIMPLE"] > shares["MODERATE"] else "MODERATE"): local,
        }
        label = max(routes, key=lambda name: routes[name])
        p, threshold = routes[label], self._settings.min_p
        raw = orjson.dumps({name: round(share, 4) for name, share in shares.items()}).decode()
        sure = p >= threshold
        return Verdict(
            NAME, label if sure else None, p=p, threshold=threshold, ms=ms, raw=raw,
            reason="" if sure else f"unsure: {label} at {p:.2f}", finish_reason="stop", guess=label, p_primary=local,
        )  # fmt: skip

    def _since(self, started: float) -> float:
        return (self._clock.monotonic() - started) * 1000

    def _shares(
        self, exchange: Exchange, features: Features
    ) -> Generator[Keepalive, None, dict[str, float] | None]:
        """The labels' probabilities, renormalised over the labels; None when the answer has none."""
        backend, timeout = self._backend, self._settings.timeout
        slot = yield from admit(exchange, backend, "interactive", timeout)
        try:
            model = yield from fetch_model(exchange, backend)
            way = self._way or (yield from self._find_way(exchange))
            request = backend.provider.post(
                "/v1/chat/completions", self._body(model, features, way), backend.headers
            )
            status, raw = yield from fetch(exchange, backend, request, timeout=timeout)
        finally:
            slot.release()
            exchange.drop(slot.release)
        if status != 200:
            if status in (400, 404, 422):
                self._switch_off(f"it answered with status {status}")
            raise UpstreamError(
                f"The classifier answered with status {status}.", code=f"status_{status}"
            )
        shares = read_shares(raw)
        if not self._way:  # the first answer is the canary
            if shares is None:
                self._switch_off("it does not answer with a label and log-probabilities")
            else:
                self._way = way
        return shares

    def _find_way(self, exchange: Exchange) -> Generator[Keepalive, None, str]:
        status, body = yield from fetch(
            exchange,
            self._backend,
            HttpRequest("GET", "/version", self._backend.headers),
            timeout=self._settings.timeout,
        )
        found = re.search(rb'"version"\s*:\s*"v?(\d+)\.(\d+)', body) if status == 200 else None
        version = (int(found[1]), int(found[2])) if found else _STRUCTURED_SINCE
        return "structured_outputs" if version >= _STRUCTURED_SINCE else "guided_choice"

    def _switch_off(self, why: str) -> None:
        if self._way != "off":
            self._way = "off"
            self._log.warning(
                "The one-token tier is off: backend %s cannot be constrained to a label, %s",
                self._backend.name,
                why,
            )

    def _body(self, model: str, features: Features, way: str) -> dict[str, Any]:
        """Static text first, so that the server's prefix cache keeps it."""
        turns = (
            features.previous[-self._settings.context_turns :]
            if self._settings.context_turns
            else ()
        )
        context = "\n".join(f"{role}: {middle_out(text, _TURN_CHARS)}" for role, text in turns)
        lead = f"Conversation so far:\n{context}\n\n" if context else ""
        ask = middle_out(features.ask, self._settings.max_chars)
        choice: dict[str, Any] = (
            {"structured_outputs": {"choice": list(LABELS)}}
            if way == "structured_outputs"
            else {"guided_choice": list(LABELS)}
        )
        return {
            "model": model,
            "messages": [
                {"role": "system", "content": self._rubric},
                {"role": "user", "content": f"{lead}Query: {ask}"},
            ],
            "temperature": 0,
            "max_tokens": 1,
            "logprobs": True,
            "top_logprobs": 20,
            "chat_template_kwargs": {"enable_thinking": False},
            **choice,
        }


def read_shares(raw: bytes) -> dict[str, float] | None:
    """Probability per label out of a one-token answer. Log-probabilities are raw, before the constraint: tokens that begin
    no label are left out and the rest is renormalised. None when the token given is no beginning of a label.

    The message is not looked at: a reasoning parser may have taken its one token for reasoning.
    """
    try:
        # Not orjson: servers write log-probabilities of NaN and -Infinity, which are no JSON.
        first = json.loads(raw)["choices"][0]
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
    weights = dict.fromkeys(LABELS, 0.0)
    for token, logprob in shares.items():
        label = _label_of(token)
        # The comparison also leaves NaN out; below -700 a probability is 0.
        if label is not None and isinstance(logprob, int | float) and logprob > -700:
            weights[label] += math.exp(min(0.0, logprob))
    total = sum(weights.values())
    return {label: weight / total for label, weight in weights.items()} if total > 0 else None


def _label_of(token: Any) -> str | None:
    """The one label that the token begins."""
    start = token.strip().upper() if isinstance(token, str) else ""
    fitting = [label for label in LABELS if start and label.startswith(start)]
    return fitting[0] if len(fitting) == 1 else None
