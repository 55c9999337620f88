"""POST /map and /map/batch from outside: answers, errors, guards."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from harness import eventually
from mapper_app import Client, make_app
from mapper_world import DETECTOR

from airouter.mapper.answer import Outcome
from airouter.mapper.rules import Mapped
from airouter.mapper.service import Mapper

SECRET = "alice.secret@example.com"
GOOD = {"detector": DETECTOR, "output": "toxic", "tenant_id": "t"}
RULES = {"serving_mode": "rules_only"}


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    app = make_app(tmp_path, mapper=RULES)
    yield Client(app)
    app.extensions["airouter"].close()


@pytest.fixture
def modelled(tmp_path: Path) -> Iterator[Client]:
    """With the model in service, which cannot be reached."""
    app = make_app(tmp_path)
    yield Client(app)
    app.extensions["airouter"].close()


def test_parts_become_labels_with_what_they_touch(client: Client) -> None:
    status, answer = client.post("/map", {**GOOD, "output": "toxic|hate|pii_detected"})
    assert status == 200
    assert len(answer["taxonomy"]) == 3
    assert answer["scores"] == dict.fromkeys(answer["taxonomy"], 1.0)
    assert answer["confidence"] == 0.8
    said = answer["provenance"]
    assert (said["source"], said["fallback_reason"]) == ("rules", "kill_switch")
    assert (said["detector"], said["tenant_id"]) == (DETECTOR, "t")
    known = {entry["label"]: entry for entry in client.get("/map/taxonomy")[1]["labels"]}
    controls = [
        {"label": label, **control}
        for label in answer["taxonomy"]
        for control in known[label]["controls"]
    ]
    assert answer.get("policy_context", {"controls": []})["controls"] == controls


def test_every_raw_value_of_every_detector(client: Client) -> None:
    for detector in client.get("/map/detectors")[1]["detectors"]:
        for raw, label in detector["maps"].items():
            one = {"detector": detector["detector"], "output": raw, "tenant_id": "t"}
            _, answer = client.post("/map", one)
            assert answer["scores"] == {label: 1.0}, (detector["detector"], raw)
            assert answer["confidence"] == 0.8


def test_a_model_that_is_down_leads_to_a_rule_answer(modelled: Client) -> None:
    status, answer = modelled.post("/map", GOOD)
    assert (status, answer["confidence"]) == (200, 0.8)
    assert answer["provenance"]["fallback_reason"] == "model_error"
    assert sum(modelled.metrics("mapper_fallback_total").values()) == 1


def test_an_invalid_request_is_counted_and_said(client: Client) -> None:
    status, error = client.post("/map", {**GOOD, "output": ""})
    assert (status, error["error_code"], error["retryable"]) == (400, "INVALID_REQUEST", False)
    assert error["message"] == "'output' is empty."
    counted = client.metrics("mapper_requests_total")
    assert counted == {f'{{detector="{DETECTOR}",status="invalid_request"}}': 1.0}


def test_an_invalid_item_does_not_fail_its_neighbours(client: Client) -> None:
    items = [GOOD, 3, {**GOOD, "tenant_id": ""}, {**GOOD, "output": "hate"}]
    status, answer = client.post("/map/batch", {"requests": items})
    assert status == 200
    assert [result is None for result in answer["results"]] == [False, True, True, False]
    assert [(e["index"], e["detector"]) for e in answer["errors"]] == [(1, None), (2, DETECTOR)]
    assert {e["error"]["error_code"] for e in answer["errors"]} == {"INVALID_REQUEST"}
    counted = client.metrics("mapper_requests_total")
    assert sum(counted.values()) == 4


@pytest.mark.parametrize("count", [0, 101])
def test_a_batch_of_another_size_is_refused(client: Client, count: int) -> None:
    assert client.post("/map/batch", {"requests": [GOOD] * count})[0] == 400


def test_a_batch_of_100_keeps_its_order(client: Client) -> None:
    outputs = ["toxic", "hate"] * 50
    _, answer = client.post("/map/batch", {"requests": [{**GOOD, "output": o} for o in outputs]})
    labels = [result["taxonomy"][0] for result in answer["results"]]
    assert labels == labels[:2] * 50
    assert labels[0] != labels[1]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/map", 405), ("POST", "/map/taxonomy", 405), ("GET", "/map/nothing", 404)],
)
def test_other_errors_have_the_same_shape(
    client: Client, method: str, path: str, status: int
) -> None:
    found, body, headers = client.ask(method, path)
    said = json.loads(body)
    assert found == status
    assert set(said) == {"error_code", "message", "request_id", "retryable"}
    assert headers["X-Router-Session"] == said["request_id"]


def test_a_body_that_is_too_large(tmp_path: Path) -> None:
    app = make_app(tmp_path, server={"max_body_mb": 0.1})
    status, error = Client(app).post("/map", b"x" * 200_000)
    assert (status, error["error_code"]) == (413, "INVALID_REQUEST")
    app.extensions["airouter"].close()


def test_a_missing_key_is_said_in_the_same_shape(tmp_path: Path) -> None:
    app = make_app(tmp_path, server={"api_key": "k" * 20})
    client = Client(app, Authorization=f"Bearer {'k' * 20}")
    status, error = client.post("/map", GOOD, Authorization="Bearer wrong")
    assert (status, error["error_code"], error["retryable"]) == (401, "UNAUTHORIZED", False)
    assert client.post("/map", GOOD, Authorization=f"Bearer {'k' * 20}")[0] == 200
    app.extensions["airouter"].close()


def test_the_deadline_is_the_whole_requests(
    modelled: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(_mapper: Mapper, exchange: Any, _request: Any) -> Any:
        yield from exchange.sleep(5)

    monkeypatch.setattr(Mapper, "map", slow)
    status, error = modelled.post("/map", GOOD, X_Router_Timeout="0.05")
    assert (status, error["error_code"], error["retryable"]) == (408, "REQUEST_TIMEOUT", True)
    status, _ = modelled.post("/map/batch", {"requests": [GOOD]}, X_Router_Timeout="0.05")
    assert status == 408
    counted = modelled.metrics("mapper_requests_total")
    assert counted == {f'{{detector="{DETECTOR}",status="request_timeout"}}': 2.0}
    assert modelled.post("/map", GOOD, X_Router_Timeout="soon")[0] == 400


def test_the_default_deadline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(_mapper: Mapper, exchange: Any, _request: Any) -> Any:
        yield from exchange.sleep(5)

    monkeypatch.setattr(Mapper, "map", slow)
    app = make_app(tmp_path, mapper={"deadline": 0.05})
    status, error = Client(app).post("/map", GOOD)
    assert (status, error["error_code"]) == (408, "REQUEST_TIMEOUT")
    app.extensions["airouter"].close()


# Idempotency --------------------------------------------------------------------------------------


def test_a_repeated_request_is_answered_as_the_first_time(client: Client) -> None:
    raw = json.dumps(GOOD).encode()
    first = client.ask("POST", "/map", raw, Idempotency_Key="k")
    again = client.ask("POST", "/map", raw, Idempotency_Key="k")
    assert first[1] == again[1]
    assert "Idempotent-Replayed" not in first[2]
    assert again[2]["Idempotent-Replayed"] == "true"
    counted = client.metrics("mapper_requests_total")
    assert sorted(counted.values()) == [1.0, 1.0]
    assert any("replayed" in labels for labels in counted)
    assert sum(client.metrics("mapper_fallback_total").values()) == 1


def test_another_body_tenant_or_path_is_another_request(client: Client) -> None:
    first = client.post("/map", GOOD, Idempotency_Key="k")[1]
    others = [
        client.post("/map", {**GOOD, "output": "hate"}, Idempotency_Key="k")[1],
        client.post("/map", {**GOOD, "tenant_id": "u"}, Idempotency_Key="k")[1],
        client.post("/map", GOOD, Idempotency_Key="l")[1],
        client.post("/map/batch", {"requests": [GOOD]}, Idempotency_Key="k")[1]["results"][0],
    ]
    ids = {answer["provenance"]["request_id"] for answer in [first, *others]}
    assert len(ids) == 5


def test_a_batch_is_replayed_as_a_whole(client: Client) -> None:
    items = {"requests": [GOOD, 3]}
    first = client.post("/map/batch", items, Idempotency_Key="k")
    assert client.post("/map/batch", items, Idempotency_Key="k") == first


def test_an_error_is_not_kept(client: Client) -> None:
    ids = {
        client.post("/map", {**GOOD, "output": ""}, Idempotency_Key="k")[1]["request_id"]
        for _ in range(2)
    }
    assert len(ids) == 2
    assert client.post("/map", GOOD, Idempotency_Key="")[0] == 400
    assert client.post("/map", GOOD, Idempotency_Key="k" * 256)[0] == 400


def test_two_at_once_are_mapped_once(modelled: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def slow(_mapper: Mapper, exchange: Any, _request: Any) -> Any:
        calls.append(1)
        yield from exchange.sleep(0.2)
        return Outcome(Mapped(("OTHER.Unknown",), {"OTHER.Unknown": 0.0}, 0.0))

    monkeypatch.setattr(Mapper, "map", slow)
    answers: list[Any] = []

    def ask() -> None:
        answers.append(modelled.post("/map", GOOD, Idempotency_Key="k"))

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(calls) == 1
    assert answers[0] == answers[1] == answers[2]


# Guards -------------------------------------------------------------------------------------------


def test_a_fault_of_our_own_says_nothing_of_the_request(
    modelled: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_mapper: Mapper, _exchange: Any, request: Any) -> Any:
        if request.output == "hate":
            return Outcome(Mapped(("OTHER.Unknown",), {"OTHER.Unknown": 0.0}, 0.0))
        raise ValueError(SECRET)
        yield

    monkeypatch.setattr(Mapper, "map", broken)
    status, error = modelled.post("/map", {**GOOD, "output": SECRET})
    assert (status, error["error_code"], error["retryable"]) == (500, "INTERNAL_ERROR", False)
    items = [{**GOOD, "output": SECRET}, {**GOOD, "output": "hate"}]
    status, answer = modelled.post("/map/batch", {"requests": items})
    assert status == 200
    assert answer["errors"][0]["error"]["error_code"] == "INTERNAL_ERROR"
    assert answer["results"][1] is not None
    log = tmp_path / "app.log"
    eventually(lambda: log.exists() and "ValueError at" in log.read_text())
    assert SECRET not in log.read_text()


def test_raw_content_is_nowhere(tmp_path: Path) -> None:
    """Not in an answer, a log, a session, the index, or what is kept for replays."""
    app = make_app(tmp_path)
    client = Client(app)
    one = {**GOOD, "output": f"toxic|{SECRET}", "metadata": {"note": SECRET}}
    for path, value in (
        ("/map", one),
        ("/map", {**one, SECRET: 1}),
        ("/map", {**one, "detector": None}),
        ("/map/batch", {"requests": [one, {"output": SECRET}]}),
        ("/map", f'{{"output": "{SECRET}'.encode()),
    ):
        _, answer = client.post(path, value, Idempotency_Key="k")
        assert SECRET not in json.dumps(answer)
    assert SECRET.encode() not in client.ask("GET", "/metrics")[1]
    runtime = app.extensions["airouter"]
    replays = runtime.commands._control.path.parent / "mapper.sqlite"
    runtime.close()
    files = [path for path in (*tmp_path.rglob("*"), replays) if path.is_file()]
    assert replays in files
    assert [path for path in files if SECRET.encode() in path.read_bytes()] == []
    assert list((tmp_path / "sessions").glob("*.json")) == []


def test_mappings_count_for_the_objectives(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    client = Client(app)
    for _ in range(3):
        client.post("/map", GOOD)
    client.post("/map", {**GOOD, "output": ""})
    client.post("/map", GOOD, X_Router_Test="storm", Host="127.0.0.1:8002")
    app.extensions["airouter"].close()
    query = "SELECT slo, sum(good), sum(bad) FROM slo_events WHERE slo LIKE 'mapper%' GROUP BY slo"
    with closing(sqlite3.connect(tmp_path / "index.sqlite")) as connection:
        found = {slo: (good, bad) for slo, good, bad in connection.execute(query)}
    assert found["mapper-by-model"] == (0, 3)
    assert found["mapper-available"] == (3, 0)
    assert sum(found["mapper-p95"]) == 3
    assert "mapper-schema-valid" not in found  # no model answered


def test_the_page_and_its_document(client: Client) -> None:
    status, body, headers = client.ask("GET", "/map/docs")
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    page = body.decode()
    assert "http://" not in page
    assert "https://" not in page
    document = client.get("/map/openapi.json")[1]
    for path in document["paths"]:
        assert f" {path}</code>" in page
