"""The whole application in this process, asked through WSGI without a socket."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

from flask import Flask
from jsonschema import Draft202012Validator

from airouter.settings.schema import Settings
from app import create_app


def make_app(folder: Path, **changes: Any) -> Flask:
    """One whose only backend is not there."""
    sections: dict[str, Any] = {
        "backends": {"primary": {"url": "http://127.0.0.1:9", "model": "m"}},
        "routes": {"primary": {"backends": ["primary"]}},
        "logging": {"dir": folder},
        "probes": {"enabled": False},
        **changes,
    }
    return create_app(Settings.model_validate(sections))


class Client:
    """Asks an application, and checks that each answer is as the OpenAPI document says."""

    def __init__(self, app: Flask, **headers: str) -> None:
        self.app = app
        document = self.get("/map/openapi.json", **headers)[1]
        schemas = document["components"]["schemas"]
        self._validators = {
            name: Draft202012Validator({"$ref": f"#/components/schemas/{name}", **document})
            for name in schemas
        }

    def ask(
        self, method: str, path: str, raw: bytes = b"", **headers: str
    ) -> tuple[int, bytes, dict[str, str]]:
        """Status, body and headers."""
        environ: dict[str, Any] = {
            "REQUEST_METHOD": method,
            "PATH_INFO": path,
            "QUERY_STRING": "",
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "127.0.0.1",
            "HTTP_HOST": "127.0.0.1",
            "CONTENT_TYPE": "application/json",
            "CONTENT_LENGTH": str(len(raw)),
            "wsgi.input": io.BytesIO(raw),
            "wsgi.errors": io.StringIO(),
            "wsgi.url_scheme": "http",
            "wsgi.version": (1, 0),
            **{f"HTTP_{name.upper()}": value for name, value in headers.items()},
        }
        got: list[Any] = []
        answer = self.app.wsgi_app(environ, lambda *head: got.append(head))
        try:
            body = b"".join(answer)
        finally:
            if close := getattr(answer, "close", None):
                close()
        return int(got[0][0].split()[0]), body, dict(got[0][1])

    def get(self, path: str, **headers: str) -> tuple[int, Any]:
        status, body, _ = self.ask("GET", path, **headers)
        return status, json.loads(body)

    def post(self, path: str, value: Any, **headers: str) -> tuple[int, Any]:
        """Post to the mapper; status and answer.

        Args:
            value: JSON, or bytes as they are.
        """
        raw = value if isinstance(value, bytes) else json.dumps(value).encode()
        status, body, _ = self.ask("POST", path, raw, **headers)
        answer = json.loads(body)
        name = "Error" if status != 200 else self._schema(path)
        self._validators[name].validate(answer)
        return status, answer

    @staticmethod
    def _schema(path: str) -> str:
        return "BatchResponse" if path.endswith("/batch") else "MapResponse"

    def metrics(self, name: str) -> dict[str, float]:
        """Values of a metric by the rest of its line."""
        _, body, _ = self.ask("GET", "/metrics")
        lines = [line for line in body.decode().splitlines() if line.startswith(name)]
        return {line.rpartition(" ")[0][len(name) :]: float(line.split()[-1]) for line in lines}
