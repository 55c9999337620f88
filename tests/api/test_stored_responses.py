"""Responses that are kept, over HTTP."""

from __future__ import annotations

import hashlib
from typing import Any

import requests
from harness import asked, error_of, steer

from bench.router_process import RouterProcess
from simulator.testing import Simulator

Json = dict[str, Any]
KEPT: Json = {"responses": {"max_stored": 2}}


def send(router: RouterProcess, key: str = "", **fields: Any) -> requests.Response:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    payload = {"model": "ai-router/primary", "input": "Hello", **fields}
    return requests.post(f"{router.url}/v1/responses", json=payload, headers=headers, timeout=20)


def test_a_conversation_goes_on(make_router: Any, sim: Simulator) -> None:
    """With all that was said before; the instructions are not carried over. A reference means the
    item itself."""
    router = make_router(config=KEPT)
    first = send(router, instructions="Be brief.").json()
    second = send(router, input="And?", previous_response_id=first["id"]).json()
    messages = asked(sim, "primary")[-1]["messages"]
    answer = first["output"][0]["content"][0]["text"]
    assert [message["content"] for message in messages[1:]] == ["Hello", answer, "And?"]
    assert "Be brief." not in messages[0]["content"]  # which has the date
    reference = {"type": "item_reference", "id": second["output"][0]["id"]}
    again = send(router, input=[reference, {"role": "user", "content": "Hm?"}])
    assert again.status_code == 200
    said = second["output"][0]["content"][0]["text"]
    assert asked(sim, "primary")[-1]["messages"][1]["content"] == said
    lost = send(router, input=[{"type": "item_reference", "id": "msg_0_0"}])
    assert (lost.status_code, error_of(lost)["param"]) == (400, "input.0")
    assert requests.get(f"{router.url}/v1/responses/{first['id']}", timeout=20).status_code == 404
    wrong = send(router, previous_response_id=5)
    assert (wrong.status_code, error_of(wrong)["code"]) == (400, "invalid_type")


def test_each_key_has_its_own(make_router: Any) -> None:
    digest = hashlib.sha256(b"other").hexdigest()
    config = {**KEPT, "keys": {"other": {"sha256": digest, "scopes": ["chat"]}}}
    router = make_router(config=config, env={"API_KEY": "right", "ADMIN_KEY": "admin"})
    known = send(router, "right", store=True).json()["id"]
    path = f"{router.url}/v1/responses/{known}"
    found = requests.get(path, headers={"Authorization": "Bearer right"}, timeout=20)
    assert (found.status_code, found.json()["store"]) == (200, True)
    assert requests.get(path, timeout=20).status_code == 401
    other = {"Authorization": "Bearer other"}
    for method in ("GET", "DELETE"):
        assert requests.request(method, path, headers=other, timeout=20).status_code == 404
    continued = send(router, "other", previous_response_id=known)
    assert error_of(continued)["code"] == "previous_response_not_found"
    reference = [{"type": "item_reference", "id": found.json()["output"][0]["id"]}]
    assert send(router, "right", input=reference).status_code == 200
    assert error_of(send(router, "other", input=reference))["param"] == "input.0"


def test_what_was_cut_is_not_kept(make_router: Any, sim: Simulator) -> None:
    router = make_router(config=KEPT)
    cut = send(router, input=steer("Hello", primary={"fault": "cut"}), stream=True)
    known = cut.text.partition('"id":"')[2].partition('"')[0]
    assert known.startswith("resp_")
    answer = requests.get(f"{router.url}/v1/responses/{known}", timeout=20)
    assert (answer.status_code, error_of(answer)["code"]) == (404, "response_not_found")
