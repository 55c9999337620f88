"""Settings of the index of requests, and of the service level objectives."""

from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from airouter.settings.section import Section


class IndexSettings(Section):
    """The index of requests: what is known about each request, without its text."""

    enabled: bool = Field(
        True, description="Keep the index `index.sqlite` in `logging.dir`. Objectives need it."
    )
    max_age_days: float = Field(
        35, gt=0, description="Maximum age of its rows in days. Objectives need 30."
    )
    max_count: int = Field(
        2_000_000, ge=1000, description="Maximum number of requests in it; 1 million takes 250 MB."
    )


class SloSettings(Section):
    """Service level objectives."""

    enabled: bool = Field(True, description="Count and evaluate the objectives.")
    profiles: tuple[str, ...] = Field(
        ("001", "002", "004"), description="Profiles of objectives in `folder` that apply."
    )
    folder: Path = Field(
        Path("config/slo"), description="Directory of `objectives-*.yaml` and `endpoints-*.yaml`."
    )
    environment: str = Field(
        "development",
        description="Factor for the latency limits of endpoints: development, ci, production, "
        "degraded, as far as the profile names it.",
    )
    every: float = Field(30, ge=1, le=3600, description="Seconds between two evaluations.")
    business_hours: tuple[int, int] = Field(
        (8, 18), description="Hours of weekdays, local time, in which availability counts."
    )
    webhook: str | None = Field(
        None,
        repr=False,
        description="Webhook URL to which alerts are sent in Alertmanager's format. None: none.",
    )
    runbooks: str = Field(
        "docs/runbooks", description="Where alerts link to, e.g. the URL of this directory."
    )

    @field_validator("profiles", mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
        """YAML reads 001 as a number."""
        if not isinstance(value, list | tuple):
            return value
        return [f"{name:03d}" if type(name) is int else name for name in value]

    @field_validator("business_hours")
    @classmethod
    def _hours(cls, value: tuple[int, int]) -> tuple[int, int]:
        if not 0 <= value[0] < value[1] <= 24:
            raise ValueError("must be two hours such as [8, 18], the first before the second")
        return value

    @field_validator("webhook")
    @classmethod
    def _url(cls, value: str | None) -> str | None:
        if value and not value.startswith(("http://", "https://")):
            raise ValueError("must be an http:// or https:// URL")
        return value or None
