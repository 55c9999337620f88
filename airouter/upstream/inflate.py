"""Unpacking a body that something before the backend compressed although nothing asked for it."""

import zlib
from collections.abc import Callable

Decode = Callable[[bytes], bytes]


def decoder_for(encoding: str) -> Decode | None:
    """A function that unpacks piece after piece of one body.

    Args:
        encoding: the value of Content-Encoding.

    Returns:
        None for an encoding that is not understood. The function raises zlib.error for bytes
        that are not what the encoding says.
    """
    name = encoding.strip().lower()
    if name in ("gzip", "x-gzip", "deflate"):
        return _Inflater(name == "deflate")
    return None


class _Inflater:
    def __init__(self, deflate: bool) -> None:
        self._may_be_raw = deflate  # some servers mean deflate without its zlib header
        self._unpack = zlib.decompressobj(32 + zlib.MAX_WBITS)  # gzip or zlib, by its header
        self._deflate = deflate

    def __call__(self, data: bytes) -> bytes:
        unpacked = []
        while data:
            unpacked.append(self._piece(data))
            data = self._unpack.unused_data
            if self._unpack.eof:
                if self._deflate or not data.startswith(b"\x1f\x8b"):
                    break  # padding behind the end
                self._unpack = zlib.decompressobj(32 + zlib.MAX_WBITS)  # the next gzip member
        return b"".join(unpacked)

    def _piece(self, data: bytes) -> bytes:
        try:
            return self._unpack.decompress(data)
        except zlib.error:
            if not self._may_be_raw:
                raise
            self._unpack = zlib.decompressobj(-zlib.MAX_WBITS)
            return self._unpack.decompress(data)
        finally:
            self._may_be_raw = False
