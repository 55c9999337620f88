"""Requests to the mapper are checked, and no message quotes them."""

from __future__ import annotations

from typing import Any

import pytest

from airouter.domain.errors import BadRequest
from airouter.mapper.requests import detector_of, read_batch, read_json, read_request

GOOD = {"detector": "d", "output": "toxic", "tenant_id": "t"}
SECRET = "alice@example.com"


def test_a_request_with_and_without_metadata() -> None:
    assert read_request(GOOD).output == "toxic"
    assert read_request({**GOOD, "metadata": {"a": 1}, "tenant_id": "t" * 64}).detector == "d"
    assert read_request({**GOOD, "metadata": None}).tenant_id == "t"
    assert len(read_request({**GOOD, "output": "x" * 65536}).output) == 65536


@pytest.mark.parametrize(
    "change",
    [
        {"output": ""},
        {"output": " | "},
        {"output": None},
        {"output": [SECRET]},
        {"output": "x" * 65537},
        {"output": "é" * 32769},
        {"tenant_id": ""},
        {"tenant_id": "t" * 65},
        {"tenant_id": 5},
        {"detector": ""},
        {"detector": "d" * 65},
        {"detector": {"a": SECRET}},
        {"metadata": [SECRET]},
        {SECRET: SECRET},
    ],
)
def test_an_invalid_request_is_refused_without_quoting_it(change: dict[str, Any]) -> None:
    with pytest.raises(BadRequest) as refused:
        read_request({**GOOD, **change})
    assert SECRET not in refused.value.message


@pytest.mark.parametrize("missing", GOOD)
def test_a_field_may_not_be_missing(missing: str) -> None:
    with pytest.raises(BadRequest):
        read_request({name: value for name, value in GOOD.items() if name != missing})


@pytest.mark.parametrize("value", [None, 1, "toxic", [], [GOOD]])
def test_a_request_is_an_object(value: Any) -> None:
    with pytest.raises(BadRequest):
        read_request(value)


@pytest.mark.parametrize(
    "value",
    [None, [], {}, {"requests": []}, {"requests": [GOOD] * 101}, {"requests": GOOD},
     {"requests": [GOOD], "more": 1}],
)  # fmt: skip
def test_a_batch_has_1_to_100_requests(value: Any) -> None:
    with pytest.raises(BadRequest):
        read_batch(value)


def test_a_batch_may_have_invalid_requests() -> None:
    assert read_batch({"requests": [GOOD, 3]}) == [GOOD, 3]
    assert len(read_batch({"requests": [GOOD] * 100})) == 100


def test_the_detector_of_an_invalid_request() -> None:
    assert detector_of({"detector": "d"}) == "d"
    for value in (None, 3, {}, {"detector": 3}, {"detector": ""}, {"detector": "d" * 65}):
        assert detector_of(value) is None


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff", b'"\\ud800"', b"NaN", b"[" * 100_000])
def test_what_is_no_json_is_refused(raw: bytes) -> None:
    with pytest.raises(BadRequest):
        read_json(raw)
