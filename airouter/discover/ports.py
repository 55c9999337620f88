"""Looks for model servers at the ports that they usually have, side by side."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed

from airouter.discover.servers import ModelServer, recognise
from airouter.doctor.http import Server
from airouter.domain.clock import Clock

USUAL_PORTS = {
    1234: "LM Studio",
    3000: "TGI",
    8000: "vLLM",
    8080: "llama.cpp, TGI",
    11434: "Ollama",
    30000: "SGLang",
}
LIMIT = 5.0  # seconds for one port; model servers answer from memory
_CONNECT_LIMIT = 1.0  # seconds
_AT_ONCE = 16


def discover(
    host: str,
    ports: Iterable[int],
    clock: Clock,
    limit: float = LIMIT,
    tell: Callable[[int, ModelServer | None], None] = lambda _port, _found: None,
) -> list[ModelServer]:
    """The model servers of a host, in the order of their ports.

    Args:
        host: a name or an address.
        limit: seconds for one port.
        tell: called as soon as a port is known, from this thread, with what was found there.
    """
    name = f"[{host}]" if ":" in host else host

    def look(port: int) -> ModelServer | None:
        url = f"http://{name}:{port}"
        try:
            return recognise(Server(url, clock, connect_timeout=_CONNECT_LIMIT, limit=limit))
        except Exception:  # an answer of a form that no model server has
            return None

    found: dict[int, ModelServer] = {}
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="discover") as pool:
        asked = {pool.submit(look, port): port for port in ports}
        for done in as_completed(asked):
            server = done.result()
            if server is not None:
                found[asked[done]] = server
            tell(asked[done], server)
    return [found[port] for port in sorted(found)]
