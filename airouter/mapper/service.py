"""Maps requests: by the model where one is asked, else by the rules."""

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from airouter.domain.clock import Clock
from airouter.domain.errors import ClientGone, DeadlineExceeded
from airouter.domain.types import immutable
from airouter.flow.exchange import Exchange
from airouter.flow.side_by_side import SideBySide
from airouter.flow.waits import Waiting
from airouter.mapper.answer import Answers, Outcome
from airouter.mapper.detectors import Detectors
from airouter.mapper.frameworks import Frameworks
from airouter.mapper.model_path import ModelPath
from airouter.mapper.output_schema import OutputSchema
from airouter.mapper.requests import MapRequest
from airouter.mapper.rules import Mapped, by_rules
from airouter.mapper.taxonomy import Taxonomy
from airouter.settings.mapper import MapperSettings
from airouter.upstream.backend import Backend

_BREATH = 0.005  # seconds of the rules at a stretch; then other requests have their turn
_KILL_SWITCH = "Mapped by the rules: the kill switch is on."
_NO_MODEL = "Mapped by the rules: no backend of the route answered in time."
_INVALID = "Mapped by the rules: the model's output was not valid."
_UNSURE = "Mapped by the rules: the model was not confident enough."

# Told of each request of a batch that has been mapped: (its index, how, seconds it took). An
# exception is a fault of the mapper's own.
Told = Callable[[int, Outcome | Exception, float], None]


@immutable
class Vocabulary:
    """What `mapper.folder` says."""

    taxonomy: Taxonomy
    detectors: Detectors
    frameworks: Frameworks


class Mapper:
    """Of one configuration. Immutable.

    Raises:
        ConfigError: a file in `mapper.folder` is missing or not valid.
    """

    def __init__(
        self,
        settings: MapperSettings,
        route: tuple[str, ...],
        backends: Mapping[str, Backend],
        clock: Clock,
    ) -> None:
        folder = settings.folder
        taxonomy = Taxonomy.load(folder)
        detectors = Detectors.load(folder, taxonomy)
        frameworks = Frameworks.load(folder, taxonomy)
        self.vocabulary = Vocabulary(taxonomy, detectors, frameworks)
        self.schema = OutputSchema.load(folder, taxonomy)
        self._answers = Answers(taxonomy, detectors, frameworks)
        usable = [backends[name] for name in route if name in backends]
        self._model = ModelPath(settings, usable, taxonomy, self.schema, clock)
        self._clock = clock
        self._least = settings.min_confidence
        self.rules_only = settings.serving_mode == "rules_only"

    def body(self, request: MapRequest, outcome: Outcome, request_id: str) -> dict[str, Any]:
        """The answer to a request that has been mapped."""
        return self._answers.body(request, outcome, request_id)

    def metric_label(self, detector: str | None) -> str:
        """The value of the metrics' label: the name of a known detector, which a client cannot
        invent."""
        known = detector is not None and self.vocabulary.detectors.get(detector) is not None
        return str(detector) if known else "unknown"

    def map(self, exchange: Exchange, request: MapRequest) -> Waiting[Outcome]:
        """Map one request.

        Raises:
            ClientGone, DeadlineExceeded: of the exchange.
        """
        if self.vocabulary.detectors.get(request.detector) is None:
            return Outcome(self._by_rules(request))
        if self.rules_only:
            return self._fallback(request, "kill_switch", _KILL_SWITCH)
        said = yield from self._model.ask(exchange, request)
        if said is None:
            return self._fallback(request, "model_error", _NO_MODEL)
        checked = self.schema.check(said.text)
        found = checked.mapped
        if found is None:
            return self._fallback(request, "schema_validation_failed", _INVALID, checked.valid)
        if found.confidence < self._least:
            return self._fallback(request, "low_confidence", _UNSURE, checked.valid)
        return Outcome(found, valid=checked.valid, model=said.model)

    def _fallback(
        self, request: MapRequest, reason: str, why: str, valid: bool | None = None
    ) -> Outcome:
        mapped = self._by_rules(request)
        return Outcome(mapped._replace(notes=f"{why} {mapped.notes}".rstrip()), reason, valid)

    def _by_rules(self, request: MapRequest) -> Mapped:
        known = self.vocabulary
        detector = known.detectors.get(request.detector)
        return by_rules(detector, request.output, known.taxonomy)

    def map_all(
        self, exchange: Exchange, requests: Mapping[int, MapRequest], told: Told
    ) -> Waiting[None]:
        """Map the requests of a batch, several at a time as far as the backend has room.

        Args:
            requests: by index.

        Raises:
            ClientGone, DeadlineExceeded: of the exchange; the others are cancelled.
        """
        waiting, clock = deque(requests.items()), self._clock
        under_way: SideBySide[None] = SideBySide(clock)

        def one(index: int, request: MapRequest) -> Waiting[None]:
            began = clock.monotonic()
            outcome: Outcome | Exception
            try:
                outcome = yield from self.map(exchange, request)
            except (ClientGone, DeadlineExceeded):
                raise
            except Exception as error:
                outcome = error
            told(index, outcome, clock.monotonic() - began)

        try:
            began = clock.monotonic()
            while waiting or under_way:
                room = len(waiting) if self.rules_only else self._model.free()
                while waiting and (not under_way or room > 0):
                    under_way.add(one(*waiting.popleft()))
                    room -= 1
                    if self.rules_only:
                        break
                yield from under_way.ended()
                if clock.monotonic() - began > _BREATH:
                    yield from exchange.wait(clock.monotonic())
                    began = clock.monotonic()
        finally:
            under_way.close()
