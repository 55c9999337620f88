"""The router's keys never appear in what it sends or writes, however a backend quotes them."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable, Iterator
from urllib.parse import quote

import pytest

from airouter.domain import redaction
from airouter.domain.redaction import Stream, masked, masked_plain, masked_text, protect
from airouter.settings.schema import Settings

KEY = "xai-SECRET-1234567890"
ODD = 'Sl/ash"quo+te&a-%20-0123456789'
OTHER = ("router-Key-0123456789", "admin-Key-0123456789")


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction, "_known", redaction._Known())
    protect(settings(KEY).secrets())


def settings(*keys: str, **server: str) -> Settings:
    backends = {
        f"b{i}": {"url": "http://127.0.0.1:9", "model": "m", "api_key": key}
        for i, key in enumerate(keys)
    }
    return Settings.model_validate(
        {"server": server, "backends": backends, "routes": {"primary": {"backends": ["b0"]}}}
    )


def test_every_configured_key_is_masked() -> None:
    """The keys of backends, clients and the operator, and keys that a reload has replaced."""
    protect(settings("a-New-Key-98765", api_key=OTHER[0], admin_key=OTHER[1]).secrets())
    for key in (KEY, "a-New-Key-98765", *OTHER):
        text = f"Incorrect API key provided: Bearer {key}."
        assert masked_text(text) == text.replace(key, "*" * len(key))
        assert masked(text.encode()) == masked_text(text).encode()


@pytest.mark.parametrize("key", [KEY, ODD])
@pytest.mark.parametrize("before", ["", "a", "ab", "Bearer ", "user:"])
def test_it_is_found_as_it_may_be_written(key: str, before: str) -> None:
    """In JSON, URLs, HTML or base64; what remains of it is useless."""
    protect(settings(key).secrets())
    plain = before + key
    for written in (
        plain,
        json.dumps(plain),
        json.dumps(plain, ensure_ascii=False),
        json.dumps(plain).replace("/", "\\/"),
        f"https://host/?key={quote(plain)}",
        f"https://host/?key={quote(plain, safe='')}",
    ):
        clean = masked_text(written)
        assert key[-12:] not in clean
        assert "0123456789"[-6:] not in clean
        assert "1234567890"[-6:] not in clean
        assert len(clean.encode()) == len(written.encode())
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        raw = encode((plain + " and so on").encode())
        clean_raw = masked(raw)
        assert len(clean_raw) == len(raw)
        assert key.encode()[3:-3] not in base64.b64decode(clean_raw.replace(b"*", b"A"))
        assert clean_raw.count(b"*") >= len(key)


def test_ordinary_text_is_untouched() -> None:
    """It is not even copied. Keys that are words or placeholders do not count as secrets."""
    protect(
        settings(
            "simulated", "none", "EMPTY", "not-needed", "password", "sk-no-key-required"
        ).secrets()
    )
    for text in (
        b"",
        b"data: {}\n\n",
        b"simulated none EMPTY not-needed password sk-no-key-required",
    ):
        assert masked(text) is text
    assert masked_text("simulated-primary") == "simulated-primary"


def pieces(data: bytes, draw: random.Random) -> Iterator[bytes]:
    while data:
        size = draw.randrange(1, 12)
        yield data[:size]
        data = data[size:]


def test_a_key_in_several_pieces_is_found() -> None:
    """Wherever a body is split; nothing is lost, and only possible starts of keys are held back."""
    protect(settings(KEY, api_key=OTHER[0]).secrets())
    draw = random.Random(7)
    text = f"xai-xai-{KEY}{KEY} xai-SEC router-{OTHER[0]}r xai-SECRET-123456789".encode() * 5
    for _ in range(200):
        stream = Stream()
        got = b"".join([*map(stream.feed, pieces(text, draw)), stream.flush()])
        assert got == masked(text)
        assert KEY.encode() not in got
    assert Stream().feed(b"data: {}\n\n") == b"data: {}\n\n"


def test_without_keys_nothing_is_held_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction, "_known", redaction._Known())
    stream = Stream()
    assert (stream.feed(KEY.encode()), stream.flush()) == (KEY.encode(), b"")


ODD_KEY = "xai-SEC/RET+12345\"6'78é"
ESCAPES: dict[str, Callable[[str], str]] = {
    "JSON": lambda c: f"\\u{ord(c):04x}",
    "JSON, capitals": lambda c: f"\\u{ord(c):04X}",
    "JSON within JSON": lambda c: f"\\\\u{ord(c):04x}",
    "percent": lambda c: "".join(f"%{byte:02X}" for byte in c.encode()),
    "percent, small": lambda c: "".join(f"%{byte:02x}" for byte in c.encode()),
    "HTML": lambda c: f"&#{ord(c)};",
    "HTML, hexadecimal": lambda c: f"&#x{ord(c):X};",
    "backslashes": lambda c: c if c.isalnum() else "\\\\\\" + c,
}


@pytest.mark.parametrize("escape", ESCAPES.values(), ids=ESCAPES)
@pytest.mark.parametrize("every", [1, 2, 5])
def test_a_key_is_found_however_its_characters_are_escaped(
    escape: Callable[[str], str], every: int
) -> None:
    protect([ODD_KEY])
    written = "".join(c if i % every else escape(c) for i, c in enumerate(ODD_KEY))
    if every > 1:
        written = written.replace("é", escape("é"))
    raw = f'{{"error": "bad key {written} (%41)"}}'.encode()
    size = len(written.encode())
    expected = raw.replace(written.encode(), b"*" * size)
    assert masked(raw) == masked_plain(raw) == expected
    for cut in range(len(raw)):
        stream = Stream()
        assert stream.feed(raw[:cut]) + stream.feed(raw[cut:]) + stream.flush() == expected


def test_escapes_of_other_text_are_left_alone() -> None:
    protect([ODD_KEY])
    text = rb'{"a": "\u0078\u0061 %78%61 &#120; \\\\u0078", "b": "xai-SEC%2FRET"}'
    assert masked(text) is text
    stream = Stream()
    assert b"".join(stream.feed(text[i : i + 1]) for i in range(len(text))) + stream.flush() == text
