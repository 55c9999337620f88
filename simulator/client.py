"""A small client: requests to a role, and raw sockets for tests on byte level."""

from __future__ import annotations

import json
import socket
from typing import Any

import requests

from simulator.testing import Simulator

MODELS = {
    "router": "router-model",
    "primary": "primary-model",
    "xai": "grok-4",
    "ollama": "llama3.2:3b",
    "embedding": "embedding-model",
}
LIMIT_S = 10.0


def post(
    sim: Simulator, role: str, path: str, body: Any, key: str = "test-key", **options: Any
) -> requests.Response:
    with requests.Session() as session:
        session.trust_env = False
        headers = {"Authorization": f"Bearer {key}", **options.pop("headers", {})}
        return session.post(
            sim.url(role) + path, json=body, headers=headers, timeout=LIMIT_S, **options
        )


def get(sim: Simulator, role: str, path: str, **headers: str) -> requests.Response:
    with requests.Session() as session:
        session.trust_env = False
        return session.get(sim.url(role) + path, headers=headers, timeout=LIMIT_S)


def chat_body(role: str, text: str, /, **fields: Any) -> dict[str, Any]:
    return {"model": MODELS[role], "messages": [{"role": "user", "content": text}], **fields}


def chat(sim: Simulator, role: str, text: str, /, **fields: Any) -> requests.Response:
    return post(sim, role, "/v1/chat/completions", chat_body(role, text, **fields))


def content(response: requests.Response) -> str:
    assert response.status_code == 200, response.text
    text = response.json()["choices"][0]["message"]["content"]
    assert isinstance(text, str)
    return text


def events(response: requests.Response) -> list[dict[str, Any]]:
    """The JSON events of a stream that ends with [DONE]."""
    blocks = response.content.decode().split("\n\n")
    assert blocks[-2:] == ["data: [DONE]", ""]
    return [json.loads(block.removeprefix("data: ")) for block in blocks[:-2]]


def streamed_text(chunks: list[dict[str, Any]], index: int = 0) -> str:
    choices = [
        choice for chunk in chunks for choice in chunk["choices"] if choice["index"] == index
    ]
    return "".join(choice["delta"].get("content") or "" for choice in choices)


def raw_request(role: str, text: str, /, **fields: Any) -> bytes:
    body = json.dumps(chat_body(role, text, **fields)).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def connect(sim: Simulator, role: str) -> socket.socket:
    return socket.create_connection(("127.0.0.1", sim.port(role)), timeout=LIMIT_S)


def raw_chat(sim: Simulator, role: str, text: str, /, **fields: Any) -> bytes:
    """All bytes of the answer until the connection closes; raises ConnectionResetError on a
    reset."""
    with connect(sim, role) as sock:
        sock.sendall(raw_request(role, text, **fields))
        received = b""
        while data := sock.recv(65536):
            received += data
        return received
