"""Listeners and connections: accepts requests, dispatches them, counts their outcomes."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import orjson
from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader

from simulator import catalogue
from simulator.answer import instead_of_answer, send_body
from simulator.chat import chat_completions, completions
from simulator.control import PREFIX, Control
from simulator.embeddings import embeddings
from simulator.errors import ApiError
from simulator.overrides import HEADER, for_role, from_header
from simulator.prompts import Prompt, read_messages, read_prompt
from simulator.responses import responses
from simulator.role import Exchange, Role
from simulator.stats import Seen
from simulator.wire import JSON, Sent, Wire, reset_connection

_GENERATES = frozenset(
    ("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses")
)
_BODY_LIMIT = 64 * 1024 * 1024
_HEADER_LIMIT = 128 * 1024
_BAD_KEY = "bad-key"


class Connection(web.RequestHandler):
    """A client connection; tracks disconnects and write readiness."""

    def __init__(self, server: RoleServer, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(
            server,
            loop=loop,
            # None: how aiohttp's own Server spells "no access log".
            access_log=None,  # type: ignore[arg-type]
            max_line_size=_HEADER_LIMIT,
            max_field_size=_HEADER_LIMIT,
            max_headers=512,
            keepalive_timeout=600,
        )
        self._role = server.role
        self._writable = asyncio.Event()
        self.write_paused = False
        self.busy = False
        self.lost_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if self._role is not None:
            self._role.stats.connections_open += 1
            self._role.stats.connections_opened += 1
            if self._role.faults.for_connection():
                reset_connection(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        if not self.lost_at and self._role is not None:
            self._role.stats.connections_open -= 1
        self.lost_at = time.time()
        self._writable.set()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self.write_paused = True
        self._writable.clear()

    def resume_writing(self) -> None:
        super().resume_writing()
        self.write_paused = False
        self._writable.set()

    async def wait_writable(self) -> None:
        await self._writable.wait()


class RoleServer(web.Server):
    """The server of one listener: of a role or, without a role, of the control endpoints."""

    def __init__(self, role: Role | None, control: Control) -> None:
        self._event_loop = asyncio.get_running_loop()
        # Handlers are cancelled when their client disconnects, so that aborts are detected at once.
        super().__init__(self._handle, request_factory=self._request, handler_cancellation=True)
        self.role = role
        self._control = control

    def __call__(self) -> web.RequestHandler:
        return Connection(self, self._event_loop)

    def _request(
        self,
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: web.RequestHandler,
        writer: AbstractStreamWriter,
        task: asyncio.Task[None],
    ) -> web.BaseRequest:
        return web.BaseRequest(
            message, payload, protocol, writer, task, self._event_loop, client_max_size=_BODY_LIMIT
        )

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        connection = request.protocol
        transport = request.transport
        if transport is None or not isinstance(connection, Connection):
            return Sent(keep_alive=False)
        path = request.rel_url.raw_path
        wire = Wire(transport, connection, request.keep_alive)
        if "Expect" in request.headers:
            transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        raw = await request.read() if request.can_read_body else b""
        if path.startswith(PREFIX) or self.role is None:
            return await self._answer_control(request, wire, path, raw)
        connection.busy = True
        try:
            return await self._serve(self.role, request, connection, wire, path, raw)
        finally:
            connection.busy = False

    async def _answer_control(
        self, request: web.BaseRequest, wire: Wire, path: str, raw: bytes
    ) -> Sent:
        own = self.role.name if self.role else None
        try:
            body = orjson.loads(raw) if raw else None
        except ValueError:
            body = None
        status, answer = await self._control.answer(request.method, path, request.query, own, body)
        await wire.send(wire.head(status, JSON, len(answer)), answer)
        return Sent(wire.keep_alive)

    async def _serve(
        self,
        role: Role,
        request: web.BaseRequest,
        connection: Connection,
        wire: Wire,
        path: str,
        raw: bytes,
    ) -> Sent:
        stats = role.stats
        stats.by_path[path] += 1
        generates = path in _GENERATES and request.method == "POST"
        ex = Exchange(role, request, wire, path)
        if not generates:
            ex.faults = role.faults.for_request(path, generates)
            try:
                return await instead_of_answer(ex) or await _answer_other(ex, raw)
            except ApiError as error:
                return await send_body(ex, error.status, error.body(role.profile.kind))
        stats.started += 1
        try:
            sent = await _answer_generation(ex, raw)
        except asyncio.CancelledError:
            at = connection.lost_at or time.time()
            stats.abort(
                ex.phase, (ex.loop.time() - ex.started - (time.time() - at)) * 1000, at, ex.tokens
            )
            raise
        stats.finished += 1
        return sent


async def _answer_generation(ex: Exchange, raw: bytes) -> Sent:
    role = ex.role
    faults = role.faults.for_request(ex.path, True)
    seen = Seen(time.time(), ex.path, ex.request.headers, raw)
    role.stats.requests.append(seen)
    try:
        try:
            value = orjson.loads(raw)
        except ValueError as error:
            value = None
            problem: ApiError | None = ApiError(400, f"Invalid JSON: {error}")
        else:
            problem = None
            if not isinstance(value, dict):
                problem = ApiError(400, "1 validation error: the body must be a JSON object")
        prompt: Prompt | None = None
        if problem is None:
            ex.body = value
            try:
                prompt = _read_prompt(ex)
            except ApiError as error:
                problem = error
        _steer(ex, prompt)
        ex.faults = {**faults, **_own_faults(ex, prompt)} if faults or "fault" in ex.sim else faults
        if ex.faults:
            seen.faults = sorted(ex.faults)
            role.stats.faults.update(seen.faults)
            instead = await instead_of_answer(ex)
            if instead is not None:
                return instead
        _check_key(ex)
        if problem is not None:
            raise problem
        return await _generate(ex, prompt)
    except ApiError as error:
        return await send_body(ex, error.status, error.body(role.profile.kind))


def _read_prompt(ex: Exchange) -> Prompt | None:
    if ex.path == "/v1/chat/completions":
        return read_messages(ex.body.get("messages"))
    if ex.path == "/v1/completions":
        return read_prompt(ex.body.get("prompt"))
    if ex.path == "/v1/responses":
        return read_prompt(ex.body.get("input"), "input")
    return None


def _steer(ex: Exchange, prompt: Prompt | None) -> None:
    """Overrides: the header first, then the body's field, then the marker."""
    name = ex.role.name
    header = ex.request.headers.get(HEADER)
    field = ex.body.get("sim")
    if header:
        ex.sim = for_role(name, from_header(header))
    if isinstance(field, dict):
        ex.sim = {**ex.sim, **for_role(name, field)}
    if prompt is not None and prompt.marker:
        ex.sim = {**ex.sim, **for_role(name, prompt.marker)}


def _own_faults(ex: Exchange, prompt: Prompt | None) -> dict[str, dict[str, Any]]:
    value = ex.sim.get("fault")
    if not value:
        return {}
    # A retry and a continuation carry the same message, and count as repeats of it.
    source = orjson.dumps([value, prompt.last_user if prompt else ""]).decode()
    try:
        return ex.role.faults.for_marker(value, source)
    except ValueError as error:
        raise ApiError(400, str(error), "sim") from None


def _check_key(ex: Exchange) -> None:
    if ex.role.profile.kind != "xai":
        return
    scheme, _, key = ex.request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise ApiError(401, "You didn't provide an API key.", None, "invalid_api_key")
    if key.strip() == _BAD_KEY:
        raise ApiError(401, "Incorrect API key provided.", None, "invalid_api_key")


async def _generate(ex: Exchange, prompt: Prompt | None) -> Sent:
    if prompt is None:
        return await embeddings(ex)
    if ex.path == "/v1/chat/completions":
        return await chat_completions(ex, prompt)
    if ex.path == "/v1/completions":
        return await completions(ex, prompt)
    if ex.role.profile.kind == "ollama":
        raise ApiError(404, "404 page not found")
    return await responses(ex, prompt)


async def _answer_other(ex: Exchange, raw: bytes) -> Sent:
    """Everything that is not generation."""
    method = ex.request.method
    if ex.path.startswith("/v1/"):
        _check_key(ex)
    if method in ("GET", "HEAD"):
        sent = await catalogue.answer_get(ex)
        if sent is not None:
            return sent
    if method == "POST" and ex.path == "/tokenize" and ex.role.profile.kind == "vllm":
        try:
            value = orjson.loads(raw)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise ApiError(400, "1 validation error: the body must be a JSON object")
        ex.body = value
        return await catalogue.tokenize(ex)
    if ex.path in _GENERATES or (method not in ("GET", "HEAD") and ex.path == "/v1/models"):
        raise ApiError(405, "Method Not Allowed")
    raise ApiError(404, "Not Found")
