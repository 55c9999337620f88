import tracemalloc

import orjson
import pytest
from records import record, step

from airouter.telemetry.record_size import record_size

TEXT = "Explain how a B-tree splits its pages. " * 100
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 300_000}}
TOOL = {
    "type": "function",
    "function": {
        "name": "search",
        "description": "Searches the web for pages that match a query. " * 3,
        "parameters": {
            "type": "object",
            "properties": {
                name: {"type": "string", "description": f"The {name} of the search."}
                for name in ("query", "language", "region")
            },
            "required": ["query"],
        },
    },
}
CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": TEXT}}
SHORT = {"role": "user", "content": "Hello"}


@pytest.mark.parametrize(
    ("messages", "tools"),
    [
        ([SHORT], []),
        ([{"role": "user", "content": TEXT}] * 20, []),
        ([{"role": "user", "content": [{"type": "text", "text": TEXT}, IMAGE]}], []),
        ([{"role": "assistant", "content": None, "tool_calls": [CALL]}], []),
        ([{"role": "user", "content": "ünï " * 5000 + "😀"}], []),
        ([SHORT], [TOOL] * 20),
    ],
    ids=["short", "long", "image", "tool call", "wide characters", "tools"],
)
def test_the_size_is_about_what_a_record_takes(messages, tools):
    """Within a factor of two of the memory that its parsed request and its answer take."""
    data = orjson.dumps({"messages": messages, "tools": tools})
    tracemalloc.start()
    kept = []
    for _ in range(20):
        body = orjson.loads(data)
        sent = step(
            messages_sent=body["messages"],
            params={"temperature": 0.5, "tools": body["tools"]},
            response_content=TEXT[:2000] + str(len(kept)),
        )
        kept.append(record(client_messages=body["messages"], steps=[sent]))
    taken = tracemalloc.get_traced_memory()[0] / len(kept)
    tracemalloc.stop()
    assert taken / 2 < record_size(kept[0]) < taken * 2 + 4_000


@pytest.mark.parametrize("messages", [["text", 1, None], [{"content": 5}], [[{"a": ["b"]}]]])
def test_any_messages_have_a_size(messages):
    assert record_size(record(client_messages=messages)) > 3_000
