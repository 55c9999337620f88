"""Requests to servers that fail in every way: an answer all the same, in a limited time."""

from __future__ import annotations

import time

import pytest
import requests
import responses

from airouter.doctor import http
from airouter.doctor.http import Server, quoted
from airouter.domain.clock import Clock
from airouter.domain.redaction import protect
from airouter.settings.load import ROOT
from simulator.processes import free_port

URL = "http://backend.test:8000"


def test_an_answer_says_its_status_and_when_it_came(imitated):
    imitated.get("/v1/models", {"data": []})
    answer = Server(URL, Clock()).get("/v1/models")
    assert (answer.status, answer.json()) == (200, {"data": []})
    assert answer.pieces[0][0] >= answer.began


def test_the_key_goes_to_the_server_and_nothing_of_the_environment(imitated, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.test:1")
    imitated.get("/v1/models", {})
    Server(URL, Clock(), api_key="secret-key-1").get("/v1/models")
    request = imitated.mock.calls[0].request
    assert request.headers["Authorization"] == "Bearer secret-key-1"
    assert request.headers["Accept-Encoding"] == "identity"
    assert request.req_kwargs["proxies"] == {}


def test_the_ca_file_of_the_backend_is_used(imitated):
    imitated.get("/v1/models", {})
    Server(URL, Clock(), ca_file="/etc/own-ca.pem").get("/v1/models")
    assert imitated.mock.calls[0].request.req_kwargs["verify"] == "/etc/own-ca.pem"


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (404, "", "status 404"),
        (400, '{"error": {"message": "no such\\nfield"}}', "status 400: no such field"),
        (400, '{"error": "as Ollama says it"}', "status 400: as Ollama says it"),
        (422, '{"detail": "as FastAPI says it"}', "status 422: as FastAPI says it"),
        (200, "<!doctype html>", "status 200 with a page of HTML"),
        (200, "{", "status 200, but not the JSON of an answer"),
    ],
)
def test_what_a_server_said_instead(imitated, status, body, said):
    imitated.get("/x", body, status)
    assert Server(URL, Clock()).get("/x").said() == said


def test_a_redirect_is_not_followed(imitated):
    imitated.get("/x", "", 302, headers={"Location": "http://elsewhere.test/x"})
    answer = Server(URL, Clock()).get("/x")
    assert "a redirect, which is not followed" in answer.said()
    assert len(imitated.mock.calls) == 1


def test_a_huge_body_is_not_read_to_its_end(imitated):
    imitated.get("/x", b"x" * (http.MOST_BYTES * 2))
    answer = Server(URL, Clock()).get("/x")
    assert answer.status is None
    assert answer.said() == "an answer of more than 2,000,000 bytes"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (requests.exceptions.ConnectTimeout(), "no connection in time"),
        (requests.exceptions.ReadTimeout(), "no answer within 20 s"),
        (requests.exceptions.SSLError("CERTIFICATE_VERIFY_FAILED"), "cannot be verified"),
        (requests.exceptions.SSLError("wrong version"), "TLS does not work"),
        (requests.exceptions.ConnectionError("Connection refused"), "the connection is refused"),
        (requests.exceptions.ConnectionError("NameResolutionError"), "cannot be resolved"),
        (requests.exceptions.InvalidHeader("key secret-key-1"), "not valid HTTP (InvalidHeader)"),
    ],
)
def test_why_there_was_no_answer(imitated, error, said):
    imitated.mock.add(responses.GET, f"{URL}/x", body=error)
    answer = Server(URL, Clock()).get("/x")
    assert answer.status is None
    assert said in answer.said()
    assert "secret" not in answer.said()


def test_quoted_text_is_short_on_one_line_and_without_keys():
    protect(["secret-key-12345"])
    assert "secret" not in quoted("your key secret-key-12345")
    assert quoted("a\x1b[31m\nb") == "a [31m b"
    assert len(quoted("x" * 1000)) < 200


# Over real sockets --------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["hang", "hang_headers"])
def test_a_server_that_hangs_costs_a_limited_time(kinds, monkeypatch, fault):
    monkeypatch.setattr(http, "REQUEST_LIMIT", 0.3)
    params = {"interval_ms": 50} if fault == "hang_headers" else {}
    kinds.fault("primary", fault, path="*", **params)
    server = Server(kinds.url("primary"), Clock())
    began = time.monotonic()
    answers = [server.get("/v1/models").said() for _ in range(5)]
    assert time.monotonic() - began < 5
    assert answers[:2] == ["no answer within 0.3 s"] * 2
    assert answers[2:] == ["not asked: the server had not answered in time before"] * 3


def test_all_requests_together_have_a_limit(kinds):
    kinds.fault("primary", "hang", path="*")
    server = Server(kinds.url("primary"), Clock(), limit=0.4)
    server.get("/v1/models")
    assert server.get("/v1/models").said() == "not asked: no time was left"


@pytest.mark.parametrize("fault", ["reset", "early_close_after_headers"])
def test_a_connection_that_is_closed(kinds, fault):
    kinds.fault("primary", fault, path="*")
    answer = Server(kinds.url("primary"), Clock()).get("/v1/models")
    assert answer.said() == "the connection was closed before the answer was complete"


def test_nothing_listens():
    answer = Server(f"http://127.0.0.1:{free_port()}", Clock()).get("/v1/models")
    assert answer.said() == "the connection is refused"


def test_the_doctor_sends_its_requests_itself():
    """docs/architecture.md says so."""
    folder = ROOT / "airouter" / "doctor"
    sources = {path.name: path.read_text("utf-8") for path in folder.glob("*.py")}
    assert [name for name, text in sources.items() if "import requests" in text] == ["http.py"]
    of_the_client = ("upstream.client", "open_call", "Lease")
    assert not any(name in text for name in of_the_client for text in sources.values())
