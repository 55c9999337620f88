"""Which sessions become examples, and which do not."""

from pathlib import Path
from typing import Any

import orjson
import pytest
from doubles import NOW
from records import record, session_loggers

from airouter.domain import redaction
from airouter.domain.types import Verdict
from airouter.learning.collect import (
    INVALID,
    NO_CONTENT,
    OTHER,
    TEST,
    UNCLEAR,
    UNFIT,
    collect,
    example_of,
)
from airouter.learning.store import Store
from airouter.sessions.files import Files
from airouter.telemetry.session_document import document

ASK = "Compare the two contracts and say which one is better for a small firm."


def session(ask: Any = ASK, label: str = "COMPLEX", **changes: Any) -> dict[str, Any]:
    verdict = Verdict("reasoning", label, finish_reason="label")
    values: dict[str, Any] = {
        "client_messages": [{"role": "user", "content": ask}],
        "label": label,
        "tier": "reasoning",
        "verdicts": (Verdict("learned", None), verdict),
    }
    found = orjson.loads(document(record(**(values | changes))))
    assert isinstance(found, dict)
    return found


def test_a_label_of_the_reasoning_tier_becomes_an_example() -> None:
    found = example_of(session())
    assert not isinstance(found, str)
    assert (found.label, found.features.ask) == ("COMPLEX", ASK)
    assert found.at == NOW.timestamp()


def said(label: str | None, **changes: Any) -> dict[str, Any]:
    return {"verdicts": (Verdict("reasoning", label, **changes),)}


FOLLOW_UP = [
    {"role": "user", "content": "weather in Oslo"},
    {"role": "assistant", "content": "Rain."},
    {"role": "user", "content": "and tomorrow?"},
]
IMAGE = [{"type": "text", "text": ASK}, {"type": "image_url", "image_url": {"url": "http://x/y"}}]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"tier": "learned"}, OTHER),
        ({"tier": "cache"}, OTHER),
        ({"tier": "one_token"}, OTHER),
        ({"tier": "fallback"}, OTHER),
        ({"tier": "explicit", "requested_route": "xai"}, OTHER),
        ({"requested_route": "xai"}, OTHER),
        ({"tier": "conversation"}, OTHER),
        ({"tier": None, "label": None}, OTHER),
        ({"label": "META"}, UNCLEAR),
        (said("COMPLEX", finish_reason="length"), UNCLEAR),
        (said("COMPLEX", finish_reason="timeout"), UNCLEAR),
        (said(None, finish_reason="stop"), UNCLEAR),
        (said("COMPLEX", reason="shared with an equal request at the same time"), UNCLEAR),
        ({"verdicts": ()}, UNCLEAR),
        ({"client_messages": []}, NO_CONTENT),
        ({"client_messages": ["no message"]}, INVALID),
        ({"client_messages": FOLLOW_UP}, UNFIT),
        ({"client_messages": [{"role": "user", "content": IMAGE}]}, UNFIT),
        ({"ask": "word " * 2000}, UNFIT),
        ({"ask": "   "}, UNFIT),
        ({"test": "load"}, TEST),
    ],
)
def test_others_are_left_out(changes: dict[str, Any], why: str) -> None:
    assert example_of(session(**changes)) == why


def test_meta_is_never_learned() -> None:
    """Not even if a classifier says it."""
    assert example_of(session(label="META")) == UNCLEAR


def emit(folder: Path, **options: Any) -> None:
    with session_loggers(folder) as build:
        logger = build(**options)
        verdicts = (Verdict("reasoning", "SIMPLE", finish_reason="label"),)
        for ask in ("My key is secret-key-12345, is it safe?", "Name a river in Peru."):
            messages = [{"role": "user", "content": ask}]
            logger.emit(record(client_messages=messages, tier="reasoning", verdicts=verdicts))
        assert logger.flush(20)


def test_sessions_are_collected_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is masked in the files stays so."""
    monkeypatch.setattr(redaction, "_known", redaction._known)
    redaction.protect(["secret-key-12345"])
    emit(tmp_path / "sessions")
    store, files = Store(tmp_path / "tuned"), Files(tmp_path)
    seen: list[tuple[int, int]] = []
    stored, left_out = collect(
        files, store, NOW.timestamp(), 90, 1000, lambda *step: seen.append(step)
    )
    assert (stored, left_out.total()) == (2, 0)
    assert seen[-1] == (2, 2)
    asks = {one.features.ask for one in store.examples()}
    assert asks == {"My key is ****************, is it safe?", "Name a river in Peru."}
    assert collect(files, store, NOW.timestamp(), 90, 1000)[0] == 0
    assert collect(files, store, NOW.timestamp() + 100 * 86_400, 90, 1000)[0] == 0
    assert list(store.examples()) == []


def test_without_content_nothing_is_collected(tmp_path: Path) -> None:
    emit(tmp_path / "sessions", content="off")
    stored, left_out = collect(
        Files(tmp_path), Store(tmp_path / "tuned"), NOW.timestamp(), 90, 1000
    )
    assert (stored, dict(left_out)) == (0, {NO_CONTENT: 2})
