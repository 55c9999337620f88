"""Who may call."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import Wire, ask, body, content, error_of, eventually
from settings_for_tests import PLAIN_CASCADE

from bench.router_process import RouterProcess
from simulator.testing import Simulator

KEY = "a-key-of-the-router"
PRIVATE = ["/v1/models", "/stats", "/metrics", "/primary/health", "/router/v1/models", "/nowhere"]


@pytest.fixture(scope="module")
def guarded(
    shared_simulator: Simulator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RouterProcess]:
    backends = {role: shared_simulator.url(role) for role in ("router", "primary", "xai")}
    config = {"cascade": PLAIN_CASCADE}
    with RouterProcess(
        tmp_path_factory.mktemp("guarded"), backends=backends, config=config, env={"API_KEY": KEY}
    ) as router:
        yield router


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        f"Bearer {KEY}x",
        f"Bearer {KEY[:-1]}",
        f"Basic {KEY}",
        KEY,
        "Bearer schlüssel-ä".encode("latin-1"),
        "Bearer ключ 🔑".encode(),
        "Bearer " + "x" * 4000,
    ],
    ids=repr,
)
def test_a_wrong_key_is_401(
    guarded: RouterProcess, sim: Simulator, header: str | bytes | None
) -> None:
    """Whatever stands in the Authorization header instead of the key, ASCII or not, is 401 and
    spends nothing."""
    headers = {} if header is None else {"Authorization": header}
    answer = ask(guarded, "Hello", headers=headers)  # type: ignore[arg-type]
    assert (answer.status_code, error_of(answer)["code"]) == (401, "invalid_api_key")
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert KEY not in answer.text
    assert sum(sim.stats(role)["started"] for role in ("router", "primary", "xai")) == 0


@pytest.mark.parametrize("header", [f"Bearer {KEY}", f"bearer {KEY}", f"Bearer   {KEY} "])
def test_the_key_opens(guarded: RouterProcess, sim: Simulator, header: str) -> None:
    """The configured key is let in; the scheme's case and spaces around the key do not matter."""
    assert content(ask(guarded, "Hello", headers={"Authorization": header}))


@pytest.mark.parametrize("path", PRIVATE)
def test_everything_else_needs_the_key(guarded: RouterProcess, path: str) -> None:
    """Models, figures, metrics and pass-throughs are not public, and unknown paths are not told
    apart from them."""
    assert guarded.get(path).status_code == 401
    assert guarded.get(path, headers={"Authorization": f"Bearer {KEY}"}).status_code == (
        404 if path == "/nowhere" else 200
    )


@pytest.mark.parametrize("path", ["/", "/health", "/health/liveness", "/health/readiness"])
def test_the_front_page_and_health_are_public(guarded: RouterProcess, path: str) -> None:
    """A load balancer needs no key."""
    assert guarded.get(path).status_code == 200


@pytest.mark.parametrize("path", ["/healthy", "/health-secret", "/Health", "//v1/models"])
def test_what_only_looks_public_is_not(guarded: RouterProcess, path: str) -> None:
    """A path that merely begins like a public one is private."""
    with Wire(guarded.port) as wire:
        wire.sock.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        status = wire.read_until(b"\r\n").split(b" ")[1]
    assert status in (b"401", b"308")


def test_a_connection_survives_a_refusal(guarded: RouterProcess) -> None:
    """After a 401 with an unread body the same connection serves the next request properly."""
    with Wire(guarded.port) as wire:
        wire.post("/v1/chat/completions", body("x" * 50_000))
        assert wire.read_until(b"}}").startswith(b"HTTP/1.1 401")
        wire.post("/v1/chat/completions", body("Hello"), Authorization=f"Bearer {KEY}")
        assert wire.read_until(b"usage").startswith(b"HTTP/1.1 200")


def test_no_key_means_no_guard(router: RouterProcess, sim: Simulator) -> None:
    """Without a configured key a client may send any or none."""
    assert content(ask(router, "Hello", headers={"Authorization": "Bearer whatever"}))
    assert content(ask(router, "Hello"))


def test_the_key_may_come_from_a_file(make_router, sim: Simulator, tmp_path: Path) -> None:
    """API_KEY_FILE names a file that holds the key."""
    file = tmp_path / "key"
    file.write_text(f"{KEY}\n")
    router = make_router(env={"API_KEY_FILE": str(file)}, warm=False)
    assert ask(router, "Hello").status_code == 401
    assert content(ask(router, "Hello", headers={"Authorization": f"Bearer {KEY}"}))


def test_no_key_is_ever_written_down(guarded: RouterProcess, sim: Simulator) -> None:
    """Neither the log, nor a session file, nor the output holds the router's key or a backend's."""
    session = ask(guarded, "Hello", headers={"Authorization": f"Bearer {KEY}"}).headers[
        "X-Router-Session"
    ]
    files = eventually(lambda: list((guarded.log_dir / "sessions").glob(f"*_{session}.json")))
    written = files[0].read_text() + "\n".join(guarded.log()) + guarded.printed()
    assert KEY not in written
    assert "test-key" not in written
