"""A body that was compressed although nothing asked for it is unpacked, and no bomb is."""

import gzip
import zlib

import pytest

from airouter.upstream.transport.inflate import TooDense, decoder_for

TEXT = b'data: {"choices":[{"index":0,"delta":{"content":"word"}}]}\n\n' * 20_000


def unpacked(packed: bytes, encoding: str = "gzip", piece: int = 1 << 16) -> bytes:
    decode = decoder_for(encoding)
    assert decode is not None
    return b"".join(decode(packed[at : at + piece]) for at in range(0, len(packed), piece))


@pytest.mark.parametrize("piece", [1, 7, 1 << 16])
def test_whatever_its_form_the_text_comes_out(piece: int) -> None:
    raw = zlib.compressobj(wbits=-15)
    forms = {
        "gzip": gzip.compress(TEXT),
        "x-gzip": gzip.compress(TEXT[:100]) + gzip.compress(TEXT[100:]),
        "deflate": zlib.compress(TEXT),
        "Deflate": raw.compress(TEXT) + raw.flush(),
    }
    for encoding, packed in forms.items():
        assert unpacked(packed, encoding, piece) == TEXT
    assert decoder_for("br") is None


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_bomb_is_refused_before_it_is_unpacked(encoding: str) -> None:
    pack = gzip.compress if encoding == "gzip" else zlib.compress
    packed = pack(b" " * 50_000_000)
    decode = decoder_for(encoding)
    assert decode is not None
    sizes = (len(decode(packed[at : at + 1000])) for at in range(0, len(packed), 1000))
    out: list[int] = []
    with pytest.raises(TooDense):
        out.extend(sizes)
    assert sum(out) < 20_000_000


def test_a_bomb_of_many_parts_is_refused() -> None:
    with pytest.raises(TooDense):
        unpacked(gzip.compress(b" " * 900_000) * 40)


def test_a_dense_text_of_a_few_megabytes_passes() -> None:
    assert len(unpacked(gzip.compress(b" " * 4_000_000))) == 4_000_000


def test_what_is_not_compressed_is_an_error() -> None:
    with pytest.raises(zlib.error):
        unpacked(b"notgzip!")
