"""What a client calls its conversation."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from airouter.api.session_names import session_name

ID = "7a1f0c9e-0000-4000-8000-000000000000"
PACKED = f"user_{'0123456789abcdef' * 4}_account__session_{ID}"


@pytest.mark.parametrize(
    ("environ", "payload", "name"),
    [
        ({"HTTP_X_CLAUDE_CODE_SESSION_ID": ID, "HTTP_X_SESSION_ID": "b"}, {}, ID),
        ({"HTTP_X_SESSION_ID": " b ", "HTTP_X_OPENWEBUI_CHAT_ID": "c"}, {}, "b"),
        ({"HTTP_X_OPENWEBUI_CHAT_ID": "c"}, {"prompt_cache_key": "d"}, "c"),
        ({"HTTP_X_SESSION_ID": ""}, {"prompt_cache_key": "d", "metadata": {}}, "d"),
        ({}, {"metadata": {"session_id": "e", "user_id": PACKED}}, "e"),
        ({}, {"metadata": {"user_id": PACKED}}, ID),
        ({}, {"metadata": {"user_id": orjson.dumps({"session_id": ID}).decode()}}, ID),
        ({}, {"metadata": {"user_id": "user_0123456789abcdef"}}, None),
        ({}, {"metadata": {"user_id": "{broken"}}, None),
        ({}, {"metadata": {"user_id": "{}", "session_id": 5}, "prompt_cache_key": ["x"]}, None),
        ({}, {"metadata": "text"}, None),
        ({}, {}, None),
    ],
)  # fmt: skip
def test_the_first_name_counts(
    environ: dict[str, str], payload: dict[str, Any], name: str | None
) -> None:
    assert session_name(environ, payload) == name


def test_an_agent_beside_the_main_one_has_a_conversation_of_its_own() -> None:
    main = {"HTTP_X_CLAUDE_CODE_SESSION_ID": ID}
    assert session_name({**main, "HTTP_X_CLAUDE_CODE_AGENT_ID": "a1"}, {}) != session_name(main, {})


def test_a_name_has_a_bound() -> None:
    assert len(session_name({"HTTP_X_SESSION_ID": "x" * 5000}, {}) or "") == 256
