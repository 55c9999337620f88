"""Which payload reports an error, whoever wrote it."""

from typing import Any

import pytest

from airouter.dialects.openai_errors import error_in

ERROR = {"message": "out of memory", "code": 500}


@pytest.mark.parametrize(
    ("payload", "error"),
    [
        ({"error": ERROR}, ERROR),
        ({"error": "out of memory"}, {"message": "out of memory"}),
        ([{"error": ERROR}], ERROR),
        ({"errors": ["out of memory"]}, {"message": ["out of memory"]}),
        ({"error": ERROR, "choices": []}, ERROR),
    ],
    ids=str,
)
def test_the_error_is_found(payload: Any, error: dict[str, Any]) -> None:
    assert error_in(payload) == error


@pytest.mark.parametrize(
    "payload",
    [
        {"error": True, "message": "out of memory"},
        {"object": "error", "message": "out of memory"},
        {"type": "error", "text": "out of memory"},
        {"detail": "out of memory"},
        {"detail": "out of memory", "request": 7},
        {"message": "out of memory"},
        {"msg": "out of memory", "code": 500},
        {"message": "out of memory", "status": "503"},
        {"message": "out of memory", "type": "ServerError"},
        {"message": "out of memory", "success": False},
    ],
    ids=str,
)
def test_an_error_in_a_flat_shape_is_the_whole_payload(payload: dict[str, Any]) -> None:
    assert error_in(payload) is payload


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"error": None},
        {"error": {}, "choices": []},
        {"choices": [], "message": "hi"},
        {"usage": {}, "detail": "cached"},
        {"message": "hi", "created": 1},
        {"message": "hi", "code": 200},
        {"message": "hi", "status": "ok", "success": True},
        {"message": {"role": "assistant"}},
        [],
        [{"error": ERROR}, {"error": ERROR}],
        ["error"],
        "error",
        None,
    ],
    ids=str,
)
def test_what_reports_no_error(payload: Any) -> None:
    assert error_in(payload) is None
