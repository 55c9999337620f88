"""The /_sim endpoints: inspect, configure, break and reset a role."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson

from simulator.role import Role

PREFIX = "/_sim/"
ENDPOINTS: tuple[str, ...] = (
    "GET /_sim/stats",
    "POST /_sim/reset",
    "GET /_sim/config",
    "POST /_sim/config",
    "GET /_sim/faults",
    "POST /_sim/faults",
    "DELETE /_sim/faults",
)

Listener = Callable[[Role, bool], Awaitable[None]]  # open (True) or close a role's listener


class Control:
    """Serves all roles. On a role's own listener, the default is that role; `?role=` selects
    another."""

    def __init__(self, roles: Mapping[str, Role], set_listening: Listener) -> None:
        self._roles = roles
        self._set_listening = set_listening

    async def answer(
        self, method: str, path: str, query: Mapping[str, str], own: str | None, body: Any
    ) -> tuple[int, bytes]:
        """Status and JSON body."""
        wanted = query.get("role", own)
        if wanted is not None and wanted not in self._roles:
            return 404, _error(f"role {wanted!r} is not served")
        roles = [self._roles[wanted]] if wanted else list(self._roles.values())
        try:
            results = {
                role.name: await self._one(method, path.removeprefix(PREFIX), query, role, body)
                for role in roles
            }
        except LookupError:
            return 404, _error(f"no control endpoint {method} {path}")
        except (ValueError, TypeError) as error:
            return 400, _error(str(error))
        return 200, orjson.dumps(results[wanted] if wanted else results)

    async def _one(
        self, method: str, name: str, query: Mapping[str, str], role: Role, body: Any
    ) -> Any:
        if f"{method} {PREFIX}{name}" not in ENDPOINTS:
            raise LookupError(name)
        if name == "stats":
            return role.as_dict()
        if name == "reset":
            role.reset()
            await self._set_listening(role, True)
            return {"ok": True}
        if name == "config":
            if method == "POST":
                role.configure(_object(body))
            return role.profile.as_dict()
        if method == "POST":
            added = role.faults.add(_object(body))
            if any(fault.name == "refuse" for fault in added):
                await self._set_listening(role, False)
        elif method == "DELETE":
            gone = role.faults.clear(query.get("fault"))
            if any(fault.name == "refuse" for fault in gone):
                await self._set_listening(role, True)
        return [fault.as_dict() for fault in role.faults.active]


def _object(body: Any) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise ValueError("the body must be a JSON object")
    return body


def _error(message: str) -> bytes:
    return orjson.dumps({"error": {"message": message}})
