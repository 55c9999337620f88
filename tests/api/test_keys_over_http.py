"""Keys of clients, over sockets: what each opens, and what is known of them afterwards."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
import requests
from harness import ask, body, content, error_of, eventually, session_file
from settings_for_tests import PLAIN_CASCADE

from airouter.__main__ import main
from airouter.settings.load import ROOT
from bench.router_process import RouterProcess
from simulator.testing import Simulator

KEYS = {
    name: f"air_{name}-0123456789abcdef"
    for name in ("chatter", "mapper", "operator", "reader", "limited", "minute", "leaver", "tenant")
}
DEFAULT, ADMIN = "the-house-key-1234", "the-admin-key-1234"
CHAT, ROUTE, MAP = "/v1/chat/completions", "/api/route", "/map/taxonomy"


def bearer(name: str) -> dict[str, str]:
    key = {"default": DEFAULT, "ADMIN_KEY": ADMIN}.get(name) or KEYS.get(name, name)
    return {"Authorization": f"Bearer {key}"}


def spec(name: str, *scopes: str, **more: Any) -> dict[str, Any]:
    digest = hashlib.sha256(KEYS[name].encode()).hexdigest()
    return {"sha256": digest, "scopes": list(scopes), **more}


CONFIG = {
    "cascade": PLAIN_CASCADE,
    "keys": {
        "chatter": spec("chatter", "chat"),
        "mapper": spec("mapper", "map"),
        "operator": spec("operator", "admin"),
        "reader": spec("reader", "admin", "content"),
        "limited": spec("limited", "chat", "map", requests_per_minute=3),
        "tenant": spec("tenant", "map", tenants=["x"]),
        "minute": spec("minute", "chat", requests_per_minute=60),
    },
}


@pytest.fixture(scope="module")
def keyed(
    shared_simulator: Simulator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RouterProcess]:
    backends = {role: shared_simulator.url(role) for role in ("router", "primary", "xai")}
    folder = tmp_path_factory.mktemp("keyed")
    env = {"API_KEY": DEFAULT, "ADMIN_KEY": ADMIN}
    folder.joinpath("keys.yaml").write_text(json.dumps({"leaver": spec("leaver", "chat", "map")}))
    with RouterProcess(folder, backends=backends, config=CONFIG, env=env) as router:
        yield router


def statuses(router: RouterProcess, name: str) -> dict[str, int]:
    """What each kind of path answers to the holder of a key."""
    paths = ("/v1/models", "/api/tags", MAP, "/admin/status", "/dashboard/requests")
    return {path: router.get(path, headers=bearer(name)).status_code for path in paths}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("chatter", (200, 200, 403, 403, 401)),
        ("mapper", (403, 403, 200, 403, 401)),
        ("operator", (403, 403, 403, 200, 200)),
        ("default", (200, 200, 200, 401, 200)),
        ("ADMIN_KEY", (401, 401, 401, 200, 200)),
        ("wrong", (401, 401, 401, 401, 401)),
    ],
)
def test_a_key_opens_what_its_scopes_say(
    keyed: RouterProcess, name: str, expected: tuple[int, ...]
) -> None:
    """As API_KEY and ADMIN_KEY open what they always have."""
    assert tuple(statuses(keyed, name).values()) == expected


def test_errors_have_the_shape_of_the_api_that_was_called(keyed: RouterProcess) -> None:
    wrong, lacking = bearer("wrong"), bearer("mapper")
    answer = keyed.post(CHAT, body("Hi"), headers=wrong)
    assert (answer.status_code, error_of(answer)["code"]) == (401, "invalid_api_key")
    answer = keyed.post(CHAT, body("Hi"), headers=lacking)
    assert (answer.status_code, error_of(answer)["code"]) == (403, "insufficient_scope")
    answer = keyed.post("/api/chat", body("Hi"), headers=lacking)
    assert answer.status_code == 403
    assert isinstance(answer.json()["error"], str)


@pytest.mark.parametrize("path", ["/map", "/map/batch", MAP, "/map/nowhere", "//map/"])
def test_errors_below_map_have_its_shape(keyed: RouterProcess, path: str) -> None:
    for name, status, code in (
        ("wrong", 401, "UNAUTHORIZED"),
        ("chatter", 403, "INSUFFICIENT_RBAC"),
    ):
        answer = requests.post(keyed.url + path, json={}, headers=bearer(name), timeout=10)
        said = answer.json()
        assert (answer.status_code, said["error_code"], said["retryable"]) == (status, code, False)
        assert set(said) == {"error_code", "message", "request_id", "retryable"}
        assert said["request_id"].startswith(answer.headers["X-Router-Session"])


def test_requests_over_the_limit_are_429_in_each_shape(keyed: RouterProcess) -> None:
    limited = bearer("limited")
    assert [keyed.get("/v1/models", headers=limited).status_code for _ in range(3)] == [200] * 3
    answer = keyed.get("/v1/models", headers=limited)
    assert (answer.status_code, error_of(answer)["code"]) == (429, "rate_limit_exceeded")
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    below_map = keyed.get(MAP, headers=limited)
    assert (below_map.status_code, below_map.json()["error_code"]) == (429, "RATE_LIMITED")
    assert below_map.json()["retryable"] is True
    assert below_map.headers["Retry-After"]
    assert keyed.get("/v1/models", headers=bearer("chatter")).status_code == 200
    # Mapping is counted by tenant, which is not known yet.
    assert keyed.post("/map", {}, headers=limited).status_code == 400


def mapped(tenant: str) -> dict[str, str]:
    return {"detector": "openai-moderation", "output": "hate", "tenant_id": tenant}


def test_mappings_are_counted_by_tenant(keyed: RouterProcess) -> None:
    limited = bearer("limited")

    def statuses_of(*tenants: str) -> list[int]:
        posted = (keyed.post("/map", mapped(one), headers=limited) for one in tenants)
        return [answer.status_code for answer in posted]

    assert statuses_of("a", "a", "a", "a", "b") == [200, 200, 200, 429, 200]
    items = {"requests": [mapped(one) for one in "abbb"]}
    both = keyed.post("/map/batch", items, headers=limited).json()
    codes = {error["index"]: error["error"]["error_code"] for error in both["errors"]}
    assert codes == {0: "RATE_LIMITED", 3: "RATE_LIMITED"}
    refused = keyed.post("/map", mapped("z"), headers=bearer("tenant"))
    assert (refused.status_code, refused.json()["error_code"]) == (403, "INSUFFICIENT_RBAC")
    assert keyed.post("/map", mapped("x"), headers=bearer("tenant")).status_code == 200


def test_an_idempotency_key_belongs_to_a_key(keyed: RouterProcess) -> None:
    def once(name: str) -> str:
        headers = {**bearer(name), "Idempotency-Key": "same"}
        answer = keyed.post("/map", mapped("x"), headers=headers).json()
        return str(answer["provenance"]["request_id"])

    assert once("mapper") == once("mapper") != once("tenant")


def test_the_61st_request_in_a_minute_is_429(keyed: RouterProcess) -> None:
    answers = [keyed.get("/v1/models", headers=bearer("minute")) for _ in range(62)]
    assert [one.status_code for one in answers] == [200] * 60 + [429] * 2


def test_messages_need_admin_and_content(keyed: RouterProcess, sim: Simulator) -> None:
    asked = ask(keyed, "a secret question", headers=bearer("chatter"))
    assert content(asked)
    document = session_file(keyed, asked.headers["X-Router-Session"])
    path = f"/dashboard/requests/{document['id']}"
    for name, state in (("operator", "needs_admin"), ("reader", "shown"), ("default", "needs_adm")):
        found = eventually(lambda name=name: keyed.get(path, headers=bearer(name)).json())
        assert found["content"].startswith(state)
        assert ("a secret question" in json.dumps(found["messages"])) == (name == "reader")
    assert ["key", "chatter"] in found["facts"]


def test_the_record_has_the_id_and_nothing_has_the_key(
    keyed: RouterProcess, sim: Simulator
) -> None:
    """Neither a file, nor a line, nor a backend."""
    sessions = {}
    for name in ("chatter", "default"):
        answer = ask(keyed, "Hello", headers=bearer(name))
        assert content(answer)
        sessions[name] = answer.headers["X-Router-Session"]
    refused = keyed.post(CHAT, body("Hi"), headers=bearer("mapper"))
    for name, session in sessions.items():
        assert session_file(keyed, session)["key_id"] == name
        eventually(lambda s=session, n=name: _line(keyed, s).endswith(f" key={n}"))
    eventually(lambda: _line(keyed, refused.headers["X-Router-Session"]).endswith(" key=mapper"))

    def indexed() -> dict[str, str]:
        with closing(sqlite3.connect(keyed.log_dir / "index.sqlite")) as connection:
            return dict(connection.execute("SELECT substr(id, 1, 8), key_id FROM requests"))

    eventually(lambda: {v: k for k, v in sessions.items()}.items() <= indexed().items())
    for path in [*keyed.folder.rglob("*"), keyed.output]:
        if path.is_file() and path.name != "router.yaml":
            raw = path.read_bytes()
            assert not [name for name, key in KEYS.items() if key.encode() in raw], path
    for role in ("router", "primary"):
        for seen in sim.stats(role)["requests"]:
            assert seen["authorized"] is False
            assert "air_" not in json.dumps(seen)
    metrics = keyed.get("/metrics", headers=bearer("chatter")).text
    assert "airouter_requests_total{" in metrics
    assert "chatter" not in metrics


def _line(router: RouterProcess, session: str) -> str:
    return next((one for one in router.log() if f"REQUEST session={session}" in one), "")


def test_a_key_of_the_dashboard_signs_in(keyed: RouterProcess) -> None:
    with requests.Session() as browser:
        page = browser.get(f"{keyed.url}/dashboard/sign-in", timeout=10).text
        token = page.split('name="csrf" value="')[1].split('"')[0]
        for name, status in (("chatter", 401), ("operator", 200)):
            form = {"csrf": token, "key": KEYS[name]}
            answer = browser.post(f"{keyed.url}/dashboard/sign-in", data=form, timeout=10)
            assert answer.status_code == status


def test_keys_are_added_and_revoked_by_a_reload(
    keyed: RouterProcess, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the command line, while the requests of others go on."""

    def status(key: str) -> int:
        return keyed.get("/v1/models", headers={"Authorization": f"Bearer {key}"}).status_code

    monkeypatch.setenv("KEYS_FILE", str(keyed.folder / "keys.yaml"))
    monkeypatch.setenv("ROUTER_CONFIG", str(keyed.folder / "router.yaml"))
    monkeypatch.chdir(ROOT)
    leaver = KEYS["leaver"]
    assert status(leaver) == 200
    assert main(["keys", "revoke", "leaver"]) == 0
    capsys.readouterr()
    assert main(["keys", "add", "comer"]) == 0
    comer = capsys.readouterr().out.strip()
    assert (status(leaver), status(comer)) == (200, 401)
    assert keyed.post("/admin/reload", headers=bearer("ADMIN_KEY")).status_code == 200
    assert (status(leaver), status(comer)) == (401, 200)
    below_map = keyed.get(MAP, headers=bearer("leaver"))
    assert (below_map.status_code, below_map.json()["error_code"]) == (401, "UNAUTHORIZED")
    assert (status(KEYS["chatter"]), status(KEYS["limited"])) == (200, 429)  # still
