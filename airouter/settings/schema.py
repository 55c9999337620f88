"""The whole configuration, validated once and then immutable. Each section is declared in a module
of its own, with the default, the meaning and the risk of each setting.

Order of precedence: environment variables, `config/router.yaml` (or `ROUTER_CONFIG`), the declared
defaults.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, Field, field_validator, model_validator

from airouter.domain.clock import is_zone
from airouter.domain.labels import ROUTES
from airouter.domain.tasks import TASKS
from airouter.settings.backends import BackendSettings, RouteSettings, with_replicas
from airouter.settings.cascade import CascadeSettings, ClassifierTier
from airouter.settings.keys import KeySettings, problems
from airouter.settings.mapper import MapperSettings
from airouter.settings.matrix import MatrixRow, default_tasks
from airouter.settings.proxying import (
    EnrichmentSettings,
    ProbeSettings,
    QueueSettings,
    ShareSettings,
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
    "KeySettings",
    "Logging",
    "MapperSettings",
    "ProbeSettings",
    "QueueSettings",
    "RouteSettings",
    "Server",
    "Settings",
    "ShareSettings",
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
    tasks: dict[str, tuple[MatrixRow, ...]] | None = Field(
        None,
        description="The decision matrix: for each task, rows of `backends`, with `over` (prompt "
        "tokens) and `needs` (capabilities) as conditions; the first row that applies decides. "
        "None: the default matrix, if there is a backend named coder_fast. {}: no matrix.",
    )
    shares: dict[str, ShareSettings] = Field(default_factory=dict)
    embeddings: str | None = Field(
        None,
        description="Backend for /v1/embeddings. None: that of the task embedding; without one, "
        "the endpoint returns 404.",
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
    mapper: MapperSettings = Field(default_factory=lambda: MapperSettings())
    tracing: TracingSettings = Field(default_factory=lambda: TracingSettings())
    keys: dict[str, KeySettings] = Field(default_factory=dict)
    keys_file: Path = Field(
        Path("config/keys.yaml"),
        description="File with more keys, in the form of `keys`, which `python -m airouter keys` "
        "writes. It need not exist.",
    )
    prompts_dir: Path = Field(Path("config/prompts"), description="Directory of the prompts.")

    @field_validator("timezone")
    @classmethod
    def _zone(cls, value: str | None) -> str | None:
        if value is not None and not is_zone(value):
            raise ValueError(f"{value!r} is not a time zone such as Europe/Berlin")
        return value

    @field_validator("backends")
    @classmethod
    def _replicas(cls, value: dict[str, BackendSettings]) -> dict[str, BackendSettings]:
        return with_replicas(value)

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
        yield from self._wrong_tasks()
        yield from self._wrong_shares()
        yield from problems(self.keys)
        if not (self.server.loopback or self.keyed or self.server.allow_open):
            yield (
                f"server.host is {self.server.host}, which other machines can reach, but no "
                "API_KEY is set; set API_KEY, or ALLOW_OPEN=1 if this is intended, or "
                "AIROUTER_HOST=127.0.0.1 if HOST was set for another program"
            )

    def _unknown_names(self) -> Iterator[str]:
        names = self._all_names()
        for route, spec in self.routes.items():
            if route not in ROUTES:
                yield f"routes.{route}: unknown route; the routes are {', '.join(ROUTES)}"
            for name in spec.backends:
                if not self._exists(name):
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
            if other is not None and not self._exists(other):
                yield f"{place}: there is no backend {other!r}; the backends are {names}"

    def _unusable_routes(self) -> Iterator[str]:
        spec = self.routes.get("primary")
        others = spec is not None and "primary" not in spec.backends
        if not others and not any(backend.url for backend in self.backends.values()):
            yield (
                "no backend has a URL; set PRIMARY_URL=http://host:port, "
                "or run `make run`, which starts a simulator"
            )
        elif "primary" in self.routes and not self.serving("primary"):
            lacking = [name for name in self.routes["primary"].backends if self._exists(name)]
            if lacking:
                yield (
                    "routes.primary.backends: none of these backends is usable; "
                    f"set {' or '.join(map(self._lacks, lacking))}, "
                    "or run `make run` without any backend, which starts a simulator"
                )
        if self.mapper.route not in ROUTES:
            yield f"mapper.route: unknown route; the routes are {', '.join(ROUTES)}"
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
                if not self._exists(name):
                    yield (
                        f"aliases.{alias}: there is no backend {name!r}; the backends are "
                        f"{self._all_names()}"
                    )

        for pattern, route in self.model_aliases.items():
            if route not in ("auto", *ROUTES):
                yield (
                    f"model_aliases.{pattern}: unknown route; choose one of "
                    f"auto, {', '.join(ROUTES)}"
                )

    def _wrong_tasks(self) -> Iterator[str]:
        for task, rows in (self.tasks or {}).items():
            if task not in TASKS:
                yield f"tasks.{task}: unknown task; the tasks are {', '.join(TASKS)}"
            for name in dict.fromkeys(name for row in rows for name in row.backends):
                if not self._exists(name):
                    yield (
                        f"tasks.{task}: there is no backend {name!r}; the backends are "
                        f"{self._all_names()}"
                    )

    def _wrong_shares(self) -> Iterator[str]:
        share_of: dict[str, str] = {}
        for share, spec in self.shares.items():
            for name in spec.backends:
                if not self._exists(name):
                    yield (
                        f"shares.{share}.backends: there is no backend {name!r}; "
                        f"the backends are {self._all_names()}"
                    )
            for name in self.expanded(spec.backends):
                other = share_of.setdefault(name, share)
                if other != share:
                    yield f"shares.{share}.backends: {name!r} is in the share {other!r} already"

    def _exists(self, name: str) -> bool:
        return name in self.backends or name in self.groups

    def _all_names(self) -> str:
        """The backends as they are configured: a group is one."""
        names = {spec.group or name for name, spec in self.backends.items()}
        return ", ".join(sorted(names)) or "none"

    def _lacks(self, name: str) -> str:
        """The missing setting that makes a backend unusable."""
        spec = self.backends[self.expanded((name,))[0]]
        return f"backends.{name}.{'api_key' if spec.url else 'url'}"

    @cached_property
    def groups(self) -> Mapping[str, tuple[str, ...]]:
        """The names of the replicas by that of the backend under which they are configured."""
        found: dict[str, tuple[str, ...]] = {}
        for name, spec in self.backends.items():
            if spec.group is not None:
                found[spec.group] = (*found.get(spec.group, ()), name)
        return found

    def expanded(self, names: Iterable[str]) -> tuple[str, ...]:
        """The names of backends, with that of a group replaced by those of its replicas."""
        if not self.groups:
            return tuple(names)
        each = (replica for name in names for replica in self.groups.get(name, (name,)))
        return tuple(dict.fromkeys(each))

    @property
    def keyed(self) -> bool:
        """Whether clients need a key."""
        return self.server.api_key is not None or bool(self.keys)

    def secrets(self) -> tuple[str | None, ...]:
        """Every secret of the configuration."""
        server = self.server
        return (server.api_key, server.admin_key, *(b.api_key for b in self.backends.values()))

    def usable(self, name: str) -> bool:
        """Whether a backend is fully configured: it has a URL, and a key if it is a cloud. Of a
        group: whether any replica is."""
        backend = self.backends.get(name)
        if backend is None:
            return any(map(self.usable, self.groups.get(name, ())))
        return bool(backend.url and (backend.local or backend.api_key))

    def local_backends(self) -> tuple[str, ...]:
        """The usable local backends used by any route, in the order of the routes."""
        named = (name for spec in self.routes.values() for name in self.members(spec.backends))
        return tuple(dict.fromkeys(name for name in named if self.backends[name].local))

    def chain(self, alias: str) -> tuple[str, ...]:
        """The usable backends of an alias, in order."""
        return self.members(self.aliases[alias])

    @property
    def matrix(self) -> Mapping[str, tuple[MatrixRow, ...]]:
        """The rows of each task: those configured, otherwise the default ones."""
        return default_tasks({**self.backends, **self.groups}) if self.tasks is None else self.tasks

    def task_rows(self, task: str) -> tuple[tuple[MatrixRow, tuple[str, ...]], ...]:
        """The rows of a task that have usable backends, each with these."""
        rows = ((row, self.members(row.backends)) for row in self.matrix.get(task, ()))
        return tuple((row, backends) for row, backends in rows if backends)

    @property
    def embedder(self) -> str | None:
        """The backend for embeddings of the virtual model: as configured, else the first usable one
        of the task. One only: embeddings of different models are not comparable."""
        if self.embeddings is not None:
            return self.embeddings
        rows = self.matrix.get("embedding", ())
        return next((name for row in rows for name in row.backends if self.usable(name)), None)

    def serving(self, route: str) -> tuple[str, ...]:
        """The usable backends of a route, in order. If META or ENRICH has no route configured, the
        primary route serves it."""
        spec = self.routes.get(route) or (
            self.routes.get("primary") if route in ("meta", "enrich") else None
        )
        return self.members(spec.backends) if spec else ()

    def members(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """Those of these backends that are usable, in the same order; of a group, its replicas."""
        return tuple(name for name in self.expanded(names) if self.usable(name))


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
