"""gunicorn's worker process, with one event loop for all connections instead of a thread each."""

import gc
import ipaddress
import os
import socket
import sys
from functools import partial
from typing import Any

from gunicorn.sock import ssl_context
from gunicorn.workers.base import Worker as BaseWorker

from airouter.domain.clock import Clock
from airouter.resilience.traffic import TABLE
from airouter.server.clients import Clients
from airouter.server.connection import Limits
from airouter.server.load_table import LoadTable
from airouter.server.loop import Loop

# Seconds after which the interpreter passes its lock on: the loop should not wait for long behind
# a thread that computes.
_SWITCH = 0.001
# Garbage collection: objects made and not freed between two collections of young ones (0.5 ms), and
# how many of these until older ones are looked at, which takes tens of milliseconds. A request
# leaves no reference cycles behind, unless it fails.
_COLLECT = 5_000, 20, 50
_SEND_BUFFER = 131_072  # bytes that the kernel keeps for a client that does not read
LOADS = LoadTable()  # shared with the other workers, since it is made before they fork


class Worker(BaseWorker):  # type: ignore[misc]
    """Runs until gunicorn stops it; then until the last answer is complete, or gunicorn's
    `graceful_timeout`."""

    cfg: Any
    clients: Clients | None = None
    slot: int  # in the table of loads; set before the fork

    def init_process(self) -> None:
        self.loop = Loop(Clock())
        super().init_process()

    def handle_exit(self, sig: int, frame: Any) -> None:
        """SIGTERM: finish."""
        self.alive = False
        if self.clients is not None:
            self.loop.call(self.clients.stop)

    def handle_quit(self, sig: int, frame: Any) -> None:
        """SIGQUIT, SIGINT: stop now."""
        self.alive = False
        if self.clients is None:
            sys.exit(0)
        self.loop.call(self.clients.close)  # not here, where a flow may have been interrupted

    def run(self) -> None:
        cfg, runtime = self.cfg, self.wsgi.extensions["airouter"]
        TABLE.join(self.slot, cfg.workers)
        settings = runtime.state.settings.server
        for listener in self.sockets:
            # Bounds what a client that does not read costs; its connections inherit it.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        self.clients = Clients(
            self.loop,
            self.wsgi,
            self.sockets,
            limits=Limits(settings.head_timeout, settings.body_timeout, settings.idle_timeout),
            most=cfg.worker_connections,
            threads=cfg.threads,
            pressed=lambda: runtime.pressed,
            share=LOADS.share(self.slot) if cfg.workers > 1 else None,
            queued=lambda: sum(b.limiter.waiting for b in runtime.state.backends.values()),
            trusts=partial(_is_in, cfg.forwarded_allow_ips),
            tls=ssl_context(cfg) if cfg.is_ssl else None,
            log=self.log,
        )
        sys.setswitchinterval(_SWITCH)
        gc.collect()
        gc.freeze()  # what lives as long as the process need not be looked at again
        gc.set_threshold(*_COLLECT)
        self._serve(self.clients)
        self.clients.close()

    def _serve(self, clients: Clients) -> None:
        loop, looked = self.loop, 0.0
        clients.accept(True)
        while self.alive or clients.connections:
            loop.round(wait=not clients.waiting)
            clients.serve()
            now = loop.now()
            clients.publish_load()
            if now - looked >= 1.0:
                looked = now
                self.notify()
                if self.ppid != os.getppid():  # the master is gone
                    self.alive = False
                    clients.stop()


def _is_in(allowed: list[str], address: str) -> bool:
    """Whether a proxy at this address is believed when it says that its client used https."""
    if "*" in allowed or not address:  # a unix socket has none
        return True
    try:
        found = ipaddress.ip_address(address)
        return any(found in ipaddress.ip_network(net, strict=False) for net in allowed)
    except ValueError:
        return False
