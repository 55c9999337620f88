import tracemalloc

import orjson
import pytest
from records import record, step

from airouter.telemetry.record_size import record_size

TEXT = "Explain how a B-tree splits its pages. " * 100
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 300_000}}
CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": TEXT}}
SHORT = {"role": "user", "content": "Hello"}


@pytest.mark.parametrize(
    "messages",
    [
        [SHORT],
        [{"role": "user", "content": TEXT}] * 20,
        [{"role": "user", "content": [{"type": "text", "text": TEXT}, IMAGE]}],
        [{"role": "assistant", "content": None, "tool_calls": [CALL]}],
        [{"role": "user", "content": "ünï " * 5000 + "😀"}],
    ],
    ids=["short", "long", "image", "tool call", "wide characters"],
)
def test_the_size_is_about_what_a_record_takes(messages):
    """Within a factor of two of the memory that its messages and its answer take."""
    data = orjson.dumps(messages)
    tracemalloc.start()
    kept = []
    for number in range(20):
        received = orjson.loads(data)
        added = {"role": "system", "content": f"{TEXT}{number}"}
        sent = step(messages_sent=[added, *received], response_content=f"{TEXT[:2000]}{number}")
        kept.append(record(client_messages=received, steps=[sent]))
    taken = tracemalloc.get_traced_memory()[0] / len(kept)
    tracemalloc.stop()
    assert taken / 2 < record_size(kept[0]) < taken * 2 + 3_000


def deep(levels):
    value = []
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    "messages", [["text", 1, None], [{"content": 5}], [[{"a": ["b"]}]], [{"content": deep(5_000)}]]
)
def test_any_messages_have_a_size(messages):
    assert record_size(record(client_messages=messages)) > 3_000
