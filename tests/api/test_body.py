"""A request's body: compressed as clients compress it, and never more than the limit once it is
decompressed."""

from __future__ import annotations

import gzip
import io
import tracemalloc
import zlib
from typing import Any

import pytest

from airouter.api.body import read_body
from airouter.domain.clock import Clock
from airouter.domain.errors import BadRequest, RouterError
from airouter.settings.schema import Server

TEXT = b'{"model": "ai-router", "messages": []}' * 10


def read(body: bytes, encoding: str = "", **limits: Any) -> bytes:
    environ = {
        "wsgi.input": io.BytesIO(body),
        "CONTENT_LENGTH": str(len(body)),
        "HTTP_CONTENT_ENCODING": encoding,
    }
    return read_body(environ, Server(**limits), Clock())


def raw(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(data) + compressor.flush()


GZIPPED = gzip.compress(TEXT, mtime=0)  # the same for every process that collects tests


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("", TEXT),
        ("identity", TEXT),
        ("gzip", GZIPPED),
        ("GZIP", GZIPPED),
        ("x-gzip", GZIPPED),
        ("identity, gzip", GZIPPED),
        ("gzip", gzip.compress(TEXT[:100], mtime=0) + gzip.compress(TEXT[100:], mtime=0)),
        ("deflate", zlib.compress(TEXT)),
        ("deflate", raw(TEXT)),
        ("deflate, gzip", gzip.compress(zlib.compress(TEXT), mtime=0)),
    ],
)
def test_compressed_bodies_are_read(encoding: str, body: bytes) -> None:
    assert read(body, encoding) == TEXT


@pytest.mark.parametrize("encoding", ["zstd", "br", "gzip, zstd", "nonsense", "gzip,gzip,gzip"])
def test_other_encodings_are_refused_with_those_that_are_understood(encoding: str) -> None:
    with pytest.raises(RouterError) as caught:
        read(TEXT, encoding)
    assert (caught.value.status, caught.value.code) == (415, "unsupported_content_encoding")
    assert "gzip or deflate" in caught.value.message
    assert caught.value.headers["Accept-Encoding"] == "gzip, deflate"


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
@pytest.mark.parametrize("body", [TEXT, GZIPPED[:-9], zlib.compress(TEXT)[:-5], b"x"])
def test_what_is_not_compressed_so_is_the_clients_error(encoding: str, body: bytes) -> None:
    with pytest.raises(BadRequest) as caught:
        read(body, encoding)
    assert (caught.value.status, caught.value.code) == (400, "invalid_body")


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "gzip, gzip", "deflate, gzip"])
def test_a_bomb_is_not_unpacked(encoding: str) -> None:
    """The limit counts for what comes out, and no more than that is ever held."""
    bomb = b"\0" * 100_000_000
    for name in encoding.split(", "):
        bomb = gzip.compress(bomb, 9) if name == "gzip" else zlib.compress(bomb, 9)
    assert len(bomb) < 200_000
    tracemalloc.start()
    try:
        with pytest.raises(RouterError) as caught:
            read(bomb, encoding, max_body_mb=1)
        assert tracemalloc.get_traced_memory()[1] < 8_000_000
    finally:
        tracemalloc.stop()
    assert caught.value.status == 413


def test_exactly_the_limit_is_allowed() -> None:
    text = b"x" * 1_000_000
    assert read(gzip.compress(text), "gzip", max_body_mb=1) == text
    with pytest.raises(RouterError):
        read(gzip.compress(text + b"x"), "gzip", max_body_mb=1)
