"""Endpoints that pass through to the backends that declare them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, get_args

import pytest
import requests
from harness import Wire, all_free, counted, error_of, eventually

from airouter.api.declared_endpoints import GROUPS
from airouter.settings.schema import BackendSettings
from bench.router_process import RouterProcess
from simulator.testing import Simulator

AUDIO = bytes(range(256)) * 300


class Server:
    """Any API: keeps what it was sent, and answers with `status` and `answer`. While `holds`, it
    answers nothing."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str | None, bytes]] = []
        self.status, self.answer, self.type = 200, b'{"ok": true}', "application/json"
        self.holds = threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                server.seen.append((self.path, self.headers["Content-Type"], body))
                while server.holds.is_set():
                    server.holds.wait(0.01)
                self.send_response(server.status)
                self.send_header("Content-Type", server.type)
                self.send_header("Content-Length", str(len(server.answer)))
                self.end_headers()
                self.wfile.write(server.answer)

            def do_GET(self) -> None:
                self.send_error(404)

            def log_message(self, *_: Any) -> None:
                """Not to the tests' output."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self.holds.clear()
        self._http.shutdown()
        self._http.server_close()


@pytest.fixture
def servers() -> Iterator[tuple[Server, Server]]:
    made = Server(), Server()
    yield made
    for server in made:
        server.close()


@pytest.fixture
def serving(
    make_router: Callable[..., RouterProcess], servers: tuple[Server, Server]
) -> RouterProcess:
    """A router with two backends for audio, the second of which makes images, too."""
    first, second = servers
    config = {
        "first": {"endpoints": ["audio"], "model": "whisper", "slots": 2, "breaker_fails": 2},
        "second": {"endpoints": ["audio", "images"], "model": "tts"},
    }
    return make_router(config={"backends": config}, urls={"first": first.url, "second": second.url})


def test_an_upload_arrives_as_it_was_sent(
    serving: RouterProcess, servers: tuple[Server, Server]
) -> None:
    """Multipart, byte for byte, with its boundary; the answer comes back so, too."""
    server = servers[0]
    server.answer, server.type = AUDIO, "audio/mpeg"
    multipart = 'multipart/form-data; boundary="b 1"'
    raw = b'--b 1\r\nContent-Disposition: form-data; name="file"\r\n\r\n' + AUDIO + b"\r\n--b 1--"
    with counted(serving, 1) as lines:
        answer = requests.post(
            f"{serving.url}/v1/audio/transcriptions",
            data=raw,
            headers={"Content-Type": multipart},
            timeout=30,
        )
    assert server.seen == [("/v1/audio/transcriptions", multipart, raw)]
    assert (answer.status_code, answer.content) == (200, AUDIO)
    assert answer.headers["Content-Type"] == "audio/mpeg"
    assert answer.headers["X-Router-Backend"] == "first"
    assert "route=passthrough" in lines[0]
    all_free(serving)


def test_who_answers(serving: RouterProcess, servers: tuple[Server, Server]) -> None:
    """The one whose model is named, else the first; of images the only one that makes them. One
    that fails repeatedly, or is taken out of service, is passed over."""
    first, second = servers

    def taken(path: str, model: str) -> int:
        before = len(first.seen), len(second.seen)
        serving.post(path, {"model": model, "input": "x"})
        return 1 if len(first.seen) > before[0] else 2 if len(second.seen) > before[1] else 0

    assert taken("/v1/audio/speech", "tts") == 2
    assert taken("/v1/audio/speech", "whisper") == 1
    assert taken("/v1/audio/speech", "unknown") == 1
    assert taken("/v1/images/generations", "whisper") == 2
    first.status = 500
    assert [taken("/v1/audio/speech", "any") for _ in range(3)] == [1, 1, 2]
    assert serving.stats()["backends"]["first"]["breaker"] != "closed"
    serving.post("/admin/events", {"event": "backend.out", "backend": "second"})
    answer = serving.post("/v1/images/edits", {})
    assert (answer.status_code, error_of(answer)["code"]) == (503, "backend_out")
    all_free(serving)


def test_a_client_that_leaves_frees_the_slot(
    serving: RouterProcess, servers: tuple[Server, Server]
) -> None:
    """And is not held against the backend."""
    servers[0].holds.set()
    with counted(serving, 1) as lines, Wire(serving.port) as wire:
        wire.post("/v1/audio/speech", {"input": "x"})
        eventually(lambda: serving.in_use()["first"] == 1)
        wire.leave()
    assert "outcome=client_gone" in lines[0]
    all_free(serving)
    assert serving.stats()["backends"]["first"]["breaker"] == "closed"


def test_what_is_refused(serving: RouterProcess, servers: tuple[Server, Server]) -> None:
    """A body that is too large, a header that is none, and a page of another origin."""
    with Wire(serving.port) as wire:
        wire.sock.sendall(
            b"POST /v1/audio/translations HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            b"Content-Type: audio/wav\r\nContent-Length: 2000000000\r\n\r\n"
        )
        assert b"413" in wire.read_until(b"\r\n\r\n")
    for headers, status in (
        ({"Content-Type": "a" * 300}, 400),
        ({"Content-Type": "text/plain", "Origin": "https://evil.example"}, 403),
    ):
        answer = serving.post("/v1/audio/speech", {}, headers=headers)
        assert answer.status_code == status, headers
    assert servers[0].seen == []


def test_every_group_can_be_declared() -> None:
    """Those that the setting allows are those that have endpoints."""
    allowed = BackendSettings.model_fields["endpoints"].annotation
    assert set(get_args(get_args(allowed)[0])) == set(GROUPS)


@pytest.mark.parametrize(("group", "path"), [(g, p) for g, paths in GROUPS.items() for p in paths])
def test_without_such_a_backend_it_says_what_to_set(
    router: RouterProcess, sim: Simulator, group: str, path: str
) -> None:
    """404, with the setting and its value."""
    answer = router.post(path, {"model": "m"})
    error = error_of(answer)
    assert (answer.status_code, error["code"]) == (404, "no_backend_for_endpoint")
    assert f"add '{group}' to `backends.<name>.endpoints`" in error["message"]
