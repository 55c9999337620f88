"""Reads the objectives from `config/slo/`."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from airouter.domain.errors import ConfigError
from airouter.settings.section import Section
from airouter.settings.yaml_file import read_yaml
from airouter.slo.objectives import LIMITED, Alert, Kind, Measure, Objective, Profile

PROFILES = ("000", "001", "002", "003", "004")
_Share = Annotated[float, Field(gt=0, lt=1)]
_LATENCY_TARGETS = {"p95": 0.95, "p99": 0.99}
_RATE_TARGET = 0.95  # of the requests whose throughput is measured
_RECOVERY_TARGET = 0.99  # of the outages


class _ObjectiveEntry(Section):
    description: str
    measure: Literal[Kind]
    limit: float | None = Field(None, gt=0)
    route: str | None = None
    target: _Share | None = None
    informational: bool = False
    runbook: str = "budget-burn"

    @model_validator(mode="after")
    def _limited(self) -> "_ObjectiveEntry":
        if self.limit is None and self.measure in LIMITED:
            raise ValueError(f"the measure {self.measure} needs a limit")
        return self


class _AlertEntry(Section):
    model_config = ConfigDict(populate_by_name=True)
    description: str
    slo: str
    above: _Share
    window: int = Field(gt=0)
    lasting: int = Field(alias="for", ge=0)
    severity: Literal["critical", "warning"]
    runbook: str


class _File(Section):
    name: str
    objectives: dict[str, _ObjectiveEntry]
    alerts: dict[str, _AlertEntry] = Field(default_factory=dict)


class _Lenient(BaseModel):
    """Part of a file with more keys, which other commands read."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class _Throughput(_Lenient):
    sustained: float | None = None
    burst: float | None = None


class _Availability(_Lenient):
    share: _Share
    scope: str = "always"


class _Endpoint(_Lenient):
    env: str | None = None
    url: str | None = None
    backend: str | None = None
    kind: str = "chat"
    latency_ms: dict[str, float] = Field(default_factory=dict)
    cold_start: float | None = None
    batch: int = 1
    throughput: _Throughput = Field(default_factory=lambda: _Throughput())
    availability: _Availability | None = None
    recovery_s: float | None = None


class _Endpoints(_Lenient):
    name: str
    measures: Literal["answer", "first_token"] = "answer"
    endpoints: dict[str, _Endpoint]
    environments: dict[str, float | None] = Field(default_factory=dict)


def load_profiles(
    names: Sequence[str], folder: Path, environment: str = "development"
) -> tuple[Profile, ...]:
    """The objectives of some profiles.

    Args:
        environment: multiplies the latency limits by the factor that the profile gives for it; a
            factor of null makes them informational (R-106).

    Raises:
        ConfigError: a profile does not exist, or its file is not valid.
    """
    profiles = tuple(_load(name, folder, environment) for name in names)
    found = [
        *(f"profile {name}" for name in names),
        *(f"objective {o.name}" for profile in profiles for o in profile.objectives),
        *(f"alert {alert.name}" for profile in profiles for alert in profile.alerts),
    ]
    for what, count in Counter(found).items():
        if count > 1:
            raise ConfigError(f"slo.profiles: there are {count} of the {what}; rename one.")
    return profiles


def present(names: Sequence[str], folder: Path) -> tuple[str, ...]:
    """Those of the profiles that the folder has."""
    known = set(_known(folder))
    return tuple(name for name in names if name in known)


def _load(name: str, folder: Path, environment: str) -> Profile:
    endpoints, own = folder / f"endpoints-{name}.yaml", folder / f"objectives-{name}.yaml"
    try:
        if own.exists():
            return _from_file(_File.model_validate(read_yaml(own)))
        if endpoints.exists():
            return _from_endpoints(_Endpoints.model_validate(read_yaml(endpoints)), environment)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        path = own if own.exists() else endpoints
        raise ConfigError(f"{path}: {place}: {first['msg']}.") from None
    known = ", ".join(sorted(_known(folder))) or "none"
    raise ConfigError(f"There is no profile {name!r} in {folder}; the profiles are {known}.")


def _known(folder: Path) -> Iterator[str]:
    for prefix in ("endpoints-", "objectives-"):
        for path in folder.glob(f"{prefix}*.yaml"):
            yield path.stem.removeprefix(prefix)


def _from_file(file: _File) -> Profile:
    objectives = tuple(
        Objective(
            name,
            file.name,
            entry.description,
            Measure(entry.measure, entry.limit, route=entry.route),
            entry.target,
            informational=entry.informational,
            runbook=entry.runbook,
        )
        for name, entry in file.objectives.items()
    )
    for name, entry in file.alerts.items():
        if entry.slo not in file.objectives:
            raise ConfigError(
                f"objectives-{file.name}.yaml: alerts.{name}.slo: there is no objective "
                f"{entry.slo!r}."
            )
    alerts = tuple(
        Alert(
            name,
            file.name,
            entry.slo,
            entry.above,
            entry.window,
            entry.lasting,
            entry.severity,
            entry.description,
            entry.runbook,
        )
        for name, entry in file.alerts.items()
    )
    return Profile(file.name, objectives, alerts)


def _from_endpoints(file: _Endpoints, environment: str) -> Profile:
    if file.environments and environment not in file.environments:
        raise ConfigError(
            f"slo.environment: profile {file.name} has no environment {environment!r}; it has "
            f"{', '.join(file.environments)}."
        )
    factor = file.environments.get(environment, 1.0)
    objectives: list[Objective] = []
    for name, endpoint in file.endpoints.items():
        objectives += _of_endpoint(name, endpoint, file, factor)
    return Profile(file.name, tuple(objectives))


def _of_endpoint(
    name: str, endpoint: _Endpoint, file: _Endpoints, factor: float | None
) -> Iterator[Objective]:
    where: dict[str, Any] = {
        "backend": endpoint.backend or name,
        "url": os.environ.get(endpoint.env or "") or endpoint.url,
        "embeddings": endpoint.kind == "embedding",
        "batch": endpoint.batch,
    }

    def objective(
        suffix: str,
        description: str,
        kind: Kind,
        limit: float | None,
        target: float,
        runbook: str,
        *,
        loose: bool = False,
        **more: Any,
    ) -> Objective:
        measure = Measure(kind, limit, **where, **more)
        title = f"{file.name}-{name}-{suffix}"
        return Objective(
            title, file.name, description, measure, target, informational=loose, runbook=runbook
        )

    timed: Kind = "answer_ms" if file.measures == "answer" else "ttft_ms"
    what = "an answer of one token" if timed == "answer_ms" else "the first token"
    if endpoint.kind == "embedding":
        what = f"an embedding of {endpoint.batch} texts" if endpoint.batch > 1 else "an embedding"
    for percentile, target in _LATENCY_TARGETS.items():
        if (limit := endpoint.latency_ms.get(percentile)) is not None:
            limit *= factor or 1.0
            yield objective(
                percentile,
                f"the {percentile} of {what} from {name} is at most {limit:g} ms, with nothing "
                "else to do",
                timed,
                limit,
                target,
                "endpoint-latency",
                loose=factor is None,
            )
    if endpoint.cold_start is not None:
        yield objective(
            "cold",
            f"the first answer of {name} after a pause takes at most {endpoint.cold_start:g} times "
            "as long as usual",
            "cold",
            endpoint.cold_start,
            0.95,
            "cold-start",
        )
    rates = endpoint.throughput
    for kind, rate in (("sustained", rates.sustained), ("burst", rates.burst)):
        if rate is not None:
            unit = "embeddings" if endpoint.kind == "embedding" else "tokens"
            alone = "one request" if kind == "sustained" else "several requests at once"
            assert kind in get_args(Kind)
            yield objective(
                kind,
                f"{name} produces at least {rate:g} {unit} per second for {alone}",
                kind,  # type: ignore[arg-type]
                rate,
                _RATE_TARGET,
                "throughput",
            )
    if endpoint.availability is not None:
        scope = endpoint.availability.scope
        yield objective(
            "up",
            f"{name} is up ({scope})",
            "up",
            None,
            endpoint.availability.share,
            "endpoint-down",
            loose=scope == "best effort",
            business_hours=scope == "business hours",
        )
    if endpoint.recovery_s is not None:
        yield objective(
            "recovery",
            f"an outage of {name} ends within {endpoint.recovery_s:g} s",
            "recovered",
            endpoint.recovery_s,
            _RECOVERY_TARGET,
            "endpoint-down",
        )
