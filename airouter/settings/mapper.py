"""Settings of the mapper (POST /map)."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from airouter.settings.section import Seconds, Section

_Share = Annotated[float, Field(ge=0, le=1)]


class MapperSettings(Section):
    """The mapper: a detector's output to the labels of one taxonomy."""

    folder: Path = Field(
        Path("config/mapper"),
        description="Directory of the taxonomy, the detectors, the frameworks and the schema.",
    )
    serving_mode: Literal["model", "rules_only"] = Field(
        "model",
        description="Whether a model maps, with the rules behind it, or the rules alone (the kill "
        "switch). Without a usable backend in `mapper.route`, the rules map in both modes.",
    )
    route: str = Field(
        "primary", description="Route whose backends are asked to map, in order; no others are."
    )
    model_timeout: Seconds = Field(
        0.5,
        description="Seconds that a mapping waits for the model, its queue included; then the "
        "rules map.",
    )
    deadline: Seconds = Field(
        10,
        description="Seconds for a whole request, single or batch; status 408 after them. "
        "X-Router-Timeout overrides it for one request.",
    )
    min_confidence: _Share = Field(
        0.6, description="Confidence below which the rules' answer replaces the model's."
    )
    temperature: float = Field(0.1, ge=0, le=2, description="Temperature of the model's answer.")
    top_p: float = Field(0.9, gt=0, le=1, description="top_p of the model's answer.")
    max_tokens: int = Field(
        200, ge=16, le=4096, description="Maximum tokens of the model's answer."
    )
