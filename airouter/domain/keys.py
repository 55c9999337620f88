"""Keys of the router's clients: what the holder of one may do."""

from typing import Literal, get_args

from airouter.domain.types import immutable

Scope = Literal["chat", "map", "admin", "content"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
DEFAULT = "default"  # the id of API_KEY


@immutable
class Key:
    """A known key. `tenants`: whom its holder may act for, all if empty; `per_minute`: how many
    requests are served in any 60 seconds, None for any number."""

    id: str
    scopes: frozenset[Scope]
    tenants: frozenset[str] = frozenset()
    per_minute: int | None = None


DEFAULT_SCOPES: frozenset[Scope] = frozenset(("chat", "map", "content"))
