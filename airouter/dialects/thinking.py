"""One switch for reasoning: what clients spell in many ways, in the way that a backend understands.

A request says off, on, low, medium or high. Where it says so twice and differently, the more
specific one is obeyed, in this order: the model's name (`ai-router:low`), arguments of the chat
template, `thinking` and `think`, `reasoning_effort`, `reasoning`.
"""

import re
from collections.abc import Iterator
from typing import Any

from airouter.settings.backends import BackendSettings

_FIELDS = ("chat_template_kwargs", "thinking", "think", "reasoning_effort", "reasoning")
_ARGUMENTS = ("enable_thinking", "thinking", "reasoning_effort")
_EFFORTS = {
    "none": "off", "off": "off", "minimal": "low", "low": "low", "medium": "medium",
    "high": "high", "xhigh": "high", "max": "high",
}  # fmt: skip
# Tokens of Anthropic's budget, as Claude Code grants them for "think", "think hard" and
# "ultrathink".
_BUDGETS = {"low": 4_000, "medium": 10_000, "high": 32_000}
_GRADED = tuple(_BUDGETS)

# Which spelling a model understands, where its kind of backend is not enough to tell.
_OF_TEMPLATES = (
    (re.compile(r"gpt-oss"), "reasoning_effort"),
    (re.compile(r"deepseek-v3|granite"), "thinking"),
)
_OF_CLOUDS = (
    # They refuse the whole request for it.
    (re.compile(r"grok-(?:2|3(?!-mini)|4(?:-|$)|4\.20|code)|gpt-(?:3|4)|chatgpt-4"), "none"),
)
_OF_ANTHROPIC = (
    (re.compile(r"claude-(?:2|3-(?:5|opus|sonnet|haiku))"), "none"),
    # Before they learnt of an effort, they had a budget.
    (re.compile(r"claude-(?:3-7|(?:opus|sonnet|haiku)-4(?:-[015])?(?:-\d{8})?$)"), "anthropic"),
)
# Models that reason in any case: the least that they can be told is "low".
_ALWAYS = re.compile(r"gpt-oss|grok-(?!4\.3)|gpt-5(?!\.)|(?:^|/)o\d")


def has_template(backend: BackendSettings) -> bool:
    """Whether arguments for the chat template, such as `enable_thinking`, are understood: by vLLM,
    and by SGLang and llama.cpp, which are configured as local servers of kind openai. Ollama
    ignores them; clouds refuse the whole request."""
    return backend.kind == "vllm" or (backend.kind == "openai" and backend.local)


def spelling_of(backend: BackendSettings, model: str) -> str:
    """How a backend is told: one of the values of its setting `thinking`, other than auto."""
    if backend.thinking != "auto":
        return backend.thinking
    known = backend.capabilities
    if known is not None and "reasoning" not in known and not has_template(backend):
        return "none"
    if has_template(backend):
        return _by_model(model, _OF_TEMPLATES, "enable_thinking")
    if backend.kind == "anthropic":
        return _by_model(model, _OF_ANTHROPIC, "reasoning_effort")
    return _by_model(model, () if backend.kind == "ollama" else _OF_CLOUDS, "reasoning_effort")


def _by_model(model: str, table: tuple[tuple[re.Pattern[str], str], ...], usual: str) -> str:
    return next((one for names, one in table if names.search(model.lower())), usual)


def spell(
    body: dict[str, Any],
    backend: BackendSettings,
    model: str,
    named: str | None,
    adjusted: list[str],
) -> None:
    """Put what a body says about reasoning the way its backend understands. A body that says
    nothing, or says it that way already, is not changed.

    Args:
        body: the router's own; its values are the client's.
        named: the level in the model's name.
        adjusted: receives what was changed, for the X-Router-Adjusted header.
    """
    if named is None and not any(name in body for name in _FIELDS):
        return
    said = list(_said(body, named))
    if not said:
        return
    where, decisive = said[0]
    off = decisive == "off"
    level = "off" if off else next((one for _, one in said if one in _GRADED), "on")
    spelling = spelling_of(backend, model)
    wanted = _wanted(body, level, spelling, backend, model)
    if all(body.get(name) == wanted.get(name) for name in _FIELDS):
        return
    for name in _FIELDS:
        if name in wanted:
            body[name] = wanted[name]
        else:
            body.pop(name, None)
    sent = _shown(wanted)
    outcome = f"sent as {sent}" if sent else "left out: not understood by this backend"
    if not sent and spelling != "none":
        outcome = "left out: what this backend does unasked"
    adjusted.append(f"thinking={level} from {where}, {outcome}")
    for name, other in said[1:]:
        if (other == "off") != off or other not in ("on", level):
            adjusted.append(f"thinking={other} from {name} overridden by {where}")


def _said(body: dict[str, Any], named: str | None) -> Iterator[tuple[str, str]]:
    """Where the request says what, the most specific first."""
    if named is not None:
        yield "the model name", named
    template = body.get("chat_template_kwargs")
    template = template if isinstance(template, dict) else {}
    for name in _ARGUMENTS:
        if level := _level(template.get(name)):
            yield f"chat_template_kwargs.{name}", level
    for name in ("thinking", "think", "reasoning_effort", "reasoning"):
        if level := _level(body.get(name)):
            yield name, level


def _level(value: Any) -> str | None:
    """What the value of one of the fields means; None: nothing, as `adaptive`."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, str):
        return _EFFORTS.get(value.lower())
    if not isinstance(value, dict):
        return None
    if value.get("type") == "disabled" or value.get("enabled") is False:
        return "off"
    effort, budget = value.get("effort"), value.get("budget_tokens", value.get("max_tokens"))
    if isinstance(effort, str):
        return _EFFORTS.get(effort.lower())
    if isinstance(budget, int) and not isinstance(budget, bool) and budget > 0:
        return next((one for one, most in _BUDGETS.items() if budget <= most), "high")
    return "on" if value.get("type") == "enabled" or value.get("enabled") is True else None


def _wanted(
    body: dict[str, Any], level: str, spelling: str, backend: BackendSettings, model: str
) -> dict[str, Any]:
    """The fields that say so to the backend; all others of `_FIELDS` are left out."""
    given = body.get("chat_template_kwargs")
    template = dict(given) if isinstance(given, dict) else {}
    for name in _ARGUMENTS:
        template.pop(name, None)
    wanted: dict[str, Any] = {}
    if spelling in ("enable_thinking", "thinking"):
        template[spelling] = level != "off"
        if level in _GRADED:  # which a template may read as well, and is accepted if it does not
            wanted["reasoning_effort"] = level
    elif spelling == "reasoning_effort" and backend.kind == "anthropic" and level == "on":
        wanted["thinking"] = {"type": "adaptive"}
    elif spelling == "reasoning_effort":
        effort = _effort(level, backend, model)
        if _level(body.get("reasoning_effort")) == level:
            effort = body["reasoning_effort"]
        if effort is not None:
            wanted["reasoning_effort"] = effort
            if backend.kind == "openai" and backend.local:  # where llama.cpp reads it
                template["reasoning_effort"] = effort
    elif spelling == "anthropic":
        own = body.get("thinking")
        wanted["thinking"] = own if _level(own) == level else budget_of(level)
    if template:
        wanted["chat_template_kwargs"] = template
    elif "chat_template_kwargs" in body and not given:
        wanted["chat_template_kwargs"] = given  # an empty one says nothing
    return wanted


def _effort(level: str, backend: BackendSettings, model: str) -> str | None:
    if level == "off":
        return "low" if _ALWAYS.search(model.lower()) else "none"
    if level == "on":  # Ollama's models that can reason do so unasked; others refuse an effort
        return None if backend.kind == "ollama" else "medium"
    return level


def budget_of(level: str) -> dict[str, Any]:
    """A level as `thinking` of Anthropic's models that have a budget of tokens."""
    if level == "off":
        return {"type": "disabled"}
    return {"type": "enabled", "budget_tokens": _BUDGETS.get(level, _BUDGETS["medium"])}


def _shown(wanted: dict[str, Any]) -> str:
    """The fields for the header, such as `chat_template_kwargs.enable_thinking=false`."""
    shown = []
    for name, value in wanted.items():
        if isinstance(value, dict):
            names = _ARGUMENTS if name == "chat_template_kwargs" else tuple(value)
            shown += [f"{name}.{one}={_text(value[one])}" for one in names if one in value]
        else:
            shown.append(f"{name}={_text(value)}")
    return ", ".join(shown)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)[:40]
