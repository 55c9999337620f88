"""The whole configuration, validated once and then immutable. Each section is declared in a module
of its own, with the default, the meaning and the risk of each setting.

Order of precedence: environment variables, `config/router.yaml` (or `ROUTER_CONFIG`), the declared
defaults.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, Field, field_validator, model_validator

from airouter.domain.clock import is_zone
from airouter.domain.labels import ROUTES
from airouter.settings.backends import BackendSettings, RouteSettings
from airouter.settings.cascade import CascadeSettings, ClassifierTier
from airouter.settings.proxying import (
    EnrichmentSettings,
    ProbeSettings,
    QueueSettings,
    SpeculationSettings,
    Timeouts,
)
from airouter.settings.section import Section
from airouter.settings.server import Logging, Server
from airouter.settings.slo import IndexSettings, SloSettings
from airouter.settings.tracing import TracingSettings

__all__ = [
    "BackendSettings",
    "CascadeSettings",
    "EnrichmentSettings",
    "IndexSettings",
    "Logging",
    "ProbeSettings",
    "QueueSettings",
    "RouteSettings",
    "Server",
    "Settings",
    "SloSettings",
    "SpeculationSettings",
    "Timeouts",
    "TracingSettings",
    "describe",
]


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
    aliases: dict[str, tuple[str, ...]] = Field(
        default_factory=dict,
        description="Model names that stand for chains: each lists the backends to try, in order. "
        "A request for one is not classified. Takes precedence over a backend's model of the same "
        "name, which has no failover.",
    )
    model_aliases: dict[str, str] = Field(
        default_factory=dict,
        description="Routes for names of models on `/v1/messages` that neither a backend nor "
        '`aliases` has: patterns such as `"*haiku*": primary`, of which the first that matches '
        "decides. `auto`: the router chooses. Names that match none: the same as `auto`.",
    )
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
    index: IndexSettings = Field(default_factory=lambda: IndexSettings())
    slo: SloSettings = Field(default_factory=lambda: SloSettings())
    tracing: TracingSettings = Field(default_factory=lambda: TracingSettings())
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
        yield from self._unknown_names()
        yield from self._unusable_routes()
        yield from self._wrong_aliases()
        if not (self.server.loopback or self.server.api_key or self.server.allow_open):
            yield (
                f"server.host is {self.server.host}, which other machines can reach, but no "
                "API_KEY is set; set API_KEY, or ALLOW_OPEN=1 if this is intended, or "
                "AIROUTER_HOST=127.0.0.1 if HOST was set for another program"
            )

    def _unknown_names(self) -> Iterator[str]:
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
            ("enrichment.backend", _chosen_backend(self.enrichment)),
            ("cascade.reasoning.backend", _chosen_backend(self.cascade.reasoning)),
            ("cascade.one_token.backend", _chosen_backend(self.cascade.one_token)),
        )
        for place, other in named:
            if other is not None and other not in self.backends:
                yield f"{place}: there is no backend {other!r}; the backends are {names}"

    def _unusable_routes(self) -> Iterator[str]:
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

    def _wrong_aliases(self) -> Iterator[str]:
        for alias, names in self.aliases.items():
            if alias == self.virtual_model or alias.startswith(f"{self.virtual_model}/"):
                yield f"aliases.{alias}: names that begin with virtual_model are the router's own"
            if not names:
                yield f"aliases.{alias}: names no backend; list at least one"
            for name in names:
                if name not in self.backends:
                    yield (
                        f"aliases.{alias}: there is no backend {name!r}; the backends are "
                        f"{', '.join(sorted(self.backends)) or 'none'}"
                    )

        for pattern, route in self.model_aliases.items():
            if route not in ("auto", *ROUTES):
                yield (
                    f"model_aliases.{pattern}: unknown route; choose one of "
                    f"auto, {', '.join(ROUTES)}"
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

    def chain(self, alias: str) -> tuple[str, ...]:
        """The usable backends of an alias, in order."""
        return self.members(self.aliases[alias])

    def serving(self, route: str) -> tuple[str, ...]:
        """The usable backends of a route, in order. If META or ENRICH has no route configured, the
        primary route serves it."""
        spec = self.routes.get(route) or (
            self.routes.get("primary") if route in ("meta", "enrich") else None
        )
        return self.members(spec.backends) if spec else ()

    def members(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """Those of these backends that are usable, in the same order."""
        return tuple(name for name in names if self.usable(name))


def _chosen_backend(section: EnrichmentSettings | ClassifierTier) -> str | None:
    """The section's backend if it was set; a default need not exist."""
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
