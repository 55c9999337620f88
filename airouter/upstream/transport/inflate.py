"""Unpacking a body that something before the backend compressed although nothing asked for it.

The encoding that the header names counts only where the body agrees: some gateways unpack the body
and leave the header, others name an encoding that is none.
"""

import zlib
from collections.abc import Callable

Decode = Callable[[bytes], bytes]

_ZIPPED = ("gzip", "x-gzip", "deflate")
_NONE = ("", "identity", "none", "utf-8", "utf8", "8bit", "binary", "chunked")
_MOST = 2  # one upon another
_DENSEST = 200  # times its size that a body may unpack to: text has 3 to 50, a bomb 1,000
_FREE = 4_000_000  # bytes that any body may unpack to
_GZIP = b"\x1f\x8b"
_TEXT = b'{["deir: \t\r\n<\xef'  # how JSON, an event stream or a page begins; no zlib head does


class TooDense(zlib.error):
    """A small body that would become a huge one."""


class _Allowance:
    """The bytes that may still come out of a body, whatever is packed in it how often."""

    def __init__(self) -> None:
        self.left = _FREE

    def spend(self, size: int) -> None:
        self.left -= size
        if self.left < 0:
            raise TooDense("it unpacks to more than it may")


def decoder_for(encoding: str) -> Decode | None:
    """A function that unpacks piece after piece of one body.

    Args:
        encoding: the value of Content-Encoding.

    Returns:
        None for an encoding that is not understood. The function raises zlib.error for bytes
        that are not what the encoding says, and TooDense for those of a bomb.
    """
    names = [name.strip() for name in encoding.lower().split(",")]
    zipped = [name for name in names if name not in _NONE]
    if len(zipped) > _MOST or not set(zipped) <= set(_ZIPPED):
        return None
    allowance = _Allowance()
    layers = [_Inflater(name == "deflate", allowance) for name in reversed(zipped)]

    def decode(data: bytes) -> bytes:
        allowance.left += _DENSEST * len(data)
        for layer in layers:
            data = layer(data)
        return data

    return decode


class _Inflater:
    def __init__(self, deflate: bool, allowance: _Allowance) -> None:
        self._allowance = allowance
        self._deflate = deflate
        self._head = b""  # until it is long enough to tell what comes
        self._known = self._plain = False
        self._unpack = zlib.decompressobj(32 + zlib.MAX_WBITS)  # gzip or zlib, by its header

    def __call__(self, data: bytes) -> bytes:
        if not self._known:
            data = self._head + data
            if len(data) < 2:
                self._head = data
                return b""
            self._known = True
            self._recognise(data)
        if self._plain:
            return data
        unpacked = []
        while data:
            unpacked.append(self._unpack.decompress(data, self._allowance.left + 1))
            self._allowance.spend(len(unpacked[-1]))
            data = self._unpack.unused_data
            if self._unpack.eof:
                if self._deflate or not data.startswith(_GZIP):
                    break  # padding behind the end
                self._unpack = zlib.decompressobj(32 + zlib.MAX_WBITS)  # the next gzip member
        return b"".join(unpacked)

    def _recognise(self, head: bytes) -> None:
        if head.startswith(_GZIP) or (head[0] & 15 == 8 and (head[0] << 8 | head[1]) % 31 == 0):
            return
        raw = zlib.decompressobj(-zlib.MAX_WBITS)  # some servers mean deflate without its header
        if self._deflate and _unpacks(raw.copy(), head):
            self._unpack = raw
        elif head[0] in _TEXT:
            self._plain = True


def _unpacks(unpack: "zlib._Decompress", data: bytes) -> bool:
    try:
        unpack.decompress(data, _FREE)
    except zlib.error:
        return False
    return True
