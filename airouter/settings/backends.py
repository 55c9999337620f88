"""Settings of backends, and of the routes that they serve."""

import re
import ssl
from collections.abc import Iterator
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, PrivateAttr, ValidationInfo, field_validator, model_validator

from airouter.domain.tasks import Capability
from airouter.domain.types import Limits
from airouter.settings.section import Count, Seconds, Section, one_line

# The path of a known endpoint (OpenAI's or Ollama's native API), stripped from a backend's URL.
_ENDPOINT = re.compile(
    r"((/+v1)+(/+(completions|embeddings|messages|models|responses))?|(/+v1)*/+chat/+completions"
    r"|/+api/+(chat|generate|tags))?/*$",
    re.IGNORECASE,
)
_Dollars = Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False)]


class Price(Section):
    """What a backend's tokens cost, in dollars per million tokens; free by default."""

    input: _Dollars = Field(
        0.0, description="Dollars per million prompt tokens; for `airouter_cost_dollars_total`."
    )
    output: _Dollars = Field(0.0, description="Dollars per million tokens of answers.")
    cached: _Dollars | None = Field(
        None,
        description="Dollars per million prompt tokens that came from the backend's prefix cache. "
        "None: the price of `input`.",
    )


class BackendSettings(Section):
    """A backend: where it is, what it supports, and its timeouts."""

    kind: Literal["vllm", "ollama", "openai", "xai", "anthropic"] = Field(
        "openai",
        description="Server type; determines the health path, extra fields and web search support.",
    )
    url: str | None = Field(
        None, description="Base URL; a trailing /v1 is accepted. None: the backend is disabled."
    )
    urls: tuple[str, ...] = Field(
        (),
        description="Instead of `url`: the base URLs of several replicas, which serve the same "
        "model. Each becomes a backend of its own, named `<name>-1`, `<name>-2` and so on; "
        "`<name>` means all of them.",
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
        description="Maximum concurrent requests, of each replica (vLLM: --max-num-seqs). "
        "Speculation starts only if a slot is free.",
    )
    max_inputs: Count = Field(
        32,
        description="Maximum number of inputs per request for embeddings. A request with more is "
        "sent in batches of this size, up to 4 at a time while slots are free. 0: never split.",
    )
    endpoints: tuple[Literal["rerank", "audio", "images"], ...] = Field(
        (),
        description="Groups of further endpoints that this backend serves; they are passed through "
        "to it. rerank: /v1/rerank, /v1/score; audio: /v1/audio/transcriptions, translations, "
        "speech; images: /v1/images/generations, edits.",
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
    capabilities: tuple[Capability, ...] | None = Field(
        None,
        description="What the model supports: chat, completions, embeddings, vision, tools, json, "
        "reasoning. Requests that need anything else go to other backends. None: unknown; all "
        "requests are sent, except as `vision` says. Must not contradict `vision` and `reasoning`.",
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
    slow_start: Annotated[float, Field(ge=0, le=86_400)] = Field(
        30,
        description="Seconds over which the share of a replica rises after it has recovered. "
        "0: it gets its full share at once.",
    )
    price: Price = Field(default_factory=lambda: Price())
    _group: str | None = PrivateAttr(None)

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
        return (value and base_url(value)) or None

    @field_validator("urls", mode="before")
    @classmethod
    def _separated(cls, value: Any) -> Any:
        """A single text, as of one variable, has its URLs separated by commas."""
        return value.split(",") if isinstance(value, str) else value

    @field_validator("urls")
    @classmethod
    def _urls(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        urls = tuple(map(base_url, value))
        used = [url for url in urls if url]
        if len(set(used)) < len(used):
            raise ValueError("names the same URL twice; each replica needs its own")
        return urls

    @model_validator(mode="after")
    def _one_of_both(self) -> "BackendSettings":
        if self.url and any(self.urls):
            raise ValueError("has both url and urls; keep one of them")
        return self

    @field_validator("capabilities")
    @classmethod
    def _consistent(
        cls, value: tuple[str, ...] | None, info: ValidationInfo
    ) -> tuple[str, ...] | None:
        if value is not None:
            vision = info.data.get("vision")
            if vision is not None and vision != ("vision" in value):
                raise ValueError(f"contradicts vision: {str(vision).lower()}; remove one of them")
            if info.data.get("reasoning") and "reasoning" not in value:
                raise ValueError(
                    "contradicts reasoning: true; add reasoning, or remove one of them"
                )
        return value

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

    def lacks(self, needs: frozenset[str]) -> frozenset[str]:
        """Which of these capabilities it is known not to have."""
        if self.capabilities is not None:
            return needs.difference(self.capabilities)
        return needs & {"vision"} if self.vision is False else frozenset()

    @property
    def group(self) -> str | None:
        """The name under which its replicas are configured; None for a backend that has none."""
        return self._group

    def replicas(self, name: str) -> Iterator[tuple[str, "BackendSettings"]]:
        """The replicas of the backend called `name`: each with its own name and URL. An empty URL
        leaves its number out, so that the others keep their names."""
        for number, url in enumerate(self.urls, 1):
            if url:
                one = self.model_copy(update={"url": url, "urls": ()})
                one._group = name
                yield f"{name}-{number}", one

    @property
    def limits(self) -> Limits:
        """The timeouts of a call that has no alternative."""
        return Limits(
            self.connect_timeout, self.first_byte_timeout, self.idle_timeout, self.total_timeout
        )

    @property
    def max_tokens_policy(self) -> str:
        """`max_tokens` with "auto" resolved: strip, floor or pass."""
        if self.max_tokens != "auto":
            return self.max_tokens
        return "strip" if self.reasoning else "floor" if self.min_max_tokens else "pass"


def base_url(value: str) -> str:
    """A URL without the path of a known endpoint; "" if nothing was set.

    Raises:
        ValueError: it is no URL of an HTTP server, or contains more than that.
    """
    value = value.strip()
    if not value:
        return ""
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


def with_replicas(backends: dict[str, BackendSettings]) -> dict[str, BackendSettings]:
    """The backends, with each that has `urls` replaced by its replicas. One whose URLs are all
    empty stays as it is, without a URL.

    Raises:
        ValueError: a replica would have the name of another backend.
    """
    found: dict[str, BackendSettings] = {}
    for name, spec in backends.items():
        replicas = dict(spec.replicas(name))
        for replica in replicas:
            if replica in backends:
                raise ValueError(
                    f"{name!r} has a replica that is called {replica!r}, like another backend; "
                    "rename one of them"
                )
        found.update(replicas or {name: spec})
    return found


class RouteSettings(Section):
    """A route: the backends that serve it."""

    backends: tuple[str, ...] = Field(description="Backends to try, in order.")
    slow_ms: float = Field(
        10_000, gt=0, description="Requests that take longer, in ms, are logged as SLOW_REQUEST."
    )
