"""What a response repeats of its request. Clients read it by the types of their library, so that a
value of another type is refused, and what backends are not given is not repeated. Pure."""

from typing import Any

from airouter.dialects.translating import refuse

Json = dict[str, Any]
_NUMBER = (int, float)
# Type of a value, and how to say it. JSON's true is no number.
_TYPES: dict[str, tuple[Any, str]] = {
    "max_tool_calls": (int, "an integer"),
    "parallel_tool_calls": (bool, "true or false"),
    "previous_response_id": (str, "a string"),
    "prompt_cache_key": (str, "a string"),
    "safety_identifier": (str, "a string"),
    "temperature": (_NUMBER, "a number"),
    "top_logprobs": (int, "an integer"),
    "top_p": (_NUMBER, "a number"),
    "user": (str, "a string"),
}
_SUMMARIES = ("auto", "concise", "detailed")
_ONE_OF: dict[tuple[str, ...], tuple[str, ...]] = {
    ("truncation",): ("auto", "disabled"),
    ("reasoning", "summary"): _SUMMARIES,
    ("reasoning", "generate_summary"): _SUMMARIES,
    ("text", "verbosity"): ("low", "medium", "high"),
}
# What that means where the request is silent.
_USUAL: Json = {
    **dict.fromkeys(("instructions", "max_output_tokens", *_TYPES)),
    "metadata": {},
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "truncation": "disabled",
}
_TOOLS = {  # the fields that a tool has, by its type
    "function": ("type", "name", "description", "parameters", "strict"),
    "custom": ("type", "name", "description", "format"),
}
_FORMAT = ("type", "name", "description", "schema", "strict")


def check(payload: Json) -> None:
    """Check the types of the fields that are repeated, as far as nothing else reads them.

    Raises:
        BadRequest: names the parameter.
    """
    for name, (kind, what) in _TYPES.items():
        value = payload.get(name)
        if value is not None and not _is(value, kind):
            refuse(name, f"must be {what}")
    for path, known in _ONE_OF.items():
        value = payload
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        if value is not None and value not in known:
            refuse(".".join(path), f"must be one of {', '.join(known)}")
    metadata = payload.get("metadata")
    if metadata is not None and not (
        isinstance(metadata, dict) and all(isinstance(value, str) for value in metadata.values())
    ):
        refuse("metadata", "must be an object whose values are strings")


def check_optional(given: Json, where: str, **kinds: type) -> None:
    """Check fields that may be missing: strings and switches.

    Raises:
        BadRequest: names the parameter.
    """
    for name, kind in kinds.items():
        if given.get(name) is not None and not _is(given[name], kind):
            what = "true or false" if kind is bool else "a string"
            refuse(f"{where}.{name}", f"must be {what}")


def repeated(payload: Json) -> Json:
    """The fields of a response that are the request's, which is valid."""
    said = {
        name: usual if payload.get(name) is None else payload[name]
        for name, usual in _USUAL.items()
    }
    reasoning, tools = payload.get("reasoning"), payload.get("tools")
    effort = reasoning if isinstance(reasoning, dict) else {}
    said["reasoning"] = {name: effort.get(name) for name in ("effort", "summary")}
    said["text"] = _text(payload.get("text"))
    known = (_tool(tool) for tool in tools) if isinstance(tools, list) else ()
    said["tools"] = [tool for tool in known if tool is not None]
    return said


def _is(value: Any, kind: Any) -> bool:
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def _text(given: Any) -> Json:
    text = given if isinstance(given, dict) else {}
    wanted = text.get("format")
    form = _only(wanted, _FORMAT) if isinstance(wanted, dict) else {"type": "text"}
    if form.get("type") == "json_schema":
        form["name"] = form.get("name") or "answer"
    verbosity = text.get("verbosity")
    return {"format": form} if verbosity is None else {"format": form, "verbosity": verbosity}


def _tool(tool: Any) -> Json | None:
    """None for one that backends are not given."""
    kind = tool.get("type") if isinstance(tool, dict) else None
    if kind == "namespace":
        inner = tool.get("tools")
        known = [_tool(one) for one in inner] if isinstance(inner, list) else []
        kept = [one for one in known if one is not None and one["type"] != "namespace"]
        about = tool.get("description") or ""
        return {"type": kind, "name": tool.get("name"), "description": about, "tools": kept}
    fields = _TOOLS.get(kind) if isinstance(kind, str) else None
    return None if fields is None else _only(tool, fields)


def _only(given: Json, names: tuple[str, ...]) -> Json:
    return {name: given[name] for name in names if name in given}
