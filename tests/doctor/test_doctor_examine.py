"""Backends side by side, over real sockets against the simulator."""

from __future__ import annotations

import time

import pytest

from airouter.doctor import http
from airouter.doctor.examine import examine, is_cloud
from airouter.domain.clock import Clock
from airouter.settings.schema import BackendSettings
from tests.doctor.conftest import KINDS

# What all simulated servers have; they differ in the rest.
COMMON = ("models", "chat", "tools", "choice", "logprobs", "embeddings", "vision")


def backends(kinds, **more):
    return {
        role: BackendSettings(url=kinds.url(role), kind=kind, api_key="a-key-for-it-1", **more)
        for role, kind in KINDS.items()
    }


def test_every_kind_that_the_simulator_has(kinds):
    reports = examine(backends(kinds), Clock())
    for role, report in reports.items():
        assert {name: report.has(name) for name in COMMON} == dict.fromkeys(COMMON, "yes"), role
        assert report.found["kind"].value == KINDS[role]
        vllm = KINDS[role] == "vllm"
        assert report.has("load") == ("yes" if vllm else "no")
        assert report.has("window") == ("yes" if vllm else "unknown")
        assert report.has("responses") == ("no" if role == "ollama" else "yes")
        assert report.has("messages") == "no"
        assert report.has("thinking") == ("yes" if role == "router" else "no")
        assert report.has("continuation") == "yes"
        # Of a cloud, which the role xai is, this is not asked.
        assert report.has("prefix_cache") == ("unknown" if role == "xai" else "yes")
        assert report.measured.ttft_ms is not None
    assert reports["router"].found["thinking_switch"].value == {
        "chat_template_kwargs": {"enable_thinking": False}
    }
    assert kinds.stats("xai")["searches"] == 0


@pytest.mark.parametrize(
    ("prefill", "verdict"),
    [("continue", "yes"), ("reject", "no"), ("repeat", "unknown"), ("ignore", "unknown")],
)
def test_a_prefill(kinds, prefill, verdict):
    kinds.configure("ollama", prefill=prefill)
    report = examine({"o": BackendSettings(url=kinds.url("ollama"))}, Clock())["o"]
    assert report.has("prefill") == verdict


@pytest.mark.parametrize(
    "fault",
    ["error_status", "html", "empty_200", "truncated_json", "cut", "garbage_event", "dribble",
     "wrong_content_type", "usage_missing", "oversized_header", "reset"],
)  # fmt: skip
def test_no_fault_is_an_error_of_the_doctor(kinds, fault):
    kinds.fault("primary", fault)
    report = examine({"p": BackendSettings(url=kinds.url("primary"))}, Clock())["p"]
    assert report.skipped == ""
    assert report.has("models") == "yes"
    broken = ("error_status", "html", "empty_200", "truncated_json", "cut", "reset")
    assert (report.has("chat") == "yes") == (fault not in broken and fault != "oversized_header")


def test_one_that_hangs_does_not_hold_up_the_others(kinds, monkeypatch):
    monkeypatch.setattr(http, "REQUEST_LIMIT", 0.5)
    kinds.fault("primary", "hang")
    began = time.monotonic()
    reports = examine(backends(kinds), Clock(), limit=30)
    assert time.monotonic() - began < 20
    assert reports["primary"].evidence("chat") == "no answer within 0.5 s"
    assert reports["ollama"].has("chat") == "yes"


def test_a_cloud_is_what_may_cost_money():
    url = "http://a.test"
    assert is_cloud(BackendSettings(url=url, local=False))
    assert is_cloud(BackendSettings(url=url, kind="xai"))
    assert not is_cloud(BackendSettings(url=url))
