"""Whether a replica's model is loaded, as Ollama and llama-swap say."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from making import make_backend

from airouter.domain.clock import Clock
from airouter.settings.backends import BackendSettings, with_replicas
from airouter.upstream.backend import Backend
from airouter.upstream.loaded_models import loaded_names, read_loaded
from tests.upstream.wire_server import Peer, WireServer


@pytest.mark.parametrize(
    ("body", "names"),
    [
        (b'{"models": [{"name": "qwen:latest", "model": "qwen:latest"}]}', {"qwen:latest"}),
        (b'{"models": []}', set()),
        (b'{"running": [{"model": "a", "state": "ready"}, {"model": "b", "state": "starting"}]}',
         {"a"}),
        (b'{"running": 1}', None),
        (b"[]", None),
        (b"<html>", None),
    ],
)  # fmt: skip
def test_what_the_answers_say(body: bytes, names: set[str] | None) -> None:
    assert loaded_names(body) == names


def replica(kind: str, url: str, model: str = "qwen") -> Backend:
    spec = BackendSettings.model_validate({"kind": kind, "urls": [url], "model": model})
    [(name, one)] = with_replicas({"b": spec}).items()
    return make_backend(name, one, Clock())


def saying(body: bytes, status: int = 200) -> tuple[list[bytes], Callable[[Peer], None]]:
    """A server's requests, and what it does."""
    asked: list[bytes] = []

    def answer(peer: Peer) -> None:
        while request := peer.request():
            asked.append(request.split(b" ")[1])
            head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            peer.sock.sendall(head + body)

    return asked, answer


def test_a_replica_is_asked_in_its_own_way() -> None:
    """Ollama's names may lack their tag; llama-swap's have none."""
    ollama, say = saying(b'{"models": [{"name": "qwen:latest"}]}')
    swap, run = saying(b'{"running": [{"model": "other", "state": "ready"}]}')
    with WireServer(say) as one, WireServer(run) as two:
        backends = {"a": replica("ollama", one.url), "b": replica("openai", two.url)}
        assert read_loaded(backends, Clock(), 5) == {"a": True, "b": False}
    assert (ollama, swap) == ([b"/api/ps"], [b"/running"])


def test_who_cannot_say_is_not_asked_again_until_it_restarts() -> None:
    """Nor are backends without replicas, or of kinds that keep their model loaded."""
    asked, say = saying(b"not found", 404)
    with WireServer(say) as server:
        one = replica("openai", server.url)
        plain = make_backend("p", BackendSettings(kind="ollama", url=server.url), Clock())
        backends = {"one": one, "plain": plain, "vllm": replica("vllm", server.url)}
        for _ in range(2):
            assert set(read_loaded(backends, Clock(), 5).values()) == {None}
        assert len(asked) == 1
        one.restarted()
        read_loaded(backends, Clock(), 5)
        assert len(asked) == 2
