"""Tools of the Responses API as functions, and what becomes of their names. Pure.

Chat completions know functions only: a custom tool becomes one with a single text, and the tools of
a namespace become functions whose names say to which they belong. `Names` leads back.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator
from typing import Any

from airouter.dialects.openai_responses_repeated import check_optional
from airouter.dialects.translating import MAX_NAME, note, refuse
from airouter.domain.types import immutable

INPUT = "input"  # the parameter of a custom tool
_LONGEST = 64  # characters of a function's name that OpenAI's servers accept
_WITHIN = "__"  # between a namespace and a name
_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9_-]")
_SYNTAXES = ("lark", "regex")
_NO_PARAMETERS = {"type": "object", "properties": {}}
_TEXT = {
    "type": "object",
    "properties": {INPUT: {"type": "string", "description": "The whole input, as plain text."}},
    "required": [INPUT],
    "additionalProperties": False,
}


@immutable
class Called:
    """What a client calls a tool. `namespace`: None for one that is in none."""

    name: str
    namespace: str | None = None
    custom: bool = False


class Names:
    """The names of a request's tools, both ways."""

    def __init__(self) -> None:
        self._by_flat: dict[str, Called] = {}
        self._flat: dict[tuple[str | None, str], str] = {}

    def add(self, called: Called) -> str:
        """The function's name of a tool, which is like no other's; "" if the tool is known
        already."""
        if (called.namespace, called.name) in self._flat:
            return ""
        flat = _flattened(called.namespace, called.name)
        if flat in self._by_flat:
            flat = _shortened(flat, f"{called.namespace}\0{called.name}")
        self._by_flat[flat] = called
        self._flat[called.namespace, called.name] = flat
        return flat

    def flat(self, namespace: str | None, name: str) -> str:
        """The function's name of a tool that need not be known: of an earlier turn."""
        return self._flat.get((namespace, name)) or _flattened(namespace, name)

    def chosen(self, namespace: str | None, name: str) -> str | None:
        """The function's name of a known tool; without a namespace, of the only one that has this
        name."""
        exact = self._flat.get((namespace, name))
        if exact is not None or namespace is not None:
            return exact
        nested = [flat for (_, known), flat in self._flat.items() if known == name]
        return nested[0] if len(nested) == 1 else None

    def of(self, flat: str) -> Called:
        """What the client calls a function; one that it does not know is called as it is."""
        return self._by_flat.get(flat) or Called(flat)


def _flattened(namespace: str | None, name: str) -> str:
    whole = name if namespace is None else f"{namespace}{_WITHIN}{name}"
    flat = _NOT_IN_NAMES.sub("_", whole)
    return flat if len(flat) <= _LONGEST and flat == whole else _shortened(flat, whole)


def _shortened(flat: str, whole: str) -> str:
    """A name that fits, with something of the whole one that tells it from others."""
    mark = hashlib.sha256(whole.encode("utf-8", "replace")).hexdigest()[:8]
    return f"{flat[: _LONGEST - 9]}_{mark}"


def functions(given: Any, names: Names, notes: list[str]) -> list[dict[str, Any]]:
    """The tools that a backend can be given, as functions.

    Args:
        names: receives their names.
        notes: receives which were left out: those that OpenAI's servers run.

    Raises:
        BadRequest: names the parameter.
    """
    if given is None:
        return []
    if not isinstance(given, list):
        refuse("tools", "must be a list")
    made = []
    for where, namespace, tool, about in _each(given, notes):
        name = tool.get("name")
        if not isinstance(name, str) or not name:
            refuse(f"{where}.name", "must be a string")
        flat = names.add(Called(name, namespace, tool["type"] == "custom"))
        if not flat:
            note(notes, f"second tool {name[:MAX_NAME]} left out")
        else:
            made.append({"type": "function", "function": _function(tool, flat, about, where)})
    return made


def _each(
    given: list[Any], notes: list[str]
) -> Iterator[tuple[str, str | None, dict[str, Any], str]]:
    """The functions and custom tools: where each stands, its namespace, and what is said of that,
    which stands at its first tool."""
    for i, tool in enumerate(given):
        kind = tool.get("type") if isinstance(tool, dict) else None
        if not isinstance(kind, str):
            refuse(f"tools.{i}", "must be an object with a type")
        if kind in ("function", "custom"):
            yield f"tools.{i}", None, tool, ""
        elif kind == "namespace":
            yield from _nested(tool, f"tools.{i}", notes)
        else:
            note(notes, f"tool {kind[:MAX_NAME]} left out")


def _nested(
    tool: dict[str, Any], where: str, notes: list[str]
) -> Iterator[tuple[str, str | None, dict[str, Any], str]]:
    namespace, inner = tool.get("name"), tool.get("tools")
    if not isinstance(namespace, str) or not namespace:
        refuse(f"{where}.name", "must be a string")
    if not isinstance(inner, list):
        refuse(f"{where}.tools", "must be a list")
    check_optional(tool, where, description=str)
    said = tool.get("description")
    about = f"{namespace}: {said}\n\n" if said else ""
    for j, one in enumerate(inner):
        kind = one.get("type") if isinstance(one, dict) else None
        if kind in ("function", "custom"):
            yield f"{where}.tools.{j}", namespace, one, about
            about = ""
        elif isinstance(kind, str):
            note(notes, f"tool {kind[:MAX_NAME]} left out")
        else:
            refuse(f"{where}.tools.{j}", "must be an object with a type")


def _function(tool: dict[str, Any], flat: str, about: str, where: str) -> dict[str, Any]:
    check_optional(tool, where, description=str, strict=bool)
    text = about + (tool.get("description") or "")
    function: dict[str, Any] = {"name": flat}
    if tool["type"] == "custom":
        text += _grammar(tool.get("format"), f"{where}.format")
        parameters: Any = _TEXT
    else:
        parameters = tool.get("parameters")
        if not isinstance(parameters, dict | None):
            refuse(f"{where}.parameters", "must be a JSON schema")
        parameters = parameters or _NO_PARAMETERS
        if tool.get("strict") is not None:
            function["strict"] = tool["strict"]
    if text:
        function["description"] = text.strip()
    return {**function, "parameters": parameters}


def _grammar(given: Any, where: str) -> str:
    """The grammar of a custom tool's input, for its description: nothing else can demand it."""
    form = {"type": "text"} if given is None else given
    kind = form.get("type") if isinstance(form, dict) else None
    if kind == "text":
        return ""
    if kind != "grammar" or form.get("syntax") not in _SYNTAXES:
        refuse(where, "must have the type text, or grammar with the syntax lark or regex")
    if not isinstance(form.get("definition"), str):
        refuse(f"{where}.definition", "must be a string")
    name = "regular expression" if form["syntax"] == "regex" else "Lark grammar"
    return f"\n\nThe input must match this {name}:\n{form['definition']}"


def choose(
    choice: Any, tools: list[dict[str, Any]], names: Names, notes: list[str]
) -> tuple[list[dict[str, Any]], Any]:
    """The tools and the `tool_choice` of a chat completion; None: there is none to be said.

    Raises:
        BadRequest: the choice is not valid, or demands a tool that no backend can be given.
    """
    if choice in ("auto", "none", "required", None):
        if not tools and choice == "required":
            refuse("tool_choice", "demands a tool, but there is none that a backend can be given")
        return tools, choice if tools else None
    kind = choice.get("type") if isinstance(choice, dict) else None
    if kind in ("function", "custom"):
        flat = _known(choice, names)
        if flat is None:
            refuse("tool_choice.name", "names none of the tools that a backend can be given")
        return tools, {"type": "function", "function": {"name": flat}}
    if kind == "allowed_tools":
        return _allowed(choice, tools, names, notes)
    if isinstance(kind, str):
        refuse("tool_choice", f"demands {kind[:MAX_NAME]!r}, which no backend can be given")
    refuse("tool_choice", 'must be auto, none, required or {"type": "function", "name": …}')


def _allowed(
    choice: dict[str, Any], tools: list[dict[str, Any]], names: Names, notes: list[str]
) -> tuple[list[dict[str, Any]], Any]:
    """Backends know no such choice: they are given the allowed ones alone."""
    given, mode = choice.get("tools"), choice.get("mode")
    if not isinstance(given, list) or mode not in ("auto", "required"):
        refuse("tool_choice", "must have the mode auto or required, and a list of tools")
    if not all(isinstance(one, dict) for one in given):
        refuse("tool_choice.tools", "must be a list of objects")
    allowed = set(_all_known(given, names))
    kept = [tool for tool in tools if tool["function"]["name"] in allowed]
    if not kept and mode == "required":
        refuse("tool_choice", "demands a tool, but there is none that a backend can be given")
    if len(kept) < len(tools):
        note(notes, f"{len(tools) - len(kept)} tools that are not allowed left out")
    return kept, mode if kept else None


def _all_known(given: Iterable[dict[str, Any]], names: Names) -> Iterator[str]:
    for one in given:
        if flat := _known(one, names):
            yield flat


def _known(one: dict[str, Any], names: Names) -> str | None:
    name, namespace = one.get("name"), one.get("namespace")
    if not isinstance(name, str):
        return None
    return names.chosen(namespace if isinstance(namespace, str) else None, name)
