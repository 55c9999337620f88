"""Splits a request for many embeddings into smaller ones, and joins their answers. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from airouter.dialects.openai_request import ChatRequest

# With it each embedding depends on the inputs before it (Jina's API).
_INSEPARABLE = "late_chunking"


def exceeds(request: ChatRequest, max_inputs: int) -> bool:
    """Whether the request has more inputs than its backend takes at once.

    Args:
        max_inputs: `backends.<name>.max_inputs`; 0: no limit.
    """
    inputs = request.inputs
    return (
        inputs is not None
        and 0 < max_inputs < inputs
        and request.payload.get(_INSEPARABLE) in (None, False)
    )


def batches_of(request: ChatRequest, max_inputs: int) -> Iterator[ChatRequest]:
    """The request in parts of at most so many inputs, in order; all other fields are in each."""
    inputs: list[Any] = request.payload["input"]
    for start in range(0, len(inputs), max_inputs):
        payload = {**request.payload, "input": inputs[start : start + max_inputs]}
        yield ChatRequest(request.endpoint, payload, request.adjusted)


class JoinedEmbeddings:
    """The answers to all batches as one. What a batch says beside its embeddings and its usage is
    taken from the first one added."""

    def __init__(self) -> None:
        self.usage: dict[str, Any] | None = None  # the sum; None: no batch has stated any
        self._shared: dict[str, Any] | None = None
        self._pieces: dict[int, bytes] = {}  # JSON, by the index of the first input

    def add(self, start: int, count: int, payload: Mapping[str, Any]) -> None:
        """Add the answer to one batch; batches may come in any order.

        Args:
            start: index of its first input in the client's request.
            count: how many inputs it has.

        Raises:
            ValueError: it has not one embedding for each input; says what came instead.
        """
        entries = payload.get("data")
        if not isinstance(entries, list) or not all(isinstance(one, dict) for one in entries):
            raise ValueError("an answer without a list of embeddings")
        if len(entries) != count:
            raise ValueError(f"{len(entries)} embeddings for {count} inputs")
        if {entry.get("index") for entry in entries} == set(range(count)):
            entries = sorted(entries, key=lambda entry: int(entry["index"]))
        numbered = [{**entry, "index": start + i} for i, entry in enumerate(entries)]
        # Serialised now: all of them at the end would hold up other requests.
        self._pieces[start] = orjson.dumps(numbered)[1:-1]
        if self._shared is None:
            self._shared = {k: v for k, v in payload.items() if k not in ("data", "usage")}
        usage = payload.get("usage")
        if isinstance(usage, dict):
            self.usage = _sum(self.usage or {}, usage)

    def body(self) -> bytes:
        """The whole answer, with its embeddings in the order of the inputs."""
        head = {**(self._shared or {})}
        if self.usage is not None:
            head["usage"] = self.usage
        opening = orjson.dumps(head)[:-1] + (b"," if head else b"") + b'"data":['
        return opening + b",".join(self._pieces[at] for at in sorted(self._pieces)) + b"]}"


def _sum(total: dict[str, Any], usage: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers are added, objects field by field; of anything else the latest stays."""
    joined = dict(total)
    for key, value in usage.items():
        before = joined.get(key)
        if isinstance(value, dict):
            joined[key] = _sum(before if isinstance(before, dict) else {}, value)
        elif _is_number(value) and _is_number(before):
            joined[key] = before + value
        elif value is not None or key not in joined:
            joined[key] = value
    return joined


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
