"""Settings of how requests are carried out: search, speculation, queues and shares, probes,
timeouts."""

from typing import Annotated, Literal

from pydantic import Field

from airouter.settings.section import Count, Seconds, Section


class EnrichmentSettings(Section):
    """The web search before an ENRICH answer."""

    backend: str = Field("xai", description="Backend that runs the web search (kind xai).")
    tools: tuple[str, ...] = Field(
        ("web_search", "x_search"), description="Search tools the backend may use."
    )
    max_output_tokens: int = Field(
        1024, ge=16, description="Maximum length of the search result, in tokens."
    )
    timeout: Seconds = Field(
        60,
        description="Search timeout in seconds; after it the request is answered without search "
        "results, and X-Router-Note says so.",
    )
    with_tools: Literal["auto", "always", "never"] = Field(
        "auto",
        description="Whether to search for requests that include tools. `auto`: unless one of the "
        "tools can fetch the information itself (a web search, a browser, `get_weather` for the "
        "weather). `always`: regardless of the tools. `never`: not at all.",
    )


class SpeculationSettings(Section):
    """Starting the primary's answer before the decision."""

    enabled: bool = Field(
        True, description="Start the primary's answer while the route is still being decided."
    )
    min_p_primary: float = Field(
        0.3,
        ge=0,
        le=1,
        description="Minimum probability of the primary route for speculation to start.",
    )
    buffer_kb: int = Field(
        1024,
        ge=4,
        description="Buffer for a speculative answer in KB, per request; when it is full, reading "
        "pauses until the decision.",
    )


class QueueSettings(Section):
    """The queue in front of each backend."""

    length: Count = Field(
        64, description="Maximum queued requests per backend; further requests get a 429 at once."
    )
    wait: Seconds = Field(
        5,
        description="Maximum time in the queue for a slot, in seconds; after it: 429. Does not "
        "limit the answer itself.",
    )
    hold_wait: Seconds = Field(
        60,
        description="Maximum wait, in seconds, for a backend that is swapping or loading a model.",
    )


class ShareSettings(Section):
    """One limit over several backends, for example of models on the same machine."""

    backends: tuple[str, ...] = Field(
        description="Backends that share the limit; each is in one share at most."
    )
    slots: Annotated[int, Field(ge=1, le=10_000)] = Field(
        description="Maximum concurrent requests to all of them together. Each backend's own "
        "`slots` still apply.",
    )
    exclusive: bool = Field(
        False,
        description="True where only one model is loaded at a time: while one of the backends has "
        "requests in flight, requests to the others wait.",
    )


class ProbeSettings(Section):
    """Health probes in the background."""

    enabled: bool = Field(
        True,
        description="Probe backends in the background, by requests that cost nothing.",
    )
    interval: Seconds = Field(
        5, description="Probe interval of a local backend in seconds, with 10 % jitter."
    )
    idle_factor: float = Field(
        6,
        ge=1,
        description="Probe interval multiplier for cloud backends, and for all backends while "
        "idle.",
    )
    timeout: Seconds = Field(2, description="Timeout of a probe, in seconds.")


class Timeouts(Section):
    """Timeouts that are not those of a single backend."""

    total: Seconds = Field(
        600, description="Timeout of a request as a whole, including failovers, in seconds."
    )
    keepalive_after: Seconds = Field(
        10,
        description="Seconds without content after which a streaming client is sent status 200 and "
        "SSE comments as keepalive.",
    )
    retry_after: Seconds = Field(
        2,
        description="Maximum Retry-After of a backend, in seconds, that is waited for (once); if "
        "it "
        "is longer, the next backend is tried.",
    )
    drain: Seconds = Field(
        120,
        description="Graceful shutdown timeout: seconds that requests in flight may take after "
        "SIGTERM.",
    )
    health: Annotated[float, Field(gt=0, le=5)] = Field(
        4.8,
        description="Timeout of GET /health for all backends together, in seconds; at most 5.",
    )
