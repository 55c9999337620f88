"""Every setting: where it is declared it is documented, with its default and its danger.
Validated once, then frozen.

Order of precedence: environment, then `config/router.yaml` (or `ROUTER_CONFIG`), then the
defaults below."""

import re
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from airouter.clock import is_zone
from airouter.types import ROUTES, Limits

# What follows the base in the URL of an endpoint: OpenAI's, or one of Ollama's own.
_ENDPOINT = re.compile(
    r"((/+v1)+(/+(completions|embeddings|models|responses))?|(/+v1)*/+chat/+completions"
    r"|/+api/+(chat|generate|tags))?/*$",
    re.IGNORECASE,
)
Seconds = Annotated[float, Field(gt=0, le=86_400)]
Count = Annotated[int, Field(ge=0, le=1_000_000)]


_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^\s/?#@*]+")
_ORIGIN_END = re.compile(r"(?<![:/])/+$")
# What a copied text may end in without being seen: white space, a byte order mark, a space of no
# width.
_INVISIBLE = re.compile(r"\A[\s\ufeff\u200b]+|[\s\ufeff\u200b]+\Z")


def one_line(value: str | None) -> str | None:
    """Without what is invisible at its ends, such as the line break of a file; None when nothing
    is left.

    Raises:
        ValueError: a line break or another control character within it. The value is not repeated:
            it may be a key.
    """
    if value is None:
        return None
    value = _INVISIBLE.sub("", value)
    if not value.replace("\u00a0", " ").isprintable():
        raise ValueError(
            "must be one line; there is a line break or another control character in it "
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
        description="Address to listen on. Anything but loopback needs `api_key` or `allow_open`.",
    )
    port: int = Field(8002, ge=0, le=65535, description="Port to listen on.")
    workers: int = Field(
        1,
        ge=1,
        le=64,
        description="Worker processes. Slots and queues are divided among them; each has breakers and caches of its own.",
    )
    threads: int = Field(
        320,
        ge=4,
        le=4096,
        description="Threads per worker: one per request under way, waiting ones included.",
    )
    pin: bool = Field(
        True,
        description="Keep each worker on one core (Linux). False: where other programs keep all cores busy all the time.",
    )
    api_key: str | None = Field(
        None,
        repr=False,
        description="Key that callers send as `Authorization: Bearer`. None: no authentication.",
    )
    admin_key: str | None = Field(
        None, repr=False, description="Key for /admin/*. None: only callers on this machine."
    )
    allow_open: bool = Field(
        False,
        description="Serve on a non-loopback address without a key. Dangerous: anyone who reaches it spends your cloud credit.",
    )
    allowed_hosts: tuple[str, ...] = Field(
        (),
        description=(
            "Host names by which a router without a key may be addressed, beside loopback names and "
            "`host`; `*.example.com` covers subdomains, `*` everything. Protects from DNS rebinding."
        ),
    )
    cors_origins: tuple[str, ...] | None = Field(
        None,
        description=(
            "Origins whose web pages may use the router, e.g. `https://chat.example.com`; `*`: all. "
            "Without a key, pages of other origins are refused. "
            "None: all with `api_key` set, else none."
        ),
    )
    trusted_proxies: tuple[str, ...] = Field(
        (), description="Peers whose X-Forwarded-For is believed, as addresses."
    )
    max_body_mb: float = Field(
        64, gt=0, le=1024, description="Largest request body in MB; above it: 413."
    )
    max_json_elements: int = Field(
        2_000_000,
        ge=1000,
        le=100_000_000,
        description=(
            "Most JSON elements in a request body (commas, colons, lists and objects); above it: 413. "
            "Bounds the memory of a parse."
        ),
    )
    body_timeout: Seconds = Field(
        60,
        description="Longest silence while a client sends its body, or takes what it asked for, in seconds.",
    )

    @field_validator("host")
    @classmethod
    def _host(cls, value: str) -> str:
        return value.strip().strip("[]")  # of an IPv6 address

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
        "openai", description="What the server is; decides health path, extra fields, search."
    )
    url: str | None = Field(
        None, description="Base URL; a trailing /v1 is accepted. None: the backend does not exist."
    )
    model: str | None = Field(
        None, description="Model name to ask for. None: the first that /v1/models lists."
    )
    api_key: str | None = Field(
        None, repr=False, description="Key sent to this backend, and to no other."
    )
    local: bool = Field(True, description="False for a cloud: prompts sent there leave the house.")
    slots: int = Field(
        8,
        ge=1,
        le=10_000,
        description="Requests it works on at once (vLLM: --max-num-seqs). A speculation needs a free one.",
    )
    reasoning: bool = Field(
        False,
        description="A reasoning model: a client's max_tokens would end its thinking early, so it is stripped.",
    )
    max_tokens: Literal["auto", "strip", "floor", "pass"] = Field(
        "auto",
        description="What happens to a client's max_tokens; auto: strip for reasoning, floor for a cloud with min_max_tokens, else pass.",
    )
    min_max_tokens: Count | None = Field(None, description="The floor for `max_tokens: floor`.")
    context_window: int | None = Field(
        None,
        ge=256,
        description="Tokens it can read and write in one request. "
        "None: what /v1/models states, if it does.",
    )
    vision: bool | None = Field(
        None, description="Reads images. None: unknown, requests with images are passed on."
    )
    system_prompt: str | None = Field(
        None,
        description="Name of a prompt in prompts/ that is put before the client's system text.",
    )
    date_context: bool = Field(
        False,
        description="Append the date (day resolution, so that prefix caches survive) to the system text.",
    )
    continues: Literal["auto", "prefill", "none"] = Field(
        "auto",
        description="How it goes on with an answer that another backend, or itself, has cut off: "
        "`auto` as its kind does (vllm: by `continue_final_message`; the others not), `prefill` "
        "from a last message of the assistant's.",
    )
    ca_file: str | None = Field(
        None, description="CA bundle for an https backend with a certificate of its own."
    )
    connect_timeout: Seconds = Field(5, description="Seconds to connect, TLS included.")
    first_byte_timeout: Seconds = Field(
        120, description="Seconds from the request sent to the first content of a stream."
    )
    first_byte_failover: Seconds = Field(
        12,
        description="Seconds to the first content of a stream while another backend of the chain "
        "can answer, plus one for each 3,500 characters of the prompt; "
        "`first_byte_timeout` then counts for the last one only.",
    )
    idle_timeout: Seconds = Field(60, description="Longest gap within a stream, in seconds.")
    total_timeout: Seconds = Field(300, description="Seconds for the whole answer.")
    breaker_fails: int = Field(
        5, ge=1, description="Failed requests in a row after which the backend is not asked at all."
    )
    breaker_reset: Seconds = Field(60, description="Seconds until one request tries it again.")
    allowed_fails: Count = Field(
        1,
        description="Failures in a row before others are preferred; a refused connection or silence counts at once.",
    )
    cooldown: Seconds = Field(30, description="Seconds for which others are preferred.")

    @field_validator("api_key", "model")
    @classmethod
    def _lines(cls, value: str | None) -> str | None:
        return one_line(value)

    @field_validator("api_key")
    @classmethod
    def _key(cls, value: str | None) -> str | None:
        """It becomes a header."""
        if value is not None and not (value.isascii() and " " not in value):
            raise ValueError("must be a key of ASCII characters without spaces in it")
        return value

    @field_validator("url")
    @classmethod
    def _url(cls, value: str | None) -> str | None:
        if value is None or not value.strip():
            return None
        value = value.strip()
        if not value.isprintable() or " " in value:
            raise ValueError("must be one URL, without spaces and line breaks in it")
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("must be an http:// or https:// URL such as http://127.0.0.1:8000")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError(
                "must not carry a user name, a query or a fragment; put the key in api_key"
            )
        _ = parts.port  # raises on a port that is no number
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
                    f"{value!r} is not a readable file of PEM certificates ({reason})"
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
        10_000, gt=0, description="Above this many ms the request is logged as SLOW_REQUEST."
    )


class EnrichmentSettings(Section):
    backend: str = Field("xai", description="Backend that searches (kind xai).")
    tools: tuple[str, ...] = Field(
        ("web_search", "x_search"), description="Search tools it may use."
    )
    max_output_tokens: int = Field(1024, ge=16, description="Length of the fetched context.")
    timeout: Seconds = Field(
        60, description="Seconds for the search; then the answer is given without it, and says so."
    )
    with_tools: Literal["auto", "always", "never"] = Field(
        "auto",
        description="For a request that brings tools. `auto`: searched for, unless one of the tools "
        "fetches what is asked for (a web search, a browser, `get_weather` for the weather). "
        "`always`: searched for whatever the tools. `never`: not searched for.",
    )


class ReasoningTier(Section):
    backend: str = Field("router", description="Backend that classifies.")
    timeout: Seconds = Field(10, description="Seconds after which the primary route is taken.")
    prompt: str = Field(
        "classifier/system",
        description="The rubric, static, so that the backend's prefix cache keeps it.",
    )
    max_chars: int = Field(
        4000, ge=200, description="Characters of the ask that the classifier reads (head and tail)."
    )
    context_turns: int = Field(4, ge=0, le=50, description="Earlier turns that are shown to it.")
    max_tokens: int = Field(
        1024,
        ge=16,
        le=1_000_000,
        description="Tokens it may generate, thinking included; without a label by then it "
        "abstains. 200 to 400 are usual.",
    )


class LearnedTierSettings(Section):
    model: Path = Field(Path("data/model"), description="Folder of the learned model.")


class OneTokenTier(Section):
    backend: str = Field("router", description="Backend that classifies by one constrained token.")
    timeout: Seconds = Field(2, description="Seconds after which the next tier is asked.")
    prompt: str = Field("classifier/one_token", description="The rubric, static.")
    min_p: float = Field(
        0.8, ge=0.5, le=1, description="Probability that its label must have to decide."
    )
    max_chars: int = Field(
        4000, ge=200, description="Characters of the ask that it reads (head and tail)."
    )
    context_turns: int = Field(2, ge=0, le=50, description="Earlier turns that are shown to it.")


class CacheTierSettings(Section):
    size: int = Field(10_000, ge=1, description="Decisions that are remembered.")
    local_s: Seconds = Field(
        86_400, description="Seconds a PRIMARY or COMPLEX decision is believed."
    )
    enrich_s: Seconds = Field(600, description="Seconds an ENRICH decision is believed.")


class CascadeSettings(Section):
    tiers: tuple[str, ...] = Field(
        ("rules", "cache", "learned", "one_token", "reasoning"),
        description="Tiers in order; the first that does not abstain decides.",
    )
    reasoning: ReasoningTier = Field(default_factory=lambda: ReasoningTier())
    one_token: OneTokenTier = Field(default_factory=lambda: OneTokenTier())
    learned: LearnedTierSettings = Field(default_factory=lambda: LearnedTierSettings())
    cache: CacheTierSettings = Field(default_factory=lambda: CacheTierSettings())
    fallback_min_p: float = Field(
        0.9,
        ge=0.5,
        le=1,
        description="When the last tier cannot be asked, the best guess so far decides if it is this probable; else the primary.",
    )
    patience: Seconds | None = Field(
        None,
        description="Seconds of deciding after which a finished speculative answer is held no "
        "longer: the classifier is given up and the decision falls back. None: 3, or twice the "
        "95th percentile of the classifier's latest calls if that is longer.",
    )
    meta_max_chars: int = Field(
        112_000, ge=1000, description="A longer META request keeps its newest history only."
    )


class SpeculationSettings(Section):
    enabled: bool = Field(
        True, description="Start the primary's answer while the route is still being decided."
    )
    min_p_primary: float = Field(
        0.3,
        ge=0,
        le=1,
        description="Do not speculate when the primary route is less probable than this.",
    )
    buffer_kb: int = Field(
        1024,
        ge=4,
        description="What is read ahead of the decision; full means that reading pauses.",
    )


class QueueSettings(Section):
    length: Count = Field(
        64, description="Requests that may wait per backend; more get 429 at once."
    )
    wait: Seconds = Field(
        5,
        description="Longest wait for a slot, in seconds; then 429. What follows is not limited by it.",
    )
    hold_wait: Seconds = Field(
        60, description="Longest wait, in seconds, for a backend that swaps or loads a model."
    )


class ProbeSettings(Section):
    enabled: bool = Field(
        True,
        description="Ask backends in the background whether they are up, by requests that cost nothing.",
    )
    interval: Seconds = Field(
        5, description="Seconds between two probes of a local backend, give or take a tenth."
    )
    idle_factor: float = Field(
        6, ge=1, description="So many times rarer for a cloud, and while nobody asks anything."
    )
    timeout: Seconds = Field(2, description="Seconds a probe may take.")


class Timeouts(Section):
    total: Seconds = Field(
        600, description="Seconds for an exchange as a whole, failovers included."
    )
    keepalive_after: Seconds = Field(
        10,
        description="A streaming client that has heard nothing this long gets its 200 and SSE comments.",
    )
    retry_after: Seconds = Field(
        2,
        description="A backend's own Retry-After is waited for once if it is not longer than this; else the next backend is asked.",
    )
    drain: Seconds = Field(
        120, description="Seconds that requests under way may go on after SIGTERM."
    )
    health: Annotated[float, Field(gt=0, le=5)] = Field(
        4.8, description="Hard limit for GET /health over all backends together; 5 s at most."
    )


class Logging(Section):
    dir: Path = Field(Path("logs"), description="Folder of app.log and sessions/.")
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="Least important line that is written."
    )
    format: Literal["text", "json"] = Field(
        "text", description="json: one JSON object per line on stdout as well."
    )
    console: bool | None = Field(
        None,
        description="One line per request on stdout: time, route, tier, backend, ms, status. "
        "None: with `make run`, not with `make serve`.",
    )
    content: Literal["full", "off"] = Field(
        "full", description="off: no prompt and no answer reaches a session file."
    )
    max_age_days: float = Field(7, gt=0, description="Session files older than this are removed.")
    max_count: int = Field(
        5000, ge=1, description="More session files than this: the oldest are removed."
    )


class Settings(Section):
    """The whole configuration. `backends` are named; `routes` say which of them serve what."""

    server: Server = Field(default_factory=lambda: Server())
    virtual_model: str = Field("ai-router", description="The model name that means: decide for me.")
    timezone: str | None = Field(
        None, description="Zone of the date context, e.g. Europe/Berlin. None: the system's."
    )
    backends: dict[str, BackendSettings] = Field(default_factory=dict)
    routes: dict[str, RouteSettings] = Field(default_factory=dict)
    embeddings: str | None = Field(
        None, description="Backend for /v1/embeddings. None: 404 with a sentence."
    )
    enrichment: EnrichmentSettings = Field(default_factory=lambda: EnrichmentSettings())
    cascade: CascadeSettings = Field(default_factory=lambda: CascadeSettings())
    speculation: SpeculationSettings = Field(default_factory=lambda: SpeculationSettings())
    queue: QueueSettings = Field(default_factory=lambda: QueueSettings())
    probes: ProbeSettings = Field(default_factory=lambda: ProbeSettings())
    timeouts: Timeouts = Field(default_factory=lambda: Timeouts())
    logging: Logging = Field(default_factory=lambda: Logging())
    prompts_dir: Path = Field(Path("config/prompts"), description="Folder of the prompts.")

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
        """What does not fit together, one sentence each."""
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
                    "routes.primary.backends: none of them can be used; "
                    f"set {' or '.join(map(self._lacks, lacking))}, "
                    "or run `make run` without any backend, which starts a simulator"
                )
        if "primary" not in self.routes:
            yield (
                "routes: there is no route 'primary', the default; "
                "write `primary: {backends: [NAME]}`"
            )
        loopback = self.server.host in (
            "127.0.0.1",
            "localhost",
            "::1",
        ) or self.server.host.startswith("127.")
        if not loopback and not self.server.api_key and not self.server.allow_open:
            yield (
                f"server.host is {self.server.host}, which others can reach, but no API_KEY is "
                "set; set API_KEY, or ALLOW_OPEN=1 if that is meant, or AIROUTER_HOST=127.0.0.1 "
                "if HOST was not set for this router"
            )

    def _lacks(self, name: str) -> str:
        """The setting without which a backend that is not usable cannot be used."""
        return f"backends.{name}.{'api_key' if self.backends[name].url else 'url'}"

    def keys(self) -> tuple[str | None, ...]:
        """Every secret of the configuration."""
        server = self.server
        return (server.api_key, server.admin_key, *(b.api_key for b in self.backends.values()))

    def usable(self, name: str) -> bool:
        """Whether a backend exists for real: it has a URL, and a key if it is a cloud."""
        backend = self.backends.get(name)
        return bool(backend and backend.url and (backend.local or backend.api_key))

    def local_backends(self) -> tuple[str, ...]:
        """The usable local backends that some route names, in the routes' order."""
        named = [name for spec in self.routes.values() for name in spec.backends]
        return tuple(
            dict.fromkeys(name for name in named if self.backends[name].local and self.usable(name))
        )

    def serving(self, route: str) -> tuple[str, ...]:
        """The usable backends of a route, in order; META and ENRICH without a route of their own
        are served like the primary."""
        spec = self.routes.get(route) or (
            self.routes.get("primary") if route in ("meta", "enrich") else None
        )
        return tuple(name for name in spec.backends if self.usable(name)) if spec else ()


def _as_set(section: EnrichmentSettings | ReasoningTier | OneTokenTier) -> str | None:
    """A backend that the configuration names itself: a default that names none of the backends
    is merely unused."""
    return section.backend if "backend" in section.model_fields_set else None


def describe(section: type[BaseModel], prefix: str = "") -> list[tuple[str, Any, str]]:
    """Every setting as (dotted name, default, description): what the documentation is written
    from and tested against.

    In a name, `<name>` stands for what the configuration itself names: a backend, a route.
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
