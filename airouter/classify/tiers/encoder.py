"""The tier between the learned one and the classifier: a sentence encoder with a head trained on
the labelled prompts (`learn/train_encoder.py`), in the router's own process.

It takes 20 to 150 ms of one core, in a thread beside the speculative answer. If more requests
arrive than it can serve, the others go to the next tier at once. It loads in the background when
it is first needed; until then it abstains.

It sees the request alone: no system prompt, tools or earlier turns can change its label. It
abstains where the learned tier does, except on text of unfamiliar n-grams, and never decides META.
"""

import threading
from collections.abc import Callable

from airouter.classify.doubts import doubt_about, doubt_of, label_of
from airouter.classify.encoder.engine import Embed, EncoderUnusable, load_engine
from airouter.classify.encoder.head import Head, text_of
from airouter.classify.encoder.pool import Pool

# The same doubts as the learned tier's, so that the two cannot drift apart.
from airouter.domain.clock import Clock
from airouter.domain.labels import CLASSES
from airouter.domain.types import Features, Verdict
from airouter.flow.exchange import Exchange
from airouter.flow.waits import Waiting
from airouter.settings.cascade import EncoderTierSettings
from airouter.telemetry.logs import Log

NAME = "encoder"
_PRIMARY = CLASSES.index("PRIMARY")
_LOADING = "the encoder is loading"


class EncoderTier:
    """Shared by all requests.

    Mutable state: the encoder once it is loaded, and until then why it is not used; both are
    written by the thread that loads it. `_starting` guards that there is only one.

    Args:
        load: returns the function that embeds; for tests.
    """

    name = NAME
    instant = False

    def __init__(
        self,
        head: Head,
        settings: EncoderTierSettings,
        clock: Clock,
        log: Log,
        load: Callable[[], Embed] = load_engine,
    ) -> None:
        self._head = head
        self._settings = settings
        self._clock = clock
        self._log = log
        self._load_engine = load
        self._embed: Embed | None = None
        self._why_not = ""
        self._starting = threading.Lock()
        self._pool: Pool[str, tuple[float, ...]] = Pool(self._probabilities, settings.queue)

    def ask(self, exchange: Exchange, features: Features) -> Waiting[Verdict]:
        """The verdict of the head; an abstention if the encoder is busy, too slow or not loaded.

        Raises:
            ClientGone, DeadlineExceeded, PatienceOver: as every calling tier.
        """
        began = self._clock.monotonic()
        reason = self._doubt(features) or self._not_ready()
        if reason:
            return Verdict(NAME, None, reason=reason)
        job = self._pool.submit(features.ask)
        if job is None:
            return Verdict(NAME, None, reason="the encoder is busy with other requests")
        exchange.hold(job.leave)
        try:
            late = began + self._settings.timeout
            while not job.done and self._clock.monotonic() < late:
                yield from exchange.wait(late, job.wake)
        finally:
            job.leave()
            exchange.drop(job.leave)
        ms = (self._clock.monotonic() - began) * 1000
        if not job.done:
            why = "no result within cascade.encoder.timeout"
            return Verdict(NAME, None, ms=ms, reason=why, finish_reason="timeout")
        if job.result is None:
            why = "the encoder failed; the log says why"
            return Verdict(NAME, None, ms=ms, reason=why, finish_reason="error")
        return self._verdict(job.result, features, ms)

    def load(self) -> None:
        """Load the encoder now, where waiting for it does no harm."""
        with self._starting:
            if self._embed is None and self._why_not in ("", _LOADING):
                self._load()

    def _probabilities(self, ask: str) -> tuple[float, ...]:
        assert self._embed is not None
        return self._head.probabilities(self._embed(text_of(ask)), len(ask))

    def _verdict(self, p: tuple[float, ...], features: Features, ms: float) -> Verdict:
        name = CLASSES[p.index(max(p))]
        needed = self._head.thresholds[name]
        label = guess = None
        reason = "" if name == "META" else doubt_of(name, features)
        if name == "META":
            reason = "like a frontend's internal prompt, which only the rules decide"
        elif not reason and max(p) < needed:
            guess = label_of(name, features)
            reason = f"the probability of {name} is below the threshold"
        elif not reason:
            label = label_of(name, features)
            reason = f"encoder's head {self._head.version}"
        return Verdict(
            NAME, label, max(p), needed, ms, reason=reason, guess=guess, p_primary=p[_PRIMARY],
            shares=p,
        )  # fmt: skip

    def _doubt(self, features: Features) -> str:
        """Why the tier must abstain at any probability; empty if there is no reason."""
        return doubt_about(features, self._head.limits["max_chars"])

    def _not_ready(self) -> str:
        """Why the encoder cannot be used now; empty if it can. The first call starts loading."""
        if self._embed is not None:
            return ""
        if not self._why_not and self._starting.acquire(blocking=False):
            try:
                if not self._why_not and self._embed is None:
                    self._why_not = _LOADING
                    threading.Thread(target=self._load, name="encoder-load", daemon=True).start()
            except RuntimeError:  # the system has no thread left: the next request tries again
                self._why_not = ""
            finally:
                self._starting.release()
        return self._why_not or _LOADING

    def _load(self) -> None:
        began = self._clock.monotonic()
        try:
            self._embed = self._load_engine()
        except EncoderUnusable as error:
            self._why_not = f"the encoder cannot be used: {error}"
            self._log.warning("The encoder tier is off: %s", error)
            return
        self._log.info(
            "The encoder tier is on: loaded in %dms",
            round((self._clock.monotonic() - began) * 1000),
        )
