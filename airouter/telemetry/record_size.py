"""The approximate memory of a queued record, so that a queue can be bounded in bytes."""

from sys import getsizeof
from typing import Any

from airouter.domain.types import ExchangeRecord

# Measured with tracemalloc on CPython 3.11: a record with three verdicts and one step, without its
# texts; a message; a parsed tool definition with three parameters.
RECORD, MESSAGE, TOOL = 3_000, 250, 2_500


def record_size(record: ExchangeRecord) -> int:
    """Bytes, mostly those of the messages and answers. Looks at few objects, because it runs in the
    request's thread."""
    total = RECORD
    for message in record.client_messages:
        total += MESSAGE
        if type(message) is not dict:
            total += _nested(message)
        else:
            content = message.get("content")
            total += getsizeof(content) if type(content) is str else _nested(content)
            if "tool_calls" in message:
                total += _nested(message["tool_calls"])
    for step in record.steps:
        total += getsizeof(step.response_content)
        tools = step.params.get("tools")
        if isinstance(tools, list):
            total += TOOL * len(tools)
    return total


def _nested(value: Any) -> int:
    """Bytes of the strings in lists and dictionaries."""
    if isinstance(value, dict):
        return sum(map(_nested, value.values()))
    if isinstance(value, list):
        return sum(map(_nested, value))
    return getsizeof(value)
