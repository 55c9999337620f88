"""A backend that quotes the key it was sent: no client reads it, no file holds it."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import measured
import pytest
import requests
from harness import Stream, body, error_of, eventually

from bench.router_process import RouterProcess

BACKEND_KEY = "xai-Backend-0123456789"
API_KEY = "router-Callers-0123456789"
ADMIN_KEY = "router-Admins-0123456789"
KEYS = (BACKEND_KEY, API_KEY, ADMIN_KEY)
EVENT = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
SSE = "text/event-stream"


def quoting(how: str, key: str) -> tuple[int, str, list[bytes], str]:
    """Status, content type, pieces of the body, and a header's value of the answer that quotes the
    key so."""
    said = f"Incorrect API key provided: {key}."
    error: Any = {"error": {"message": said, "type": key, "code": key, "param": {"sent": key}}}
    start = (
        b"data: "
        + json.dumps(
            {**EVENT, "choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": None}]}
        ).encode()
    )
    whole = {"id": "c", "model": "m", "object": "chat.completion", "created": 1}
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": said},
        "finish_reason": "stop",
    }
    raw = json.dumps(error).encode()
    escaped = raw.replace(key.encode(), "".join(f"\\u{ord(c):04x}" for c in key).encode())
    long = json.dumps({"error": {"message": {"a": "x" * 480 + key}}}).encode()
    end = b"data: " + json.dumps({**EVENT, "choices": [{**choice, "delta": {}}]}).encode()
    return {
        "error": (400, "application/json", [raw], ""),
        "error 500": (500, "application/json", [raw], ""),
        "error 401": (401, "application/json", [raw], ""),
        "text": (400, "text/plain", [said.encode()], ""),
        "escaped": (422, "application/json", [escaped], ""),
        "cut off in the middle": (400, "application/json", [long], ""),
        "base64": (400, "text/plain", [base64.b64encode(b"Bearer " + key.encode())], ""),
        "header": (429, "application/json", [b'{"error": {"message": "no"}}'], f"7;{key}"),
        "content type": (200, f"text/{key}", [b"hello"], ""),
        "error in a 200": (200, "application/json", [raw], ""),
        "answer": (
            200,
            "application/json",
            [json.dumps({**whole, "choices": [choice]}).encode()],
            "",
        ),
        "error event": (200, SSE, [b"data: " + raw + b"\n\n"], ""),
        "late error event": (200, SSE, [start + b"\n\ndata: " + escaped + b"\n\n"], ""),
        "long late error": (
            200,
            SSE,
            [start + b"\n\ndata: " + long.replace(b"x" * 200, b"") + b"\n\n"],
            "",
        ),
        "comment": (200, SSE, [start + b"\n\n: " + said.encode() + b"\n\n" + end + b"\n\n"], ""),
        "content": (
            200,
            SSE,
            [b"".join([end.replace(b"{}", json.dumps({"content": said}).encode(), 1), b"\n\n"])],
            "",
        ),
        "in two pieces": (
            200,
            SSE,
            [start + b"\n\n: " + said[:36].encode(), said[36:].encode() + b"\n\n" + end + b"\n\n"],
            "",
        ),
    }[how]


HOW = (
    "error", "error 500", "error 401", "text", "escaped", "cut off in the middle", "base64",
    "header",
    "content type",
    "error in a 200", "answer", "error event", "late error event", "long late error", "comment",
    "content",
    "in two pieces",
)  # fmt: skip


class Backend(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        how, key = json.loads(asked["messages"][-1]["content"])
        status, kind, pieces, wait = quoting(how, KEYS[key])
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Transfer-Encoding", "chunked")
        if wait:
            self.send_header("Retry-After", wait)
        self.end_headers()
        for piece in pieces:
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")

    def do_GET(self) -> None:
        listed = json.dumps({"data": [{"id": f"model-{BACKEND_KEY}"}]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(listed)))
        self.end_headers()
        self.wfile.write(listed)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def router(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RouterProcess]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Backend)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    config = {
        "backends": {
            "primary": {
                "api_key": BACKEND_KEY,
                "breaker_fails": 1_000_000,
                "allowed_fails": 1_000_000,
                "cooldown": 0.01,
            }
        },
        "cascade": {"tiers": ["rules"]},
        "timeouts": {"retry_after": 0.01},
    }
    process = RouterProcess(
        tmp_path_factory.mktemp("keys"),
        backends={"primary": f"http://127.0.0.1:{server.server_port}"},
        config=config,
        env={"API_KEY": API_KEY, "ADMIN_KEY": ADMIN_KEY},
    )
    process.start()
    yield process
    measured.kill(process)
    server.shutdown()
    server.server_close()


def parts(key: str) -> tuple[str, ...]:
    """The key, the longer part of it, and its base64: none may be read anywhere."""
    return key, key[4:-4], key[:-6], base64.b64encode(b"Bearer " + key.encode()).decode()


def everything(answer: requests.Response) -> str:
    return answer.text + "".join(f"{k}: {v}\n" for k, v in answer.headers.items())


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/primary/v1/chat/completions"])
@pytest.mark.parametrize("how", HOW)
def test_no_client_reads_a_key(router: RouterProcess, how: str, path: str, stream: bool) -> None:
    """Each of the router's keys, in each place of an answer, routed and passed through."""
    for number, key in enumerate(KEYS):
        answer = requests.post(
            router.url + path,
            json=body(json.dumps([how, number]), model="ai-router/primary", stream=stream),
            headers={"Authorization": f"Bearer {API_KEY}"},
            timeout=30,
        )
        shown = everything(answer)
        if how == "escaped" and path.startswith("/primary"):
            continue  # passed on as it came: to read it a client has to undo the escapes itself
        assert [part for part in parts(key) if part in shown] == [], shown
        assert answer.status_code < 500 or answer.status_code in (500, 502), shown


def test_what_is_said_remains(router: RouterProcess) -> None:
    """Only the key is masked: the rest of an error, and of a stream, is as the backend sent it."""
    auth = {"Authorization": f"Bearer {API_KEY}"}
    asked = body(json.dumps(["error", 0]), model="ai-router/primary")
    answer = requests.post(
        f"{router.url}/v1/chat/completions", json=asked, headers=auth, timeout=30
    )
    stars = "*" * len(BACKEND_KEY)
    assert error_of(answer)["message"] == f"Incorrect API key provided: {stars}."
    asked = body(json.dumps(["content", 0]), model="ai-router/primary")
    stream = Stream(router, asked, **auth).read()
    assert (stream.text, stream.done) == (f"Incorrect API key provided: {stars}.", True)


def test_lists_and_files_are_clean(router: RouterProcess) -> None:
    """What a backend calls its model, the log, the session files, what gunicorn prints."""
    auth = {"Authorization": f"Bearer {API_KEY}"}
    test_what_is_said_remains(router)
    for path in ("/health", "/v1/models", "/stats", "/metrics"):
        shown = everything(requests.get(router.url + path, headers=auth, timeout=30))
        assert not any(part in shown for key in KEYS for part in parts(key)), path
    sessions = router.log_dir / "sessions"
    eventually(lambda: len(list(sessions.glob("*.json"))) >= 2)
    files = [path for path in router.log_dir.rglob("*") if path.is_file()]
    texts = [path.read_text(encoding="utf-8", errors="replace") for path in files]
    for text in (*texts, router.printed()):
        assert not any(part in text for key in KEYS for part in parts(key))
    assert any("*" * len(BACKEND_KEY) in text for text in texts)
