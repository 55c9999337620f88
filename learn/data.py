"""The labelled prompts in `data/prompts/`: one JSON object per line, one file per origin (the brief
they were written from; README.md there). A line may have `tools`: names, or definitions as in
OpenAI's API."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airouter.classify.features import features_of
from airouter.dialects.openai_request import parse_request
from airouter.domain.errors import RouterError
from airouter.domain.labels import CLASSES
from airouter.domain.types import Features

ROOT = Path(__file__).resolve().parent.parent
PROMPTS = ROOT / "data" / "prompts"
_KEYS = {"messages", "label", "also_ok", "lang", "origin", "tools"}


@dataclass(frozen=True, slots=True)
class Prompt:
    """One labelled conversation; `where` is file:line. `accepted` holds the label and what else is
    right."""

    messages: list[dict[str, Any]]
    label: str
    accepted: frozenset[str]
    lang: str
    origin: str
    where: str
    tools: tuple[dict[str, Any], ...] = ()

    @property
    def features(self) -> Features:
        payload = {"messages": self.messages, **({"tools": [*self.tools]} if self.tools else {})}
        return features_of(parse_request("chat", payload))

    @property
    def text(self) -> str:
        return "\n".join(f"{message['role']}: {message['content']}" for message in self.messages)

    @property
    def last(self) -> str:
        return str(self.messages[-1]["content"])


def read_prompts(folder: Path = PROMPTS) -> tuple[list[Prompt], list[str]]:
    """All prompts, and one sentence for each line that is not of the form."""
    prompts: list[Prompt] = []
    faults: list[str] = []
    for path in sorted(folder.glob("*.jsonl")):
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
            where = f"{path.name}:{number}"
            try:
                prompts.append(parse_line(line, where))
            except ValueError as error:
                faults.append(f"{where}: {error}")
    return prompts, faults


def parse_line(line: str, where: str) -> Prompt:
    """One line.

    Raises:
        ValueError: with what is wrong about it.
    """
    record = json.loads(line)
    if (
        not isinstance(record, dict)
        or not {"messages", "label", "lang", "origin"} <= set(record) <= _KEYS
    ):
        raise ValueError("needs messages, label, lang, origin; may have also_ok, tools")
    also = record.get("also_ok", [])
    if (
        record["label"] not in CLASSES
        or not isinstance(also, list)
        or not set(also) <= set(CLASSES)
    ):
        raise ValueError(f"labels are {', '.join(CLASSES)}")
    if (
        not isinstance(record["lang"], str)
        or not 2 <= len(record["lang"]) <= 3
        or not isinstance(record["origin"], str)
    ):
        raise ValueError("lang is a code of two or three letters, origin a name")
    tools = record.get("tools", [])
    if not isinstance(tools, list) or not all(isinstance(tool, str | dict) for tool in tools):
        raise ValueError("tools is a list of names or definitions")
    try:
        request = parse_request("chat", {"messages": record["messages"]})
    except RouterError as error:
        raise ValueError(error.message) from None
    if not any(message["role"] == "user" for message in request.messages):
        raise ValueError("nobody asks: there is no user message")
    if not all(
        isinstance(message.get("content"), str) and message["content"].strip()
        for message in request.messages
    ):
        raise ValueError("every message needs a text")
    return Prompt(
        record["messages"],
        record["label"],
        frozenset({record["label"], *also}),
        record["lang"],
        record["origin"],
        where,
        tuple(_definition(tool) for tool in tools),
    )


def _definition(tool: str | dict[str, Any]) -> dict[str, Any]:
    """The definition of a tool that may be given by its name alone."""
    return tool if isinstance(tool, dict) else {"type": "function", "function": {"name": tool}}


def origins_of(prompts: Iterable[Prompt]) -> list[str]:
    return sorted({prompt.origin for prompt in prompts})
