"""Tool calls as models write them into their answers, and answers that are none."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson
import yaml

from airouter.dialects.call_repair import Repair, StreamRepair, repair_for

Json = dict[str, Any]


def _tool(name: str, **properties: str) -> Json:
    kinds = {key: {"type": kind} for key, kind in properties.items()}
    parameters = {"type": "object", "properties": kinds}
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


TOOLS = [
    _tool("get_weather", city="string", days="integer"),
    _tool("read_file", path="string"),
    _tool("write_file", path="string", content="string"),
    _tool("run_command", command="string", timeout="integer"),
    _tool("search", query="string"),
]
ORDINARY: list[str] = yaml.safe_load(
    Path(__file__).with_name("ordinary_answers.yaml").read_text(encoding="utf-8")
)
CALL = '{"name": "get_weather", "arguments": {"city": "Paris"}}'
ROME = CALL.replace("Paris", "Rome")
# Each asks for the weather in Paris once, and in Rome as well where its name says "several".
SHAPES = {
    "Hermes": f"<tool_call>\n{CALL}\n</tool_call>",
    "behind prose": f"Let me look.\n\n<tool_call>\n{CALL}\n</tool_call>",
    "no closing mark": f"<tool_call>\n{CALL}",
    "trailing commas": '<tool_call>{"name": "get_weather", "arguments": {"city": "Paris",},}'
    "</tool_call>",
    "single quotes": "<tool_call>{'name': 'get_weather', 'arguments': {'city': 'Paris'}}"
    "</tool_call>",
    "arguments as text": '<tool_call>{"name": "get_weather", "arguments": '
    '"{\\"city\\": \\"Paris\\"}"}</tool_call>',
    "a bracket is missing": f"<tool_call>{CALL[:-1]}</tool_call>",
    "cut before the brackets": f"<tool_call>\n{CALL[:-2]}",
    "a bracket too many": f"<tool_call>{CALL}}}</tool_call>",
    "several": f"<tool_call>{CALL}</tool_call>\n<tool_call>{ROME}</tool_call>",
    "several without closing marks": f"<tool_call>{CALL}\n<tool_call>{ROME}",
    "Qwen3-Coder": "<tool_call>\n<function=get_weather>\n<parameter=city>\nParis\n</parameter>\n"
    "</function>\n</tool_call>",
    "Qwen3-Coder, cut": "<function=get_weather>\n<parameter=city>\nParis\n</parameter>\n",
    "GLM": "<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>Paris</arg_value>\n"
    "</tool_call>",
    "Llama": '<|python_tag|>{"name": "get_weather", "parameters": {"city": "Paris"}}<|eom_id|>',
    "Llama, bare": '{"name": "get_weather", "parameters": {"city": "Paris"}}',
    "Llama, several": f"{CALL}; {ROME}",
    "Mistral": f"[TOOL_CALLS][{CALL}]",
    "Mistral, several": f"[TOOL_CALLS][{CALL}, {ROME}]",
    "Mistral, newer": '[TOOL_CALLS]get_weather[ARGS]{"city": "Paris"}',
    "DeepSeek": "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather\n"
    '```json\n{"city": "Paris"}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>',
    "DeepSeek, newer": "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>"
    '{"city": "Paris"}<｜tool▁call▁end｜><｜tool▁calls▁end｜>',
    "Kimi": "<|tool_calls_section_begin|><|tool_call_begin|>functions.get_weather:0"
    '<|tool_call_argument_begin|>{"city": "Paris"}<|tool_call_end|><|tool_calls_section_end|>',
    "in a block of code": f"```json\n{CALL}\n```",
    "function_call": f"<function_call>{CALL}</function_call>",
    "invoke": '<function_calls>\n<invoke name="get_weather">\n<parameter name="city">Paris'
    "</parameter>\n</invoke>\n</function_calls>",
    "LM Studio": f"[TOOL_REQUEST]{CALL}[END_TOOL_REQUEST]",
    "OpenAI's own": f'{{"type": "function", "function": {CALL}}}',
    "behind a thought": f"<think>Should I use <tool_call>? Yes.</think>\n\n{CALL}",
}


def expected(shape: str) -> list[tuple[str, Json]]:
    cities = ["Paris", "Rome"] if "several" in shape else ["Paris"]
    return [("get_weather", {"city": city}) for city in cities]


def repair(**fields: Any) -> Repair:
    made = repair_for({"tools": TOOLS, **fields})
    assert made is not None
    return made


def event_of(delta: Json, reason: str | None = None) -> tuple[bytes, Json]:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    chunk["choices"] = [choice]
    return b"data: " + orjson.dumps(chunk) + b"\n\n", chunk


def events_of(text: str, cuts: Iterable[int], reason: str = "stop") -> list[tuple[bytes, Json]]:
    """A stream's events, its text cut at these positions."""
    ends = [*cuts, len(text)]
    pieces = [text[a:b] for a, b in zip([0, *ends], ends, strict=False)]
    said = [event_of({"content": piece}) for piece in pieces]
    return [event_of({"role": "assistant", "content": ""}), *said, event_of({}, reason)]


def streamed(text: str, cuts: Iterable[int], reason: str = "stop") -> tuple[bytes, int]:
    """What a client is sent of a stream, and how many calls were repaired."""
    stream = StreamRepair(repair())
    sent = b"".join(stream.event(*event) for event in events_of(text, cuts, reason))
    return sent, stream.count


def read(sent: bytes) -> tuple[str, list[tuple[str, Json]], list[str]]:
    """(the text, the calls, the finish_reasons) of a stream, as a client reads it."""
    text, calls, reasons = "", [], []
    for event in sent.split(b"\n\n")[:-1]:
        choice = orjson.loads(event[6:])["choices"][0]
        text += choice["delta"].get("content") or ""
        calls += called(choice["delta"])
        reasons += filter(None, [choice["finish_reason"]])
    return text, calls, reasons


def called(message: Json) -> list[tuple[str, Json]]:
    return [
        (call["function"]["name"], orjson.loads(call["function"]["arguments"]))
        for call in message.get("tool_calls") or ()
    ]
