"""A tier that asks a decision model: a server that answers a question with a probability per option
and generates nothing (`/v1/systemone`, `/v1/decisions`). Another router can be one.

It decides at a probability from which a calibrated model keeps the budgets for wrong decisions
(docs/routes.md), and abstains below it, and on anything that is not such an answer.
"""

import re
from collections.abc import Mapping
from typing import Any

import orjson

from airouter.classify.tiers.query import middle_out, status_error
from airouter.dialects.decision_forms import FORMS, HOPS, read_probabilities
from airouter.domain.clock import Clock
from airouter.domain.errors import DeadlineExceeded, RouterError, UpstreamStatus
from airouter.domain.labels import CLASS_OF_LABEL, CLASSES, CLASSIFIER_LABELS
from airouter.domain.types import Features, HttpRequest, Verdict
from airouter.flow.exchange import Exchange
from airouter.flow.waits import Waiting
from airouter.settings.cascade import DecisionModelTierSettings
from airouter.telemetry.logs import Log
from airouter.upstream.backend import Backend
from airouter.upstream.client import Lease, side_lease

NAME = "decision_model"
_TURN_CHARS = 300
_CRITERION = re.compile(rf"({'|'.join(CLASSIFIER_LABELS)}):\s*(.+)")
# Statuses of a server without the endpoint, or with a model that it does not serve it for.
_MISSING = frozenset({404, 405, 501})
_RETRY_OFF = 300.0  # seconds until a server without the endpoint is asked again
# Two routers that ask each other would do so for ever; one that asks one that asks a model may.
MAX_HOPS = 2


class DecisionModelTier:
    """Calls one backend; abstains if it is unsure or the call fails.

    Mutable state: until when the server is not asked, and since which of its starts, replaced as a
    whole; how many requests in a row have found no endpoint.
    """

    name = NAME
    instant = False

    def __init__(
        self,
        backend: Backend,
        settings: DecisionModelTierSettings,
        rubric: str,
        clock: Clock,
        log: Log,
    ) -> None:
        self._backend = backend
        self._settings = settings
        self._form = FORMS[settings.endpoint]
        self._instructions, self._criteria = read_rubric(rubric)
        self._clock = clock
        self._log = log
        self._off = (0.0, 0)
        self._missed = 0

    def ask(self, exchange: Exchange, features: Features) -> Waiting[Verdict]:
        """The verdict of the decision model.

        Raises:
            ClientGone, DeadlineExceeded, PatienceOver: as every calling tier.
        """
        reason = self._why_not(exchange)
        if reason:
            return Verdict(NAME, None, reason=reason)
        began = self._clock.monotonic()
        try:
            with side_lease(exchange, self._backend, hurried=True) as lease:
                raw = yield from self._answer(exchange, lease, features)
        except DeadlineExceeded:
            raise
        except RouterError as error:
            if isinstance(error, UpstreamStatus) and error.upstream_status in _MISSING:
                self._miss(error)
            why = f"{error.code}: {error.message}"
            return Verdict(NAME, None, ms=self._since(began), reason=why)
        self._missed = 0
        try:
            found = read_probabilities(self._form, raw, CLASSIFIER_LABELS)
        except ValueError as error:
            return Verdict(NAME, None, ms=self._since(began), reason=str(error))
        return self._verdict(found, self._since(began))

    def _since(self, started: float) -> float:
        return (self._clock.monotonic() - started) * 1000

    def _answer(self, exchange: Exchange, lease: Lease, features: Features) -> Waiting[bytes]:
        timeout = self._settings.timeout
        until = self._clock.monotonic() + timeout
        yield from lease.enter("interactive", timeout)
        backend, form = self._backend, self._form
        given = self._given(features)
        body = form.request(lease.model, given, self._instructions, self._criteria)
        headers = {**backend.headers, HOPS: str(exchange.hops + 1)}
        request: HttpRequest = backend.provider.post(form.path, body, headers)
        left = max(0.001, until - self._clock.monotonic())
        status, raw = yield from lease.fetch(request, left)
        if status != 200:
            raise status_error(backend, status, raw)
        return raw

    def _given(self, features: Features) -> Any:
        """What is to be decided on: the user's request, as a message after the latest turns if
        there are any; long texts are cut in the middle."""
        count = self._settings.context_turns
        turns = features.previous[-count:] if count else ()
        ask = middle_out(features.ask, self._settings.max_chars)
        if not turns:
            return ask
        earlier = [{"role": role, "content": middle_out(text, _TURN_CHARS)} for role, text in turns]
        return [*earlier, {"role": "user", "content": ask}]

    def _verdict(self, found: Mapping[str, float], ms: float) -> Verdict:
        """The most probable class decides: SIMPLE and MODERATE are one, so their probabilities are
        added."""
        shares = dict.fromkeys(CLASSES, 0.0)
        for label, p in found.items():
            shares[CLASS_OF_LABEL[label]] += p
        name = max(shares, key=shares.__getitem__)
        label = max((one for one in found if CLASS_OF_LABEL[one] == name), key=found.__getitem__)
        p, threshold = shares[name], self._settings.min_p.of_class(name)
        sure = p >= threshold
        raw = orjson.dumps({one: round(share, 4) for one, share in found.items()}).decode()
        return Verdict(
            NAME, label if sure else None, p=p, threshold=threshold, ms=ms, raw=raw,
            reason="" if sure else f"unsure: {label} at {p:.2f}", finish_reason="stop", guess=label,
            p_primary=shares["PRIMARY"], shares=tuple(shares.values()),
        )  # fmt: skip

    # Whether to ask -------------------------------------------------------------------------------

    def _why_not(self, exchange: Exchange) -> str:
        """Why the server is not asked now; empty if it is."""
        if exchange.hops >= MAX_HOPS:
            return "another router asked on behalf of another one (X-Router-Hops)"
        until, restarts = self._off
        if self._clock.monotonic() < until and restarts == self._backend.restarts:
            return f"the server does not answer {self._form.path}"
        return ""

    def _miss(self, error: UpstreamStatus) -> None:
        """Switch off where the endpoint is missing. A 404 may also mean another model, whose name
        is then read again: only the second one counts."""
        self._missed += 1
        if error.upstream_status == 404 and self._missed < 2:
            return
        if self._off[0] == 0.0:
            self._log.warning(
                "The decision-model tier is off: backend %s does not answer %s",
                self._backend.name,
                self._form.path,
            )
        self._off = self._clock.monotonic() + _RETRY_OFF, self._backend.restarts


def read_rubric(text: str) -> tuple[str, dict[str, str]]:
    """The instructions, and the description of each label, "" for none: a classification prompt
    has a line `LABEL: …` for each, and the rest are instructions."""
    criteria, rest = dict.fromkeys(CLASSIFIER_LABELS, ""), []
    for line in text.splitlines():
        found = _CRITERION.fullmatch(line.strip())
        if found is None:
            rest.append(line)
        else:
            criteria[found[1]] = found[2]
    return re.sub(r"\n{2,}", "\n\n", "\n".join(rest)).strip(), criteria
