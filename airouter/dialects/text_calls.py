"""Tool calls that a model wrote as text, because its server's parser did not recognise them.

Read are the forms of Hermes and Qwen (`<tool_call>{"name": …}</tool_call>`, `<function=…>`), GLM,
Llama (`<|python_tag|>`, bare JSON), Mistral (`[TOOL_CALLS]`), DeepSeek and Kimi (special tokens),
LM Studio (`[TOOL_REQUEST]`) and `<invoke name=…>`; with what models do to them: marks that are
missing or doubled, JSON of which only the idea is right. Pure.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from airouter.dialects import loose_json

Tools = Mapping[str, Mapping[str, Any]]  # names of functions -> the properties of their parameters

_OPENING = (
    "<tool_call>", "<tool_calls>", "<function_call>", "<function_calls>", "<tools>", "<toolcall>",
    "<functioncall>", "<function=", '<invoke name="', "<|python_tag|>", "<|tool_call|>",
    "[TOOL_CALLS]", "[TOOL_REQUEST]", "<｜tool▁calls▁begin｜>", "<｜tool▁call▁begin｜>",
    "<|tool_calls_section_begin|>", "<|tool_call_begin|>",
)  # fmt: skip
_HEADS = ("<function=", '<invoke name="', "<｜tool▁call▁begin｜>", "<|tool_call_begin|>")
_CLOSING = (
    "</tool_call>", "</tool_calls>", "</function_call>", "</function_calls>", "</tools>",
    "</toolcall>", "</functioncall>", "<|/tool_call|>", "[/TOOL_CALLS]", "[END_TOOL_REQUEST]",
    "<｜tool▁call▁end｜>", "<｜tool▁calls▁end｜>", "<|tool_call_end|>",
    "<|tool_calls_section_end|>", "</function>", "</invoke>",
)  # fmt: skip
_ENDS = (
    "<|im_end|>",
    "<|eom_id|>",
    "<|eot_id|>",
    "<|end_of_text|>",
    "<｜end▁of▁sentence｜>",
    "</s>",
)
_NOISE = (*(one for one in _OPENING if one not in _HEADS), *_CLOSING, *_ENDS)
_TOKENS = (*_NOISE, *_HEADS)
_FENCES = ("```", "```json")
_LONGEST = 40  # characters; each of the marks is shorter
_LONGEST_NAME = 200
_SEPARATED = "function<｜tool▁sep｜>"


def _partly(mark: str) -> str:
    """A pattern for a mark, or for its beginning at the end of the text."""
    pattern = ""
    for character in reversed(mark):
        rest = rf"(?:{pattern}|\Z)" if pattern else ""
        pattern = re.escape(character) + rest
    return pattern


# Where a call may begin.
MARK = re.compile(rf"(?=[<\[])(?:{'|'.join(map(_partly, _OPENING))})")
CLOSING = re.compile("|".join(map(re.escape, _CLOSING)))
_BETWEEN = re.compile(rf"(?:[\s;,]|```\w*|{'|'.join(map(re.escape, _NOISE))})*")
_BETWEEN_BARE = re.compile(rf"(?:[\s;,]|```(?:json)?(?!\w)|{'|'.join(map(re.escape, _ENDS))})*")
_FUNCTION = re.compile(r'<function=\s*([^<>\s]+?)\s*>|<invoke name="([^"]*)"\s*>')
_FUNCTION_END = re.compile(r"\s*(?:</function>|</invoke>)")
_PARAMETER = re.compile(r'\s*(?:<parameter=\s*([^<>\s]+?)\s*>|<parameter name="([^"]*)"[^>]*>)')
_PARAMETER_END = re.compile(
    r"</parameter>(?=\s*(?:<parameter|</function>|</invoke>|</tool_call>|\Z))"
    r"|(?=\s*(?:<parameter[= ]|</function>|</invoke>))"
)
_SPECIAL = re.compile(
    r"<｜tool▁call▁begin｜>(?:function<｜tool▁sep｜>)?([^<`\s]+)(?:<｜tool▁sep｜>)?"
    r"\s*(?:```(?:json)?\s*)?"
    r"|<\|tool_call_begin\|>\s*(?:functions\.)?([^<:\s]+)(?::\d+)?"
    r"\s*<\|tool_call_argument_begin\|>\s*"
)
_NAMED = re.compile(r"([\w.-]+)\s*(?:\[ARGS\]\s*)?(?=\{)")  # Mistral's newer form
_GLM = re.compile(r"([\w.-]+)\s*(?=<arg_key>)")
_PAIR = re.compile(r"\s*<arg_key>(.*?)</arg_key>\s*<arg_value>(.*?)</arg_value>", re.DOTALL)
_WORD = re.compile(r"[\w.:-]*")

_NAMES = ("name", "function", "tool", "tool_name")
_ARGUMENTS = ("arguments", "parameters", "args", "input", "tool_input")
_KEYS = frozenset((*_NAMES, *_ARGUMENTS, "type", "id", "index"))


@dataclass(frozen=True, slots=True)
class WrittenCall:
    name: str
    arguments: dict[str, Any]


@dataclass(slots=True)
class Scan:
    """What a text consists of, from its beginning.

    `ended`: "" nothing else follows, "open" it ends within a call or a mark, "other" it is not, or
    not only, calls. `cut`: more than closing brackets and marks is missing. `whole`: nothing is.
    `named`: a known function's name was read, of a call that may still be open.
    """

    calls: list[WrittenCall] = field(default_factory=list)
    ended: str = ""
    cut: bool = False
    whole: bool = True
    named: bool = False

    def open(self, *, cut: bool = True) -> int | None:
        self.ended, self.cut, self.whole = "open", cut, False
        return None

    def other(self) -> int | None:
        self.ended = "other"
        return None


def tools_of(payload: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The functions of a request that may be called, with the properties of their parameters."""
    tools: dict[str, Mapping[str, Any]] = {}
    if payload.get("tool_choice") == "none":
        return tools
    given = payload.get("tools")
    for tool in given if isinstance(given, list) else ():  # only chats have been checked
        function = tool.get("function") if isinstance(tool, dict) else None
        if not isinstance(function, dict):
            continue
        name = function.get("name")
        if isinstance(name, str) and name:
            schema = function.get("parameters")
            properties = schema.get("properties") if isinstance(schema, dict) else None
            tools[name] = properties if isinstance(properties, dict) else {}
    return tools


def scan(text: str, tools: Tools, *, bare: bool) -> Scan:
    """Read calls from the beginning of a text.

    Args:
        bare: no mark says that it is a call: the JSON has to say so by itself, with arguments that
            the function has.
    """
    found, at = Scan(), 0
    while True:
        between = (_BETWEEN_BARE if bare else _BETWEEN).match(text, at)
        assert between is not None  # it may be empty
        at = between.end()
        if at == len(text):
            return found
        rest = text[at : at + _LONGEST]
        tokens = (*_TOKENS, *_FENCES) if rest[0] in "<[`" else ()
        begun = [token for token in tokens if token.startswith(rest)]
        if begun and rest not in _TOKENS:
            closes = any(token in (*_CLOSING, *_ENDS, "```") for token in begun)
            found.open(cut=not (closes and found.calls))
            return found
        end = _one(text, at, tools, found, bare=bare)
        if end is None:
            return found
        at = end


def _one(text: str, at: int, tools: Tools, found: Scan, *, bare: bool) -> int | None:
    """Read one call, or a list of them: where it ends; None where `found` says why it does not."""
    if text[at] in "{[":
        return _from_json(text, at, tools, found, bare)
    if bare:
        return found.other()
    if function := _FUNCTION.match(text, at):
        return _from_tags(text, function, tools, found)
    for pattern in (_SPECIAL, _NAMED, _GLM):
        head = pattern.match(text, at)
        name = head[head.lastindex or 1] if head is not None else ""
        if head is not None and name in tools:
            found.named = True
            if pattern is _GLM:
                return _from_pairs(text, head.end(), name, tools, found)
            return _arguments(text, head.end(), name, found)
    return _unfinished(text, at, tools, found)


def _unfinished(text: str, at: int, tools: Tools, found: Scan) -> int | None:
    """Whether more text may still make a call of it."""
    for head in _HEADS:
        if text.startswith(head, at):
            name = text[at + len(head) :].removeprefix(_SEPARATED).lstrip()
            name = name.removeprefix("functions.")
            known = any(tool.startswith(name) or name.startswith(tool) for tool in tools)
            known = known or "functions.".startswith(name) or _SEPARATED.startswith(name)
            return found.open() if known and len(name) < _LONGEST_NAME else found.other()
    word = _WORD.match(text, at)
    assert word is not None  # it may be empty
    rest = text[word.end() :].lstrip()
    named = word[0] in tools or (not rest and any(tool.startswith(word[0]) for tool in tools))
    more = any(one.startswith(rest) for one in ("[ARGS]", "<arg_key>"))
    return found.open() if word[0] and named and more else found.other()


def _from_json(text: str, at: int, tools: Tools, found: Scan, bare: bool) -> int | None:
    read = loose_json.read(text, at)
    if read is None:
        return found.other()
    entries = read.value if isinstance(read.value, list) else [read.value]
    if not read.closed and read.end == len(text):
        return _open(entries, tools, found, bare, cut=read.cut)
    calls = [_call_of(entry, tools, bare) for entry in entries]
    known = [call for call in calls if call is not None]
    if not known or len(known) < len(calls) or read.cut:
        return found.other()
    found.calls += known
    found.named = True
    found.whole = found.whole and read.closed
    end = read.end
    while not bare and text[end : end + 1] == "}":  # one too many
        end += 1
    return end


def _open(entries: list[Any], tools: Tools, found: Scan, bare: bool, *, cut: bool) -> int | None:
    """JSON that has not ended yet: whether it may be a call, as far as it goes."""
    entry = entries[-1] if entries else {}
    if not isinstance(entry, dict) or not entry.keys() <= _KEYS:
        return found.other()
    if bare and entry and next(iter(entry)) not in (*_NAMES, *_ARGUMENTS, "type"):
        return found.other()
    name, kind = _name_of(entry), entry.get("type")
    if name is None:
        typed = isinstance(kind, str) and not "function".startswith(kind)
        return found.other() if bare and typed else found.open()
    unfinished = cut and next(reversed(entry)) in _NAMES
    if name not in tools and not (unfinished and any(tool.startswith(name) for tool in tools)):
        return found.other()
    found.named = found.named or not unfinished
    calls = [_call_of(one, tools, bare) for one in entries]
    if cut or None in calls or not entry.keys() & {*_ARGUMENTS, "function"}:
        return found.open()
    found.calls += [call for call in calls if call is not None]  # only brackets are missing
    return found.open(cut=False)


def _name_of(entry: dict[str, Any]) -> str | None:
    for key in _NAMES:
        value = entry.get(key)
        if isinstance(value, dict):
            value = value.get("name")
        if isinstance(value, str):
            return value
    return None


def _call_of(entry: Any, tools: Tools, bare: bool) -> WrittenCall | None:
    """The call that an object describes; None where it is something else."""
    if not isinstance(entry, dict) or not entry.keys() <= _KEYS:
        return None
    name, inner = _name_of(entry), entry.get("function")
    if name is None or name not in tools:
        return None
    if isinstance(inner, dict) and not inner.keys() <= _KEYS:
        return None
    holder = {**entry, **inner} if isinstance(inner, dict) else entry
    key = next((one for one in _ARGUMENTS if one in holder), None)
    arguments = _object(holder[key]) if key is not None else None if bare else {}
    if arguments is None:
        return None
    properties = tools[name]
    if {"type", "properties"} <= arguments.keys() and "properties" not in properties:
        return None  # the function's definition
    if bare and not arguments.keys() <= properties.keys():
        return None
    return WrittenCall(name, arguments)


def _object(value: Any) -> dict[str, Any] | None:
    """Arguments, which may be written as a text."""
    if value is None or value == "":
        return {}
    if isinstance(value, str):
        inner = loose_json.read(value.strip())
        value = inner.value if inner is not None and inner.closed else None
    return value if isinstance(value, dict) else None


def _arguments(text: str, at: int, name: str, found: Scan) -> int | None:
    """The arguments behind a name, as JSON."""
    if any(one.startswith(text[at:]) for one in ("<｜tool▁sep｜>", "```json", "json")):
        return found.open()
    read = loose_json.read(text, at)
    if read is None or not isinstance(read.value, dict):
        return found.other()
    if read.cut:
        return found.open()
    found.calls.append(WrittenCall(name, read.value))
    if not read.closed and read.end == len(text):
        return found.open(cut=False)
    found.whole = found.whole and read.closed
    return read.end


def _from_pairs(text: str, at: int, name: str, tools: Tools, found: Scan) -> int | None:
    arguments: dict[str, Any] = {}
    while pair := _PAIR.match(text, at):
        arguments[pair[1].strip()] = _typed(pair[2], tools[name].get(pair[1].strip()))
        at = pair.end()
    rest = text[at:].lstrip()
    if rest.startswith("<arg_") or (rest and "<arg_".startswith(rest)) or not arguments:
        return found.open()
    found.calls.append(WrittenCall(name, arguments))
    return at


def _from_tags(text: str, function: re.Match[str], tools: Tools, found: Scan) -> int | None:
    """`<function=name><parameter=key>value</parameter></function>`, or JSON instead of the
    parameters."""
    name, at = function[1] or function[2], function.end()
    if name not in tools:
        return found.other()
    found.named = True
    arguments: dict[str, Any] = {}
    begin = len(text) - len(text[at:].lstrip())
    if text[begin : begin + 1] == "{":
        read = loose_json.read(text, begin)
        if read is None or not isinstance(read.value, dict):
            return found.other()
        if read.cut:
            return found.open()
        arguments, at = read.value, read.end
        found.whole = found.whole and read.closed
    while parameter := _PARAMETER.match(text, at):
        key = parameter[1] or parameter[2]
        end = _PARAMETER_END.search(text, parameter.end())
        if end is None:
            return found.open()
        arguments[key] = _typed(text[parameter.end() : end.start()], tools[name].get(key))
        at = end.end()
    call = WrittenCall(name, arguments)
    if closed := _FUNCTION_END.match(text, at):
        found.calls.append(call)
        return closed.end()
    rest = text[at:].lstrip()
    if rest.startswith("<parameter") or (rest and "<parameter".startswith(rest)):
        return found.open()
    if not rest and not arguments:
        return found.open()
    found.calls.append(call)
    if "</function>".startswith(rest) or "</invoke>".startswith(rest):
        return found.open(cut=False)
    found.whole = False
    return at


def _typed(text: str, schema: Any) -> Any:
    """A parameter's value, which is text unless its schema says otherwise."""
    text = text.removeprefix("\r").removeprefix("\n").removesuffix("\n").removesuffix("\r")
    kind = schema.get("type") if isinstance(schema, dict) else None
    kinds = kind if isinstance(kind, list) else [kind]
    if "string" in kinds or kinds == [None]:
        return text
    stripped = text.strip()
    try:
        return json.loads(stripped)
    except ValueError:
        pass
    if stripped in ("True", "False", "None"):
        return {"True": True, "False": False, "None": None}[stripped]
    value = loose_json.read(stripped)
    return value.value if value is not None and value.closed else text
