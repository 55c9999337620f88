"""All settings, declared with their default, description and risks. Validated once, then frozen.

Order of precedence: environment variables, `config/router.yaml` (or `ROUTER_CONFIG`), the defaults
below."""

import re
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from airouter.domain.clock import is_zone
from airouter.domain.labels import CACHE_SECONDS, ROUTES
from airouter.domain.types import Limits

# The path of a known endpoint (OpenAI's or Ollama's native API), stripped from a backend's URL.
_ENDPOINT = re.compile(
    r"((/+v1)+(/+(completions|embeddings|models|responses))?|(/+v1)*/+chat/+completions"
    r"|/+api/+(chat|generate|tags))?/*$",
    re.IGNORECASE,
)
Seconds = Annotated[float, Field(gt=0, le=86_400)]
Count = Annotated[int, Field(ge=0, le=1_000_000)]


_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^\s/?#@*]+")
_ORIGIN_END = re.compile(r"(?<![:/])/+$")
# Invisible characters at the ends of copied text: white space, byte order mark, zero-width space.
_INVISIBLE = re.compile(r"\A[\s\ufeff\u200b]+|[\s\ufeff\u200b]+\Z")


def one_line(value: str | None) -> str | None:
    """Strip invisible characters, such as a trailing newline; return None if nothing is left.

    Raises:
        ValueError: the value contains a line break or another control character. The message does
            not quote the value, which may be a key.
    """
    if value is None:
        return None
    value = _INVISIBLE.sub("", value)
    if not value.replace("\u00a0", " ").isprintable():
        raise ValueError(
            "must be a single line; it contains a line break or another control character "
            "(two keys in one secret?)"
        )
    return value or None


class Section(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, protected_namespaces=()
    )


class Server(Section):
    host: str = Field(
        "127.0.0.1",
        description="Address to listen on. A non-loopback address requires `api_key` or "
        "`allow_open`.",
    )
    port: int = Field(8002, ge=0, le=65535, description="Port to listen on.")
    workers: int = Field(
        1,
        ge=1,
        le=64,
        description="Number of worker processes. Slots and queue length are divided among them; "
        "each worker has its own circuit breakers and caches.",
    )
    threads: int = Field(
        320,
        ge=4,
        le=4096,
        description="Threads per worker: one per request in flight, including queued requests.",
    )
    pin: bool = Field(
        True,
        description="Pin each worker to one CPU core (Linux). Set to false if other programs keep "
        "all cores busy.",
    )
    api_key: str | None = Field(
        None,
        repr=False,
        description="API key that clients send as `Authorization: Bearer`. None: no "
        "authentication.",
    )
    admin_key: str | None = Field(
        None,
        repr=False,
        description="API key for /admin/*. None: /admin/* accepts requests from this machine only.",
    )
    allow_open: bool = Field(
        False,
        description="Listen on a non-loopback address without a key. Dangerous: anyone who can "
        "reach the address can spend your cloud credit.",
    )
    allowed_hosts: tuple[str, ...] = Field(
        (),
        description=(
            "Additional values accepted in the Host header when no key is set; loopback names and "
            "`host` are always accepted. `*.example.com` matches subdomains, `*` matches "
            "everything. "
            "Protects against DNS rebinding."
        ),
    )
    cors_origins: tuple[str, ...] | None = Field(
        None,
        description=(
            "Origins whose web pages may call the router, e.g. `https://chat.example.com`; `*`: "
            "all. "
            "Without a key, other origins are refused. "
            "None: all origins if `api_key` is set, otherwise none."
        ),
    )
    trusted_proxies: tuple[str, ...] = Field(
        (), description="Addresses or networks of proxies whose X-Forwarded-For is trusted."
    )
    max_body_mb: float = Field(
        64, gt=0, le=1024, description="Maximum request body size in MB; larger bodies get a 413."
    )
    max_json_elements: int = Field(
        2_000_000,
        ge=1000,
        le=100_000_000,
        description=(
            "Maximum number of JSON elements in a request body (commas, colons, arrays and "
            "objects); "
            "more get a 413. Bounds the memory used for parsing."
        ),
    )
    body_timeout: Seconds = Field(
        60,
        description="Client read/write timeout, in seconds: the longest gap while a client sends "
        "its body or reads the answer.",
    )

    @field_validator("host")
    @classmethod
    def _host(cls, value: str) -> str:
        return value.strip().strip("[]")  # brackets around an IPv6 address

    @field_validator("api_key", "admin_key")
    @classmethod
    def _keys(cls, value: str | None) -> str | None:
        return one_line(value)

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        origins = tuple(_ORIGIN_END.sub("", origin.strip()).lower() for origin in value or ())
        for origin in origins:
            if origin not in ("*", "null", "file://") and not _ORIGIN.fullmatch(origin):
                raise ValueError(
                    f"{origin!r} is not an origin; write scheme, host and port, such as "
                    "http://localhost:5173, or *"
                )
        return None if value is None else origins


class BackendSettings(Section):
    kind: Literal["vllm", "ollama", "openai", "xai"] = Field(
        "openai",
        description="Server type; determines the health path, extra fields and web search support.",
    )
    url: str | None = Field(
        None, description="Base URL; a trailing /v1 is accepted. None: the backend is disabled."
    )
    model: str | None = Field(
        None, description="Model to request. None: the first model listed at /v1/models."
    )
    api_key: str | None = Field(None, repr=False, description="API key sent to this backend only.")
    local: bool = Field(
        True, description="False for a cloud backend: prompts are sent to a third party."
    )
    slots: int = Field(
        8,
        ge=1,
        le=10_000,
        description="Maximum concurrent requests (vLLM: --max-num-seqs). "
        "Speculation starts only if a slot is free.",
    )
    reasoning: bool = Field(
        False,
        description="True for a reasoning model: a client's max_tokens is removed, "
        "because it would cut off the reasoning.",
    )
    max_tokens: Literal["auto", "strip", "floor", "pass"] = Field(
        "auto",
        description="How a client's max_tokens is handled. auto: strip for reasoning models, floor "
        "if `min_max_tokens` is set, otherwise pass.",
    )
    min_max_tokens: Count | None = Field(
        None, description="Minimum max_tokens, applied with `max_tokens: floor`."
    )
    context_window: int | None = Field(
        None,
        ge=256,
        description="Context window in tokens, prompt and completion together. "
        "None: the value reported at /v1/models, if any.",
    )
    vision: bool | None = Field(
        None,
        description="Whether the model accepts images. None: unknown; requests with images are "
        "sent.",
    )
    system_prompt: str | None = Field(
        None,
        description="Name of a prompt in `prompts_dir` that is prepended to the system message.",
    )
    date_context: bool = Field(
        False,
        description="Append the current date to the system message. Day resolution keeps prefix "
        "caches valid.",
    )
    continues: Literal["auto", "prefill", "none"] = Field(
        "auto",
        description="How this backend continues an answer that was cut off. `auto`: by its kind "
        "(vllm: `continue_final_message`; other kinds: not at all). `prefill`: from a trailing "
        "assistant message.",
    )
    ca_file: str | None = Field(
        None,
        description="CA bundle for an https backend whose certificate is signed by a private CA.",
    )
    connect_timeout: Seconds = Field(
        5, description="Connect timeout in seconds, including the TLS handshake."
    )
    first_byte_timeout: Seconds = Field(
        120,
        description="Timeout in seconds from sending the request to the first content of a stream.",
    )
    first_byte_failover: Seconds = Field(
        12,
        description="Timeout in seconds to the first content of a stream while another backend of "
        "the route can still take over, plus one second per 3,500 characters of the prompt. "
        "`first_byte_timeout` then applies to the last backend only.",
    )
    idle_timeout: Seconds = Field(
        60, description="Maximum time between two chunks of a stream, in seconds."
    )
    total_timeout: Seconds = Field(300, description="Timeout for the whole answer, in seconds.")
    breaker_fails: int = Field(
        5, ge=1, description="Consecutive failures after which the circuit breaker opens."
    )
    breaker_reset: Seconds = Field(
        60,
        description="Seconds until an open breaker becomes half-open and lets one request through.",
    )
    allowed_fails: Count = Field(
        1,
        description="Consecutive failures after which other backends are preferred; a refused "
        "connection or a timeout triggers this at once.",
    )
    cooldown: Seconds = Field(
        30, description="Seconds for which other backends are preferred after failures."
    )

    @field_validator("api_key", "model")
    @classmethod
    def _lines(cls, value: str | None) -> str | None:
        return one_line(value)

    @field_validator("api_key")
    @classmethod
    def _key(cls, value: str | None) -> str | None:
        """Reject keys that cannot be sent in a header."""
        if value is not None and not (value.isascii() and " " not in value):
            raise ValueError("must consist of ASCII characters without spaces")
        return value

    @field_validator("url")
    @classmethod
    def _url(cls, value: str | None) -> str | None:
        if value is None or not value.strip():
            return None
        value = value.strip()
        if not value.isprintable() or " " in value:
            raise ValueError("must be a single URL without spaces or line breaks")
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("must be an http:// or https:// URL such as http://127.0.0.1:8000")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError(
                "must not contain a user name, a query or a fragment; put the key in api_key"
            )
        _ = parts.port  # raises if the port is not a number
        return f"{parts.scheme}://{parts.netloc}{_ENDPOINT.sub('', parts.path)}"

    @field_validator("ca_file")
    @classmethod
    def _ca_file(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                ssl.create_default_context(cafile=value)
            except OSError as error:  # ssl.SSLError is one
                reason = error.strerror or getattr(error, "reason", "unreadable")
                raise ValueError(
                    f"{value!r} is not a readable PEM certificate file ({reason})"
                ) from None
        return value

    @property
    def limits(self) -> Limits:
        return Limits(
            self.connect_timeout, self.first_byte_timeout, self.idle_timeout, self.total_timeout
        )

    @property
    def max_tokens_policy(self) -> str:
        if self.max_tokens != "auto":
            return self.max_tokens
        return "strip" if self.reasoning else "floor" if self.min_max_tokens else "pass"


class RouteSettings(Section):
    backends: tuple[str, ...] = Field(description="Backends to try, in order.")
    slow_ms: float = Field(
        10_000, gt=0, description="Requests that take longer, in ms, are logged as SLOW_REQUEST."
    )


class EnrichmentSettings(Section):
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


class ReasoningTier(Section):
    backend: str = Field("router", description="Backend used as classifier.")
    timeout: Seconds = Field(
        10, description="Classifier timeout in seconds; after it the primary route is taken."
    )
    prompt: str = Field(
        "classifier/system",
        description="Classification prompt. Static, so that the backend can cache its prefix.",
    )
    max_chars: int = Field(
        4000,
        ge=200,
        description="Maximum characters of the user's request sent to the classifier; the middle "
        "is cut.",
    )
    context_turns: int = Field(
        4, ge=0, le=50, description="Number of earlier turns sent to the classifier."
    )
    max_tokens: int = Field(
        1024,
        ge=16,
        le=1_000_000,
        description="Maximum tokens the classifier may generate, including reasoning; the tier "
        "abstains if they contain no label. Typical: 200 to 400.",
    )


class LearnedTierSettings(Section):
    model: Path = Field(Path("data/model"), description="Directory of the learned model.")


class OneTokenTier(Section):
    backend: str = Field(
        "router", description="Backend used as classifier; its answer is one constrained token."
    )
    timeout: Seconds = Field(
        2, description="Classifier timeout in seconds; after it the next tier decides."
    )
    prompt: str = Field("classifier/one_token", description="Classification prompt. Static.")
    min_p: float = Field(
        0.8,
        ge=0.5,
        le=1,
        description="Minimum probability of the label; below it the tier abstains.",
    )
    max_chars: int = Field(
        4000,
        ge=200,
        description="Maximum characters of the user's request sent to the classifier; the middle "
        "is cut.",
    )
    context_turns: int = Field(
        2, ge=0, le=50, description="Number of earlier turns sent to the classifier."
    )


class CacheTierSettings(Section):
    size: int = Field(10_000, ge=1, description="Maximum number of cached decisions.")
    local_s: Seconds = Field(
        CACHE_SECONDS["COMPLEX"],
        description="TTL of a cached PRIMARY or COMPLEX decision, in seconds.",
    )
    enrich_s: Seconds = Field(
        CACHE_SECONDS["ENRICH"], description="TTL of a cached ENRICH decision, in seconds."
    )


class CascadeSettings(Section):
    tiers: tuple[str, ...] = Field(
        ("rules", "cache", "learned", "one_token", "reasoning"),
        description="Tiers, in order; the first that does not abstain decides.",
    )
    reasoning: ReasoningTier = Field(default_factory=lambda: ReasoningTier())
    one_token: OneTokenTier = Field(default_factory=lambda: OneTokenTier())
    learned: LearnedTierSettings = Field(default_factory=lambda: LearnedTierSettings())
    cache: CacheTierSettings = Field(default_factory=lambda: CacheTierSettings())
    fallback_min_p: float = Field(
        0.9,
        ge=0.5,
        le=1,
        description="If the last tier is unavailable, the most probable label so far is used when "
        "it has at least this probability; otherwise the primary route.",
    )
    patience: Seconds | None = Field(
        None,
        description="Seconds after which a finished speculative answer no longer waits for the "
        "classifier: its call is cancelled and the decision falls back. None: 3, or twice the "
        "95th percentile of recent classifier calls, whichever is longer.",
    )
    meta_max_chars: int = Field(
        112_000,
        ge=1000,
        description="Maximum characters of a META request; older history beyond it is dropped.",
    )


class SpeculationSettings(Section):
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


class ProbeSettings(Section):
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


class Logging(Section):
    dir: Path = Field(Path("logs"), description="Directory of app.log and sessions/.")
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="Minimum log level."
    )
    format: Literal["text", "json"] = Field(
        "text", description="json: also write each line to stdout, as a JSON object."
    )
    console: bool | None = Field(
        None,
        description="Write one line per request to stdout: time, route, tier, backend, ms, status. "
        "None: on with `make run`, off with `make serve`.",
    )
    content: Literal["full", "off"] = Field(
        "full", description="off: session files contain no prompts and no answers."
    )
    max_age_days: float = Field(
        7, gt=0, description="Maximum age of session files in days; older ones are deleted."
    )
    max_count: int = Field(
        5000, ge=1, description="Maximum number of session files; the oldest are deleted first."
    )


class Settings(Section):
    """The whole configuration. `routes` list the `backends` that serve them, by name."""

    server: Server = Field(default_factory=lambda: Server())
    virtual_model: str = Field(
        "ai-router", description="Model name for which the router chooses the route."
    )
    timezone: str | None = Field(
        None,
        description="Time zone of the date context, e.g. Europe/Berlin. None: the system time "
        "zone.",
    )
    backends: dict[str, BackendSettings] = Field(default_factory=dict)
    routes: dict[str, RouteSettings] = Field(default_factory=dict)
    embeddings: str | None = Field(
        None, description="Backend for /v1/embeddings. None: the endpoint returns 404."
    )
    enrichment: EnrichmentSettings = Field(default_factory=lambda: EnrichmentSettings())
    cascade: CascadeSettings = Field(default_factory=lambda: CascadeSettings())
    speculation: SpeculationSettings = Field(default_factory=lambda: SpeculationSettings())
    queue: QueueSettings = Field(default_factory=lambda: QueueSettings())
    probes: ProbeSettings = Field(default_factory=lambda: ProbeSettings())
    timeouts: Timeouts = Field(default_factory=lambda: Timeouts())
    logging: Logging = Field(default_factory=lambda: Logging())
    prompts_dir: Path = Field(Path("config/prompts"), description="Directory of the prompts.")

    @field_validator("timezone")
    @classmethod
    def _zone(cls, value: str | None) -> str | None:
        if value is not None and not is_zone(value):
            raise ValueError(f"{value!r} is not a time zone such as Europe/Berlin")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> "Settings":
        problems = list(self._problems())
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def _problems(self) -> Iterator[str]:
        """Settings that contradict each other, one sentence each."""
        names = ", ".join(sorted(self.backends)) or "none"
        for route, spec in self.routes.items():
            if route not in ROUTES:
                yield f"routes.{route}: unknown route; the routes are {', '.join(ROUTES)}"
            for name in spec.backends:
                if name not in self.backends:
                    yield (
                        f"routes.{route}.backends: there is no backend {name!r}; "
                        f"the backends are {names}"
                    )
        named: tuple[tuple[str, str | None], ...] = (
            ("embeddings", self.embeddings),
            ("enrichment.backend", _as_set(self.enrichment)),
            ("cascade.reasoning.backend", _as_set(self.cascade.reasoning)),
            ("cascade.one_token.backend", _as_set(self.cascade.one_token)),
        )
        for place, other in named:
            if other is not None and other not in self.backends:
                yield f"{place}: there is no backend {other!r}; the backends are {names}"
        if not any(backend.url for backend in self.backends.values()):
            yield (
                "no backend has a URL; set PRIMARY_URL=http://host:port, "
                "or run `make run`, which starts a simulator"
            )
        elif "primary" in self.routes and not self.serving("primary"):
            lacking = [name for name in self.routes["primary"].backends if name in self.backends]
            if lacking:
                yield (
                    "routes.primary.backends: none of these backends is usable; "
                    f"set {' or '.join(map(self._lacks, lacking))}, "
                    "or run `make run` without any backend, which starts a simulator"
                )
        if "primary" not in self.routes:
            yield (
                "routes: the default route 'primary' is missing; add `primary: {backends: [NAME]}`"
            )
        loopback = self.server.host in (
            "127.0.0.1",
            "localhost",
            "::1",
        ) or self.server.host.startswith("127.")
        if not loopback and not self.server.api_key and not self.server.allow_open:
            yield (
                f"server.host is {self.server.host}, which other machines can reach, but no "
                "API_KEY is set; set API_KEY, or ALLOW_OPEN=1 if this is intended, or "
                "AIROUTER_HOST=127.0.0.1 if HOST was set for another program"
            )

    def _lacks(self, name: str) -> str:
        """The missing setting that makes a backend unusable."""
        return f"backends.{name}.{'api_key' if self.backends[name].url else 'url'}"

    def keys(self) -> tuple[str | None, ...]:
        """Every secret of the configuration."""
        server = self.server
        return (server.api_key, server.admin_key, *(b.api_key for b in self.backends.values()))

    def usable(self, name: str) -> bool:
        """Whether a backend is fully configured: it has a URL, and a key if it is a cloud."""
        backend = self.backends.get(name)
        return bool(backend and backend.url and (backend.local or backend.api_key))

    def local_backends(self) -> tuple[str, ...]:
        """The usable local backends used by any route, in the order of the routes."""
        named = [name for spec in self.routes.values() for name in spec.backends]
        return tuple(
            dict.fromkeys(name for name in named if self.backends[name].local and self.usable(name))
        )

    def serving(self, route: str) -> tuple[str, ...]:
        """The usable backends of a route, in order. If META or ENRICH has no route configured, the
        primary route serves it."""
        spec = self.routes.get(route) or (
            self.routes.get("primary") if route in ("meta", "enrich") else None
        )
        return tuple(name for name in spec.backends if self.usable(name)) if spec else ()


def _as_set(section: EnrichmentSettings | ReasoningTier | OneTokenTier) -> str | None:
    """The backend if it is set explicitly. A default that names no existing backend is not an
    error."""
    return section.backend if "backend" in section.model_fields_set else None


def describe(section: type[BaseModel], prefix: str = "") -> list[tuple[str, Any, str]]:
    """Every setting as (dotted name, default, description). The documentation is generated from
    this and tested against it.

    In a dotted name, `<name>` stands for the name of a backend or route in the configuration.
    """
    rows: list[tuple[str, Any, str]] = []
    for name, info in section.model_fields.items():
        annotation = info.annotation
        below, path = annotation, prefix + name
        if get_origin(annotation) is dict:
            below, path = get_args(annotation)[1], f"{path}.<name>"
        if isinstance(below, type) and issubclass(below, Section):
            rows += describe(below, f"{path}.")
            continue
        text = info.description or ""
        if get_origin(annotation) is Literal:
            text = f"{text} One of {', '.join(get_args(annotation))}.".strip()
        rows.append((path, info.get_default(call_default_factory=True), text))
    return rows
