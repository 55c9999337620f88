"""Requests for embeddings in parts, and their answers as one."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from airouter.dialects.openai_embeddings import JoinedEmbeddings, batches_of, exceeds
from airouter.dialects.openai_request import parse_request


def entries(*vectors: Any, indexes: Any = None) -> list[dict[str, Any]]:
    numbers = indexes or range(len(vectors))
    return [{"index": i, "embedding": v} for i, v in zip(numbers, vectors, strict=True)]


def test_parts_have_all_other_fields() -> None:
    """In order, with the rest in the last."""
    request = parse_request("embeddings", {"input": ["a", "b", "c"], "dimensions": 8, "user": "u"})
    assert [part.payload for part in batches_of(request, 2)] == [
        {"input": ["a", "b"], "dimensions": 8, "user": "u"},
        {"input": ["c"], "dimensions": 8, "user": "u"},
    ]


def test_other_requests_never_exceed() -> None:
    """A text completion has prompts, not inputs."""
    completion = parse_request("completions", {"prompt": ["a", "b", "c"]})
    assert not exceeds(completion, 2)
    assert exceeds(parse_request("embeddings", {"input": ["a", "b", "c"]}), 2)
    assert not exceeds(parse_request("embeddings", {"input": ["a", "b", "c"]}), 3)


def test_the_answers_are_joined_in_the_order_of_the_inputs() -> None:
    """Whatever the order of batches, and of entries within one; details of usage are summed."""
    joined = JoinedEmbeddings()
    usage = {"total_tokens": 3, "prompt_tokens_details": {"cached_tokens": 1}, "cost": 0.5}
    joined.add(2, 1, {"object": "list", "data": entries("c"), "usage": usage})
    joined.add(0, 2, {"data": entries("b", "a", indexes=(1, 0)), "usage": usage, "x": 1})
    answer = orjson.loads(joined.body())
    assert [one["embedding"] for one in answer["data"]] == ["a", "b", "c"]
    assert [one["index"] for one in answer["data"]] == [0, 1, 2]
    assert answer["object"] == "list"
    assert answer["usage"] == {
        "total_tokens": 6,
        "prompt_tokens_details": {"cached_tokens": 2},
        "cost": 1.0,
    }


def test_usage_is_not_made_up() -> None:
    """Where no batch states it, there is none; numbers are written as they came."""
    joined = JoinedEmbeddings()
    joined.add(0, 1, {"data": entries([0.1, 1e-9])})
    assert joined.usage is None
    assert joined.body() == b'{"data":[{"index":0,"embedding":[0.1,1e-9]}]}'


@pytest.mark.parametrize("data", [None, {}, [1], entries("a"), entries("a", "b", "c")])
def test_an_answer_that_does_not_fit_is_an_error(data: Any) -> None:
    """One embedding for each input, no more and no fewer."""
    with pytest.raises(ValueError, match="embeddings"):
        JoinedEmbeddings().add(0, 2, {"data": data})
