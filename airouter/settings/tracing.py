"""Settings of tracing."""

from pydantic import Field, field_validator

from airouter.settings.section import Section


class TracingSettings(Section):
    """OpenTelemetry: a trace per request, sent by OTLP over HTTP."""

    endpoint: str | None = Field(
        None,
        description="Base URL of an OpenTelemetry collector, e.g. http://127.0.0.1:4318. "
        "None: off. Needs `pip install -r requirements-tracing.txt`.",
    )
    share: float = Field(
        1.0,
        ge=0,
        le=1,
        description="Share of the requests without a `traceparent` header that are recorded.",
    )
    service_name: str = Field("ai-router", description="`service.name` of the spans.")

    @field_validator("endpoint")
    @classmethod
    def _url(cls, value: str | None) -> str | None:
        if value and not value.startswith(("http://", "https://")):
            raise ValueError("must be an http:// or https:// URL")
        return value or None
