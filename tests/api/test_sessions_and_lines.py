"""What is written down about a request: the lines of app.log, the session file, and that both are
written at its end."""

from __future__ import annotations

import json
import re
import stat

import pytest
from harness import META, Stream, Wire, ask, body, content, counted, eventually, session_file, steer

from bench.router_process import RouterProcess
from simulator.testing import Simulator

PREFIX = r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} - ai_router - (INFO|WARNING) - "
LINES = {
    "incoming": r"Incoming request: messages=1 total_chars=\d+ stream=(True|False)",
    "classified": r"Classification completed: [A-Z]+ -> [a-z]+ in \d+ms \(finish_reason=\w+\)",
    "whole": r"Provider response: \w+ status=200 duration_ms=\d+ finish_reason=stop "
    r"stream=false( speculative=true)?",
    "stream": r"Provider response: \w+ status=200 connect_ms=\d+ ttft_ms=\d+ stream=true( "
    r"speculative=true)?",
    "enriched": r"Enrichment context retrieved: \d+ chars in \d+ms",
    "cancelled": r"Cancelled speculative primary \(route=(xai|enrich)\)",
    "saved": r"Session saved: [0-9a-f]{8} write_ms=\d+ cleanup_ms=\d+",
    "request": r"REQUEST session=[0-9a-f]{8} route=\w+ classification_ms=\d+( "
    r"enrichment_ms=\d+)? inference_ms=\d+"
    r" total_ms=\d+ stream=(True|False)",
}
FIELDS = {
    "id", "timestamp", "client_ip", "user_query", "client_messages", "route",
    "classification_raw", "classification_ms", "steps", "usage",
    "total_ms", "outcome", "error",
}  # fmt: skip
STEP_FIELDS = {
    "step", "provider", "url", "model", "messages_sent", "params", "duration_ms",
    "status", "finish_reason", "response_content",
}  # fmt: skip


def quiet_log(router: RouterProcess) -> list[str]:
    """The log once everything that belongs to earlier requests is in it."""

    def complete() -> bool:
        log = router.log()
        saved, recorded = (
            sum(f" - INFO - {text}" in line for line in log)
            for text in ("Session saved: ", "REQUEST session=")
        )
        return (recorded, saved) == (
            router.metric("airouter_requests_total"),
            router.metric("airouter_sessions_total", event="written"),
        )

    eventually(complete)
    return router.log()


def lines_of(router: RouterProcess, before: int) -> list[str]:
    """The lines since then, once the session was saved."""
    eventually(lambda: any("Session saved: " in line for line in router.log()[before:]))
    return router.log()[before:]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("MODERATE", ["incoming", "classified", "answer", "request", "saved"]),
        ("COMPLEX", ["incoming", "classified", "cancelled", "answer", "request", "saved"]),
        (
            "ENRICH",
            ["incoming", "classified", "cancelled", "enriched", "answer", "request", "saved"],
        ),
    ],
)
def test_the_lines_of_a_request(
    router: RouterProcess, sim: Simulator, label: str, expected: list[str], stream: bool
) -> None:
    """Each route writes its lines in the order in which things happened, in the agreed wording."""
    before = len(quiet_log(router))
    text = steer("What is it?", router={"label": label, "ttft_ms": 50}, primary={"ttft_ms": 100})
    if stream:
        Stream(router, body(text)).read()
    else:
        ask(router, text)
    lines = [line for line in lines_of(router, before) if "Health check" not in line]
    wanted = [
        LINES[("stream" if stream else "whole") if name == "answer" else name] for name in expected
    ]
    assert len(lines) == len(wanted), lines
    for line, pattern in zip(lines, wanted, strict=True):
        assert re.match(PREFIX + pattern, line), line


def test_a_line_cannot_be_forged(router: RouterProcess, sim: Simulator) -> None:
    """Newlines in a prompt, a model or a header never begin a line of the log."""
    forged = (
        "x\n2026-01-01 00:00:00,000 - ai_router - INFO - REQUEST session=forged00 route=xai\r\n"
    )
    ask(router, forged)
    ask(router, "Hello", model=forged)
    router.post("/v1/" + "%0a".join(["a", "b"]), {})
    eventually(
        lambda: (
            sum("REQUEST session=" in line for line in router.log())
            >= router.metric("airouter_requests_total")
        )
    )
    # Other tests that share this router may have made gunicorn write a line of its own.
    any_line = PREFIX.replace("WARNING", "WARNING|ERROR").replace("ai_router", r"[\w.]+")
    assert [line for line in router.log() if not re.match(any_line, line)] == []
    assert not any(
        line.partition(" - ai_router - ")[2].startswith("INFO - REQUEST session=forged00")
        for line in router.log()
    )


@pytest.mark.parametrize("stream", [False, True])
def test_a_session_file_tells_everything(
    router: RouterProcess, sim: Simulator, stream: bool
) -> None:
    """The file has the agreed fields, the client's messages, every step and the usage; it is
    private, and named by time and id."""
    text = steer("What is this about?", primary={"text": "An answer in words"})
    answer = Stream(router, body(text)).read().response if stream else ask(router, text)
    session = answer.headers["X-Router-Session"]
    told = session_file(router, session)
    assert set(told) >= FIELDS
    assert told["id"].startswith(session)
    assert (told["route"], told["outcome"], told["error"], told["stream"]) == (
        "primary",
        "ok",
        None,
        stream,
    )
    assert told["client_messages"] == [{"role": "user", "content": text}]
    assert told["user_query"] == text[:500]
    assert "SIMPLE" in told["classification_raw"] or "MODERATE" in told["classification_raw"]
    assert told["usage"]["completion_tokens"] > 0
    (step,) = told["steps"]
    assert set(step) >= STEP_FIELDS
    assert (step["provider"], step["status"], step["finish_reason"]) == ("primary", 200, "stop")
    assert step["response_content"] == "An answer in words"
    path = next((router.log_dir / "sessions").glob(f"*_{session}.json"))
    assert re.fullmatch(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d_[0-9a-f]{8}\.json", path.name)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not list(path.parent.glob(".*.tmp"))


def test_long_texts_are_cut_in_the_session(router: RouterProcess, sim: Simulator) -> None:
    """The query is kept to 500 characters and the answer to 2,000; the client's messages are kept
    whole."""
    text = steer("why " * 300, primary={"tokens": 2000})
    told = session_file(
        router, ask(router, text, model="ai-router/primary").headers["X-Router-Session"]
    )
    assert len(told["user_query"]) == 500
    assert len(told["steps"][0]["response_content"]) == 2000
    assert told["client_messages"][0]["content"] == text


def test_a_picture_is_kept_as_its_hash(router: RouterProcess, sim: Simulator) -> None:
    """A picture's bytes do not fill the session file."""
    picture = {
        "type": "image_url",
        "image_url": {"url": "data:image/png;base64," + "iVBORw0KGgo" * 5000},
    }
    answer = ask(
        router, [{"type": "text", "text": "What is this?"}, picture], model="ai-router/primary"
    )
    told = session_file(router, answer.headers["X-Router-Session"])
    assert set(told["client_messages"][0]["content"][1]["image_url"]["url"]) >= {"sha256", "bytes"}
    assert len(json.dumps(told)) < 10_000


def test_a_stream_is_recorded_at_its_end(router: RouterProcess, sim: Simulator) -> None:
    """REQUEST, the session and its times belong to the whole stream, not to its beginning."""
    text = steer("Hello", primary={"tokens": 20, "tps": 25})
    with counted(router, 1) as lines:
        stream = Stream(router, body(text, model="ai-router/primary"))
        events = iter(stream)
        next(events)
        assert not list(
            (router.log_dir / "sessions").glob(f"*_{stream.headers['X-Router-Session']}.json")
        )
        assert list(events)
        stream.close()
    told = session_file(router, stream.headers["X-Router-Session"])
    assert told["total_ms"] >= 700
    assert told["inference_ms"] >= 650
    assert told["ttft_ms"] < 600
    assert int(re.search(r"total_ms=(\d+)", lines[0])[1]) >= 700  # type: ignore[index]


def test_a_slow_request_says_so(make_router, sim: Simulator) -> None:
    """Above its route's threshold a request, streamed or not, gets a SLOW_REQUEST line; below it
    none."""
    router = make_router(config={"routes": {"primary": {"slow_ms": 500}}})
    ask(router, "Hello")
    slow = [ask(router, steer("Hello", primary={"ttft_ms": 700})).headers["X-Router-Session"]]
    slow.append(
        Stream(router, body(steer("Hello", primary={"tokens": 15, "tps": 20})))
        .read()
        .headers["X-Router-Session"]
    )
    ask(router, steer("Prove it", router={"label": "COMPLEX"}, xai={"ttft_ms": 700}))
    eventually(lambda: sum("REQUEST session=" in line for line in router.log()) >= 7)
    found = [line for line in router.log() if "SLOW_REQUEST" in line]
    assert len(found) == 2
    pattern = (
        r"SLOW_REQUEST session=({}) route=primary total_ms=\d+ classification_ms=\d+ "
        r"inference_ms=\d+"
    )
    for line, session in zip(found, slow, strict=True):
        assert re.match(PREFIX + pattern.format(session), line), line
        assert " - WARNING - " in line


def test_refused_requests_are_recorded_but_not_saved(router: RouterProcess, sim: Simulator) -> None:
    """A request that was refused has its REQUEST line and its count, and no session file."""
    with counted(router, 1) as lines:
        answer = router.post("/v1/chat/completions", {"messages": "Hello"})
    assert "outcome=client_error" in lines[0]
    assert not list(
        (router.log_dir / "sessions").glob(f"*_{answer.headers['X-Router-Session']}.json")
    )


def test_without_content_no_text_is_kept(make_router, sim: Simulator) -> None:
    """CONTENT_LOGGING=off keeps every prompt and answer out of the files, and the routes and times
    in."""
    router = make_router(env={"CONTENT_LOGGING": "off"})
    text = steer(
        "A private question", router={"label": "ENRICH"}, primary={"text": "A private answer"}
    )
    told = session_file(router, ask(router, text).headers["X-Router-Session"])
    written = json.dumps(told) + "\n".join(router.log())
    assert "private" not in written
    assert "simulated search" not in written
    assert (told["route"], told["outcome"]) == ("enrich", "ok")


def test_meta_and_models_are_named(router: RouterProcess, sim: Simulator) -> None:
    """The record names the route, the backend that served, and the deciding tier."""
    with counted(router, 1) as lines:
        ask(router, META)
    assert re.search(r"route=meta classification_ms=0 .*backend=primary tier=rules", lines[0])


def test_a_stop_loses_nothing(make_router, sim: Simulator) -> None:
    """At a normal stop requests under way are finished, and every session and line is on disk."""
    router = make_router()
    sent = [ask(router, f"Question {number}").headers["X-Router-Session"] for number in range(30)]
    with Wire(router.port) as wire:
        wire.post(
            "/v1/chat/completions",
            body(steer("Last", primary={"ttft_ms": 600}), model="ai-router/primary"),
            Connection="close",
        )
        eventually(lambda: sim.stats("primary")["running"] == 1)
        router.stop()
        assert b"200 OK" in wire.read_until(b"never")
    names = [path.name for path in (router.log_dir / "sessions").iterdir()]
    assert all(any(name.endswith(f"_{session}.json") for name in names) for session in sent)
    assert sum("REQUEST session=" in line for line in router.log()) == 32


def test_the_client_ip_cannot_be_claimed(
    router: RouterProcess, make_router, sim: Simulator
) -> None:
    """X-Forwarded-For counts only from a proxy that is configured as trusted."""
    headers = {"X-Forwarded-For": "203.0.113.9"}
    assert (
        session_file(router, ask(router, "Hello", headers=headers).headers["X-Router-Session"])[
            "client_ip"
        ]
        == "127.0.0.1"
    )
    trusting = make_router(config={"server": {"trusted_proxies": ["127.0.0.1"]}})
    assert (
        session_file(trusting, ask(trusting, "Hello", headers=headers).headers["X-Router-Session"])[
            "client_ip"
        ]
        == "203.0.113.9"
    )
    two = {"X-Forwarded-For": "10.9.9.9, 203.0.113.9"}
    assert (
        session_file(trusting, ask(trusting, "Hello", headers=two).headers["X-Router-Session"])[
            "client_ip"
        ]
        == "203.0.113.9"
    )
    assert content(ask(trusting, "Hello", headers={"X-Forwarded-For": "nonsense,, \t"}))
