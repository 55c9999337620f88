"""The outermost WSGI layer: owns each exchange from accept to close, and closes it exactly once.
Every response passes through it, so the router's own keys are masked here.

Flask's hooks are not enough: a generator's `finally` is skipped if it never starts,
`call_on_close` may run twice, and an owner inside the response is lost if `after_request` fails."""

import ipaddress
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from airouter.api import cors
from airouter.domain.redaction import masked, masked_plain, masked_text
from airouter.domain.trace import trace_of
from airouter.flow.exchange import Exchange
from airouter.flow.reply import INCOMING, Reply, Sending
from airouter.flow.waits import Wait
from airouter.runtime.process import Runtime

EXCHANGE = "airouter.exchange"
KEY = "airouter.key"  # of the client; absent: the path needs none
DIALECT = "airouter.dialect"  # of the API that was called; absent: OpenAI's
_SSE, _NDJSON = "text/event-stream", "application/x-ndjson"
Environ = dict[str, Any]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Middleware:
    """Wraps the Flask app."""

    def __init__(self, app: Callable[..., Iterable[bytes]], runtime: Runtime) -> None:
        self._app = app
        self._runtime = runtime

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        runtime = self._runtime
        if not runtime.started:  # under a server that does not use gunicorn.conf.py
            runtime.start()
        state = runtime.current.state
        settings = state.settings
        if "HTTP_ORIGIN" in environ:
            answering = cors.admit(environ, start_response, state.access)
            if answering is None:
                return ()
            start_response = answering
        client = None
        if INCOMING not in environ:
            client = environ.get("gunicorn.socket")
            if client is not None:
                # Bounds each read of the body and each write of the answer; gunicorn itself resets
                # it for the next request.
                client.settimeout(settings.server.body_timeout)
        exchange = Exchange(
            runtime.clock,
            client=client,
            client_ip=client_ip(environ, settings.server.trusted_proxies),
            total=settings.timeouts.total,
            sinks=runtime.sinks,
            shutdown=runtime.current.shutdown,
            active=runtime.current.exchanges,
        )
        environ[EXCHANGE] = exchange
        if settings.tracing.endpoint is not None:
            header = environ.get("HTTP_TRACEPARENT")
            exchange.belongs_to(trace_of(header, exchange.record.id, settings.tracing.share))
        if environ.get("REQUEST_METHOD") == "POST":
            runtime.current.last_request = exchange.started_at

        mask = masked

        def start(status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
            nonlocal mask
            values = "\n".join([value for _, value in headers])
            stream = status.startswith("2") and (_SSE in values or _NDJSON in values)
            mask = masked_plain if stream else masked
            if masked_text(values) is not values:
                headers = [(name, masked_text(value)) for name, value in headers]
            return start_response(status, headers, *error)

        def masking(items: Iterable[Wait | bytes]) -> Sending:
            # A stream consists of whole events, so no key spans two chunks.
            for item in items:
                if not isinstance(item, Wait):
                    yield mask(item)
                elif item.relay is None:
                    yield item
                else:
                    yield Wait(item.until, item.wake, partial(_masked, item.relay, mask))

        try:
            inner = self._app(environ, start)
            return Body(inner, masking, exchange)
        except BaseException:
            exchange.close()
            raise


def _masked(relay: Callable[[], bytes], mask: Callable[[bytes], bytes]) -> bytes:
    return mask(relay())


class Body(Reply):
    """The response body. `close()` ends the exchange, even if the body was never read (HEAD)."""

    def __init__(
        self,
        inner: Iterable[bytes],
        masking: Callable[[Iterable[Wait | bytes]], Sending],
        exchange: Exchange,
    ) -> None:
        if isinstance(inner, Reply):
            super().__init__(exchange, masking(inner.items), inner.place)
        else:
            super().__init__(exchange, masking(inner))
        self._inner = inner

    def close(self) -> None:
        try:
            super().close()
            close = getattr(self._inner, "close", None)
            if close is not None:
                close()
        finally:
            self.exchange.close()


def client_ip(environ: Environ, trusted: tuple[str, ...]) -> str:
    """The client's address; X-Forwarded-For is followed only through trusted proxies."""
    address: str = environ.get("REMOTE_ADDR", "")
    if not trusted:
        return address
    hops = [
        hop.strip() for hop in environ.get("HTTP_X_FORWARDED_FOR", "").split(",") if hop.strip()
    ]
    while hops and _within(address, trusted):
        candidate = hops.pop()
        if not _is_address(candidate):
            break
        address = candidate
    return address


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _within(address: str, trusted: tuple[str, ...]) -> bool:
    return _is_address(address) and any(
        ipaddress.ip_address(address) in ipaddress.ip_network(net, strict=False) for net in trusted
    )
