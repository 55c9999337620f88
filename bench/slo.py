"""Service levels as configuration: `config/slo/*.yaml`, checked when read; every key is described
in those files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from bench.router_process import ROOT
from bench.stand import Unavailable

FOLDER = ROOT / "config" / "slo"
DEFAULT_ENDPOINTS = "001"

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1, le=100_000)]
Span = tuple[Positive, Positive]


class SloError(Unavailable):
    """A file of service levels that cannot be used; the message says which key and why."""


class _Levels(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Percentiles(_Levels):
    """Upper limits; the unit is in the name of the key that holds them."""

    p50: Positive | None = None
    p95: Positive | None = None
    p99: Positive | None = None

    def limits(self) -> dict[str, float]:
        return self.model_dump(exclude_none=True)

    @model_validator(mode="after")
    def _ascending(self) -> "Percentiles":
        values = list(self.limits().values())
        if values != sorted(values):
            raise ValueError("must not fall from p50 to p99")
        return self


# Endpoints ----------------------------------------------------------------------------------------


class Method(_Levels):
    warm_up: Annotated[int, Field(ge=0, le=10_000)] = 3
    sequential: Count = 20
    sweep: tuple[Annotated[int, Field(ge=1, le=256)], ...] = (1, 2, 5, 10)
    per_worker: Count = 5
    cold_against: Count = 10
    chat_timeout_s: Positive = 60
    embedding_timeout_s: Positive = 15


class EndpointSlo(_Levels):
    env: str
    model: str
    hardware: Literal["gpu", "apple"]
    kind: Literal["chat", "vision", "embedding"]
    url: str | None = None
    latency_ms: Percentiles | None = None
    cold_start: Positive | None = None
    max_concurrency: Count | None = None
    window: Count | None = None
    batch: Count = 1
    dimensions: Count | None = None
    throughput: dict[Literal["sustained", "burst"], Positive] = {}
    availability: dict[Literal["share", "scope"], Share | str] = {}
    recovery_s: Positive | None = None

    def address(self, environ: Mapping[str, str]) -> str | None:
        return environ.get(self.env, "").strip() or self.url


class CalibrationRule(_Levels):
    margin: Positive = 2
    base: Literal["p95", "p99"] = "p95"
    round_ms: Positive = 100
    round_embeddings: Positive = 500
    violations: Share = 0.05


class EndpointProfile(_Levels):
    name: str
    measures: Literal["answer", "first_token"]
    method: Method = Method()
    endpoints: dict[str, EndpointSlo]
    calibration: CalibrationRule = CalibrationRule()
    environments: dict[str, Positive | None] = {"development": 1.0, "ci": None}
    degradation: dict[Literal["gpu", "apple"], dict[int, Span]] = {}

    def factor(self, environment: str) -> float | None:
        """What latency levels are multiplied by; None: nothing is asserted there.

        Raises:
            SloError: there is no such environment.
        """
        if environment not in self.environments:
            known = ", ".join(self.environments)
            raise SloError(
                f"there is no environment {environment!r} in profile {self.name}; there are {known}"
            )
        return self.environments[environment]


# The router under load ----------------------------------------------------------------------------


class RouteSlo(_Levels):
    ttft_ms: Percentiles = Percentiles()
    total_ms: Percentiles = Percentiles()


class StreamSlo(_Levels):
    gap_ms: Percentiles = Percentiles()
    tokens_per_s: Positive | None = None


class LevelSlo(_Levels):
    p95_growth: Positive | None = None
    refused_share: tuple[Share, Share] | None = None
    told_ms: Percentiles = Percentiles()
    failed_share: Share | None = None

    @model_validator(mode="after")
    def _ascending(self) -> "LevelSlo":
        if self.refused_share and self.refused_share[0] > self.refused_share[1]:
            raise ValueError("refused_share must be [least, most]")
        return self


class RouterSlo(_Levels):
    name: str
    routes: dict[Literal["primary", "meta", "xai", "enrich", "embeddings"], RouteSlo]
    streams: StreamSlo = StreamSlo()
    failed_share: Share = 0.001
    refused_share: Share = 0.0
    availability: Share = 0.99
    added_ms: Percentiles = Percentiles()
    at_least: Count = 20
    rated_utilisation: Annotated[float, Field(gt=0, le=1)] = 0.4
    levels: dict[Annotated[float, Field(gt=1)], LevelSlo] = {}
    recovery: LevelSlo = LevelSlo()
    drift: Positive | None = None


# Reading ------------------------------------------------------------------------------------------

_Model = TypeVar("_Model", bound=_Levels)


def endpoint_profile(which: str = DEFAULT_ENDPOINTS) -> EndpointProfile:
    """By its name ("000", "001") or its file.

    Raises:
        SloError: it cannot be used.
    """
    return _read(which, "endpoints-", EndpointProfile)


def router_slo(which: str = "router") -> RouterSlo:
    """By the name of a file in `config/slo` or by a path.

    Raises:
        SloError: it cannot be used.
    """
    return _read(which, "", RouterSlo)


def _read(which: str, prefix: str, model: type[_Model]) -> _Model:
    is_path = "/" in which or which.endswith((".yaml", ".yml"))
    path = Path(which) if is_path else FOLDER / f"{prefix}{which}.yaml"
    try:
        return model.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise SloError(f"{path} cannot be read: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise SloError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        raise SloError(f"{path}: {place}: {first['msg']}") from None
