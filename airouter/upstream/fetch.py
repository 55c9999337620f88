"""A whole answer to a small request, waited for within an exchange: model lists, searches."""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any

from airouter.domain.errors import UpstreamBroken, UpstreamError
from airouter.domain.types import HttpRequest, Limits
from airouter.upstream.backend import Backend
from airouter.upstream.client import open_call
from airouter.upstream.transport.call import Call

_MAX_BODY = 16_000_000  # bytes: a model list or the result of a search has thousands


def fetch(
    exchange: Any, backend: Backend, request: HttpRequest, *, timeout: float
) -> Generator[Any, None, tuple[int, bytes]]:
    """Send one request and wait for all of its answer: (status, body).

    Args:
        exchange: the owner of the call: it is closed with it.
        timeout: seconds for all of it.

    Raises:
        UpstreamError: it could not be reached, broke, took too long, or sent too much.
    """
    limits = Limits(min(backend.settings.connect_timeout, timeout), timeout, timeout, timeout)
    with opened(exchange, open_call(backend, request, limits)) as call:
        body = bytearray()
        while not call.finished:
            yield from exchange.pause()
            body += call.take()
            if len(body) > _MAX_BODY:
                raise UpstreamBroken(
                    f"The backend {backend.name!r} sent an answer of more than 16 MB."
                )
        body += call.take()
        if call.error is not None:
            raise call.error
        return call.status, bytes(body)


def fetch_model(exchange: Any, backend: Backend) -> Generator[Any, None, str]:
    """The backend's model name: configured, known from before, or read from its /v1/models.

    Raises:
        UpstreamError: it has to be read and cannot be.
    """
    if backend.model is not None and backend.model_known:
        return backend.model
    status, body = yield from fetch(
        exchange, backend, backend.models_request(), timeout=backend.settings.connect_timeout
    )
    if status != 200:
        raise UpstreamError(
            f"The backend {backend.name!r} answered /v1/models with status {status}; set its model in the configuration."
        )
    return backend.learn_model(body)


@contextmanager
def opened(exchange: Any, call: Call) -> Iterator[Call]:
    """Start a call; it is closed at the end of the block."""
    call_open(exchange, call)
    try:
        yield call
    finally:
        call_done(exchange, call)


def call_open(exchange: Any, call: Call) -> None:
    """Start a call that belongs to an exchange."""
    exchange.hold(call.close)
    exchange.poller.add(call)
    call.start()


def call_done(exchange: Any, call: Call) -> None:
    """Close a call and forget it."""
    call.close()
    exchange.poller.remove(call)
    exchange.drop(call.close)
