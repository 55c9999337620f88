"""The body of an answer."""

from collections.abc import Mapping
from typing import Any

from airouter import __version__
from airouter.domain.types import immutable
from airouter.mapper.detectors import Detectors
from airouter.mapper.frameworks import Frameworks
from airouter.mapper.requests import MapRequest
from airouter.mapper.rules import Mapped
from airouter.mapper.taxonomy import Taxonomy

# Why the rules answered although a model was to.
REASONS = ("low_confidence", "schema_validation_failed", "model_error", "kill_switch")


@immutable
class Outcome:
    """How a request was mapped. `fallback`: one of `REASONS`; None: by the model, or by the rules
    because no model is asked about an unknown detector. `valid`: whether the model's output was
    valid as it came; None: there was none. `model`: the name of the one that mapped."""

    mapped: Mapped
    fallback: str | None = None
    valid: bool | None = None
    model: str | None = None


class Answers:
    """Immutable: what answers say about labels and detectors, prepared."""

    def __init__(self, taxonomy: Taxonomy, detectors: Detectors, frameworks: Frameworks) -> None:
        self._controls: Mapping[str, list[dict[str, str]]] = {
            label: [
                {"label": label, "framework": framework, "control": control}
                for framework, control in frameworks.controls(label)
            ]
            for label in taxonomy.labels
        }
        self._taxonomy = taxonomy.version
        self._versions = {
            name: detector.version
            for name in detectors.names
            if (detector := detectors.get(name)) is not None
        }

    def body(self, request: MapRequest, outcome: Outcome, request_id: str) -> dict[str, Any]:
        """The answer as the OpenAPI document describes it (`MapResponse`)."""
        mapped = outcome.mapped
        body = {
            "taxonomy": mapped.labels,
            "scores": mapped.scores,
            "confidence": mapped.confidence,
            "notes": mapped.notes,
            "provenance": {
                "detector": request.detector,
                "tenant_id": request.tenant_id,
                "source": "rules" if outcome.model is None else "model",
                "fallback_reason": outcome.fallback,
                "request_id": request_id,
            },
            "version_info": {
                "taxonomy": self._taxonomy,
                "detector": self._versions.get(request.detector),
                "model": outcome.model,
                "router": __version__,
            },
        }
        controls = [control for label in mapped.labels for control in self._controls[label]]
        if controls:
            body["policy_context"] = {"controls": controls}
        return body
