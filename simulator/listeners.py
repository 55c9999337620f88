"""Opens and closes the listeners of all roles; each keeps its port."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from simulator.control import Control
from simulator.profiles import RoleProfile
from simulator.role import Role
from simulator.server import Connection, RoleServer


class Listeners:
    """All roles in one event loop, and a control listener that is not affected by faults."""

    def __init__(
        self, host: str, profiles: Mapping[str, RoleProfile], ports: Mapping[str, int]
    ) -> None:
        self._host = host
        self.roles = {name: Role(name, profiles[name]) for name in ports if name != "control"}
        self._ports = {"control": 0, **ports}
        self._open: dict[str, asyncio.AbstractServer] = {}
        self._servers: dict[str, RoleServer] = {}

    async def start(self) -> dict[str, str]:
        """Listen everywhere; the addresses by role."""
        control = Control(self.roles, self._set_listening)
        for name in self._ports:
            self._servers[name] = RoleServer(self.roles.get(name), control)
            await self._listen(name)
        host = f"[{self._host}]" if ":" in self._host else self._host
        return {name: f"http://{host}:{port}" for name, port in self._ports.items()}

    async def stop(self) -> None:
        for listener in self._open.values():
            listener.close()
        self._open.clear()
        for server in self._servers.values():
            for connection in server.connections:
                if connection.transport is not None:
                    connection.transport.abort()  # a hanging answer never ends by itself

    async def _listen(self, name: str) -> None:
        loop = asyncio.get_running_loop()
        listener = await loop.create_server(
            self._servers[name], self._host, self._ports[name], backlog=4096
        )
        self._open[name] = listener
        self._ports[name] = listener.sockets[0].getsockname()[1]

    async def _set_listening(self, role: Role, wanted: bool) -> None:
        listener = self._open.get(role.name)
        if wanted and listener is None:
            await self._listen(role.name)
        elif not wanted and listener is not None:
            del self._open[role.name]
            listener.close()
            # A server that is down has no idle connections either; requests in flight finish.
            for connection in self._servers[role.name].connections:
                if (
                    isinstance(connection, Connection)
                    and not connection.busy
                    and connection.transport is not None
                ):
                    connection.transport.close()
