"""Settings of the process: its address, its clients, its logs."""

import re
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from airouter.settings.section import Seconds, Section, one_line

_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^\s/?#@*]+")
_ORIGIN_END = re.compile(r"(?<![:/])/+$")


class Server(Section):
    """The address, the processes, and who may connect."""

    host: str = Field(
        "127.0.0.1",
        description="Address to listen on. A non-loopback address requires `api_key`, a key in "
        "`keys`, or `allow_open`.",
    )
    port: int = Field(8002, ge=0, le=65535, description="Port to listen on.")
    workers: int = Field(
        1,
        ge=1,
        le=64,
        description="Number of worker processes. Slots and queue length are divided among them; "
        "each worker has its own circuit breakers and caches.",
    )
    threads: int = Field(
        16,
        ge=4,
        le=4096,
        description="Threads per worker, for what takes milliseconds to compute, such as large "
        "requests. Requests that wait, and streams, need none.",
    )
    max_connections: int = Field(
        10_000,
        ge=16,
        le=1_000_000,
        description="Client connections per worker. When there are more, the one that has been "
        "idle for longest is closed; if none is, new clients wait.",
    )
    head_timeout: Seconds = Field(
        30, description="Seconds in which the head of a request must arrive once it has begun."
    )
    idle_timeout: Seconds = Field(
        75, description="Seconds for which a connection without a request is kept open."
    )
    pin: bool = Field(
        True,
        description="Pin each worker to one CPU core (Linux). Set to false if other programs keep "
        "all cores busy.",
    )
    api_key: str | None = Field(
        None,
        repr=False,
        description="API key that clients send as `Authorization: Bearer`; its id is `default`. "
        "None: no authentication, unless there are `keys`.",
    )
    admin_key: str | None = Field(
        None,
        repr=False,
        description="API key for /admin/*. None: /admin/* accepts requests from this machine, and "
        "with a key of the scope `admin`.",
    )
    allow_open: bool = Field(
        False,
        description="Listen on a non-loopback address without a key. Dangerous: anyone who can "
        "reach the address can spend your cloud credit.",
    )
    allowed_hosts: tuple[str, ...] = Field(
        (),
        description=(
            "Additional values accepted in the Host header when no key is set; loopback names and "
            "`host` are always accepted. `*.example.com` matches subdomains, `*` matches "
            "everything. "
            "Protects against DNS rebinding."
        ),
    )
    cors_origins: tuple[str, ...] | None = Field(
        None,
        description=(
            "Origins whose web pages may call the router, e.g. `https://chat.example.com`; `*`: "
            "all. "
            "Without a key, other origins are refused. "
            "None: all origins if clients need a key, otherwise none."
        ),
    )
    trusted_proxies: tuple[str, ...] = Field(
        (), description="Addresses or networks of proxies whose X-Forwarded-For is trusted."
    )
    max_body_mb: float = Field(
        64, gt=0, le=1024, description="Maximum request body size in MB; larger bodies get a 413."
    )
    max_json_elements: int = Field(
        2_000_000,
        ge=1000,
        le=100_000_000,
        description=(
            "Maximum number of JSON elements in a request body (commas, colons, arrays and "
            "objects); "
            "more get a 413. Bounds the memory used for parsing."
        ),
    )
    body_timeout: Seconds = Field(
        60,
        description="Seconds in which the body of a request must arrive, plus one for each 50 kB; "
        "and the longest gap while a client reads its answer.",
    )

    @property
    def loopback(self) -> bool:
        """Whether only this machine can connect."""
        return self.host in ("localhost", "::1") or self.host.startswith("127.")

    @field_validator("host")
    @classmethod
    def _host(cls, value: str) -> str:
        return value.strip().strip("[]")  # brackets around an IPv6 address

    @field_validator("api_key", "admin_key")
    @classmethod
    def _keys(cls, value: str | None) -> str | None:
        return one_line(value)

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        origins = tuple(_ORIGIN_END.sub("", origin.strip()).lower() for origin in value or ())
        for origin in origins:
            if origin not in ("*", "null", "file://") and not _ORIGIN.fullmatch(origin):
                raise ValueError(
                    f"{origin!r} is not an origin; write scheme, host and port, such as "
                    "http://localhost:5173, or *"
                )
        return None if value is None else origins


class Logging(Section):
    """app.log and session files."""

    dir: Path = Field(Path("logs"), description="Directory of app.log and sessions/.")
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="Minimum log level."
    )
    format: Literal["text", "json"] = Field(
        "text", description="json: also write each line to stdout, as a JSON object."
    )
    console: bool | None = Field(
        None,
        description="Write one line per request to stdout: time, route, tier, backend, ms, status. "
        "None: on with `make run`, off with `make serve`.",
    )
    content: Literal["full", "off"] = Field(
        "full", description="off: session files contain no prompts and no answers."
    )
    max_age_days: float = Field(
        7, gt=0, description="Maximum age of session files in days; older ones are deleted."
    )
    max_count: int = Field(
        5000, ge=1, description="Maximum number of session files; the oldest are deleted first."
    )
